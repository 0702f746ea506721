use angzarr_proto::store::v1::read_request;
use angzarr_proto::v1::{
    CommandResponse, EventBook, SpeculateCommandHandlerRequest, TemporalQuery, temporal_query,
};
use tracing::Instrument;

use super::append::number;
use super::command_handler::{execute_span, span};
use super::validate::{self, Command};
use super::{Coordinator, Error, query};
use crate::handler::{Answer, RawBook};

impl Coordinator {
    /// What a command would cause after the events up to a point. Stores nothing.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn speculate(
        &self,
        request: SpeculateCommandHandlerRequest,
    ) -> Result<CommandResponse, Error> {
        let command = validate::command_book("command", request.command, self.settings.limits)?;
        let point = request
            .point_in_time
            .map(|point| selection("point_in_time", &point));
        let span = span(&command);
        let book = self
            .suppose(&command, point.transpose()?)
            .instrument(span)
            .await?;
        Ok(CommandResponse {
            events: Some(book),
            ..CommandResponse::default()
        })
    }

    async fn suppose(
        &self,
        command: &Command,
        point: Option<read_request::Selection>,
    ) -> Result<EventBook, Error> {
        let domain = self.domain(&command.cover.domain)?;
        let at_point = point.is_some();
        let stored = self.load_at(domain, &command.cover, None, point).await?;
        let mut prior = self.upcast(stored).await?;
        if at_point {
            prior.next_sequence = end_of(&prior)?;
        }
        let mut book = EventBook {
            cover: Some(command.cover.clone()),
            next_sequence: prior.next_sequence,
            ..EventBook::default()
        };
        let call = domain
            .handler
            .handle(&prior, &command.book, &command.cover.correlation_id);
        match call.instrument(execute_span(&command.cover)).await? {
            Answer::Events { mut pages, .. } => {
                number(&mut pages, prior.next_sequence)?;
                let count = u32::try_from(pages.len()).unwrap_or(u32::MAX);
                book.next_sequence = prior.next_sequence.saturating_add(count);
                book.pages = pages;
                Ok(book)
            }
            Answer::Revocation(revocation) => Err(Error::Revoked {
                reason: revocation.reason,
            }),
            Answer::Notification(_) => Ok(book),
        }
    }
}

/// The reading that a point in time asks for.
pub(super) fn selection(
    field: &str,
    point: &TemporalQuery,
) -> Result<read_request::Selection, Error> {
    match &point.point_in_time {
        Some(temporal_query::PointInTime::AsOfSequence(sequence)) => {
            Ok(read_request::Selection::AsOfSequence(*sequence))
        }
        Some(temporal_query::PointInTime::AsOfTime(time)) => {
            query::check_time(&format!("{field}.as_of_time"), time)?;
            Ok(read_request::Selection::AsOfTime(*time))
        }
        None => Err(Error::invalid(format!(
            "{field} names no point: set as_of_sequence or as_of_time"
        ))),
    }
}

/// The number after the last event that was read.
fn end_of(book: &RawBook) -> Result<u32, Error> {
    match (book.pages.len(), &book.snapshot) {
        (0, None) => Ok(0),
        (pages, snapshot) => {
            let base = snapshot
                .as_ref()
                .map_or(0, |snapshot| snapshot.sequence.saturating_add(1));
            let pages = u32::try_from(pages).map_err(Error::damaged)?;
            base.checked_add(pages)
                .ok_or_else(|| Error::damaged("too many pages"))
        }
    }
}
