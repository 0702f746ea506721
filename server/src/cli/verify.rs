use std::path::{Path, PathBuf};

use angzarr_engine::{Error, Soundness, Verified};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::{
    Failure,
    stats::{log_size, size},
};
use crate::output::{Ink, Output};

/// Exit codes of `verify`, beside 0 for a sound log.
const TORN: u8 = 1;
const CORRUPT: u8 = 2;
const UNSUPPORTED: u8 = 3;
const NOT_CHECKED: u8 = 4;

const EXIT_CODES: &str = "Exit codes:
  0  sound
  1  torn tail: an unfinished write at the end, which the next start cuts off; nothing that was
     acknowledged is lost
  2  corrupt
  3  a format this version cannot read
  4  not checked: no data folder, in use, or unreadable";

/// Check every byte of a data folder that no server has open; nothing is changed.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Verify {
    /// The data folder.
    #[arg(default_value = "./data")]
    folder: PathBuf,
    /// Answer in JSON.
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub(super) async fn run(self, output: &mut Output) -> Result<(), Failure> {
        let found = check(&self.folder).await?;
        if self.json {
            output.json(&to_json(&found))?;
        } else {
            self.tell(output, &found)?;
        }
        let Soundness::TornTail { bytes } = found.soundness else {
            return Ok(());
        };
        let folder = self.folder.display();
        let problem = format!(
            "an unfinished write of {} stands at the end of {folder}",
            size(bytes)
        );
        Err(Failure::with_code(TORN, problem)
            .next("nothing to do: it was never acknowledged, and the next start cuts it off"))
    }

    fn tell(&self, output: &mut Output, found: &Verified) -> Result<(), Failure> {
        let verdict = match found.soundness {
            Soundness::Sound => output.paint(Ink::Good, "sound"),
            Soundness::TornTail { .. } => output.paint(Ink::Warn, "sound, with a torn tail"),
        };
        output.line(format!("{} is {verdict}", self.folder.display()))?;
        tell(output, found)
    }
}

/// Checks a folder; a bar tells a waiting person how far it is.
pub(super) async fn check(folder: &Path) -> Result<Verified, Failure> {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {bytes} of {total_bytes}") {
        bar.set_style(style);
    }
    let path = folder.to_path_buf();
    let checking = tokio::task::spawn_blocking(move || {
        let checked = angzarr_engine::verify(&path, |progress| {
            bar.set_length(progress.total);
            bar.set_position(progress.done);
        });
        bar.finish_and_clear();
        checked
    });
    let checked = checking.await;
    let checked = checked.map_err(|error| Failure::with_code(NOT_CHECKED, error.to_string()))?;
    checked.map_err(|error| failure(&error))
}

/// What a folder holds, line by line.
pub(super) fn tell(output: &mut Output, found: &Verified) -> Result<(), Failure> {
    for (name, value) in [
        ("events", found.events.to_string()),
        ("aggregates", found.aggregates.to_string()),
        ("commits", found.frames.to_string()),
        ("log", log_size(found.bytes, found.segments as u64)),
    ] {
        let name = output.paint(Ink::Faint, format!("{name:<15}"));
        output.line(format!("{name} {value}"))?;
    }
    Ok(())
}

pub(super) fn to_json(found: &Verified) -> Value {
    let (verdict, torn_bytes) = match found.soundness {
        Soundness::Sound => ("sound", 0),
        Soundness::TornTail { bytes } => ("torn tail", bytes),
    };
    json!({
        "verdict": verdict, "torn_bytes": torn_bytes, "events": found.events,
        "aggregates": found.aggregates, "commits": found.frames,
        "segments": found.segments, "log_bytes": found.bytes,
    })
}

fn failure(error: &Error) -> Failure {
    let text = error.to_string();
    match error {
        Error::Corrupt { .. } => Failure::with_code(CORRUPT, text)
            .next("keep a copy of the folder as it is, then restore a backup"),
        Error::Unsupported { .. } => Failure::with_code(UNSUPPORTED, text)
            .next("use the angzarr that wrote it, or a newer one"),
        Error::Locked(_) => Failure::with_code(NOT_CHECKED, text)
            .next("stop the server first; a running one is asked with `angzarr stats`"),
        _ => Failure::with_code(NOT_CHECKED, text)
            .next("name the folder that storage.path of the configuration names"),
    }
}
