//! One request and its answer on an HTTP/2 connection.

use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::future::BoxFuture;
use h2::{Reason, RecvStream};
use http::header::USER_AGENT;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::BodyExt;
use tonic::Status;
use tonic::body::Body;
use tower::Service;

use super::Open;

/// The name under which the server calls business code.
const NAME: HeaderValue = HeaderValue::from_static(concat!("angzarr/", env!("CARGO_PKG_VERSION")));

/// What comes behind the head of an answer.
pub(in crate::handler) struct Answer {
    stream: RecvStream,
    /// Whether only trailers are left.
    read: bool,
}

impl Service<Request<Body>> for Open {
    type Response = Response<Answer>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Response<Answer>, Status>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Status>> {
        let ready = self.sender.poll_ready(context);
        ready.map_err(|error| self.broken(error))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let mut open = self.clone();
        Box::pin(async move { open.exchange(request).await })
    }
}

impl Open {
    async fn exchange(&mut self, request: Request<Body>) -> Result<Response<Answer>, Status> {
        let (mut head, body) = request.into_parts();
        head.headers.insert(USER_AGENT, NAME);
        // A call has one message: it goes out with the flag that says so, not with a frame of its
        // own behind it.
        let message = body.collect().await?.to_bytes();
        let sent = self
            .sender
            .send_request(Request::from_parts(head, ()), false);
        let (response, mut stream) = sent.map_err(|error| self.broken(error))?;
        stream.send_data(message, true).map_err(Status::from)?;
        let response = response.await.map_err(Status::from)?;
        Ok(response.map(|stream| Answer {
            stream,
            read: false,
        }))
    }

    /// Leaves the connection to the calls that are under way.
    fn broken(&self, error: h2::Error) -> Status {
        self.closed.store(true, Ordering::Relaxed);
        error.into()
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        if !this.read {
            match ready!(this.stream.poll_data(context)) {
                Some(Ok(data)) => {
                    // A stream that is over needs no more credit.
                    let _ = this.stream.flow_control().release_capacity(data.len());
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                // The peer has said all it has to say (RFC 9113, section 8.1).
                Some(Err(error)) if error.reason() == Some(Reason::NO_ERROR) => {
                    return Poll::Ready(None);
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                None => this.read = true,
            }
        }
        let trailers: Option<HeaderMap> =
            ready!(this.stream.poll_trailers(context)).map_err(Status::from)?;
        Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }
}
