//! §1, §4: a real NATS server holds every event once, whoever dies or is away.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use angzarr_adapters::{BusError, BusMessage, EventBus, NatsBus, NatsOptions};
use angzarr_proto::v1::{EventBook, SyncMode};
use angzarr_server::coordinator::BusSettings;
use async_nats::jetstream::{self, consumer::pull};
use futures::StreamExt;
use prost::Message;
use tempfile::TempDir;

use crate::bus::{EVERYTHING, append};
use crate::counter::added;
use crate::messages::*;
use crate::mortal::Death;
use crate::nats_server::Place;
use crate::world::*;

const NAME: &str = "bus.nats";
const PATIENCE: Duration = Duration::from_secs(30);

/// The bus of a server, with a count of what it took.
struct Counted {
    bus: NatsBus,
    taken: AtomicUsize,
}

impl Counted {
    async fn open(place: &Place) -> Arc<Self> {
        let options = NatsOptions {
            servers: vec![place.url()],
            prefix: "angzarr".to_owned(),
            stream: "ANGZARR".to_owned(),
            duplicate_window: Duration::from_secs(120),
            ca: None,
            identity: None,
        };
        Arc::new(Self {
            bus: NatsBus::open(options).await.unwrap(),
            taken: AtomicUsize::new(0),
        })
    }

    fn taken(&self) -> usize {
        self.taken.load(Ordering::SeqCst)
    }
}

#[tonic::async_trait]
impl EventBus for Counted {
    fn name(&self) -> &'static str {
        self.bus.name()
    }

    async fn publish(&self, message: &BusMessage) -> Result<(), BusError> {
        self.bus.publish(message).await?;
        self.taken.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

async fn start(bus: &Arc<Counted>, folder: Option<TempDir>, death: Option<Death>) -> World {
    let bus: Arc<dyn EventBus> = bus.clone();
    Setup {
        bus: Some((
            bus,
            BusSettings {
                all_editions: true,
                ..EVERYTHING
            },
        )),
        folder,
        death,
        ..Setup::default()
    }
    .start()
    .await
}

/// What the stream holds, when there are so many messages in it.
async fn held(place: &Place, count: usize) -> Vec<jetstream::Message> {
    let client = async_nats::connect(place.url()).await.unwrap();
    let stream = jetstream::new(client).get_stream("ANGZARR").await.unwrap();
    let consumer = stream.create_consumer(pull::Config::default());
    let messages = consumer.await.unwrap().messages().await.unwrap();
    let first = messages.take(count).map(|message| message.unwrap());
    let first = tokio::time::timeout(PATIENCE, first.collect::<Vec<_>>()).await;
    let first = first.unwrap_or_else(|_| panic!("there are not {count} messages"));
    let stored = stream.get_info().await.unwrap().state.messages;
    assert_eq!(stored, count as u64, "something is there twice");
    first
}

fn header<'a>(message: &'a jetstream::Message, name: &str) -> &'a str {
    let headers = message.headers.as_ref().unwrap();
    headers.get(name).map_or("", |value| value.as_str())
}

/// The sequences of each aggregate as they come from the stream.
fn came(messages: &[jetstream::Message]) -> BTreeMap<String, Vec<u32>> {
    let mut came: BTreeMap<_, Vec<u32>> = BTreeMap::new();
    for message in messages {
        let book = EventBook::decode(message.payload.clone()).unwrap();
        let subject = message.subject.to_string();
        came.entry(subject).or_default().extend(sequences(&book));
    }
    came
}

fn subject(domain: &str, number: u8) -> String {
    let root = root(number).value;
    let hex: String = root.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("angzarr.{domain}.{hex}")
}

#[tokio::test(flavor = "multi_thread")]
async fn s1_a_subscriber_gets_everything_once_and_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let Some(place) = Place::find(folder.path()) else {
        return;
    };
    let _nats = place.start();
    let bus = Counted::open(&place).await;
    let world = start(&bus, None, None).await;
    for round in 0..20 {
        for root in 1..=10 {
            world.add(root, round + 1).await;
        }
    }
    let isolated = in_mode(at_head(11, add(1)), SyncMode::Isolated);
    world.sent(isolated).await;
    world.sent(in_cascade(at_head(12, add(1)), "bad")).await;
    world.sent(in_cascade(at_head(13, add(1)), "good")).await;
    world.rollback("bad").await;
    world.commit("good").await;
    let branch = on_branch(cover_in("shop.stock", 1), "what.if");
    append(&world, branch, vec![added(1), added(2)]).await;
    world
        .sent(correlated(at_head(14, add(1)), "order-77"))
        .await;
    world.done(NAME).await;

    let messages = held(&place, 203).await;
    let mut expected: BTreeMap<_, _> = (1..=10)
        .map(|root| (subject("counter", root), (0..20).collect()))
        .collect();
    expected.insert(subject("counter", 13), vec![0]);
    expected.insert(subject("counter", 14), vec![0]);
    let branch = format!("{}.what%2Eif", subject("shop%2Estock", 1));
    expected.insert(branch.clone(), vec![0, 1]);
    assert_eq!(came(&messages), expected);

    let last = messages
        .iter()
        .find(|message| message.subject.as_str() == subject("counter", 14));
    let last = last.unwrap();
    assert_eq!(header(last, "Angzarr-Domain"), "counter");
    assert_eq!(header(last, "Angzarr-Edition"), "angzarr");
    assert_eq!(header(last, "Angzarr-Sequence"), "0");
    assert_eq!(header(last, "Angzarr-Correlation-Id"), "order-77");
    let book = EventBook::decode(last.payload.clone()).unwrap();
    assert_eq!(types(&book), ["Added"]);
    let branch = messages.iter().find(|m| m.subject.as_str() == branch);
    assert_eq!(header(branch.unwrap(), "Angzarr-Edition"), "what.if");
    assert_eq!(header(branch.unwrap(), "Angzarr-Domain"), "shop.stock");
    let positions: BTreeSet<_> = messages
        .iter()
        .map(|message| header(message, "Angzarr-Position").to_owned())
        .collect();
    assert_eq!(positions.len(), 203);
}

/// The process dies when everything is published and the checkpoint is about to be written.
#[tokio::test(flavor = "multi_thread")]
async fn s4_a_server_that_dies_before_its_checkpoint_leaves_no_duplicate() {
    let folder = tempfile::tempdir().unwrap();
    let Some(place) = Place::find(folder.path()) else {
        return;
    };
    let _nats = place.start();
    let bus = Counted::open(&place).await;
    // Events are stored past the coordinator: the checkpoint is the first change it makes.
    let death = Death::at(0, false);
    let world = start(&bus, None, Some(death.clone())).await;
    for number in 0..50 {
        append(&world, cover(number % 5), vec![added(1)]).await;
    }
    death.comes().await;
    let published = bus.taken();
    assert!(published > 0);
    let folder = world.kill().await;

    let bus = Counted::open(&place).await;
    let world = start(&bus, Some(folder), None).await;
    append(&world, cover(0), vec![added(2)]).await;
    world.done(NAME).await;
    assert_eq!(bus.taken(), 51, "everything was published again");
    let came = came(&held(&place, 51).await);
    assert_eq!(came[&subject("counter", 0)], (0..11).collect::<Vec<_>>());
    for root in 1..5 {
        assert_eq!(came[&subject("counter", root)], (0..10).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s4_nats_may_be_away_at_the_start_and_in_the_middle() {
    let folder = tempfile::tempdir().unwrap();
    let Some(place) = Place::find(folder.path()) else {
        return;
    };
    let bus = Counted::open(&place).await;
    let world = start(&bus, None, None).await;
    world.add(1, 1).await;
    let mut progress = world.consumers.follow(NAME).unwrap();
    let told = progress.wait_for(|progress| progress.error.contains("is not connected"));
    let told = tokio::time::timeout(PATIENCE, told).await.unwrap().unwrap();
    assert!(told.error.contains("127.0.0.1"), "{}", told.error);
    assert_eq!(told.done, 0);
    drop(told);

    let nats = place.start();
    assert_eq!(world.done(NAME).await.error, "");
    held(&place, 1).await;
    // Killed while events go out.
    let appending = async {
        for number in 0..300 {
            append(&world, cover(number as u8 % 7), vec![added(1)]).await;
        }
    };
    let killing = async {
        while bus.taken() < 100 {
            tokio::task::yield_now().await;
        }
        nats.kill()
    };
    let ((), place) = tokio::join!(appending, killing);
    world.add(8, 1).await;
    let told = progress.wait_for(|progress| !progress.error.is_empty());
    tokio::time::timeout(PATIENCE, told).await.unwrap().unwrap();
    let _nats = place.start();
    world.done(NAME).await;
    let came = came(&held(&place, 302).await);
    for (subject, sequences) in &came {
        let expected: Vec<u32> = (0..sequences.len() as u32).collect();
        assert_eq!(sequences, &expected, "{subject}");
    }
    assert!(world.dead_letters("counter").await.is_empty());
}

/// A pause holds events back; after a rebuild the stream has them again, though it knew them.
#[tokio::test(flavor = "multi_thread")]
async fn s7_a_rebuild_publishes_to_the_stream_again() {
    let folder = tempfile::tempdir().unwrap();
    let Some(place) = Place::find(folder.path()) else {
        return;
    };
    let _nats = place.start();
    let bus = Counted::open(&place).await;
    let world = start(&bus, None, None).await;
    world.add(1, 1).await;
    world.done(NAME).await;
    world.consumers.pause(NAME).await.unwrap();
    world.add(1, 1).await;
    held(&place, 1).await;
    world.consumers.resume(NAME).await.unwrap();
    world.done(NAME).await;
    held(&place, 2).await;
    world.consumers.reset(NAME).await.unwrap();
    world.done(NAME).await;
    let came = came(&held(&place, 4).await);
    assert_eq!(came[&subject("counter", 1)], [0, 1, 0, 1]);
}

/// A stream that somebody deletes is made again; one that takes other subjects is told of.
#[tokio::test(flavor = "multi_thread")]
async fn s4_a_stream_that_is_gone_or_wrong_is_told_of_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let Some(place) = Place::find(folder.path()) else {
        return;
    };
    let _nats = place.start();
    let client = async_nats::connect(place.url()).await.unwrap();
    let jetstream = jetstream::new(client);
    let other = jetstream::stream::Config {
        name: "ANGZARR".to_owned(),
        subjects: vec!["other.>".to_owned()],
        ..Default::default()
    };
    jetstream.create_stream(other.clone()).await.unwrap();
    let bus = Counted::open(&place).await;
    let world = start(&bus, None, None).await;
    world.add(1, 1).await;
    let mut progress = world.consumers.follow(NAME).unwrap();
    let told = progress.wait_for(|progress| progress.error.contains("other.>"));
    tokio::time::timeout(PATIENCE, told).await.unwrap().unwrap();
    jetstream.delete_stream("ANGZARR").await.unwrap();
    world.done(NAME).await;
    held(&place, 1).await;
    jetstream.delete_stream("ANGZARR").await.unwrap();
    world.add(1, 1).await;
    world.done(NAME).await;
    let came = came(&held(&place, 1).await);
    assert_eq!(came[&subject("counter", 1)], [1]);
}

/// An event that is larger than the server takes ends as a dead letter; others go on.
#[tokio::test(flavor = "multi_thread")]
async fn s4_an_event_that_nats_cannot_take_goes_to_the_dead_letters() {
    let folder = tempfile::tempdir().unwrap();
    let Some(place) = Place::find(folder.path()) else {
        return;
    };
    std::fs::write(folder.path().join("nats.conf"), "max_payload: 4KB\n").unwrap();
    let file = folder.path().join("nats.conf");
    let _nats = place.start_with(&["-c", file.to_str().unwrap()]);
    let bus = Counted::open(&place).await;
    let world = start(&bus, None, None).await;
    let mut large = added(1);
    if let Some(angzarr_proto::v1::event_page::Payload::Event(event)) = &mut large.payload {
        event.value = vec![0; 8192];
    }
    append(&world, cover(1), vec![large]).await;
    append(&world, cover(1), vec![added(1)]).await;
    let letter = world.dead_letter("counter").await;
    assert!(
        letter.rejection_reason.contains("max_payload"),
        "{letter:?}"
    );
    world.done(NAME).await;
    let came = came(&held(&place, 1).await);
    assert_eq!(came[&subject("counter", 1)], [1]);
}
