//! Names and numbers that must not be confused with each other.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::limits;

/// Name of a kind of aggregate: `[a-z_][a-z0-9._-]*`, at most 64 bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Domain(Arc<str>);

impl Domain {
    /// # Errors
    /// [`Error::Invalid`] when the name does not have the documented form.
    pub fn new(name: &str) -> Result<Self> {
        let mut bytes = name.bytes();
        let first_ok = bytes
            .next()
            .is_some_and(|b| b.is_ascii_lowercase() || b == b'_');
        let rest_ok = bytes.all(|b| {
            b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-')
        });
        let internal = name.starts_with("angzarr.");
        let longest = if internal {
            limits::INTERNAL_DOMAIN_MAX
        } else {
            limits::DOMAIN_MAX
        };
        if !first_ok || !rest_ok || name.len() > longest {
            return Err(Error::invalid(format!(
                "domain {name:?} must match [a-z_][a-z0-9._-]* and have at most {longest} characters"
            )));
        }
        Ok(Self(name.into()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Domain {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

/// A timeline: main, or a named branch of history.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Edition(Option<Arc<str>>);

impl Edition {
    /// The main timeline.
    pub const MAIN: Self = Self(None);

    /// Main for an empty name and for `angzarr`, else the branch of that name.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the name is longer than 64 bytes or has other characters than
    /// letters, digits, `.`, `_` and `-`.
    pub fn new(name: &str) -> Result<Self> {
        if name.is_empty() || name == "angzarr" {
            return Ok(Self::MAIN);
        }
        let ok = name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        if !ok || name.len() > limits::EDITION_MAX {
            return Err(Error::invalid(format!(
                "edition {name:?} must consist of at most {} of A-Z, a-z, 0-9, '.', '_' and '-'",
                limits::EDITION_MAX
            )));
        }
        Ok(Self(Some(name.into())))
    }

    /// The branch's name; empty for main.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or("")
    }

    /// Whether this is the main timeline.
    #[must_use]
    pub fn is_main(&self) -> bool {
        self.0.is_none()
    }
}

impl Borrow<str> for Edition {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

/// As [`Borrow`] asks for: main is the empty name, which no branch has.
impl Hash for Edition {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

/// The 16 bytes that name one aggregate within its domain.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Root([u8; 16]);

/// The order of the bytes, compared as one number: in a large map that is most of a look-up.
impl Ord for Root {
    fn cmp(&self, other: &Self) -> Ordering {
        u128::from_be_bytes(self.0).cmp(&u128::from_be_bytes(other.0))
    }
}

impl PartialOrd for Root {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Root {
    /// A root of these bytes.
    #[must_use]
    pub fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// # Errors
    /// [`Error::Invalid`] unless there are exactly 16 bytes.
    pub fn from_slice(bytes: &[u8]) -> Result<Self> {
        let root = <[u8; 16]>::try_from(bytes).map_err(|_| {
            Error::invalid(format!(
                "root must have exactly 16 bytes, not {}",
                bytes.len()
            ))
        })?;
        Ok(Self(root))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// One aggregate on one timeline.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AggregateKey {
    /// Kind of aggregate.
    pub domain: Domain,
    /// Timeline.
    pub edition: Edition,
    /// Which aggregate of that kind.
    pub root: Root,
}

impl AggregateKey {
    /// The same aggregate on the main timeline.
    #[must_use]
    pub fn on_main(&self) -> Self {
        Self {
            edition: Edition::MAIN,
            ..self.clone()
        }
    }
}

/// Number of an event within its aggregate, from 0, without gaps.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Sequence(u32);

impl Sequence {
    /// The first event's.
    pub const ZERO: Self = Self(0);

    /// The sequence of this number.
    #[must_use]
    pub fn new(number: u32) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }

    /// This many events on; `None` past the last possible sequence.
    #[must_use]
    pub fn plus(self, count: u32) -> Option<Self> {
        self.0.checked_add(count).map(Self)
    }
}

/// Number of an event within the whole store, from 1, without gaps when written. 0 is before
/// the first.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Position(u64);

impl Position {
    /// Before the first event.
    pub const START: Self = Self(0);

    /// The position of this number.
    #[must_use]
    pub fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }

    /// This many events on. Saturates: 2^64 events cannot be written.
    #[must_use]
    pub fn plus(self, count: u64) -> Self {
        Self(self.0.saturating_add(count))
    }
}

/// Logical byte address in the whole log, segment headers not counted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Address(u64);

impl Address {
    /// The address of this number.
    #[must_use]
    pub fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }

    /// This many bytes on. Saturates: 2^64 bytes cannot be written.
    #[must_use]
    pub fn plus(self, bytes: u64) -> Self {
        Self(self.0.saturating_add(bytes))
    }
}

/// Nanoseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The time of this many nanoseconds.
    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since 1970-01-01 UTC.
    #[must_use]
    pub fn nanos(self) -> i64 {
        self.0
    }
}

/// Ties together what one request caused: at most 128 printable ASCII characters; may be empty.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct CorrelationId(Arc<str>);

impl CorrelationId {
    /// # Errors
    /// [`Error::Invalid`] when it is longer or has other characters.
    pub fn new(id: &str) -> Result<Self> {
        check_printable("correlation_id", id, limits::CORRELATION_MAX)?;
        Ok(Self(id.into()))
    }

    /// The id; empty when there is none.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Names a two-phase cascade: 1 to 128 printable ASCII characters.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CascadeId(Arc<str>);

impl CascadeId {
    /// # Errors
    /// [`Error::Invalid`] when it is empty, longer or has other characters.
    pub fn new(id: &str) -> Result<Self> {
        if id.is_empty() {
            return Err(Error::invalid("cascade_id must not be empty"));
        }
        check_printable("cascade_id", id, limits::CASCADE_MAX)?;
        Ok(Self(id.into()))
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Names whoever keeps a checkpoint: 1 to 128 printable ASCII characters.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Consumer(Arc<str>);

impl Consumer {
    /// # Errors
    /// [`Error::Invalid`] when it is empty, longer or has other characters.
    pub fn new(name: &str) -> Result<Self> {
        if name.is_empty() {
            return Err(Error::invalid("consumer must not be empty"));
        }
        check_printable("consumer", name, limits::CONSUMER_MAX)?;
        Ok(Self(name.into()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn check_printable(field: &str, value: &str, max: usize) -> Result<()> {
    if value.len() > max || !value.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        return Err(Error::invalid(format!(
            "{field} must consist of at most {max} printable ASCII characters"
        )));
    }
    Ok(())
}

macro_rules! show {
    ($($name:ident => $show:expr),* $(,)?) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let show: fn(&$name, &mut fmt::Formatter<'_>) -> fmt::Result = $show;
                show(self, f)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )*};
}

show! {
    Domain => |v, f| f.write_str(&v.0),
    Edition => |v, f| f.write_str(if v.is_main() { "main" } else { v.as_str() }),
    Root => |v, f| v.0.iter().try_for_each(|b| write!(f, "{b:02x}")),
    AggregateKey => |v, f| write!(f, "{}/{}/{}", v.domain, v.edition, v.root),
    Sequence => |v, f| write!(f, "{}", v.0),
    Position => |v, f| write!(f, "{}", v.0),
    Address => |v, f| write!(f, "{}", v.0),
    Timestamp => |v, f| write!(f, "{}ns", v.0),
    CorrelationId => |v, f| f.write_str(&v.0),
    CascadeId => |v, f| f.write_str(&v.0),
    Consumer => |v, f| f.write_str(&v.0),
}
