//! §1, §4, §9: what is committed goes to a bus: everything once, in the order of each aggregate,
//! however long the bus is away.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use angzarr_adapters::{BusError, BusMessage, EventBus};
use angzarr_proto::store::v1::{AggregateAppend, AppendRequest};
use angzarr_proto::v1::{Cover, EventBook, EventPage, SyncMode};
use angzarr_server::coordinator::BusSettings;
use prost::Message;

use crate::counter::added;
use crate::messages::*;
use crate::operating::replay;
use crate::reactor::Calls;
use crate::world::*;

pub(crate) const EVERYTHING: BusSettings = BusSettings {
    domains: Vec::new(),
    all_editions: false,
    from_now: false,
    concurrency: 64,
};
const NAME: &str = "bus.memory";

/// Takes messages, unless it is told to answer otherwise.
struct Memory {
    taken: Calls<BusMessage>,
    refusal: Mutex<Option<BusError>>,
}

impl Memory {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            taken: Calls::new(),
            refusal: Mutex::default(),
        })
    }

    fn answer(&self, refusal: Option<BusError>) {
        *self.refusal.lock().unwrap() = refusal;
    }
}

#[tonic::async_trait]
impl EventBus for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    async fn publish(&self, message: &BusMessage) -> Result<(), BusError> {
        if let Some(error) = self.refusal.lock().unwrap().clone() {
            return Err(error);
        }
        self.taken.push(message.clone());
        Ok(())
    }
}

async fn world_with(bus: &Arc<Memory>, settings: BusSettings) -> World {
    let bus: Arc<dyn EventBus> = bus.clone();
    Setup {
        bus: Some((bus, settings)),
        ..Setup::default()
    }
    .start()
    .await
}

fn away() -> BusError {
    BusError::Unavailable("gone fishing".to_owned())
}

fn book(message: &BusMessage) -> EventBook {
    EventBook::decode(message.book.clone()).unwrap()
}

/// The sequences that came for each aggregate, in order.
fn came(messages: &[BusMessage]) -> BTreeMap<(String, String, Vec<u8>), Vec<u32>> {
    let mut came: BTreeMap<_, Vec<u32>> = BTreeMap::new();
    for message in messages {
        let key = (
            message.domain.clone(),
            message.edition.clone(),
            message.root.clone(),
        );
        came.entry(key)
            .or_default()
            .extend(sequences(&book(message)));
    }
    came
}

/// Stores events without business code.
pub(crate) async fn append(world: &World, cover: Cover, pages: Vec<EventPage>) {
    let write = AggregateAppend {
        cover: Some(cover),
        pages,
        ..AggregateAppend::default()
    };
    let request = AppendRequest {
        writes: vec![write],
        ..AppendRequest::default()
    };
    world.store.append(request).await.unwrap();
}

#[tokio::test]
async fn s1_every_book_is_published_in_the_order_of_its_aggregate() {
    let bus = Memory::new();
    let world = world_with(&bus, EVERYTHING).await;
    for round in 0..5 {
        for root in 1..=4 {
            let request = correlated(at_head(root, add(round + 1)), "order-77");
            world.sent(request).await;
        }
    }
    let pages = vec![added(1), added(2), added(3)];
    append(&world, cover_in("stock", 9), pages).await;
    let messages = bus.taken.reach(21).await;
    let came = came(&messages);
    for number in 1..=4 {
        let key = ("counter".into(), String::new(), root(number).value);
        assert_eq!(came[&key], [0, 1, 2, 3, 4]);
    }
    let stock: Vec<_> = messages.iter().filter(|m| m.domain == "stock").collect();
    let [stock] = stock[..] else {
        panic!("what is committed together is one message");
    };
    let stored = book(stock);
    assert_eq!(sequences(&stored), [0, 1, 2]);
    assert_eq!(stored.next_sequence, 3);
    assert_eq!((stock.sequence, stock.position), (0, 21));
    let first = messages.iter().find(|m| m.position == 1).unwrap();
    assert_eq!(first.correlation_id, "order-77");
    assert_eq!(book(first).cover.unwrap().correlation_id, "order-77");
    let ids: std::collections::BTreeSet<_> = messages.iter().map(|m| &m.id).collect();
    assert_eq!(ids.len(), 21);
    world.done(NAME).await;
    assert_eq!(bus.taken.all().len(), 21);
}

#[tokio::test]
async fn s9_isolated_pending_and_revoked_events_are_never_published() {
    let bus = Memory::new();
    let world = world_with(&bus, EVERYTHING).await;
    let isolated = in_mode(at_head(1, add(1)), SyncMode::Isolated);
    world.sent(isolated).await;
    world.sent(in_cascade(at_head(2, add(2)), "good")).await;
    world.sent(in_cascade(at_head(3, add(3)), "bad")).await;
    let hidden = in_mode(at_head(4, add(4)), SyncMode::Isolated);
    world.sent(in_cascade(hidden, "good")).await;
    world.add(5, 5).await;
    let key = |number| ("counter".to_owned(), String::new(), root(number).value);
    assert_eq!(
        came(&bus.taken.reach(1).await),
        BTreeMap::from([(key(5), vec![0])])
    );
    world.rollback("bad").await;
    world.commit("good").await;
    world.done(NAME).await;
    let expected = BTreeMap::from([(key(2), vec![0]), (key(5), vec![0])]);
    assert_eq!(came(&bus.taken.all()), expected);
}

#[tokio::test]
async fn s7_internal_domains_and_branches_are_published_when_asked_for() {
    let branch = on_branch(cover_in("stock", 1), "what-if");
    let fill = async |world: &World| {
        append(world, cover_in("stock", 1), vec![added(1)]).await;
        append(world, branch.clone(), vec![added(2)]).await;
        append(world, cover_in("_own", 1), vec![added(3)]).await;
        append(world, cover_in("other", 1), vec![added(4)]).await;
        world.done(NAME).await;
    };
    let places = |bus: &Memory| -> Vec<(String, String)> {
        let mut places: Vec<_> = bus.taken.all().into_iter().collect();
        places.sort_by_key(|message| message.position);
        let place = |message: BusMessage| (message.domain, message.edition);
        places.into_iter().map(place).collect()
    };
    let pair = |domain: &str, edition: &str| (domain.to_owned(), edition.to_owned());

    let bus = Memory::new();
    fill(&world_with(&bus, EVERYTHING).await).await;
    assert_eq!(places(&bus), [pair("stock", ""), pair("other", "")]);

    let bus = Memory::new();
    let settings = BusSettings {
        domains: vec!["stock".into(), "_own".into()],
        all_editions: true,
        ..EVERYTHING
    };
    fill(&world_with(&bus, settings).await).await;
    assert_eq!(
        places(&bus),
        [
            pair("stock", ""),
            pair("stock", "what-if"),
            pair("_own", "")
        ]
    );
}

/// No dead letter, no event lost, the order kept; and who looks sees why it waits.
#[tokio::test]
async fn s4_a_bus_that_is_away_is_waited_for() {
    let bus = Memory::new();
    bus.answer(Some(away()));
    let world = world_with(&bus, EVERYTHING).await;
    for _ in 0..3 {
        world.add(1, 1).await;
    }
    let mut progress = world.consumers.follow(NAME).unwrap();
    let told = progress.wait_for(|progress| !progress.error.is_empty());
    assert_eq!(told.await.unwrap().error, "gone fishing");
    assert_eq!(progress.borrow().done, 0);
    bus.answer(None);
    let done = world.done(NAME).await;
    assert_eq!(done.error, "");
    let messages = bus.taken.all();
    assert_eq!(messages.len(), 3);
    assert_eq!(
        came(&messages).into_values().next().unwrap(),
        [0, 1, 2],
        "in order"
    );
    assert!(world.dead_letters("counter").await.is_empty());
}

/// What no attempt could get onto the bus keeps nothing else from it, and can be sent again.
#[tokio::test]
async fn s4_what_the_bus_refuses_goes_to_the_dead_letters() {
    let bus = Memory::new();
    bus.answer(Some(BusError::Refused("too large".to_owned())));
    let world = world_with(&bus, EVERYTHING).await;
    world.add(1, 1).await;
    let letter = world.dead_letter("counter").await;
    assert_eq!(letter.source_component, NAME);
    assert_eq!(letter.source_component_type, "bus");
    assert_eq!(letter.rejection_reason, "too large");
    let refused = replay(world.channel.clone()).await.unwrap_err();
    assert!(refused.message().contains("too large"), "{refused}");
    bus.answer(None);
    world.add(2, 1).await;
    bus.taken.reach(1).await;
    replay(world.channel.clone()).await.unwrap();
    let roots: Vec<_> = bus.taken.all().into_iter().map(|m| m.root).collect();
    assert_eq!(roots, [root(2).value, root(1).value]);
}

#[tokio::test]
async fn s7_the_bus_is_paused_resumed_and_rebuilt_as_other_consumers_are() {
    let bus = Memory::new();
    let world = world_with(&bus, EVERYTHING).await;
    world.add(1, 1).await;
    bus.taken.reach(1).await;
    world.consumers.pause(NAME).await.unwrap();
    world.add(1, 1).await;
    world.add(2, 1).await;
    assert_eq!(bus.taken.all().len(), 1);
    world.consumers.resume(NAME).await.unwrap();
    let before = bus.taken.reach(3).await;
    world.consumers.reset(NAME).await.unwrap();
    let all = bus.taken.reach(6).await;
    let again = &all[3..];
    assert_eq!(came(again), came(&before));
    let ids = |messages: &[BusMessage]| -> std::collections::BTreeSet<String> {
        messages.iter().map(|m| m.id.clone()).collect()
    };
    // A bus that leaves out what it has takes them all the same.
    assert!(ids(&before).is_disjoint(&ids(again)));
}

/// The checkpoint is in the store: the next server goes on where this one was.
#[tokio::test]
async fn s4_the_next_server_publishes_what_this_one_did_not() {
    let bus = Memory::new();
    let world = world_with(&bus, EVERYTHING).await;
    world.add(1, 1).await;
    bus.taken.reach(1).await;
    let folder = world.stop().await;
    let again: Arc<dyn EventBus> = bus.clone();
    let world = Setup {
        bus: Some((again, EVERYTHING)),
        folder: Some(folder),
        ..Setup::default()
    }
    .start()
    .await;
    world.add(1, 1).await;
    world.done(NAME).await;
    let messages = bus.taken.all();
    assert_eq!(came(&messages).into_values().next().unwrap(), [0, 1]);
}
