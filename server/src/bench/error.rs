use thiserror::Error;

/// Why a benchmark gave no figures.
#[derive(Debug, Error)]
pub enum Error {
    /// Nothing answers at the address.
    #[error(
        "no server answers at {target}: {cause}; start one with `angzarr serve`, or leave out \
         --target to measure a server started for the occasion"
    )]
    Unreachable {
        /// Address that was tried.
        target: String,
        /// What the connection attempt said.
        cause: String,
    },
    /// The server for the occasion did not start.
    #[error("the server for this benchmark did not start: {0}")]
    Start(String),
    /// An argument does not fit another.
    #[error("{0}")]
    Usage(String),
    /// A call outside the measured loop failed.
    #[error("{call} failed: {cause}")]
    Call {
        /// Service and method.
        call: &'static str,
        /// Code and message.
        cause: String,
    },
    /// The store broke a promise. The figures are worth nothing.
    #[error("the store is wrong: {0}")]
    Wrong(String),
    /// The report could not be written.
    #[error("cannot write the report: {0}")]
    Output(#[from] std::io::Error),
}

impl Error {
    pub(crate) fn call(call: &'static str, status: &impl ToString) -> Self {
        Self::Call {
            call,
            cause: status.to_string(),
        }
    }
}
