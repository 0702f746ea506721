use http::Response;
use tonic::body::Body;
use tonic::{Code, Status};

/// How tonic begins its refusal of a message above the limit.
const OVERSIZED: &str = "Error, decoded message length too large";

/// Answers a message above the limit as what it is, the caller's mistake. Anything else stays
/// as it is.
pub(crate) fn rephrase_response(response: Response<Body>) -> Response<Body> {
    match Status::from_header_map(response.headers()) {
        Some(status) if is_oversized(&status) => rephrase_status(status).into_http(),
        _ => response,
    }
}

/// The same for the requests of a stream, whose refusal does not pass as a response.
pub(crate) fn rephrase_status(status: Status) -> Status {
    if !is_oversized(&status) {
        return status;
    }
    let sizes = status.message().trim_start_matches(OVERSIZED);
    Status::invalid_argument(format!(
        "the request is larger than the server's message limit{sizes}: send less at a time"
    ))
}

fn is_oversized(status: &Status) -> bool {
    status.code() == Code::OutOfRange && status.message().starts_with(OVERSIZED)
}
