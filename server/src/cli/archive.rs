//! Where backups are kept: a folder, or a bucket of a cloud.
//!
//! ```text
//! segments/<id>                       files of logs, each written once and whole
//! manifests/<time>-<position>.json    one for each backup: which files it consists of
//! progress.json                       files of a backup under way
//! ```
//!
//! A file's name says what is in it, so a file that is there need not be copied again, and a
//! backup that was interrupted leaves nothing that could be taken for one.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, WriteMultipart};
use serde::{Deserialize, Serialize};
use url::Url;

use super::{Exit, Failure};

const SEGMENTS: &str = "segments";
const MANIFESTS: &str = "manifests";
const PROGRESS: &str = "progress.json";

/// Version of the manifests this program writes and reads.
const FORMAT: u32 = 1;

/// A place for backups.
#[derive(Clone)]
pub(super) struct Archive {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    /// As the person at the keyboard named it.
    pub(super) name: String,
}

/// One backup.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) format: u32,
    pub(super) database_id: String,
    /// Position of the last event in it.
    pub(super) position: u64,
    /// Address of the log behind the last commit, and when that was made.
    pub(super) end_address: u64,
    pub(super) recorded_at: jiff::Timestamp,
    /// When the backup was begun: everything acknowledged before is in it.
    pub(super) taken_at: jiff::Timestamp,
    /// In the order of the log.
    pub(super) files: Vec<File>,
}

/// One file of a log.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub(super) struct File {
    /// File name within the folder log.
    pub(super) name: String,
    /// File name within the folder segments of the archive.
    pub(super) id: String,
    pub(super) length: u64,
    pub(super) crc32: u32,
    pub(super) base_address: u64,
    pub(super) base_position: u64,
}

impl Manifest {
    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.length).sum()
    }

    fn object(&self) -> String {
        let time = self.taken_at.strftime("%Y%m%dT%H%M%S%3fZ");
        format!("{time}-{:020}.json", self.position)
    }

    /// The position of a backup, by its name.
    pub(super) fn position_of(name: &str) -> Option<u64> {
        let (_, position) = name.strip_suffix(".json")?.split_once('-')?;
        position.parse().ok()
    }
}

impl Archive {
    /// The place that a path or URL names; a folder is made if it is to be written to.
    pub(super) fn open(name: &str, create: bool) -> Result<Self, Failure> {
        let (store, prefix): (Arc<dyn ObjectStore>, Path) = match name.split_once("://") {
            None => (folder(name, create)?, Path::default()),
            Some(("file", _)) => {
                let path = Url::parse(name)
                    .ok()
                    .and_then(|url| url.to_file_path().ok());
                let path = path.ok_or_else(|| bad_name(name, &"it names no folder"))?;
                (folder(&path.to_string_lossy(), create)?, Path::default())
            }
            Some(_) => {
                let url = Url::parse(name).map_err(|error| bad_name(name, &error))?;
                // Credentials and endpoints come from the variables that the clouds' own tools use.
                let options = std::env::vars_os().filter_map(|(key, value)| {
                    Some((
                        key.to_str()?.to_ascii_lowercase(),
                        value.into_string().ok()?,
                    ))
                });
                let (store, prefix) = object_store::parse_url_opts(&url, options)
                    .map_err(|error| bad_name(name, &error))?;
                (store.into(), prefix)
            }
        };
        let name = name.to_owned();
        Ok(Self {
            store,
            prefix,
            name,
        })
    }

    /// Names of the backups, the oldest first.
    pub(super) async fn backups(&self) -> Result<Vec<String>, Failure> {
        let mut names: Vec<_> = self.list(MANIFESTS).await?.into_keys().collect();
        names.retain(|name| Manifest::position_of(name).is_some());
        Ok(names)
    }

    pub(super) async fn manifest(&self, name: &str) -> Result<Manifest, Failure> {
        let bytes = self.get(&self.path(&[MANIFESTS, name])).await?;
        let manifest: Manifest = serde_json::from_slice(&bytes)
            .map_err(|error| self.failed(format!("{MANIFESTS}/{name}: {error}")))?;
        if manifest.format > FORMAT {
            return Err(self
                .failed(format!("{MANIFESTS}/{name} has format {}", manifest.format))
                .next("use a newer angzarr"));
        }
        Ok(manifest)
    }

    /// Files that are there, by id: those of the newest backup, and those of one that did not end.
    pub(super) async fn held(&self) -> Result<BTreeMap<String, File>, Failure> {
        let mut known = Vec::new();
        if let Some(newest) = self.backups().await?.last() {
            known.extend(self.manifest(newest).await?.files);
        }
        known.extend(self.progress().await?);
        let there = self.list(SEGMENTS).await?;
        known.retain(|file| there.get(&file.id) == Some(&file.length));
        Ok(known
            .into_iter()
            .map(|file| (file.id.clone(), file))
            .collect())
    }

    async fn progress(&self) -> Result<Vec<File>, Failure> {
        match self.store.get(&self.path(&[PROGRESS])).await {
            Ok(found) => {
                let bytes = found.bytes().await.map_err(|error| self.error(&error))?;
                // One that was cut short tells of nothing.
                Ok(serde_json::from_slice(&bytes).unwrap_or_default())
            }
            Err(object_store::Error::NotFound { .. }) => Ok(Vec::new()),
            Err(error) => Err(self.error(&error)),
        }
    }

    /// Notes which files a backup under way has copied.
    pub(super) async fn put_progress(&self, files: &[File]) -> Result<(), Failure> {
        self.put(&self.path(&[PROGRESS]), &files).await
    }

    /// Writes the manifest: from now on the backup counts.
    pub(super) async fn put_manifest(&self, manifest: &Manifest) -> Result<(), Failure> {
        let path = self.path(&[MANIFESTS, &manifest.object()]);
        self.put(&path, manifest).await?;
        self.remove(&self.path(&[PROGRESS])).await
    }

    /// Begins a file; it is there when it is finished, and not before.
    pub(super) async fn write(&self, id: &str) -> Result<WriteMultipart, Failure> {
        let path = self.path(&[SEGMENTS, id]);
        let upload = self.store.put_multipart(&path).await;
        Ok(WriteMultipart::new(
            upload.map_err(|error| self.error(&error))?,
        ))
    }

    /// The content of a file, piece by piece.
    pub(super) async fn read(
        &self,
        id: &str,
    ) -> Result<impl futures::Stream<Item = Result<bytes::Bytes, Failure>> + Unpin + use<>, Failure>
    {
        let found = self.store.get(&self.path(&[SEGMENTS, id])).await;
        let found = found.map_err(|error| self.error(&error))?;
        let name = self.name.clone();
        Ok(found
            .into_stream()
            .map_err(move |error| Failure::new(Exit::Failed, format!("{name}: {error}"))))
    }

    /// Keeps only the newest backups, and the files they consist of. Returns how many it removed.
    pub(super) async fn keep(&self, count: usize) -> Result<usize, Failure> {
        let names = self.backups().await?;
        let (old, kept) = names.split_at(names.len().saturating_sub(count));
        let mut needed = BTreeMap::new();
        for name in kept {
            let files = self.manifest(name).await?.files;
            needed.extend(files.into_iter().map(|file| (file.id, ())));
        }
        for name in old {
            self.remove(&self.path(&[MANIFESTS, name])).await?;
        }
        for id in self.list(SEGMENTS).await?.keys() {
            if !needed.contains_key(id) {
                self.remove(&self.path(&[SEGMENTS, id])).await?;
            }
        }
        Ok(old.len())
    }

    pub(super) fn error(&self, error: &object_store::Error) -> Failure {
        self.failed(error)
    }

    pub(super) fn failed(&self, problem: impl std::fmt::Display) -> Failure {
        Failure::new(Exit::Failed, format!("{}: {problem}", self.name))
    }

    fn path(&self, parts: &[&str]) -> Path {
        parts
            .iter()
            .fold(self.prefix.clone(), |path, part| path.join(*part))
    }

    /// File names in a folder, with lengths.
    async fn list(&self, folder: &str) -> Result<BTreeMap<String, u64>, Failure> {
        let path = self.path(&[folder]);
        let found: Vec<_> = self
            .store
            .list(Some(&path))
            .try_collect()
            .await
            .map_err(|error| self.error(&error))?;
        let names = found.into_iter().filter_map(|object| {
            let name = object.location.filename()?.to_owned();
            Some((name, object.size))
        });
        Ok(names.collect())
    }

    async fn get(&self, path: &Path) -> Result<bytes::Bytes, Failure> {
        let found = self
            .store
            .get(path)
            .await
            .map_err(|error| self.error(&error))?;
        found.bytes().await.map_err(|error| self.error(&error))
    }

    async fn put<T: Serialize + ?Sized>(&self, path: &Path, value: &T) -> Result<(), Failure> {
        let bytes = serde_json::to_vec_pretty(value).map_err(|error| self.failed(error))?;
        let put = self.store.put(path, bytes.into()).await;
        put.map(drop).map_err(|error| self.error(&error))
    }

    async fn remove(&self, path: &Path) -> Result<(), Failure> {
        match self.store.delete(path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.error(&error)),
        }
    }
}

fn folder(path: &str, create: bool) -> Result<Arc<dyn ObjectStore>, Failure> {
    if create {
        let made = std::fs::create_dir_all(path);
        made.map_err(|error| Failure::new(Exit::Failed, format!("creating {path}: {error}")))?;
    }
    let store = LocalFileSystem::new_with_prefix(path);
    let store = store.map_err(|error| bad_name(path, &error))?;
    // What is reported as backed up survives a power failure.
    Ok(Arc::new(store.with_fsync(true)))
}

fn bad_name(name: &str, problem: &dyn std::fmt::Display) -> Failure {
    Failure::usage(format!("{name} is no place for backups: {problem}")).next(
        "write a folder, or s3://bucket/path, gs://bucket/path or az://container/path, with the \
         credentials in the environment",
    )
}
