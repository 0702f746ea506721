//! Stored events in their newest form.

use std::time::Duration;

use angzarr_proto::store::v1::{CommitCascadeRequest, ReadRequest};
use angzarr_proto::v1::upcaster_service_server::{UpcasterService, UpcasterServiceServer};
use angzarr_proto::v1::{
    EventBook, EventPage, EventStreamFilter, Query, SpeculateCommandHandlerRequest, TemporalQuery,
    UpcastRequest, UpcastResponse, temporal_query,
};
use angzarr_server::handler::Retries;
use angzarr_server::registry::UpcasterSettings;
use futures::{StreamExt, TryStreamExt};
use prost::Message;
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status};

use crate::counter::{Amount, added};
use crate::messages::*;
use crate::world::*;

/// Doubles amounts, and forgets the first page when asked to.
struct Doubler {
    forgetful: bool,
}

#[tonic::async_trait]
impl UpcasterService for Doubler {
    async fn upcast(
        &self,
        request: Request<UpcastRequest>,
    ) -> Result<Response<UpcastResponse>, Status> {
        let request = request.into_inner();
        assert_eq!(request.domain, "counter");
        let double = |page: EventPage| added(2 * unpack::<Amount>(&page).amount);
        let skip = usize::from(self.forgetful);
        let events = request.events.into_iter().skip(skip).map(double).collect();
        Ok(Response::new(UpcastResponse { events }))
    }
}

async fn world(forgetful: bool) -> World {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let service = UpcasterServiceServer::new(Doubler { forgetful });
    let server = Server::builder().add_service(service);
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    let upcaster = UpcasterSettings {
        domain: "counter".into(),
        address,
        dialect: None,
        timeout: Duration::from_secs(30),
        retries: Retries::default(),
    };
    Setup {
        upcasters: vec![upcaster],
        ..Setup::default()
    }
    .start()
    .await
}

/// What the store holds, whatever anybody is shown.
async fn stored(world: &World) -> Vec<u32> {
    let request = ReadRequest {
        cover: Some(cover(1)),
        ..ReadRequest::default()
    };
    let mut chunks = world.store.read(request).await.unwrap();
    let mut amounts = Vec::new();
    while let Some(chunk) = chunks.next().await {
        for page in chunk.unwrap().pages {
            let page = EventPage::decode(page).unwrap();
            amounts.push(unpack::<Amount>(&page).amount);
        }
    }
    amounts
}

fn amounts(book: &EventBook) -> Vec<u32> {
    let amount = |page| unpack::<Amount>(page).amount;
    book.pages.iter().map(amount).collect()
}

#[tokio::test]
async fn the_handler_sees_the_newest_form_and_the_store_keeps_the_old_one() {
    let world = world(false).await;
    world.add(1, 7).await;
    world.add(1, 1).await;
    let seen = world.counter.calls().pop().unwrap().request.events.unwrap();
    assert_eq!(amounts(&seen), [14]);
    assert_eq!(sequences(&seen), [0], "headers stay as they were");
    assert!(seen.pages[0].created_at.is_some());
    assert_eq!(stored(&world).await, [7, 1]);
}

#[tokio::test]
async fn queries_answer_with_the_newest_form() {
    let world = world(false).await;
    let request = correlated(at_head(1, add(7)), "corr-1");
    world.sent(request).await;
    world.add(1, 1).await;
    assert_eq!(amounts(&world.book(cover(1)).await), [14, 2]);
    let mut by_correlation = cover(1);
    by_correlation.root = None;
    by_correlation.correlation_id = "corr-1".into();
    for (cover, expected) in [(cover(1), vec![14, 2]), (by_correlation, vec![14])] {
        let query = Query {
            cover: Some(cover),
            selection: None,
        };
        let books = world.queries().get_events(query.clone()).await.unwrap();
        let books: Vec<EventBook> = books.into_inner().try_collect().await.unwrap();
        assert_eq!(books.iter().flat_map(amounts).collect::<Vec<_>>(), expected);
        let asked = tokio_stream::once(query);
        let books = world.queries().synchronize(asked).await.unwrap();
        let books: Vec<EventBook> = books.into_inner().try_collect().await.unwrap();
        assert_eq!(books.iter().flat_map(amounts).collect::<Vec<_>>(), expected);
    }
}

#[tokio::test]
async fn streams_deliver_the_newest_form() {
    let world = world(false).await;
    let filter = EventStreamFilter {
        correlation_id: "corr-1".into(),
    };
    let mut books = world
        .streams()
        .subscribe(filter)
        .await
        .unwrap()
        .into_inner();
    let request = correlated(at_head(1, add(7)), "corr-1");
    world.sent(request.clone()).await;
    assert_eq!(amounts(&books.next().await.unwrap().unwrap()), [14]);

    // Pending events, when they are confirmed.
    world.sent(in_cascade(request, "c1")).await;
    let commit = CommitCascadeRequest {
        cascade_id: "c1".into(),
    };
    world.store.commit_cascade(commit).await.unwrap();
    assert_eq!(amounts(&books.next().await.unwrap().unwrap()), [14]);
}

#[tokio::test]
async fn speculation_starts_from_the_newest_form() {
    let world = world(false).await;
    world.add(1, 7).await;
    world.add(1, 1).await;
    for (point, expected) in [
        (None, vec![14, 2]),
        (Some(temporal_query::PointInTime::AsOfSequence(0)), vec![14]),
    ] {
        let request = SpeculateCommandHandlerRequest {
            command: at_head(1, add(1)).command,
            point_in_time: point.map(|point| TemporalQuery {
                point_in_time: Some(point),
            }),
        };
        world
            .commands()
            .handle_sync_speculative(request)
            .await
            .unwrap();
        let seen = world.counter.calls().pop().unwrap().request.events.unwrap();
        assert_eq!(amounts(&seen), expected);
    }
}

#[tokio::test]
async fn an_upcaster_that_loses_events_stops_the_command() {
    let world = world(true).await;
    world.add(1, 7).await;
    let refused = world.send(at_head(1, add(1))).await.unwrap_err();
    assert_eq!(refused.code(), Code::Internal);
    assert!(
        refused.message().contains("upcaster of domain `counter`"),
        "{}",
        refused.message()
    );
    assert_eq!(stored(&world).await, [7]);
}
