use angzarr_proto::v1::event_stream_service_server::{
    EventStreamService, EventStreamServiceServer,
};
use angzarr_proto::v1::{Cover, EventBook, EventStreamFilter};
use futures::StreamExt;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::query::translated;
use super::{Answers, dialect_of};
use crate::coordinator::Streams;
use crate::status;
use crate::telemetry::describe;

/// Live events over gRPC.
pub struct StreamService {
    streams: Streams,
    shutdown: CancellationToken,
}

impl StreamService {
    /// The service of `streams`; `shutdown` ends what is subscribed.
    #[must_use]
    pub fn server(streams: Streams, shutdown: CancellationToken) -> EventStreamServiceServer<Self> {
        EventStreamServiceServer::new(Self { streams, shutdown })
    }
}

#[tonic::async_trait]
impl EventStreamService for StreamService {
    type SubscribeStream = Answers<EventBook>;

    async fn subscribe(
        &self,
        request: Request<EventStreamFilter>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let dialect = dialect_of(&request);
        describe(Some(&Cover {
            correlation_id: request.get_ref().correlation_id.clone(),
            ..Cover::default()
        }));
        let books = self.streams.subscribe(request.into_inner()).await;
        let books = books.map_err(|error| status::of(error, dialect))?;
        let shutdown = self.shutdown.clone().cancelled_owned();
        Ok(Response::new(
            translated(books, dialect).take_until(shutdown).boxed(),
        ))
    }
}
