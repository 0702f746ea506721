use angzarr_proto::{
    store::v1 as pb,
    v1::{DomainDivergence, Edition},
};
use clap::Args;

use super::{Failure, target::Target};
use crate::output::{Ink, Output};

/// Branch off the main timeline, to ask "what if".
#[derive(Debug, Clone, Args)]
pub(super) struct Fork {
    /// Name of the new edition.
    name: String,
    /// Where it leaves main: DOMAIN=N inherits the events 0 to N-1 of each aggregate of the
    /// domain, and the branch's own begin at N.
    #[arg(required = true, value_name = "DOMAIN=N", value_parser = divergence)]
    divergences: Vec<(String, u32)>,
    #[command(flatten)]
    target: Target,
}

impl Fork {
    pub(super) async fn run(self, output: &mut Output) -> Result<(), Failure> {
        let remote = self.target.connect()?;
        let divergences = self
            .divergences
            .iter()
            .map(|(domain, sequence)| DomainDivergence {
                domain: domain.clone(),
                sequence: *sequence,
            });
        let edition = Edition {
            name: self.name.clone(),
            divergences: divergences.collect(),
        };
        remote
            .store()
            .fork(pb::ForkRequest {
                edition: Some(edition),
            })
            .await
            .map_err(|error| remote.failure(&error))?;
        for (domain, sequence) in &self.divergences {
            let line = format!(
                "{} {} leaves main in {} at sequence {}",
                output.paint(Ink::Good, "forked"),
                output.paint(Ink::Branch, &self.name),
                output.paint(Ink::Title, domain),
                output.paint(Ink::Number, sequence),
            );
            output.line(line)?;
        }
        Ok(())
    }
}

fn divergence(text: &str) -> Result<(String, u32), String> {
    let problem = || "write DOMAIN=N, for example order=3".to_owned();
    let (domain, sequence) = text.split_once('=').ok_or_else(problem)?;
    Ok((domain.to_owned(), sequence.parse().map_err(|_| problem())?))
}
