use std::path::{Path, PathBuf};

use angzarr_adapters::{EventStore, RemoteStore, RemoteTls, StoreError, channel};
use angzarr_proto::v1::{Cover, Edition};
use clap::Args;
use tonic::transport::Channel;
use tonic::{Code, Status};
use uuid::Uuid;

use super::{Exit, Failure};
use crate::run::choose_tls_provider;

/// Which server to speak to.
#[derive(Debug, Clone, Args)]
pub(super) struct Target {
    /// The server: http://host:port, https://host:port or unix:/path.
    #[arg(
        long,
        global = true,
        env = "ANGZARR_TARGET",
        hide_env_values = true,
        value_name = "URL",
        default_value = "http://127.0.0.1:1310"
    )]
    pub(super) target: String,
    /// For https: the authority that signed the server's certificate, in PEM.
    #[arg(long, env = "ANGZARR_CA", hide_env_values = true, value_name = "FILE")]
    #[arg(global = true, hide_short_help = true)]
    ca: Option<PathBuf>,
    /// For a server that asks who calls: a certificate, in PEM.
    #[arg(
        long,
        env = "ANGZARR_CERTIFICATE",
        hide_env_values = true,
        value_name = "FILE"
    )]
    #[arg(global = true, hide_short_help = true, requires = "key")]
    certificate: Option<PathBuf>,
    /// The certificate's private key, in PEM.
    #[arg(long, env = "ANGZARR_KEY", hide_env_values = true, value_name = "FILE")]
    #[arg(global = true, hide_short_help = true, requires = "certificate")]
    key: Option<PathBuf>,
}

/// A server, and its name for messages.
#[derive(Debug, Clone)]
pub(super) struct Remote {
    store: RemoteStore,
    channel: Channel,
    target: String,
}

impl Target {
    /// Makes the connection; it opens with the first call.
    pub(super) fn connect(&self) -> Result<Remote, Failure> {
        let channel = channel(&self.target, self.tls()?).map_err(|error| {
            let usage = Failure::usage(error.to_string());
            if self.target.starts_with("https://") {
                usage.next("name the authority that signed its certificate with --ca")
            } else {
                usage.next("write --target http://host:port or --target unix:/path")
            }
        })?;
        Ok(Remote {
            store: RemoteStore::over(channel.clone()),
            channel,
            target: self.target.clone(),
        })
    }

    fn tls(&self) -> Result<Option<RemoteTls>, Failure> {
        let Some(ca) = self
            .ca
            .as_ref()
            .filter(|_| self.target.starts_with("https://"))
        else {
            return Ok(None);
        };
        choose_tls_provider();
        let identity = match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => Some((read(certificate)?, read(key)?)),
            _ => None,
        };
        Ok(Some(RemoteTls {
            ca: read(ca)?,
            server_name: None,
            identity,
        }))
    }
}

impl Remote {
    pub(super) fn store(&self) -> &dyn EventStore {
        &self.store
    }

    /// For services beside the store.
    pub(super) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// The failure for a refusal of one of them.
    pub(super) fn refusal(&self, status: &Status) -> Failure {
        let message = status.message().to_owned();
        match status.code() {
            Code::Unavailable => self.failure(&StoreError::Unavailable(message)),
            Code::Unimplemented => Failure::new(Exit::Failed, "the server does not know this")
                .next("use a server of the same version as this tool"),
            _ => Failure::new(Exit::Failed, message),
        }
    }

    /// The failure for an error of this server.
    pub(super) fn failure(&self, error: &StoreError) -> Failure {
        Failure::of_store(&self.target, error)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}

/// Which timeline.
#[derive(Debug, Clone, Args)]
pub(super) struct Timeline {
    /// The edition (branch); the main timeline when left out.
    #[arg(long, short = 'e', value_name = "NAME")]
    pub(super) edition: Option<String>,
}

impl Timeline {
    /// Name of the branch; `None` is main.
    pub(super) fn branch(&self) -> Option<&str> {
        self.edition
            .as_deref()
            .filter(|name| !name.is_empty() && *name != "angzarr")
    }

    pub(super) fn edition(&self) -> Option<Edition> {
        self.branch().map(|name| Edition {
            name: name.to_owned(),
            divergences: Vec::new(),
        })
    }

    pub(super) fn cover(&self, domain: &str, root: Uuid) -> Cover {
        Cover {
            domain: domain.to_owned(),
            root: Some(angzarr_proto::v1::Uuid {
                value: root.as_bytes().to_vec(),
            }),
            edition: self.edition(),
            ..Cover::default()
        }
    }
}

/// The root of a cover as people write it.
pub(super) fn root_text(cover: &Cover) -> String {
    let bytes = cover
        .root
        .as_ref()
        .map(|root| root.value.as_slice())
        .unwrap_or_default();
    root_bytes_text(bytes)
}

pub(super) fn root_bytes_text(bytes: &[u8]) -> String {
    Uuid::from_slice(bytes).map_or_else(|_| hex(bytes), |uuid| uuid.to_string())
}

/// The branch of a cover; main is `main`.
pub(super) fn branch_text(cover: &Cover) -> &str {
    match &cover.edition {
        Some(edition) if !edition.name.is_empty() && edition.name != "angzarr" => &edition.name,
        _ => "main",
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes of hexadecimal digits.
pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    digits
        .chunks(2)
        .map(|pair| {
            std::str::from_utf8(pair).ok().and_then(|pair| {
                pair.bytes()
                    .all(|digit| digit.is_ascii_hexdigit())
                    .then_some(())?;
                u8::from_str_radix(pair, 16).ok()
            })
        })
        .collect()
}
