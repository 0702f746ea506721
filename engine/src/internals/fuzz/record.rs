//! Records of a payload.

use super::Input;
use crate::event::{Claim, Page, Snapshot, Write};
use crate::log::record::{self, KeyRef, PageRef, Pages, Record, SnapshotRef, records};
use crate::types::{CascadeId, Consumer, CorrelationId, Domain, Edition, Timestamp};

/// Reads arbitrary bytes as a payload. Records that the engine could have written are written
/// again and must read the same.
pub fn record(data: &[u8]) {
    let mut input = Input(data);
    let recorded_at = Timestamp::from_nanos(input.u64().cast_signed());
    let payload = input.0;
    let mut behind_error = false;
    for record in records(payload, recorded_at) {
        assert!(!behind_error, "records go on behind a bad one");
        let Ok(record) = record else {
            behind_error = true;
            continue;
        };
        let mut again = Vec::new();
        if write(&mut again, &record, recorded_at).is_some() {
            let reread: Vec<_> = records(&again, recorded_at).map(Result::unwrap).collect();
            let [reread] = reread.as_slice() else {
                panic!("one record became {}", reread.len());
            };
            assert_eq!(
                describe(&record, recorded_at),
                describe(reread, recorded_at)
            );
        }
    }
}

/// `None` for a record that the engine would not have written.
fn write(out: &mut Vec<u8>, record: &Record<'_>, at: Timestamp) -> Option<()> {
    match record {
        Record::Pages(pages) => record::put_pages(out, &to_write(pages, at)?, pages.first, at),
        Record::Snapshot { key, snapshot } => {
            record::put_snapshot(out, &key.to_key().ok()?, &to_snapshot(snapshot), at);
        }
        Record::Claim {
            key,
            kind,
            claim,
            range,
        } => {
            let claim = Claim {
                kind: kind.to_vec().into(),
                key: claim.to_vec().into(),
            };
            record::put_claim(out, &key.to_key().ok()?, &claim, *range);
        }
        Record::Fork {
            edition,
            domain,
            divergence,
        } => {
            let (edition, domain) = names(edition, domain)?;
            record::put_fork(out, &edition, &domain, *divergence);
        }
        Record::DeleteEdition { edition, domain } => {
            let (edition, _) = names(edition, "any")?;
            let domain = domain.map(Domain::new).transpose().ok()?;
            record::put_delete_edition(out, &edition, domain.as_ref());
        }
        Record::Settle {
            key,
            verdict,
            sequences,
        } => record::put_settle(out, &key.to_key().ok()?, *verdict, sequences),
        Record::Checkpoint { consumer, position } => {
            record::put_checkpoint(out, &Consumer::new(consumer).ok()?, *position);
        }
        Record::DeleteSnapshot { key, sequence } => {
            record::put_delete_snapshot(out, &key.to_key().ok()?, *sequence);
        }
        Record::Dropped { key, first, count } => record::put_dropped(out, *key, *first, *count),
    }
    Some(())
}

fn names(edition: &str, domain: &str) -> Option<(Edition, Domain)> {
    Some((Edition::new(edition).ok()?, Domain::new(domain).ok()?))
}

fn to_write(pages: &Pages<'_>, at: Timestamp) -> Option<Write> {
    let found = pages.pages(at).collect::<Result<Vec<_>, _>>().ok()?;
    Some(Write {
        correlation: CorrelationId::new(pages.correlation).ok()?,
        ext: pages.ext.to_vec().into(),
        cascade: pages.cascade.map(CascadeId::new).transpose().ok()?,
        isolated: pages.isolated,
        pages: found.iter().map(to_page).collect(),
        ..Write::to(pages.key.to_key().ok()?)
    })
}

fn to_page(page: &PageRef<'_>) -> Page {
    Page {
        created_at: Some(page.created_at),
        type_name: page.type_name,
        body: page.body.to_vec().into(),
    }
}

fn to_snapshot(snapshot: &SnapshotRef<'_>) -> Snapshot {
    Snapshot {
        sequence: snapshot.sequence,
        retention: snapshot.retention,
        created_at: Some(snapshot.created_at),
        state: snapshot.state.to_vec().into(),
    }
}

/// Every field of a record. Pages leave out the rest of their body, which may hold bytes behind
/// the last page.
fn describe(record: &Record<'_>, at: Timestamp) -> String {
    let Record::Pages(pages) = record else {
        return format!("{record:?}");
    };
    let KeyRef {
        domain,
        edition,
        root,
    } = pages.key;
    let found: Vec<_> = pages.pages(at).map(Result::unwrap).collect();
    format!(
        "{domain} {edition} {root:?} {:?} {} {} {} {:?} {:?} {found:?}",
        pages.first, pages.count, pages.isolated, pages.correlation, pages.cascade, pages.ext
    )
}
