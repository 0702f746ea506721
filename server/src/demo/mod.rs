//! `angzarr demo`: a small shop, played against the real server through gRPC.
//!
//! Nothing is pretended. The server is the same binary in a process of its own, the business
//! code is a gRPC service like anybody's, and each sentence is printed only after what it says
//! was checked against an answer or against what was read back.

mod aggregates;
mod handler;
mod messages;
mod process;
mod shop;
mod story;
mod timeline;

#[cfg(test)]
mod tests;

use std::{io, path::PathBuf};

use thiserror::Error;
use tonic::Status;

use crate::output::{Ink, Output};

/// Why the demo ended early.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Trouble {
    /// Something did not go as the story says.
    #[error("{0}")]
    Wrong(String),
    /// A call that must succeed did not.
    #[error("{call} failed: {status}", status = status.message())]
    Call {
        /// The call.
        call: &'static str,
        /// The answer.
        status: Box<Status>,
    },
    /// The operating system refused something.
    #[error("cannot {what}: {error}")]
    Io {
        /// What was attempted.
        what: &'static str,
        /// The answer.
        error: io::Error,
    },
    /// Nobody reads the story any more.
    #[error("nobody reads the story any more: {0}")]
    Output(#[from] io::Error),
}

impl Trouble {
    fn wrong(text: impl Into<String>) -> Self {
        Self::Wrong(text.into())
    }

    fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Io { what, error }
    }

    fn call(call: &'static str) -> impl FnOnce(Status) -> Self {
        move |status| Self::Call {
            call,
            status: Box::new(status),
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "made for map_err")]
    fn transport(error: tonic::transport::Error) -> Self {
        Self::Wrong(format!("the server cannot be reached: {error}"))
    }
}

/// Plays the story on a scratch folder, which goes away afterwards unless it is to be kept or
/// something went wrong.
///
/// # Errors
/// [`Trouble`] when any step did not do what the story says.
pub async fn run(output: &mut Output, keep: bool) -> Result<(), Trouble> {
    let scratch = tempfile::Builder::new().prefix("angzarr-demo-").tempdir();
    let scratch = scratch.map_err(Trouble::io("make a scratch folder"))?;
    let folder = scratch.path().to_path_buf();
    let told = tokio::select! {
        told = story::play(output, &folder) => told,
        _ = tokio::signal::ctrl_c() => Err(Trouble::wrong("interrupted")),
    };
    match told {
        Ok(()) if keep => leave(output, scratch.keep()),
        Ok(()) => Ok(()),
        Err(Trouble::Output(error)) => Err(error.into()),
        Err(trouble) => {
            let folder = scratch.keep();
            Err(Trouble::wrong(format!(
                "{trouble} (the folder is left at {})",
                folder.display()
            )))
        }
    }
}

fn leave(output: &mut Output, folder: PathBuf) -> Result<(), Trouble> {
    let data = folder.join("data");
    let command = format!("angzarr serve --data {}", data.display());
    output.line(format!(
        "  Look around: {}",
        output.paint(Ink::Title, command)
    ))?;
    Ok(())
}
