#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::*;
use crate::event::{Claim, Page, Snapshot, Write};
use crate::types::{CascadeId, Consumer, CorrelationId};
use bytes::Bytes;
use proptest::prelude::*;

const NOW: Timestamp = Timestamp::from_nanos(1_000_000);

fn any_key() -> impl Strategy<Value = AggregateKey> {
    (
        "[a-z_][a-z0-9._-]{0,20}",
        "[A-Za-z0-9._-]{0,20}",
        any::<[u8; 16]>(),
    )
        .prop_map(|(d, e, r)| AggregateKey {
            domain: Domain::new(&d).unwrap(),
            edition: Edition::new(&e).unwrap(),
            root: Root::new(r),
        })
}

fn any_page() -> impl Strategy<Value = Page> {
    (
        any::<Option<i64>>(),
        prop::collection::vec(any::<u8>(), 0..50),
    )
        .prop_map(|(at, body)| Page {
            created_at: at.map(Timestamp::from_nanos),
            type_name: Span {
                start: 0,
                len: u32::try_from(body.len() / 2).unwrap(),
            },
            body: body.into(),
        })
}

proptest! {
    #[test]
    fn pages_round_trip(
        key in any_key(),
        pages in prop::collection::vec(any_page(), 0..5),
        correlation in "[ -~]{0,20}",
        cascade in prop::option::of("[ -~]{1,20}"),
        ext in prop::collection::vec(any::<u8>(), 0..10),
        isolated: bool,
        first in 0u32..1000,
    ) {
        let write = Write {
            correlation: CorrelationId::new(&correlation).unwrap(),
            cascade: cascade.as_deref().map(|c| CascadeId::new(c).unwrap()),
            ext: Bytes::from(ext),
            isolated,
            pages,
            ..Write::to(key)
        };
        let mut out = Vec::new();
        put_pages(&mut out, &write, Sequence::new(first), NOW);
        let found: Vec<_> = records(&out, NOW).collect::<Result<_, _>>().unwrap();
        let [Record::Pages(found)] = found.as_slice() else { panic!("{found:?}") };
        prop_assert_eq!(found.key.to_key().unwrap(), write.key);
        prop_assert_eq!(found.correlation, correlation);
        prop_assert_eq!(found.cascade, cascade.as_deref());
        prop_assert_eq!(found.ext, &write.ext[..]);
        prop_assert_eq!(found.isolated, isolated);
        for (n, page) in found.pages(NOW).enumerate() {
            let page = page.unwrap();
            prop_assert_eq!(page.sequence.get() as usize, first as usize + n);
            prop_assert_eq!(page.created_at, write.pages[n].created_at.unwrap_or(NOW));
            prop_assert_eq!(page.type_name, write.pages[n].type_name);
            prop_assert_eq!(page.body, &write.pages[n].body[..]);
        }
        prop_assert_eq!(found.count as usize, write.pages.len());
    }

    #[test]
    fn the_other_records_round_trip(key in any_key(), sequence: u32, state: Vec<u8>, position: u64) {
        let mut out = Vec::new();
        let at = Sequence::new(sequence);
        let snapshot = Snapshot {
            sequence: at,
            retention: Retention::Persist,
            created_at: None,
            state: Bytes::from(state.clone()),
        };
        put_snapshot(&mut out, &key, &snapshot, NOW);
        let claim = Claim { kind: "kind".into(), key: Bytes::from(state.clone()) };
        let range = ClaimRange { first: at, count: 3 };
        put_claim(&mut out, &key, &claim, range);
        put_fork(&mut out, &key.edition, &key.domain, Some(at));
        put_fork(&mut out, &key.edition, &key.domain, None);
        put_delete_edition(&mut out, &key.edition, None);
        put_settle(&mut out, &key, Verdict::Revoked, &[at, Sequence::ZERO]);
        put_checkpoint(&mut out, &Consumer::new("me").unwrap(), Position::new(position));
        put_delete_snapshot(&mut out, &key, at);
        let found: Vec<_> = records(&out, NOW).collect::<Result<_, _>>().unwrap();
        prop_assert_eq!(found.len(), 8);
        assert!(matches!(&found[0], Record::Snapshot { snapshot: s, .. }
            if s.sequence == at && s.retention == Retention::Persist && s.created_at == NOW && s.state == state));
        assert!(matches!(&found[1], Record::Claim { kind: b"kind", claim, range: r, .. }
            if *claim == state && *r == range));
        assert!(matches!(&found[2], Record::Fork { divergence: Some(d), .. } if *d == at));
        assert!(matches!(&found[3], Record::Fork { divergence: None, .. }));
        assert!(matches!(&found[4], Record::DeleteEdition { domain: None, .. }));
        assert!(matches!(&found[5], Record::Settle { verdict: Verdict::Revoked, sequences, .. }
            if *sequences == [at, Sequence::ZERO]));
        assert!(matches!(&found[6], Record::Checkpoint { consumer: "me", position: p }
            if p.get() == position));
        assert!(matches!(&found[7], Record::DeleteSnapshot { sequence: s, .. } if *s == at));
    }

    /// Whatever the bytes are: an error or records, never a panic and never without end.
    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for record in records(&bytes, NOW) {
            let Ok(Record::Pages(pages)) = record else { continue };
            for page in pages.pages(NOW).take(1000) {
                if page.is_err() { break; }
            }
        }
    }
}
