//! The bus of a server in a process of its own: NATS is away, the server is killed, and every event
//! is in the stream once.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use angzarr_proto::store::v1 as pb;
use angzarr_proto::store::v1::event_store_client::EventStoreClient;
use angzarr_proto::v1;
use async_nats::ConnectOptions;
use async_nats::jetstream;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use serde_json::Value;

use super::support::{ROOT, Server};
use crate::nats_server::{NatsServer, Place};

const PATIENCE: Duration = Duration::from_secs(30);

fn start(folder: &Path, bus: &str) -> Server {
    let config = format!("server: {{listen: ['127.0.0.1:0']}}\nbus: {bus}\n");
    fs::write(folder.join("angzarr.yaml"), config).unwrap();
    Server::start_with(folder, &["--set", "storage.index=memory"])
}

/// Asks for the bus until it is as it should be.
fn bus_when(server: &Server, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let shown = server.run(&["consumers", "--json"]).ok();
        let shown: Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(shown["name"], "bus.nats");
        if is(&shown) {
            return shown;
        }
        assert!(begun.elapsed() < PATIENCE, "not {what}: {shown}");
    }
}

fn bus_done(server: &Server) {
    bus_when(server, "done", |bus| bus["lag"] == 0 && bus["error"] == "");
}

/// What the stream holds: the text of each event, by subject and in order.
async fn held(options: ConnectOptions, place: &Place) -> BTreeMap<String, Vec<String>> {
    let client = options.connect(place.url()).await.unwrap();
    let stream = jetstream::new(client).get_stream("ANGZARR").await.unwrap();
    let mut held: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for sequence in 1..=stream.cached_info().state.last_sequence {
        let message = stream.get_raw_message(sequence).await.unwrap();
        let book: v1::EventBook = prost::Message::decode(message.payload).unwrap();
        for page in book.pages {
            let Some(v1::event_page::Payload::Event(event)) = page.payload else {
                panic!("{page:?}");
            };
            let texts = held.entry(message.subject.to_string()).or_default();
            texts.push(String::from_utf8_lossy(&event.value).into_owned());
        }
    }
    held
}

fn metrics(server: &Server) -> String {
    let address = server.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("GET /metrics HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_why_the_bus_waits_and_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let Some(place) = Place::find(folder.path()) else {
        return;
    };
    let url = place.url().replace("nats://", "nats://angzarr:geheim@");
    let bus = format!("{{type: nats, url: '{url}', domains: [order]}}");
    let server = start(folder.path(), &bus);
    server.run(&["append", "order", ROOT, "--data", "x"]).ok();
    server.run(&["append", "stock", ROOT, "--data", "y"]).ok();
    let shown = bus_when(&server, "told of", |bus| bus["error"] != "");
    let error = shown["error"].as_str().unwrap();
    assert!(error.contains("127.0.0.1:"), "{error}");
    assert!(!error.contains("geheim"), "{error}");
    assert_eq!(shown["done"], 0);
    let table = server.run(&["consumers"]).ok();
    assert!(table.contains("trying again: "), "{table}");

    let wrong = place.start_with(&["--user", "angzarr", "--pass", "other"]);
    let refused = |bus: &Value| bus["error"].as_str().unwrap().contains("uthorization");
    bus_when(&server, "refused", refused);
    drop(wrong);
    let _nats = place.start_with(&["--user", "angzarr", "--pass", "geheim"]);
    bus_done(&server);
    let options = ConnectOptions::with_user_and_password("angzarr".into(), "geheim".into());
    let held = held(options, &place).await;
    let subject = format!("angzarr.order.{}", ROOT.replace('-', ""));
    assert_eq!(held.into_keys().collect::<Vec<_>>(), [subject]);
    let metrics = metrics(&server);
    let count = metrics.lines().find(|line| {
        line.starts_with("angzarr_bus_publish_duration_seconds_count") && line.contains("ok")
    });
    let count = count.unwrap_or_else(|| panic!("{metrics}"));
    assert!(
        count.contains("bus=\"nats\"") && count.ends_with(" 1"),
        "{count}"
    );
    assert_eq!(server.run(&["dead-letters"]).ok(), "no dead letters\n");
}

/// One event for each of some aggregates, with its number in the order of appends.
async fn append(store: &mut EventStoreClient<tonic::transport::Channel>, number: u32) {
    let event = prost_types::Any {
        type_url: "t/test.Event".to_owned(),
        value: number.to_string().into_bytes(),
    };
    let page = v1::EventPage {
        payload: Some(v1::event_page::Payload::Event(event)),
        ..Default::default()
    };
    let write = |domain: &str| pb::AggregateAppend {
        cover: Some(v1::Cover {
            domain: domain.to_owned(),
            root: Some(v1::Uuid {
                value: vec![u8::try_from(number % 7).unwrap(); 16],
            }),
            ..Default::default()
        }),
        pages: vec![page.clone()],
        ..Default::default()
    };
    let request = pb::AppendRequest {
        writes: vec![write("order"), write("stock")],
        ..Default::default()
    };
    store.append(request).await.unwrap();
}

/// SIGKILL in the middle of it, several times: every event once, in the order of its aggregate.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_leaves_every_event_in_the_stream_once() {
    let folder = tempfile::tempdir().unwrap();
    let Some(place) = Place::find(folder.path()) else {
        return;
    };
    let mut nats: NatsServer = place.start();
    let bus = format!("{{type: nats, url: '{}'}}", place.url());
    let mut server = start(folder.path(), &bus);
    let mut number = 0;
    for round in 0..4 {
        let channel = tonic::transport::Channel::from_shared(server.url.clone()).unwrap();
        let mut store = EventStoreClient::new(channel.connect().await.unwrap());
        for _ in 0..50 {
            append(&mut store, number).await;
            number += 1;
        }
        server.kill();
        if round == 1 {
            nats = nats.kill().start();
        }
        server = start(folder.path(), &bus);
    }
    bus_done(&server);
    let held = held(ConnectOptions::new(), &place).await;
    assert_eq!(held.len(), 14);
    for (subject, texts) in held {
        let root = u32::from_str_radix(&subject[subject.len() - 2..], 16).unwrap();
        let expected: Vec<String> = (root..number).step_by(7).map(|n| n.to_string()).collect();
        assert_eq!(texts, expected, "{subject}");
    }
    drop(nats);
}

#[tokio::test(flavor = "multi_thread")]
async fn nats_is_spoken_to_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    let Some(place) = Place::find(folder.path()) else {
        return;
    };
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    let file = |name: &str, text: String| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let authority = file("ca.pem", ca.pem());
    let made = |name: &str, purpose: ExtendedKeyUsagePurpose| {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.extended_key_usages = vec![purpose];
        let certificate = params.signed_by(&key, &ca).unwrap();
        let key = file(&format!("{name}.key"), key.serialize_pem());
        (file(&format!("{name}.pem"), certificate.pem()), key)
    };
    let (certificate, key) = made("nats", ExtendedKeyUsagePurpose::ServerAuth);
    let (own, own_key) = made("angzarr", ExtendedKeyUsagePurpose::ClientAuth);
    let _nats = place.start_with(&[
        "--tlsverify",
        &format!("--tlscert={certificate}"),
        &format!("--tlskey={key}"),
        &format!("--tlscacert={authority}"),
    ]);
    let url = place.url().replace("nats://", "tls://");
    let tls = format!("{{ca: {authority}, certificate: {own}, key: {own_key}}}");
    let server = start(
        folder.path(),
        &format!("{{type: nats, url: '{url}', tls: {tls}}}"),
    );
    server.run(&["append", "order", ROOT, "--data", "x"]).ok();
    bus_done(&server);
    // With object stores in the build there are two providers, as there are for the server.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let options = ConnectOptions::new()
        .add_root_certificates(authority.into())
        .add_client_certificate(own.into(), own_key.into())
        .require_tls(true);
    assert_eq!(held(options, &place).await.len(), 1);
}
