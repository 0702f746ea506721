use angzarr_proto::admin::v1::consumer_admin_client::ConsumerAdminClient;
use angzarr_proto::admin::v1::{
    Consumer, ListConsumersRequest, PauseConsumerRequest, RebuildConsumerRequest,
    ResumeConsumerRequest,
};
use clap::{Args, Subcommand};
use serde_json::json;

use super::{Failure, target::Target};
use crate::output::{Ink, Output};

/// Show how far projectors, sagas, process managers and the bus are, and steer them.
#[derive(Debug, Clone, Args)]
pub(super) struct Consumers {
    #[command(subcommand)]
    change: Option<Change>,
    /// One JSON object for each consumer.
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Clone, Subcommand)]
enum Change {
    /// Begin nothing new for it, until it is resumed or the server restarted.
    Pause { name: String },
    /// Go on after a pause.
    Resume { name: String },
    /// Hand it every event again, from the first on.
    Rebuild { name: String },
}

impl Consumers {
    pub(super) async fn run(self, output: &mut Output) -> Result<(), Failure> {
        let remote = self.target.connect()?;
        let mut client = ConsumerAdminClient::new(remote.channel());
        let answer = match self.change {
            None => {
                let request = ListConsumersRequest {};
                let answer = client.list_consumers(request).await;
                answer.map(|answer| answer.into_inner().consumers)
            }
            Some(Change::Pause { name }) => {
                let answer = client.pause_consumer(PauseConsumerRequest { name }).await;
                answer.map(|answer| Vec::from_iter(answer.into_inner().consumer))
            }
            Some(Change::Resume { name }) => {
                let answer = client.resume_consumer(ResumeConsumerRequest { name }).await;
                answer.map(|answer| Vec::from_iter(answer.into_inner().consumer))
            }
            Some(Change::Rebuild { name }) => {
                let request = RebuildConsumerRequest { name };
                let answer = client.rebuild_consumer(request).await;
                answer.map(|answer| Vec::from_iter(answer.into_inner().consumer))
            }
        };
        let consumers = answer.map_err(|status| remote.refusal(&status))?;
        if self.json {
            for consumer in &consumers {
                output.json(&json!({
                    "name": consumer.name, "done": consumer.done, "head": consumer.head,
                    "lag": consumer.lag, "held": consumer.held, "paused": consumer.paused,
                    "caught_up": consumer.caught_up, "rebuilds": consumer.rebuilds,
                    "error": consumer.error,
                }))?;
            }
            return Ok(());
        }
        if consumers.is_empty() {
            let text = "no projectors, sagas, process managers or bus are configured";
            return Ok(output.line(output.paint(Ink::Faint, text))?);
        }
        let longest = consumers.iter().map(|consumer| consumer.name.len()).max();
        let width = longest.unwrap_or_default();
        let head = format!(
            "{:<width$}  {:>12}  {:>12}  {:>8}  state",
            "consumer", "done", "behind", "held"
        );
        output.line(output.paint(Ink::Faint, head))?;
        for consumer in &consumers {
            let name = output.paint(Ink::Title, format!("{:<width$}", consumer.name));
            let done = output.paint(Ink::Number, format!("{:>12}", consumer.done));
            output.line(format!(
                "{name}  {done}  {:>12}  {:>8}  {}",
                consumer.lag,
                consumer.held,
                state(output, consumer)
            ))?;
        }
        Ok(())
    }
}

fn state(output: &Output, consumer: &Consumer) -> String {
    if consumer.paused {
        output.paint(Ink::Warn, "paused")
    } else if !consumer.error.is_empty() {
        output.paint(Ink::Bad, format!("trying again: {}", consumer.error))
    } else if consumer.held > 0 {
        output.paint(Ink::Warn, "at work")
    } else if consumer.caught_up {
        output.paint(Ink::Good, "up to date")
    } else {
        output.paint(Ink::Warn, "reading")
    }
}
