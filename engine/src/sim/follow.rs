//! A reader that goes along the log while it grows.

use rand::Rng;
use rand::rngs::SmallRng;

use super::trace::note;
use super::world::{Outcome, World};
use crate::subscribe::{Filter, LogCursor};
use crate::types::{CorrelationId, Position, Root};

/// A cursor that was opened a while ago.
pub(super) struct Follower {
    cursor: LogCursor,
    /// The last position it has shown.
    last: u64,
}

/// Any filter whose result the model can tell.
pub(super) fn any_filter(random: &mut SmallRng) -> Filter {
    let mut filter = Filter::default();
    if random.random_bool(0.3) {
        filter.domains = vec![super::generate::domain(random.random_range(0..2))];
    }
    if random.random_bool(0.3) {
        filter.editions = vec![super::generate::edition(random.random_range(0..4))];
    }
    if random.random_bool(0.2) {
        filter.roots = vec![Root::new([random.random_range(0..3); 16])];
    }
    if random.random_bool(0.2) {
        filter.correlation = CorrelationId::new("a").unwrap();
    }
    filter.skip_isolated = random.random_bool(0.2);
    filter
}

impl World {
    /// Reads on: no event that is there is left out, and none comes twice.
    pub(super) fn follow(&mut self) -> Outcome {
        if self.follower.is_none() {
            let after = self.random.random_range(0..=self.ahead.written);
            let cursor = self
                .engine()
                .cursor(Position::new(after), Filter::default());
            match cursor {
                Ok(cursor) => {
                    self.follower = Some(Follower {
                        cursor,
                        last: after,
                    });
                }
                Err(error) => return self.expect_fault(&error),
            }
        }
        let Some(mut follower) = self.follower.take() else {
            return Ok(());
        };
        let until = self.engine().position();
        let before = follower.last;
        let chunk = match follower.cursor.next_chunk(700, until) {
            Ok(chunk) => chunk,
            // A cursor that failed may have skipped what it was to show: readers begin anew.
            Err(error) => return self.expect_fault(&error),
        };
        let found: Vec<u64> = chunk
            .iter()
            .flat_map(|recorded| &recorded.pages)
            .map(|page| page.position.get())
            .collect();
        follower.last = follower.cursor.position().get();
        let wanted: Vec<u64> = self
            .ahead
            .log
            .range(before + 1..follower.last.max(before) + 1)
            .map(|(position, _)| *position)
            .collect();
        note!(self, "follow from {before} to {}", follower.last);
        if found != wanted {
            return Err(format!(
                "followed from {before} to {}: found {found:?}, wanted {wanted:?}",
                follower.last
            ));
        }
        self.follower = Some(follower);
        Ok(())
    }
}
