//! REST and JSON beside gRPC, generated from the HTTP options of the protocol.

use angzarr_proto::v1::MergeStrategy;
use futures::StreamExt;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::server::{Server, command};

const ROOT: &str = "01010101-0101-0101-0101-010101010101";
const ROOT_BASE64: &str = "AQEBAQEBAQEBAQEBAQEBAQ==";

fn add(sequence: u32) -> Value {
    json!({"command": {
        "cover": {"root": {"value": ROOT_BASE64}, "correlationId": "c-1"},
        "pages": [{
            "header": {"sequence": sequence},
            "mergeStrategy": "MERGE_STRICT",
            "command": {"@type": "type.googleapis.com/counter.Add", "value": "CAE="},
        }],
    }})
}

#[tokio::test]
async fn a_command_goes_in_and_its_events_come_out() {
    let server = Server::start().await;
    let (status, answer) = server.post("/v1/ch/counter/commands", add(0)).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(answer.pointer("/events/cover/domain").unwrap(), "counter");
    assert_eq!(
        answer.pointer("/events/pages/0/event").unwrap(),
        &json!({"@type": "type.googleapis.com/counter.Added", "value": "CAE="})
    );
    let path = format!("/v1/query/counter/events?cover.root={ROOT}");
    let (status, book) = server.get(&path).await;
    assert_eq!(status, StatusCode::OK, "{book}");
    assert_eq!(book.pointer("/pages/0"), answer.pointer("/events/pages/0"));
    assert_eq!(book["nextSequence"], 1);
}

#[tokio::test]
async fn a_refusal_is_a_status_with_its_details() {
    let server = Server::start().await;
    server.post("/v1/ch/counter/commands", add(0)).await;
    let (status, refusal) = server.post("/v1/ch/counter/commands", add(0)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(refusal["code"], 9);
    let message = refusal["message"].as_str().unwrap();
    assert!(message.starts_with("Sequence mismatch:"), "{message}");
    assert_eq!(
        refusal.pointer("/details/0/reason").unwrap(),
        "SEQUENCE_MISMATCH"
    );
    assert_eq!(refusal.pointer("/details/1/nextSequence").unwrap(), 1);

    let (status, refusal) = server.post("/v1/ch/unheard/commands", add(0)).await;
    assert_eq!(
        (status, &refusal["code"]),
        (StatusCode::NOT_FOUND, &json!(5))
    );
}

#[tokio::test]
async fn a_request_that_makes_no_sense_names_what_makes_none() {
    let server = Server::start().await;
    for (method, path, body, named) in [
        (
            Method::POST,
            "/v1/ch/counter/commands",
            "{\"comand\": {}}",
            "comand",
        ),
        (Method::POST, "/v1/ch/counter/commands", "[]", "object"),
        (Method::POST, "/v1/ch/counter/commands", "{", "JSON"),
        (Method::POST, "/v1/ch/counter/commands", "", "command.pages"),
        (
            Method::GET,
            "/v1/query/counter/events?colour=red",
            "",
            "colour",
        ),
        (
            Method::GET,
            "/v1/query/counter/events?range.lower=x",
            "",
            "range.lower",
        ),
        (
            Method::GET,
            "/v1/query/counter/events?cover.root.value=%25",
            "",
            "cover.root.value",
        ),
        (
            Method::GET,
            "/v1/query/counter/events?cover.domain.x=1",
            "",
            "domain",
        ),
        (Method::GET, "/api/dlq/one", "", "id:"),
    ] {
        let (status, _, answer) = server.http(method, path, &[], body.into()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path}");
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(answer["code"], 3, "{answer}");
        assert!(
            answer["message"].as_str().unwrap().contains(named),
            "{path}: {answer}"
        );
    }
    let (status, answer) = server.get("/v1/nothing").await;
    assert_eq!(
        (status, &answer["code"]),
        (StatusCode::NOT_FOUND, &json!(5))
    );
    let (status, _, _) = server
        .http(Method::PUT, "/api/dlq", &[], String::new())
        .await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn a_query_takes_its_selection_from_the_parameters() {
    let server = Server::start().await;
    for sequence in 0..4 {
        server.post("/v1/ch/counter/commands", add(sequence)).await;
    }
    let sequences = |book: &Value| -> Vec<u64> {
        let pages = book["pages"].as_array().unwrap();
        let sequence = |page: &Value| page.pointer("/header/sequence").unwrap().as_u64().unwrap();
        pages.iter().map(sequence).collect()
    };
    for (parameters, expected) in [
        ("range.lower=1&range.upper=2", vec![1, 2]),
        ("sequences.values=0&sequences.values=3", vec![0, 3]),
        ("temporal.asOfSequence=1", vec![0, 1]),
        ("temporal.as_of_time=2100-01-01T00:00:00Z", vec![0, 1, 2, 3]),
    ] {
        let path = format!("/v1/query/counter/events?cover.root={ROOT}&{parameters}");
        let (status, book) = server.get(&path).await;
        assert_eq!(status, StatusCode::OK, "{book}");
        assert_eq!(sequences(&book), expected, "{parameters}");
    }
}

#[tokio::test]
async fn lists_are_streamed_as_events_or_as_lines() {
    let server = Server::start().await;
    server.post("/v1/ch/counter/commands", add(0)).await;
    let path = "/v1/query/aggregates";
    let root = json!({"domain": "counter", "root": {"value": ROOT_BASE64}});
    let (status, headers, body) = server.http(Method::GET, path, &[], String::new()).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers["content-type"], "text/event-stream");
    let body = String::from_utf8(body.into()).unwrap();
    let data = body
        .strip_prefix("data: ")
        .unwrap()
        .strip_suffix("\n\n")
        .unwrap();
    assert_eq!(serde_json::from_str::<Value>(data).unwrap(), root);

    let lines = [("accept", "application/x-ndjson")];
    let (_, headers, body) = server.http(Method::GET, path, &lines, String::new()).await;
    assert_eq!(headers["content-type"], "application/x-ndjson");
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), root);
}

#[tokio::test]
async fn live_events_arrive_as_they_happen() {
    let server = Server::start().await;
    let stream = server
        .open(Method::GET, "/v1/stream/c-1", &[], String::new())
        .await;
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let mut parts = stream.into_body().into_data_stream();
    server.post("/v1/ch/counter/commands", add(0)).await;
    let part = parts.next().await.unwrap().unwrap();
    let text = std::str::from_utf8(&part).unwrap();
    let book: Value = serde_json::from_str(text.strip_prefix("data: ").unwrap().trim()).unwrap();
    assert_eq!(book.pointer("/cover/correlationId").unwrap(), "c-1");
    assert_eq!(book["pages"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn dead_letters_are_administered_over_http() {
    let server = Server::start().await;
    let mut commands = server.commands();
    let first = command(1, "Add", 0, MergeStrategy::MergeStrict);
    commands.handle_command(first).await.unwrap();
    for _ in 0..2 {
        let stale = command(1, "Add", 0, MergeStrategy::MergeManual);
        commands.handle_command(stale).await.unwrap_err();
    }
    let (status, listed) = server
        .get("/api/dlq?filter=domain%3Dcounter&page_size=1")
        .await;
    assert_eq!(status, StatusCode::OK, "{listed}");
    assert_eq!(listed["source"], "angzarr.dlq");
    let id = listed
        .pointer("/ok/entries/0/id")
        .unwrap()
        .as_str()
        .unwrap();
    let token = listed
        .pointer("/ok/nextPageToken")
        .unwrap()
        .as_str()
        .unwrap();
    let (_, older) = server.get(&format!("/api/dlq?page_token={token}")).await;
    assert_eq!(
        older
            .pointer("/ok/entries")
            .unwrap()
            .as_array()
            .unwrap()
            .len(),
        1
    );

    let (_, shown) = server.get(&format!("/api/dlq/{id}")).await;
    assert_eq!(shown.pointer("/ok/entry"), listed.pointer("/ok/entries/0"));
    let body = json!({"replayMode": "FRESH_SEQUENCE"});
    let (status, _) = server.post(&format!("/api/dlq/{id}/replay"), body).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "its name is another");
    let body = json!({"replayMode": "REPLAY_MODE_FRESH_SEQUENCE"});
    let (status, replayed) = server.post(&format!("/api/dlq/{id}/replay"), body).await;
    assert_eq!(status, StatusCode::OK, "{replayed}");
    assert_eq!(
        replayed.pointer("/ok/appliedMode").unwrap(),
        "REPLAY_MODE_FRESH_SEQUENCE"
    );
    let path = format!("/api/dlq/{id}");
    let (status, deleted) = server.json(Method::DELETE, &path, None).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(deleted.pointer("/ok/deleted").unwrap(), true);
    let (status, _) = server.get(&path).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}
