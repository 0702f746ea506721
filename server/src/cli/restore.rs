use std::fs;
use std::path::{Path, PathBuf};

use angzarr_engine::{Address, CutAt, CutLog, Position, cut_log};
use clap::Args;
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::io::AsyncWriteExt;

use super::{
    Exit, Failure,
    archive::{Archive, File, Manifest},
    offline,
    stats::size,
};
use crate::output::Output;

/// Files of a log on their way; named otherwise so that no server takes them for a store.
const PARTIAL: &str = "log.partial";
/// What is being restored there.
const STATE: &str = "restore.json";

/// Make a data folder of a backup, as it was at its end or at an earlier moment.
#[derive(Debug, Clone, Args)]
pub(super) struct Restore {
    /// Where the backups are, as `angzarr backup` names it.
    source: String,
    /// The data folder to make; it must not hold a store.
    #[arg(required_unless_present = "list")]
    folder: Option<PathBuf>,
    /// End with the commit of this position.
    #[arg(long, value_name = "N", conflicts_with = "to_time")]
    to_position: Option<u64>,
    /// End with the last commit at or before this time, such as 2026-01-31T12:00:00Z.
    #[arg(long, value_name = "TIME")]
    to_time: Option<jiff::Timestamp>,
    /// Show which backups there are, and restore nothing.
    #[arg(long)]
    list: bool,
    /// Answer in JSON.
    #[arg(long)]
    json: bool,
}

/// Tells whether an unfinished restoring is the same as this one.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    source: String,
    database_id: String,
    position: u64,
    end_address: u64,
    cut: String,
}

impl Restore {
    pub(super) async fn run(self, output: &mut Output) -> Result<(), Failure> {
        let archive = Archive::open(&self.source, false)?;
        if self.list {
            return self.show(output, &archive).await;
        }
        let Some(folder) = self.folder.clone() else {
            return Err(Failure::usage("name the data folder to make"));
        };
        let manifest = self.choose(&archive).await?;
        let cut = self.cut(&manifest);
        let state = State {
            source: self.source.clone(),
            database_id: manifest.database_id.clone(),
            position: manifest.position,
            end_address: manifest.end_address,
            cut: format!("{cut:?}"),
        };
        let partial = prepare(&folder, &state)?;
        let files = manifest.files.iter().enumerate();
        let files: Vec<_> = files
            .filter(|(n, file)| *n == 0 || is_needed(file, cut))
            .map(|(_, file)| file.clone())
            .collect();
        let bytes = download(&archive, &files, &partial).await?;
        let path = partial.clone();
        let log = offline::run(move |progress| cut_log(&path, cut, progress)).await?;
        let log = log.map_err(|error| offline::failure(&error))?;
        put_in_place(&folder, &partial).map_err(|error| failed(&folder, &error))?;
        self.tell(output, &folder, &log, bytes)
    }

    fn tell(
        &self,
        output: &mut Output,
        folder: &Path,
        log: &CutLog,
        bytes: u64,
    ) -> Result<(), Failure> {
        let at = jiff::Timestamp::from_nanosecond(log.recorded_at.nanos().into());
        let at = at.map(|at| at.to_string()).unwrap_or_default();
        if self.json {
            return Ok(output.json(&json!({
                "position": log.position.get(), "recorded_at": at,
                "commits": log.commits, "log_bytes": log.end.get(), "copied_bytes": bytes,
            }))?);
        }
        let (folder, position) = (folder.display(), log.position);
        Ok(output.line(format!(
            "{folder} holds the store as it was at position {position}, {at}"
        ))?)
    }

    async fn show(&self, output: &mut Output, archive: &Archive) -> Result<(), Failure> {
        for name in archive.backups().await? {
            let it = archive.manifest(&name).await?;
            if self.json {
                output.json(&json!({
                    "position": it.position, "recorded_at": it.recorded_at.to_string(),
                    "taken_at": it.taken_at.to_string(), "files": it.files.len(),
                    "bytes": it.bytes(), "database_id": it.database_id,
                }))?;
                continue;
            }
            let (position, files) = (it.position, it.files.len());
            let taken_at = it.taken_at.strftime("%Y-%m-%d %H:%M:%S");
            let bytes = size(it.bytes());
            output.line(format!(
                "{taken_at} · position {position} · {files} files · {bytes}"
            ))?;
        }
        Ok(())
    }

    /// The oldest backup that reaches far enough: later ones may have left out what was deleted
    /// since.
    async fn choose(&self, archive: &Archive) -> Result<Manifest, Failure> {
        let lineage = lineage(archive.backups().await?);
        let last = lineage.last().cloned();
        for name in lineage {
            match (self.to_position, self.to_time) {
                (Some(position), _) if Manifest::position_of(&name) >= Some(position) => {
                    return archive.manifest(&name).await;
                }
                (_, Some(time)) => {
                    let manifest = archive.manifest(&name).await?;
                    if manifest.recorded_at > time {
                        return Ok(manifest);
                    }
                }
                _ => {}
            }
        }
        let Some(name) = last else {
            return Err(archive.failed("there is no backup here"));
        };
        let newest = archive.manifest(&name).await?;
        let too_late = match (self.to_position, self.to_time) {
            (Some(position), _) => newest.position < position,
            (_, Some(time)) => newest.taken_at < time,
            _ => false,
        };
        if too_late {
            let (position, taken_at) = (newest.position, newest.taken_at);
            return Err(archive.failed(format!(
                "the newest backup ends at position {position} and is of {taken_at}"
            )));
        }
        Ok(newest)
    }

    fn cut(&self, manifest: &Manifest) -> CutAt {
        match (self.to_position, self.to_time) {
            (Some(position), _) => CutAt::Position(Position::new(position)),
            (_, Some(time)) => {
                let nanos = i64::try_from(time.as_nanosecond()).unwrap_or(i64::MAX);
                CutAt::Time(angzarr_engine::Timestamp::from_nanos(nanos))
            }
            _ => CutAt::Address(Address::new(manifest.end_address)),
        }
    }
}

/// The backups of the history that the newest one tells, the oldest first. A store that was set
/// back went on with positions that earlier backups had passed: those tell another history.
fn lineage(names: Vec<String>) -> Vec<String> {
    let mut kept = Vec::new();
    let mut last = u64::MAX;
    for name in names.into_iter().rev() {
        match Manifest::position_of(&name) {
            Some(position) if position <= last => last = position,
            _ => break,
        }
        kept.push(name);
    }
    kept.reverse();
    kept
}

/// Segments that begin behind a position hold nothing of what was before.
fn is_needed(file: &File, cut: CutAt) -> bool {
    match cut {
        CutAt::Position(position) => file.base_position <= position.get(),
        _ => true,
    }
}

/// The folder that files go to. One that an interrupted restoring left is gone on with.
fn prepare(folder: &Path, state: &State) -> Result<PathBuf, Failure> {
    let display = folder.display();
    if folder.join("log").exists() {
        return Err(Failure::usage(format!("{display} holds a store"))
            .next("name a folder that is not there yet"));
    }
    let path = folder.join(STATE);
    if path.exists() {
        let bytes = fs::read(&path).map_err(|error| failed(folder, &error))?;
        if serde_json::from_slice::<State>(&bytes).ok().as_ref() != Some(state) {
            return Err(Failure::usage(format!(
                "{display} holds another restoring that did not end"
            ))
            .next("repeat that one, or remove the folder"));
        }
    } else {
        let others = fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
        if others {
            return Err(Failure::usage(format!("{display} is not empty"))
                .next("name a folder that is not there yet"));
        }
    }
    let partial = folder.join(PARTIAL);
    let prepared = || -> std::io::Result<()> {
        fs::create_dir_all(&partial)?;
        let draft = folder.join(format!("{STATE}.tmp"));
        fs::write(&draft, serde_json::to_vec_pretty(state)?)?;
        fs::rename(&draft, &path)
    };
    prepared().map_err(|error| failed(folder, &error))?;
    Ok(partial)
}

/// Copies what is not there yet; returns how many bytes that were.
async fn download(archive: &Archive, files: &[File], partial: &Path) -> Result<u64, Failure> {
    let bar = offline::bar();
    bar.set_message("copy");
    bar.set_length(files.iter().map(|file| file.length).sum());
    let mut bytes = 0;
    for file in files {
        let path = partial.join(&file.name);
        if !is_there(&path, file) {
            let draft = partial.join(format!("{}.part", file.name));
            fetch(archive, file, &draft).await?;
            let named = fs::rename(&draft, &path);
            named.map_err(|error| failed(partial, &error))?;
            bytes += file.length;
        }
        bar.inc(file.length);
    }
    // Nothing but the segments: an earlier attempt may have been cut short within its last step.
    let entries = fs::read_dir(partial).map_err(|error| failed(partial, &error))?;
    for entry in entries {
        let entry = entry.map_err(|error| failed(partial, &error))?;
        let name = entry.file_name();
        if files.iter().all(|file| *file.name != *name) {
            fs::remove_file(entry.path()).map_err(|error| failed(partial, &error))?;
        }
    }
    bar.finish_and_clear();
    Ok(bytes)
}

fn is_there(path: &Path, file: &File) -> bool {
    let mut crc = crc32fast::Hasher::new();
    let hashed = fs::File::open(path).and_then(|mut opened| {
        let mut sink = Hashing(&mut crc);
        std::io::copy(&mut opened, &mut sink)
    });
    hashed.is_ok_and(|length| length == file.length) && crc.finalize() == file.crc32
}

struct Hashing<'a>(&'a mut crc32fast::Hasher);

impl std::io::Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Copies one file, checked and durable.
async fn fetch(archive: &Archive, file: &File, draft: &Path) -> Result<(), Failure> {
    let mut pieces = archive.read(&file.id).await?;
    let mut crc = crc32fast::Hasher::new();
    let mut length = 0u64;
    let broken = |error: std::io::Error| failed(draft, &error);
    let mut out = tokio::fs::File::create(draft).await.map_err(broken)?;
    while let Some(piece) = pieces.try_next().await? {
        crc.update(&piece);
        length += piece.len() as u64;
        out.write_all(&piece).await.map_err(broken)?;
    }
    out.flush().await.map_err(broken)?;
    out.sync_all().await.map_err(broken)?;
    if (length, crc.finalize()) == (file.length, file.crc32) {
        return Ok(());
    }
    Err(archive
        .failed(format!("segments/{} is damaged", file.id))
        .next("restore an older backup; `angzarr restore SOURCE --list` shows them"))
}

fn put_in_place(folder: &Path, partial: &Path) -> std::io::Result<()> {
    fs::File::open(partial)?.sync_all()?;
    fs::rename(partial, folder.join("log"))?;
    fs::File::open(folder)?.sync_all()?;
    fs::remove_file(folder.join(STATE))?;
    fs::File::open(folder)?.sync_all()
}

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("{}: {error}", path.display()))
}
