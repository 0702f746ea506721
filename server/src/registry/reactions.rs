//! Which business code reacts to which events.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use angzarr_proto::Dialect;
use angzarr_proto::v1::{Cover, Uuid as RootBytes};
use uuid::Uuid;

use crate::coordinator::Limits;
use crate::framework;
use crate::handler::{PeerSettings, Reactor, Retries};

/// What a component that reacts to events is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReactionKind {
    /// Builds a read model.
    Projector,
    /// Translates events into commands of other domains; keeps nothing.
    Saga,
    /// Coordinates with events of its own.
    ProcessManager,
}

/// Events that a component wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Their domain.
    pub domain: String,
    /// Type names, in full or their last dotted part; empty for all.
    pub types: Vec<String>,
}

/// A saga, process manager or projector, as configured.
#[derive(Debug, Clone)]
pub struct ReactionSettings {
    /// What it is.
    pub kind: ReactionKind,
    /// Its name, no other component's.
    pub name: String,
    /// Domain of its own events; process managers only.
    pub domain: Option<String>,
    /// `http://host:port` or `unix:/path`.
    pub address: String,
    /// Unset: found out by trying.
    pub dialect: Option<Dialect>,
    /// Longest time for one call.
    pub timeout: Duration,
    /// For an event that it does not take.
    pub retries: Retries,
    /// Events of different aggregates that are handed to it at a time.
    pub concurrency: usize,
    /// What it wants.
    pub inputs: Vec<Input>,
    /// Domains it sends commands to, as far as it wants to know their next sequences.
    pub targets: Vec<String>,
    /// Whether it gets the events of branches too.
    pub all_editions: bool,
    /// Whether it begins with what comes after its first start, in place of the first event of
    /// the store. A rebuild goes from the first event in any case.
    pub from_now: bool,
}

/// A saga, process manager or projector.
#[derive(Debug)]
pub struct Reaction {
    /// What it is.
    pub kind: ReactionKind,
    /// Its name, no other component's.
    pub name: String,
    /// Domain of its own events; empty unless it is a process manager.
    pub domain: String,
    /// What it wants.
    pub inputs: Vec<Input>,
    /// Domains whose next sequences it is told.
    pub targets: Vec<String>,
    /// Whether it gets the events of branches too.
    pub all_editions: bool,
    /// Whether it begins with what comes after its first start.
    pub from_now: bool,
    /// For an event that it does not take.
    pub retries: Retries,
    /// Events of different aggregates that are handed to it at a time.
    pub concurrency: usize,
    /// Its business code.
    pub reactor: Reactor,
    /// How often its deliveries were reset.
    generation: AtomicU32,
}

impl ReactionKind {
    /// Name used in dead letters.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Projector => "projector",
            Self::Saga => "saga",
            Self::ProcessManager => "process_manager",
        }
    }
}

impl Reaction {
    /// Checks the settings; the connection is made with the first call.
    fn new(settings: ReactionSettings, limits: Limits) -> Result<Self, String> {
        let ReactionSettings { kind, name, .. } = settings;
        let title = format!("the {} `{name}`", kind.name().replace('_', " "));
        if settings.inputs.is_empty() {
            return Err(format!("{title} has no inputs: name at least one domain"));
        }
        let domain = settings.domain.unwrap_or_default();
        if (kind == ReactionKind::ProcessManager) == domain.is_empty() {
            return Err(format!(
                "{title}: a process manager has a domain for its own events, others have none"
            ));
        }
        let reactor = Reactor::new(PeerSettings {
            peer: title,
            address: settings.address,
            dialect: settings.dialect,
            timeout: settings.timeout,
            // The delivery of an event is what is tried again.
            retries: Retries {
                attempts: 1,
                ..settings.retries
            },
            concurrency: settings.concurrency,
            message_bytes: limits.message_bytes,
        })?;
        Ok(Self {
            kind,
            name,
            domain,
            inputs: settings.inputs,
            targets: settings.targets,
            all_editions: settings.all_editions,
            from_now: settings.from_now,
            retries: settings.retries,
            concurrency: settings.concurrency,
            reactor,
            generation: AtomicU32::new(0),
        })
    }

    /// Whether it wants events of this type. An internal domain has to be named as any other.
    #[must_use]
    pub fn wants(&self, domain: &str, edition: &str, type_url: &str) -> bool {
        (self.all_editions || edition.is_empty()) && wanted(&self.inputs, domain, type_url)
    }

    /// Under which name it keeps its checkpoint.
    #[must_use]
    pub fn consumer(&self) -> String {
        format!("{}.{}", self.kind.name(), self.name)
    }

    /// Deliveries begin after so many resets.
    pub(crate) fn begin(&self, generation: u32) {
        self.generation.store(generation, Ordering::Relaxed);
    }

    /// Name of its checkpoint, a new one after each reset.
    pub(crate) fn checkpoint(&self) -> String {
        checkpoint_name(&self.consumer(), self.generation.load(Ordering::Relaxed))
    }

    /// The process that an event belongs to.
    pub(crate) fn process_cover(&self, event: &Cover) -> Cover {
        let root = Self::process_root(&event.correlation_id);
        Cover {
            domain: self.domain.clone(),
            root: Some(RootBytes { value: root }),
            correlation_id: event.correlation_id.clone(),
            edition: event.edition.clone(),
            ext: event.ext.clone(),
        }
    }

    /// Root of the process that a correlation id belongs to.
    #[must_use]
    pub fn process_root(correlation_id: &str) -> Vec<u8> {
        let root = Uuid::parse_str(correlation_id)
            .unwrap_or_else(|_| Uuid::new_v5(&Uuid::NAMESPACE_OID, correlation_id.as_bytes()));
        root.as_bytes().to_vec()
    }
}

/// Domain of the obligations of a component.
pub(crate) fn outbox_of(component: &str) -> String {
    format!("angzarr.outbox.{component}")
}

/// Name of a checkpoint: at most 128 characters, as names of components have at most 64.
pub(crate) fn checkpoint_name(consumer: &str, generation: u32) -> String {
    if generation == 0 {
        consumer.to_owned()
    } else {
        format!("{consumer}#{generation}")
    }
}

/// Whether a list of inputs covers an event.
pub(crate) fn wanted(inputs: &[Input], domain: &str, type_url: &str) -> bool {
    inputs
        .iter()
        .filter(|input| input.domain == domain)
        .any(|input| input.types.is_empty() || input.types.iter().any(|t| is_type(t, type_url)))
}

fn is_type(wanted: &str, type_url: &str) -> bool {
    let full = type_url.rsplit('/').next().unwrap_or_default();
    let short = full.rsplit('.').next().unwrap_or_default();
    wanted == full || wanted == short
}

/// Every component, checked against each other.
pub(super) fn reactions(
    settings: Vec<ReactionSettings>,
    limits: Limits,
) -> Result<Vec<Arc<Reaction>>, String> {
    let mut names = BTreeSet::new();
    let mut domains = BTreeSet::new();
    let mut reactions = Vec::with_capacity(settings.len());
    for settings in settings {
        let reaction = Reaction::new(settings, limits)?;
        let name = &reaction.name;
        if !names.insert(name.clone()) {
            return Err(format!("two components are called `{name}`: rename one"));
        }
        if !reaction.domain.is_empty() && !domains.insert(reaction.domain.clone()) {
            return Err(format!(
                "two process managers have the domain `{}`: give each its own",
                reaction.domain
            ));
        }
        if framework::is_internal(&reaction.domain) {
            return Err(format!(
                "the process manager `{name}` has the domain `{}`: domains that begin with _ or \
                 angzarr. are the server's",
                reaction.domain
            ));
        }
        reactions.push(Arc::new(reaction));
    }
    Ok(reactions)
}
