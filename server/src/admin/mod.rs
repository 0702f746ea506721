//! Dead letters: what could not be processed, kept until a person has decided about it.
//!
//! The letters of a domain are the events of one aggregate in the internal domain
//! `angzarr.dlq.{domain}`, and so is what was done about them.

mod error;
mod filter;
mod folded;
mod letter;
mod replay;
mod shelf;

use std::sync::Arc;

use angzarr_adapters::EventStore;
use angzarr_proto::admin::v1::DeadLetterDeleted;
use angzarr_proto::status::{
    GetDeadLetterOk, ListDeadLettersOk, ListDeadLettersRequest, ReplayDeadLetterOk, ReplayMode,
};
use prost_types::Timestamp;

pub use self::error::AdminError;
use self::filter::Filter;
use self::folded::{Key, Place, State};
use self::letter::{Letter, View};
pub use self::replay::Redelivery;
use self::shelf::Shelf;
use crate::json::Json;

/// Letters in one answer, unless the request says otherwise, and at most.
const PAGE_DEFAULT: usize = 50;
const PAGE_MAX: usize = 500;

/// Letters that one request looks at: a filter that nothing passes ends there, with a token to
/// go on from.
const LOOKED_AT_MAX: usize = 5_000;

/// Lists, shows, replays and deletes dead letters.
pub struct DeadLetters {
    store: Arc<dyn EventStore>,
    shelf: Shelf,
    view: View,
    redelivery: Arc<dyn Redelivery>,
}

impl DeadLetters {
    /// The dead letters in `store`, sent again through `redelivery`.
    #[must_use]
    pub fn new(store: Arc<dyn EventStore>, redelivery: Arc<dyn Redelivery>, json: Json) -> Self {
        Self {
            shelf: Shelf::new(Arc::clone(&store)),
            view: View::new(json),
            store,
            redelivery,
        }
    }

    /// The letters that pass the filter, newest first. A page may hold fewer than asked for, or
    /// none, and still have a token.
    ///
    /// # Errors
    /// [`AdminError::Invalid`] names the part of the request.
    pub async fn list(
        &self,
        request: ListDeadLettersRequest,
    ) -> Result<ListDeadLettersOk, AdminError> {
        let filter = Filter::parse(&request.filter).map_err(AdminError::Invalid)?;
        let size = page_size(request.page_size)?;
        let mut cursor = match request.page_token.as_str() {
            "" => None,
            token => Some(Key::from_token(token).ok_or_else(|| {
                AdminError::Invalid(format!(
                    "page_token {token:?} is none that this server gave"
                ))
            })?),
        };
        let mut entries = Vec::new();
        let keys = self.shelf.before(cursor, LOOKED_AT_MAX).await?;
        let mut all = keys.len() < LOOKED_AT_MAX;
        for key in keys {
            if entries.len() == size {
                all = false;
                break;
            }
            cursor = Some(key);
            let Some((place, state)) = self.shelf.recall(key.id).await else {
                continue;
            };
            if !filter.takes_place(&place, state) {
                continue;
            }
            let entry = self.entry(&place).await?;
            if filter.takes(&entry) {
                entries.push(self.view.stored(&entry));
            }
        }
        let next_page_token = cursor.filter(|_| !all).map(Key::token);
        Ok(ListDeadLettersOk {
            entries,
            next_page_token: next_page_token.unwrap_or_default(),
        })
    }

    /// One letter, also one that was replayed.
    ///
    /// # Errors
    /// [`AdminError::NotFound`] for one that is not there or was deleted.
    pub async fn get(&self, id: i64) -> Result<GetDeadLetterOk, AdminError> {
        let (entry, _) = self.find(id).await?;
        Ok(GetDeadLetterOk {
            entry: Some(self.view.stored(&entry)),
        })
    }

    /// Takes a letter out of sight, for good. Gives whether this call did it.
    ///
    /// # Errors
    /// [`AdminError::NotFound`] for one that never was.
    pub async fn delete(&self, id: i64, requested_by: String) -> Result<bool, AdminError> {
        let place = match self.shelf.place(id).await? {
            Some((place, _)) => place,
            None if self.shelf.was_deleted(id).await? => return Ok(false),
            None => return Err(AdminError::NotFound(id)),
        };
        let deleted = DeadLetterDeleted {
            sequence: place.sequence,
            requested_by,
        };
        self.shelf
            .record_once("DeadLetterDeleted", &place, &deleted)
            .await
    }

    /// Sends a letter again. With a fresh sequence it takes effect once, however often it is
    /// tried; as it is, it is subject to whatever checks its first sending was.
    ///
    /// # Errors
    /// [`AdminError::Refused`] for one that was replayed before, [`AdminError::Replay`] when it
    /// was refused again; the letter stays then.
    pub async fn replay(
        &self,
        id: i64,
        mode: ReplayMode,
        requested_by: String,
    ) -> Result<ReplayDeadLetterOk, AdminError> {
        let (entry, state) = self.find(id).await?;
        if state == State::Replayed {
            return Err(AdminError::Refused(format!(
                "dead letter {id} was replayed already: delete it when it is no longer needed"
            )));
        }
        let mode = match mode {
            ReplayMode::Unspecified => ReplayMode::FreshSequence,
            mode => mode,
        };
        let outcome = replay::replay(self.redelivery.as_ref(), &entry, mode).await;
        self.shelf
            .record_replay(&entry.place, mode, requested_by, outcome.as_ref().err())
            .await?;
        outcome?;
        Ok(ReplayDeadLetterOk {
            new_correlation_id: entry.correlation_id().to_owned(),
            replayed_at: Some(Timestamp::from(std::time::SystemTime::now())),
            applied_mode: mode.into(),
        })
    }

    async fn find(&self, id: i64) -> Result<(Letter, State), AdminError> {
        let found = self.shelf.place(id).await?;
        let (place, state) = found.ok_or(AdminError::NotFound(id))?;
        Ok((self.entry(&place).await?, state))
    }

    async fn entry(&self, place: &Place) -> Result<Letter, AdminError> {
        letter::read(self.store.as_ref(), place).await
    }
}

impl std::fmt::Debug for DeadLetters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeadLetters").finish_non_exhaustive()
    }
}

fn page_size(size: i32) -> Result<usize, AdminError> {
    match usize::try_from(size) {
        Ok(0) => Ok(PAGE_DEFAULT),
        Ok(size) => Ok(size.min(PAGE_MAX)),
        Err(_) => Err(AdminError::Invalid(format!(
            "page_size is {size}: give 1 to {PAGE_MAX}, or nothing for {PAGE_DEFAULT}"
        ))),
    }
}
