use angzarr_proto::store::v1 as pb;
use clap::{Args, ValueEnum};
use serde_json::json;

use super::{Failure, stats, target::Target};
use crate::output::{Ink, Output};

/// Show how the rewriting of full segments goes, hold it up, or let it go on.
#[derive(Debug, Clone, Args)]
pub(super) struct Sealing {
    /// What to do about it; without, only show it.
    change: Option<Change>,
    /// Answer in JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Change {
    /// Hold it up, until the server is restarted or told otherwise.
    Pause,
    /// Let it go on.
    Resume,
}

impl Sealing {
    pub(super) async fn run(self, output: &mut Output) -> Result<(), Failure> {
        let remote = self.target.connect()?;
        let request = pb::SealingRequest {
            paused: self.change.map(|change| matches!(change, Change::Pause)),
        };
        let sealing = remote
            .store()
            .sealing(request)
            .await
            .map_err(|error| remote.failure(&error))?;
        if self.json {
            return Ok(output.json(&json!({
                "sealed_segments": sealing.sealed_segments,
                "waiting_segments": sealing.waiting_segments,
                "current_done": sealing.current_done, "current_total": sealing.current_total,
                "paused": sealing.paused, "failure": sealing.failure,
            }))?);
        }
        let state = if !sealing.failure.is_empty() {
            output.paint(Ink::Bad, format!("failed: {}", sealing.failure))
        } else if sealing.paused {
            output.paint(Ink::Bad, "paused")
        } else if sealing.waiting_segments > 0 {
            output.paint(Ink::Good, "rewriting")
        } else {
            output.paint(Ink::Good, "nothing to do")
        };
        let mut rows = vec![
            ("state", state),
            ("rewritten", stats::segments(sealing.sealed_segments.into())),
            ("waiting", stats::segments(sealing.waiting_segments.into())),
        ];
        if sealing.current_total > 0 {
            let (done, total) = (sealing.current_done, sealing.current_total);
            let text = format!("{} of {}", stats::size(done), stats::size(total));
            rows.push(("at hand", text));
        }
        for (name, value) in rows {
            let name = output.paint(Ink::Faint, format!("{name:<15}"));
            output.line(format!("{name} {value}"))?;
        }
        Ok(())
    }
}
