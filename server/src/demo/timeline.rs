//! Two branches of history, drawn.

use std::io;

use angzarr_proto::v1::{EventBook, EventPage};

use super::{shop::sequence, story::event_text};
use crate::output::{Ink, Output};

/// Columns of one event: number, mark, type, text.
const COLUMN: usize = 52;

/// The history of one aggregate on main and on a branch.
#[derive(Debug)]
pub(super) struct Fork {
    pub(super) title: String,
    /// The branch has main's events below this.
    pub(super) at: u32,
    pub(super) main: EventBook,
    pub(super) branch: EventBook,
}

/// Draws the branches side by side, or one under the other on a narrow terminal.
pub(super) fn draw(output: &mut Output, branch: &str, forks: &[Fork]) -> io::Result<()> {
    let wide = output.width().is_none_or(|width| width >= 2 * COLUMN);
    output.line("")?;
    if wide {
        let main = output.paint(Ink::Good, format!("{:<COLUMN$}", "   ● main"));
        output.line(format!(
            "{main}{}",
            output.paint(Ink::Branch, format!("   ◆ {branch}"))
        ))?;
        output.line(output.paint(Ink::Faint, "─".repeat(2 * COLUMN)))?;
    } else {
        let main = output.paint(Ink::Good, "● main");
        output.line(format!(
            "   {main}   {}",
            output.paint(Ink::Branch, format!("◆ {branch}"))
        ))?;
        output.line(output.paint(Ink::Faint, "─".repeat(COLUMN)))?;
    }
    for fork in forks {
        output.line(output.paint(Ink::Title, &fork.title))?;
        let below = |page: &&EventPage| sequence(page).is_some_and(|number| number < fork.at);
        for page in fork.main.pages.iter().filter(below) {
            output.line(event(output, page, Ink::Good, "●").trim_end())?;
        }
        let own = |book: &EventBook, ink, mark| -> Vec<String> {
            let own = book.pages.iter().filter(|page| !below(page));
            own.map(|page| event(output, page, ink, mark)).collect()
        };
        let main = own(&fork.main, Ink::Good, "●");
        let branched = own(&fork.branch, Ink::Branch, "◆");
        if wide {
            side_by_side(output, &main, &branched)?;
        } else {
            one_under_the_other(output, &main, &branched)?;
        }
    }
    output.line("")
}

fn side_by_side(output: &mut Output, main: &[String], branch: &[String]) -> io::Result<()> {
    if !branch.is_empty() {
        let turn = format!("   ├{}╮", "─".repeat(COLUMN - 1));
        output.line(output.paint(Ink::Faint, turn))?;
    }
    for row in 0..main.len().max(branch.len()) {
        let empty = || " ".repeat(COLUMN);
        let left = main.get(row).cloned().unwrap_or_else(empty);
        let right = branch.get(row).cloned().unwrap_or_default();
        output.line(format!("{left}{right}").trim_end())?;
    }
    Ok(())
}

/// The branch stands between the events that it shares and those that main has alone.
fn one_under_the_other(output: &mut Output, main: &[String], branch: &[String]) -> io::Result<()> {
    if !branch.is_empty() {
        output.line(output.paint(Ink::Faint, "   ├─╮"))?;
    }
    let line = if main.is_empty() { " " } else { "│" };
    for event in branch {
        output.line(format!("   {} {event}", output.paint(Ink::Faint, line)).trim_end())?;
    }
    for event in main {
        output.line(event.trim_end())?;
    }
    Ok(())
}

/// One event, `COLUMN` columns wide on paper, whatever its colours.
fn event(output: &Output, page: &EventPage, ink: Ink, mark: &str) -> String {
    let number = sequence(page).unwrap_or_default();
    let (name, text) = event_text(page);
    let room = COLUMN - 21;
    let text: String = if text.chars().count() > room {
        text.chars().take(room - 1).chain(['…']).collect()
    } else {
        format!("{text:<room$}")
    };
    format!(
        "{} {} {} {text} ",
        output.paint(Ink::Number, format!("{number:>2}")),
        output.paint(ink, mark),
        output.paint(Ink::Type, format!("{name:<14}")),
    )
}
