//! Lists, snapshots, branches, cascades, checkpoints and statistics.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use angzarr_engine::{
    AggregateKey, CascadeId, Commit, Consumer, Control, Domain, Edition, Expected, Position, Root,
    Sequence, Settle, Timestamp, Verdict, Write,
};
use angzarr_proto::store::v1 as pb;
use angzarr_proto::v1;

use super::{NativeStore, append, compose, convert};
use crate::StoreError;
use crate::store::Result;

/// Items of a list in one answer, if the request does not say.
const PAGE: usize = 1000;
/// And at most.
const PAGE_MAX: usize = 10_000;
/// How often a settlement is tried again because the cascade grew meanwhile.
const SETTLE_ATTEMPTS: usize = 10;

/// What becomes of a cascade.
pub(super) enum Settlement {
    Commit,
    Rollback(String),
}

impl NativeStore {
    pub(super) fn domain_page(
        &self,
        request: &pb::ListDomainsRequest,
    ) -> Result<pb::ListDomainsResponse> {
        let names = self
            .engine
            .domains()
            .into_iter()
            .map(|domain| domain.to_string());
        let (domains, next_page_token) = page(names, request.page_size, &request.page_token);
        Ok(pb::ListDomainsResponse {
            domains,
            next_page_token,
        })
    }

    pub(super) fn edition_page(
        &self,
        request: &pb::ListEditionsRequest,
    ) -> Result<pb::ListEditionsResponse> {
        let editions = self.engine.editions();
        let names = editions.iter().filter_map(|(name, domains)| {
            let wanted = request.domain.is_empty()
                || domains.iter().any(|d| d.domain.as_str() == request.domain);
            wanted.then(|| name.as_str().to_owned())
        });
        let (editions, next_page_token) = page(names, request.page_size, &request.page_token);
        Ok(pb::ListEditionsResponse {
            editions,
            next_page_token,
        })
    }

    pub(super) fn edition_details_page(
        &self,
        request: &pb::ListEditionDetailsRequest,
    ) -> Result<pb::ListEditionDetailsResponse> {
        let mut details: BTreeMap<_, _> = self.engine.editions().into_iter().collect();
        let names: Vec<_> = details
            .keys()
            .map(|name| name.as_str().to_owned())
            .collect();
        let (names, next_page_token) =
            page(names.into_iter(), request.page_size, &request.page_token);
        let mut editions = Vec::with_capacity(names.len());
        for name in names {
            let domains = details.remove(&Edition::new(&name)?).unwrap_or_default();
            let domains = domains.into_iter().map(|d| pb::EditionDomain {
                domain: d.domain.to_string(),
                divergence: d.divergence.map(Sequence::get),
                events: d.events,
            });
            editions.push(pb::EditionDetail {
                name,
                domains: domains.collect(),
            });
        }
        Ok(pb::ListEditionDetailsResponse {
            editions,
            next_page_token,
        })
    }

    pub(super) fn aggregate_page(
        &self,
        request: &pb::ListAggregatesRequest,
    ) -> Result<pb::ListAggregatesResponse> {
        let domain = Domain::new(&request.domain)?;
        let edition = Edition::new(&request.edition)?;
        let after = match request.page_token.as_str() {
            "" => None,
            token => Some(parse_root(token)?),
        };
        let listed = self
            .engine
            .aggregates(&domain, &edition, after, size(request.page_size))?;
        let token = listed
            .items
            .last()
            .filter(|_| listed.more)
            .map(|(root, _)| root.to_string());
        let aggregates = listed
            .items
            .iter()
            .map(|(root, next)| pb::AggregateSummary {
                root: Some(v1::Uuid {
                    value: root.as_bytes().to_vec(),
                }),
                next_sequence: next.get(),
            });
        Ok(pb::ListAggregatesResponse {
            aggregates: aggregates.collect(),
            next_page_token: token.unwrap_or_default(),
        })
    }

    pub(super) fn correlated_page(
        &self,
        request: &pb::ListCorrelatedRequest,
    ) -> Result<pb::ListCorrelatedResponse> {
        if request.correlation_id.is_empty() {
            return Err(StoreError::Invalid("correlation_id is empty".to_owned()));
        }
        let id = convert::correlation(&request.correlation_id)?;
        let after = match request.page_token.as_str() {
            "" => Position::START,
            token => Position::new(token.parse().map_err(|_| bad_token())?),
        };
        let listed = self
            .engine
            .correlated(&id, after, size(request.page_size))?;
        let last = listed.items.last().filter(|_| listed.more);
        let next_page_token = last
            .map(|(position, _)| position.to_string())
            .unwrap_or_default();
        let covers = listed
            .items
            .iter()
            .map(|(_, key)| convert::cover(key, id.as_str(), &[]));
        Ok(pb::ListCorrelatedResponse {
            covers: covers.collect(),
            next_page_token,
        })
    }

    pub(super) fn find_claim(&self, request: &pb::GetClaimRequest) -> Result<pb::GetClaimResponse> {
        let (key, _) = convert::key("cover", request.cover.as_ref())?;
        let claim = request.claim.clone().map(append::to_claim);
        let claim = claim.ok_or_else(|| StoreError::Invalid("claim is missing".to_owned()))?;
        let Some(range) = self.engine.claim(&key, &claim.kind, &claim.key)? else {
            return Ok(pb::GetClaimResponse::default());
        };
        let last = range.count.checked_sub(1).and_then(|n| range.first.plus(n));
        Ok(pb::GetClaimResponse {
            known: true,
            first_sequence: last.map(|_| range.first.get()),
            last_sequence: last.map(Sequence::get),
        })
    }

    pub(super) async fn store_snapshot(
        &self,
        request: pb::PutSnapshotRequest,
    ) -> Result<pb::PutSnapshotResponse> {
        let (key, _) = convert::key("cover", request.cover.as_ref())?;
        let snapshot = request.snapshot.as_ref();
        let snapshot =
            snapshot.ok_or_else(|| StoreError::Invalid("snapshot is missing".to_owned()))?;
        let write = Write {
            snapshot: Some(convert::snapshot(snapshot)?),
            ..Write::to(key)
        };
        self.engine
            .commit(Commit {
                writes: vec![write],
                ..Commit::default()
            })
            .await?;
        Ok(pb::PutSnapshotResponse {})
    }

    pub(super) fn find_snapshot(
        &self,
        request: &pb::GetSnapshotRequest,
    ) -> Result<pb::GetSnapshotResponse> {
        let (key, divergence) = convert::key("cover", request.cover.as_ref())?;
        let view = self.engine.aggregate(&key, divergence)?;
        let before = request.at_or_below.map_or(view.next(), |last| {
            Sequence::new(last.saturating_add(1)).min(view.next())
        });
        let snapshot = self.engine.snapshot(&view, before, None)?;
        let snapshot = snapshot.map(convert::snapshot_message).transpose()?;
        Ok(pb::GetSnapshotResponse { snapshot })
    }

    pub(super) fn every_snapshot(
        &self,
        request: &pb::ListSnapshotsRequest,
    ) -> Result<pb::ListSnapshotsResponse> {
        let (key, _) = convert::key("cover", request.cover.as_ref())?;
        let snapshots = self.engine.snapshots(&key)?;
        let snapshots = snapshots.into_iter().map(convert::snapshot_message);
        Ok(pb::ListSnapshotsResponse {
            snapshots: snapshots.collect::<Result<_>>()?,
        })
    }

    pub(super) async fn remove_snapshot(
        &self,
        request: pb::DeleteSnapshotRequest,
    ) -> Result<pb::DeleteSnapshotResponse> {
        let (key, _) = convert::key("cover", request.cover.as_ref())?;
        let sequence = Sequence::new(request.sequence);
        let known = self.engine.snapshots(&key)?;
        if !known.iter().any(|snapshot| snapshot.sequence == sequence) {
            return Ok(pb::DeleteSnapshotResponse { deleted: false });
        }
        self.control(vec![Control::DeleteSnapshot { key, sequence }])
            .await?;
        Ok(pb::DeleteSnapshotResponse { deleted: true })
    }

    pub(super) async fn record_fork(&self, request: pb::ForkRequest) -> Result<pb::ForkResponse> {
        let edition = request
            .edition
            .ok_or_else(|| StoreError::Invalid("edition is missing".to_owned()))?;
        let name = Edition::new(&edition.name)?;
        if name.is_main() {
            return Err(StoreError::Invalid(
                "edition.name must name a branch, not the main timeline".to_owned(),
            ));
        }
        if edition.divergences.is_empty() {
            return Err(StoreError::Invalid(
                "edition.divergences is empty: say for each domain where the branch leaves main"
                    .to_owned(),
            ));
        }
        let mut given = BTreeMap::new();
        for divergence in &edition.divergences {
            let domain = Domain::new(&divergence.domain)?;
            if given
                .insert(domain.clone(), Sequence::new(divergence.sequence))
                .is_some()
            {
                return Err(StoreError::Invalid(format!(
                    "edition.divergences names domain {domain} twice"
                )));
            }
        }
        let controls = given.into_iter().map(|(domain, at)| Control::Fork {
            edition: name.clone(),
            domain,
            divergence: Some(at),
        });
        self.control(controls.collect()).await?;
        Ok(pb::ForkResponse {})
    }

    pub(super) async fn remove_edition(
        &self,
        request: pb::DeleteEditionRequest,
    ) -> Result<pb::DeleteEditionResponse> {
        let edition = Edition::new(&request.edition)?;
        let domain = match request.domain.as_str() {
            "" => None,
            name => Some(Domain::new(name)?),
        };
        let deleted = self
            .control(vec![Control::DeleteEdition { edition, domain }])
            .await?;
        Ok(pb::DeleteEditionResponse {
            deleted_events: deleted,
        })
    }

    async fn control(&self, controls: Vec<Control>) -> Result<u64> {
        let committed = self
            .engine
            .commit(Commit {
                controls,
                ..Commit::default()
            })
            .await?;
        Ok(committed.deleted)
    }

    pub(super) fn branch_diff(&self, request: &pb::DiffRequest) -> Result<Vec<pb::DiffResponse>> {
        let edition = Edition::new(&request.edition)?;
        if edition.is_main() {
            return Err(StoreError::Invalid(
                "edition must name a branch: main does not differ from itself".to_owned(),
            ));
        }
        let domains = self.engine.editions().remove(&edition).ok_or_else(|| {
            StoreError::NotFound(format!(
                "there is no edition {edition}; see `angzarr editions`"
            ))
        })?;
        let mut found = Vec::new();
        for in_domain in domains {
            let domain = in_domain.domain;
            if !request.domain.is_empty() && request.domain != domain.as_str() {
                continue;
            }
            let all = self
                .engine
                .aggregates(&domain, &edition, None, usize::MAX - 1)?;
            for (root, next) in all.items {
                found.push(self.diff_of(&domain, &edition, root, next)?);
            }
        }
        Ok(found)
    }

    fn diff_of(
        &self,
        domain: &Domain,
        edition: &Edition,
        root: Root,
        next: Sequence,
    ) -> Result<pb::DiffResponse> {
        let key = AggregateKey {
            domain: domain.clone(),
            edition: edition.clone(),
            root,
        };
        let branch = self.engine.aggregate(&key, None)?;
        let main = self.engine.aggregate(&key.on_main(), None)?;
        Ok(pb::DiffResponse {
            domain: domain.to_string(),
            root: Some(v1::Uuid {
                value: root.as_bytes().to_vec(),
            }),
            divergence: branch.divergence().unwrap_or_default().get(),
            main_next_sequence: main.next().get(),
            edition_next_sequence: next.get(),
        })
    }

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

    pub(super) fn find_position(
        &self,
        request: &pb::GetPositionRequest,
    ) -> Result<pb::GetPositionResponse> {
        let position = self.engine.checkpoint(&Consumer::new(&request.consumer)?)?;
        Ok(pb::GetPositionResponse {
            position: position.unwrap_or_default().get(),
        })
    }

    pub(super) async fn store_position(
        &self,
        request: pb::PutPositionRequest,
    ) -> Result<pb::PutPositionResponse> {
        let checkpoint = request
            .checkpoint
            .ok_or_else(|| StoreError::Invalid("checkpoint is missing".to_owned()))?;
        let checkpoint = Some(append::to_checkpoint(&checkpoint)?);
        self.engine
            .commit(Commit {
                checkpoint,
                ..Commit::default()
            })
            .await?;
        Ok(pb::PutPositionResponse {})
    }

    pub(super) fn statistics(&self) -> pb::StatsResponse {
        let stats = self.engine.stats();
        let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        pb::StatsResponse {
            events: stats.position.get(),
            log_bytes: stats.log_bytes,
            segments: narrow(stats.segments),
            position: stats.position.get(),
            durability: stats.durability.name().to_owned(),
            index: stats.index.name().to_owned(),
            unindexed_bytes: stats.unindexed_bytes as u64,
            queued_appends: narrow(stats.queued),
            poisoned: stats.poisoned.unwrap_or_default(),
            database_id: Root::new(stats.database_id).to_string(),
            format_version: stats.format_version,
        }
    }
}

fn settling_write(
    cascade: &CascadeId,
    settlement: &Settlement,
    key: &AggregateKey,
    sequences: &[Sequence],
) -> Write {
    let target = Some(convert::cover(key, "", &[]));
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
        cover: Some(convert::cover(key, "", &[])),
        sequences: sequences.iter().map(|sequence| sequence.get()).collect(),
    };
    participants.iter().map(message).collect()
}

fn size(wanted: u32) -> usize {
    match usize::try_from(wanted).unwrap_or(PAGE_MAX) {
        0 => PAGE,
        wanted => wanted.min(PAGE_MAX),
    }
}

/// The names behind a token, which is the last name of the answer before.
fn page(names: impl Iterator<Item = String>, wanted: u32, token: &str) -> (Vec<String>, String) {
    let size = size(wanted);
    let mut rest = names.filter(|name| token.is_empty() || name.as_str() > token);
    let names: Vec<_> = rest.by_ref().take(size).collect();
    let next = if rest.next().is_some() {
        names.last().cloned()
    } else {
        None
    };
    (names, next.unwrap_or_default())
}

fn parse_root(token: &str) -> Result<Root> {
    let value = u128::from_str_radix(token, 16).map_err(|_| bad_token())?;
    Ok(Root::new(value.to_be_bytes()))
}

fn bad_token() -> StoreError {
    StoreError::Invalid("page_token is not one that this list has returned".to_owned())
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
    })
}
