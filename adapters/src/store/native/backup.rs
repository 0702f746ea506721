//! `Backup`: the log's files as a stream.

use std::collections::BTreeSet;
use std::sync::Arc;

use angzarr_engine::{LogCopy, LogFile, Root};
use angzarr_proto::store::v1 as pb;
use futures::{StreamExt, stream};
use pb::backup_response::Part;

use super::{convert, run_blocking};
use crate::store::{BackupStream, Result};

/// Bytes of a file in one answer.
const CHUNK: usize = 512 * 1024;

/// The files of a log, as the RPC `Backup` sends them.
pub fn backup_of(copy: LogCopy, request: pb::BackupRequest) -> BackupStream {
    let plan = plan(&copy);
    let have: BTreeSet<String> = request.have.into_iter().collect();
    let wanted = copy.files.iter().enumerate();
    let wanted: Vec<usize> = wanted
        .filter(|(_, file)| !have.contains(&file.id))
        .map(|(n, _)| n)
        .collect();
    let sending = Sending {
        copy: Arc::new(copy),
        wanted: wanted.into_iter(),
        current: None,
    };
    let first = stream::once(async { Ok(answer(Part::Plan(plan))) });
    first
        .chain(stream::try_unfold(sending, Sending::next))
        .boxed()
}

fn plan(copy: &LogCopy) -> pb::BackupPlan {
    let files = copy.files.iter().map(|file| pb::BackupFile {
        name: file.name.clone(),
        id: file.id.clone(),
        length: file.len,
        base_address: file.base.get(),
        base_position: file.position.get(),
    });
    pb::BackupPlan {
        database_id: Root::new(copy.database_id).to_string(),
        position: copy.position.get(),
        end_address: copy.end.get(),
        recorded_at: Some(convert::timestamp(copy.recorded_at)),
        files: files.collect(),
    }
}

/// How far the files have been sent.
struct Sending {
    copy: Arc<LogCopy>,
    wanted: std::vec::IntoIter<usize>,
    /// The file being sent, and the offset to go on at.
    current: Option<(usize, u64)>,
}

impl Sending {
    async fn next(mut self) -> Result<Option<(pb::BackupResponse, Self)>> {
        let Some((number, offset)) = self.current.or_else(|| Some((self.wanted.next()?, 0))) else {
            return Ok(None);
        };
        let copy = self.copy.clone();
        let read = move || -> Result<(Vec<u8>, u64)> {
            let file = copy.files.get(number);
            let len = file.map_or(0, |file| file.len);
            let read = |file: &LogFile| file.read(offset, CHUNK);
            Ok((file.map(read).transpose()?.unwrap_or_default(), len))
        };
        let (content, len) = run_blocking(read).await?;
        let next = offset.saturating_add(content.len() as u64);
        self.current = (next < len).then_some((number, next));
        let data = pb::BackupData {
            file: u32::try_from(number).unwrap_or(u32::MAX),
            offset,
            content,
        };
        Ok(Some((answer(Part::Data(data)), self)))
    }
}

fn answer(part: Part) -> pb::BackupResponse {
    pb::BackupResponse { part: Some(part) }
}
