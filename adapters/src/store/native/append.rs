//! `Append`: from a request to a commit.

use angzarr_engine::{
    CascadeId, Claim, Commit, Condition, Consumer, Position, Sequence, Settle, Verdict, Write,
};
use angzarr_proto::store::v1 as pb;
use angzarr_proto::{Dialect, v1};
use bytes::Bytes;
use prost::Message;

use super::{NativeStore, compose, convert};
use crate::StoreError;
use crate::store::Result;

impl NativeStore {
    pub(super) async fn append_pages(
        &self,
        request: pb::AppendRequest,
    ) -> Result<pb::AppendResponse> {
        let commit = self.to_commit(request)?;
        let committed = self.engine.commit(commit).await?;
        let recorded_at = convert::timestamp(committed.recorded_at);
        let results = committed.results.iter().map(|outcome| {
            let last = outcome
                .count
                .checked_sub(1)
                .and_then(|n| outcome.first.plus(n));
            pb::Appended {
                first_sequence: last.map(|_| outcome.first.get()),
                last_sequence: last.map(Sequence::get),
                next_sequence: outcome.next.get(),
                duplicate: outcome.duplicate,
                recorded_at: Some(recorded_at),
            }
        });
        Ok(pb::AppendResponse {
            results: results.collect(),
            position: committed.position.get(),
        })
    }

    /// The commit that a request asks for; for fuzzing.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] and [`StoreError::TooLarge`].
    #[doc(hidden)]
    pub fn to_commit(&self, request: pb::AppendRequest) -> Result<Commit> {
        if request.writes.is_empty() && request.checkpoint.is_none() {
            return Err(StoreError::Invalid(
                "writes is empty: there is nothing to do".to_owned(),
            ));
        }
        let cascade = request
            .cascade_id
            .as_deref()
            .map(CascadeId::new)
            .transpose()?;
        let writes = request.writes.into_iter().enumerate();
        let writes = writes
            .map(|(n, write)| self.to_write(n, write, cascade.as_ref(), request.isolated))
            .collect::<Result<Vec<_>>>()?;
        let conditions = request.conditions.into_iter().enumerate();
        let conditions = conditions
            .map(|(n, condition)| {
                let field = format!("conditions[{n}].cover");
                let (key, _) = convert::key(&field, condition.cover.as_ref())?;
                Ok(Condition {
                    key,
                    expected: convert::expected(condition.expected),
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let checkpoint = request.checkpoint.as_ref().map(to_checkpoint).transpose()?;
        Ok(Commit {
            writes,
            conditions,
            checkpoint,
            controls: Vec::new(),
        })
    }

    fn to_write(
        &self,
        n: usize,
        write: pb::AggregateAppend,
        cascade: Option<&CascadeId>,
        isolated: bool,
    ) -> Result<Write> {
        let field = format!("writes[{n}]");
        let (key, divergence) = convert::key(&format!("{field}.cover"), write.cover.as_ref())?;
        if write.pages.len() > self.limits.pages {
            return Err(StoreError::TooLarge(format!(
                "{field}.pages has {} pages, the limit is {}",
                write.pages.len(),
                self.limits.pages
            )));
        }
        let cover = write.cover.unwrap_or_default();
        // A dead letter wraps a whole command; the engine still bounds it.
        let internal = cover.domain.starts_with("angzarr.");
        let payload_max = if internal {
            usize::MAX
        } else {
            self.limits.payload_bytes
        };
        let pages = write.pages.iter().enumerate();
        let pages = pages
            .map(|(n, page)| compose::to_stored(n, page, payload_max))
            .collect::<Result<Vec<_>>>()
            .map_err(|error| within(&field, error))?;
        Ok(Write {
            settles: settles(&cover, &write.pages),
            key,
            divergence,
            expected: convert::expected(write.expected),
            correlation: convert::correlation(&cover.correlation_id)?,
            ext: cover
                .ext
                .map_or_else(Bytes::new, |ext| ext.encode_to_vec().into()),
            cascade: cascade.cloned(),
            isolated,
            pages,
            claim: write.claim.map(to_claim),
            snapshot: write.snapshot.as_ref().map(convert::snapshot).transpose()?,
        })
    }
}

/// Says in which write of the request a field is wrong.
fn within(field: &str, error: StoreError) -> StoreError {
    match error {
        StoreError::Invalid(text) => StoreError::Invalid(format!("{field}: {text}")),
        StoreError::TooLarge(text) => StoreError::TooLarge(format!("{field}: {text}")),
        other => other,
    }
}

pub(super) fn to_claim(claim: pb::Claim) -> Claim {
    Claim {
        kind: claim.kind.into(),
        key: claim.key.into(),
    }
}

pub(super) fn to_checkpoint(checkpoint: &pb::Checkpoint) -> Result<(Consumer, Position)> {
    let consumer = Consumer::new(&checkpoint.consumer)
        .map_err(|error| StoreError::Invalid(format!("checkpoint: {error}")))?;
    Ok((consumer, Position::new(checkpoint.position)))
}

/// The decisions that confirmations and revocations among the pages carry.
fn settles(cover: &v1::Cover, pages: &[v1::EventPage]) -> Vec<Settle> {
    pages
        .iter()
        .filter_map(|page| settle(cover, page))
        .collect()
}

fn settle(cover: &v1::Cover, page: &v1::EventPage) -> Option<Settle> {
    let Some(v1::event_page::Payload::Event(event)) = &page.payload else {
        return None;
    };
    let (verdict, target, sequences) = match Dialect::of_type_url(&event.type_url)?.1 {
        "Confirmation" => {
            let message = v1::Confirmation::decode(event.value.as_slice()).ok()?;
            (Verdict::Confirmed, message.target, message.sequences)
        }
        "Revocation" => {
            let message = v1::Revocation::decode(event.value.as_slice()).ok()?;
            (Verdict::Revoked, message.target, message.sequences)
        }
        _ => return None,
    };
    // One that speaks of another aggregate decides nothing here.
    let elsewhere = target.is_some_and(|target| {
        target.root.is_some() && (target.root != cover.root || target.domain != cover.domain)
    });
    let sequences = sequences.into_iter().map(Sequence::new).collect();
    (!elsewhere).then_some(Settle { verdict, sequences })
}
