use clap::Args;

use super::{Failure, failure::Exit};
use crate::{
    config::{Log, LogFormat},
    demo::{self, Trouble},
    output::Output,
    telemetry,
};

/// Play a small story against a real server.
#[derive(Debug, Clone, Args)]
pub(super) struct Demo {
    /// Keep the scratch folder and say where it is.
    #[arg(long)]
    keep: bool,
}

impl Demo {
    pub(super) async fn run(self, output: &mut Output) -> Result<(), Failure> {
        let log = Log {
            filter: "error".to_owned(),
            format: LogFormat::Human,
        };
        telemetry::init(&log).map_err(Failure::usage)?;
        demo::run(output, self.keep)
            .await
            .map_err(|trouble| match trouble {
                Trouble::Output(error) => error.into(),
                trouble => Failure::new(Exit::Failed, format!("the demo went wrong: {trouble}"))
                    .next("the server's log is server.log in that folder; please report it"),
            })
    }
}
