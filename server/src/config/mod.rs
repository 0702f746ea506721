//! The configuration: files, environment and flags, read into one [`Config`].

mod bus;
mod cascade;
mod component;
mod error;
mod interpolate;
mod keys;
mod node;
mod payloads;
mod reaction;
mod section;
mod sources;
mod storage;
mod tls;
mod value;
mod yaml;

#[cfg(test)]
mod tests;

use std::{fmt, path::PathBuf, time::Duration};

pub(crate) use self::value::bytes;
pub use self::{
    bus::{Bus, Nats},
    cascade::{Cascade, Compensation},
    component::{Aggregate, Endpoint, Retries, Snapshots, Upcaster},
    error::{ConfigError, Origin},
    keys::{KEYS, Key},
    payloads::Payloads,
    reaction::{Input, Reaction},
    sources::Sources,
    storage::{Durability, Index, NativeStorage, RemoteStorage, Storage},
    tls::{ClientTls, ServerTls},
};
use self::{node::Node, section::Section};

/// Everything `angzarr serve` can be told.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where and how to listen.
    pub server: Server,
    /// Where events are kept.
    pub storage: Storage,
    /// Where committed events go beside the components of this server.
    pub bus: Bus,
    /// What requests may hold.
    pub limits: Limits,
    /// Files with descriptions of business messages: each an encoded
    /// `google.protobuf.FileDescriptorSet` with its imports.
    pub descriptor_sets: Vec<PathBuf>,
    /// Where large payloads are kept, if not in the log.
    pub payloads: Option<Payloads>,
    /// What is logged, and how.
    pub log: Log,
    /// Cascades that nobody settles.
    pub cascade: Cascade,
    /// Compensations that are left to the framework.
    pub compensation: Compensation,
    /// Command handlers, one for each domain.
    pub aggregates: Vec<Aggregate>,
    /// Event upcasters, at most one for each domain.
    pub upcasters: Vec<Upcaster>,
    /// Translators of events into commands.
    pub sagas: Vec<Reaction>,
    /// Coordinators with events of their own.
    pub process_managers: Vec<Reaction>,
    /// Builders of read models.
    pub projectors: Vec<Reaction>,
}

/// Where and how to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Every address serves every service. Never empty.
    pub listen: Vec<Listen>,
    /// How long requests under way may take to end after SIGTERM.
    pub drain_timeout: Duration,
    /// On TCP addresses; Unix sockets have none.
    pub tls: Option<ServerTls>,
}

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// Host and port.
    Tcp(String),
    /// Path of a Unix socket.
    Unix(PathBuf),
}

impl Listen {
    /// As [`crate::listener::Listener::bind`] understands it.
    #[must_use]
    pub fn bind_text(&self) -> String {
        match self {
            Self::Tcp(address) => address.clone(),
            Self::Unix(path) => format!("unix:{}", path.display()),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "http://{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// What a request may hold. Beyond it: INVALID_ARGUMENT naming the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Pages in one book.
    pub pages_per_book: u32,
    /// Bytes in one payload.
    pub payload_bytes: u64,
    /// Bytes in one gRPC message, encoded.
    pub message_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pages_per_book: 100,
            payload_bytes: 256 << 10,
            message_bytes: 10 << 20,
        }
    }
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// A level, or directives such as `info,angzarr_engine=debug`.
    pub filter: String,
    /// Shape of a line.
    pub format: LogFormat,
}

/// Shape of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

impl Config {
    /// Reads every source in order of precedence.
    ///
    /// # Errors
    /// [`ConfigError`] for a file that cannot be read or is not YAML, a key that is not
    /// known, a value that cannot be used. The first problem found is reported.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        Self::read(sources.tree()?)
    }

    fn read(tree: Node) -> Result<Self, ConfigError> {
        let mut root = Section::new("", tree)?;
        let mut config = Self {
            server: Server::read(root.section("server")?)?,
            storage: Storage::read(root.section("storage")?)?,
            bus: Bus::read_either(&mut root)?,
            limits: Limits::read(root.section("limits")?)?,
            descriptor_sets: descriptor_sets(&mut root)?,
            payloads: Payloads::read(&mut root)?,
            log: Log::read(root.section("log")?)?,
            cascade: Cascade::read(root.section("cascade")?)?,
            compensation: Compensation::read(root.section("compensation")?)?,
            aggregates: component::aggregates(root.sections("aggregates")?)?,
            upcasters: component::upcasters(root.sections("upcasters")?)?,
            sagas: Vec::new(),
            process_managers: Vec::new(),
            projectors: Vec::new(),
        };
        reaction::Reactions::read(&mut root)?.fill(&mut config);
        root.finish()?;
        Ok(config)
    }
}

fn descriptor_sets(root: &mut Section) -> Result<Vec<PathBuf>, ConfigError> {
    let paths = root.texts("descriptor_sets")?.unwrap_or_default();
    Ok(paths.into_iter().map(|(_, path)| path.into()).collect())
}

impl Server {
    fn read(mut section: Section) -> Result<Self, ConfigError> {
        let listen = match section.texts("listen")? {
            None => vec![Listen::Tcp("127.0.0.1:1310".to_owned())],
            Some(texts) if texts.is_empty() => {
                return Err(section.missing("listen", "needs at least one address"));
            }
            Some(texts) => texts
                .into_iter()
                .map(|(origin, text)| {
                    listen(&text).map_err(|problem| section.bad("listen", &origin, problem))
                })
                .collect::<Result<_, _>>()?,
        };
        let drain_timeout =
            section.parse("drain_timeout", Duration::from_secs(10), value::duration)?;
        let tls = ServerTls::read(&mut section)?;
        section.finish()?;
        Ok(Self {
            listen,
            drain_timeout,
            tls,
        })
    }
}

impl Limits {
    fn read(mut section: Section) -> Result<Self, ConfigError> {
        let default = Self::default();
        let limits = Self {
            pages_per_book: section.parse(
                "pages_per_book",
                default.pages_per_book,
                value::number(1, 100_000),
            )?,
            payload_bytes: section.parse(
                "payload_bytes",
                default.payload_bytes,
                value::positive_bytes,
            )?,
            message_bytes: section.parse(
                "message_bytes",
                default.message_bytes,
                value::positive_bytes,
            )?,
        };
        if limits.payload_bytes > limits.message_bytes {
            return Err(section.missing("payload_bytes", "must not exceed limits.message_bytes"));
        }
        section.finish()?;
        Ok(limits)
    }
}

impl Log {
    fn read(mut section: Section) -> Result<Self, ConfigError> {
        const FORMATS: [(&str, LogFormat); 2] =
            [("human", LogFormat::Human), ("json", LogFormat::Json)];
        let filter = section.parse("filter", "info".to_owned(), |text| {
            tracing_subscriber::EnvFilter::try_new(text)
                .map(|_| text.to_owned())
                .map_err(|error| format!("{error}"))
        })?;
        let format = section.parse("format", LogFormat::Human, |text| {
            value::choice(&FORMATS, text)
        })?;
        section.finish()?;
        Ok(Self { filter, format })
    }
}

fn listen(text: &str) -> Result<Listen, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        if path.is_empty() {
            return Err("unix: needs a path after it".to_owned());
        }
        return Ok(Listen::Unix(PathBuf::from(path)));
    }
    let port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    match port.map(|(_, port)| port.parse::<u16>()) {
        Some(Ok(_)) => Ok(Listen::Tcp(text.to_owned())),
        _ => Err(format!(
            "{text:?} is not an address; write host:port or unix:/path"
        )),
    }
}
