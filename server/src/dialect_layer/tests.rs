#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use angzarr_proto::Dialect;
use http::Request;

use super::to_canonical;

const CANONICAL: &str = "/angzarr_client.proto.angzarr.v1.EventQueryService/GetEvents";

fn routed(uri: &str) -> (String, Option<Dialect>) {
    let request = to_canonical(Request::builder().uri(uri).body(()).unwrap());
    (
        request.uri().to_string(),
        request.extensions().get().copied(),
    )
}

#[test]
fn every_dialect_reaches_the_canonical_service() {
    for dialect in Dialect::ALL {
        let path = dialect.method_path("EventQueryService", "GetEvents");
        assert_eq!(routed(&path), (CANONICAL.to_owned(), Some(dialect)));
    }
}

#[test]
fn the_authority_is_kept() {
    let (uri, dialect) = routed("http://host:1310/angzarr.EventQueryService/GetEvents");
    assert_eq!(uri, format!("http://host:1310{CANONICAL}"));
    assert_eq!(dialect, Some(Dialect::Client03));
}

#[test]
fn other_services_pass_as_they_are() {
    for path in [
        "/angzarr.store.v1.EventStore/Append",
        "/grpc.health.v1.Health/Check",
        "/",
    ] {
        assert_eq!(routed(path), (path.to_owned(), None));
    }
}
