//! What may happen to files behind everybody's back.

use arbitrary::Arbitrary;

use crate::disk::Files;

/// To the content of a file. Files are counted in the order of their names, offsets within what
/// is not zero at the end and a little beyond.
#[derive(Debug, Clone, Arbitrary)]
pub(crate) enum Bytes {
    Flip {
        file: u8,
        at: u16,
        bit: u8,
    },
    Zero {
        file: u8,
        at: u16,
        len: u16,
    },
    /// A write that went to another place.
    Copy {
        from: u8,
        from_at: u16,
        to: u8,
        to_at: u16,
        sectors: u8,
    },
    Truncate {
        file: u8,
        at: u16,
    },
    Extend {
        file: u8,
        by: u16,
    },
}

/// To names of files.
#[derive(Debug, Clone, Arbitrary)]
pub(crate) enum Names {
    Remove(u8),
    Swap(u8, u8),
    /// One file's content under another's name too.
    Copy(u8, u8),
    Rename(u8, Name),
    Create(Name, Vec<u8>),
    /// A file of another store of the same shape.
    Foreign(u8),
    Damage(Bytes),
}

/// A name that a file may get.
#[derive(Debug, Clone, Arbitrary)]
pub(crate) enum Name {
    Segment(u64),
    /// Looks like one.
    NearSegment(u8),
    Temporary(u8),
    Any(String),
}

impl Name {
    fn text(&self) -> String {
        match self {
            Self::Segment(base) => format!("{base:020}.seg"),
            Self::NearSegment(0) => ".seg".to_owned(),
            Self::NearSegment(1) => "99999999999999999999.seg".to_owned(),
            Self::NearSegment(2) => "0000000000000000000.seg".to_owned(),
            Self::NearSegment(3) => "+0000000000000000000.seg".to_owned(),
            Self::NearSegment(n) => format!("{:020}.SEG", n),
            Self::Temporary(n) => format!("spare-{n}.tmp"),
            Self::Any(text) => text.clone(),
        }
    }
}

fn name(files: &Files, number: u8) -> Option<String> {
    let at = usize::from(number) % files.len().max(1);
    files.keys().nth(at).cloned()
}

fn offset(bytes: &[u8], at: u16) -> usize {
    let used = bytes.iter().rposition(|&b| b != 0).map_or(0, |n| n + 1);
    usize::from(at) % (used + 600).min(bytes.len()).max(1)
}

impl Bytes {
    pub(crate) fn apply(&self, files: &mut Files) -> Option<()> {
        match *self {
            Self::Flip { file, at, bit } => {
                let bytes = files.get_mut(&name(files, file)?)?;
                let at = offset(bytes, at);
                *bytes.get_mut(at)? ^= 1 << (bit % 8);
            }
            Self::Zero { file, at, len } => {
                let bytes = files.get_mut(&name(files, file)?)?;
                let at = offset(bytes, at);
                let end = (at + usize::from(len)).min(bytes.len());
                bytes.get_mut(at..end)?.fill(0);
            }
            Self::Copy {
                from,
                from_at,
                to,
                to_at,
                sectors,
            } => {
                let source = files.get(&name(files, from)?)?;
                let start = offset(source, from_at);
                let len = 8 << (sectors % 10);
                let piece = source.get(start..(start + len).min(source.len()))?.to_vec();
                let bytes = files.get_mut(&name(files, to)?)?;
                let at = offset(bytes, to_at);
                let len = piece.len().min(bytes.len() - at);
                bytes.get_mut(at..at + len)?.copy_from_slice(&piece[..len]);
            }
            Self::Truncate { file, at } => {
                let bytes = files.get_mut(&name(files, file)?)?;
                let at = offset(bytes, at);
                bytes.truncate(at);
            }
            Self::Extend { file, by } => {
                let bytes = files.get_mut(&name(files, file)?)?;
                bytes.resize(bytes.len() + usize::from(by), 0);
            }
        }
        Some(())
    }
}

impl Names {
    /// `foreign` is another store's folder.
    pub(crate) fn apply(&self, files: &mut Files, foreign: &Files) -> Option<()> {
        match self {
            Self::Remove(file) => drop(files.remove(&name(files, *file)?)?),
            Self::Swap(a, b) => {
                let (a, b) = (name(files, *a)?, name(files, *b)?);
                let first = files.get(&a)?.clone();
                let second = files.insert(b, first)?;
                files.insert(a, second);
            }
            Self::Copy(from, to) => {
                let bytes = files.get(&name(files, *from)?)?.clone();
                files.insert(name(files, *to)?, bytes);
            }
            Self::Rename(file, to) => {
                let bytes = files.remove(&name(files, *file)?)?;
                files.insert(to.text(), bytes);
            }
            Self::Create(to, bytes) => drop(files.insert(to.text(), bytes.clone())),
            Self::Foreign(file) => {
                let name = name(foreign, *file)?;
                files.insert(name.clone(), foreign.get(&name)?.clone());
            }
            Self::Damage(bytes) => return bytes.apply(files),
        }
        Some(())
    }
}
