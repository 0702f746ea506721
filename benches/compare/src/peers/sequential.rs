//! The cheapest verified read of an aggregate: its bytes stand together, one checksum follows.

use std::fs::{File, OpenOptions};
use std::hint::black_box;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use angzarr_server::bench::load::AppendError;
use angzarr_server::bench::workload::Workload;
use async_trait::async_trait;

use crate::Result;
use crate::contender::{Checks, Client, Contender, Field, Kind, Store};

/// A limit for reading only: it stores without waiting for the disk.
pub(crate) struct Sequential;

#[async_trait]
impl Contender for Sequential {
    fn id(&self) -> &'static str {
        "sequential"
    }

    fn name(&self) -> &'static str {
        "limit: sequential read and crc32 in process"
    }

    fn kind(&self) -> Kind {
        Kind::Limit
    }

    fn settings(&self) -> &'static str {
        "is only read: one file for each aggregate, read from its beginning to its end"
    }

    fn version(&self, _: &Field) -> Result<String> {
        Ok("this tree".to_owned())
    }

    async fn start(&self, _: &Field, folder: &Path) -> Result<Box<dyn Store>> {
        Ok(Box::new(Files(folder.to_owned())))
    }

    fn stores(&self) -> bool {
        false
    }

    fn serves_reads(&self) -> bool {
        true
    }

    fn checks(&self) -> Checks {
        Checks::None
    }
}

struct Files(PathBuf);

#[async_trait]
impl Store for Files {
    async fn connect(
        &self,
        clients: u32,
        workload: &Arc<Workload>,
    ) -> Result<Vec<Box<dyn Client>>> {
        let open = |aggregate: u32| {
            OpenOptions::new()
                .create(true)
                .append(true)
                .read(true)
                .open(self.0.join(aggregate.to_string()))
        };
        let files: Arc<[File]> = (0..workload.aggregates)
            .map(open)
            .collect::<std::io::Result<_>>()?;
        let client = |_| -> Box<dyn Client> {
            Box::new(FilesClient {
                files: Arc::clone(&files),
                workload: Arc::clone(workload),
            })
        };
        Ok((0..clients).map(client).collect())
    }

    async fn bytes(&self) -> Result<Option<u64>> {
        Ok(None)
    }
}

struct FilesClient {
    files: Arc<[File]>,
    workload: Arc<Workload>,
}

impl FilesClient {
    fn file(&self, aggregate: u32) -> std::io::Result<&File> {
        let file = usize::try_from(aggregate).ok();
        file.and_then(|file| self.files.get(file))
            .ok_or_else(|| std::io::ErrorKind::NotFound.into())
    }
}

#[async_trait]
impl Client for FilesClient {
    async fn append(&mut self, aggregate: u32, sequence: u32) -> Result<(), AppendError> {
        let payload = self.workload.payload(aggregate, sequence);
        let file = self.file(aggregate);
        file.and_then(|mut file| file.write_all(&payload))
            .map_err(|error| AppendError::Failed(error.to_string()))
    }

    async fn read(&mut self, aggregate: u32) -> Result<Vec<Vec<u8>>> {
        let file = self.file(aggregate)?;
        let mut bytes = vec![0; usize::try_from(file.metadata()?.len())?];
        file.read_exact_at(&mut bytes, 0)?;
        black_box(crc32fast::hash(&bytes));
        let payload = usize::try_from(self.workload.payload_bytes)?;
        Ok(bytes.chunks(payload.max(1)).map(<[u8]>::to_vec).collect())
    }
}
