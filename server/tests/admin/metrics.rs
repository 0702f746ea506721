//! §13: figures under their names, spans with what they are about, and trace context passed on.

use std::collections::BTreeMap;

use angzarr_proto::v1::MergeStrategy;
use http::{Method, StatusCode};

use crate::server::{Server, command, cover};

impl Server {
    /// Each line of `/metrics`: name with labels, and value.
    async fn figures(&self) -> BTreeMap<String, f64> {
        let (status, headers, body) = self.http(Method::GET, "/metrics", &[], String::new()).await;
        assert_eq!(status, StatusCode::OK);
        let kind = headers["content-type"].to_str().unwrap();
        assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
        let body = String::from_utf8(body.into()).unwrap();
        let lines = body.lines().filter(|line| !line.starts_with('#'));
        lines
            .map(|line| line.rsplit_once(' ').unwrap())
            .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
            .collect()
    }
}

/// The sum of the lines of a name that carry all of the labels.
fn sum(figures: &BTreeMap<String, f64>, name: &str, labels: &[&str]) -> f64 {
    let wanted = figures.iter().filter(|(line, _)| {
        line.split('{').next() == Some(name) && labels.iter().all(|label| line.contains(label))
    });
    wanted.map(|(_, value)| value).sum()
}

#[tokio::test]
async fn what_was_done_is_counted_under_the_published_names() {
    let server = Server::start().await;
    let before = server.figures().await;
    let mut commands = server.commands();
    let add = command(1, "Add", 0, MergeStrategy::MergeStrict);
    commands.handle_command(add.clone()).await.unwrap();
    commands.handle_command(add).await.unwrap_err();
    let stale = command(1, "Add", 0, MergeStrategy::MergeManual);
    commands.handle_command(stale).await.unwrap_err();
    // Commands keep in memory what they decided on; questions are read.
    for _ in 0..2 {
        assert_eq!(server.book(cover(1)).await.pages.len(), 1);
    }
    let after = server.figures().await;
    for (name, labels, gained) in [
        (
            "angzarr_command_total",
            &["domain=\"counter\"", "outcome=\"ok\""][..],
            1.0,
        ),
        (
            "angzarr_command_total",
            &["domain=\"counter\"", "outcome=\"error\""],
            2.0,
        ),
        (
            "angzarr_command_duration_seconds_count",
            &["domain=\"counter\""],
            3.0,
        ),
        ("angzarr_events_stored", &["domain=\"counter\""], 1.0),
        ("angzarr_events_loaded", &["domain=\"counter\""], 2.0),
        ("angzarr_dlq_publish_total", &["domain=\"counter\""], 1.0),
        (
            "angzarr_storage_duration_seconds_count",
            &["operation=\"append\""],
            2.0,
        ),
    ] {
        let counted = sum(&after, name, labels) - sum(&before, name, labels);
        assert!(
            (counted - gained).abs() < 0.5,
            "{name} {labels:?}: {counted}"
        );
    }
}

#[tokio::test]
async fn the_store_shows_its_state() {
    let server = Server::start().await;
    let add = command(1, "Add", 0, MergeStrategy::MergeStrict);
    server.commands().handle_command(add).await.unwrap();
    let figures = server.figures().await;
    let value = |name: &str| figures[name];
    assert!((value("angzarr_store_up") - 1.0).abs() < 0.5);
    assert!((value("angzarr_store_position") - 1.0).abs() < 0.5);
    assert!((value("angzarr_store_events") - 1.0).abs() < 0.5);
    assert!(value("angzarr_store_log_bytes") > 0.0);
    assert!(value("angzarr_store_segments") > 0.5);
    assert!(value("angzarr_store_poisoned") < 0.5);
    for name in [
        "angzarr_store_queued_appends",
        "angzarr_store_unindexed_bytes",
    ] {
        assert!(figures.contains_key(name), "{figures:#?}");
    }
}

#[tokio::test]
async fn trace_context_goes_through_grpc_and_rest() {
    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let server = Server::start().await;
    let mut request = tonic::Request::new(command(1, "Add", 0, MergeStrategy::MergeStrict));
    let metadata = request.metadata_mut();
    metadata.insert("traceparent", PARENT.parse().unwrap());
    server.commands().handle_command(request).await.unwrap();

    let body = serde_json::json!({"command": {
        "cover": {"root": {"value": "AgICAgICAgICAgICAgICAg=="}},
        "pages": [{"command": {"@type": "x/counter.Add", "value": ""}}],
    }});
    let headers = [("traceparent", PARENT)];
    let path = "/v1/ch/counter/commands";
    let (status, _, _) = server
        .http(Method::POST, path, &headers, body.to_string())
        .await;
    assert_eq!(status, StatusCode::OK);
    let calls = server.counter.calls.lock().unwrap();
    assert_eq!(calls.len(), 2);
    for (_, metadata) in calls.iter() {
        let passed = metadata.get("traceparent").unwrap().to_str().unwrap();
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(passed.split('-').nth(1), Some(trace), "{passed}");
    }
}
