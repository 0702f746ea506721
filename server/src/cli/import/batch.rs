//! Events that are stored in one commit, in the order of the file.

use angzarr_proto::store::v1 as pb;
use angzarr_proto::v1;
use prost::Message;
use v1::event_page::Payload;

/// Aggregates in one commit.
const WRITES: usize = 64;
/// Pages in one book: what a server takes unless it is configured otherwise.
const PAGES: usize = 100;
/// About the bytes of one commit.
const BYTES: usize = 1024 * 1024;

/// Events of one aggregate that follow each other.
pub(super) struct Piece {
    pub(super) cover: v1::Cover,
    /// Sequence of the first.
    pub(super) first: u32,
    pub(super) pages: Vec<v1::EventPage>,
    pub(super) cascade: Option<String>,
    pub(super) isolated: bool,
    /// Position in the file of the last.
    pub(super) position: u64,
}

#[derive(Default)]
pub(super) struct Batch {
    writes: Vec<pb::AggregateAppend>,
    cascade: Option<String>,
    isolated: bool,
    position: u64,
    events: u64,
    bytes: usize,
}

impl Batch {
    /// Whether a piece can be stored together with what is here, without changing the order.
    pub(super) fn fits(&self, piece: &Piece) -> bool {
        let Some(last) = self.writes.last() else {
            return true;
        };
        let alike = self.cascade == piece.cascade && self.isolated == piece.isolated;
        if !alike || self.bytes >= BYTES {
            return false;
        }
        let same = |write: &pb::AggregateAppend| {
            write
                .cover
                .as_ref()
                .is_some_and(|cover| is_same(cover, &piece.cover))
        };
        if same(last) {
            let goes_on = last.cover.as_ref() == Some(&piece.cover);
            return goes_on && last.pages.len() + piece.pages.len() <= PAGES;
        }
        self.writes.len() < WRITES && !self.writes.iter().any(same)
    }

    pub(super) fn add(&mut self, piece: Piece) {
        self.cascade = piece.cascade;
        self.isolated = piece.isolated;
        self.position = piece.position;
        self.events += piece.pages.len() as u64;
        let pages = piece.pages.into_iter().map(storable);
        let pages: Vec<_> = pages.collect();
        self.bytes += pages.iter().map(Message::encoded_len).sum::<usize>();
        match self.writes.last_mut() {
            Some(last) if last.cover.as_ref() == Some(&piece.cover) => last.pages.extend(pages),
            _ => self.writes.push(pb::AggregateAppend {
                cover: Some(piece.cover),
                pages,
                expected: Some(pb::Expected {
                    state: Some(pb::expected::State::Next(piece.first)),
                }),
                ..Default::default()
            }),
        }
    }

    /// The commit, and how many events it has; `None` for an empty one.
    pub(super) fn into_request(self, consumer: &str) -> Option<(u64, pb::AppendRequest)> {
        if self.writes.is_empty() {
            return None;
        }
        let request = pb::AppendRequest {
            writes: self.writes,
            cascade_id: self.cascade,
            isolated: self.isolated,
            checkpoint: Some(pb::Checkpoint {
                consumer: consumer.to_owned(),
                position: self.position,
            }),
            ..Default::default()
        };
        Some((self.events, request))
    }
}

fn is_same(a: &v1::Cover, b: &v1::Cover) -> bool {
    let edition = |cover: &v1::Cover| cover.edition.as_ref().map(|it| it.name.clone());
    a.domain == b.domain && a.root == b.root && edition(a) == edition(b)
}

/// The page without what the store writes itself. One that was revoked and has lost its payload
/// keeps its place with an empty one.
fn storable(page: v1::EventPage) -> v1::EventPage {
    let empty = || Payload::Event(prost_types::Any::default());
    v1::EventPage {
        created_at: page.created_at,
        payload: Some(page.payload.unwrap_or_else(empty)),
        ..Default::default()
    }
}
