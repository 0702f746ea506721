//! Two-phase cascades.

use std::time::{SystemTime, UNIX_EPOCH};

use angzarr_engine::{
    AggregateKey, CascadeId, Commit, Control, Expected, Sequence, Settle, Timestamp, Verdict, Write,
};
use angzarr_proto::store::v1 as pb;
use angzarr_proto::v1;

use super::admin::{bad_token, size};
use super::{NativeStore, compose, convert};
use crate::StoreError;
use crate::store::Result;

/// How often a settlement is tried again because the cascade grew meanwhile.
const SETTLE_ATTEMPTS: usize = 10;

/// What becomes of a cascade.
pub(super) enum Settlement {
    Commit,
    Rollback(String),
}

impl NativeStore {
    /// Confirms or revokes every pending event of a cascade, in one commit.
    pub(super) async fn settle(
        &self,
        cascade: &str,
        settlement: Settlement,
    ) -> Result<pb::SettleCascadeResponse> {
        let cascade = CascadeId::new(cascade)?;
        let mut attempt = 0;
        loop {
            let participants = self.engine.participants(&cascade)?;
            let answer = pb::SettleCascadeResponse {
                participants: participant_messages(&participants),
            };
            if participants.is_empty() {
                return Ok(answer);
            }
            let writes = participants
                .iter()
                .map(|(key, sequences)| settling_write(&cascade, &settlement, key, sequences))
                .collect();
            let expect = Control::ExpectPending {
                cascade: cascade.clone(),
                participants,
            };
            let commit = Commit {
                writes,
                controls: vec![expect],
                ..Commit::default()
            };
            attempt += 1;
            match self.engine.commit(commit).await {
                Ok(_) => return Ok(answer),
                Err(angzarr_engine::Error::Refused(_)) if attempt < SETTLE_ATTEMPTS => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    pub(super) fn stale_page(
        &self,
        request: &pb::ListStaleCascadesRequest,
    ) -> Result<pb::ListStaleCascadesResponse> {
        let older = request.older_than.unwrap_or_default();
        let older = older
            .seconds
            .checked_mul(1_000_000_000)
            .and_then(|seconds| seconds.checked_add(older.nanos.into()))
            .ok_or_else(|| StoreError::Invalid("older_than is out of range".to_owned()))?;
        let before = Timestamp::from_nanos(now().saturating_sub(older).saturating_add(1));
        let after = match request.page_token.split_once(':') {
            None if request.page_token.is_empty() => None,
            None => return Err(bad_token()),
            Some((since, id)) => Some((
                Timestamp::from_nanos(since.parse().map_err(|_| bad_token())?),
                id,
            )),
        };
        let listed = self
            .engine
            .stale_cascades(before, after, size(request.page_size))?;
        let last = listed.items.last().filter(|_| listed.more);
        let token = last.map(|(since, id)| format!("{}:{id}", since.nanos()));
        let cascades = listed.items.iter().map(|(since, id)| pb::StaleCascade {
            cascade_id: id.clone(),
            pending_since: Some(convert::timestamp(*since)),
        });
        Ok(pb::ListStaleCascadesResponse {
            cascades: cascades.collect(),
            next_page_token: token.unwrap_or_default(),
        })
    }

    pub(super) fn participant_list(
        &self,
        request: &pb::ListParticipantsRequest,
    ) -> Result<pb::ListParticipantsResponse> {
        let participants = self
            .engine
            .participants(&CascadeId::new(&request.cascade_id)?)?;
        Ok(pb::ListParticipantsResponse {
            participants: participant_messages(&participants),
        })
    }
}

fn settling_write(
    cascade: &CascadeId,
    settlement: &Settlement,
    key: &AggregateKey,
    sequences: &[Sequence],
) -> Write {
    let target = Some(convert::cover(key, ""));
    let cascade_id = cascade.as_str().to_owned();
    let numbers = sequences.iter().map(|sequence| sequence.get()).collect();
    let (verdict, event) = match settlement {
        Settlement::Commit => {
            let message = v1::Confirmation {
                target,
                sequences: numbers,
                cascade_id,
            };
            (
                Verdict::Confirmed,
                compose::framework_any("Confirmation", &message),
            )
        }
        Settlement::Rollback(reason) => {
            let reason = reason.clone();
            let message = v1::Revocation {
                target,
                sequences: numbers,
                cascade_id,
                reason,
            };
            (
                Verdict::Revoked,
                compose::framework_any("Revocation", &message),
            )
        }
    };
    Write {
        expected: Expected::Any,
        pages: vec![compose::event_page(&event)],
        settles: vec![Settle {
            verdict,
            sequences: sequences.to_vec(),
        }],
        ..Write::to(key.clone())
    }
}

fn participant_messages(participants: &[(AggregateKey, Vec<Sequence>)]) -> Vec<pb::Participant> {
    let message = |(key, sequences): &(AggregateKey, Vec<Sequence>)| pb::Participant {
        cover: Some(convert::cover(key, "")),
        sequences: sequences.iter().map(|sequence| sequence.get()).collect(),
    };
    participants.iter().map(message).collect()
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
    })
}
