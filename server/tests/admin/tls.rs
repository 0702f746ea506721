//! TLS on the server and toward a store elsewhere, with certificates made for the test.

use std::path::Path;

use angzarr_adapters::{EventStore, RemoteStore, RemoteTls, StoreError};
use angzarr_proto::store::v1::StatsRequest;
use angzarr_proto::v1::MergeStrategy;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::server::{Server, command, cover};

/// An authority, and what it signed.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    /// Certificate and key for a name, in PEM.
    fn sign(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn trust(&self, server_name: &str) -> RemoteTls {
        RemoteTls {
            ca: self.0.pem().into(),
            server_name: Some(server_name.into()),
            identity: None,
        }
    }

    /// Writes what a server named `angzarr.test` needs, and gives its settings.
    fn server(&self, folder: &Path) -> String {
        let (certificate, key) = self.sign("angzarr.test");
        let write = |name: &str, text: String| {
            let path = folder.join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        format!(
            "{{certificate: '{}', key: '{}'}}",
            write("server.pem", certificate),
            write("server.key", key)
        )
    }
}

async fn stats(url: &str, tls: Option<RemoteTls>) -> Result<u64, StoreError> {
    let store = RemoteStore::connect_with(url, tls)?;
    Ok(store.stats(StatsRequest {}).await?.position)
}

#[tokio::test]
async fn only_those_who_trust_the_server_talk_to_it() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let tls = authority.server(folder.path());
    let server = Server::start_in(folder, &[("server.tls", &tls)]).await;
    assert!(server.url.starts_with("https://"), "{}", server.url);

    let position = stats(&server.url, Some(authority.trust("angzarr.test"))).await;
    assert_eq!(position.unwrap(), 0);
    for stranger in [
        stats(&server.url, Some(Authority::new().trust("angzarr.test"))).await,
        stats(&server.url, Some(authority.trust("another.test"))).await,
        stats(&server.url.replacen("https", "http", 1), None).await,
    ] {
        assert!(
            matches!(stranger, Err(StoreError::Unavailable(_))),
            "{stranger:?}"
        );
    }
}

#[tokio::test]
async fn a_client_shows_who_it_is_where_that_is_asked_for() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, authority.0.pem()).unwrap();
    let tls = authority.server(folder.path());
    let tls = tls.replace('}', &format!(", client_ca: '{}'}}", ca.display()));
    let server = Server::start_in(folder, &[("server.tls", &tls)]).await;

    let nobody = authority.trust("angzarr.test");
    assert!(stats(&server.url, Some(nobody.clone())).await.is_err());
    let identify = |authority: &Authority| {
        let (certificate, key) = authority.sign("client.test");
        RemoteTls {
            identity: Some((certificate.into(), key.into())),
            ..nobody.clone()
        }
    };
    stats(&server.url, Some(identify(&authority)))
        .await
        .unwrap();
    let forged = identify(&Authority::new());
    assert!(stats(&server.url, Some(forged)).await.is_err());
}

#[tokio::test]
async fn a_coordinator_uses_a_store_behind_tls() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, authority.0.pem()).unwrap();
    let tls = authority.server(folder.path());
    let store = Server::start_in(folder, &[("server.tls", &tls)]).await;
    let remote = format!(
        "{{type: remote, url: '{}', tls: {{ca: '{}', server_name: angzarr.test}}}}",
        store.url,
        ca.display()
    );
    let coordinator = Server::start_with(&[("storage", &remote)]).await;
    let add = command(1, "Add", 0, MergeStrategy::MergeStrict);
    coordinator.commands().handle_command(add).await.unwrap();
    assert_eq!(coordinator.book(cover(1)).await.pages.len(), 1);
    let position = stats(&store.url, Some(authority.trust("angzarr.test"))).await;
    assert_eq!(position.unwrap(), 1);
}
