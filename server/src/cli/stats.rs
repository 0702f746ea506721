use std::path::PathBuf;

use angzarr_proto::store::v1 as pb;
use clap::Args;
use serde_json::json;

use super::{Failure, target::Target, verify};
use crate::output::{Ink, Output};

/// Show size, position and health of a store.
#[derive(Debug, Clone, Args)]
pub(super) struct Stats {
    /// A data folder that no server has open, to be counted instead of asking a server.
    folder: Option<PathBuf>,
    /// Answer in JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

impl Stats {
    pub(super) async fn run(self, output: &mut Output) -> Result<(), Failure> {
        if let Some(folder) = &self.folder {
            let found = verify::check(folder, false).await?;
            if self.json {
                return Ok(output.json(&verify::to_json(&found))?);
            }
            return verify::tell(output, &found);
        }
        let remote = self.target.connect()?;
        let stats = remote
            .store()
            .stats(pb::StatsRequest {})
            .await
            .map_err(|error| remote.failure(&error))?;
        if self.json {
            return Ok(output.json(&json!({
                "events": stats.events, "position": stats.position,
                "log_bytes": stats.log_bytes, "segments": stats.segments,
                "durability": stats.durability, "index": stats.index,
                "unindexed_bytes": stats.unindexed_bytes,
                "disk_bytes": stats.disk_bytes, "sealed_segments": stats.sealed_segments,
                "queued_appends": stats.queued_appends, "poisoned": stats.poisoned,
                "database_id": stats.database_id, "format_version": stats.format_version,
            }))?);
        }
        let health = if stats.poisoned.is_empty() {
            output.paint(Ink::Good, "accepts appends")
        } else {
            output.paint(Ink::Bad, format!("refuses appends: {}", stats.poisoned))
        };
        let rows = [
            ("health", health),
            ("events", stats.events.to_string()),
            ("position", stats.position.to_string()),
            ("log", log_size(stats.log_bytes, stats.segments.into())),
            (
                "on disk",
                format!(
                    "{}, {} rewritten",
                    size(stats.disk_bytes),
                    segments(stats.sealed_segments.into())
                ),
            ),
            ("durability", stats.durability),
            (
                "index",
                format!("{}, {} behind", stats.index, size(stats.unindexed_bytes)),
            ),
            ("queued appends", stats.queued_appends.to_string()),
            (
                "database",
                format!("{}, format {}", stats.database_id, stats.format_version),
            ),
        ];
        for (name, value) in rows {
            output.line(format!(
                "{} {value}",
                output.paint(Ink::Faint, format!("{name:<15}"))
            ))?;
        }
        Ok(())
    }
}

/// Size of a log and the number of its files.
pub(super) fn log_size(bytes: u64, segments: u64) -> String {
    format!("{} in {}", size(bytes), self::segments(segments))
}

/// A number of segments.
pub(super) fn segments(count: u64) -> String {
    let noun = if count == 1 { "segment" } else { "segments" };
    format!("{count} {noun}")
}

/// Bytes as people say them.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [(&str, u32); 3] = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    for (unit, shift) in UNITS {
        if bytes >> shift > 0 {
            let tenths = (u128::from(bytes) * 10) >> shift;
            return format!("{}.{} {unit}", tenths / 10, tenths % 10);
        }
    }
    format!("{bytes} bytes")
}
