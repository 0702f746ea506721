use std::fmt::Write;

use angzarr_benches::median;

use super::Report;
use super::tables::{NONE, header};
use crate::Result;
use crate::contender::Kind;
use crate::run::About;

/// A bound and which side of it is good.
#[derive(Clone, Copy)]
enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

impl Goal {
    /// A figure beside the goal, and whether it is met.
    fn judge(self, figure: f64) -> String {
        let (sign, bound, met) = match self {
            Self::AtLeast(bound) => ("at least", bound, figure >= bound),
            Self::AtMost(bound) => ("at most", bound, figure <= bound),
        };
        let verdict = if met { "met" } else { "**missed**" };
        format!("{figure:.2} ({sign} {bound}: {verdict})")
    }
}

/// The least ratio of appends per second that was promised.
fn goal(ours: &str, theirs: &About, clients: u32) -> Option<f64> {
    match (ours, theirs.id, clients) {
        ("angzarr", "limit", _) => Some(0.9),
        ("angzarr", "pg", 1 | 16) => Some(0.8),
        ("angzarr", "pg", 64) => Some(1.5),
        ("angzarr", "pg", 256) => Some(2.0),
        ("angzarr", "umadb" | "sierradb" | "sierradb-uncompressed", _) => Some(1.5),
        ("angzarr", "message-db" | "nats" | "pg-angzarr", _) => Some(1.5),
        ("angzarr-stream", "limit-stream", 16 | 64) => Some(0.85),
        ("angzarr-stream", _, _) if theirs.kind == Kind::Peer => Some(1.0),
        ("engine", "log", 1 | 16 | 64) => Some(0.9),
        ("engine", "log", 256) => Some(0.6),
        ("engine", "rocksdb-gc", 64) => Some(3.0),
        _ => None,
    }
}

/// Whether the two do the same task.
fn comparable(ours: &str, theirs: &About) -> bool {
    match (theirs.kind, ours) {
        (Kind::Angzarr, _) => false,
        (Kind::Limit, "angzarr") => matches!(theirs.id, "limit" | "noop"),
        (Kind::Limit, "angzarr-stream") => matches!(theirs.id, "limit-stream" | "noop-stream"),
        (Kind::Limit, _) => theirs.id == "log",
        (Kind::Peer, ours) => ours != "engine",
        (Kind::Library, ours) => ours == "engine",
    }
}

impl Report {
    /// Every ratio of medians, with the goal where there is one.
    pub(super) fn ratios(&self, text: &mut String) -> Result<()> {
        writeln!(
            text,
            "## Ratios of appends per second, and their goals\n\nMedian over median.\n"
        )?;
        header(text, "ratio", &self.clients_columns())?;
        let ours = |about: &&About| about.kind == Kind::Angzarr;
        for ours in self.contenders().iter().filter(ours) {
            for theirs in self.contenders() {
                if comparable(ours.id, theirs) {
                    self.ratio(text, ours, theirs)?;
                }
            }
        }
        writeln!(text)?;
        Ok(())
    }

    fn ratio(&self, text: &mut String, ours: &About, theirs: &About) -> Result<()> {
        write!(text, "| {} / {} |", ours.name, theirs.name)?;
        for clients in &self.settings.clients {
            let ratio = self.rate(ours.id, *clients) / self.rate(theirs.id, *clients);
            let cell = match goal(ours.id, theirs, *clients) {
                _ if !ratio.is_finite() => NONE.to_owned(),
                Some(bound) => Goal::AtLeast(bound).judge(ratio),
                None => format!("{ratio:.2}"),
            };
            write!(text, " {cell} |")?;
        }
        writeln!(text)?;
        Ok(())
    }

    /// Goals that are no ratios of appends per second.
    pub(super) fn other_goals(&self, text: &mut String) -> Result<()> {
        let server_cpu = |id: &str| median::of(self.appends(id, 64, |sample| sample.server_cpu_us));
        let reads = |id: &str| median::of(self.reads(id, 16, |read| read.streams_per_second));
        let goals = [
            (
                "p99 at 64 clients, Append / limit",
                self.p99("angzarr", 64) / self.p99("limit", 64),
                Some(Goal::AtMost(1.3)),
            ),
            (
                "server's processor time for an Append at 64 clients, us",
                server_cpu("angzarr"),
                Some(Goal::AtMost(40.0)),
            ),
            (
                "the same, streamed, us",
                server_cpu("angzarr-stream"),
                Some(Goal::AtMost(20.0)),
            ),
            (
                "reading aggregates with 16 readers, Angzarr / UmaDB",
                reads("angzarr") / reads("umadb"),
                Some(Goal::AtLeast(3.0)),
            ),
            (
                "the same, Angzarr / PostgreSQL with Angzarr's table",
                reads("angzarr") / reads("pg-angzarr"),
                Some(Goal::AtLeast(1.2)),
            ),
            (
                "the same, Angzarr's engine in process / sequential read and crc32",
                reads("engine") / reads("sequential"),
                None,
            ),
        ];
        writeln!(text, "## Other goals\n")?;
        header(text, "what", &["figure".to_owned()])?;
        for (what, figure, goal) in goals {
            let judged = match goal {
                _ if !figure.is_finite() => NONE.to_owned(),
                Some(goal) => goal.judge(figure),
                None => format!("{figure:.2}"),
            };
            writeln!(text, "| {what} | {judged} |")?;
        }
        writeln!(text)?;
        Ok(())
    }
}
