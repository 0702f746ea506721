#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::*;
use crate::disk::sim::SimDisk;
use crate::types::Position;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const SEGMENT: u64 = 16 * 1024;
const NOW: Timestamp = Timestamp::from_nanos(1);

fn reopen(disk: &SimDisk, resume: Option<Resume>) -> Result<(Opened, Vec<Frame>)> {
    let mut frames = Vec::new();
    let random = Box::new(StdRng::seed_from_u64(1));
    let opened = open(
        Arc::new(disk.clone()),
        super::Sizes {
            segment_bytes: SEGMENT,
            cache_bytes: 1 << 20,
        },
        random,
        NOW,
        resume,
        &mut |frame| {
            frames.push(frame.clone());
            Ok(())
        },
    )?;
    Ok((opened, frames))
}

fn encode(writer: &mut LogWriter, payload: &[u8]) -> super::super::frame::Header {
    writer.encode(Kind::Commit, NOW, |out| {
        out.extend_from_slice(payload);
        1
    })
}

/// Writes and syncs one frame.
fn append(writer: &mut LogWriter, payload: &[u8]) -> super::super::frame::Header {
    writer.roll_for(payload.len() as u64 + 128, NOW).unwrap();
    let header = encode(writer, payload);
    writer.write().unwrap();
    writer.sync().unwrap();
    header
}

fn resume_behind(header: &super::super::frame::Header) -> Resume {
    Resume {
        last: header.address,
        end: LogEnd {
            address: header.end(),
            position: header.next_position(),
            recorded_at: header.recorded_at,
            previous: header.crc,
        },
    }
}

fn active_name(disk: &SimDisk) -> String {
    let names = disk.list().unwrap();
    names
        .into_iter()
        .rfind(|name| name.ends_with(".seg"))
        .unwrap()
}

/// Every combination of evidence has one action, and any proof of an acknowledgement refuses.
#[test]
fn the_table_decides_every_case() {
    let cases = (0..16).map(|bits| Evidence {
        later_segment: bits & 1 != 0,
        applied_beyond: bits & 2 != 0,
        durable_beyond: bits & 4 != 0,
        empty: bits & 8 != 0,
    });
    let mut counts = [0; 3];
    for evidence in cases {
        let proof = evidence.later_segment || evidence.applied_beyond || evidence.durable_beyond;
        let expected = match (proof, evidence.empty) {
            (true, _) => Action::Refuse,
            (false, true) => Action::Open,
            (false, false) => Action::Cut,
        };
        assert_eq!(decide(evidence), expected, "{evidence:?}");
        counts[match expected {
            Action::Open => 0,
            Action::Cut => 1,
            Action::Refuse => 2,
        }] += 1;
    }
    assert_eq!(counts, [1, 1, 14]);
}

#[test]
fn an_empty_folder_becomes_an_empty_log() {
    let disk = SimDisk::default();
    let (opened, frames) = reopen(&disk, None).unwrap();
    assert!(frames.is_empty());
    assert_eq!(opened.writer.position(), Position::new(1));
    let id = opened.database_id;
    drop(opened);
    assert_eq!(reopen(&disk, None).unwrap().0.database_id, id);
}

#[test]
fn a_torn_last_write_is_cut_and_written_over() {
    let disk = SimDisk::default();
    let (mut opened, _) = reopen(&disk, None).unwrap();
    append(&mut opened.writer, b"kept");
    encode(&mut opened.writer, &[7; 2000]);
    opened.writer.write().unwrap();
    let name = active_name(&disk);
    disk.damage(&name, |bytes| bytes[128 + 72 + 600] ^= 1);
    let (mut opened, frames) = reopen(&disk, None).unwrap();
    assert_eq!(frames.len(), 1);
    assert!(opened.cut_bytes > 1900, "{}", opened.cut_bytes);
    append(&mut opened.writer, b"next");
    let (opened, frames) = reopen(&disk, None).unwrap();
    let payloads: Vec<_> = frames.iter().map(|frame| &frame.payload[..]).collect();
    assert_eq!(payloads, [b"kept", b"next"]);
    assert_eq!(opened.cut_bytes, 0);
}

#[test]
fn damage_before_a_later_synced_frame_is_refused_with_its_place() {
    let disk = SimDisk::default();
    let (mut opened, _) = reopen(&disk, None).unwrap();
    append(&mut opened.writer, b"first");
    append(&mut opened.writer, b"second");
    append(&mut opened.writer, b"third");
    disk.damage(&active_name(&disk), |bytes| bytes[128 + 72 + 66] ^= 0x10);
    let refused = reopen(&disk, None).map(|_| ()).unwrap_err();
    let Error::Corrupt {
        offset, address, ..
    } = &refused
    else {
        panic!("{refused}")
    };
    assert_eq!((*offset, address.get()), (128 + 72, 72));
    assert!(refused.to_string().contains("angzarr verify"), "{refused}");
}

#[test]
fn a_mark_makes_damage_to_the_last_group_provable() {
    let disk = SimDisk::default();
    let (mut opened, _) = reopen(&disk, None).unwrap();
    append(&mut opened.writer, b"only");
    let damaged = |disk: &SimDisk| {
        let copy = disk.crash(&mut StdRng::seed_from_u64(0));
        copy.damage(&active_name(&copy), |bytes| bytes[128 + 66] ^= 1);
        copy
    };
    // Without a mark nothing tells it from a write that was never acknowledged.
    assert_eq!(reopen(&damaged(&disk), None).unwrap().1.len(), 0);
    opened.writer.encode(Kind::Mark, NOW, |_| 0);
    opened.writer.write().unwrap();
    opened.writer.sync().unwrap();
    assert!(matches!(
        reopen(&damaged(&disk), None),
        Err(Error::Corrupt { .. })
    ));
}

#[test]
fn an_index_that_is_ahead_of_the_log_is_evidence() {
    let disk = SimDisk::default();
    let (mut opened, _) = reopen(&disk, None).unwrap();
    append(&mut opened.writer, b"first");
    let last = append(&mut opened.writer, b"second");
    let resume = resume_behind(&last);
    assert_eq!(reopen(&disk, Some(resume)).unwrap().1.len(), 0);
    let name = active_name(&disk);
    let start = usize::try_from(128 + last.address.get()).unwrap();
    // The last frame is gone, as in an older copy of the file.
    disk.damage(&name, |bytes| bytes[start..].fill(0));
    assert!(matches!(
        reopen(&disk, Some(resume)),
        Err(Error::Corrupt { .. })
    ));
    disk.damage(&name, |bytes| bytes.truncate(start));
    assert!(matches!(
        reopen(&disk, Some(resume)),
        Err(Error::Corrupt { .. })
    ));
    disk.remove(&name).unwrap();
    assert!(matches!(
        reopen(&disk, Some(resume)),
        Err(Error::Corrupt { .. })
    ));
}

#[test]
fn damage_in_a_segment_that_is_not_the_last_is_refused() {
    let disk = SimDisk::default();
    let (mut opened, _) = reopen(&disk, None).unwrap();
    append(&mut opened.writer, b"first");
    let first = active_name(&disk);
    opened.writer.roll(NOW).unwrap();
    append(&mut opened.writer, b"second");
    assert_eq!(reopen(&disk, None).unwrap().1.len(), 2);
    disk.damage(&first, |bytes| bytes[128 + 66] ^= 1);
    assert!(matches!(reopen(&disk, None), Err(Error::Corrupt { .. })));
}

#[test]
fn a_missing_segment_is_noticed() {
    let disk = SimDisk::default();
    let (mut opened, _) = reopen(&disk, None).unwrap();
    for _ in 0..3 {
        append(&mut opened.writer, b"x");
        opened.writer.roll(NOW).unwrap();
    }
    let names: Vec<_> = disk
        .list()
        .unwrap()
        .into_iter()
        .filter(|n| n.ends_with(".seg"))
        .collect();
    assert_eq!(names.len(), 4);
    for gone in &names[..3] {
        let copy = disk.crash(&mut StdRng::seed_from_u64(3));
        copy.remove(gone).unwrap();
        assert!(
            matches!(reopen(&copy, None), Err(Error::Corrupt { .. })),
            "{gone}"
        );
    }
}

#[test]
fn a_newer_format_is_refused_with_both_versions() {
    let disk = SimDisk::default();
    drop(reopen(&disk, None).unwrap());
    disk.damage(&active_name(&disk), |bytes| {
        bytes[16..20].copy_from_slice(&7u32.to_le_bytes());
        bytes[20..24].copy_from_slice(&6u32.to_le_bytes());
    });
    let refused = reopen(&disk, None).map(|_| ()).unwrap_err();
    assert!(
        matches!(
            refused,
            Error::Unsupported {
                found: 7,
                oldest_reader: 6,
                supported: 1,
                ..
            }
        ),
        "{refused}"
    );
}

/// Random groups, random power failures: what was synced is always there, what was not is there
/// from the front or not at all, and a flipped bit in it is refused when there is evidence.
#[test]
fn power_failures_lose_nothing_acknowledged() {
    let first = std::env::var("ANGZARR_SEED")
        .ok()
        .map(|seed| seed.parse::<u64>().unwrap());
    let seeds = first.map_or(0..2000, |seed| seed..seed + 1);
    for seed in seeds {
        let outcome = std::panic::catch_unwind(|| crash_and_reopen(seed));
        assert!(outcome.is_ok(), "failed with ANGZARR_SEED={seed}");
    }
}

fn crash_and_reopen(seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut disk = SimDisk::default();
    let mut acknowledged: Vec<Vec<u8>> = Vec::new();
    for _ in 0..random.random_range(1..4) {
        let (mut opened, frames) = reopen(&disk, None).unwrap();
        let found: Vec<_> = frames.iter().map(|frame| frame.payload.to_vec()).collect();
        assert!(
            found.len() >= acknowledged.len(),
            "acknowledged frames are gone"
        );
        assert_eq!(found[..acknowledged.len()], acknowledged);
        // Opening has made what it shows durable.
        acknowledged = found;
        let groups = random.random_range(0..6);
        for group in 0..groups {
            let size = random.random_range(1..4);
            let payloads: Vec<_> = (0..size).map(|_| payload(&mut random, &disk)).collect();
            let bytes: usize = payloads.iter().map(|p| p.len() + 72).sum();
            opened.writer.roll_for(bytes as u64, NOW).unwrap();
            for payload in &payloads {
                encode(&mut opened.writer, payload);
            }
            opened.writer.write().unwrap();
            if group + 1 < groups || random.random_bool(0.5) {
                opened.writer.sync().unwrap();
                acknowledged.extend(payloads);
            }
        }
        if random.random_bool(0.3) {
            opened.spare.prepare().unwrap();
        }
        disk = disk.crash(&mut random);
    }
    let (_, frames) = reopen(&disk, None).unwrap();
    let found: Vec<_> = frames.iter().map(|frame| frame.payload.to_vec()).collect();
    assert!(
        found.len() >= acknowledged.len(),
        "acknowledged frames are gone"
    );
    assert_eq!(found[..acknowledged.len()], acknowledged);
    // Opening twice changes nothing.
    let (opened, again) = reopen(&disk, None).unwrap();
    assert_eq!(again.len(), frames.len());
    assert_eq!(opened.cut_bytes, 0);
}

/// Anything, and sometimes bytes of the log itself, which must not be taken for frames.
fn payload(random: &mut StdRng, disk: &SimDisk) -> Vec<u8> {
    let len = [0, 1, 7, 8, 40, 200, 600, 3000][random.random_range(0..8)];
    if random.random_bool(0.3) {
        let file = disk.open(&active_name(disk)).unwrap();
        let mut stored = vec![0; len];
        let n = file
            .read_at(&mut stored, 128 + 8 * random.random_range(0..64))
            .unwrap();
        stored.truncate(n);
        return stored;
    }
    let mut bytes = vec![0; len];
    random.fill(&mut bytes[..]);
    bytes
}
