//! Sagas: an event becomes commands and facts elsewhere.

use std::collections::BTreeMap;

use angzarr_proto::v1::{Cover, SagaResponse};
use tracing::Instrument;

use super::delivery::Trigger;
use super::emission::Source;
use super::load::key_of;
use super::projector::span;
use super::run::Run;
use super::{Coordinator, Error};
use crate::registry::Reaction;
use crate::telemetry::{self, Component};

/// Why a component did not come to a good end.
#[derive(Debug)]
pub(super) struct ReactionFailure {
    pub(super) error: Error,
    /// Its commands were delivered, as far as that was possible: it is not to run again.
    pub(super) ran: bool,
}

impl From<Error> for ReactionFailure {
    fn from(error: Error) -> Self {
        Self { error, ran: false }
    }
}

impl Coordinator {
    /// Asks a saga about an event and delivers what it answers.
    ///
    /// Facts go first: one that cannot be injected fails the whole before any command runs. When
    /// it fails half-way it is run again as a whole; targets know what they got before.
    pub(super) async fn saga(
        &self,
        saga: &Reaction,
        trigger: &Trigger,
        run: Run<'_>,
    ) -> Result<SagaResponse, ReactionFailure> {
        let span = span("saga.orchestrate", saga, &trigger.book);
        let work = Box::pin(async {
            let source = Source {
                cover: trigger.cover(),
                sequence: trigger.sequence(),
                component: saga.name.clone(),
                first_index: 0,
                news: None,
            };
            let response = Box::pin(self.translate(saga, trigger, run)).await?;
            let mut facts = Vec::with_capacity(response.events.len());
            for (index, book) in response.events.iter().enumerate() {
                let index = response.commands.len().saturating_add(index);
                facts.push(self.emitted_fact(source.fact(index, book.clone()), run)?);
            }
            let deeper = run.deeper()?;
            for fact in &facts {
                Box::pin(self.fact(fact, deeper)).await?;
            }
            for (index, book) in response.commands.iter().enumerate() {
                let book = source.command(index, book.clone());
                let origin = source.origin(index);
                Box::pin(self.component_command(saga, &origin, &book, run)).await?;
            }
            Ok(response)
        });
        telemetry::component(Component::Saga, &saga.name, work)
            .instrument(span)
            .await
    }

    /// What a saga answers, as far as it could be delivered at all.
    pub(super) async fn translate(
        &self,
        saga: &Reaction,
        trigger: &Trigger,
        run: Run<'_>,
    ) -> Result<SagaResponse, Error> {
        let book = self.upcast_for_reaction(&trigger.book).await?;
        let destinations = self.destinations(saga, &trigger.cover()).await?;
        let call = saga.reactor.translate(&book, &destinations, run.mode());
        let call = call.instrument(span("orchestration.execute", saga, &book));
        let response = call.await?;
        let commands = response.commands.iter().map(|book| book.cover.as_ref());
        let facts = response.events.iter().map(|book| book.cover.as_ref());
        self.check_domains(commands.chain(facts))?;
        Ok(response)
    }

    /// Next sequences of the aggregates with the root of the source in the target domains.
    pub(super) async fn destinations(
        &self,
        reaction: &Reaction,
        source: &Cover,
    ) -> Result<BTreeMap<String, u32>, Error> {
        let mut destinations = BTreeMap::new();
        for target in &reaction.targets {
            let cover = Cover {
                domain: target.clone(),
                ..key_of(source)
            };
            let next = self.store.next_sequence(&cover).await?;
            destinations.insert(target.clone(), next);
        }
        Ok(destinations)
    }
}
