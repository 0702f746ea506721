//! Standard output: results, and nothing else.

use std::{
    fmt::Display,
    io::{self, IsTerminal, Write},
};

use anstyle::{AnsiColor, Style};

/// Writes results, in colour when a person is looking.
#[derive(Debug)]
pub struct Output {
    out: io::Stdout,
    colour: bool,
    width: Option<usize>,
}

/// What a piece of text is, from which its look follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ink {
    /// Something to notice first.
    Title,
    /// Names of types.
    Type,
    /// Sequences and positions.
    Number,
    /// Names of branches.
    Branch,
    /// Something that went well.
    Good,
    /// Something that was refused.
    Bad,
    /// Pending, or worth a second look.
    Warn,
    /// What may be overlooked.
    Faint,
}

impl Ink {
    fn style(self) -> Style {
        let colour = |colour: AnsiColor| Style::new().fg_color(Some(colour.into()));
        match self {
            Self::Title => Style::new().bold(),
            Self::Type => colour(AnsiColor::Cyan),
            Self::Number => colour(AnsiColor::Yellow),
            Self::Branch => colour(AnsiColor::Magenta),
            Self::Good => colour(AnsiColor::Green),
            Self::Bad => colour(AnsiColor::Red),
            Self::Warn => colour(AnsiColor::Yellow),
            Self::Faint => Style::new().dimmed(),
        }
    }

    /// `text` with the codes of a terminal around it.
    #[must_use]
    pub fn on(self, text: impl Display) -> String {
        let style = self.style();
        format!("{style}{text}{style:#}")
    }
}

impl Output {
    /// Standard output; coloured on a terminal unless `NO_COLOR` is set.
    #[must_use]
    pub fn stdout() -> Self {
        let out = io::stdout();
        let width = terminal_size::terminal_size_of(&out);
        let width = width.map(|(width, _)| usize::from(width.0));
        Self {
            colour: out.is_terminal() && colour_is_wanted(),
            width,
            out,
        }
    }

    /// Whether standard error gets colours.
    #[must_use]
    pub fn colour_on_stderr() -> bool {
        io::stderr().is_terminal() && colour_is_wanted()
    }

    /// Columns of the terminal, when it is one.
    #[must_use]
    pub fn width(&self) -> Option<usize> {
        self.width
    }

    /// Whether colours are written.
    #[must_use]
    pub fn coloured(&self) -> bool {
        self.colour
    }

    /// `text` in the look of `ink`.
    #[must_use]
    pub fn paint(&self, ink: Ink, text: impl Display) -> String {
        if self.colour {
            ink.on(text)
        } else {
            text.to_string()
        }
    }

    /// Writes one line at once.
    ///
    /// # Errors
    /// Whatever writing fails with; a broken pipe among it.
    pub fn line(&mut self, text: impl Display) -> io::Result<()> {
        writeln!(self.out, "{text}")?;
        self.out.flush()
    }

    /// Writes one value as a line of JSON.
    ///
    /// # Errors
    /// Whatever writing fails with; a broken pipe among it.
    pub fn json(&mut self, value: &serde_json::Value) -> io::Result<()> {
        self.line(value)
    }
}

fn colour_is_wanted() -> bool {
    let quiet = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    !quiet && !dumb
}
