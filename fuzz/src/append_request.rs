//! From a request as it comes from the network to what is stored, and back.

use std::sync::OnceLock;

use angzarr_adapters::{EventStore, Limits, NativeStore, StoreError};
use angzarr_proto::store::v1 as pb;
use angzarr_proto::v1;
use futures::TryStreamExt;
use prost::Message;
use tokio::runtime::{Builder, Runtime};

use crate::disk::MemoryDisk;
use crate::facts::open;

/// A request that is refused says why; of one that is stored, every page reads back as the same
/// payload with the number that the answer gave it.
pub(crate) fn append_request(data: &[u8]) {
    let Ok(request) = pb::AppendRequest::decode(data) else {
        return;
    };
    let disk = MemoryDisk::default();
    let mut direct = open(&disk).expect("an empty disk");
    let store = NativeStore::over(direct.engine(), Limits::default());
    let commit = match store.to_commit(request.clone()) {
        Ok(commit) => commit,
        Err(StoreError::Invalid(_) | StoreError::TooLarge(_)) => return,
        Err(error) => panic!("{error}"),
    };
    let Ok(committed) = direct.commit(commit) else {
        assert!(direct.poisoned().is_none());
        return;
    };
    for (write, outcome) in request.writes.iter().zip(&committed.results) {
        assert_eq!(outcome.count as usize, write.pages.len());
        // A branch without events shows those of main, which the same request may have added.
        if write.pages.is_empty() {
            continue;
        }
        let pages = read(&store, write.cover.clone());
        let own = pages
            .get(outcome.first.get() as usize..)
            .unwrap_or_default();
        assert_eq!(own.len(), write.pages.len());
        for ((page, sent), n) in own.iter().zip(&write.pages).zip(outcome.first.get()..) {
            let header = page.header.as_ref().and_then(|h| h.sequence_type.as_ref());
            assert_eq!(header, Some(&v1::page_header::SequenceType::Sequence(n)));
            assert_eq!(page.payload, sent.payload);
            assert!(sent.created_at.is_none() || page.created_at == sent.created_at);
            assert_eq!(page.no_commit, request.cascade_id.is_some());
        }
    }
}

fn read(store: &NativeStore, cover: Option<v1::Cover>) -> Vec<v1::EventPage> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        let mut runtime = Builder::new_current_thread();
        runtime.build().expect("the system has threads")
    });
    // A correlation id would leave out pages of others.
    let cover = cover.map(|cover| v1::Cover {
        correlation_id: String::new(),
        ..cover
    });
    let request = pb::ReadRequest {
        cover,
        ..Default::default()
    };
    let chunks: Vec<pb::ReadResponse> = runtime
        .block_on(async { store.read(request).await?.try_collect().await })
        .expect("what was stored can be read");
    let pages = chunks.iter().flat_map(|chunk| chunk.pages.iter());
    pages
        .map(|page| v1::EventPage::decode(page).expect("a stored page"))
        .collect()
}

/// Requests of every form.
pub(crate) fn sample_requests() -> Vec<Vec<u8>> {
    let any = |name: &str| prost_types::Any {
        type_url: format!("type.googleapis.com/{name}"),
        value: b"value".to_vec(),
    };
    let page = |name: &str| v1::EventPage {
        payload: Some(v1::event_page::Payload::Event(any(name))),
        created_at: Some(prost_types::Timestamp {
            seconds: 5,
            nanos: 6,
        }),
        ..Default::default()
    };
    let cover = |edition: &str| v1::Cover {
        domain: "order".to_owned(),
        root: Some(v1::Uuid { value: vec![1; 16] }),
        correlation_id: "story".to_owned(),
        edition: Some(v1::Edition {
            name: edition.to_owned(),
            divergences: Vec::new(),
        }),
        ext: Some(any("Ext")),
    };
    let plain = pb::AggregateAppend {
        cover: Some(cover("")),
        pages: vec![page("order.Placed"), page("order.Paid")],
        expected: Some(pb::Expected {
            state: Some(pb::expected::State::Next(0)),
        }),
        claim: Some(pb::Claim {
            kind: "external".to_owned(),
            key: b"key".to_vec(),
        }),
        snapshot: Some(v1::Snapshot {
            sequence: 1,
            state: Some(any("order.State")),
            ..Default::default()
        }),
    };
    let branch = pb::AggregateAppend {
        cover: Some(cover("what-if")),
        pages: vec![page("angzarr_client.proto.angzarr.v1.Confirmation")],
        ..Default::default()
    };
    let both = pb::AppendRequest {
        writes: vec![plain.clone(), branch],
        cascade_id: Some("cascade".to_owned()),
        isolated: true,
        ..Default::default()
    };
    let one = pb::AppendRequest {
        writes: vec![plain],
        conditions: vec![pb::Condition {
            cover: Some(cover("")),
            expected: None,
        }],
        checkpoint: Some(pb::Checkpoint {
            consumer: "reader".to_owned(),
            position: 3,
        }),
        ..Default::default()
    };
    vec![both.encode_to_vec(), one.encode_to_vec()]
}
