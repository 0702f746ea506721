//! From messages to the engine's types and back.

use angzarr_engine::{
    AggregateKey, CorrelationId, Domain, Edition, Error, Expected, RecordedView, Retention, Root,
    Sequence, Snapshot, Timestamp,
};
use angzarr_proto::store::v1 as pb;
use angzarr_proto::v1;
use bytes::Bytes;
use prost::Message;

use crate::StoreError;
use crate::store::Result;

const NANOS: i64 = 1_000_000_000;

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::Conflict {
                key,
                expected,
                actual,
            } => Self::Conflict {
                domain: key.domain.to_string(),
                root: key.root.to_string(),
                expected: expected.get(),
                actual: actual.get(),
            },
            Error::Invalid(text) => Self::Invalid(text),
            Error::Refused(text) => Self::Refused(text),
            Error::TooLarge { .. } => Self::TooLarge(text),
            Error::Poisoned { stage, cause } => Self::Poisoned(format!("{stage} failed: {cause}")),
            Error::Corrupt { .. } => Self::Corrupt(text),
            Error::Unsupported { .. } => Self::Unsupported(text),
            Error::Locked(_) | Error::Io { .. } => Self::Unavailable(text),
        }
    }
}

/// The aggregate that a cover names, and the divergence it gives for the aggregate's domain.
pub(super) fn key(
    field: &str,
    cover: Option<&v1::Cover>,
) -> Result<(AggregateKey, Option<Sequence>)> {
    let cover = cover.ok_or_else(|| StoreError::Invalid(format!("{field} is missing")))?;
    let inside = |error: Error| StoreError::Invalid(format!("{field}: {error}"));
    let root = cover
        .root
        .as_ref()
        .ok_or_else(|| StoreError::Invalid(format!("{field}.root is missing")))?;
    let domain = Domain::new(&cover.domain).map_err(inside)?;
    let root = Root::from_slice(&root.value).map_err(inside)?;
    let (edition, divergence) = timeline(field, cover.edition.as_ref(), &domain)?;
    Ok((
        AggregateKey {
            domain,
            edition,
            root,
        },
        divergence,
    ))
}

fn timeline(
    field: &str,
    edition: Option<&v1::Edition>,
    domain: &Domain,
) -> Result<(Edition, Option<Sequence>)> {
    let Some(edition) = edition else {
        return Ok((Edition::MAIN, None));
    };
    let name = Edition::new(&edition.name)
        .map_err(|error| StoreError::Invalid(format!("{field}.edition: {error}")))?;
    let mut given = edition
        .divergences
        .iter()
        .filter(|d| d.domain == domain.as_str());
    let divergence = given.next().map(|d| Sequence::new(d.sequence));
    if given.next().is_some() {
        return Err(StoreError::Invalid(format!(
            "{field}.edition.divergences names domain {domain} twice"
        )));
    }
    if name.is_main() && !edition.divergences.is_empty() {
        return Err(StoreError::Invalid(format!(
            "{field}.edition has divergences but names the main timeline"
        )));
    }
    Ok((name, divergence))
}

/// The cover of an aggregate; main leaves the edition unset.
pub(super) fn cover(key: &AggregateKey, correlation: &str) -> v1::Cover {
    v1::Cover {
        root: Some(v1::Uuid {
            value: key.root.as_bytes().to_vec(),
        }),
        domain: key.domain.to_string(),
        correlation_id: correlation.to_owned(),
        edition: (!key.edition.is_main()).then(|| v1::Edition {
            name: key.edition.as_str().to_owned(),
            divergences: Vec::new(),
        }),
        ext: None,
    }
}

/// The cover of recorded events.
pub(super) fn recorded_cover(book: &RecordedView<'_>) -> v1::Cover {
    v1::Cover {
        root: Some(v1::Uuid {
            value: book.root.as_bytes().to_vec(),
        }),
        domain: book.domain.to_owned(),
        correlation_id: book.correlation.to_owned(),
        edition: (!book.edition.is_empty()).then(|| v1::Edition {
            name: book.edition.to_owned(),
            divergences: Vec::new(),
        }),
        ext: (!book.ext.is_empty()).then(|| prost_types::Any::decode(book.ext).unwrap_or_default()),
    }
}

pub(super) fn correlation(id: &str) -> Result<CorrelationId> {
    Ok(CorrelationId::new(id)?)
}

pub(super) fn expected(expected: Option<pb::Expected>) -> Expected {
    use pb::expected::State;
    match expected.and_then(|expected| expected.state) {
        None | Some(State::Any(_) | State::NoEvents(false)) => Expected::Any,
        Some(State::NoEvents(true)) => Expected::NoEvents,
        Some(State::Next(next)) => Expected::Next(Sequence::new(next)),
    }
}

/// # Errors
/// [`StoreError::Invalid`] for a time outside the years 1678 to 2261.
pub(super) fn time(field: &str, time: &prost_types::Timestamp) -> Result<Timestamp> {
    let nanos = i64::from(time.nanos);
    time.seconds
        .checked_mul(NANOS)
        .and_then(|seconds| seconds.checked_add(nanos))
        .filter(|_| (0..NANOS).contains(&nanos))
        .map(Timestamp::from_nanos)
        .ok_or_else(|| {
            StoreError::Invalid(format!("{field} must lie between the years 1678 and 2261"))
        })
}

pub(super) fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: time.nanos().div_euclid(NANOS),
        // Between 0 and 999,999,999.
        nanos: i32::try_from(time.nanos().rem_euclid(NANOS)).unwrap_or(0),
    }
}

pub(super) fn snapshot(snapshot: &v1::Snapshot) -> Result<Snapshot> {
    let state = snapshot
        .state
        .as_ref()
        .ok_or_else(|| StoreError::Invalid("snapshot.state is missing".to_owned()))?;
    let retention = match v1::SnapshotRetention::try_from(snapshot.retention) {
        Ok(v1::SnapshotRetention::RetentionDefault) => Retention::Default,
        Ok(v1::SnapshotRetention::RetentionPersist) => Retention::Persist,
        Ok(v1::SnapshotRetention::RetentionTransient) => Retention::Transient,
        Err(_) => {
            return Err(StoreError::Invalid(format!(
                "snapshot.retention {} is unknown",
                snapshot.retention
            )));
        }
    };
    Ok(Snapshot {
        sequence: Sequence::new(snapshot.sequence),
        retention,
        created_at: snapshot
            .created_at
            .as_ref()
            .map(|at| time("snapshot.created_at", at))
            .transpose()?,
        state: Bytes::from(state.encode_to_vec()),
    })
}

/// # Errors
/// [`StoreError::Corrupt`] when the state is not the message that was stored.
pub(super) fn snapshot_message(snapshot: Snapshot) -> Result<v1::Snapshot> {
    let state = prost_types::Any::decode(snapshot.state)
        .map_err(|_| StoreError::Corrupt("a stored snapshot is not a message".to_owned()))?;
    Ok(v1::Snapshot {
        sequence: snapshot.sequence.get(),
        state: Some(state),
        retention: match snapshot.retention {
            Retention::Default => v1::SnapshotRetention::RetentionDefault,
            Retention::Persist => v1::SnapshotRetention::RetentionPersist,
            Retention::Transient => v1::SnapshotRetention::RetentionTransient,
        }
        .into(),
        created_at: snapshot.created_at.map(timestamp),
    })
}
