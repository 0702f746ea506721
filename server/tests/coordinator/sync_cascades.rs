//! §9 Cascades through components.

use angzarr_proto::store::v1::ListParticipantsRequest;
use angzarr_proto::v1::CascadeErrorMode;

use crate::messages::*;
use crate::reactor::emitted;
use crate::sagas::{Shop, commanding};
use crate::synchronous::{cascade, failing, on_labels};
use crate::world::*;

#[tokio::test]
async fn s9_the_cascade_id_travels_and_commit_makes_all_of_it_visible() {
    let translator = commanding(|root| vec![emitted("stock", root, add(5))]);
    let shop = Shop::with(vec![on_labels(&translator).await]).await;
    let request = in_cascade(cascade(at_head(1, label("order"))), "c-1");
    shop.world.sent(request).await;
    let request = ListParticipantsRequest {
        cascade_id: "c-1".into(),
    };
    let participants = shop.world.store.list_participants(request).await.unwrap();
    let domains: Vec<_> = participants
        .participants
        .iter()
        .map(|participant| participant.cover.as_ref().unwrap().domain.as_str())
        .collect();
    assert_eq!(domains, ["counter", "stock"]);
    assert_eq!(shop.world.total("stock", 1).await, 0, "nobody else sees it");
    shop.world.commit("c-1").await;
    assert_eq!(shop.world.total("stock", 1).await, 5);
    // The saga ran for the event already.
    shop.world.sent(at_head(2, label("later"))).await;
    shop.world.stored("stock", 3).await;
    assert_eq!(translator.translated.all().len(), 2);
}

#[tokio::test]
async fn s2_compensate_in_a_cascade_revokes_all_of_it() {
    let translator = commanding(|root| {
        vec![
            emitted("stock", root, add(5)),
            emitted("stock", root, plain("Reject")),
        ]
    });
    let shop = Shop::with(vec![on_labels(&translator).await]).await;
    let request = failing(
        in_cascade(cascade(at_head(1, label("order"))), "c-1"),
        CascadeErrorMode::CascadeErrorCompensate,
    );
    let refused = shop.world.send(request).await.unwrap_err();
    assert_eq!(refused.message(), "full");
    let book = shop.world.book(cover(1)).await;
    assert_eq!(types(&book)[..2], ["NoOp", "NoOp"]);
    assert_eq!(shop.world.total("stock", 1).await, 0);
}

#[tokio::test]
async fn s9_a_cascade_that_nobody_settles_is_revoked() {
    let settings = angzarr_server::coordinator::Settings {
        cascade_timeout: std::time::Duration::from_millis(50),
        cascade_check: std::time::Duration::from_millis(20),
        ..angzarr_server::coordinator::Settings::default()
    };
    let world = Setup {
        settings,
        ..Setup::default()
    }
    .start()
    .await;
    world
        .sent(in_cascade(at_head(1, add(1)), "forgotten"))
        .await;
    let pages = world.stored("counter", 2).await;
    let revocation: angzarr_proto::v1::Revocation = unpack(&pages[1]);
    assert_eq!(revocation.reason, "timeout");
    assert_eq!(revocation.cascade_id, "forgotten");
    assert_eq!(world.state(1).await.value, 0);
}

#[tokio::test]
async fn s9_a_cascade_without_waiting_reaches_components_when_it_is_confirmed() {
    let translator = commanding(|root| vec![emitted("stock", root, add(5))]);
    let shop = Shop::with(vec![on_labels(&translator).await]).await;
    shop.world
        .sent(in_cascade(at_head(1, label("order")), "c-1"))
        .await;
    shop.world.sent(at_head(2, label("other"))).await;
    shop.world.stored("stock", 1).await;
    assert_eq!(translator.translated.all().len(), 1);
    shop.world.commit("c-1").await;
    shop.world.stored("stock", 2).await;
    assert_eq!(shop.world.total("stock", 1).await, 5);
}
