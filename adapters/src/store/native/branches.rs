//! Branches.

use std::collections::BTreeMap;

use angzarr_engine::{AggregateKey, Commit, Control, Domain, Edition, Root, Sequence};
use angzarr_proto::store::v1 as pb;
use angzarr_proto::v1;

use super::NativeStore;
use crate::StoreError;
use crate::store::Result;

impl NativeStore {
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

    pub(super) async fn control(&self, controls: Vec<Control>) -> Result<u64> {
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
        let domains = self.engine.edition(&edition);
        if domains.is_empty() {
            return Err(StoreError::NotFound(format!(
                "there is no edition {edition}; see `angzarr editions`"
            )));
        }
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
}
