//! The server within a Rust program: business code as plain functions, in the server's process.
//!
//! Each function is served to the coordinators over a Unix socket in a folder of its own, with the
//! messages that business code in another process gets. Moving a component out later is a change
//! of configuration only.

mod component;
mod message;
mod running;

use std::path::Path;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::config::{Aggregate, Config, Endpoint, Input, Reaction, Retries, Snapshots, Sources};
use crate::run::Instance;
use component::{Component, Decide, Process, Project, Translate};

pub use component::Step;
pub use message::{Event, Outgoing, decode, pack};
pub use running::{Error, Running};

/// A server with business code in its own process. See [`Embedded::in_folder`].
pub struct Embedded {
    config: Config,
    components: Vec<Component>,
    from_now: Vec<String>,
}

impl Embedded {
    /// A server with a store in a folder, on a free port of this machine.
    ///
    /// # Errors
    /// [`Error::Configuration`] when the folder's name is none.
    pub fn in_folder(folder: &Path) -> Result<Self, Error> {
        let flag = |key: &str, value: String| (key.to_owned(), key.to_owned(), value);
        let sources = Sources {
            // No file is looked for: what is not said here is as documented.
            folder: folder.join("no-configuration"),
            flags: vec![
                flag("storage.path", folder.display().to_string()),
                flag("server.listen", "[\"127.0.0.1:0\"]".to_owned()),
            ],
            ..Sources::default()
        };
        let config =
            Config::load(&sources).map_err(|error| Error::Configuration(error.to_string()));
        Ok(Self::with(config?))
    }

    /// A server with a configuration of its own; components it names in other processes stay.
    #[must_use]
    pub fn with(config: Config) -> Self {
        Self {
            config,
            components: Vec::new(),
            from_now: Vec::new(),
        }
    }

    /// Decides the commands of a domain: from an aggregate's events, oldest first, and a command
    /// to new events, or to a refusal that the sender gets.
    #[must_use]
    pub fn aggregate(
        mut self,
        domain: &str,
        decide: impl Fn(&[Event], &prost_types::Any) -> Result<Vec<prost_types::Any>, String>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        let decide: Decide = Arc::new(decide);
        self.components.push(Component::Aggregate {
            domain: domain.to_owned(),
            decide,
        });
        self
    }

    /// Translates events of a domain into commands. An error is tried again; see the retries in
    /// the configuration's documentation.
    #[must_use]
    pub fn saga(
        mut self,
        name: &str,
        input: &str,
        translate: impl Fn(&Event) -> Result<Vec<Outgoing>, String> + Send + Sync + 'static,
    ) -> Self {
        let translate: Translate = Arc::new(translate);
        self.components.push(Component::Saga {
            name: name.to_owned(),
            inputs: vec![input.to_owned()],
            translate,
        });
        self
    }

    /// Coordinates events of several domains that carry one correlation id, with events of its
    /// own, which it is given oldest first.
    #[must_use]
    pub fn process_manager(
        mut self,
        name: &str,
        inputs: &[&str],
        process: impl Fn(&[Event], &Event) -> Result<Step, String> + Send + Sync + 'static,
    ) -> Self {
        let process: Process = Arc::new(process);
        self.components.push(Component::ProcessManager {
            name: name.to_owned(),
            inputs: inputs.iter().map(|input| (*input).to_owned()).collect(),
            process,
        });
        self
    }

    /// Builds a read model from the events of domains: each at least once, in the order of its
    /// aggregate.
    #[must_use]
    pub fn projector(
        mut self,
        name: &str,
        inputs: &[&str],
        project: impl Fn(&Event) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        let project: Project = Arc::new(project);
        self.components.push(Component::Projector {
            name: name.to_owned(),
            inputs: inputs.iter().map(|input| (*input).to_owned()).collect(),
            project,
        });
        self
    }

    /// Lets a saga, process manager or projector begin with what comes after its first start, in
    /// place of the first event of the store: `start: now` in a configuration. Where that was is
    /// recorded before [`Embedded::start`] returns and does not move.
    #[must_use]
    pub fn from_now(mut self, name: &str) -> Self {
        self.from_now.push(name.to_owned());
        self
    }

    /// Opens the store and serves. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`Error`] for what cannot be opened or bound, and [`Error::Configuration`] when no
    /// component has a name given to [`Embedded::from_now`].
    pub async fn start(mut self) -> Result<Running, Error> {
        let folder = tempfile::tempdir().map_err(Error::Io)?;
        let stop = CancellationToken::new();
        for (number, component) in self.components.into_iter().enumerate() {
            let socket = folder.path().join(format!("{number}.sock"));
            let address = Endpoint::Unix(socket.clone());
            add(&mut self.config, &component, address);
            component
                .serve(&socket, stop.clone())
                .await
                .map_err(Error::Io)?;
        }
        for name in &self.from_now {
            begin_now(&mut self.config, name)?;
        }
        let instance = Instance::open(&self.config).await?;
        Running::start(instance, stop, folder)
    }
}

/// Adds a component as if the configuration had named it.
fn add(config: &mut Config, component: &Component, address: Endpoint) {
    match component {
        Component::Aggregate { domain, .. } => config.aggregates.push(Aggregate {
            domain: domain.clone(),
            address,
            dialect: Some(angzarr_proto::Dialect::V1),
            timeout: TIMEOUT,
            retries: Retries::default(),
            concurrency: CONCURRENCY,
            // A function gets every event: it has no state in which a snapshot could be.
            snapshots: Snapshots::Never,
            sagas: Vec::new(),
        }),
        Component::Saga { name, inputs, .. } => {
            config.sagas.push(reaction(name, inputs, address));
        }
        Component::Projector { name, inputs, .. } => {
            config.projectors.push(reaction(name, inputs, address));
        }
        Component::ProcessManager { name, inputs, .. } => {
            let mut manager = reaction(name, inputs, address);
            manager.domain = Some(name.clone());
            config.process_managers.push(manager);
        }
    }
}

fn begin_now(config: &mut Config, name: &str) -> Result<(), Error> {
    let listed = config.sagas.iter_mut();
    let listed = listed.chain(&mut config.process_managers);
    let mut listed = listed.chain(&mut config.projectors);
    let Some(reaction) = listed.find(|reaction| reaction.name == name) else {
        return Err(Error::Configuration(format!(
            "from_now: no saga, process manager or projector is named {name:?}: add it, too"
        )));
    };
    reaction.from_now = true;
    Ok(())
}

const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);
/// Functions of this process are called side by side.
const CONCURRENCY: usize = 64;

fn reaction(name: &str, inputs: &[String], address: Endpoint) -> Reaction {
    Reaction {
        name: name.to_owned(),
        domain: None,
        address,
        dialect: Some(angzarr_proto::Dialect::V1),
        timeout: TIMEOUT,
        retries: Retries::default(),
        concurrency: CONCURRENCY,
        inputs: inputs
            .iter()
            .map(|domain| Input {
                domain: domain.clone(),
                types: Vec::new(),
            })
            .collect(),
        targets: Vec::new(),
        all_editions: false,
        from_now: false,
    }
}
