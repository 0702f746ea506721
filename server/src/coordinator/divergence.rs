//! Where a branch leaves main, in every domain that what happens on it reaches.

use std::borrow::Cow;
use std::collections::BTreeMap;

use angzarr_proto::store::v1::{ForkRequest, ListEditionDetailsRequest};
use angzarr_proto::v1::{Cover, DomainDivergence, Edition, page_header};

use super::delivery::Trigger;
use super::validate::{self, Command};
use super::{Coordinator, Error};
use crate::handler::RawBook;

/// Refuses a branch that would leave main at an event main does not have.
///
/// A component names no place: the edition of its commands is that of the event, and an aggregate
/// that is shorter on main is inherited as a whole.
pub(super) fn check_divergence(command: &Command, prior: &RawBook) -> Result<(), Error> {
    let cover = &command.cover;
    let own = divergences(cover).find(|divergence| divergence.domain == cover.domain);
    match own {
        Some(divergence)
            if divergence.sequence > prior.next_sequence && !is_a_components(command) =>
        {
            Err(Error::invalid(format!(
                "cover.edition.divergences names sequence {} of domain `{}`, the aggregate's next \
                 is {}: a branch leaves main at an event there is, or at the next one",
                divergence.sequence, cover.domain, prior.next_sequence
            )))
        }
        _ => Ok(()),
    }
}

impl Coordinator {
    /// Records where a branch leaves main in other domains than that of the aggregate, if the
    /// cover says so. The store does it for that one with the events.
    ///
    /// Before the events are stored: what they cause finds it, also when nobody waits for that
    /// and the name of the branch is all that is known by then.
    pub(super) async fn record_divergences(&self, cover: &Cover) -> Result<(), Error> {
        if divergences(cover).all(|divergence| divergence.domain == cover.domain) {
            return Ok(());
        }
        let name = validate::edition_name(cover);
        let recorded = self.recorded_divergences(name).await?;
        let mut missing = Vec::new();
        for given in divergences(cover) {
            match recorded.get(&given.domain) {
                Some(at) if *at != given.sequence => {
                    return Err(Error::invalid(format!(
                        "cover.edition.divergences: edition {name} leaves main at {at} in domain \
                         {}, not at {}",
                        given.domain, given.sequence
                    )));
                }
                None if given.domain != cover.domain => missing.push(given.clone()),
                _ => {}
            }
        }
        if !missing.is_empty() {
            let edition = Some(edition(name, missing));
            self.store.fork(ForkRequest { edition }).await?;
        }
        Ok(())
    }

    /// The same with the divergences of its branch in the cover, as a request that waits would
    /// hand it on. The log keeps the name of the branch with the events.
    pub(super) async fn with_divergences<'a>(
        &self,
        trigger: &'a Trigger,
    ) -> Result<Cow<'a, Trigger>, Error> {
        let name = match &trigger.book.cover {
            Some(cover) if divergences(cover).next().is_none() => validate::edition_name(cover),
            _ => "",
        };
        if name.is_empty() {
            return Ok(Cow::Borrowed(trigger));
        }
        let recorded = self.recorded_divergences(name).await?.into_iter();
        let recorded = recorded.map(|(domain, sequence)| DomainDivergence { domain, sequence });
        let mut told = trigger.clone();
        if let Some(cover) = &mut told.book.cover {
            cover.edition = Some(edition(name, recorded.collect()));
        }
        Ok(Cow::Owned(told))
    }

    /// By domain.
    async fn recorded_divergences(&self, name: &str) -> Result<BTreeMap<String, u32>, Error> {
        let request = ListEditionDetailsRequest {
            edition: name.to_owned(),
            ..ListEditionDetailsRequest::default()
        };
        let found = self.store.list_edition_details(request).await?.editions;
        let domains = found.into_iter().flat_map(|edition| edition.domains);
        Ok(domains
            .filter_map(|of| Some((of.domain, of.divergence?)))
            .collect())
    }
}

fn edition(name: &str, divergences: Vec<DomainDivergence>) -> Edition {
    Edition {
        name: name.to_owned(),
        divergences,
    }
}

fn divergences(cover: &Cover) -> impl Iterator<Item = &DomainDivergence> {
    let edition = cover.edition.iter();
    edition.flat_map(|edition| &edition.divergences)
}

fn is_a_components(command: &Command) -> bool {
    let header = command
        .book
        .pages
        .first()
        .and_then(|page| page.header.as_ref());
    let named = header.and_then(|header| header.sequence_type.as_ref());
    command.origin.is_some() || matches!(named, Some(page_header::SequenceType::AngzarrDeferred(_)))
}
