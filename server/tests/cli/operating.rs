//! Consumers, dead letters and servers with TLS, as an operator meets them.

use std::fs;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::Value;

use super::support::{ROOT, Server, angzarr};

/// A projector that nobody serves: its events wait.
fn with_projector() -> (tempfile::TempDir, Server) {
    let folder = tempfile::tempdir().unwrap();
    let config = "server:\n  listen: ['127.0.0.1:0']\nprojectors:\n  - name: totals\n    \
                  address: http://127.0.0.1:1\n    inputs: [{domain: order}]\n";
    fs::write(folder.path().join("angzarr.yaml"), config).unwrap();
    let server = Server::start_with(folder.path(), &[]);
    (folder, server)
}

fn consumer(server: &Server, arguments: &[&str]) -> Value {
    let arguments = [&["consumers"], arguments, &["--json"]].concat();
    serde_json::from_str(&server.run(&arguments).ok()).unwrap()
}

#[test]
fn consumers_are_shown_and_steered() {
    let (_folder, server) = with_projector();
    let paused = consumer(&server, &["pause", "projector.totals"]);
    assert_eq!(paused["paused"], true);
    server.run(&["append", "order", ROOT, "--data", "x"]).ok();
    let shown = consumer(&server, &[]);
    assert_eq!(shown["name"], "projector.totals");
    assert_eq!((&shown["head"], &shown["lag"]), (&1.into(), &1.into()));
    let table = server.run(&["consumers"]).ok();
    assert!(table.contains("paused"), "{table}");
    let rebuilt = consumer(&server, &["rebuild", "projector.totals"]);
    assert_eq!(rebuilt["rebuilds"], 1);
    let resumed = consumer(&server, &["resume", "projector.totals"]);
    assert_eq!(resumed["paused"], false);
    let problem = server
        .run(&["consumers", "pause", "projector.total"])
        .fails(1);
    assert!(
        problem.contains("this server has projector.totals"),
        "{problem}"
    );
}

#[test]
fn a_server_without_components_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let text = server.run(&["consumers"]).ok();
    assert!(text.contains("no projectors"), "{text}");
    assert_eq!(server.run(&["dead-letters"]).ok(), "no dead letters\n");
    let problem = server.run(&["dead-letters", "show", "7"]).fails(1);
    assert!(problem.contains('7'), "{problem}");
    let problem = server.run(&["dead-letters", "--filter", "type=x"]).fails(1);
    assert!(problem.contains("type"), "{problem}");
}

#[test]
fn tools_speak_tls_to_a_server_that_they_are_told_to_trust() {
    let folder = tempfile::tempdir().unwrap();
    let mut ca = CertificateParams::new(Vec::<String>::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &ca).unwrap();
    let files = [
        ("ca.pem", ca.pem()),
        ("server.pem", certificate.pem()),
        ("server.key", key.serialize_pem()),
    ];
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let config = "server:\n  listen: ['127.0.0.1:0']\n  \
                  tls: {certificate: server.pem, key: server.key}\n";
    fs::write(folder.path().join("angzarr.yaml"), config).unwrap();
    let server = Server::start_with(folder.path(), &[]);
    assert!(server.url.starts_with("https://"), "{}", server.url);
    let append = ["append", "order", ROOT, "--data", "x", "--ca", "ca.pem"];
    server.run(&append).ok();
    let stats = server.run(&["stats", "--json", "--ca", "ca.pem"]).ok();
    let stats: Value = serde_json::from_str(&stats).unwrap();
    assert_eq!(stats["events"], 1);
    let problem = server.run(&["stats"]).fails(2);
    assert!(problem.contains("--ca"), "{problem}");
    let missing = ["stats", "--target", &server.url, "--ca", "none.pem"];
    let problem = angzarr(folder.path(), &missing).fails(2);
    assert!(problem.contains("none.pem"), "{problem}");
}
