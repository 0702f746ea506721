//! What operators do: §7 consumers watched and steered, §11 dead letters sent again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use angzarr_proto::admin::v1::consumer_admin_client::ConsumerAdminClient;
use angzarr_proto::admin::v1::{
    ListConsumersRequest, PauseConsumerRequest, RebuildConsumerRequest, ResumeConsumerRequest,
};
use angzarr_proto::status::dlq_admin_service_client::DlqAdminServiceClient;
use angzarr_proto::status::{
    ListDeadLettersRequest, ReplayDeadLetterRequest, list_dead_letters_response,
};
use angzarr_proto::v1::{Projection, SagaHandleRequest, SagaResponse};
use angzarr_server::registry::ReactionKind;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::messages::*;
use crate::reactor::{Reactor, emitted, root_of};
use crate::sagas::{Shop, saga};
use crate::world::*;

const NAME: &str = "projector.totals";

async fn watched(reactor: &Reactor) -> World {
    let totals = reactor.component(ReactionKind::Projector, "totals").await;
    Setup {
        reactions: vec![totals],
        ..Setup::default()
    }
    .start()
    .await
}

#[tokio::test]
async fn s7_consumers_are_shown_paused_and_resumed_over_grpc() {
    let reactor = Reactor::new();
    let world = watched(&reactor).await;
    let mut admin = ConsumerAdminClient::new(world.channel.clone());
    world.add(1, 1).await;
    let mut progress = world.consumers.follow(NAME).unwrap();
    progress
        .wait_for(|progress| progress.done == 1)
        .await
        .unwrap();
    let shown = admin.list_consumers(ListConsumersRequest {}).await.unwrap();
    let [consumer] = &shown.into_inner().consumers[..] else {
        panic!("one component is one consumer");
    };
    assert_eq!(consumer.name, NAME);
    assert_eq!((consumer.done, consumer.head, consumer.lag), (1, 1, 0));
    assert!(!consumer.paused);

    let request = PauseConsumerRequest { name: NAME.into() };
    let paused = admin.pause_consumer(request).await.unwrap().into_inner();
    assert!(paused.consumer.unwrap().paused);
    world.add(1, 1).await;
    world.add(2, 1).await;
    let shown = admin.list_consumers(ListConsumersRequest {}).await.unwrap();
    let consumer = shown.into_inner().consumers.remove(0);
    assert_eq!((consumer.head, consumer.lag), (3, 2));
    assert_eq!(reactor.projected.all().len(), 1);

    let request = ResumeConsumerRequest { name: NAME.into() };
    let resumed = admin.resume_consumer(request).await.unwrap().into_inner();
    assert!(!resumed.consumer.unwrap().paused);
    assert_eq!(reactor.projected.reach(3).await.len(), 3);
}

#[tokio::test]
async fn s7_a_rebuild_leaves_a_pause_as_it_is() {
    let reactor = Reactor::new();
    let world = watched(&reactor).await;
    let mut admin = ConsumerAdminClient::new(world.channel.clone());
    world.add(1, 1).await;
    reactor.projected.reach(1).await;
    world.consumers.pause(NAME).await.unwrap();
    let request = RebuildConsumerRequest { name: NAME.into() };
    admin.rebuild_consumer(request).await.unwrap();
    let mut progress = world.consumers.follow(NAME).unwrap();
    let now = progress.wait_for(|progress| progress.generation == 1).await;
    assert!(now.unwrap().paused);
    world.consumers.resume(NAME).await.unwrap();
    assert_eq!(reactor.projected.reach(2).await.len(), 2);
}

#[tokio::test]
async fn s7_an_unknown_consumer_is_refused_with_the_names_there_are() {
    let world = watched(&Reactor::new()).await;
    let mut admin = ConsumerAdminClient::new(world.channel.clone());
    let name = "projector.total".to_owned();
    let refusals = [
        admin
            .pause_consumer(PauseConsumerRequest { name: name.clone() })
            .await
            .err(),
        admin
            .resume_consumer(ResumeConsumerRequest { name: name.clone() })
            .await
            .err(),
        admin
            .rebuild_consumer(RebuildConsumerRequest { name })
            .await
            .err(),
    ];
    for refusal in refusals {
        let refusal = refusal.unwrap();
        assert_eq!(refusal.code(), Code::NotFound);
        assert!(refusal.message().contains(NAME), "{refusal}");
    }
}

/// Sends the only dead letter again.
pub(crate) async fn replay(channel: Channel) -> Result<(), Status> {
    let mut letters = DlqAdminServiceClient::new(channel);
    let answer = letters
        .list_dead_letters(ListDeadLettersRequest::default())
        .await?;
    let Some(list_dead_letters_response::State::Ok(ok)) = answer.into_inner().state else {
        panic!("the dead letters cannot be listed");
    };
    let [letter] = &ok.entries[..] else {
        panic!("not one letter: {:?}", ok.entries);
    };
    let request = ReplayDeadLetterRequest {
        id: letter.id,
        ..ReplayDeadLetterRequest::default()
    };
    letters.replay_dead_letter(request).await.map(|_| ())
}

#[tokio::test]
async fn s11_events_that_a_projector_did_not_take_are_handed_to_it_again() {
    let broken = Arc::new(AtomicBool::new(true));
    let state = Arc::clone(&broken);
    let reactor = Reactor::new().projecting(move |_| {
        let broken = state.load(Ordering::SeqCst);
        async move {
            if broken {
                return Err(Status::invalid_argument("not yet"));
            }
            Ok(Projection::default())
        }
    });
    let world = watched(&reactor).await;
    world.add(7, 1).await;
    world.dead_letter("counter").await;
    let refused = replay(world.channel.clone()).await.unwrap_err();
    assert!(refused.message().contains("not yet"), "{refused}");
    broken.store(false, Ordering::SeqCst);
    replay(world.channel.clone()).await.unwrap();
    let books = reactor.projected.all();
    assert_eq!(books.len(), 3);
    assert_eq!((root_of(&books[2]), sequences(&books[2])), (7, vec![0]));
}

#[tokio::test]
async fn s11_a_saga_that_gets_its_event_again_sends_nothing_twice() {
    let broken = Arc::new(AtomicBool::new(true));
    let state = Arc::clone(&broken);
    let reactor = Reactor::new().translating(move |request: SagaHandleRequest| {
        let broken = state.load(Ordering::SeqCst);
        let root = root_of(request.source.as_ref().unwrap());
        async move {
            if broken {
                return Err(Status::invalid_argument("not yet"));
            }
            Ok(SagaResponse {
                commands: vec![emitted("stock", root, add(5))],
                ..SagaResponse::default()
            })
        }
    });
    let shop = Shop::with(vec![saga(&reactor).await]).await;
    shop.world.add(1, 1).await;
    shop.world.dead_letter("counter").await;
    broken.store(false, Ordering::SeqCst);
    replay(shop.world.channel.clone()).await.unwrap();
    assert_eq!(shop.world.total("stock", 1).await, 5);
    // The event comes once more by way of a rebuild.
    shop.world.consumers.reset("saga.restock").await.unwrap();
    shop.world.add(1, 1).await;
    shop.world.stored("stock", 2).await;
    assert_eq!(shop.world.total("stock", 1).await, 10);
    assert_eq!(reactor.translated.all().len(), 4);
}
