//! Which events a reader of the whole store gets.

use crate::event::Write;
use crate::log::record::{PageRef, Pages};
use crate::types::{CorrelationId, Domain, Edition, Root};

/// What a reader of the whole store wants to see. Every condition must hold; an empty list does
/// not restrict.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Domains.
    pub domains: Vec<Domain>,
    /// Timelines.
    pub editions: Vec<Edition>,
    /// Type names, in full or their last dotted part.
    pub types: Vec<String>,
    /// Aggregates.
    pub roots: Vec<Root>,
    /// Correlation id; empty for any.
    pub correlation: CorrelationId,
    /// Leave out what is isolated.
    pub skip_isolated: bool,
}

impl Filter {
    /// Whether it leaves anything out that a commit tells without a look at its events.
    pub(super) fn is_narrow(&self) -> bool {
        let names = !self.domains.is_empty() || !self.editions.is_empty();
        names || !self.roots.is_empty() || !self.correlation.as_str().is_empty()
    }

    pub(crate) fn wants(&self, about: &About<'_>) -> bool {
        fn any<T>(list: &[T], test: impl Fn(&T) -> bool) -> bool {
            list.is_empty() || list.iter().any(test)
        }
        any(&self.domains, |domain| domain.as_str() == about.domain)
            && any(&self.editions, |edition| edition.as_str() == about.edition)
            && any(&self.roots, |root| *root == about.root)
            && (self.correlation.as_str().is_empty()
                || self.correlation.as_str() == about.correlation)
            && !(self.skip_isolated && about.isolated)
    }

    pub(super) fn wants_type(&self, page: &PageRef<'_>) -> bool {
        if self.types.is_empty() {
            return true;
        }
        let name = page.type_name.of(page.body);
        // A type URL ends with the full name behind its last slash.
        let full = name.rsplit(|&b| b == b'/').next().unwrap_or_default();
        let short = full.rsplit(|&b| b == b'.').next().unwrap_or_default();
        self.types.iter().any(|wanted| {
            let wanted = wanted.as_bytes();
            wanted == full || wanted == short
        })
    }
}

/// What a filter may ask of events that were committed together for one aggregate, but for their
/// types.
pub(crate) struct About<'a> {
    domain: &'a str,
    edition: &'a str,
    root: Root,
    correlation: &'a str,
    isolated: bool,
}

impl<'a> About<'a> {
    pub(crate) fn of(write: &'a Write) -> Self {
        Self {
            domain: write.key.domain.as_str(),
            edition: write.key.edition.as_str(),
            root: write.key.root,
            correlation: write.correlation.as_str(),
            isolated: write.isolated,
        }
    }

    pub(super) fn of_pages(pages: &Pages<'a>) -> Self {
        Self {
            domain: pages.key.domain,
            edition: pages.key.edition,
            root: pages.key.root,
            correlation: pages.correlation,
            isolated: pages.isolated,
        }
    }
}
