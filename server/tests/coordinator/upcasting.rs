//! Stored events in their newest form.

use std::time::Duration;

use angzarr_proto::v1::upcaster_service_server::{UpcasterService, UpcasterServiceServer};
use angzarr_proto::v1::{EventPage, UpcastRequest, UpcastResponse};
use angzarr_server::handler::Retries;
use angzarr_server::registry::UpcasterSettings;
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status};

use crate::counter::{Amount, added};
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

#[tokio::test]
async fn the_handler_sees_the_newest_form_and_the_store_keeps_the_old_one() {
    let world = world(false).await;
    world.add(1, 7).await;
    world.add(1, 1).await;
    let seen = world.counter.calls().pop().unwrap().request.events.unwrap();
    assert_eq!(unpack::<Amount>(&seen.pages[0]).amount, 14);
    assert_eq!(sequences(&seen), [0], "headers stay as they were");
    assert!(seen.pages[0].created_at.is_some());
    assert_eq!(world.state(1).await.value, 8);
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
    assert_eq!(world.book(cover(1)).await.next_sequence, 1);
}
