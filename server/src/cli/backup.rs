use std::path::PathBuf;
use std::time::Duration;

use angzarr_adapters::{BackupStream, StoreError, backup_of};
use angzarr_proto::store::v1 as pb;
use clap::Args;
use futures::TryStreamExt;
use indicatif::ProgressBar;
use object_store::WriteMultipart;
use pb::backup_response::Part;
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use super::{
    Exit, Failure,
    archive::{Archive, File, Manifest},
    offline,
    stats::size,
    target::Target,
};
use crate::config::bytes;
use crate::output::Output;

/// Uploads of one file that may be under way at a time.
const UPLOADS: usize = 4;

/// The list of copied files is written when so many bytes or files were copied since the last time.
const PROGRESS_BYTES: u64 = 64 * 1024 * 1024;
const PROGRESS_FILES: usize = 16;

/// Copy the log of a running server, or of a data folder, to a place for backups.
#[derive(Debug, Clone, Args)]
pub(super) struct Backup {
    /// Where to: a folder, s3://bucket/path, gs://bucket/path or az://container/path.
    destination: String,
    /// The data folder of a stopped server, to be copied instead of asking a server.
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// Keep this many backups there, and remove older ones; all when left out.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    keep: Option<u32>,
    /// Copy so many bytes a second at most, so that those whom the server serves notice little of
    /// it. 0: as fast as possible.
    #[arg(long, value_name = "BYTES", default_value = "32MiB", value_parser = bytes)]
    rate: u64,
    /// Answer in JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

impl Backup {
    pub(super) async fn run(self, output: &mut Output) -> Result<(), Failure> {
        let archive = Archive::open(&self.destination, true)?;
        let held = archive.held().await?;
        let request = pb::BackupRequest {
            have: held.keys().cloned().collect(),
        };
        let taken_at = jiff::Timestamp::now();
        let (mut parts, fail) = self.open(request).await?;
        let first = parts.try_next().await.map_err(&fail)?;
        let Some(Part::Plan(plan)) = first.and_then(|answer| answer.part) else {
            return Err(unexpected());
        };
        check_database(&archive, &plan.database_id).await?;
        let mut copying = Copying::new(&archive, &plan, held.into_values().collect());
        let began = Instant::now();
        while let Some(answer) = parts.try_next().await.map_err(&fail)? {
            let Some(Part::Data(data)) = answer.part else {
                return Err(unexpected());
            };
            copying.take(data).await?;
            if let Some(due) = due(copying.bytes, self.rate) {
                sleep_until(began + due).await;
            }
        }
        let (copied, bytes) = (copying.copied, copying.bytes);
        let manifest = copying.finish(taken_at)?;
        archive.put_manifest(&manifest).await?;
        let removed = match self.keep {
            Some(count) => {
                archive
                    .keep(usize::try_from(count).unwrap_or(usize::MAX))
                    .await?
            }
            None => 0,
        };
        if self.json {
            return Ok(output.json(&json!({
                "position": manifest.position, "recorded_at": manifest.recorded_at.to_string(),
                "taken_at": manifest.taken_at.to_string(), "files": manifest.files.len(),
                "bytes": manifest.bytes(), "copied_files": copied, "copied_bytes": bytes,
                "removed_backups": removed,
            }))?);
        }
        Ok(output.line(format!(
            "backed up to position {}: copied {copied} of {} files, {} of {}",
            manifest.position,
            manifest.files.len(),
            size(bytes),
            size(manifest.bytes()),
        ))?)
    }

    /// What is to be copied, and how its errors are told.
    async fn open(
        &self,
        request: pb::BackupRequest,
    ) -> Result<(BackupStream, Box<dyn Fn(StoreError) -> Failure>), Failure> {
        let Some(folder) = self.folder.clone() else {
            let remote = self.target.connect()?;
            let parts = remote.store().backup(request).await;
            let parts = parts.map_err(|error| remote.failure(&error))?;
            return Ok((parts, Box::new(move |error| remote.failure(&error))));
        };
        let copy = offline::run(move |_| angzarr_engine::folder_copy(&folder)).await?;
        let copy = copy.map_err(|error| offline::failure(&error))?;
        let fail = |error: StoreError| Failure::new(Exit::Failed, error.to_string());
        Ok((backup_of(copy, request), Box::new(fail)))
    }
}

/// How long copying so many bytes is to take, if that is limited.
fn due(bytes: u64, rate: u64) -> Option<Duration> {
    (rate > 0).then(|| Duration::from_secs_f64(bytes as f64 / rate as f64))
}

/// Backups of two databases in one place would take each other's files for their own.
async fn check_database(archive: &Archive, id: &str) -> Result<(), Failure> {
    let Some(newest) = archive.backups().await?.pop() else {
        return Ok(());
    };
    let other = archive.manifest(&newest).await?.database_id;
    if other == id {
        return Ok(());
    }
    Err(archive
        .failed(format!("holds backups of database {other}, not of {id}"))
        .next("name another place for this database"))
}

fn unexpected() -> Failure {
    Failure::new(Exit::Failed, "the server sent what is no part of a backup")
        .next("use a server of the same version as this tool")
}

/// Takes a stream apart into files.
struct Copying<'a> {
    archive: &'a Archive,
    plan: &'a pb::BackupPlan,
    /// Files that are in the archive.
    done: Vec<File>,
    current: Option<Upload>,
    copied: usize,
    bytes: u64,
    noted: u64,
    bar: ProgressBar,
}

struct Upload {
    number: u32,
    at: u64,
    crc: crc32fast::Hasher,
    write: WriteMultipart,
}

impl<'a> Copying<'a> {
    fn new(archive: &'a Archive, plan: &'a pb::BackupPlan, held: Vec<File>) -> Self {
        let missing = plan
            .files
            .iter()
            .filter(|file| held.iter().all(|it| it.id != file.id));
        let bar = offline::bar();
        bar.set_message("backup");
        bar.set_length(missing.map(|file| file.length).sum());
        Self {
            archive,
            plan,
            done: held,
            current: None,
            copied: 0,
            bytes: 0,
            noted: 0,
            bar,
        }
    }

    async fn take(&mut self, data: pb::BackupData) -> Result<(), Failure> {
        let number = usize::try_from(data.file).unwrap_or(usize::MAX);
        let file = self.plan.files.get(number).ok_or_else(unexpected)?;
        let mut upload = match self.current.take() {
            Some(upload) if upload.number == data.file => upload,
            None => Upload {
                number: data.file,
                at: 0,
                crc: crc32fast::Hasher::new(),
                write: self.archive.write(&file.id).await?,
            },
            Some(_) => return Err(unexpected()),
        };
        if upload.at != data.offset {
            return Err(unexpected());
        }
        upload.at += data.content.len() as u64;
        upload.crc.update(&data.content);
        self.bytes += data.content.len() as u64;
        self.bar.set_position(self.bytes);
        let room = upload.write.wait_for_capacity(UPLOADS).await;
        room.map_err(|error| self.archive.error(&error))?;
        upload.write.put(data.content.into());
        if upload.at < file.length {
            self.current = Some(upload);
            return Ok(());
        }
        let finished = upload.write.finish().await;
        finished.map_err(|error| self.archive.error(&error))?;
        self.copied += 1;
        self.done.push(File {
            name: file.name.clone(),
            id: file.id.clone(),
            length: file.length,
            crc32: upload.crc.finalize(),
            base_address: file.base_address,
            base_position: file.base_position,
        });
        if self.bytes - self.noted >= PROGRESS_BYTES || self.copied.is_multiple_of(PROGRESS_FILES) {
            self.noted = self.bytes;
            self.archive.put_progress(&self.done).await?;
        }
        Ok(())
    }

    fn finish(self, taken_at: jiff::Timestamp) -> Result<Manifest, Failure> {
        self.bar.finish_and_clear();
        let files = self.plan.files.iter().map(|planned| {
            let found = self.done.iter().find(|file| file.id == planned.id);
            let found = found.cloned().ok_or_else(unexpected)?;
            // The same content may have been copied under another plan.
            Ok(File {
                name: planned.name.clone(),
                ..found
            })
        });
        let recorded_at = self.plan.recorded_at.unwrap_or_default();
        let recorded_at = jiff::Timestamp::new(recorded_at.seconds, recorded_at.nanos);
        Ok(Manifest {
            format: 1,
            database_id: self.plan.database_id.clone(),
            position: self.plan.position,
            end_address: self.plan.end_address,
            recorded_at: recorded_at.map_err(|_| unexpected())?,
            taken_at,
            files: files.collect::<Result<_, Failure>>()?,
        })
    }
}

#[cfg(test)]
mod tests;
