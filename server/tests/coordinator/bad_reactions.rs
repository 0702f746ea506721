//! Components that hang, flap, answer too much or change their dialect: a clear error, a dead
//! letter at the most, and everybody else goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use angzarr_proto::Dialect;
use angzarr_proto::v1::{SagaHandleRequest, SagaResponse, angzarr_dead_letter};
use angzarr_server::handler::Retries;
use angzarr_server::registry::{ReactionKind, ReactionSettings};
use tonic::Status;

use crate::messages::*;
use crate::reactor::{Reactor, component, emitted, root_of};
use crate::sagas::{Shop, commanding, saga};

#[tokio::test]
async fn s4_a_saga_that_hangs_is_given_up_for_that_event_only() {
    let reactor = Reactor::new().translating(|request: SagaHandleRequest| async move {
        let root = root_of(request.source.as_ref().unwrap());
        if root == 1 {
            std::future::pending::<()>().await;
        }
        Ok(SagaResponse {
            commands: vec![emitted("stock", root, add(1))],
            events: Vec::new(),
        })
    });
    let settings = ReactionSettings {
        timeout: Duration::from_millis(100),
        ..saga(&reactor).await
    };
    let shop = Shop::with(vec![settings]).await;
    shop.world.add(1, 1).await;
    shop.world.add(2, 1).await;
    shop.world.stored("stock", 1).await;
    let letter = shop.world.dead_letter("counter").await;
    assert!(
        letter.rejection_reason.contains("did not answer within"),
        "{}",
        letter.rejection_reason
    );
    let Some(angzarr_dead_letter::RejectionDetails::EventProcessingFailed(details)) =
        letter.rejection_details
    else {
        panic!();
    };
    assert!(details.is_transient);
}

#[tokio::test]
async fn s4_a_saga_that_flaps_loses_and_doubles_nothing() {
    let calls = Arc::new(AtomicUsize::new(0));
    let reactor = Reactor::new().translating(move |request: SagaHandleRequest| {
        let call = calls.fetch_add(1, Ordering::SeqCst);
        let root = root_of(request.source.as_ref().unwrap());
        async move {
            match call % 3 {
                0 => Err(Status::unavailable("restarting")),
                1 => Err(Status::resource_exhausted("busy")),
                _ => Ok(SagaResponse {
                    commands: vec![emitted("stock", root, add(1))],
                    events: Vec::new(),
                }),
            }
        }
    });
    let settings = ReactionSettings {
        retries: Retries {
            attempts: 1000,
            min: Duration::from_millis(1),
            max: Duration::from_millis(2),
        },
        ..saga(&reactor).await
    };
    let shop = Shop::with(vec![settings]).await;
    for n in 0..20 {
        shop.world.add(n % 4, 1).await;
    }
    shop.world.stored("stock", 20).await;
    for root in 0..4 {
        assert_eq!(shop.world.total("stock", root).await, 5);
    }
    assert!(shop.world.dead_letters("counter").await.is_empty());
}

#[tokio::test]
async fn s4_a_saga_that_answers_too_much_is_a_dead_letter() {
    let reactor = commanding(|root| (0..1001).map(|_| emitted("stock", root, add(1))).collect());
    let shop = Shop::with(vec![saga(&reactor).await]).await;
    shop.world.add(1, 1).await;
    let letter = shop.world.dead_letter("counter").await;
    assert!(
        letter.rejection_reason.contains("1001"),
        "{}",
        letter.rejection_reason
    );
    assert!(shop.stock.calls().is_empty());
}

#[tokio::test]
async fn s4_a_saga_may_change_its_dialect_when_it_is_deployed_again() {
    let reactor = commanding(|root| vec![emitted("stock", root, add(1))]);
    let redeployed = Arc::new(AtomicBool::new(false));
    let address = reactor
        .serve_redeployed(Dialect::Client03, Dialect::V1, Arc::clone(&redeployed))
        .await;
    let shop = Shop::with(vec![component(ReactionKind::Saga, "restock", &address)]).await;
    shop.world.add(1, 1).await;
    shop.world.stored("stock", 1).await;
    redeployed.store(true, Ordering::SeqCst);
    shop.world.add(1, 1).await;
    shop.world.stored("stock", 2).await;
}

#[tokio::test]
async fn s4_a_command_without_a_root_is_refused_and_the_source_told() {
    let reactor = commanding(|root| {
        let mut command = emitted("stock", root, add(1));
        command.cover.as_mut().unwrap().root = None;
        vec![command]
    });
    let settings = ReactionSettings {
        inputs: vec![crate::reactor::input("counter", &["Labelled"])],
        ..saga(&reactor).await
    };
    let shop = Shop::with(vec![settings]).await;
    shop.world.sent(at_head(1, label("order"))).await;
    let pages = shop.world.stored("counter", 2).await;
    assert_eq!(unpack::<crate::counter::Amount>(&pages[1]).amount, 1000);
}

#[tokio::test]
async fn s7_a_projector_in_trouble_with_many_aggregates_keeps_no_other_waiting() {
    let reactor = Reactor::new().projecting(|book| async move {
        if root_of(&book) < 100 {
            return Err(Status::unavailable("not these"));
        }
        Ok(angzarr_proto::v1::Projection::default())
    });
    let settings = ReactionSettings {
        retries: Retries {
            attempts: 1_000_000,
            min: Duration::from_millis(20),
            max: Duration::from_millis(50),
        },
        ..reactor.component(ReactionKind::Projector, "totals").await
    };
    let shop = Shop::with(vec![settings]).await;
    // More in trouble than are worked on at a time.
    for root in 0..20 {
        shop.world.add(root, 1).await;
    }
    for root in 200..210 {
        shop.world.add(root, 1).await;
    }
    loop {
        let calls = reactor.projected.all();
        let fine: std::collections::BTreeSet<u8> = calls
            .iter()
            .map(root_of)
            .filter(|root| *root >= 200)
            .collect();
        if fine.len() == 10 {
            break;
        }
        reactor.projected.reach(calls.len() + 1).await;
    }
}
