//! §6 What a process manager owes, and §9 what it does in a cascade.

use std::time::Duration;

use angzarr_proto::Dialect;
use angzarr_proto::v1::{SyncMode, angzarr_dead_letter};
use angzarr_server::handler::Retries;
use angzarr_server::registry::ReactionSettings;

use crate::counter::{Counter, added};
use crate::messages::*;
use crate::process_managers::{manager, noting, order, process_cover};
use crate::reactor::{emitted, fact};
use crate::sagas::Shop;
use crate::world::*;

#[tokio::test]
async fn s6_an_obligation_outlives_the_process_that_stored_it() {
    let reactor = noting(|root| (vec![emitted("stock", root, add(5))], Vec::new()));
    let settings = manager(&reactor).await;
    let world = Setup {
        // Nobody serves the stock yet.
        others: vec![handler("stock", "http://127.0.0.1:1")],
        reactions: vec![ReactionSettings {
            retries: Retries {
                attempts: 1_000_000,
                min: Duration::from_millis(1),
                max: Duration::from_millis(20),
            },
            ..settings.clone()
        }],
        ..Setup::default()
    }
    .start()
    .await;
    world.sent(order(1)).await;
    world.stored("angzarr.outbox.shipping", 1).await;
    let folder = world.stop().await;
    let stock = Counter::new();
    let address = stock.serve(Dialect::V1).await;
    let world = Setup {
        others: vec![handler("stock", &address)],
        reactions: vec![settings],
        folder: Some(folder),
        ..Setup::default()
    }
    .start()
    .await;
    world.stored("stock", 1).await;
    assert_eq!(world.total("stock", 1).await, 5);
    assert_eq!(reactor.processed.all().len(), 1);
}

#[tokio::test]
async fn s6_an_obligation_that_cannot_be_done_is_a_dead_letter() {
    let reactor = noting(|root| (vec![emitted("stock", root, add(5))], Vec::new()));
    let world = Setup {
        others: vec![handler("stock", "http://127.0.0.1:1")],
        reactions: vec![manager(&reactor).await],
        ..Setup::default()
    }
    .start()
    .await;
    world.sent(order(1)).await;
    let letter = world.dead_letter("stock").await;
    let Some(angzarr_dead_letter::RejectionDetails::EventProcessingFailed(details)) =
        letter.rejection_details
    else {
        panic!();
    };
    assert_eq!((details.retry_count, details.is_transient), (4, true));
}

#[tokio::test]
async fn s6_in_a_cascade_everything_is_done_and_nothing_twice() {
    let reactor = noting(|root| {
        (
            vec![emitted("stock", root, add(5))],
            vec![fact("stock", root, added(10))],
        )
    });
    let shop = Shop::with(vec![manager(&reactor).await]).await;
    shop.world.sent(in_mode(order(1), SyncMode::Cascade)).await;
    assert_eq!(shop.world.total("stock", 1).await, 15);
    assert_eq!(shop.world.book(process_cover()).await.next_sequence, 1);
    // What is stored after it is delivered after it.
    shop.world.sent(order(2)).await;
    shop.world.stored("stock", 4).await;
    assert_eq!(shop.world.total("stock", 1).await, 15);
    assert_eq!(shop.stock.calls().len(), 2);
    assert_eq!(reactor.processed.all().len(), 2);
}

#[tokio::test]
async fn s9_a_process_takes_part_in_a_cascade() {
    let reactor = noting(|root| (vec![emitted("stock", root, add(5))], Vec::new()));
    let shop = Shop::with(vec![manager(&reactor).await]).await;
    let request = in_cascade(in_mode(order(1), SyncMode::Cascade), "c-1");
    shop.world.sent(request).await;
    assert_eq!(shop.world.total("stock", 1).await, 0);
    shop.world.commit("c-1").await;
    assert_eq!(shop.world.total("stock", 1).await, 5);
    let process = shop.world.book(process_cover()).await;
    assert_eq!(types(&process)[0], "Taken");
    let request = in_cascade(in_mode(order(2), SyncMode::Cascade), "c-2");
    shop.world.sent(request).await;
    shop.world.rollback("c-2").await;
    assert_eq!(shop.world.total("stock", 2).await, 0);
}
