use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{Failure, offline};
use crate::output::Output;

/// Build the index of a data folder anew; no server may have it open.
#[derive(Debug, Clone, Args)]
pub(super) struct RebuildIndex {
    /// The data folder.
    #[arg(default_value = "./data")]
    folder: PathBuf,
    /// Answer in JSON.
    #[arg(long)]
    json: bool,
}

impl RebuildIndex {
    pub(super) async fn run(self, output: &mut Output) -> Result<(), Failure> {
        let folder = self.folder.clone();
        let rebuilt =
            offline::run(move |progress| angzarr_engine::rebuild_index(&folder, progress));
        let rebuilt = rebuilt.await?.map_err(|error| offline::failure(&error))?;
        if self.json {
            return Ok(output.json(&json!({
                "commits": rebuilt.commits,
                "position": rebuilt.position.get(),
                "torn_bytes": rebuilt.torn_bytes,
            }))?);
        }
        let (folder, position) = (self.folder.display(), rebuilt.position);
        Ok(output.line(format!(
            "{folder} has a new index, up to position {position}"
        ))?)
    }
}
