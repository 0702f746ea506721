use angzarr_proto::Dialect;
use angzarr_proto::v1::event_query_service_server::{EventQueryService, EventQueryServiceServer};
use angzarr_proto::v1::{AggregateRoot, EventBook, Query};
use futures::{StreamExt, TryStreamExt};
use tonic::{Request, Response, Status, Streaming};

use super::{Answers, dialect_of};
use crate::coordinator::{Queries, Results};
use crate::handler::book_for_caller;
use crate::status;
use crate::telemetry::describe;

/// Queries over gRPC.
pub struct QueryService {
    queries: Queries,
}

impl QueryService {
    /// The service of `queries`, for requests of at most `message_bytes_max` bytes.
    #[must_use]
    pub fn server(queries: Queries, message_bytes_max: usize) -> EventQueryServiceServer<Self> {
        EventQueryServiceServer::new(Self { queries }).max_decoding_message_size(message_bytes_max)
    }
}

#[tonic::async_trait]
impl EventQueryService for QueryService {
    type GetEventsStream = Answers<EventBook>;
    type SynchronizeStream = Answers<EventBook>;
    type GetAggregateRootsStream = Answers<AggregateRoot>;

    async fn get_event_book(&self, request: Request<Query>) -> Result<Response<EventBook>, Status> {
        let dialect = dialect_of(&request);
        describe(request.get_ref().cover.as_ref());
        let book = self.queries.book(request.into_inner()).await;
        let mut book = book.map_err(|error| status::of(error, dialect))?;
        book_for_caller(&mut book, dialect);
        Ok(Response::new(book))
    }

    async fn get_events(
        &self,
        request: Request<Query>,
    ) -> Result<Response<Self::GetEventsStream>, Status> {
        let dialect = dialect_of(&request);
        describe(request.get_ref().cover.as_ref());
        let books = self.queries.books(request.into_inner());
        let books = books.map_err(|error| status::of(error, dialect))?;
        Ok(Response::new(translated(books, dialect)))
    }

    async fn synchronize(
        &self,
        request: Request<Streaming<Query>>,
    ) -> Result<Response<Self::SynchronizeStream>, Status> {
        let dialect = dialect_of(&request);
        let queries = self.queries.clone();
        let books = request.into_inner().and_then(move |query| {
            let queries = queries.clone();
            async move {
                let book = queries.book(query).await;
                let mut book = book.map_err(|error| status::of(error, dialect))?;
                book_for_caller(&mut book, dialect);
                Ok(book)
            }
        });
        Ok(Response::new(books.boxed()))
    }

    async fn get_aggregate_roots(
        &self,
        request: Request<()>,
    ) -> Result<Response<Self::GetAggregateRootsStream>, Status> {
        let dialect = dialect_of(&request);
        let roots = self
            .queries
            .roots()
            .map_err(move |error| status::of(error, dialect));
        Ok(Response::new(roots.boxed()))
    }
}

/// Books in the caller's dialect.
pub(super) fn translated(books: Results<EventBook>, dialect: Dialect) -> Answers<EventBook> {
    books
        .map_ok(move |mut book| {
            book_for_caller(&mut book, dialect);
            book
        })
        .map_err(move |error| status::of(error, dialect))
        .boxed()
}
