//! Which business code serves which domain.

mod reactions;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use angzarr_adapters::StoreError;
use angzarr_proto::Dialect;
use angzarr_proto::store::v1::AppendRequest;
use angzarr_proto::v1::Cover;
use bytes::Bytes;

use crate::claim_check::ClaimCheck;
use crate::coordinator::Limits;
use crate::handler::{self, AnswerLimits, CommandHandler, PeerSettings, Retries, Upcaster};

pub use reactions::{Input, Reaction, ReactionKind, ReactionSettings};
pub(crate) use reactions::{checkpoint_name, outbox_of, wanted};

/// Calls to one upcaster at a time.
const UPCASTS: usize = 1024;

/// When a handler is given a snapshot instead of the full book.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Snapshots {
    /// Once the component has returned a snapshot for the aggregate.
    #[default]
    Auto,
    /// Whenever one is stored.
    Always,
    /// Never, and none that it returns is stored.
    Never,
}

/// The business code of one domain, as configured.
#[derive(Debug, Clone)]
pub struct HandlerSettings {
    /// The domain it serves.
    pub domain: String,
    /// `http://host:port` or `unix:/path`.
    pub address: String,
    /// Unset: found out by trying.
    pub dialect: Option<Dialect>,
    /// Longest time for a call, retries included.
    pub timeout: Duration,
    /// For a handler that cannot be reached.
    pub retries: Retries,
    /// Calls at a time.
    pub concurrency: usize,
    /// Use of snapshots.
    pub snapshots: Snapshots,
}

/// The upcaster of one domain, as configured.
#[derive(Debug, Clone)]
pub struct UpcasterSettings {
    /// The domain whose events it knows.
    pub domain: String,
    /// `http://host:port` or `unix:/path`.
    pub address: String,
    /// Unset: found out by trying.
    pub dialect: Option<Dialect>,
    /// Longest time for a call, retries included.
    pub timeout: Duration,
    /// For an upcaster that cannot be reached.
    pub retries: Retries,
}

/// A domain that can be commanded.
#[derive(Debug)]
pub struct Domain {
    /// Its business code.
    pub handler: CommandHandler,
    /// What brings its stored events to their newest form.
    pub upcaster: Option<Upcaster>,
    /// Use of snapshots.
    pub snapshots: Snapshots,
}

/// Every domain that is configured.
#[derive(Debug, Default)]
pub struct Registry {
    domains: BTreeMap<String, Domain>,
    claim_check: Option<Arc<ClaimCheck>>,
    reactions: Vec<Arc<Reaction>>,
}

impl Registry {
    /// Checks the settings; connections are made with the first call to each component. Must
    /// be called within a tokio runtime.
    ///
    /// # Errors
    /// A sentence that names the domain: an address that is none, a domain listed twice, an
    /// upcaster for a domain without business code.
    pub fn new(
        handlers: Vec<HandlerSettings>,
        upcasters: Vec<UpcasterSettings>,
        limits: Limits,
    ) -> Result<Self, String> {
        let mut domains = BTreeMap::new();
        for settings in handlers {
            let name = settings.domain.clone();
            let domain = Domain::new(settings, limits)?;
            if domains.insert(name.clone(), domain).is_some() {
                return Err(format!(
                    "domain `{name}` is listed twice: keep one handler for it"
                ));
            }
        }
        let mut registry = Self {
            domains,
            reactions: Vec::new(),
            claim_check: None,
        };
        for settings in upcasters {
            registry.add_upcaster(settings, limits)?;
        }
        Ok(registry)
    }

    /// Adds the components that react to events, in the order in which they react.
    ///
    /// # Errors
    /// A sentence that names the component: an address that is none, a name or a domain that is
    /// used twice, missing inputs.
    pub fn with_reactions(
        mut self,
        settings: Vec<ReactionSettings>,
        limits: Limits,
    ) -> Result<Self, String> {
        let reactions = reactions::reactions(settings, limits)?;
        let clash = reactions
            .iter()
            .find(|reaction| self.domains.contains_key(&reaction.domain));
        if let Some(reaction) = clash {
            return Err(format!(
                "the process manager `{}` has the domain `{}`, which an aggregate serves: give it \
                 a domain of its own",
                reaction.name, reaction.domain
            ));
        }
        self.reactions = reactions;
        Ok(self)
    }

    /// The components that react to events.
    #[must_use]
    pub fn reactions(&self) -> &[Arc<Reaction>] {
        &self.reactions
    }

    /// The domain of that name.
    #[must_use]
    pub fn get(&self, domain: &str) -> Option<&Domain> {
        self.domains.get(domain)
    }

    /// Keeps large payloads of events in an object store.
    #[must_use]
    pub fn with_claim_check(mut self, claim_check: Arc<ClaimCheck>) -> Self {
        self.claim_check = Some(claim_check);
        self
    }

    /// Whether what is stored may refer to payloads in an object store.
    #[must_use]
    pub fn keeps_payloads_elsewhere(&self) -> bool {
        self.claim_check.is_some()
    }

    /// Puts large payloads of a request aside. The guard is to be held until it is stored.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when one cannot be stored.
    pub async fn check_in(
        &self,
        request: &mut AppendRequest,
    ) -> Result<impl Send + use<>, StoreError> {
        match &self.claim_check {
            Some(claim_check) => claim_check.check_in(request).await.map(Some),
            None => Ok(None),
        }
    }

    /// Stored pages as business code takes them: with payloads that lie elsewhere, and in their
    /// newest form, where the domain has a component for it.
    ///
    /// # Errors
    /// Those of the component; [`handler::Error::Payload`] for a payload that is lost.
    pub async fn upcast(
        &self,
        cover: &Cover,
        pages: Vec<Bytes>,
    ) -> Result<Vec<Bytes>, handler::Error> {
        let pages = match &self.claim_check {
            Some(claim_check) => Box::pin(claim_check.resolve(pages))
                .await
                .map_err(|lost| handler::Error::Payload(Box::new(lost)))?,
            None => pages,
        };
        let domain = self.domains.get(&cover.domain);
        match domain.and_then(|domain| domain.upcaster.as_ref()) {
            Some(upcaster) if !pages.is_empty() => {
                let upcast = upcaster.upcast(&cover.domain, &pages, &cover.correlation_id);
                Box::pin(upcast).await
            }
            _ => Ok(pages),
        }
    }

    /// Names of the configured domains, in order.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.domains.keys().cloned().collect()
    }

    fn add_upcaster(&mut self, settings: UpcasterSettings, limits: Limits) -> Result<(), String> {
        let name = settings.domain.clone();
        let domain = self.domains.get_mut(&name).ok_or_else(|| {
            format!("the upcaster of domain `{name}` has no aggregate: list one for the domain")
        })?;
        if domain.upcaster.is_some() {
            return Err(format!("domain `{name}` has two upcasters: keep one"));
        }
        domain.upcaster = Some(Upcaster::new(PeerSettings {
            peer: format!("the upcaster of domain `{name}`"),
            address: settings.address,
            dialect: settings.dialect,
            timeout: settings.timeout,
            retries: settings.retries,
            concurrency: UPCASTS,
            message_bytes: limits.message_bytes,
        })?);
        Ok(())
    }
}

impl Domain {
    fn new(settings: HandlerSettings, limits: Limits) -> Result<Self, String> {
        let peer = PeerSettings {
            peer: format!("the handler of domain `{}`", settings.domain),
            address: settings.address,
            dialect: settings.dialect,
            timeout: settings.timeout,
            retries: settings.retries,
            concurrency: settings.concurrency,
            message_bytes: limits.message_bytes,
        };
        let answers = AnswerLimits {
            pages: limits.pages,
            payload_bytes: limits.payload_bytes,
        };
        let handler = CommandHandler::new(peer, answers)?;
        Ok(Self {
            handler,
            upcaster: None,
            snapshots: settings.snapshots,
        })
    }
}
