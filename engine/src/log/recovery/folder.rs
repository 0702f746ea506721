//! Which files make the log.

use std::sync::Arc;

use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::log::Segment;
use crate::log::segment::{SEALED, parse_segment_name, sealed_name};
use crate::types::Address;

/// Removes files that never became a segment.
pub(super) fn remove_unfinished(disk: &dyn Disk) -> Result<()> {
    for name in disk.list().map_err(Error::io("listing the log's folder"))? {
        if name.ends_with(".tmp") {
            disk.remove(&name)
                .map_err(Error::io(format!("removing log/{name}")))?;
        }
    }
    Ok(())
}

/// Removes files that are there twice: a crash came between the appearance of a rewritten segment
/// and the removal of the original. The rewritten one was verified before it got its name; if it
/// was damaged since, the original is kept instead.
pub(super) fn remove_doubles(disk: &dyn Disk) -> Result<()> {
    let names = disk.list().map_err(Error::io("listing the log's folder"))?;
    for name in &names {
        let Some(base) = parse_segment_name(name).filter(|_| !name.ends_with(SEALED)) else {
            continue;
        };
        let sealed = sealed_name(base);
        if !names.contains(&sealed) {
            continue;
        }
        let whole = Segment::open(disk, &sealed)
            .and_then(|segment| crate::log::sealed::check(&Arc::new(segment)));
        let double = match whole {
            Ok(()) => name,
            Err(error) => {
                tracing::warn!(%error, "a rewritten segment is damaged; its original is there");
                &sealed
            }
        };
        disk.remove(double)
            .map_err(Error::io(format!("removing log/{double}")))?;
    }
    Ok(())
}

/// Opens every segment, in address order. Where a segment and its rewritten form are both there,
/// the original counts.
pub(crate) fn open_segments(disk: &dyn Disk) -> Result<Vec<Arc<Segment>>> {
    let mut names = disk.list().map_err(Error::io("listing the log's folder"))?;
    names.retain(|name| parse_segment_name(name).is_some());
    names.sort();
    names.dedup_by_key(|name| parse_segment_name(name));
    let segments = names
        .iter()
        .map(|name| Segment::open(disk, name).map(Arc::new))
        .collect::<Result<Vec<_>>>()?;
    check_segments(&segments)?;
    Ok(segments)
}

/// Checks what the segment headers say of each other.
fn check_segments(segments: &[Arc<Segment>]) -> Result<()> {
    let Some(first) = segments.first() else {
        return Ok(());
    };
    if first.header.base != Address::default() {
        return Err(first.corrupt(Address::default(), "the log's first segment is missing"));
    }
    for segment in segments {
        if segment.header.database_id != first.header.database_id {
            return Err(segment.corrupt(segment.header.base, "the segment is of another database"));
        }
    }
    for (n, segment) in segments.iter().enumerate() {
        let Some(sealed) = &segment.sealed else {
            continue;
        };
        let end = sealed.end();
        let follows = segments.get(n + 1).is_some_and(|next| {
            let next = &next.header;
            next.base == end.address
                && next.position == end.position
                && next.previous == end.previous
        });
        if !follows {
            return Err(segment.corrupt(end.address, "the segment that follows it is missing"));
        }
    }
    Ok(())
}
