use std::sync::Arc;

use angzarr_adapters::{EventStore, Limits, NativeStore, RemoteStore};
use angzarr_engine::{Error, IndexKind, Options};

use super::{RunError, tls};
use crate::config::{self, Config, NativeStorage, Storage};

/// A store, and what has to be done with it at the end.
pub(super) enum Opened {
    Native {
        store: Arc<NativeStore>,
        description: String,
    },
    Remote {
        store: Arc<RemoteStore>,
        description: String,
    },
}

impl Opened {
    pub(super) async fn open(config: &Config) -> Result<Self, RunError> {
        match &config.storage {
            Storage::Native(native) => open_native(native, limits(&config.limits)).await,
            Storage::Remote(remote) => {
                let url = remote.endpoint.to_string();
                let tls = remote.tls.as_ref().map(tls::client).transpose()?;
                let store = RemoteStore::connect_with(&url, tls)
                    .map_err(|error| RunError::Configuration(error.to_string()))?;
                let description = format!("the server at {url}");
                Ok(Self::Remote {
                    store: Arc::new(store),
                    description,
                })
            }
        }
    }

    pub(super) fn store(&self) -> Arc<dyn EventStore> {
        match self {
            Self::Native { store, .. } => store.clone(),
            Self::Remote { store, .. } => store.clone(),
        }
    }

    /// Where events are kept and what an answer promises.
    pub(super) fn describe(&self) -> &str {
        match self {
            Self::Native { description, .. } | Self::Remote { description, .. } => description,
        }
    }

    /// Makes everything durable and lets go of the folder.
    pub(super) async fn close(self) -> Result<(), RunError> {
        let Self::Native { store, .. } = self else {
            return Ok(());
        };
        let closing = tokio::task::spawn_blocking(move || store.engine().close());
        let closed = closing
            .await
            .map_err(|error| RunError::Close(error.to_string()))?;
        closed.map_err(|error| RunError::Close(error.to_string()))
    }
}

async fn open_native(native: &NativeStorage, limits: Limits) -> Result<Opened, RunError> {
    let options = options(native);
    let description = describe(native, &options);
    let folder = native.path.clone();
    let opening = tokio::task::spawn_blocking(move || NativeStore::open(&folder, options, limits));
    let opened = opening
        .await
        .map_err(|error| RunError::Store(error.to_string()))?;
    let store = opened.map_err(refusal)?;
    let recovery = store.engine().recovery();
    tracing::info!(
        position = store.engine().position().get(),
        replayed_commits = recovery.replayed_commits,
        cut_bytes = recovery.cut_bytes,
        "opened the data folder"
    );
    Ok(Opened::Native {
        store: Arc::new(store),
        description,
    })
}

fn limits(limits: &config::Limits) -> Limits {
    let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    Limits {
        pages: size(limits.pages_per_book.into()),
        payload_bytes: size(limits.payload_bytes),
    }
}

fn options(native: &NativeStorage) -> Options {
    let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    Options {
        durability: match native.durability {
            config::Durability::Fsync => angzarr_engine::Durability::Fsync,
            config::Durability::Interval(every) => angzarr_engine::Durability::Interval(every),
            config::Durability::Os => angzarr_engine::Durability::Os,
        },
        segment_bytes: native.segment_bytes,
        queue_bytes: size(native.queue_bytes),
        index_buffer_bytes: size(native.index_buffer_bytes),
        index_cache_bytes: size(native.index_cache_bytes),
        seal_rate: native.seal_rate,
        cache_bytes: size(native.segment_cache_bytes),
        index: match native.index {
            Some(config::Index::Memory) => IndexKind::Memory,
            // The configuration refuses RocksDB in a build that does not have it.
            Some(config::Index::RocksDb) | None => IndexKind::default(),
        },
    }
}

fn describe(native: &NativeStorage, options: &Options) -> String {
    let promise = match native.durability {
        config::Durability::Fsync => "every answer waits for the disk".to_owned(),
        config::Durability::Interval(every) => {
            format!("a power failure may lose the last {every:?}")
        }
        config::Durability::Os => "a power failure may lose what was answered".to_owned(),
    };
    format!(
        "{} · durability {} ({promise}) · index {}",
        native.path.display(),
        options.durability.name(),
        options.index.name(),
    )
}

fn refusal(error: Error) -> RunError {
    let problem = error.to_string();
    match error {
        Error::Locked(_) => RunError::Folder {
            problem,
            next: "stop the other server, or name another folder with --data",
        },
        Error::Unsupported { .. } => RunError::Folder {
            problem,
            next: "use a newer angzarr on this folder, or name another folder with --data",
        },
        Error::Invalid(_) => RunError::Configuration(problem),
        _ => RunError::Store(problem),
    }
}
