//! Files of sealed segments.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use rand::SeedableRng;

use super::Input;
use crate::disk::{Disk, DiskFile};
use crate::log::frame::{Header, Kind, Place, encode};
use crate::log::sealed::{self, Builder, Lookup, Packed, hostile};
use crate::log::{BlockCache, LogEnd, Segment, SegmentHeader, sealed_name};
use crate::types::{Address, Domain, Edition, Position, Timestamp};

/// Frames in one run.
const FRAMES_MAX: usize = 40;
/// Name of the file while it is written.
const DRAFT: &str = "draft";

/// Writes a sealed segment with arbitrary payloads and reads it back, in any order; changes a bit
/// of it, which must be noticed; opens one whose parts are arbitrary but for their checksums.
pub fn sealed(data: &[u8]) {
    let mut input = Input(data);
    match input.byte() % 3 {
        0 => read_back(input),
        1 => change(input),
        _ => arbitrary(input),
    }
}

fn header() -> SegmentHeader {
    let mut random = rand::rngs::StdRng::seed_from_u64(1);
    let at = Timestamp::from_nanos(7);
    SegmentHeader::new(
        [7; 16],
        Address::new(4096),
        Position::new(3),
        at,
        5,
        &mut random,
    )
}

/// Frames as a rewriting would gather them: some with a shorter payload than was written.
fn packed(input: &mut Input<'_>) -> Vec<Packed> {
    let segment = header();
    let mut end = LogEnd {
        address: segment.base,
        position: segment.position,
        recorded_at: segment.created_at,
        previous: segment.previous,
    };
    let mut frames = Vec::new();
    while !input.0.is_empty() && frames.len() < FRAMES_MAX {
        let [cluster, events, cut, times] = input.array();
        let len = usize::from(input.u16() % 700);
        let once = input.take(len);
        let place = Place {
            address: end.address,
            durable: end.address,
            position: end.position,
            recorded_at: end.recorded_at,
            previous: end.previous,
            salt: segment.salt,
        };
        let mut written = Vec::new();
        let header = encode(&mut written, place, Kind::Commit, |out| {
            // Now and then a frame of more than a block.
            for _ in 0..=usize::from(times / 8) {
                out.extend_from_slice(once);
            }
            events.into()
        });
        let payload = &written[64..64 + header.payload_len as usize];
        let kept = match cut {
            0..200 => payload.len(),
            _ => payload.len() * usize::from(cut - 200) / 56,
        };
        end = LogEnd::behind(&header);
        frames.push(Packed {
            cluster: vec![cluster],
            header,
            payload: Bytes::copy_from_slice(&payload[..kept]),
        });
    }
    frames
}

fn write(folder: &Folder, frames: &[Packed]) -> LogEnd {
    let segment = header();
    let file = folder.create(DRAFT).unwrap();
    let mut builder = Builder::new(DRAFT, file, &segment).unwrap();
    let end = frames.last().map_or(
        LogEnd {
            address: segment.base,
            position: segment.position,
            recorded_at: segment.created_at,
            previous: segment.previous,
        },
        |last| LogEnd::behind(&last.header),
    );
    let edition = Edition::new("what-if").unwrap();
    let domain = Domain::new("order").unwrap();
    for stretch in frames.chunks(16) {
        let again = stretch.iter().map(|frame| Packed {
            cluster: frame.cluster.clone(),
            header: frame.header,
            payload: frame.payload.clone(),
        });
        for frame in stretch.iter().filter(|frame| frame.header.events % 2 == 1) {
            builder.count_branch(&edition, &domain, frame.header.address, 1);
        }
        builder.add(again.collect(), &mut |_| Ok(())).unwrap();
    }
    builder.finish(end).unwrap();
    end
}

fn open(folder: &Folder) -> crate::Result<Arc<Segment>> {
    let name = sealed_name(header().base);
    Segment::open_as(folder, DRAFT, &name).map(Arc::new)
}

fn read_back(mut input: Input<'_>) {
    let order = input.u64();
    let frames = packed(&mut input);
    let folder = Folder::default();
    let end = write(&folder, &frames);
    let segment = open(&folder).unwrap();
    let of_segment = segment.sealed.as_ref().unwrap();
    assert_eq!(of_segment.end(), end);
    let cache = BlockCache::new(1024);
    let source = segment.source(&cache);
    let mut lookup = Lookup::default();
    for n in 0..frames.len() * 2 {
        let n = match order % 3 {
            0 => n % frames.len(),
            1 => frames.len() - 1 - n % frames.len(),
            _ => (order as usize >> 2).wrapping_mul(n + 1) % frames.len(),
        };
        let wanted = &frames[n];
        let found = lookup
            .frame(of_segment, &source, wanted.header.address)
            .unwrap();
        assert_eq!(
            (found.header, &found.payload),
            (wanted.header, &wanted.payload)
        );
    }
    // Between two frames there is none.
    let between = Address::new(end.address.get() - 8 * u64::from(!frames.is_empty()));
    assert!(lookup.frame(of_segment, &source, between).is_err());
    let dead: u64 = of_segment
        .branches(&source)
        .unwrap()
        .iter()
        .map(|b| b.bytes)
        .sum();
    assert_eq!(
        dead,
        frames.iter().filter(|f| f.header.events % 2 == 1).count() as u64
    );
}

fn change(mut input: Input<'_>) {
    let bit = input.u32() as usize;
    let mut frames = packed(&mut input);
    // A segment that holds nothing is never sealed.
    if frames.is_empty() {
        return;
    }
    for frame in &mut frames {
        // Records that can be read, for that is verified too.
        frame.payload = Bytes::new();
    }
    let folder = Folder::default();
    write(&folder, &frames);
    let intact = open(&folder).and_then(|segment| sealed::check(&segment));
    assert!(intact.is_ok(), "{intact:?}");
    {
        let file = folder.file();
        let mut bytes = file.0.lock().unwrap();
        let at = bit / 8 % bytes.len();
        bytes[at] ^= 1 << (bit % 8);
    }
    let checked = open(&folder).and_then(|segment| sealed::check(&segment));
    assert!(checked.is_err(), "bit {bit} was changed unnoticed");
}

fn arbitrary(mut input: Input<'_>) {
    let segment = header();
    let asked = [input.u16(), input.u16(), 0];
    let folder = Folder::default();
    let bytes = hostile(&segment, input.0);
    folder.create(DRAFT).unwrap().write_at(&bytes, 0).unwrap();
    let Ok(segment) = open(&folder) else { return };
    let of_segment = segment.sealed.as_ref().unwrap();
    let cache = BlockCache::new(1024);
    let source = segment.source(&cache);
    let _ = of_segment.branches(&source);
    let mut lookup = Lookup::default();
    for distance in asked {
        let address = segment.header.base.plus(u64::from(distance) * 8);
        if let Ok(frame) = lookup.frame(of_segment, &source, address) {
            assert_eq!(frame.header.address, address);
        }
    }
    let _ = sealed::check(&segment);
}

/// A frame's header for a payload at an address, as hostile bytes would need it.
pub(crate) fn forged(address: Address, salt: u32, payload: &[u8]) -> (Header, Vec<u8>) {
    let place = Place {
        address,
        durable: address,
        position: Position::new(3),
        recorded_at: Timestamp::from_nanos(7),
        previous: 5,
        salt,
    };
    let mut out = Vec::new();
    let header = encode(&mut out, place, Kind::Commit, |out| {
        out.extend_from_slice(payload);
        1
    });
    (header, out)
}

/// A folder with one file in memory.
#[derive(Default)]
struct Folder(Mutex<Option<Arc<MemoryFile>>>);

#[derive(Default)]
struct MemoryFile(Mutex<Vec<u8>>);

impl Folder {
    fn file(&self) -> Arc<MemoryFile> {
        self.0.lock().unwrap().clone().unwrap()
    }
}

impl Disk for Folder {
    fn list(&self) -> std::io::Result<Vec<String>> {
        Ok(vec![DRAFT.to_owned()])
    }

    fn open(&self, _: &str) -> std::io::Result<Arc<dyn DiskFile>> {
        Ok(self.file())
    }

    fn create(&self, _: &str) -> std::io::Result<Arc<dyn DiskFile>> {
        let file = Arc::new(MemoryFile::default());
        *self.0.lock().unwrap() = Some(file.clone());
        Ok(file)
    }

    fn rename(&self, _: &str, _: &str) -> std::io::Result<()> {
        Ok(())
    }

    fn remove(&self, _: &str) -> std::io::Result<()> {
        Ok(())
    }

    fn sync_folder(&self) -> std::io::Result<()> {
        Ok(())
    }
}

impl DiskFile for MemoryFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<usize> {
        let bytes = self.0.lock().unwrap();
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = bytes.get(start..).unwrap_or_default();
        let n = buffer.len().min(rest.len());
        buffer[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> std::io::Result<()> {
        let mut stored = self.0.lock().unwrap();
        let start = usize::try_from(offset).unwrap();
        let end = start + bytes.len();
        if stored.len() < end {
            stored.resize(end, 0);
        }
        stored[start..end].copy_from_slice(bytes);
        Ok(())
    }

    fn sync(&self) -> std::io::Result<()> {
        Ok(())
    }

    fn size(&self) -> std::io::Result<u64> {
        Ok(self.0.lock().unwrap().len() as u64)
    }
}
