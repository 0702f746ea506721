//! Certificates, read from their files.

use std::path::Path;

use angzarr_adapters::RemoteTls;
use tonic::transport::{Certificate, Identity, ServerTlsConfig};

use super::RunError;
use crate::config::{ClientTls, ServerTls};

/// What the server proves itself with.
pub(super) fn server(tls: &ServerTls) -> Result<ServerTlsConfig, RunError> {
    choose_tls_provider();
    let certificate = read("server.tls.certificate", &tls.certificate)?;
    let key = read("server.tls.key", &tls.key)?;
    let config = ServerTlsConfig::new().identity(Identity::from_pem(certificate, key));
    match &tls.client_ca {
        None => Ok(config),
        Some(ca) => {
            let ca = read("server.tls.client_ca", ca)?;
            Ok(config.client_ca_root(Certificate::from_pem(ca)))
        }
    }
}

/// With object stores in the build there are two providers, and rustls takes neither by itself.
pub(crate) fn choose_tls_provider() {
    // That another one is in place already is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// What a store elsewhere is trusted by.
pub(super) fn client(tls: &ClientTls) -> Result<RemoteTls, RunError> {
    choose_tls_provider();
    let identity = match &tls.identity {
        None => None,
        Some((certificate, key)) => Some((
            read("storage.tls.certificate", certificate)?,
            read("storage.tls.key", key)?,
        )),
    };
    Ok(RemoteTls {
        ca: read("storage.tls.ca", &tls.ca)?,
        server_name: tls.server_name.clone(),
        identity,
    })
}

fn read(key: &str, path: &Path) -> Result<Vec<u8>, RunError> {
    std::fs::read(path)
        .map_err(|error| RunError::Configuration(format!("{key}: {}: {error}", path.display())))
}
