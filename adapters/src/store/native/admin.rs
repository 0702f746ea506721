//! Lists, checkpoints and statistics.

use std::collections::BTreeMap;

use angzarr_engine::{Commit, Consumer, Domain, Edition, Position, Root, Sequence};
use angzarr_proto::store::v1 as pb;
use angzarr_proto::v1;

use super::{NativeStore, append, convert};
use crate::StoreError;
use crate::store::Result;

/// Items of a list in one answer, if the request does not say.
const PAGE: usize = 1000;
/// And at most.
const PAGE_MAX: usize = 10_000;

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
        let mut details: BTreeMap<_, _> = if request.edition.is_empty() {
            self.engine.editions().into_iter().collect()
        } else {
            let edition = Edition::new(&request.edition)?;
            let domains = self.engine.edition(&edition);
            let known = !edition.is_main() && !domains.is_empty();
            known.then_some((edition, domains)).into_iter().collect()
        };
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
            .map(|(_, key)| convert::cover(key, id.as_str()));
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
            disk_bytes: stats.disk_bytes,
            sealed_segments: narrow(self.engine.sealing().sealed),
        }
    }

    pub(super) fn sealing_state(&self, request: &pb::SealingRequest) -> pb::SealingResponse {
        match request.paused {
            Some(true) => self.engine.pause_sealing(),
            Some(false) => self.engine.resume_sealing(),
            None => {}
        }
        let sealing = self.engine.sealing();
        let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let (current_done, current_total) = sealing.current.unwrap_or_default();
        pb::SealingResponse {
            sealed_segments: narrow(sealing.sealed),
            waiting_segments: narrow(sealing.waiting),
            current_done,
            current_total,
            paused: sealing.paused,
            failure: sealing.failure.unwrap_or_default(),
        }
    }
}

pub(super) fn size(wanted: u32) -> usize {
    match usize::try_from(wanted).unwrap_or(PAGE_MAX) {
        0 => PAGE,
        wanted => wanted.min(PAGE_MAX),
    }
}

/// The names behind a token, which is the last name of the answer before.
pub(super) fn page(
    names: impl Iterator<Item = String>,
    wanted: u32,
    token: &str,
) -> (Vec<String>, String) {
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

pub(super) fn bad_token() -> StoreError {
    StoreError::Invalid("page_token is not one that this list has returned".to_owned())
}
