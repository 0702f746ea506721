#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::*;

fn hex(bytes: &[u8]) -> String {
    let lines = bytes.chunks(16).map(|line| {
        let digits: Vec<_> = line.iter().map(|b| format!("{b:02x}")).collect();
        digits.join(" ")
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn piece(offset: u64) -> Piece {
    Piece {
        offset,
        stored: 0x1111,
        raw: 0x2222,
        crc: 0x3333_4444,
    }
}

#[test]
fn trailer() {
    let trailer = Trailer {
        directory: piece(0x0102),
        end: LogEnd {
            address: Address::new(0x1000),
            position: Position::new(7),
            recorded_at: Timestamp::from_nanos(1_700_000_000_000_000_000),
            previous: 0xdead_beef,
        },
        frames: 3,
    };
    let bytes = trailer.encode(0x0102_0304);
    let read = Trailer::decode(bytes.first_chunk().unwrap(), 0x0102_0304);
    assert_eq!(read, Ok(trailer));
    insta::assert_snapshot!(format!("{}\n{trailer:#?}", hex(&bytes)));
}

#[test]
fn directory_and_map() {
    let branches = [BranchBytes {
        edition: "what-if".to_owned(),
        domain: "order".to_owned(),
        first: Address::new(0x1000),
        bytes: 300,
    }];
    let (blocks, maps) = (
        [piece(128), piece(256)],
        [(Address::new(0x1000), piece(512))],
    );
    let bytes = Directory::encode(&blocks, &maps, &branches);
    let read = Directory::decode(Bytes::copy_from_slice(&bytes)).unwrap();
    assert_eq!(read.block(1), Ok(blocks[1]));
    assert_eq!(read.map(0), Ok(maps[0]));
    assert_eq!(read.branches(), Ok(branches.to_vec()));
    let mut map = Vec::new();
    for (distance, offset) in [(0, 0), (9, 72)] {
        let block = 1;
        MapEntry {
            distance,
            block,
            offset,
        }
        .encode(&mut map);
    }
    assert_eq!(MapEntry::find(&map, 9), Some(1));
    assert_eq!(MapEntry::find(&map, 8), None);
    insta::assert_snapshot!(format!("directory\n{}\n\nmap\n{}", hex(&bytes), hex(&map)));
}
