use std::collections::BTreeSet;

use angzarr_proto::store::v1::read_request;
use bytes::Bytes;
use prost_types::Any;

use super::append::NewEvents;
use super::claim::Sequencing;
use super::merge::{self, Verdict};
use super::validate::{self, Command};
use super::{Coordinator, Error, Mismatch};
use crate::handler::RawBook;
use crate::registry::Domain;

impl Coordinator {
    /// Compares the sequence a command was decided on with that of the aggregate. Gives the
    /// former when the fields have to be compared once the new events are known.
    pub(super) async fn check_sequence(
        &self,
        command: &Command,
        prior: &RawBook,
    ) -> Result<Option<u32>, Error> {
        let Sequencing::Expected(expected) = command.sequencing else {
            return Ok(None);
        };
        match merge::judge(command.strategy, expected, prior.next_sequence) {
            Verdict::Proceed => Ok(None),
            Verdict::CompareFields => Ok(Some(expected)),
            Verdict::Refuse => Err(mismatch(command, expected, prior, Vec::new())),
            Verdict::DeadLetter => Err(Box::pin(self.dead_letter(command, expected, prior)).await?),
        }
    }

    /// Refuses a stale command whose events change a state field that the events it had not
    /// seen changed too, or whose component cannot tell.
    pub(super) async fn check_fields(
        &self,
        domain: &Domain,
        command: &Command,
        stale_at: Option<u32>,
        prior: &RawBook,
        new: &NewEvents,
    ) -> Result<(), Error> {
        let Some(expected) = stale_at.filter(|_| !new.pages.is_empty()) else {
            return Ok(());
        };
        Box::pin(self.compare_fields(domain, command, expected, prior, new)).await
    }

    async fn compare_fields(
        &self,
        domain: &Domain,
        command: &Command,
        expected: u32,
        prior: &RawBook,
        new: &NewEvents,
    ) -> Result<(), Error> {
        let seen = self.seen(domain, command, expected).await?;
        let before = self.state(domain, &seen, &seen.pages).await?;
        let current = self.state(domain, prior, &prior.pages).await?;
        let after = self.state(domain, prior, &with_new(prior, new)).await?;
        let unseen = merge::changed_fields(before.as_ref(), current.as_ref());
        let changed = merge::changed_fields(current.as_ref(), after.as_ref());
        let overlapping = match unseen.zip(changed) {
            Some((unseen, changed)) if unseen.is_disjoint(&changed) => return Ok(()),
            Some((unseen, changed)) => unseen.intersection(&changed).copied().collect(),
            None => BTreeSet::new(),
        };
        let fields = self.field_names(current.as_ref(), overlapping);
        Err(mismatch(command, expected, prior, fields))
    }

    /// Names of fields of a state, or their numbers where nothing describes them.
    pub(super) fn field_names(&self, state: Option<&Any>, numbers: BTreeSet<u32>) -> Vec<String> {
        let name = |number| {
            let (json, state) = self.descriptors.as_ref().zip(state)?;
            json.field_name(&state.type_url, number)
        };
        let numbers = numbers.into_iter();
        numbers
            .map(|number| name(number).unwrap_or_else(|| number.to_string()))
            .collect()
    }

    /// State of the component after `pages` on top of the book's snapshot.
    pub(super) async fn state(
        &self,
        domain: &Domain,
        book: &RawBook,
        pages: &[Bytes],
    ) -> Result<Option<Any>, Error> {
        let correlation_id = book
            .cover
            .as_ref()
            .map_or("", |cover| &cover.correlation_id);
        Ok(domain
            .handler
            .replay(book.snapshot.as_ref(), pages, correlation_id)
            .await?)
    }

    /// The aggregate as the client saw it when it decided.
    async fn seen(
        &self,
        domain: &Domain,
        command: &Command,
        expected: u32,
    ) -> Result<RawBook, Error> {
        let Some(last) = expected.checked_sub(1) else {
            return Ok(RawBook {
                cover: Some(command.cover.clone()),
                ..RawBook::default()
            });
        };
        let selection = read_request::Selection::AsOfSequence(last);
        let cascade_id = command.cascade_id.clone();
        let stored = self
            .load_at(domain, &command.cover, cascade_id, Some(selection))
            .await?;
        self.upcast(stored).await
    }
}

/// The prior pages and the new ones behind them.
pub(super) fn with_new(prior: &RawBook, new: &NewEvents) -> Vec<Bytes> {
    prior.pages.iter().cloned().chain(new.encoded()).collect()
}

fn mismatch(
    command: &Command,
    expected: u32,
    prior: &RawBook,
    overlapping_fields: Vec<String>,
) -> Error {
    Error::Mismatch(Box::new(Mismatch {
        domain: command.cover.domain.clone(),
        root: validate::root_hex(&command.cover),
        expected,
        actual: prior.next_sequence,
        overlapping_fields,
        book: prior.clone(),
    }))
}
