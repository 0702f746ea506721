use angzarr_proto::store::v1 as pb;
use clap::Args;
use serde_json::json;

use super::{
    Failure,
    target::{Remote, Target, Timeline, root_bytes_text},
};
use crate::output::{Ink, Output};

/// Aggregates fetched with one call.
const PAGE: u32 = 1000;

/// List aggregates and how many events each has.
#[derive(Debug, Clone, Args)]
pub(super) struct Aggregates {
    /// Only those of this domain.
    domain: Option<String>,
    /// One JSON object for each aggregate.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    timeline: Timeline,
    #[command(flatten)]
    target: Target,
}

impl Aggregates {
    pub(super) async fn run(self, output: &mut Output) -> Result<(), Failure> {
        let remote = self.target.connect()?;
        let mut found = false;
        for domain in self.domains(&remote).await? {
            let mut page_token = String::new();
            loop {
                let request = pb::ListAggregatesRequest {
                    domain: domain.clone(),
                    edition: self.timeline.branch().unwrap_or_default().to_owned(),
                    page_size: PAGE,
                    page_token,
                };
                let answer = remote
                    .store()
                    .list_aggregates(request)
                    .await
                    .map_err(|error| remote.failure(&error))?;
                for aggregate in &answer.aggregates {
                    found = true;
                    self.aggregate(output, &domain, aggregate)?;
                }
                if answer.next_page_token.is_empty() {
                    break;
                }
                page_token = answer.next_page_token;
            }
        }
        if !found && !self.json {
            output.line(output.paint(Ink::Faint, "no aggregates here"))?;
        }
        Ok(())
    }

    async fn domains(&self, remote: &Remote) -> Result<Vec<String>, Failure> {
        if let Some(domain) = &self.domain {
            return Ok(vec![domain.clone()]);
        }
        let mut domains = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = pb::ListDomainsRequest {
                page_size: PAGE,
                page_token,
            };
            let answer = remote
                .store()
                .list_domains(request)
                .await
                .map_err(|error| remote.failure(&error))?;
            domains.extend(answer.domains);
            if answer.next_page_token.is_empty() {
                return Ok(domains);
            }
            page_token = answer.next_page_token;
        }
    }

    fn aggregate(
        &self,
        output: &mut Output,
        domain: &str,
        aggregate: &pb::AggregateSummary,
    ) -> Result<(), Failure> {
        let bytes = aggregate
            .root
            .as_ref()
            .map(|root| root.value.as_slice())
            .unwrap_or_default();
        let root = root_bytes_text(bytes);
        if self.json {
            return Ok(output.json(&json!({
                "domain": domain, "root": root,
                "edition": self.timeline.branch().unwrap_or("main"),
                "next_sequence": aggregate.next_sequence,
            }))?);
        }
        let line = format!(
            "{} {root} {}",
            output.paint(Ink::Title, format!("{domain:<16}")),
            output.paint(Ink::Number, format!("{:>8}", aggregate.next_sequence)),
        );
        Ok(output.line(line)?)
    }
}
