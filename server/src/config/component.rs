use std::{collections::BTreeSet, fmt, path::PathBuf, time::Duration};

use angzarr_proto::Dialect;

use super::{ConfigError, Reaction, section::Section, value};

/// A command handler: the business code of one domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aggregate {
    /// The domain it serves.
    pub domain: String,
    /// Where it listens.
    pub address: Endpoint,
    /// The protocol it speaks; found out by asking when `None`.
    pub dialect: Option<Dialect>,
    /// Longest wait for one answer, retries included.
    pub timeout: Duration,
    /// What to do while it cannot be reached.
    pub retries: Retries,
    /// Calls to it at one time.
    pub concurrency: usize,
    /// Whether it is given snapshots.
    pub snapshots: Snapshots,
    /// Sagas that the same endpoint serves.
    pub sagas: Vec<Reaction>,
}

/// Code that brings old events of a domain up to date when they are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upcaster {
    /// The domain it serves.
    pub domain: String,
    /// Where it listens.
    pub address: Endpoint,
    /// The protocol it speaks; found out by asking when `None`.
    pub dialect: Option<Dialect>,
    /// Longest wait for one answer, retries included.
    pub timeout: Duration,
    /// What to do while it cannot be reached.
    pub retries: Retries,
}

/// Where a peer listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// `http://host:port`.
    Http(String),
    /// `https://host:port`.
    Https(String),
    /// Path of a Unix socket.
    Unix(PathBuf),
}

/// How often and how long to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// Attempts in all, the first included.
    pub attempts: u32,
    /// First pause between two attempts.
    pub min: Duration,
    /// Longest pause between two attempts.
    pub max: Duration,
}

/// Whether a handler is given snapshots instead of its whole book.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Snapshots {
    /// From the first snapshot it returned for an aggregate.
    Auto,
    /// Whenever there is one.
    Always,
    /// Never.
    Never,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            attempts: 10,
            min: Duration::from_millis(10),
            max: Duration::from_secs(2),
        }
    }
}

impl Endpoint {
    /// Understands `http://host:port` and `unix:/path`.
    ///
    /// # Errors
    /// A sentence that says what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let problem =
            || format!("{text:?} is not an address; write http://host:port or unix:/path");
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.is_empty() {
                Err(problem())
            } else {
                Ok(Self::Unix(path.into()))
            };
        }
        let authority = text
            .strip_prefix("http://")
            .ok_or_else(problem)?
            .trim_end_matches('/');
        let (host, port) = authority.rsplit_once(':').ok_or_else(problem)?;
        if host.is_empty() || host.contains('/') || port.parse::<u16>().is_err() {
            return Err(problem());
        }
        Ok(Self::Http(format!("http://{authority}")))
    }

    /// Understands `https://host:port` too.
    ///
    /// # Errors
    /// A sentence that says what would be right.
    pub fn parse_with_tls(text: &str) -> Result<Self, String> {
        let Some(authority) = text.strip_prefix("https://") else {
            return Self::parse(text);
        };
        match Self::parse(&format!("http://{authority}")) {
            Ok(Self::Http(url)) => Ok(Self::Https(url.replacen("http", "https", 1))),
            _ => Err(format!(
                "{text:?} is not an address; write https://host:port"
            )),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(uri) | Self::Https(uri) => f.write_str(uri),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

pub(super) fn aggregates(sections: Vec<Section>) -> Result<Vec<Aggregate>, ConfigError> {
    const SNAPSHOTS: [(&str, Snapshots); 3] = [
        ("auto", Snapshots::Auto),
        ("always", Snapshots::Always),
        ("never", Snapshots::Never),
    ];
    let mut seen = BTreeSet::new();
    let read = |mut section: Section| {
        let common = Common::read(&mut section, &mut seen)?;
        let concurrency = section.parse("concurrency", 256, value::number(1, 100_000))?;
        let snapshots = section.parse("snapshots", Snapshots::Auto, |text| {
            value::choice(&SNAPSHOTS, text)
        })?;
        let sagas = Reaction::inline(section.sections("sagas")?, &common.domain, &common.address)?;
        section.finish()?;
        Ok(Aggregate {
            sagas,
            domain: common.domain,
            address: common.address,
            dialect: common.dialect,
            timeout: common.timeout,
            retries: common.retries,
            concurrency,
            snapshots,
        })
    };
    sections.into_iter().map(read).collect()
}

pub(super) fn upcasters(sections: Vec<Section>) -> Result<Vec<Upcaster>, ConfigError> {
    let mut seen = BTreeSet::new();
    let read = |mut section: Section| {
        let common = Common::read(&mut section, &mut seen)?;
        section.finish()?;
        Ok(Upcaster {
            domain: common.domain,
            address: common.address,
            dialect: common.dialect,
            timeout: common.timeout,
            retries: common.retries,
        })
    };
    sections.into_iter().map(read).collect()
}

/// What every kind of component has.
struct Common {
    domain: String,
    address: Endpoint,
    dialect: Option<Dialect>,
    timeout: Duration,
    retries: Retries,
}

impl Common {
    fn read(section: &mut Section, seen: &mut BTreeSet<String>) -> Result<Self, ConfigError> {
        let domain = section.require("domain", |text| {
            domain(text)?;
            if !seen.insert(text.to_owned()) {
                return Err(format!("{text:?} is already served by an entry above"));
            }
            Ok(text.to_owned())
        })?;
        Ok(Self {
            domain,
            address: section.require("address", Endpoint::parse)?,
            dialect: section.parse("dialect", None, dialect)?,
            timeout: section.parse("timeout", Duration::from_secs(30), value::positive_duration)?,
            retries: Retries::read(section.section("retries")?)?,
        })
    }
}

impl Retries {
    pub(super) fn read(mut section: Section) -> Result<Self, ConfigError> {
        let default = Self::default();
        let retries = Self {
            attempts: section.parse("attempts", default.attempts, value::number(1, 1000))?,
            min: section.parse("min", default.min, value::positive_duration)?,
            max: section.parse("max", default.max, value::positive_duration)?,
        };
        if retries.min > retries.max {
            return Err(section.missing("min", "must not exceed max"));
        }
        section.finish()?;
        Ok(retries)
    }
}

pub(super) fn dialect(text: &str) -> Result<Option<Dialect>, String> {
    let named = Dialect::ALL.map(|dialect| (dialect.name(), Some(dialect)));
    let mut choices = vec![("auto", None)];
    choices.extend(named);
    value::choice(&choices, text)
}

pub(super) fn domain(text: &str) -> Result<(), String> {
    let mut bytes = text.bytes();
    let first = bytes
        .next()
        .is_some_and(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let rest = bytes.all(|byte| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'-')
    });
    if first && rest && text.len() <= 64 {
        return Ok(());
    }
    Err(format!(
        "{text:?} is not a domain; use at most 64 of a-z, 0-9, dot, underscore and hyphen, \
         beginning with a letter or an underscore"
    ))
}
