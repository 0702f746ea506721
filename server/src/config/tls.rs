//! Certificates, as files in PEM.

use std::path::PathBuf;

use super::{ConfigError, section::Section};

/// How the server proves who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTls {
    /// Its certificate, those of intermediate authorities behind it.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Clients need a certificate of this authority.
    pub client_ca: Option<PathBuf>,
}

/// How a server elsewhere is trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientTls {
    /// Authority that signed its certificate.
    pub ca: PathBuf,
    /// Name in its certificate, when it differs from that of the address.
    pub server_name: Option<String>,
    /// Certificate and private key to show to it.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl ServerTls {
    /// Reads the map at `tls`; none when there is none.
    pub(super) fn read(parent: &mut Section) -> Result<Option<Self>, ConfigError> {
        let Some(mut section) = parent.optional("tls")? else {
            return Ok(None);
        };
        let tls = Self {
            certificate: section.require("certificate", path)?,
            key: section.require("key", path)?,
            client_ca: section.parse("client_ca", None, |text| path(text).map(Some))?,
        };
        section.finish()?;
        Ok(Some(tls))
    }
}

impl ClientTls {
    /// Reads the map at `tls`; none when there is none.
    pub(super) fn read(parent: &mut Section) -> Result<Option<Self>, ConfigError> {
        let Some(mut section) = parent.optional("tls")? else {
            return Ok(None);
        };
        let ca = section.require("ca", path)?;
        let server_name = section.text("server_name")?.map(|(_, name)| name);
        let certificate = section.parse("certificate", None, |text| path(text).map(Some))?;
        let key = section.parse("key", None, |text| path(text).map(Some))?;
        let identity = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) => return Err(section.missing("key", "is missing")),
            (None, Some(_)) => return Err(section.missing("certificate", "is missing")),
        };
        section.finish()?;
        Ok(Some(Self {
            ca,
            server_name,
            identity,
        }))
    }
}

fn path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() {
        Err("needs a path".to_owned())
    } else {
        Ok(PathBuf::from(text))
    }
}
