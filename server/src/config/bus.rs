use std::{path::PathBuf, time::Duration};

use super::{
    ConfigError, Origin, component::domain, section::Section, storage::not_built_in,
    storage::refuse, value,
};

/// Where committed events go beside the components of this server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bus {
    /// Nowhere: components read the log.
    Channel,
    /// To a stream of NATS JetStream.
    Nats(Nats),
}

/// A stream of NATS JetStream, and what goes there.
#[derive(Clone, PartialEq, Eq)]
pub struct Nats {
    /// Servers of one cluster; may hold secrets. Never empty.
    pub url: Vec<String>,
    /// What subjects begin with.
    pub prefix: String,
    /// Name of the stream.
    pub stream: String,
    /// How long the stream knows what it has, when it is made.
    pub duplicate_window: Duration,
    /// Domains to publish; empty for all that are not internal.
    pub domains: Vec<String>,
    /// Whether events of branches are published too.
    pub all_editions: bool,
    /// Whether a server that publishes for the first time begins with what comes.
    pub from_now: bool,
    /// Aggregates whose events are on their way at one time.
    pub concurrency: usize,
    /// The authority that signed the server's certificate.
    pub ca: Option<PathBuf>,
    /// Certificate and private key to show to it.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl std::fmt::Debug for Nats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Nats")
            .field("stream", &self.stream)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

impl Bus {
    /// Reads `bus`, or `messaging`, which is another name for it.
    pub(super) fn read_either(root: &mut Section) -> Result<Self, ConfigError> {
        let bus = root.take("bus");
        let messaging = root.take("messaging");
        match (bus, messaging) {
            (Some(_), Some(node)) => Err(root.bad(
                "messaging",
                &node.origin,
                "is another name for bus, which is given too; keep one of them",
            )),
            (None, Some(node)) => Self::read(Section::new("messaging", node)?),
            (Some(node), None) => Self::read(Section::new("bus", node)?),
            (None, None) => Ok(Self::Channel),
        }
    }

    fn read(mut section: Section) -> Result<Self, ConfigError> {
        const LATER: [&str; 4] = ["amqp", "kafka", "pubsub", "sns_sqs"];
        let kind = section.text("type")?;
        let bus = match kind.as_ref().map_or("channel", |(_, kind)| kind.as_str()) {
            "channel" => Self::Channel,
            "nats" => {
                let nats = Nats::read(&mut section)?;
                if !cfg!(feature = "nats") {
                    let problem = "nats is not in this build; build with the feature nats";
                    return Err(refuse(&section, kind, problem.to_owned()));
                }
                Self::Nats(nats)
            }
            other => {
                let problem = not_built_in(other, &LATER, "channel, nats");
                return Err(refuse(&section, kind, problem));
            }
        };
        section.finish()?;
        Ok(bus)
    }
}

impl Nats {
    fn read(section: &mut Section) -> Result<Self, ConfigError> {
        const STARTS: [(&str, bool); 2] = [("beginning", false), ("now", true)];
        const EDITIONS: [(&str, bool); 2] = [("main", false), ("all", true)];
        let url = checked(section, "url", address)?;
        if url.is_empty() {
            return Err(section.missing("url", "is missing: name the server, nats://host:4222"));
        }
        let nats = Self {
            url,
            prefix: section.parse("prefix", "angzarr".to_owned(), prefix)?,
            stream: section.parse("stream", "ANGZARR".to_owned(), part)?,
            duplicate_window: section.parse(
                "duplicate_window",
                Duration::from_secs(120),
                value::positive_duration,
            )?,
            domains: checked(section, "domains", domain)?,
            all_editions: section
                .parse("editions", false, |text| value::choice(&EDITIONS, text))?,
            from_now: section.parse("start", false, |text| value::choice(&STARTS, text))?,
            concurrency: section.parse("concurrency", 256, value::number(1, 4096))?,
            ca: None,
            identity: None,
        };
        nats.with_tls(section)
    }

    fn with_tls(mut self, section: &mut Section) -> Result<Self, ConfigError> {
        let Some(mut tls) = section.optional("tls")? else {
            return Ok(self);
        };
        let path = |text: &str| Ok(Some(PathBuf::from(text)));
        self.ca = tls.parse("ca", None, path)?;
        let certificate = tls.parse("certificate", None, path)?;
        let key = tls.parse("key", None, path)?;
        self.identity = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) => return Err(tls.missing("key", "is missing")),
            (None, Some(_)) => return Err(tls.missing("certificate", "is missing")),
        };
        tls.finish()?;
        Ok(self)
    }
}

/// The texts of a list, each looked at.
fn checked(
    section: &mut Section,
    key: &'static str,
    check: fn(&str) -> Result<(), String>,
) -> Result<Vec<String>, ConfigError> {
    let listed = section.texts(key)?.unwrap_or_default();
    let look = |(origin, text): (Origin, String)| match check(&text) {
        Ok(()) => Ok(text),
        Err(problem) => Err(section.bad(key, &origin, problem)),
    };
    listed.into_iter().map(look).collect()
}

/// What is secret in an address must not show in the error.
fn address(text: &str) -> Result<(), String> {
    let parsed = url::Url::parse(text).ok();
    let usable = parsed.is_some_and(|url| {
        matches!(url.scheme(), "nats" | "tls")
            && url.host_str().is_some_and(|host| !host.is_empty())
    });
    if usable {
        return Ok(());
    }
    Err("is not an address of NATS; write nats://host:4222 or tls://host:4222".to_owned())
}

fn prefix(text: &str) -> Result<String, String> {
    let parts = text.split('.').map(part).collect::<Result<Vec<_>, _>>();
    parts.map(|parts| parts.join("."))
}

fn part(text: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if !text.is_empty() && text.len() <= 128 && text.bytes().all(fits) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "{text:?} cannot be used with NATS; use letters, digits, hyphen and underscore"
    ))
}
