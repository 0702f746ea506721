use std::path::{Path, PathBuf};

use angzarr_engine::{Damage, Error, IndexCheck, Soundness, Verified};
use clap::Args;
use serde_json::{Value, json};

use super::{
    Failure, offline,
    stats::{log_size, size},
};
use crate::output::{Ink, Output};

/// Exit codes of `verify`, beside 0 for a sound log.
const TORN: u8 = 1;
const CORRUPT: u8 = 2;
const UNSUPPORTED: u8 = 3;
pub(super) const NOT_CHECKED: u8 = 4;

const EXIT_CODES: &str = "Exit codes:
  0  sound
  1  torn tail: an unfinished write at the end, which the next start cuts off; nothing that was
     acknowledged is lost
  2  corrupt
  3  a format this version cannot read
  4  not checked: no data folder, in use, unreadable, or the command line is wrong; or the
     verdict, which was 0, could not be told";

/// Damaged places that are shown; `--json` has them all.
const DAMAGE_SHOWN: usize = 20;

/// Check every byte of a data folder that no server has open; nothing is changed.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Verify {
    /// The data folder.
    #[arg(default_value = "./data")]
    folder: PathBuf,
    /// Leave the index out: it can always be built anew.
    #[arg(long)]
    log_only: bool,
    /// Answer in JSON.
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub(super) async fn run(self, output: &mut Output) -> Result<(), Failure> {
        let found = check(&self.folder, !self.log_only).await?;
        let told = if self.json {
            output.json(&to_json(&found)).map_err(Failure::from)
        } else {
            self.tell(output, &found)
        };
        // A reader that went away, or a full disk, makes no damaged data sound.
        let folder = self.folder.display();
        match found.soundness {
            Soundness::Sound => told.map_err(untold),
            Soundness::TornTail { bytes } => {
                let problem = format!(
                    "an unfinished write of {} stands at the end of {folder}",
                    size(bytes)
                );
                Err(Failure::with_code(TORN, problem).next(
                    "nothing to do: it was never acknowledged, and the next start cuts it off",
                ))
            }
            Soundness::Corrupt => Err(corrupt(&found)),
        }
    }

    fn tell(&self, output: &mut Output, found: &Verified) -> Result<(), Failure> {
        let verdict = match found.soundness {
            Soundness::Sound => output.paint(Ink::Good, "sound"),
            Soundness::TornTail { .. } => output.paint(Ink::Warn, "sound, with a torn tail"),
            Soundness::Corrupt => output.paint(Ink::Bad, "damaged"),
        };
        output.line(format!("{} is {verdict}", self.folder.display()))?;
        for damage in found.damage.iter().take(DAMAGE_SHOWN) {
            output.line(place(damage))?;
        }
        let more = found.damage.len().saturating_sub(DAMAGE_SHOWN) as u64 + found.damage_unlisted;
        if more > 0 {
            output.line(format!("  and {more} more"))?;
        }
        tell(output, found)
    }
}

/// A reader that went away is no failure.
fn untold(failure: Failure) -> Failure {
    if failure.is_quiet() {
        return failure;
    }
    Failure::with_code(NOT_CHECKED, failure.to_string())
}

fn place(damage: &Damage) -> String {
    let Damage {
        file,
        offset,
        problem,
        ..
    } = damage;
    let missing = damage.until.get().saturating_sub(damage.address.get());
    match (file.as_str(), missing) {
        ("index", _) => format!("  index: {problem}"),
        (_, 0) => format!("  {file} at offset {offset}: {problem}"),
        _ => format!(
            "  {file} at offset {offset}: {problem}; {} without a whole frame",
            size(missing)
        ),
    }
}

fn corrupt(found: &Verified) -> Failure {
    let count = found.damage.len() as u64 + found.damage_unlisted;
    let places = if count == 1 { "place" } else { "places" };
    let first = found.damage.first().map(place).unwrap_or_default();
    let problem = format!("damaged data in {count} {places}, first: {}", first.trim());
    let in_log = found.damage.iter().any(|damage| damage.file != "index");
    Failure::with_code(CORRUPT, problem).next(if in_log {
        "keep a copy of the folder as it is, then restore a backup; `angzarr repair` shows what could \
         be kept without one"
    } else {
        "the log is sound, so nothing is lost: run `angzarr rebuild-index`"
    })
}

/// Checks a folder; a bar tells a waiting person how far it is.
pub(super) async fn check(folder: &Path, with_index: bool) -> Result<Verified, Failure> {
    let path = folder.to_path_buf();
    let checked = offline::run(move |progress| {
        if with_index {
            angzarr_engine::verify(&path, progress)
        } else {
            angzarr_engine::verify_log(&path, progress)
        }
    });
    let checked = checked.await;
    let checked = checked.map_err(|error| Failure::with_code(NOT_CHECKED, error.to_string()))?;
    checked.map_err(|error| failure(&error))
}

/// What a folder holds, line by line.
pub(super) fn tell(output: &mut Output, found: &Verified) -> Result<(), Failure> {
    for (name, value) in [
        ("events", found.events.to_string()),
        ("aggregates", found.aggregates.to_string()),
        ("commits", found.frames.to_string()),
        ("position", found.position.to_string()),
        ("log", log_size(found.bytes, found.segments as u64)),
        ("index", index_text(&found.index)),
    ] {
        let name = output.paint(Ink::Faint, format!("{name:<15}"));
        output.line(format!("{name} {value}"))?;
    }
    Ok(())
}

fn index_text(index: &IndexCheck) -> String {
    match index {
        IndexCheck::None => "none; the next start builds it".to_owned(),
        IndexCheck::Skipped(reason) => format!("not compared: {reason}"),
        IndexCheck::Checked { entries, .. } => format!("{entries} entries compared with the log"),
    }
}

pub(super) fn to_json(found: &Verified) -> Value {
    let (verdict, torn_bytes) = match found.soundness {
        Soundness::Sound => ("sound", 0),
        Soundness::TornTail { bytes } => ("torn tail", bytes),
        Soundness::Corrupt => ("corrupt", 0),
    };
    let index = match found.index {
        IndexCheck::None => json!({"state": "none"}),
        IndexCheck::Skipped(reason) => json!({"state": "skipped", "reason": reason}),
        IndexCheck::Checked { entries, applied } => {
            json!({"state": "checked", "entries": entries, "applied_address": applied.get()})
        }
    };
    let damage: Vec<_> = found.damage.iter().map(damage_json).collect();
    json!({
        "verdict": verdict, "torn_bytes": torn_bytes, "events": found.events,
        "position": found.position.get(), "aggregates": found.aggregates,
        "commits": found.frames, "segments": found.segments, "log_bytes": found.bytes,
        "index": index, "damage": damage, "damage_unlisted": found.damage_unlisted,
    })
}

pub(super) fn damage_json(damage: &Damage) -> Value {
    json!({
        "file": damage.file, "offset": damage.offset, "address": damage.address.get(),
        "until_address": damage.until.get(), "problem": damage.problem,
    })
}

fn failure(error: &Error) -> Failure {
    let text = error.to_string();
    match error {
        Error::Unsupported { .. } => Failure::with_code(UNSUPPORTED, text)
            .next("use the angzarr that wrote it, or a newer one"),
        Error::Locked(_) => Failure::with_code(NOT_CHECKED, text)
            .next("stop the server first; a running one is asked with `angzarr stats`"),
        Error::Io { .. } => Failure::with_code(NOT_CHECKED, text).next(
            "nothing is known of the data: see that this user may read the folder, and that the \
             disk is healthy; what a disk has lost is in a backup",
        ),
        _ => Failure::with_code(NOT_CHECKED, text)
            .next("name the folder that storage.path of the configuration names"),
    }
}
