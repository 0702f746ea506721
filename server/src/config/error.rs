use std::{fmt, path::PathBuf, sync::Arc};

use thiserror::Error;

/// Where a value of the configuration was written.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// A line, counted from 1, of a file.
    File {
        /// The file, as it was named.
        path: Arc<str>,
        /// The line.
        line: u64,
    },
    /// An environment variable.
    Environment(String),
    /// A flag of the command line.
    Flag(String),
    /// Written nowhere: a default.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => write!(f, "{path}, line {line}"),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
            Self::Default => f.write_str("configuration"),
        }
    }
}

/// Why a configuration was refused. Every text names the key and the place.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// A file that was named does not exist or cannot be read.
    #[error("configuration file {path} ({named_by}) cannot be read: {reason}", path = path.display())]
    Unreadable {
        /// The file, as it was named.
        path: PathBuf,
        /// The flag or variable that named it.
        named_by: &'static str,
        /// What the operating system said.
        reason: String,
    },
    /// A file is not YAML.
    #[error("{origin}: not valid YAML: {problem}")]
    Syntax {
        /// The place.
        origin: Origin,
        /// What the parser said.
        problem: String,
    },
    /// A key that nothing reads.
    #[error("{origin}: unknown key {key}; {hint}")]
    UnknownKey {
        /// The place.
        origin: Origin,
        /// Full dotted name of the key.
        key: String,
        /// The nearest known key, or all of them.
        hint: String,
    },
    /// A value that cannot be used, or is missing.
    #[error("{origin}: {key}: {problem}")]
    BadValue {
        /// The place.
        origin: Origin,
        /// Full dotted name of the key.
        key: String,
        /// What is wrong and what would be right.
        problem: String,
    },
}
