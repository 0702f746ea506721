use angzarr_adapters::StoreError;
use angzarr_proto::store::v1 as pb;
use angzarr_proto::v1::{Cover, Snapshot, SnapshotRetention};
use pb::read_request::Selection;

use super::subject::{
    Subject, cover, everything_of, next, on, one, second, sequences, snapshot, write,
};

pub async fn a_snapshot_rides_with_its_pages(subject: Subject) {
    let order = cover("order", 1);
    subject.add(&order, &["a"]).await;
    subject.append(one(riding(&order, 2, &["b", "c"]))).await;
    let found = newest(&subject, &order).await.expect("a snapshot");
    assert_eq!((found.sequence, &found.state), (2, &snapshot(2).state));
    assert!(
        found.created_at.is_some(),
        "a snapshot is dated when it is stored"
    );
}

pub async fn a_snapshot_of_another_sequence_is_refused(subject: Subject) {
    let order = cover("order", 1);
    for sequence in [0, 2, 7] {
        let error = subject
            .refused(one(riding(&order, sequence, &["a", "b"])))
            .await;
        assert!(
            matches!(error, StoreError::Invalid(_)),
            "{sequence}: {error:?}"
        );
    }
    assert_eq!(subject.next_sequence(&order).await, 0);
    assert_eq!(newest(&subject, &order).await, None);
}

pub async fn a_refused_append_leaves_no_snapshot(subject: Subject) {
    let order = cover("order", 1);
    let write = pb::AggregateAppend {
        expected: next(5),
        ..riding(&order, 0, &["a"])
    };
    subject.refused(one(write)).await;
    assert_eq!(newest(&subject, &order).await, None);
}

pub async fn the_newest_one_starts_a_read(subject: Subject) {
    let order = cover("order", 1);
    subject.append(one(riding(&order, 1, &["a", "b"]))).await;
    subject.append(one(riding(&order, 2, &["c"]))).await;
    subject.add(&order, &["d", "e"]).await;
    let with = pb::ReadRequest {
        with_snapshot: true,
        ..everything_of(&order)
    };
    let book = subject.read(with).await;
    assert_eq!(book.snapshot.map(|snapshot| snapshot.sequence), Some(2));
    assert_eq!(sequences(&book.pages), [3, 4]);
    assert_eq!(book.next_sequence, 5);

    let without = subject.book(&order).await;
    assert_eq!((without.snapshot, without.pages.len()), (None, 5));
    let other = pb::ReadRequest {
        with_snapshot: true,
        ..everything_of(&cover("order", 2))
    };
    assert_eq!(subject.read(other).await.snapshot, None);
}

pub async fn as_of_reads_start_only_from_a_snapshot_that_serves(subject: Subject) {
    let order = cover("order", 1);
    subject.add(&order, &["a", "b", "c", "d", "e"]).await;
    for (sequence, at) in [(1, 1_000), (3, 3_000_000_000)] {
        let kept = Snapshot {
            retention: SnapshotRetention::RetentionPersist.into(),
            created_at: Some(second(at)),
            ..snapshot(sequence)
        };
        put(&subject, &order, kept).await.expect("put");
    }
    let read = async |selection| {
        let request = pb::ReadRequest {
            selection,
            with_snapshot: true,
            ..everything_of(&order)
        };
        let book = subject.read(request).await;
        (
            book.snapshot.map(|snapshot| snapshot.sequence),
            sequences(&book.pages),
        )
    };
    assert_eq!(read(None).await, (Some(3), vec![4]));
    assert_eq!(
        read(Some(Selection::AsOfSequence(4))).await,
        (Some(3), vec![4])
    );
    assert_eq!(
        read(Some(Selection::AsOfSequence(3))).await,
        (Some(3), vec![])
    );
    assert_eq!(
        read(Some(Selection::AsOfSequence(2))).await,
        (Some(1), vec![2])
    );
    assert_eq!(
        read(Some(Selection::AsOfSequence(0))).await,
        (None, vec![0])
    );
    // The events are from now, between the dates of the two snapshots.
    let now = Selection::AsOfTime(second(2_500_000_000));
    assert_eq!(read(Some(now)).await, (Some(1), vec![2, 3, 4]));
    assert_eq!(
        read(Some(Selection::AsOfTime(second(500)))).await,
        (None, vec![])
    );
}

pub async fn retention_keeps_what_it_must(subject: Subject) {
    let order = cover("order", 1);
    subject.add(&order, &["a", "b", "c", "d", "e"]).await;
    let steps = [
        (0, SnapshotRetention::RetentionPersist, vec![0]),
        (1, SnapshotRetention::RetentionDefault, vec![0, 1]),
        (2, SnapshotRetention::RetentionTransient, vec![0, 2]),
        (3, SnapshotRetention::RetentionPersist, vec![0, 3]),
        (4, SnapshotRetention::RetentionDefault, vec![0, 3, 4]),
    ];
    for (sequence, retention, kept) in steps {
        let new = Snapshot {
            retention: retention.into(),
            ..snapshot(sequence)
        };
        put(&subject, &order, new).await.expect("put");
        assert_eq!(listed(&subject, &order).await, kept);
    }
    for (at, found) in [(4, Some(4)), (3, Some(3)), (2, Some(0)), (0, Some(0))] {
        let request = pb::GetSnapshotRequest {
            cover: Some(order.clone()),
            at_or_below: Some(at),
        };
        let answer = subject.store.get_snapshot(request).await.expect("get");
        assert_eq!(
            answer.snapshot.map(|snapshot| snapshot.sequence),
            found,
            "at {at}"
        );
    }
    // Another aggregate's or branch's snapshots are none of this.
    let branch = on("what-if", &order);
    subject.append(one(riding(&branch, 5, &["f"]))).await;
    assert_eq!(listed(&subject, &order).await, [0, 3, 4]);
    assert_eq!(listed(&subject, &branch).await, [5]);
}

pub async fn the_newest_one_cannot_be_deleted(subject: Subject) {
    let order = cover("order", 1);
    subject.add(&order, &["a", "b"]).await;
    let persist = SnapshotRetention::RetentionPersist.into();
    for sequence in [0, 1] {
        let new = Snapshot {
            retention: persist,
            ..snapshot(sequence)
        };
        put(&subject, &order, new).await.expect("put");
    }
    let delete = async |sequence| {
        let request = pb::DeleteSnapshotRequest {
            cover: Some(order.clone()),
            sequence,
        };
        subject
            .store
            .delete_snapshot(request)
            .await
            .map(|answer| answer.deleted)
    };
    assert!(matches!(delete(1).await, Err(StoreError::Refused(_))));
    assert_eq!(delete(0).await, Ok(true));
    assert_eq!(delete(0).await, Ok(false));
    assert_eq!(listed(&subject, &order).await, [1]);
}

pub async fn a_snapshot_needs_an_event(subject: Subject) {
    let order = cover("order", 1);
    subject.add(&order, &["a"]).await;
    let error = put(&subject, &order, snapshot(1))
        .await
        .expect_err("no event 1");
    assert!(matches!(error, StoreError::Invalid(_)), "{error:?}");
    assert_eq!(newest(&subject, &order).await, None);
}

pub(super) fn riding(cover: &Cover, sequence: u32, texts: &[&str]) -> pb::AggregateAppend {
    pb::AggregateAppend {
        snapshot: Some(snapshot(sequence)),
        ..write(cover, texts)
    }
}

pub(super) async fn put(
    subject: &Subject,
    cover: &Cover,
    snapshot: Snapshot,
) -> Result<pb::PutSnapshotResponse, StoreError> {
    let (cover, snapshot) = (Some(cover.clone()), Some(snapshot));
    subject
        .store
        .put_snapshot(pb::PutSnapshotRequest { cover, snapshot })
        .await
}

async fn newest(subject: &Subject, cover: &Cover) -> Option<Snapshot> {
    let request = pb::GetSnapshotRequest {
        cover: Some(cover.clone()),
        at_or_below: None,
    };
    subject
        .store
        .get_snapshot(request)
        .await
        .expect("get")
        .snapshot
}

async fn listed(subject: &Subject, cover: &Cover) -> Vec<u32> {
    let request = pb::ListSnapshotsRequest {
        cover: Some(cover.clone()),
    };
    let answer = subject.store.list_snapshots(request).await.expect("list");
    answer
        .snapshots
        .into_iter()
        .map(|snapshot| snapshot.sequence)
        .collect()
}
