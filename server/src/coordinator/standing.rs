//! What is done for a cascade as long as it is open, and what has become of its events.

use angzarr_proto::internal::v1::{Obligation, obligation};
use angzarr_proto::store::v1::{
    AppendRequest, Condition, Expected, PendingView, ReadRequest, expected, read_request,
};
use angzarr_proto::v1::{AngzarrDeferredSequence, Cover, SequenceSet};

use super::delivery::Trigger;
use super::load::{key_of, read_book};
use super::run::Run;
use super::{Coordinator, Error, cascade, validate};

/// What has become of an event of a cascade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Pending,
    /// Or it never was in one.
    Confirmed,
    Revoked,
}

/// An event by which something belongs to a cascade: to the one that the event is pending in,
/// and to no later one of the same name.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Anchor {
    cover: Cover,
    sequence: u32,
}

impl Coordinator {
    /// Does what an obligation says that was left over in a cascade: within it while it is open,
    /// on its own when it was committed, and not at all when it was rolled back.
    pub(super) async fn discharge_in(
        &self,
        cascade_id: &str,
        obligation: &Obligation,
        trigger: &Trigger,
    ) -> Result<(), Error> {
        loop {
            let (anchor, standing) = self.anchor(obligation, trigger).await?;
            let run = match standing {
                Standing::Revoked => return Ok(()),
                Standing::Confirmed => Run::default(),
                Standing::Pending => Run {
                    cascade_id: Some(cascade_id),
                    anchor: Some(&anchor),
                    ..Run::default()
                },
            };
            let Err(failure) = self.discharge(obligation, run).await else {
                return Ok(());
            };
            // Settled meanwhile: what was not stored for the cascade any more is done anew.
            let settled = standing == Standing::Pending
                && self.standing(&anchor).await?.0 != Standing::Pending;
            if !settled {
                return Err(failure.error);
            }
        }
    }

    /// The obligation itself, or, when that was stored outside of the cascade, the event that
    /// caused what it is about.
    async fn anchor(
        &self,
        obligation: &Obligation,
        trigger: &Trigger,
    ) -> Result<(Anchor, Standing), Error> {
        let own = Anchor {
            cover: trigger.cover(),
            sequence: trigger.sequence(),
        };
        let (standing, _) = self.standing(&own).await?;
        let is_news = matches!(
            obligation.what,
            Some(obligation::What::Rejection(_) | obligation::What::Compensation(_))
        );
        let origin = obligation.origin.as_ref();
        match origin.filter(|_| is_news && standing == Standing::Confirmed) {
            Some(origin) => {
                let source = source_of(origin);
                let (standing, _) = self.standing(&source).await?;
                Ok((source, standing))
            }
            None => Ok((own, standing)),
        }
    }

    /// Has a request stored only while an event is pending: whoever settles its cascade settles
    /// what is stored with it, or comes first, and then nothing is.
    pub(super) async fn hold(
        &self,
        request: &mut AppendRequest,
        anchor: &Anchor,
    ) -> Result<(), Error> {
        let (standing, next) = self.standing(anchor).await?;
        if standing != Standing::Pending {
            let text = "the cascade was settled meanwhile: try again";
            return Err(Error::Busy(text.to_owned()));
        }
        let expected = Some(Expected {
            state: Some(expected::State::Next(next)),
        });
        let mut writes = request.writes.iter_mut();
        let own = writes.find(|write| write.cover.as_ref().is_some_and(|c| is_in(anchor, c)));
        match own {
            // One that expects a place is refused when a decision took that.
            Some(write) => {
                let state = write.expected.and_then(|expected| expected.state);
                if !matches!(state, Some(expected::State::Next(_))) {
                    write.expected = expected;
                }
            }
            None => request.conditions.push(Condition {
                cover: Some(key_of(&anchor.cover)),
                expected,
            }),
        }
        Ok(())
    }

    /// Also the next sequence of its aggregate, which a decision about it changes.
    async fn standing(&self, anchor: &Anchor) -> Result<(Standing, u32), Error> {
        let request = ReadRequest {
            cover: Some(key_of(&anchor.cover)),
            selection: Some(read_request::Selection::Sequences(SequenceSet {
                values: vec![anchor.sequence],
            })),
            pending: PendingView::Resolved.into(),
            ..ReadRequest::default()
        };
        let book = read_book(self.store.as_ref(), request).await?;
        let standing = if cascade::holds_revoked(&book.pages)? {
            Standing::Revoked
        } else if cascade::holds_pending(&book.pages)? {
            Standing::Pending
        } else {
            Standing::Confirmed
        };
        Ok((standing, book.next_sequence))
    }

    /// The run in which news about a source event are told: in its cascade only while the event
    /// is pending in that. `None` when it was revoked, and with it all there was to undo.
    pub(super) async fn news_run<'a>(
        &self,
        origin: &AngzarrDeferredSequence,
        run: Run<'a>,
    ) -> Result<Option<Run<'a>>, Error> {
        if run.cascade_id.is_none() {
            return Ok(Some(run));
        }
        let (standing, _) = self.standing(&source_of(origin)).await?;
        Ok(match standing {
            Standing::Pending => Some(run),
            Standing::Confirmed => Some(Run {
                cascade_id: None,
                anchor: None,
                ..run
            }),
            Standing::Revoked => None,
        })
    }
}

fn source_of(origin: &AngzarrDeferredSequence) -> Anchor {
    Anchor {
        cover: origin.source.clone().unwrap_or_default(),
        sequence: origin.source_seq,
    }
}

fn is_in(anchor: &Anchor, cover: &Cover) -> bool {
    (&anchor.cover.domain, &anchor.cover.root) == (&cover.domain, &cover.root)
        && validate::edition_name(&anchor.cover) == validate::edition_name(cover)
}
