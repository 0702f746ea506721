use angzarr_adapters::StoreError;
use angzarr_proto::store::v1 as pb;

use super::subject::{Subject, after, cover};

pub async fn checkpoints_move_forward_only(subject: Subject) {
    let get = async |consumer: &str| {
        let request = pb::GetPositionRequest {
            consumer: consumer.to_owned(),
        };
        subject
            .store
            .get_position(request)
            .await
            .expect("get")
            .position
    };
    let put = async |consumer: &str, position| {
        let checkpoint = Some(pb::Checkpoint {
            consumer: consumer.to_owned(),
            position,
        });
        subject
            .store
            .put_position(pb::PutPositionRequest { checkpoint })
            .await
    };
    assert_eq!(get("shipping").await, 0);
    put("shipping", 10).await.expect("the first");
    put("shipping", 10).await.expect("the same again");
    put("shipping", 12).await.expect("a later one");
    let error = put("shipping", 11).await.expect_err("an older one");
    assert!(matches!(error, StoreError::Refused(_)), "{error:?}");
    put("billing", 3).await.expect("another consumer's");
    assert_eq!((get("shipping").await, get("billing").await), (12, 3));
    let error = put("", 1).await.expect_err("nobody's");
    assert!(matches!(error, StoreError::Invalid(_)), "{error:?}");
}

pub async fn stats_count_what_is_stored(subject: Subject) {
    let before = subject
        .store
        .stats(pb::StatsRequest {})
        .await
        .expect("stats");
    let answer = subject.add(&cover("order", 1), &["a", "b", "c"]).await;
    assert_eq!(answer.next_sequence, 3);
    let stats = subject
        .store
        .stats(pb::StatsRequest {})
        .await
        .expect("stats");
    assert_eq!((before.events, stats.events), (0, 3));
    let last = subject
        .records(after(0))
        .await
        .last()
        .map(|record| record.position);
    assert_eq!(Some(stats.position), last);
    assert_eq!(stats.poisoned, "");
    assert!(!stats.durability.is_empty(), "{stats:?}");
}

pub async fn a_sealed_segment_is_still_read(subject: Subject) {
    let order = cover("order", 1);
    subject.add(&order, &["a", "b"]).await;
    let sealed = subject
        .store
        .seal_segment(pb::SealSegmentRequest {})
        .await
        .expect("seal");
    assert!(sealed.base_position.is_some(), "the segment held events");
    let again = subject
        .store
        .seal_segment(pb::SealSegmentRequest {})
        .await
        .expect("seal");
    assert_eq!(again.base_position, None, "nothing was written since");
    subject.add(&order, &["c"]).await;
    assert_eq!(subject.texts(&order).await, ["a", "b", "c"]);
    assert_eq!(subject.records(after(0)).await.len(), 3);
}
