use std::path::Path;

use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use super::args::Common;
use super::report::Server;
use super::{Error, grpc};
use crate::config::{Config, Sources};
use crate::run::{Instance, RunError};

/// The server to measure: a running one, or one of our own for the occasion.
pub(crate) struct Target {
    pub(crate) url: String,
    own: Option<Own>,
}

/// A server in this process, with its data.
struct Own {
    serving: JoinHandle<Result<(), RunError>>,
    shutdown: CancellationToken,
    folder: TempDir,
}

impl Target {
    pub(crate) async fn open(common: &Common) -> Result<Self, Error> {
        match &common.target {
            Some(url) => Ok(Self {
                url: url.clone(),
                own: None,
            }),
            None => Self::start_with(common.scratch.as_deref(), Vec::new()).await,
        }
    }

    /// Serves a scratch folder on a free loopback port, with every setting at its default but
    /// those given.
    pub(crate) async fn start_with(
        scratch: Option<&Path>,
        settings: Vec<(&'static str, String)>,
    ) -> Result<Self, Error> {
        let start = |error: &dyn std::fmt::Display| Error::Start(error.to_string());
        let mut builder = tempfile::Builder::new();
        let folder = match scratch {
            Some(parent) => builder.prefix("angzarr-bench-").tempdir_in(parent)?,
            None => builder.prefix("angzarr-bench-").tempdir()?,
        };
        let flag = |key: &str, value: String| ("bench".to_owned(), key.to_owned(), value);
        let given = settings.into_iter().map(|(key, value)| flag(key, value));
        let sources = Sources {
            // No configuration file counts, least of all that of the folder one happens to be in.
            folder: folder.path().to_owned(),
            flags: vec![
                flag("server.listen", "127.0.0.1:0".to_owned()),
                flag(
                    "storage.path",
                    folder.path().join("data").display().to_string(),
                ),
            ]
            .into_iter()
            .chain(given)
            .collect(),
            ..Sources::default()
        };
        let config = Config::load(&sources).map_err(|error| start(&error))?;
        let instance = Instance::open(&config)
            .await
            .map_err(|error| start(&error))?;
        let url = instance
            .urls()
            .first()
            .cloned()
            .ok_or_else(|| start(&"it has no address"))?;
        let shutdown = instance.shutdown();
        let serving = tokio::spawn(instance.serve());
        Ok(Self {
            url,
            own: Some(Own {
                serving,
                shutdown,
                folder,
            }),
        })
    }

    /// Ends a server of our own and removes its data.
    pub(crate) async fn close(self) -> Result<(), Error> {
        let Some(own) = self.own else { return Ok(()) };
        own.shutdown.cancel();
        let served = own.serving.await;
        own.folder.close()?;
        match served {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Error::Wrong(error.to_string())),
            Err(error) => Err(Error::Wrong(format!("the server died: {error}"))),
        }
    }

    /// The connection for everything outside the measured loop.
    pub(crate) fn first<'a>(&self, channels: &'a [Channel]) -> Result<&'a Channel, Error> {
        channels
            .first()
            .ok_or_else(|| Error::Usage("a benchmark needs a connection".to_owned()))
    }

    /// Asks the server what it promises.
    pub(crate) async fn describe(&self, channel: &Channel) -> Result<Server, Error> {
        let stats = grpc::stats(channel).await?;
        let target = match self.own {
            Some(_) => format!("{} in this process, on a scratch folder", self.url),
            None => self.url.clone(),
        };
        Ok(Server {
            target,
            durability: stats.durability,
            index: stats.index,
        })
    }
}
