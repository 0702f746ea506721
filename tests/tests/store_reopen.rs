//! Whatever a store has answered, it answers again after it was closed and opened.

#![expect(
    clippy::unwrap_used,
    reason = "a test says what it expects by unwrapping"
)]

use std::path::Path;
use std::sync::Arc;

use angzarr_adapters::{EventStore, Limits, NativeStore};
use angzarr_engine::{IndexKind, Options};
use angzarr_proto::store::v1 as pb;
use angzarr_proto::v1::{Cover, Snapshot, SnapshotRetention};
use angzarr_tests::contract::subject::{
    Book, Recorded, Subject, after, correlated, cover, everything_of, leaving, next, on, one,
    snapshot, write,
};
use prost_types::Duration;

#[tokio::test]
async fn everything_survives_with_the_index_in_memory() {
    everything_survives(IndexKind::Memory).await;
}

#[cfg(feature = "rocksdb")]
#[tokio::test]
async fn everything_survives_with_the_index_in_rocksdb() {
    everything_survives(IndexKind::RocksDb).await;
}

/// What is in RocksDB is derived, so a folder can be opened either way.
#[cfg(feature = "rocksdb")]
#[tokio::test]
async fn a_folder_changes_its_index() {
    let folder = tempfile::tempdir().unwrap();
    let written = {
        let subject = open(folder.path(), IndexKind::RocksDb);
        fill(&subject).await;
        image(&subject).await
    };
    assert_eq!(
        image(&open(folder.path(), IndexKind::Memory)).await,
        written
    );
    assert_eq!(
        image(&open(folder.path(), IndexKind::RocksDb)).await,
        written
    );
}

async fn everything_survives(index: IndexKind) {
    let folder = tempfile::tempdir().unwrap();
    let written = {
        let subject = open(folder.path(), index);
        fill(&subject).await;
        image(&subject).await
    };
    assert!(written.records.len() > 700, "there is something to survive");
    let subject = open(folder.path(), index);
    assert_eq!(image(&subject).await, written);

    // Life goes on where it stopped.
    let order = cover("order", 1);
    let expected = next(subject.next_sequence(&order).await);
    let write = pb::AggregateAppend {
        expected,
        ..write(&order, &["after"])
    };
    subject.append(one(write)).await;
    let again = subject.append(one(claimed(&order))).await;
    assert!(
        again.results.iter().all(|result| result.duplicate),
        "{again:?}"
    );
    let written = image(&subject).await;
    drop(subject);
    assert_eq!(image(&open(folder.path(), index)).await, written);
}

/// Small segments and a small index buffer, so that both have been rolled many times.
fn open(folder: &Path, index: IndexKind) -> Subject {
    let options = Options {
        segment_bytes: 64 * 1024,
        index_buffer_bytes: 16 * 1024,
        index,
        ..Options::default()
    };
    let store = NativeStore::open(folder, options, Limits::default()).unwrap();
    Subject::new(Arc::new(store) as Arc<dyn EventStore>)
}

async fn fill(subject: &Subject) {
    let (order, stock) = (cover("order", 1), cover("stock", 1));
    subject.append(one(claimed(&order))).await;
    for round in 0..35 {
        let text = "x".repeat(100 * round);
        for number in 1..=20 {
            subject
                .add(&correlated("one", &cover("order", number)), &[&text])
                .await;
        }
    }
    for (sequence, retention) in [
        (2, SnapshotRetention::RetentionPersist),
        (4, SnapshotRetention::RetentionDefault),
        (6, SnapshotRetention::RetentionTransient),
    ] {
        let snapshot = Snapshot {
            retention: retention.into(),
            ..snapshot(sequence)
        };
        let request = pb::PutSnapshotRequest {
            cover: Some(order.clone()),
            snapshot: Some(snapshot),
        };
        subject.store.put_snapshot(request).await.unwrap();
    }

    subject
        .add(&leaving("what-if", 3, &order), &["B", "C"])
        .await;
    subject.add(&on("dropped", &order), &["gone"]).await;
    let edition = "dropped".to_owned();
    let request = pb::DeleteEditionRequest {
        edition,
        domain: String::new(),
    };
    assert_eq!(
        subject
            .store
            .delete_edition(request)
            .await
            .unwrap()
            .deleted_events,
        1
    );

    for cascade in ["committed", "void", "open"] {
        let request = pb::AppendRequest {
            writes: vec![write(&order, &[cascade]), write(&stock, &[cascade])],
            cascade_id: Some(cascade.to_owned()),
            checkpoint: Some(pb::Checkpoint {
                consumer: "shipping".to_owned(),
                position: 7,
            }),
            ..Default::default()
        };
        subject.append(request).await;
    }
    let cascade_id = "committed".to_owned();
    subject
        .store
        .commit_cascade(pb::CommitCascadeRequest { cascade_id })
        .await
        .unwrap();
    let cascade_id = "void".to_owned();
    let request = pb::RollbackCascadeRequest {
        cascade_id,
        reason: "no".to_owned(),
    };
    subject.store.rollback_cascade(request).await.unwrap();
    let request = pb::AppendRequest {
        isolated: true,
        ..one(write(&stock, &["isolated"]))
    };
    subject.append(request).await;
}

fn claimed(order: &Cover) -> pb::AggregateAppend {
    let claim = Some(pb::Claim {
        kind: "fact".to_owned(),
        key: b"k".to_vec(),
    });
    pb::AggregateAppend {
        claim,
        ..write(order, &["claimed"])
    }
}

/// Every answer of a store about what `fill` has put into it.
#[derive(Debug, PartialEq)]
struct Image {
    records: Vec<Recorded>,
    books: Vec<Book>,
    snapshots: pb::ListSnapshotsResponse,
    claim: pb::GetClaimResponse,
    domains: pb::ListDomainsResponse,
    aggregates: pb::ListAggregatesResponse,
    correlated: pb::ListCorrelatedResponse,
    editions: pb::ListEditionDetailsResponse,
    stale: pb::ListStaleCascadesResponse,
    participants: pb::ListParticipantsResponse,
    checkpoint: pb::GetPositionResponse,
    events: u64,
    position: u64,
}

async fn image(subject: &Subject) -> Image {
    let store = &subject.store;
    let order = cover("order", 1);
    let mut books = Vec::new();
    for cover in [
        order.clone(),
        cover("stock", 1),
        on("what-if", &order),
        on("dropped", &order),
    ] {
        for pending in [pb::PendingView::Raw, pb::PendingView::Resolved] {
            for with_snapshot in [false, true] {
                let request = pb::ReadRequest {
                    pending: pending.into(),
                    with_snapshot,
                    ..everything_of(&cover)
                };
                books.push(subject.read(request).await);
            }
        }
    }
    let of_order = Some(order.clone());
    let stats = store.stats(pb::StatsRequest {}).await.unwrap();
    let domain = "order".to_owned();
    let correlation_id = "one".to_owned();
    let older_than = Some(Duration::default());
    let request = pb::ListStaleCascadesRequest {
        older_than,
        ..Default::default()
    };
    let stale = store.list_stale_cascades(request).await.unwrap();
    let request = pb::GetClaimRequest {
        cover: of_order.clone(),
        claim: claimed(&order).claim,
    };
    let claim = store.get_claim(request).await.unwrap();
    let request = pb::ListAggregatesRequest {
        domain,
        ..Default::default()
    };
    let aggregates = store.list_aggregates(request).await.unwrap();
    let request = pb::ListCorrelatedRequest {
        correlation_id,
        ..Default::default()
    };
    let correlated = store.list_correlated(request).await.unwrap();
    let request = pb::ListParticipantsRequest {
        cascade_id: "open".to_owned(),
    };
    let participants = store.list_participants(request).await.unwrap();
    let request = pb::GetPositionRequest {
        consumer: "shipping".to_owned(),
    };
    let checkpoint = store.get_position(request).await.unwrap();
    let request = pb::ListSnapshotsRequest { cover: of_order };
    Image {
        records: subject.records(after(0)).await,
        books,
        snapshots: store.list_snapshots(request).await.unwrap(),
        claim,
        domains: store
            .list_domains(pb::ListDomainsRequest::default())
            .await
            .unwrap(),
        aggregates,
        correlated,
        editions: store
            .list_edition_details(Default::default())
            .await
            .unwrap(),
        stale,
        participants,
        checkpoint,
        events: stats.events,
        position: stats.position,
    }
}
