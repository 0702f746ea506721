//! The reads whose answers are many: sent as the frames that the store makes, where the usual
//! codec would copy each message once more.

use std::convert::Infallible;
use std::task::{Context, Poll};

use angzarr_proto::decoder;
use angzarr_proto::store::v1 as pb;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body::Frame;
use http_body_util::StreamBody;
use pb::event_store_server::EventStoreServer;
use prost::Message;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::{Status, Streaming};
use tower::Service;

use super::{Answers, StoreService};
use crate::telemetry::describe;

/// `EventStore` over gRPC.
#[derive(Clone)]
pub(super) struct Framed {
    service: StoreService,
    /// Everything that is not answered here.
    others: EventStoreServer<StoreService>,
    message_bytes_max: usize,
}

/// What is answered here.
#[derive(Clone, Copy)]
enum Rpc {
    Read,
    ReadAll,
    Subscribe,
}

impl Framed {
    pub(super) fn new(service: StoreService, message_bytes_max: usize) -> Self {
        let others = EventStoreServer::new(service.clone());
        Self {
            service,
            others: others.max_decoding_message_size(message_bytes_max),
            message_bytes_max,
        }
    }

    async fn answer(self, rpc: Rpc, request: Request<Body>) -> Result<Response<Body>, Status> {
        let (service, max) = (self.service, self.message_bytes_max);
        let frames = match rpc {
            Rpc::Read => service.read_frames(only_message(request, max).await?).await,
            Rpc::ReadAll => {
                let request = only_message(request, max).await?;
                service.record_frames(request, false).await
            }
            Rpc::Subscribe => {
                let request = only_message(request, max).await?;
                service.record_frames(request, true).await
            }
        };
        Ok(response(frames?))
    }
}

impl StoreService {
    async fn read_frames(&self, request: pb::ReadRequest) -> Result<Answers<Bytes>, Status> {
        describe(request.cover.as_ref());
        let chunks = self.store.read(request).await?;
        Ok(chunks
            .map_ok(pb::ReadResponse::into_frame)
            .map_err(Status::from)
            .boxed())
    }

    async fn record_frames(
        &self,
        request: pb::ReadAllRequest,
        stay: bool,
    ) -> Result<Answers<Bytes>, Status> {
        let frames = self.store.record_frames(request, stay).await?;
        let frames = frames.map_err(Status::from);
        Ok(if stay {
            self.until_shutdown(frames)
        } else {
            frames.boxed()
        })
    }
}

impl NamedService for Framed {
    const NAME: &'static str = <EventStoreServer<StoreService> as NamedService>::NAME;
}

impl Service<Request<Body>> for Framed {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let method = request.uri().path().rsplit('/').next();
        let rpc = match method {
            Some("Read") => Rpc::Read,
            Some("ReadAll") => Rpc::ReadAll,
            Some("Subscribe") => Rpc::Subscribe,
            _ => return self.others.call(request),
        };
        let answer = self.clone().answer(rpc, request);
        Box::pin(async { Ok(answer.await.unwrap_or_else(Status::into_http)) })
    }
}

/// The one message of a request.
async fn only_message<T>(request: Request<Body>, max: usize) -> Result<T, Status>
where
    T: Message + Default + Send + 'static,
{
    let body = request.into_body();
    let mut messages = Streaming::new_request(decoder::<T>(), body, None, Some(max));
    let message = messages.message().await?;
    message.ok_or_else(|| Status::invalid_argument("the request has no message"))
}

fn response(frames: impl Stream<Item = Result<Bytes, Status>> + Send + 'static) -> Response<Body> {
    let done = stream::once(async { Err(Status::ok("")) });
    let parts = frames.chain(done).scan(false, |over, frame| {
        let part = (!*over).then(|| match frame {
            Ok(bytes) => Ok(Frame::data(bytes)),
            Err(status) => {
                *over = true;
                let mut trailers = HeaderMap::new();
                status.add_header(&mut trailers)?;
                Ok::<_, Status>(Frame::trailers(trailers))
            }
        });
        std::future::ready(part)
    });
    let mut response = Response::new(Body::new(StreamBody::new(parts)));
    let grpc = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(header::CONTENT_TYPE, grpc);
    response
}
