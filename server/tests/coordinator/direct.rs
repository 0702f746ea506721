//! §4, §6, §7 Components run at the request of a client.

use angzarr_proto::v1::process_manager_coordinator_service_client::ProcessManagerCoordinatorServiceClient;
use angzarr_proto::v1::projector_coordinator_service_client::ProjectorCoordinatorServiceClient;
use angzarr_proto::v1::saga_coordinator_service_client::SagaCoordinatorServiceClient;
use angzarr_proto::v1::{
    CommandBook, EventBook, EventRequest, PageHeader, ProcessManagerCoordinatorRequest,
    ProcessManagerHandleRequest, ProcessManagerHandleResponse, Projection, SagaHandleRequest,
    SpeculatePmRequest, SpeculateProjectorRequest, SpeculateSagaRequest, SyncMode, page_header,
};
use angzarr_server::registry::{ReactionKind, ReactionSettings};
use tonic::Code;

use crate::counter::added;
use crate::messages::*;
use crate::reactor::{Reactor, emitted, input};
use crate::sagas::{Shop, commanding, saga};

/// Two events of the counter, as a client knows them.
fn events(correlation_id: &str) -> EventBook {
    let mut pages = vec![added(1), added(2)];
    for (place, page) in pages.iter_mut().enumerate() {
        page.header = Some(PageHeader {
            sequence_type: Some(page_header::SequenceType::Sequence(place as u32)),
            sync_mode: None,
        });
    }
    let mut cover = cover(1);
    cover.correlation_id = correlation_id.into();
    EventBook {
        cover: Some(cover),
        pages,
        next_sequence: 2,
        snapshot: None,
    }
}

/// Not in the way of what the test asks for.
async fn elsewhere(settings: ReactionSettings, world_inputs: &str) -> ReactionSettings {
    ReactionSettings {
        inputs: vec![input(world_inputs, &[]), input("counter", &["Added"])],
        ..settings
    }
}

#[tokio::test]
async fn s4_a_client_may_run_sagas_and_ask_what_they_would_do() {
    let reactor = commanding(|root| vec![emitted("stock", root, add(5))]);
    let shop = Shop::with(vec![elsewhere(saga(&reactor).await, "x").await]).await;
    let mut client = SagaCoordinatorServiceClient::new(shop.world.channel.clone());
    let request = SagaHandleRequest {
        source: Some(events("")),
        ..SagaHandleRequest::default()
    };
    let speculation = SpeculateSagaRequest {
        request: Some(request.clone()),
    };
    let answer = client
        .execute_speculative(speculation)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(answer.commands.len(), 1);
    assert_eq!(shop.world.total("stock", 1).await, 0);
    for _ in 0..2 {
        let answer = client.execute(request.clone()).await.unwrap().into_inner();
        assert_eq!(answer.commands.len(), 1);
        assert_eq!(shop.world.total("stock", 1).await, 5, "once for each event");
    }
    let calls = reactor.translated.all();
    assert_eq!(
        sequences(calls[0].source.as_ref().unwrap()),
        [1],
        "the newest"
    );
    let refused = client
        .execute(SagaHandleRequest::default())
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("source"));
}

#[tokio::test]
async fn s7_a_client_may_run_projectors_and_ask_what_they_would_make() {
    let reactor = Reactor::new().projecting(|book| async move {
        Ok(Projection {
            sequence: book.next_sequence,
            ..Projection::default()
        })
    });
    let settings = reactor.component(ReactionKind::Projector, "totals").await;
    let shop = Shop::with(vec![elsewhere(settings, "x").await]).await;
    let mut client = ProjectorCoordinatorServiceClient::new(shop.world.channel.clone());
    let request = SpeculateProjectorRequest {
        events: Some(events("")),
    };
    let projection = client
        .handle_speculative(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (projection.sequence, projection.projector.as_str()),
        (2, "totals")
    );
    assert_eq!(
        (
            reactor.speculated.all().len(),
            reactor.projected.all().len()
        ),
        (1, 0)
    );
    let request = EventRequest {
        events: Some(events("")),
        ..EventRequest::default()
    };
    let projection = client.handle_sync(request).await.unwrap().into_inner();
    assert_eq!(projection.sequence, 2);
    client.handle(events("")).await.unwrap();
    assert_eq!(reactor.projected.all().len(), 2);
}

async fn manager(reactor: &Reactor) -> ReactionSettings {
    let settings = reactor
        .component(ReactionKind::ProcessManager, "shipping")
        .await;
    elsewhere(settings, "x").await
}

fn answering(commands: Vec<CommandBook>) -> Reactor {
    Reactor::new().processing(move |_| {
        let commands = commands.clone();
        async move {
            Ok(ProcessManagerHandleResponse {
                process_events: vec![EventBook {
                    pages: vec![added(1)],
                    ..EventBook::default()
                }],
                commands,
                ..ProcessManagerHandleResponse::default()
            })
        }
    })
}

#[tokio::test]
async fn s6_a_client_may_run_process_managers_and_ask_what_they_would_do() {
    let reactor = answering(vec![emitted("stock", 1, add(5))]);
    let shop = Shop::with(vec![manager(&reactor).await]).await;
    let mut client = ProcessManagerCoordinatorServiceClient::new(shop.world.channel.clone());
    let request = SpeculatePmRequest {
        request: Some(ProcessManagerHandleRequest {
            trigger: Some(events("p")),
            ..ProcessManagerHandleRequest::default()
        }),
    };
    let answer = client
        .handle_speculative(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(answer.commands.len(), 1);
    let request = ProcessManagerCoordinatorRequest {
        trigger: Some(events("")),
        ..ProcessManagerCoordinatorRequest::default()
    };
    let refused = client.handle(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("correlation_id"));
    let request = ProcessManagerCoordinatorRequest {
        trigger: Some(events("p")),
        sync_mode: SyncMode::Cascade.into(),
        ..ProcessManagerCoordinatorRequest::default()
    };
    let answer = client.handle(request.clone()).await.unwrap().into_inner();
    assert_eq!(sequences(&answer.process_events[0]), [0]);
    assert_eq!(
        shop.world.total("stock", 1).await,
        5,
        "a cascade is finished"
    );
    let again = client.handle(request).await.unwrap().into_inner();
    assert!(again.process_events.is_empty(), "recognised");
}

#[tokio::test]
async fn s6_a_decision_comes_back_before_the_process_manager_returns() {
    let deciding = |command| {
        let mut book = emitted("stock", 1, command);
        book.pages[0].header = Some(PageHeader {
            sequence_type: None,
            sync_mode: Some(SyncMode::Decision.into()),
        });
        book
    };
    for (command, refused) in [(add(5), false), (plain("Reject"), true)] {
        let reactor = answering(vec![deciding(command)]);
        let shop = Shop::with(vec![manager(&reactor).await]).await;
        let mut client = ProcessManagerCoordinatorServiceClient::new(shop.world.channel.clone());
        let request = ProcessManagerCoordinatorRequest {
            trigger: Some(events("p")),
            ..ProcessManagerCoordinatorRequest::default()
        };
        let answer = client.handle(request).await.unwrap().into_inner();
        assert_eq!(answer.notification.is_some(), refused);
        assert_eq!(shop.stock.calls().len(), 1, "decided when it returns");
    }
}
