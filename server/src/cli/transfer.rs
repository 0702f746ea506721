//! What `export` writes and `import` reads.

use std::path::Path;

use angzarr_adapters::{EventStore, Limits, NativeStore, StoreError};
use angzarr_engine::Options;
use angzarr_proto::store::v1 as pb;
use angzarr_proto::v1;
use base64::{Engine, prelude::BASE64_STANDARD};
use prost::Message;
use serde::{Deserialize, Serialize};
use v1::event_page::Payload;
use v1::page_header::SequenceType;

use super::{
    Exit, Failure, offline,
    target::{Remote, Target, root_text},
};

/// Version of the lines this program writes and reads.
pub(super) const FORMAT: u32 = 1;

/// Form of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
pub(super) enum Form {
    /// One JSON object a line: everything a client can set.
    Jsonl,
    /// `EventBook`s of the protocol, each behind its length as a varint.
    Books,
}

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(super) enum Line {
    /// The first line.
    Export {
        format: u32,
        database_id: String,
    },
    /// Where a branch leaves main in a domain.
    Edition {
        name: String,
        domain: String,
        divergence: u32,
    },
    Event(Box<Event>),
    Snapshot(Box<Snapshot>),
}

/// Which aggregate on which timeline.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Name {
    pub(super) domain: String,
    pub(super) root: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) edition: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Event {
    pub(super) position: u64,
    #[serde(flatten)]
    pub(super) name: Name,
    pub(super) sequence: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<jiff::Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recorded_at: Option<jiff::Timestamp>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    correlation_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cascade_id: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) isolated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Any>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ext: Option<Any>,
    /// An encoded `EventPage`, for a payload that is kept elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    external: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Snapshot {
    #[serde(flatten)]
    pub(super) name: Name,
    pub(super) sequence: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<jiff::Timestamp>,
    retention: i32,
    state: Option<Any>,
}

/// A message with its type, its bytes in base64.
#[derive(Debug, Serialize, Deserialize)]
struct Any {
    type_url: String,
    value: String,
}

impl Any {
    fn of(any: &prost_types::Any) -> Self {
        Self {
            type_url: any.type_url.clone(),
            value: BASE64_STANDARD.encode(&any.value),
        }
    }

    fn decode(&self) -> Result<prost_types::Any, String> {
        Ok(prost_types::Any {
            type_url: self.type_url.clone(),
            value: bytes(&self.value)?,
        })
    }
}

impl Name {
    pub(super) fn of(cover: &v1::Cover) -> Self {
        let edition = cover.edition.as_ref();
        let edition = edition.map_or("", |edition| edition.name.as_str());
        Self {
            domain: cover.domain.clone(),
            root: root_text(cover),
            edition: if edition == "angzarr" { "" } else { edition }.to_owned(),
        }
    }

    pub(super) fn cover(&self) -> Result<v1::Cover, String> {
        let root = uuid::Uuid::parse_str(&self.root)
            .map_err(|_| format!("root {:?} is no UUID", self.root))?;
        let edition = (!self.edition.is_empty()).then(|| v1::Edition {
            name: self.edition.clone(),
            divergences: Vec::new(),
        });
        Ok(v1::Cover {
            domain: self.domain.clone(),
            root: Some(v1::Uuid {
                value: root.as_bytes().to_vec(),
            }),
            edition,
            ..Default::default()
        })
    }
}

impl Event {
    /// An event of a book.
    pub(super) fn of(book: &pb::RecordedBook, page: &v1::EventPage, position: u64) -> Self {
        let cover = book.cover.clone().unwrap_or_default();
        let (payload, external) = match &page.payload {
            Some(Payload::Event(event)) => (Some(Any::of(event)), None),
            Some(Payload::External(_)) => {
                let only = v1::EventPage {
                    payload: page.payload.clone(),
                    ..Default::default()
                };
                (None, Some(BASE64_STANDARD.encode(only.encode_to_vec())))
            }
            None => (None, None),
        };
        Self {
            position,
            name: Name::of(&cover),
            sequence: sequence(page),
            created_at: page.created_at.as_ref().and_then(time),
            recorded_at: book.recorded_at.as_ref().and_then(time),
            correlation_id: cover.correlation_id,
            cascade_id: page.cascade_id.clone(),
            isolated: book.isolated,
            payload,
            ext: cover.ext.as_ref().map(Any::of),
            external,
        }
    }

    pub(super) fn cover(&self) -> Result<v1::Cover, String> {
        let ext = self.ext.as_ref().map(Any::decode).transpose()?;
        Ok(v1::Cover {
            correlation_id: self.correlation_id.clone(),
            ext,
            ..self.name.cover()?
        })
    }

    pub(super) fn page(&self) -> Result<v1::EventPage, String> {
        let payload = match (&self.payload, &self.external) {
            (Some(any), _) => Some(Payload::Event(any.decode()?)),
            (None, Some(page)) => {
                let page = v1::EventPage::decode(bytes(page)?.as_slice());
                page.map_err(|error| format!("external: {error}"))?.payload
            }
            (None, None) => None,
        };
        Ok(v1::EventPage {
            created_at: self.created_at.map(timestamp),
            payload,
            ..Default::default()
        })
    }
}

impl Snapshot {
    pub(super) fn of(cover: &v1::Cover, snapshot: &v1::Snapshot) -> Self {
        Self {
            name: Name::of(cover),
            sequence: snapshot.sequence,
            created_at: snapshot.created_at.as_ref().and_then(time),
            retention: snapshot.retention,
            state: snapshot.state.as_ref().map(Any::of),
        }
    }

    pub(super) fn snapshot(&self) -> Result<v1::Snapshot, String> {
        Ok(v1::Snapshot {
            sequence: self.sequence,
            state: self.state.as_ref().map(Any::decode).transpose()?,
            retention: self.retention,
            created_at: self.created_at.map(timestamp),
        })
    }
}

/// The number of a stored page.
pub(super) fn sequence(page: &v1::EventPage) -> u32 {
    let header = page.header.as_ref();
    match header.and_then(|header| header.sequence_type.as_ref()) {
        Some(SequenceType::Sequence(sequence)) => *sequence,
        _ => 0,
    }
}

fn time(at: &prost_types::Timestamp) -> Option<jiff::Timestamp> {
    jiff::Timestamp::new(at.seconds, at.nanos).ok()
}

fn timestamp(at: jiff::Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: at.as_second(),
        nanos: at.subsec_nanosecond(),
    }
}

fn bytes(text: &str) -> Result<Vec<u8>, String> {
    let decoded = BASE64_STANDARD.decode(text);
    decoded.map_err(|error| format!("a value is not base64: {error}"))
}

/// The store that events come from or go to.
pub(super) enum Place {
    Server(Box<Remote>),
    Folder(NativeStore),
}

impl Place {
    pub(super) async fn open(target: &Target, folder: Option<&Path>) -> Result<Self, Failure> {
        let Some(folder) = folder else {
            return Ok(Self::Server(Box::new(target.connect()?)));
        };
        // What another server took must not fail here.
        let limits = Limits {
            pages: usize::MAX,
            payload_bytes: usize::MAX,
        };
        let folder = folder.to_owned();
        let opened = offline::run(move |_| NativeStore::open(&folder, Options::default(), limits));
        let opened = opened.await?;
        Ok(Self::Folder(
            opened.map_err(|error| offline::failure(&error))?,
        ))
    }

    pub(super) fn store(&self) -> &dyn EventStore {
        match self {
            Self::Server(remote) => remote.store(),
            Self::Folder(store) => store,
        }
    }

    pub(super) fn failure(&self, error: &StoreError) -> Failure {
        match self {
            Self::Server(remote) => remote.failure(error),
            Self::Folder(_) => Failure::new(Exit::Failed, error.to_string()),
        }
    }

    /// Makes what was stored durable and lets go of the folder.
    pub(super) async fn close(self) -> Result<(), Failure> {
        let Self::Folder(store) = self else {
            return Ok(());
        };
        let closed = offline::run(move |_| store.engine().close()).await?;
        closed.map_err(|error| offline::failure(&error))
    }
}
