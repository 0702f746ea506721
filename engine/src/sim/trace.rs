//! What happened in a life, line by line, for a person and for comparing two runs.

/// Lines, if they are wanted.
#[derive(Debug, Default)]
pub(super) struct Trace {
    lines: Option<Vec<String>>,
    print: bool,
}

impl Trace {
    /// Keeps every line.
    pub(super) fn kept() -> Self {
        Self {
            lines: Some(Vec::new()),
            print: false,
        }
    }

    /// Prints every line.
    pub(super) fn printed() -> Self {
        Self {
            lines: None,
            print: true,
        }
    }

    pub(super) fn is_on(&self) -> bool {
        self.print || self.lines.is_some()
    }

    pub(super) fn add(&mut self, line: String) {
        if self.print {
            eprintln!("{line}");
        }
        if let Some(lines) = &mut self.lines {
            lines.push(line);
        }
    }

    pub(super) fn lines(&self) -> &[String] {
        self.lines.as_deref().unwrap_or_default()
    }
}

/// Adds a line to a world's trace, behind what its disk did meanwhile.
macro_rules! note {
    ($world:expr, $($text:tt)*) => {
        if $world.trace.is_on() {
            let steps = $world.disk.faults(crate::disk::sim::Faults::take_trace);
            for step in steps {
                $world.trace.add(format!("    disk: {step}"));
            }
            let line = format!($($text)*);
            $world.trace.add(line);
        }
    };
}
pub(super) use note;
