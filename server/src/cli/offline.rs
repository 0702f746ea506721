//! What the tools for folders that no server has open have in common.

use angzarr_engine::{Error, Progress};
use indicatif::{ProgressBar, ProgressStyle};

use super::{Exit, Failure};

/// Runs what reads and writes files, and tells a waiting person how far it is.
pub(super) async fn run<T: Send + 'static>(
    work: impl FnOnce(&mut dyn FnMut(Progress)) -> T + Send + 'static,
) -> Result<T, Failure> {
    let working = tokio::task::spawn_blocking(move || {
        let bar = bar();
        let done = work(&mut |progress| show(&bar, progress));
        bar.finish_and_clear();
        done
    });
    working
        .await
        .map_err(|error| Failure::new(Exit::Failed, error.to_string()))
}

/// A bar on standard error; nothing when that is no terminal.
pub(super) fn bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    let template = "{msg:6} {bar:40} {bytes} of {total_bytes}, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

pub(super) fn show(bar: &ProgressBar, progress: Progress) {
    if bar.message() != progress.stage {
        bar.set_message(progress.stage);
        bar.reset_eta();
    }
    bar.set_length(progress.total);
    bar.set_position(progress.done);
}

/// The failure of a tool on a folder.
pub(super) fn failure(error: &Error) -> Failure {
    let text = error.to_string();
    match error {
        Error::Locked(_) => Failure::usage(text).next("stop the server first"),
        Error::Unsupported { .. } => {
            Failure::usage(text).next("use the angzarr that wrote it, or a newer one")
        }
        Error::Invalid(_) => Failure::usage(text),
        Error::Corrupt { .. } => Failure::new(Exit::Failed, text)
            .next("`angzarr verify` lists all damage; restore a backup, or see `angzarr repair`"),
        _ => Failure::new(Exit::Failed, text),
    }
}
