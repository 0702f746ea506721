//! From messages and statuses to HTTP responses.

use axum::body::Body;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::{StreamExt, stream};
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use prost::Message;
use prost_reflect::MessageDescriptor;
use serde_json::{Value, json};
use tonic::{Code, Status, Streaming};
use tonic_types::pb;

use crate::json::Json;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const LINES: HeaderValue = HeaderValue::from_static("application/x-ndjson");
const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");

/// One message.
pub(super) fn single(
    json: &Json,
    output: &MessageDescriptor,
    message: &[u8],
) -> Result<Response, Status> {
    let value = json.write(output, message).map_err(Status::internal)?;
    Ok(respond(StatusCode::OK, JSON, Body::from(value.to_string())))
}

/// Messages as they come: Server-Sent Events, or one JSON object a line for those who accept
/// `application/x-ndjson`. A failure on the way is the last of them.
pub(super) fn stream(
    messages: Streaming<Bytes>,
    json: Json,
    output: MessageDescriptor,
    headers: &HeaderMap,
) -> Response {
    let lines = headers
        .get(ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("application/x-ndjson"));
    let parts = stream::unfold(Some(messages), move |messages| {
        let (json, output) = (json.clone(), output.clone());
        async move {
            let mut messages = messages?;
            let next = messages.next().await?;
            let written =
                next.and_then(|message| json.write(&output, &message).map_err(Status::internal));
            let (part, rest) = match written {
                Ok(value) => (item(&value, lines), Some(messages)),
                Err(status) => (last(&problem(&status, Some(&json)), lines), None),
            };
            Some((Ok::<_, std::convert::Infallible>(part), rest))
        }
    });
    let kind = if lines { LINES } else { EVENTS };
    let mut response = respond(StatusCode::OK, kind, Body::from_stream(parts));
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// A refusal.
pub(super) fn failure(status: &Status, json: Option<&Json>) -> Response {
    let body = Body::from(problem(status, json).to_string());
    respond(http_status(status.code()), JSON, body)
}

fn item(value: &Value, lines: bool) -> String {
    if lines {
        format!("{value}\n")
    } else {
        format!("data: {value}\n\n")
    }
}

fn last(problem: &Value, lines: bool) -> String {
    if lines {
        format!("{}\n", json!({"error": problem}))
    } else {
        format!("event: error\ndata: {problem}\n\n")
    }
}

/// `google.rpc.Status` as JSON.
fn problem(status: &Status, json: Option<&Json>) -> Value {
    let rich = pb::Status::decode(status.details()).unwrap_or_default();
    let details: Vec<Value> = rich.details.iter().map(|any| detail(any, json)).collect();
    json!({
        "code": i32::from(status.code()),
        "message": status.message(),
        "details": details,
    })
}

fn detail(any: &prost_types::Any, json: Option<&Json>) -> Value {
    if any.type_url.ends_with("/google.rpc.ErrorInfo")
        && let Ok(info) = pb::ErrorInfo::decode(any.value.as_slice())
    {
        return json!({
            "@type": any.type_url,
            "reason": info.reason,
            "domain": info.domain,
            "metadata": info.metadata,
        });
    }
    json.and_then(|json| json.write_named("google.protobuf.Any", any).ok())
        .unwrap_or_else(|| json!({"@type": any.type_url, "value": STANDARD.encode(&any.value)}))
}

fn http_status(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => {
            StatusCode::BAD_REQUEST
        }
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        // What nginx made of it, and the usual mapping of gRPC since: the client went away.
        Code::Cancelled => StatusCode::from_u16(499).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn respond(status: StatusCode, kind: HeaderValue, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
