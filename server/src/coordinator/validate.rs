mod names;

use angzarr_proto::store::v1::Claim;
use angzarr_proto::v1::{
    AngzarrDeferredSequence, CascadeErrorMode, CommandBook, CommandPage, CommandRequest, Cover,
    Edition, EventBook, EventPage, EventRequest, MergeStrategy, PageHeader, SyncMode, command_page,
    event_page, page_header,
};
use prost_types::Any;

use super::claim::{self, Sequencing};
use super::standing::Anchor;
use super::{Error, Limits, sync_mode};
use crate::framework;

pub(super) use names::{domain, edition_name, edition_text, root_hex};

/// Name by which the main timeline may also be called.
const MAIN: &str = "angzarr";
const ROOT_BYTES: usize = 16;
const ID_CHARS: usize = 128;

/// A command that can be carried out, as far as the request alone tells.
#[derive(Debug, Clone)]
pub(super) struct Command {
    /// As it was sent, but for the edition of the cover: unset for main.
    pub(super) book: CommandBook,
    /// The same as `book.cover`.
    pub(super) cover: Cover,
    pub(super) mode: SyncMode,
    pub(super) strategy: MergeStrategy,
    pub(super) sequencing: Sequencing,
    /// The tuple of a command that a component emitted, also when it names its sequence.
    pub(super) origin: Option<AngzarrDeferredSequence>,
    pub(super) cascade_id: Option<String>,
    /// Stored for the cascade only while this is pending.
    pub(super) anchor: Option<Anchor>,
    pub(super) error_mode: CascadeErrorMode,
}

impl Command {
    /// By which a second delivery is known.
    pub(super) fn claim(&self) -> Option<Claim> {
        match &self.sequencing {
            Sequencing::Deferred(claim) => Some(claim.clone()),
            Sequencing::Expected(_) => self.origin.as_ref().map(claim::command_claim),
        }
    }
}

/// Facts that can be stored, as far as the request alone tells.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) book: EventBook,
    pub(super) cover: Cover,
    pub(super) external_id: String,
    pub(super) mode: SyncMode,
    pub(super) route_to_handler: bool,
    pub(super) cascade_id: Option<String>,
    pub(super) anchor: Option<Anchor>,
}

/// Checks a command request and everything in it.
pub(super) fn command(request: CommandRequest, limits: Limits) -> Result<Command, Error> {
    let error_mode = CascadeErrorMode::try_from(request.cascade_error_mode)
        .map_err(|_| unknown("cascade_error_mode", request.cascade_error_mode))?;
    let requested = sync_mode_of("sync_mode", request.sync_mode)?;
    if let Some(id) = &request.cascade_id {
        id_text("cascade_id", id)?;
        if id.is_empty() {
            return Err(Error::invalid(
                "cascade_id is empty: leave it out for a command outside of any cascade",
            ));
        }
    }
    let mut command = command_book("command", request.command, limits)?;
    command.mode = sync_mode::effective(command_page_mode(&command.book)?, requested);
    command.cascade_id = request.cascade_id;
    command.error_mode = error_mode;
    Ok(command)
}

/// Checks a command book that came without a mode.
pub(super) fn command_book(
    field: &str,
    book: Option<CommandBook>,
    limits: Limits,
) -> Result<Command, Error> {
    let mut book = book.ok_or_else(|| missing(field))?;
    let first = book.pages.first().ok_or_else(|| {
        Error::invalid(format!(
            "{field}.pages is empty: send one page with the command"
        ))
    })?;
    let strategy = MergeStrategy::try_from(first.merge_strategy).map_err(|_| {
        unknown(
            &format!("{field}.pages[0].merge_strategy"),
            first.merge_strategy,
        )
    })?;
    let root_needed = !is_administrative(first);
    let cover = cover(&format!("{field}.cover"), book.cover.take(), root_needed)?;
    count(&format!("{field}.pages"), book.pages.len(), limits)?;
    for (place, page) in book.pages.iter().enumerate() {
        command_page(&format!("{field}.pages[{place}]"), page, limits)?;
    }
    book.cover = Some(cover.clone());
    Ok(Command {
        sequencing: claim::sequencing(&book),
        book,
        cover,
        mode: SyncMode::Async,
        strategy,
        origin: None,
        cascade_id: None,
        anchor: None,
        error_mode: CascadeErrorMode::CascadeErrorFailFast,
    })
}

/// Checks a request to store facts and everything in it.
pub(super) fn facts(request: EventRequest, limits: Limits) -> Result<Facts, Error> {
    let requested = sync_mode_of("sync_mode", request.sync_mode)?;
    let mut book = request.events.ok_or_else(|| missing("events"))?;
    let cover = cover("events.cover", book.cover.take(), true)?;
    count("events.pages", book.pages.len(), limits)?;
    let first = book.pages.first().ok_or_else(|| {
        Error::invalid("events.pages is empty: send at least one page with a fact")
    })?;
    let external_id = claim::external_id(first.header.as_ref())
        .filter(|id| !id.is_empty())
        .ok_or_else(|| {
            Error::invalid(
                "events.pages[0].header.external_deferred.external_id is missing: name the fact, \
                 so that sending it again stores it once",
            )
        })?
        .to_owned();
    for (place, page) in book.pages.iter().enumerate() {
        fact_page(
            &format!("events.pages[{place}]"),
            page,
            &external_id,
            limits,
        )?;
    }
    let page_mode = page_mode("events.pages[0].header", first.header.as_ref())?;
    book.cover = Some(cover.clone());
    book.snapshot = None;
    Ok(Facts {
        book,
        cover,
        external_id,
        mode: sync_mode::effective(page_mode, requested),
        route_to_handler: request.route_to_handler,
        cascade_id: None,
        anchor: None,
    })
}

/// Checks a cover and brings the names of main to one form.
pub(super) fn cover(field: &str, cover: Option<Cover>, root_needed: bool) -> Result<Cover, Error> {
    let mut cover = cover.ok_or_else(|| missing(field))?;
    domain(&format!("{field}.domain"), &cover.domain)?;
    match &cover.root {
        Some(root) if root.value.len() == ROOT_BYTES => {}
        None if !root_needed => {}
        None => {
            return Err(Error::invalid(format!(
                "{field}.root is missing: choose a root for a new aggregate too, 16 random bytes \
                 will do"
            )));
        }
        Some(root) => {
            return Err(Error::invalid(format!(
                "{field}.root.value has {} bytes: a root has exactly {ROOT_BYTES}",
                root.value.len()
            )));
        }
    }
    cover.edition = edition(&format!("{field}.edition"), cover.edition)?;
    id_text(&format!("{field}.correlation_id"), &cover.correlation_id)?;
    Ok(cover)
}

/// Checks an edition. The main timeline is `None` afterwards, whichever way it was named.
pub(super) fn edition(field: &str, edition: Option<Edition>) -> Result<Option<Edition>, Error> {
    let Some(edition) = edition else {
        return Ok(None);
    };
    if edition.name.is_empty() || edition.name == MAIN {
        if edition.divergences.is_empty() {
            return Ok(None);
        }
        return Err(Error::invalid(format!(
            "{field}.divergences is set on the main timeline: name the branch in {field}.name"
        )));
    }
    edition_text(&format!("{field}.name"), &edition.name)?;
    for (place, divergence) in edition.divergences.iter().enumerate() {
        domain(
            &format!("{field}.divergences[{place}].domain"),
            &divergence.domain,
        )?;
        let earlier = edition.divergences.iter().take(place);
        if earlier
            .into_iter()
            .any(|earlier| earlier.domain == divergence.domain)
        {
            return Err(Error::invalid(format!(
                "{field}.divergences names domain `{}` twice: keep one",
                divergence.domain
            )));
        }
    }
    Ok(Some(edition))
}

/// Checks a correlation id or cascade id; empty is allowed.
pub(super) fn id_text(field: &str, id: &str) -> Result<(), Error> {
    if id.len() <= ID_CHARS
        && id
            .bytes()
            .all(|byte| byte.is_ascii_graphic() || byte == b' ')
    {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{field} is {id:?}: use at most {ID_CHARS} printable ASCII characters"
    )))
}

/// What the first page of a command holds.
pub(super) fn payload_of(book: &CommandBook) -> Option<&Any> {
    match &book.pages.first()?.payload {
        Some(command_page::Payload::Command(any)) => Some(any),
        _ => None,
    }
}

/// Whether the page asks for something that concerns no aggregate.
pub(super) fn is_administrative(page: &CommandPage) -> bool {
    matches!(
        &page.payload,
        Some(command_page::Payload::Command(any)) if matches!(
            framework::name(&any.type_url),
            Some("DeleteEditionEvents" | "CascadeCommit" | "CascadeRollback")
        )
    )
}

fn command_page(field: &str, page: &CommandPage, limits: Limits) -> Result<(), Error> {
    header(&format!("{field}.header"), page.header.as_ref())?;
    MergeStrategy::try_from(page.merge_strategy)
        .map_err(|_| unknown(&format!("{field}.merge_strategy"), page.merge_strategy))?;
    match &page.payload {
        Some(command_page::Payload::Command(any)) => {
            payload(&format!("{field}.command"), any, limits)
        }
        Some(command_page::Payload::External(_)) => Err(external(field)),
        None => Err(missing(&format!("{field}.command"))),
    }
}

fn fact_page(
    field: &str,
    page: &EventPage,
    external_id: &str,
    limits: Limits,
) -> Result<(), Error> {
    header(&format!("{field}.header"), page.header.as_ref())?;
    if claim::external_id(page.header.as_ref()).is_some_and(|id| id != external_id) {
        return Err(Error::invalid(format!(
            "{field}.header.external_deferred.external_id differs from that of the first page: \
             send one book for each external id"
        )));
    }
    match &page.payload {
        Some(event_page::Payload::Event(any)) if framework::name(&any.type_url) == Some("NoOp") => {
            Err(Error::invalid(format!(
                "{field}.event is a NoOp: these are made when pages are read and never stored"
            )))
        }
        Some(event_page::Payload::Event(any)) => payload(&format!("{field}.event"), any, limits),
        Some(event_page::Payload::External(_)) => Err(external(field)),
        None => Err(missing(&format!("{field}.event"))),
    }
}

fn header(field: &str, header: Option<&PageHeader>) -> Result<(), Error> {
    page_mode(field, header)?;
    match header.and_then(|header| header.sequence_type.as_ref()) {
        None | Some(page_header::SequenceType::Sequence(_)) => Ok(()),
        Some(page_header::SequenceType::ExternalDeferred(external)) => {
            let field = format!("{field}.external_deferred.external_id");
            if external.external_id.is_empty() {
                return Err(missing(&field));
            }
            id_text(&field, &external.external_id)
        }
        Some(page_header::SequenceType::AngzarrDeferred(deferred)) => {
            let field = format!("{field}.angzarr_deferred");
            cover(&format!("{field}.source"), deferred.source.clone(), true)?;
            id_text(
                &format!("{field}.source_component"),
                &deferred.source_component,
            )
        }
    }
}

fn command_page_mode(book: &CommandBook) -> Result<Option<SyncMode>, Error> {
    let header = book.pages.first().and_then(|page| page.header.as_ref());
    page_mode("command.pages[0].header", header)
}

fn page_mode(field: &str, header: Option<&PageHeader>) -> Result<Option<SyncMode>, Error> {
    header
        .and_then(|header| header.sync_mode)
        .map(|mode| sync_mode_of(&format!("{field}.sync_mode"), mode))
        .transpose()
}

fn sync_mode_of(field: &str, mode: i32) -> Result<SyncMode, Error> {
    SyncMode::try_from(mode).map_err(|_| unknown(field, mode))
}

fn payload(field: &str, any: &Any, limits: Limits) -> Result<(), Error> {
    if any.type_url.is_empty() {
        return Err(missing(&format!("{field}.type_url")));
    }
    if any.value.len() > limits.payload_bytes {
        return Err(Error::invalid(format!(
            "{field} has {} bytes, the limit is {} (limits.payload_bytes)",
            any.value.len(),
            limits.payload_bytes
        )));
    }
    Ok(())
}

fn count(field: &str, pages: usize, limits: Limits) -> Result<(), Error> {
    if pages > limits.pages {
        return Err(Error::invalid(format!(
            "{field} has {pages} pages, the limit is {} (limits.pages_per_book)",
            limits.pages
        )));
    }
    Ok(())
}

fn missing(field: &str) -> Error {
    Error::invalid(format!("{field} is missing"))
}

fn external(field: &str) -> Error {
    Error::invalid(format!(
        "{field}.external refers to a payload elsewhere, which this server does not fetch: send \
         the payload itself"
    ))
}

fn unknown(field: &str, value: i32) -> Error {
    Error::invalid(format!(
        "{field} is {value}, which is no value of its enumeration"
    ))
}

#[cfg(test)]
mod tests;
