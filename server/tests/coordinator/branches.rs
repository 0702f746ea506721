//! §4, §6, §7, §8: components on a branch that says where it leaves main.

use angzarr_proto::Dialect;
use angzarr_proto::v1::{CommandRequest, Cover, DomainDivergence, Edition, EventBook, SyncMode};
use angzarr_server::registry::{ReactionKind, ReactionSettings};
use tempfile::TempDir;
use tonic::Code;

use crate::counter::{Counter, added};
use crate::messages::*;
use crate::mortal::Death;
use crate::process_managers::{noting, order, process_cover};
use crate::reactor::{Reactor, emitted, fact, input};
use crate::sagas::commanding;
use crate::world::*;

const MODES: [SyncMode; 2] = [SyncMode::Async, SyncMode::Cascade];

fn edition(divergences: &[(&str, u32)]) -> Edition {
    let divergence = |(domain, sequence): &(&str, u32)| DomainDivergence {
        domain: (*domain).to_owned(),
        sequence: *sequence,
    };
    Edition {
        name: "what-if".into(),
        divergences: divergences.iter().map(divergence).collect(),
    }
}

/// Leaves main behind the first event of either domain.
fn early() -> Edition {
    edition(&[("counter", 1), ("stock", 1)])
}

fn labelled(edition: Edition) -> CommandRequest {
    let mut request = order(1);
    cover_mut(&mut request).edition = Some(edition);
    request
}

fn what_if(domain: &str) -> Cover {
    on_branch(cover_in(domain, 1), "what-if")
}

struct Business {
    stock: Counter,
    address: String,
}

impl Business {
    async fn start() -> Self {
        let stock = Counter::new();
        let address = stock.serve(Dialect::V1).await;
        Self { stock, address }
    }

    /// On the main timeline, a counter of three events, and a stock of so many.
    async fn world(
        &self,
        stocked: u8,
        reactions: Vec<ReactionSettings>,
        folder: Option<TempDir>,
        death: Option<Death>,
    ) -> World {
        let fresh = folder.is_none();
        let world = Setup {
            others: vec![handler("stock", &self.address)],
            reactions,
            folder,
            death,
            ..Setup::default()
        };
        let world = world.start().await;
        for _ in (0..3).filter(|_| fresh) {
            world.add(1, 1).await;
        }
        for _ in (0..stocked).filter(|_| fresh) {
            let mut request = at_head(1, add(1));
            cover_mut(&mut request).domain = "stock".into();
            world.sent(request).await;
        }
        world
    }

    /// The cover of what the stock was asked to do last.
    fn asked(&self) -> Cover {
        let call = self.stock.calls().pop().unwrap();
        call.request.command.unwrap().cover.unwrap()
    }
}

async fn saga(reactor: &Reactor) -> ReactionSettings {
    ReactionSettings {
        inputs: vec![input("counter", &["Labelled"])],
        targets: vec!["stock".into()],
        ..reactor.component(ReactionKind::Saga, "restock").await
    }
}

fn restocking() -> Reactor {
    commanding(|root| vec![emitted("stock", root, add(5))])
}

fn amounts(book: &EventBook) -> Vec<u32> {
    let pages = book.pages.iter();
    pages
        .map(|page| unpack::<crate::counter::Amount>(page).amount)
        .collect()
}

#[tokio::test]
async fn s4_commands_carry_the_divergences_of_the_trigger_whoever_waits() {
    for mode in MODES {
        let (business, reactor) = (Business::start().await, restocking());
        let world = business.world(3, vec![saga(&reactor).await], None, None);
        let world = world.await;
        world.sent(in_mode(labelled(early()), mode)).await;
        world.stored("stock", 4).await;
        let branch = world.book(what_if("stock")).await;
        assert_eq!(sequences(&branch), [0, 1], "{mode:?}");
        assert_eq!(amounts(&branch), [1, 5], "{mode:?}");
        assert_eq!(world.total("stock", 1).await, 3, "main is what it was");
        let told = reactor.translated.all().pop().unwrap();
        assert_eq!(told.destination_sequences["stock"], 1, "{mode:?}");
        let source = told.source.unwrap().cover.unwrap();
        assert_eq!(source.edition, Some(early()), "{mode:?}");
        assert_eq!(business.asked().edition, Some(early()), "{mode:?}");
    }
}

#[tokio::test]
async fn s8_what_a_branch_leaves_out_stays_out_after_a_restart() {
    let (business, reactor) = (Business::start().await, restocking());
    // Nobody reacts before the restart, and main goes on.
    let world = business.world(2, Vec::new(), None, None).await;
    world.sent(labelled(early())).await;
    let mut more = at_head(1, add(1));
    cover_mut(&mut more).domain = "stock".into();
    world.sent(more).await;
    let folder = world.stop().await;
    let world = business.world(0, vec![saga(&reactor).await], Some(folder), None);
    let world = world.await;
    world.stored("stock", 4).await;
    assert_eq!(amounts(&world.book(what_if("stock")).await), [1, 5]);
}

#[tokio::test]
async fn s6_a_process_on_a_branch_reads_and_writes_there() {
    for mode in MODES {
        let business = Business::start().await;
        let reactor = noting(|root| {
            (
                vec![emitted("stock", root, add(5))],
                vec![fact("stock", root, added(10))],
            )
        });
        let manager = ReactionSettings {
            inputs: vec![input("counter", &["Labelled"])],
            targets: vec!["stock".into()],
            ..reactor
                .component(ReactionKind::ProcessManager, "shipping")
                .await
        };
        let world = business.world(3, vec![manager], None, None).await;
        world.sent(in_mode(labelled(early()), mode)).await;
        world.stored("stock", 5).await;
        let branch = world.book(what_if("stock")).await;
        assert_eq!(amounts(&branch), [1, 5, 10], "{mode:?}");
        assert_eq!(business.asked().edition, Some(early()), "{mode:?}");
        let call = reactor.processed.all().pop().unwrap();
        assert_eq!(call.destination_sequences["stock"], 1, "{mode:?}");
        let own = on_branch(process_cover(), "what-if");
        assert_eq!(types(&world.book(own).await), ["Taken"], "{mode:?}");
        assert_eq!(world.book(process_cover()).await.next_sequence, 0);
    }
}

#[tokio::test]
async fn s4_a_shorter_aggregate_is_inherited_as_a_whole() {
    for mode in MODES {
        let (business, reactor) = (Business::start().await, restocking());
        let world = business.world(1, vec![saga(&reactor).await], None, None);
        let world = world.await;
        let far = edition(&[("counter", 1), ("stock", 7)]);
        world.sent(in_mode(labelled(far), mode)).await;
        world.stored("stock", 2).await;
        let branch = world.book(what_if("stock")).await;
        assert_eq!(sequences(&branch), [0, 1], "{mode:?}");
        assert!(world.dead_letters("counter").await.is_empty());
    }
}

#[tokio::test]
async fn s5_a_refusal_on_a_branch_reaches_its_source_there() {
    for mode in MODES {
        let business = Business::start().await;
        let reactor = commanding(|root| vec![emitted("stock", root, plain("Reject"))]);
        let world = business.world(3, vec![saga(&reactor).await], None, None);
        let world = world.await;
        // In CASCADE the request fails; its source is told all the same.
        let _ = world.send(in_mode(labelled(early()), mode)).await;
        world.stored("counter", 5).await;
        let branch = world.book(what_if("counter")).await;
        assert_eq!(types(&branch), ["Added", "Labelled", "Added"], "{mode:?}");
    }
}

#[tokio::test]
async fn s7_a_projector_is_told_where_a_branch_leaves_main() {
    let (business, reactor) = (Business::start().await, Reactor::new());
    let view = ReactionSettings {
        inputs: vec![input("counter", &["Labelled"])],
        all_editions: true,
        ..reactor.component(ReactionKind::Projector, "view").await
    };
    let world = business.world(0, vec![view], None, None).await;
    world.sent(labelled(early())).await;
    // Now by its name alone.
    world.sent(labelled(edition(&[]))).await;
    for book in reactor.projected.reach(2).await {
        assert_eq!(book.cover.unwrap().edition, Some(early()));
    }
}

#[tokio::test]
async fn s8_another_divergence_of_another_domain_is_refused_and_nothing_stored() {
    let business = Business::start().await;
    let world = business.world(3, Vec::new(), None, None).await;
    world.sent(labelled(early())).await;
    let stats = || async { world.store.stats(Default::default()).await.unwrap() };
    let before = stats().await.position;
    for (other, named) in [
        (edition(&[("counter", 1), ("stock", 2)]), "domain stock"),
        // What it says of a third domain does not count either.
        (edition(&[("counter", 2), ("third", 2)]), "domain counter"),
    ] {
        let refused = world.send(labelled(other)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
        assert!(refused.message().contains(named), "{refused}");
    }
    assert_eq!(stats().await.position, before);
    let third = edition(&[("counter", 1), ("third", 5)]);
    world.sent(labelled(third)).await;
}

#[tokio::test]
async fn s8_a_death_between_branch_and_event_changes_nothing() {
    for step in 0..2 {
        for made in [false, true] {
            let (business, reactor) = (Business::start().await, restocking());
            let world = business.world(3, Vec::new(), None, None).await;
            let folder = world.stop().await;
            let death = Death::at(step, made);
            let world = business.world(0, Vec::new(), Some(folder), Some(death.clone()));
            let world = world.await;
            world.send(labelled(early())).await.unwrap_err();
            death.comes().await;
            let folder = world.kill().await;
            let world = business.world(0, vec![saga(&reactor).await], Some(folder), None);
            let world = world.await;
            // The client did not hear and asks again; the first may have been stored.
            if !types(&world.book(what_if("counter")).await).contains(&"Labelled") {
                world.sent(labelled(early())).await;
            }
            world.stored("stock", 4).await;
            let branch = world.book(what_if("stock")).await;
            assert_eq!(amounts(&branch), [1, 5], "step {step}, made: {made}");
        }
    }
}
