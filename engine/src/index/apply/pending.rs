//! Pending events, and what is decided about them.

use super::Applier;
use crate::error::Result;
use crate::event::Verdict;
use crate::index::keys::{self, Mark, cascade};
use crate::index::{AggregateId, Family, Range, damaged};
use crate::log::record::{KeyRef, Pages};
use crate::types::Sequence;

impl Applier<'_> {
    pub(super) fn pend(&mut self, text: &str, id: AggregateId, pages: &Pages<'_>) -> Result<()> {
        for n in 0..pages.count {
            let Some(sequence) = pages.first.plus(n) else {
                break;
            };
            let mark = Mark {
                cascade: text.to_owned(),
                confirmed: false,
                revoked: false,
            };
            self.put(Family::Marks, id.at(sequence), mark.encode());
            self.put(
                Family::Cascades,
                cascade::participant(text, id, sequence),
                Vec::new(),
            );
        }
        self.count_pending(text, |pending| pending.saturating_add(pages.count.into()))
    }

    /// Changes how many events of a cascade are pending.
    pub(super) fn count_pending(
        &mut self,
        text: &str,
        change: impl FnOnce(u64) -> u64,
    ) -> Result<()> {
        let key = cascade::info(text);
        let info = self.get(Family::Cascades, &key)?;
        let info = info
            .map(|value| cascade::decode_info(&value))
            .transpose()
            .map_err(damaged)?;
        let (before, since) = info.unwrap_or((0, self.header.recorded_at));
        let after = change(before);
        if after == 0 {
            self.changes.layer.remove(Family::Cascades, &key);
            self.changes
                .layer
                .remove(Family::Cascades, &cascade::aged(since, text));
        } else {
            self.put(Family::Cascades, key, cascade::encode_info(after, since));
            if before == 0 {
                self.put(Family::Cascades, cascade::aged(since, text), Vec::new());
            }
        }
        Ok(())
    }

    pub(super) fn settle(
        &mut self,
        key: KeyRef<'_>,
        verdict: Verdict,
        sequences: &[Sequence],
    ) -> Result<()> {
        let id = self.aggregate(key)?;
        let Some(mut head) = self.head(id)? else {
            return Ok(());
        };
        for &sequence in sequences {
            if sequence < head.first || sequence >= head.next {
                continue;
            }
            let mark = self.get(Family::Marks, &id.at(sequence))?;
            let mark = mark
                .map(|value| Mark::decode(&value))
                .transpose()
                .map_err(damaged)?;
            let mut mark = mark.unwrap_or(Mark {
                cascade: String::new(),
                confirmed: false,
                revoked: false,
            });
            let was_pending = mark.is_pending();
            match verdict {
                Verdict::Confirmed if mark.cascade.is_empty() => continue,
                Verdict::Confirmed => mark.confirmed = true,
                Verdict::Revoked => mark.revoked = true,
            }
            self.put(Family::Marks, id.at(sequence), mark.encode());
            head.marked = true;
            if was_pending {
                self.no_longer_pending(&mark.cascade, id, sequence)?;
            }
        }
        self.changes.layer.set_head(id, head);
        Ok(())
    }

    pub(super) fn no_longer_pending(
        &mut self,
        text: &str,
        id: AggregateId,
        sequence: Sequence,
    ) -> Result<()> {
        let key = cascade::participant(text, id, sequence);
        self.changes.layer.remove(Family::Cascades, &key);
        self.count_pending(text, |pending| pending.saturating_sub(1))
    }

    /// Events that nobody can read are not participants of a cascade any more.
    pub(super) fn drop_pending(&mut self, timeline: keys::TimelineId) -> Result<()> {
        let marks = Range::prefix(Family::Marks, &timeline.to_be_bytes());
        for (key, value) in self.scan(&marks)? {
            let mark = Mark::decode(&value).map_err(damaged)?;
            if mark.is_pending() {
                let id = AggregateId::parse(&key).map_err(damaged)?;
                let sequence = keys::sequence_of(&key).map_err(damaged)?;
                self.no_longer_pending(&mark.cascade, id, sequence)?;
            }
        }
        Ok(())
    }
}
