//! Damage to bytes that were synced: flipped bits, lost and misplaced writes, lost files. It is
//! reported with its place, or it does not matter; it never becomes a wrong answer.

use rand::Rng;
use rand::rngs::SmallRng;

use super::check::{self, Checked, Mismatch};
use super::crash::open;
use super::generate::keys;
use super::trace::note;
use super::world::{Outcome, World};
use crate::disk::sim::{SECTOR, SimDisk};
use crate::error::Error;
use crate::log::FrameReader;
use crate::subscribe::Filter;
use crate::types::{Address, Position};
use crate::{Engine, Result};

/// How often the end of one life is damaged in another way.
const TRIALS: u32 = 12;

/// A frame of the segment being written: bytes of its file, and up to where the log was known to
/// be synced when it was written.
struct Proof {
    from: usize,
    to: usize,
    durable: Address,
}

impl World {
    /// Damages copies of the machine, open or not, and looks at what readers are told.
    pub(super) fn rot(&mut self) -> Outcome {
        for _ in 0..TRIALS {
            self.tally.damages += 1;
            if self.random.random_bool(0.3) {
                self.rot_while_open()?;
            } else {
                self.rot_at_rest()?;
            }
        }
        Ok(())
    }

    fn rot_while_open(&mut self) -> Outcome {
        let copy = self.disk.handed_over();
        let base = self.base.as_ref().map(|base| base.moved_to(copy.clone()));
        let still = open(self, &copy, base.as_ref()).map_err(|e| format!("a copy: {e}"))?;
        let damage = damage(&copy, &mut self.random);
        note!(self, "while open: {damage}");
        each(self, &still.engine).map_err(|why| format!("{damage} while open: {why}"))
    }

    fn rot_at_rest(&mut self) -> Outcome {
        let proofs = self.proofs().map_err(|e| format!("reading frames: {e}"))?;
        let copy = self.disk.handed_over();
        let base = self.base.as_ref().map(|base| base.moved_to(copy.clone()));
        let before = copy.contents();
        let mut done = Vec::new();
        for _ in 0..self.random.random_range(1..4) {
            done.push(damage(&copy, &mut self.random));
        }
        let damage = done.join(", ");
        note!(self, "at rest: {damage}");
        let after = copy.contents();
        let still = match open(self, &copy, base.as_ref()) {
            Err(error) => return has_place(&error).map_err(|why| format!("{damage}: {why}")),
            Ok(still) => still,
        };
        let end = still.engine.shared.readable();
        if end == self.engine().shared.readable() {
            return each(self, &still.engine).map_err(|why| format!("{damage}: {why}"));
        }
        // The end of the log is gone. That may not be noticed only if nothing is left that says
        // that it was synced.
        let active = self.active_name();
        let proven = proofs.iter().find(|proof| {
            let range = proof.from..proof.to;
            proof.durable > end.address
                && after.get(&active).is_some_and(|bytes| {
                    bytes.get(range.clone()) == before[&active].get(range.clone())
                })
        });
        if let Some(proof) = proven {
            return Err(format!(
                "{damage}: opened up to {}, though the frame at {} of {active} says that the log \
                 was synced up to {}",
                end.address, proof.from, proof.durable
            ));
        }
        self.beginning(&still.engine, end.position.get())
            .map_err(|why| format!("{damage}: {why}"))
    }

    fn active_name(&self) -> String {
        let segments = self.engine().shared.log.segments();
        segments.last().map(|last| last.name.clone()).unwrap()
    }

    fn proofs(&self) -> Result<Vec<Proof>> {
        let shared = &self.engine().shared;
        let segments = shared.log.segments();
        let active = segments.last().unwrap();
        let end = shared.readable().address;
        let mut reader = FrameReader::sequential(shared.log.clone(), end);
        let mut at = active.header.base;
        let mut proofs = Vec::new();
        while at < end {
            let header = reader.frame(at)?.header;
            proofs.push(Proof {
                from: active.offset(at) as usize,
                to: active.offset(header.end()) as usize,
                durable: header.durable,
            });
            at = header.end();
        }
        Ok(proofs)
    }

    /// What is left of the log is what it was.
    fn beginning(&self, engine: &Engine, end: u64) -> Outcome {
        let cursor = engine.cursor(Position::START, Filter::default());
        let mut cursor = match cursor {
            Ok(cursor) => cursor,
            Err(error) => return has_place(&error),
        };
        while cursor.position().get() < end {
            let chunk = match cursor.next_chunk(4000, engine.position()) {
                Ok(chunk) => chunk,
                Err(error) => return has_place(&error),
            };
            for page in chunk.iter().flat_map(|recorded| &recorded.pages) {
                let at = page.position.get();
                // An event that was deleted later may be back.
                let Some((key, sequence)) = self.durable.log.get(&at) else {
                    continue;
                };
                let event = check::event_at(&self.durable, key, *sequence);
                if page.sequence.get() != *sequence || !check::is_body(event, &page.body) {
                    return Err(format!("position {at} is another event: {page:?}"));
                }
            }
        }
        Ok(())
    }
}

/// Everything there is to read is right, or its damage is reported.
fn each(world: &World, engine: &Engine) -> Outcome {
    let model = &world.durable;
    for key in keys() {
        right_or_reported(check::aggregate(engine, model, &key))?;
    }
    right_or_reported(check::lists(engine, model))?;
    right_or_reported(check::cascades(engine, model))?;
    right_or_reported(check::log(engine, model, 0, &Filter::default(), 4000))
}

fn right_or_reported(checked: Checked) -> Outcome {
    match checked {
        Ok(()) => Ok(()),
        Err(Mismatch::Different(what)) => Err(what),
        Err(Mismatch::Failed(error)) => has_place(&error),
    }
}

/// Whether an error tells an operator where to look.
fn has_place(error: &Error) -> Outcome {
    match error {
        Error::Corrupt { file, .. } | Error::Unsupported { file, .. } if !file.is_empty() => Ok(()),
        other => Err(format!("does not say where the damage is: {other}")),
    }
}

/// Damages one place, most likely one that holds something, and says how.
fn damage(disk: &SimDisk, random: &mut SmallRng) -> String {
    let files = disk.contents();
    let names: Vec<_> = files.keys().cloned().collect();
    if names.is_empty() {
        return "nothing".to_owned();
    }
    let name = &names[random.random_range(0..names.len())];
    let bytes = &files[name];
    let used = bytes
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(1, |n| n + 1);
    let used = (used + 100).min(bytes.len().max(1));
    let at = random.random_range(0..used);
    let sector = at / SECTOR * SECTOR;
    let end = (sector + SECTOR).min(bytes.len());
    match random.random_range(0..10) {
        0..4 => {
            let bit = random.random_range(0..8);
            disk.damage(name, |bytes| flip(bytes, at, 1 << bit));
            format!("bit {bit} of byte {at} of {name} flipped")
        }
        4 | 5 => {
            disk.damage(name, |bytes| bytes[sector..end].fill(0));
            format!("the write of {sector}..{end} of {name} lost")
        }
        6 | 7 => {
            let from = &names[random.random_range(0..names.len())];
            let other = random.random_range(0..=files[from].len() / SECTOR) * SECTOR;
            let moved = &files[from][other.min(files[from].len())..];
            let moved = &moved[..moved.len().min(end - sector)];
            disk.damage(name, |bytes| {
                bytes[sector..sector + moved.len()].copy_from_slice(moved);
            });
            format!("{other} of {from} written to {sector} of {name}")
        }
        8 => {
            disk.damage(name, |bytes| bytes.truncate(at));
            format!("{name} cut off at {at}")
        }
        _ => {
            disk.lose(name);
            format!("{name} lost")
        }
    }
}

fn flip(bytes: &mut [u8], at: usize, bits: u8) {
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= bits;
    }
}
