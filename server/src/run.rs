//! The server as a process: built in order of dependency, served, drained, closed.

mod components;
mod storage;
mod tls;

use std::{fmt, io, sync::Arc};

use angzarr_adapters::EventStore;
use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use self::storage::Opened;
pub(crate) use self::tls::choose_tls_provider;
use crate::{
    admin::DeadLetters,
    claim_check::ClaimCheck,
    cli::{Exit, Failure},
    config::{Bus, Config, Payloads},
    coordinator::{Coordinator, Queries, Reactions, Streams},
    grpc::{GrpcServer, ServeError},
    listener::Listener,
    output::{Ink, Output},
    service::{
        CommandService, ConsumerService, DeadLetterService, ProcessManagerService,
        ProjectorService, QueryService, SagaService, StoreService, StreamService,
    },
    telemetry::{self, MeteredStore},
};

/// Why a server did not start, or ended.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RunError {
    /// The configuration does not fit together.
    #[error("{0}")]
    Configuration(String),
    /// The data folder belongs to another process or another version.
    #[error("{problem}")]
    Folder {
        /// What is wrong with it.
        problem: String,
        /// What to do.
        next: &'static str,
    },
    /// The store cannot be opened.
    #[error("the store cannot be opened: {0}")]
    Store(String),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// The address.
        address: String,
        /// What the operating system said.
        error: io::Error,
    },
    /// Serving ended with an error.
    #[error("{0}")]
    Serve(#[from] ServeError),
    /// The store did not close.
    #[error("the store did not close: {0}")]
    Close(String),
}

/// A server that has its data open and its addresses bound, and may serve.
pub struct Instance {
    reactions: Reactions,
    opened: Opened,
    listeners: Vec<Listener>,
    urls: Vec<String>,
    drain: std::time::Duration,
    grpc: GrpcServer,
    shutdown: CancellationToken,
    sweeping: Option<(Arc<ClaimCheck>, Payloads)>,
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance")
            .field("urls", &self.urls)
            .finish_non_exhaustive()
    }
}

impl Instance {
    /// Opens the store, then binds the addresses: who gets an address has its data.
    ///
    /// # Errors
    /// [`RunError`] for what cannot be opened or bound. Nothing is left open.
    pub async fn open(config: &Config) -> Result<Self, RunError> {
        let registry = components::registry(config).map_err(RunError::Configuration)?;
        let json = components::descriptors(config).map_err(RunError::Configuration)?;
        let tls = config.server.tls.as_ref().map(tls::server).transpose()?;
        let opened = Opened::open(config).await?;
        let claim_check = config.payloads.as_ref().map(components::claim_check);
        let claim_check = claim_check.transpose().map_err(RunError::Configuration)?;
        let registry = Arc::new(match &claim_check {
            Some(claim_check) => registry.with_claim_check(claim_check.clone()),
            None => registry,
        });
        let shutdown = CancellationToken::new();
        let limits = components::limits(&config.limits);
        let settings = components::settings(config);
        let store: Arc<dyn EventStore> = Arc::new(MeteredStore::new(opened.store()));
        let coordinator = Coordinator::new(store.clone(), registry.clone(), settings)
            .with_descriptors(json.clone());
        let bus = components::bus(config)
            .await
            .map_err(RunError::Configuration)?;
        let coordinator = Arc::new(match bus {
            Some((bus, settings)) => coordinator.with_bus(bus, settings),
            None => coordinator,
        });
        let reactions = coordinator.reactions(&shutdown);
        let letters = DeadLetters::new(store.clone(), coordinator.clone(), json.clone());
        let bytes = limits.message_bytes;
        let grpc = StoreService::new(store.clone(), shutdown.clone())
            .add_to(GrpcServer::new(bytes))
            .with_rest(json)
            .with_http(telemetry::router(store.clone()))
            .add_service(CommandService::server(coordinator.clone(), bytes))
            .add_service(DeadLetterService::server(Arc::new(letters), bytes))
            .add_service(ConsumerService::server(
                reactions.consumers(),
                store.clone(),
                bytes,
            ))
            .add_service(SagaService::server(coordinator.clone(), bytes))
            .add_service(ProcessManagerService::server(coordinator.clone(), bytes))
            .add_service(ProjectorService::server(coordinator.clone(), bytes))
            .add_service(QueryService::server(
                Queries::new(store.clone(), limits).with_upcasters(registry.clone()),
                bytes,
            ))
            .add_service(StreamService::server(
                Streams::new(store).with_upcasters(registry),
                shutdown.clone(),
            ));
        let grpc = match tls.clone() {
            Some(tls) => grpc.with_tls(tls),
            None => grpc,
        };
        reactions.fix_starts().await;
        let mut listeners = Vec::new();
        let mut urls = Vec::new();
        for address in &config.server.listen {
            let failed = |error| RunError::Listen {
                address: address.to_string(),
                error,
            };
            let listener = Listener::bind(&address.bind_text()).await.map_err(failed)?;
            let url = listener.url().map_err(failed)?;
            urls.push(match &tls {
                Some(_) => url.replacen("http://", "https://", 1),
                None => url,
            });
            listeners.push(listener);
        }
        let drain = config.server.drain_timeout;
        Ok(Self {
            reactions,
            opened,
            listeners,
            urls,
            drain,
            grpc,
            shutdown,
            sweeping: claim_check.zip(config.payloads.clone()),
        })
    }

    /// Where clients connect, in the order of the configuration.
    #[must_use]
    pub fn urls(&self) -> &[String] {
        &self.urls
    }

    /// Cancelling this makes [`Instance::serve`] drain and return.
    #[must_use]
    pub fn shutdown(&self) -> CancellationToken {
        self.shutdown.clone()
    }

    /// Serves until it is shut down, waits for what is under way, then syncs and closes the
    /// store.
    ///
    /// # Errors
    /// [`RunError`] when serving or closing fails.
    pub async fn serve(self) -> Result<(), RunError> {
        let health = self.grpc.health();
        let (store, shutdown) = (self.opened.store(), self.shutdown.clone());
        let watching = tokio::spawn(async move { health.follow_store(store, shutdown).await });
        let reacting = self.reactions.start();
        let sweeping = self.sweeping.map(|(claim_check, payloads)| {
            let (store, shutdown) = (self.opened.store(), self.shutdown.clone());
            let (retention, every) = (payloads.retention, payloads.sweep_interval);
            tokio::spawn(async move {
                claim_check
                    .keep_swept(store.as_ref(), retention, every, shutdown)
                    .await;
            })
        });
        let served = self
            .grpc
            .serve(self.listeners, self.shutdown.clone(), self.drain)
            .await;
        self.shutdown.cancel();
        reacting.stopped().await;
        if let Some(Err(error)) = futures::future::OptionFuture::from(sweeping).await {
            tracing::error!(%error, "sweeping payloads ended early");
        }
        if let Err(error) = watching.await {
            tracing::error!(%error, "the health check ended early");
        }
        let closed = self.opened.close().await;
        served?;
        closed
    }
}

/// Runs the server of this process until SIGTERM or SIGINT.
///
/// # Errors
/// A [`Failure`] that says what to do next.
pub async fn run(config: &Config, output: &mut Output) -> Result<(), Failure> {
    let instance = Instance::open(config).await.map_err(failure)?;
    stop_on_signal(instance.shutdown())?;
    greet(&instance, config, output)?;
    tracing::info!(addresses = instance.urls().join(", "), "serving");
    instance.serve().await.map_err(failure)?;
    tracing::info!("stopped: every answered append is in the log");
    Ok(())
}

fn greet(instance: &Instance, config: &Config, output: &mut Output) -> Result<(), Failure> {
    let name = output.paint(Ink::Title, concat!("Angzarr ", env!("CARGO_PKG_VERSION")));
    let urls: Vec<String> = instance
        .urls()
        .iter()
        .map(|url| output.paint(Ink::Good, url))
        .collect();
    output.line(format!("{name} serves on {}", urls.join(" and ")))?;
    output.line(format!("  storage   {}", instance.opened.describe()))?;
    let domains: Vec<&str> = config
        .aggregates
        .iter()
        .map(|aggregate| aggregate.domain.as_str())
        .collect();
    let domains = if domains.is_empty() {
        "none configured: events can be stored and read, commands need an aggregate".to_owned()
    } else {
        domains.join(", ")
    };
    output.line(format!("  domains   {domains}"))?;
    if let Bus::Nats(nats) = &config.bus {
        let (stream, prefix) = (&nats.stream, &nats.prefix);
        output.line(format!(
            "  bus       NATS stream {stream}, subjects {prefix}.>"
        ))?;
    }
    Ok(())
}

/// The first signal drains; the second does not wait.
fn stop_on_signal(shutdown: CancellationToken) -> Result<(), Failure> {
    let listen = |kind| signal(kind).map_err(Failure::from);
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    tokio::spawn(async move {
        loop {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            if shutdown.is_cancelled() {
                tracing::warn!(signal = name, "second signal: ending at once");
                std::process::exit(i32::from(Exit::Failed as u8));
            }
            tracing::info!(signal = name, "draining");
            shutdown.cancel();
        }
    });
    Ok(())
}

fn failure(error: RunError) -> Failure {
    let text = error.to_string();
    match error {
        RunError::Configuration(_) => Failure::usage(text).next("correct the configuration"),
        RunError::Folder { next, .. } => Failure::usage(text).next(next),
        RunError::Store(_) => Failure::new(Exit::Failed, text)
            .next("run `angzarr verify` on the data folder to see what is wrong where"),
        RunError::Listen { .. } => {
            Failure::usage(text).next("stop what uses the address, or choose another with --listen")
        }
        RunError::Serve(_) | RunError::Close(_) => {
            Failure::new(Exit::Failed, text).next("start it again: what was answered is in the log")
        }
    }
}

#[cfg(test)]
mod tests;
