use std::{fmt, io, process::ExitCode};

use angzarr_adapters::StoreError;

use crate::config::ConfigError;

/// How a command ended, as its exit code says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It did what was asked.
    Ok = 0,
    /// It was refused, or failed.
    Failed = 1,
    /// The command line or the configuration is wrong; nothing was tried.
    Usage = 2,
    /// The server cannot be reached.
    Unreachable = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// What went wrong, and what the person at the keyboard can do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub code: u8,
    message: String,
    next: Option<String>,
}

impl Failure {
    /// A failure that ends with `exit`.
    #[must_use]
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            code: exit as u8,
            message: message.into(),
            next: None,
        }
    }

    /// A failure with a code of its own, of a command that documents one.
    #[must_use]
    pub fn with_code(code: u8, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            next: None,
        }
    }

    /// A command line that cannot be meant.
    #[must_use]
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Adds what to do next.
    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    /// The failure of a call to the server at `target`.
    #[must_use]
    pub fn of_store(target: &str, error: &StoreError) -> Self {
        let failed = |next: &str| Self::new(Exit::Failed, error.to_string()).next(next);
        match error {
            StoreError::Unavailable(cause) => {
                Self::new(Exit::Unreachable, format!("cannot reach {target}: {cause}")).next(
                    "start a server with `angzarr serve`, or name another with --target \
                     or ANGZARR_TARGET",
                )
            }
            StoreError::Conflict { actual, .. } => failed(&format!(
                "read the aggregate again; to append after what is there now, use --expected \
                 {actual}"
            )),
            StoreError::Invalid(_) => failed("correct the value named above"),
            StoreError::TooLarge(_) => {
                failed("split the request, or raise the limit under `limits` of the server")
            }
            StoreError::NotFound(_) => failed("`angzarr aggregates` lists what there is"),
            StoreError::Busy(_) => failed("try again in a moment"),
            StoreError::Poisoned(_) => {
                failed("look at the server's log, repair the disk, restart the server")
            }
            StoreError::Corrupt(_) => {
                failed("stop the server and run `angzarr verify` on its data folder")
            }
            StoreError::Unsupported(_) => failed("use a server of the same version as this tool"),
            _ => Self::new(Exit::Failed, error.to_string()),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.message)?;
        match &self.next {
            Some(next) => write!(f, "\n  next: {next}"),
            None => Ok(()),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::usage(error.to_string())
            .next("`angzarr serve --help` lists every key with its default")
    }
}

impl From<io::Error> for Failure {
    /// A reader that went away, as `head` does, is no failure worth a word.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::with_code(0, String::new());
        }
        Self::new(Exit::Failed, error.to_string())
    }
}

impl Failure {
    /// Whether there is nothing to say.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.message.is_empty()
    }
}
