use std::sync::Arc;

use angzarr_adapters::{EventStore, StoreError};
use angzarr_proto::store::v1 as pb;
use angzarr_proto::v1::event_page::Payload;
use angzarr_proto::v1::page_header::SequenceType;
use angzarr_proto::v1::{Cover, DomainDivergence, Edition, EventPage, Snapshot, Uuid};
use futures::{StreamExt, TryStreamExt};
use pb::expected::State;
use prost::Message;
use prost_types::{Any, Timestamp};

/// The store under test, with the few things every case does to it.
#[derive(Clone)]
pub struct Subject {
    pub store: Arc<dyn EventStore>,
}

/// All chunks of one read.
#[derive(Debug, Clone, PartialEq)]
pub struct Book {
    pub cover: Cover,
    pub snapshot: Option<Snapshot>,
    pub pages: Vec<EventPage>,
    pub next_sequence: u32,
}

/// One event of the whole-store view.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    pub cover: Cover,
    pub page: EventPage,
    pub position: u64,
    pub isolated: bool,
}

impl Subject {
    pub fn new(store: Arc<dyn EventStore>) -> Self {
        Self { store }
    }

    pub async fn append(&self, request: pb::AppendRequest) -> pb::AppendResponse {
        self.store.append(request).await.expect("append")
    }

    pub async fn refused(&self, request: pb::AppendRequest) -> StoreError {
        let described = format!("{request:?}");
        self.store.append(request).await.expect_err(&described)
    }

    /// Appends events of these texts whatever is there already.
    pub async fn add(&self, cover: &Cover, texts: &[&str]) -> pb::Appended {
        let mut answer = self.append(one(write(cover, texts))).await;
        answer.results.remove(0)
    }

    pub async fn read(&self, request: pb::ReadRequest) -> Book {
        let chunks = self.store.read(request).await.expect("read");
        let mut chunks: Vec<_> = chunks.try_collect().await.expect("chunks of a read");
        assert!(!chunks.is_empty(), "a read answers at least once");
        let first = chunks.remove(0);
        let pages = first
            .pages
            .iter()
            .chain(chunks.iter().flat_map(|chunk| chunk.pages.iter()));
        Book {
            pages: pages.map(decode).collect(),
            cover: first.cover.expect("the first chunk has the cover"),
            snapshot: first.snapshot,
            next_sequence: first.next_sequence,
        }
    }

    pub async fn book(&self, cover: &Cover) -> Book {
        self.read(everything_of(cover)).await
    }

    pub async fn texts(&self, cover: &Cover) -> Vec<String> {
        texts(&self.book(cover).await.pages)
    }

    pub async fn resolved(&self, cover: &Cover, cascade: Option<&str>) -> Vec<String> {
        let request = pb::ReadRequest {
            pending: pb::PendingView::Resolved.into(),
            cascade_id: cascade.map(str::to_owned),
            ..everything_of(cover)
        };
        texts(&self.read(request).await.pages)
    }

    pub async fn next_sequence(&self, cover: &Cover) -> u32 {
        self.book(cover).await.next_sequence
    }

    pub async fn records(&self, request: pb::ReadAllRequest) -> Vec<Recorded> {
        let answers = self.store.read_all(request).await.expect("read_all");
        let answers: Vec<_> = answers.try_collect().await.expect("records");
        answers.into_iter().flat_map(records_of).collect()
    }

    pub async fn position(&self) -> u64 {
        self.store
            .stats(pb::StatsRequest {})
            .await
            .expect("stats")
            .position
    }
}

/// Takes this many events off a subscription, and checks that positions only grow.
pub async fn take(stream: &mut angzarr_adapters::RecordStream, count: usize) -> Vec<Recorded> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let answer = stream
            .next()
            .await
            .expect("a subscription has no end")
            .expect("a record");
        taken.extend(records_of(answer));
    }
    assert!(
        taken.is_sorted_by(|a, b| a.position < b.position),
        "positions grow: {taken:?}"
    );
    taken
}

fn records_of(answer: pb::ReadAllResponse) -> Vec<Recorded> {
    let Some(pb::read_all_response::Item::Book(book)) = answer.item else {
        return Vec::new();
    };
    assert_eq!(
        book.pages.len(),
        book.positions.len(),
        "one position for each page"
    );
    assert!(book.recorded_at.is_some(), "a recorded book has its time");
    let cover = book.cover.expect("a recorded book has its cover");
    let pages = book.pages.iter().zip(book.positions);
    let record = |(page, position): (&bytes::Bytes, u64)| Recorded {
        cover: cover.clone(),
        page: decode(page),
        position,
        isolated: book.isolated,
    };
    pages.map(record).collect()
}

fn decode(page: &[u8]) -> EventPage {
    EventPage::decode(page).expect("a stored page decodes")
}

pub fn root(number: u8) -> Uuid {
    Uuid {
        value: vec![number; 16],
    }
}

/// An aggregate on main.
pub fn cover(domain: &str, number: u8) -> Cover {
    Cover {
        root: Some(root(number)),
        domain: domain.to_owned(),
        ..Cover::default()
    }
}

/// The same aggregate on a branch.
pub fn on(edition: &str, cover: &Cover) -> Cover {
    let edition = Edition {
        name: edition.to_owned(),
        divergences: Vec::new(),
    };
    Cover {
        edition: Some(edition),
        ..cover.clone()
    }
}

/// The same on a branch that leaves main at a sequence.
pub fn leaving(edition: &str, at: u32, cover: &Cover) -> Cover {
    let divergence = DomainDivergence {
        domain: cover.domain.clone(),
        sequence: at,
    };
    let edition = Edition {
        name: edition.to_owned(),
        divergences: vec![divergence],
    };
    Cover {
        edition: Some(edition),
        ..cover.clone()
    }
}

pub fn correlated(id: &str, cover: &Cover) -> Cover {
    Cover {
        correlation_id: id.to_owned(),
        ..cover.clone()
    }
}

pub fn event(type_name: &str, value: &[u8]) -> EventPage {
    let event = Any {
        type_url: format!("type.googleapis.com/{type_name}"),
        value: value.to_vec(),
    };
    EventPage {
        payload: Some(Payload::Event(event)),
        ..EventPage::default()
    }
}

pub fn page(text: &str) -> EventPage {
    event("shop.Noted", text.as_bytes())
}

pub fn write(cover: &Cover, texts: &[&str]) -> pb::AggregateAppend {
    pb::AggregateAppend {
        cover: Some(cover.clone()),
        pages: texts.iter().map(|text| page(text)).collect(),
        ..pb::AggregateAppend::default()
    }
}

pub fn one(write: pb::AggregateAppend) -> pb::AppendRequest {
    pb::AppendRequest {
        writes: vec![write],
        ..pb::AppendRequest::default()
    }
}

pub fn next(sequence: u32) -> Option<pb::Expected> {
    Some(pb::Expected {
        state: Some(State::Next(sequence)),
    })
}

pub fn no_events() -> Option<pb::Expected> {
    Some(pb::Expected {
        state: Some(State::NoEvents(true)),
    })
}

pub fn everything_of(cover: &Cover) -> pb::ReadRequest {
    pb::ReadRequest {
        cover: Some(cover.clone()),
        ..pb::ReadRequest::default()
    }
}

pub fn after(position: u64) -> pb::ReadAllRequest {
    pb::ReadAllRequest {
        after_position: position,
        filter: None,
    }
}

pub fn second(seconds: i64) -> Timestamp {
    Timestamp { seconds, nanos: 0 }
}

pub fn snapshot(sequence: u32) -> Snapshot {
    let state = Any {
        type_url: "type.googleapis.com/shop.State".to_owned(),
        value: vec![7],
    };
    Snapshot {
        sequence,
        state: Some(state),
        ..Snapshot::default()
    }
}

pub fn sequence_of(page: &EventPage) -> u32 {
    match page
        .header
        .as_ref()
        .and_then(|header| header.sequence_type.as_ref())
    {
        Some(SequenceType::Sequence(sequence)) => *sequence,
        other => panic!("a stored page has a plain sequence, not {other:?}"),
    }
}

pub fn sequences(pages: &[EventPage]) -> Vec<u32> {
    pages.iter().map(sequence_of).collect()
}

/// Texts of events; a framework message shows as its type and what tells it from others.
pub fn texts(pages: &[EventPage]) -> Vec<String> {
    pages.iter().map(text).collect()
}

fn text(page: &EventPage) -> String {
    let Some(Payload::Event(event)) = &page.payload else {
        return format!("{:?}", page.payload);
    };
    match event.type_url.rsplit('/').next() {
        Some("angzarr_client.proto.angzarr.v1.NoOp") => {
            let no_op = angzarr_proto::v1::NoOp::decode(event.value.as_slice()).expect("a NoOp");
            assert_eq!(
                no_op.original_sequence,
                sequence_of(page),
                "a NoOp tells its sequence"
            );
            match no_op.cascade_id.as_str() {
                "" => format!("<{}>", no_op.reason),
                cascade => format!("<{} {cascade}>", no_op.reason),
            }
        }
        Some("shop.Noted") => String::from_utf8_lossy(&event.value).into_owned(),
        other => format!("[{}]", other.unwrap_or_default()),
    }
}
