//! Which dead letters are wanted.

use angzarr_proto::status::RejectionType;
use jiff::Timestamp;

use super::folded::{Place, State};
use super::letter::Letter;

/// Terms that must all hold: `key=value`, or a word of the reason.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Filter {
    terms: Vec<Term>,
    state: Wanted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Wanted {
    #[default]
    Open,
    Replayed,
    All,
}

#[derive(Debug, Clone, PartialEq)]
enum Term {
    Domain(String),
    Component(String),
    ComponentType(String),
    CorrelationId(String),
    Root(Vec<u8>),
    Type(RejectionType),
    Since(Timestamp),
    Before(Timestamp),
    /// In lower case.
    Reason(String),
}

impl Filter {
    /// Reads terms with blanks between them. Nothing wants every open letter.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut filter = Self::default();
        for word in text.split_whitespace() {
            match word.split_once('=') {
                None => filter.terms.push(Term::Reason(word.to_lowercase())),
                Some(("state", value)) => filter.state = state(value)?,
                Some((key, value)) => filter.terms.push(term(key, value)?),
            }
        }
        Ok(filter)
    }

    /// Whether a letter may be wanted, as far as its place tells: without reading it.
    pub(super) fn takes_place(&self, place: &Place, state: State) -> bool {
        let state = match self.state {
            Wanted::All => true,
            Wanted::Open => state == State::Open,
            Wanted::Replayed => state == State::Replayed,
        };
        state
            && self
                .terms
                .iter()
                .all(|term| !matches!(term, Term::Domain(domain) if *domain != place.domain))
    }

    pub(super) fn takes(&self, entry: &Letter) -> bool {
        self.terms.iter().all(|term| term.takes(entry))
    }
}

impl Term {
    fn takes(&self, entry: &Letter) -> bool {
        let letter = &entry.letter;
        let cover = letter.cover.as_ref();
        match self {
            Self::Domain(domain) => entry.place.domain == *domain,
            Self::Component(name) => letter.source_component == *name,
            Self::ComponentType(kind) => letter.source_component_type == *kind,
            Self::CorrelationId(id) => entry.correlation_id() == id,
            Self::Root(root) => cover
                .and_then(|cover| cover.root.as_ref())
                .is_some_and(|found| found.value == *root),
            Self::Type(kind) => entry.rejection_type() == *kind,
            Self::Since(time) => created(entry).is_some_and(|created| created >= *time),
            Self::Before(time) => created(entry).is_some_and(|created| created < *time),
            Self::Reason(word) => letter.rejection_reason.to_lowercase().contains(word),
        }
    }
}

fn term(key: &str, value: &str) -> Result<Term, String> {
    let text = || value.to_owned();
    match key {
        "domain" => Ok(Term::Domain(text())),
        "component" => Ok(Term::Component(text())),
        "component_type" => Ok(Term::ComponentType(text())),
        "correlation_id" => Ok(Term::CorrelationId(text())),
        "root" => uuid::Uuid::try_parse(value)
            .map(|root| Term::Root(root.as_bytes().to_vec()))
            .map_err(|error| format!("filter: root={value}: {error}")),
        "type" => kind(value).map(Term::Type),
        "since" => time(key, value).map(Term::Since),
        "before" => time(key, value).map(Term::Before),
        _ => Err(format!(
            "filter: {key:?} is not known; known: domain, component, component_type, \
             correlation_id, root, type, since, before, state, or words of the reason"
        )),
    }
}

fn state(value: &str) -> Result<Wanted, String> {
    match value {
        "open" => Ok(Wanted::Open),
        "replayed" => Ok(Wanted::Replayed),
        "all" => Ok(Wanted::All),
        _ => Err(format!("filter: state={value}: give open, replayed or all")),
    }
}

fn kind(value: &str) -> Result<RejectionType, String> {
    let name = value.to_uppercase();
    RejectionType::from_str_name(&name)
        .or_else(|| RejectionType::from_str_name(&format!("REJECTION_TYPE_{name}")))
        .ok_or_else(|| {
            format!(
                "filter: type={value}: give sequence_mismatch, event_processing_failed, \
                 payload_retrieval_failed or unspecified"
            )
        })
}

fn time(key: &str, value: &str) -> Result<Timestamp, String> {
    value
        .parse()
        .map_err(|error| format!("filter: {key}={value}: {error}"))
}

fn created(entry: &Letter) -> Option<Timestamp> {
    let time = entry.created_at?;
    Timestamp::new(time.seconds, time.nanos).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_read_in_any_order() {
        let filter =
            Filter::parse(" type=sequence_mismatch stale  domain=order state=all").unwrap();
        let expected = vec![
            Term::Type(RejectionType::SequenceMismatch),
            Term::Reason("stale".into()),
            Term::Domain("order".into()),
        ];
        assert_eq!(filter.terms, expected);
        assert_eq!(filter.state, Wanted::All);
        assert_eq!(Filter::parse("").unwrap(), Filter::default());
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (text, named) in [
            ("domian=order", "domian"),
            ("type=odd", "type=odd"),
            ("since=yesterday", "since=yesterday"),
            ("root=12", "root=12"),
            ("state=gone", "state=gone"),
        ] {
            let error = Filter::parse(text).unwrap_err();
            assert!(error.contains(named), "{error}");
        }
    }
}
