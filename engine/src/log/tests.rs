#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::fmt::Write as _;

use super::frame::{Header, Kind, Place};
use super::record::{Record, records};
use super::*;
use crate::event::{Claim, ClaimRange, Page, Retention, Snapshot, Span, Verdict, Write};
use crate::types::{
    AggregateKey, CascadeId, Consumer, CorrelationId, Domain, Edition, Position, Root, Sequence,
    Timestamp,
};

const NOW: Timestamp = Timestamp::from_nanos(1_700_000_000_000_000_000);

/// Sixteen bytes a line, so that a changed byte is a changed line.
fn hex(bytes: &[u8]) -> String {
    let mut out = String::new();
    for line in bytes.chunks(16) {
        let digits: Vec<_> = line.iter().map(|b| format!("{b:02x}")).collect();
        writeln!(out, "{}", digits.join(" ")).unwrap();
    }
    out
}

fn key() -> AggregateKey {
    AggregateKey {
        domain: Domain::new("order").unwrap(),
        edition: Edition::new("what-if").unwrap(),
        root: Root::new(*b"0123456789abcdef"),
    }
}

/// The bytes of a record, and what they are read as.
fn of_record(put: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut bytes = Vec::new();
    put(&mut bytes);
    let read: Vec<_> = records(&bytes, NOW).collect::<Result<_, _>>().unwrap();
    let [read] = read.as_slice() else {
        panic!("{read:?}")
    };
    let fields = match read {
        Record::Pages(pages) => {
            let found: Vec<_> = pages.pages(NOW).collect::<Result<_, _>>().unwrap();
            format!("{pages:#?}\n{found:#?}")
        }
        other => format!("{other:#?}"),
    };
    format!("{}\n{fields}", hex(&bytes))
}

#[test]
fn segment_header() {
    let header = SegmentHeader {
        database_id: *b"fedcba9876543210",
        base: Address::new(4096),
        position: Position::new(3),
        salt: 0x0102_0304,
        created_at: NOW,
        previous: 0xdead_beef,
    };
    insta::assert_snapshot!(format!(
        "{}\nsealed:\n{}\n{header:#?}",
        hex(&header.encode()),
        hex(&header.encode_sealed())
    ));
}

#[test]
fn frame_headers() {
    let mut text = String::new();
    for (kind, payload) in [(Kind::Commit, b"payload".as_slice()), (Kind::Mark, b"")] {
        let place = Place {
            address: Address::new(4096),
            durable: Address::new(1024),
            position: Position::new(7),
            recorded_at: NOW,
            previous: 0xdead_beef,
            salt: 0x0102_0304,
        };
        let mut bytes = Vec::new();
        let header = super::frame::encode(&mut bytes, place, kind, |out| {
            out.extend_from_slice(payload);
            u32::from(kind == Kind::Commit) * 3
        });
        let read = Header::decode(bytes.first_chunk().unwrap(), place.salt, place.address);
        assert_eq!(read, Ok(header));
        writeln!(text, "{}{header:#?}", hex(&bytes)).unwrap();
    }
    insta::assert_snapshot!(text);
}

#[test]
fn record_1_pages() {
    let plain = Write {
        pages: vec![Page {
            created_at: None,
            type_name: Span { start: 2, len: 4 },
            body: "\0\0typebody".into(),
        }],
        ..Write::to(key())
    };
    let full = Write {
        correlation: CorrelationId::new("story").unwrap(),
        ext: "ext".into(),
        cascade: Some(CascadeId::new("cascade").unwrap()),
        isolated: true,
        pages: vec![
            Page {
                created_at: Some(Timestamp::from_nanos(-1)),
                type_name: Span::default(),
                body: bytes::Bytes::new(),
            },
            Page {
                created_at: Some(Timestamp::from_nanos(NOW.nanos() + 1)),
                type_name: Span { start: 0, len: 1 },
                body: "second".into(),
            },
        ],
        ..Write::to(key().on_main())
    };
    insta::assert_snapshot!(
        "record_1_pages_plain",
        of_record(|out| super::record::put_pages(out, &plain, Sequence::new(300), NOW))
    );
    insta::assert_snapshot!(
        "record_1_pages_full",
        of_record(|out| super::record::put_pages(out, &full, Sequence::ZERO, NOW))
    );
}

#[test]
fn record_2_snapshot() {
    let snapshot = Snapshot {
        sequence: Sequence::new(9),
        retention: Retention::Persist,
        created_at: Some(Timestamp::from_nanos(NOW.nanos() - 1000)),
        state: "state".into(),
    };
    insta::assert_snapshot!(of_record(|out| {
        super::record::put_snapshot(out, &key(), &snapshot, NOW);
    }));
}

#[test]
fn record_3_claim() {
    let claim = Claim {
        kind: "external".into(),
        key: vec![0, 1, 255].into(),
    };
    let range = ClaimRange {
        first: Sequence::new(5),
        count: 2,
    };
    insta::assert_snapshot!(of_record(|out| super::record::put_claim(
        out,
        &key(),
        &claim,
        range
    )));
}

#[test]
fn record_4_fork() {
    let AggregateKey {
        edition, domain, ..
    } = key();
    let text = [None, Some(Sequence::ZERO), Some(Sequence::new(u32::MAX))]
        .map(|at| of_record(|out| super::record::put_fork(out, &edition, &domain, at)));
    insta::assert_snapshot!(text.join("\n"));
}

#[test]
fn record_5_delete_edition() {
    let AggregateKey {
        edition, domain, ..
    } = key();
    let text = [None, Some(&domain)]
        .map(|domain| of_record(|out| super::record::put_delete_edition(out, &edition, domain)));
    insta::assert_snapshot!(text.join("\n"));
}

#[test]
fn record_6_settle() {
    let text = [Verdict::Confirmed, Verdict::Revoked].map(|verdict| {
        let sequences = [Sequence::new(1), Sequence::new(1000)];
        of_record(|out| super::record::put_settle(out, &key(), verdict, &sequences))
    });
    insta::assert_snapshot!(text.join("\n"));
}

#[test]
fn record_7_checkpoint() {
    let consumer = Consumer::new("projector").unwrap();
    insta::assert_snapshot!(of_record(|out| {
        super::record::put_checkpoint(out, &consumer, Position::new(1 << 40));
    }));
}

#[test]
fn record_8_delete_snapshot() {
    insta::assert_snapshot!(of_record(|out| {
        super::record::put_delete_snapshot(out, &key(), Sequence::new(9));
    }));
}

#[test]
fn record_9_dropped() {
    let key = key();
    let key = super::record::KeyRef {
        domain: key.domain.as_str(),
        edition: key.edition.as_str(),
        root: key.root,
    };
    insta::assert_snapshot!(of_record(|out| {
        super::record::put_dropped(out, key, Sequence::new(4), 3);
    }));
}

/// The bytes that FORMAT.md takes apart are those of the golden folder, and they are what it says.
#[test]
fn the_example_in_the_document_is_true() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = std::fs::read_to_string(folder.join("docs/FORMAT.md")).unwrap();
    let (_, example) = document.split_once("## A worked example").unwrap();
    let block = example.split("```").nth(1).unwrap();
    let mut bytes = Vec::new();
    for line in block.lines().skip(1) {
        let digits = line.get(..48).unwrap_or(line);
        bytes.extend(
            digits
                .split_whitespace()
                .map(|byte| u8::from_str_radix(byte, 16).unwrap()),
        );
    }
    let log = folder.join("tests/golden/v1/plain/log");
    let name = "00000000000000000000.seg";
    let golden = std::fs::read(log.join(name)).unwrap();
    assert_eq!(hex(&bytes), hex(&golden[..bytes.len()]));

    let segment = Segment::open(&crate::disk::OsDisk::existing(&log), name).unwrap();
    let header = segment.header;
    assert_eq!((header.base.get(), header.position.get()), (0, 1));
    assert_eq!((header.salt, header.created_at), (0xb508_b107, NOW));
    let frame = &bytes[128..];
    let at = Address::default();
    let head = Header::decode(frame.first_chunk().unwrap(), header.salt, at).unwrap();
    super::frame::check_payload(&head, header.salt, frame).unwrap();
    assert_eq!(head.frame_len(), frame.len() as u64);
    assert_eq!(
        (head.kind, head.events, head.payload_len),
        (Kind::Commit, 2, 131)
    );
    let payload = &frame[64..64 + 131];
    let found: Vec<_> = records(payload, head.recorded_at)
        .collect::<Result<_, _>>()
        .unwrap();
    let [
        Record::Pages(pages),
        Record::Claim {
            kind, claim, range, ..
        },
    ] = found.as_slice()
    else {
        panic!("{found:?}")
    };
    assert_eq!((pages.key.domain, pages.key.edition), ("order", ""));
    assert_eq!(
        (pages.correlation, pages.ext),
        ("story-1", b"extension".as_slice())
    );
    let bodies: Vec<_> = pages.pages(NOW).map(|page| page.unwrap().body).collect();
    assert_eq!(bodies, [b"OrderPlaced a".as_slice(), b"OrderPaid b"]);
    assert_eq!(
        (*kind, *claim),
        (b"external".as_slice(), b"payment-17".as_slice())
    );
    assert_eq!((range.first.get(), range.count), (0, 2));
}
