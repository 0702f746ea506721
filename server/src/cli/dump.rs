use std::path::PathBuf;

use angzarr_engine::{
    Address, Dump as Found, DumpRange, DumpedFrame, DumpedPage, DumpedRecord, Error, Position,
};
use clap::Args;
use tokio::sync::mpsc;

use super::{Failure, offline};
use crate::output::Output;

mod json;
mod text;

/// Items that wait to be printed. The reader of the log waits when there are more.
const WAITING: usize = 64;

/// Show the frames of a data folder that no server has open.
#[derive(Debug, Clone, Args)]
pub(super) struct Dump {
    /// The data folder.
    #[arg(default_value = "./data")]
    folder: PathBuf,
    /// Only frames that begin at or behind this address of the log.
    #[arg(long, value_name = "ADDRESS", default_value_t = 0)]
    from: u64,
    /// Only frames that begin before this address.
    #[arg(long, value_name = "ADDRESS")]
    to: Option<u64>,
    /// Only from the frame that holds this position on.
    #[arg(long, value_name = "N", default_value_t = 0)]
    from_position: u64,
    /// Only up to the frame that holds this position.
    #[arg(long, value_name = "N")]
    to_position: Option<u64>,
    /// Leave out what the frames hold.
    #[arg(long)]
    frames: bool,
    /// One JSON object for each frame.
    #[arg(long)]
    json: bool,
}

impl Dump {
    pub(super) async fn run(self, output: &mut Output) -> Result<(), Failure> {
        let (sender, mut found) = mpsc::channel(WAITING);
        let (folder, range) = (self.folder.clone(), self.range());
        let reading = tokio::task::spawn_blocking(move || {
            angzarr_engine::dump(&folder, range, &mut |item| {
                // Nobody reads on: `head` has seen enough.
                let closed = |_| Error::Refused("closed".to_owned());
                sender.blocking_send(item).map_err(closed)
            })
        });
        while let Some(item) = found.recv().await {
            self.show(output, &item)?;
        }
        let read = reading.await;
        let read = read.map_err(|error| Failure::usage(error.to_string()))?;
        read.map_err(|error| offline::failure(&error))
    }

    fn range(&self) -> DumpRange {
        DumpRange {
            from: Address::new(self.from),
            to: Address::new(self.to.unwrap_or(u64::MAX)),
            from_position: Position::new(self.from_position),
            to_position: Position::new(self.to_position.unwrap_or(u64::MAX)),
        }
    }

    fn show(&self, output: &mut Output, item: &Found) -> Result<(), Failure> {
        if self.json {
            return Ok(output.json(&json::item(item, !self.frames))?);
        }
        for line in text::item(output, item, !self.frames) {
            output.line(line)?;
        }
        Ok(())
    }
}

/// Positions of a frame's events, as people say them.
fn positions(frame: &DumpedFrame) -> Option<(u64, u64)> {
    let last = u64::from(frame.events).checked_sub(1)?;
    Some((frame.position.get(), frame.position.get() + last))
}
