//! §2, §4, §5, §6, §9: a process may die at any change of its store, before or after it. The next
//! one finishes what was begun, and every effect is there once.

use std::collections::BTreeMap;
use std::time::Duration;

use angzarr_proto::Dialect;
use angzarr_proto::store::v1::ReadAllRequest;
use angzarr_proto::v1::{CommandRequest, SyncMode};
use angzarr_server::registry::{ReactionKind, ReactionSettings};
use futures::StreamExt;
use tempfile::TempDir;

use crate::counter::Counter;
use crate::crash::{COMMAND, COMPENSATION, FACT, SAGA, amounts, labelled, manager, saga};
use crate::messages::*;
use crate::mortal::Death;
use crate::reactor::{Reactor, input};
use crate::world::*;

/// What happens in a life, and what must be there at its end.
#[derive(Clone, Copy)]
struct Flow {
    mode: SyncMode,
    /// Whether the stock refuses the saga's command.
    refused: bool,
    cascade: Option<Settled>,
}

#[derive(Clone, Copy, PartialEq)]
enum Settled {
    Committed,
    RolledBack,
}

const CASCADE: &str = "checkout";
/// For what takes some milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// The business code, which outlives the server.
struct Business {
    stock: String,
    reactions: Vec<ReactionSettings>,
}

impl Business {
    async fn start() -> Self {
        let labels = |settings: ReactionSettings| ReactionSettings {
            inputs: vec![input("counter", &["Labelled"])],
            ..settings
        };
        let view = Reactor::new();
        let saga = saga().component(ReactionKind::Saga, "restock").await;
        let process = manager();
        let process = process
            .component(ReactionKind::ProcessManager, "ship")
            .await;
        Self {
            stock: Counter::new().serve(Dialect::V1).await,
            reactions: vec![
                labels(view.component(ReactionKind::Projector, "view").await),
                labels(ReactionSettings {
                    targets: vec!["stock".into()],
                    ..saga
                }),
                labels(ReactionSettings {
                    domain: Some("shipping".into()),
                    targets: vec!["stock".into()],
                    ..process
                }),
            ],
        }
    }

    async fn world(&self, folder: Option<TempDir>, death: Option<Death>) -> World {
        Setup {
            others: vec![handler("stock", &self.stock)],
            reactions: self.reactions.clone(),
            folder,
            death,
            ..Setup::default()
        }
        .start()
        .await
    }
}

impl Flow {
    fn request(self, root: u8) -> CommandRequest {
        let request = labelled(root, 0, self.refused, self.mode);
        match self.cascade {
            Some(_) => in_cascade(request, CASCADE),
            None => request,
        }
    }

    /// Sends the command and settles its cascade. Answers say nothing when the process dies.
    async fn play(self, world: &World, root: u8) -> Result<(), tonic::Status> {
        world.send(self.request(root)).await?;
        match self.cascade {
            None => {}
            Some(Settled::Committed) => {
                world.send(committing(CASCADE)).await?;
            }
            Some(Settled::RolledBack) => {
                world.send(rolling_back(CASCADE)).await?;
            }
        }
        Ok(())
    }

    /// Waits until everything that follows is there.
    async fn done(self, world: &World, root: u8) -> Result<(), String> {
        let mut records = world
            .store
            .subscribe(ReadAllRequest::default())
            .await
            .unwrap();
        let waiting = async {
            while self.check(world, root).await.is_err() {
                records.next().await.unwrap().unwrap();
            }
        };
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(()) => Ok(()),
            Err(_) => self.check(world, root).await,
        }
    }

    /// Compares what everybody sees with what follows from the label.
    async fn check(self, world: &World, root: u8) -> Result<(), String> {
        let counter = world.book(cover(root)).await;
        let stock = world.book_of("stock", root).await;
        let process = world.book_of("shipping", root).await;
        let kept = self.cascade != Some(Settled::RolledBack);
        let labels = types(&counter)
            .into_iter()
            .filter(|name| *name == "Labelled");
        let found = (
            labels.count(),
            amounts(&counter.pages),
            amounts(&stock.pages),
            amounts(&process.pages),
        );
        let once = |amounts: &[u32]| -> BTreeMap<u32, usize> {
            let amounts = amounts.iter().filter(|_| kept);
            amounts.map(|amount| (*amount, 1)).collect()
        };
        let wanted = if self.refused {
            let labels = usize::from(kept);
            let all = once(&[COMMAND, FACT]);
            (labels, once(&[COMPENSATION]), all, once(&[1]))
        } else {
            let all = once(&[SAGA, COMMAND, FACT]);
            (usize::from(kept), once(&[]), all, once(&[1]))
        };
        if found != wanted {
            return Err(format!("root {root}: {found:?} in place of {wanted:?}"));
        }
        Ok(())
    }
}

/// One process that dies, and the next one. `false` when the first lived to see everything done.
async fn life(business: &Business, flow: Flow, step: usize, made: bool) -> Result<bool, String> {
    let death = Death::at(step, made);
    let world = business.world(None, Some(death.clone())).await;
    let living = async {
        let played = flow.play(&world, 1).await;
        played.map_err(|error| error.to_string())?;
        flow.done(&world, 1).await
    };
    let died = tokio::select! {
        biased;
        () = death.comes() => true,
        lived = living => match lived {
            Ok(()) => false,
            // A refusal may be heard just before the death is.
            Err(error) => match tokio::time::timeout(PATIENCE, death.comes()).await {
                Ok(()) => true,
                Err(_) => return Err(error),
            },
        },
    };
    let folder = world.kill().await;
    let world = business.world(Some(folder), None).await;
    // The client did not hear, and asks again.
    let again = flow.play(&world, 1).await;
    again.map_err(|error| format!("refused after the restart: {error}"))?;
    flow.done(&world, 1).await?;
    // What follows the other label stands behind whatever might come twice.
    let other = Flow {
        cascade: None,
        refused: false,
        ..flow
    };
    world.send(other.request(2)).await.unwrap();
    other.done(&world, 2).await?;
    let folder = world.stop().await;
    let world = Setup {
        folder: Some(folder),
        ..Setup::default()
    };
    let world = world.start().await;
    flow.check(&world, 1).await?;
    other.check(&world, 2).await?;
    for domain in ["counter", "stock", "shipping"] {
        let letters = world.dead_letters(domain).await;
        if !letters.is_empty() {
            return Err(format!("dead letters: {letters:?}"));
        }
    }
    Ok(died)
}

/// Dies at each step in turn. There must be at least so many.
async fn every_step(flow: Flow, least: usize) {
    let business = Business::start().await;
    let mut step = 0;
    loop {
        let mut died = false;
        for made in [false, true] {
            let when = if made { "after" } else { "before" };
            match life(&business, flow, step, made).await {
                Ok(dead) => died |= dead,
                Err(why) => panic!("a death {when} change {step}: {why}"),
            }
        }
        if !died {
            break;
        }
        step += 1;
    }
    assert!(step >= least, "only {step} changes to die at");
}

fn flow(mode: SyncMode) -> Flow {
    Flow {
        mode,
        refused: false,
        cascade: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s6_a_death_at_any_step_of_what_nobody_waits_for() {
    every_step(flow(SyncMode::Async), 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s5_a_death_at_any_step_of_a_compensation() {
    let refused = Flow {
        refused: true,
        ..flow(SyncMode::Async)
    };
    every_step(refused, 6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s2_a_death_at_any_step_of_a_request_that_waits_for_all() {
    every_step(flow(SyncMode::Cascade), 6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s9_a_death_at_any_step_of_a_cascade_that_is_committed() {
    let cascade = Flow {
        cascade: Some(Settled::Committed),
        ..flow(SyncMode::Cascade)
    };
    every_step(cascade, 6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s9_a_death_at_any_step_of_a_cascade_that_is_rolled_back() {
    let cascade = Flow {
        cascade: Some(Settled::RolledBack),
        ..flow(SyncMode::Cascade)
    };
    every_step(cascade, 6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s9_a_death_at_any_step_of_a_refusal_in_a_cascade_that_is_committed() {
    let cascade = Flow {
        refused: true,
        cascade: Some(Settled::Committed),
        ..flow(SyncMode::Cascade)
    };
    every_step(cascade, 6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s9_a_death_at_any_step_of_a_refusal_in_a_cascade_that_is_rolled_back() {
    let cascade = Flow {
        refused: true,
        cascade: Some(Settled::RolledBack),
        ..flow(SyncMode::Cascade)
    };
    every_step(cascade, 6).await;
}
