use std::collections::BTreeSet;

use angzarr_proto::v1::NoOp;
use bytes::Bytes;
use prost::Message;

use super::append::NewEvents;
use super::concurrency::with_new;
use super::validate::Command;
use super::{Coordinator, Error, merge};
use crate::framework;
use crate::handler::RawBook;
use crate::handler::fields::PageOutline;
use crate::registry::Domain;

/// Why a page is hidden from a reader while its cascade is open.
const UNCOMMITTED: &str = "uncommitted";

/// Why a page is hidden for good.
const REVOKED: &str = "revoked";

/// Why a page is hidden that decides about others.
const FRAMEWORK_EVENT: &str = "framework_event";

impl Coordinator {
    /// Refuses new events that change a state field which pending events of another cascade
    /// change too, or whose component cannot tell.
    pub(super) async fn check_cascades(
        &self,
        domain: &Domain,
        command: &Command,
        prior: &RawBook,
        new: &NewEvents,
    ) -> Result<(), Error> {
        if new.pages.is_empty() {
            return Ok(());
        }
        let others = pending_cascades(&prior.pages)?;
        if others.is_empty() {
            return Ok(());
        }
        let before = self.state(domain, prior, &prior.pages).await?;
        let after = self.state(domain, prior, &with_new(prior, new)).await?;
        let changed = merge::changed_fields(before.as_ref(), after.as_ref());
        let (mut cascade_ids, mut overlapping) = (Vec::new(), BTreeSet::new());
        for cascade_id in others {
            let pending = self.fields_pending(domain, command, &cascade_id).await?;
            match changed.as_ref().zip(pending) {
                Some((changed, pending)) if changed.is_disjoint(&pending) => {}
                Some((changed, pending)) => {
                    overlapping.extend(changed.intersection(&pending).copied());
                    cascade_ids.push(cascade_id);
                }
                None => cascade_ids.push(cascade_id),
            }
        }
        if cascade_ids.is_empty() {
            return Ok(());
        }
        Err(Error::CascadeConflict {
            cascade_ids,
            overlapping_fields: self.field_names(before.as_ref(), overlapping),
        })
    }

    /// State fields that the pending events of a cascade change.
    async fn fields_pending(
        &self,
        domain: &Domain,
        command: &Command,
        cascade_id: &str,
    ) -> Result<Option<BTreeSet<u32>>, Error> {
        let without = self.load_at(domain, &command.cover, None, None).await?;
        let without = self.upcast(without).await?;
        let cascade_id = Some(cascade_id.to_owned());
        let with = self
            .load_at(domain, &command.cover, cascade_id, None)
            .await?;
        let with = self.upcast(with).await?;
        let before = self.state(domain, &without, &without.pages).await?;
        let after = self.state(domain, &with, &with.pages).await?;
        Ok(merge::changed_fields(before.as_ref(), after.as_ref()))
    }
}

/// Whether any page is pending, in the reader's own cascade or in another.
pub(super) fn holds_pending(pages: &[Bytes]) -> Result<bool, Error> {
    for page in pages {
        let outline = PageOutline::of(page).map_err(Error::damaged)?;
        if outline.no_commit || uncommitted(&outline)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether any page was revoked.
pub(super) fn holds_revoked(pages: &[Bytes]) -> Result<bool, Error> {
    for page in pages {
        let outline = PageOutline::of(page).map_err(Error::damaged)?;
        if placeholder(&outline)?.is_some_and(|placeholder| placeholder.reason == REVOKED) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The cascades whose pending events the reader does not see, in name order.
fn pending_cascades(pages: &[Bytes]) -> Result<BTreeSet<String>, Error> {
    let mut cascades = BTreeSet::new();
    for page in pages {
        let outline = PageOutline::of(page).map_err(Error::damaged)?;
        cascades.extend(uncommitted(&outline)?);
    }
    Ok(cascades)
}

/// Whether any page is a decision about earlier ones, such as a revocation.
pub(super) fn holds_decision(pages: &[Bytes]) -> Result<bool, Error> {
    for page in pages {
        let outline = PageOutline::of(page).map_err(Error::damaged)?;
        if placeholder(&outline)?.is_some_and(|placeholder| placeholder.reason == FRAMEWORK_EVENT) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn uncommitted(outline: &PageOutline<'_>) -> Result<Option<String>, Error> {
    let hidden = placeholder(outline)?.filter(|placeholder| placeholder.reason == UNCOMMITTED);
    Ok(hidden.map(|placeholder| placeholder.cascade_id))
}

fn placeholder(outline: &PageOutline<'_>) -> Result<Option<NoOp>, Error> {
    if framework::name(outline.type_url) != Some("NoOp") {
        return Ok(None);
    }
    NoOp::decode(outline.event)
        .map(Some)
        .map_err(Error::damaged)
}
