//! §2, §4, §5, §6: a server that is killed under load loses no effect and doubles none.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use angzarr_proto::Dialect;
use angzarr_proto::store::v1::event_store_client::EventStoreClient;
use angzarr_proto::store::v1::{Filter, ReadAllRequest, read_all_response};
use angzarr_proto::v1::command_handler_coordinator_service_client::CommandHandlerCoordinatorServiceClient;
use angzarr_proto::v1::{
    CascadeErrorMode, CommandRequest, EventBook, EventPage, ExternalDeferredSequence, PageHeader,
    ProcessManagerHandleRequest, ProcessManagerHandleResponse, SagaHandleRequest, SagaResponse,
    SyncMode, page_header,
};
use prost::Message;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::watch;
use tonic::transport::Channel;
use uuid::Uuid;

use crate::counter::{Amount, Counter, Text, added};
use crate::messages::*;
use crate::reactor::{Reactor, emitted, fact, root_of};

const CLIENTS: u8 = 6;
/// What the saga, a command and a fact of the process manager, and a compensation add.
pub(crate) const SAGA: u32 = 1;
pub(crate) const COMMAND: u32 = 100;
pub(crate) const FACT: u32 = 10_000;
pub(crate) const COMPENSATION: u32 = 1000;

/// The binary as a process of its own, killed when dropped.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start(folder: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_angzarr"))
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(["--set", "storage.segment_bytes=256KiB"])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        let (_, url) = line.trim_end().split_once(" serves on ").unwrap();
        Self {
            url: url.to_owned(),
            child,
        }
    }

    async fn channel(&self) -> Channel {
        let channel = Channel::from_shared(self.url.clone()).unwrap();
        channel.connect().await.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGKILL; already ended is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text_of(page: &EventPage) -> String {
    Text::decode(event(page).value.as_slice()).unwrap().text
}

/// Each label becomes one more in stock, unless the stock has to refuse it.
pub(crate) fn saga() -> Reactor {
    Reactor::new().translating(|request: SagaHandleRequest| async move {
        let source = request.source.unwrap();
        let command = if text_of(&source.pages[0]).starts_with("refused") {
            plain("Reject")
        } else {
            add(SAGA)
        };
        Ok(SagaResponse {
            commands: vec![emitted("stock", root_of(&source), command)],
            events: Vec::new(),
        })
    })
}

/// Each label is taken once by its process, which sends a command and a fact.
pub(crate) fn manager() -> Reactor {
    Reactor::new().processing(|request: ProcessManagerHandleRequest| async move {
        let root = root_of(request.trigger.as_ref().unwrap());
        Ok(ProcessManagerHandleResponse {
            process_events: vec![EventBook {
                pages: vec![added(1)],
                ..EventBook::default()
            }],
            commands: vec![emitted("stock", root, add(COMMAND))],
            facts: vec![fact("stock", root, added(FACT))],
            notification: None,
        })
    })
}

/// A command that may be sent again after the server was lost.
pub(crate) fn labelled(client: u8, number: usize, refused: bool, mode: SyncMode) -> CommandRequest {
    let id = format!("{client}-{number}");
    let text = if refused {
        format!("refused {id}")
    } else {
        id.clone()
    };
    let mut request = at_head(client, label(&text));
    page_mut(&mut request).header = Some(PageHeader {
        sequence_type: Some(page_header::SequenceType::ExternalDeferred(
            ExternalDeferredSequence {
                external_id: id,
                description: String::new(),
            },
        )),
        sync_mode: None,
    });
    request.cascade_error_mode = CascadeErrorMode::CascadeErrorContinue.into();
    let process = Uuid::from_bytes([client; 16]).to_string();
    correlated(in_mode(request, mode), &process)
}

/// Sends labels, each until it is answered, and notes which there are.
async fn send(
    client: u8,
    seed: u64,
    mut server: watch::Receiver<Option<String>>,
    sent: Arc<Mutex<BTreeMap<u8, Vec<String>>>>,
    answered: Arc<AtomicUsize>,
    ending: Arc<AtomicBool>,
) {
    let mut rng = StdRng::seed_from_u64(seed ^ u64::from(client));
    let mut number = 0;
    while !ending.load(Ordering::SeqCst) {
        let refused = rng.random_bool(0.2);
        let mode = match rng.random_range(0..3) {
            0 => SyncMode::Async,
            1 => SyncMode::Simple,
            _ => SyncMode::Cascade,
        };
        let request = labelled(client, number, refused, mode);
        let command = &request.command.as_ref().unwrap().pages[0];
        let Some(angzarr_proto::v1::command_page::Payload::Command(any)) = &command.payload else {
            panic!();
        };
        let text = Text::decode(any.value.as_slice()).unwrap().text;
        loop {
            let url = server.wait_for(Option::is_some).await.unwrap().clone();
            let url = url.unwrap();
            let Ok(channel) = Channel::from_shared(url).unwrap().connect().await else {
                tokio::task::yield_now().await;
                continue;
            };
            let mut commands = CommandHandlerCoordinatorServiceClient::new(channel);
            match commands.handle_command(request.clone()).await {
                Ok(_) => break,
                Err(refused) => {
                    let lost = refused.code() != tonic::Code::InvalidArgument;
                    assert!(lost, "client {client}: {refused}");
                }
            }
        }
        sent.lock().unwrap().entry(client).or_default().push(text);
        answered.fetch_add(1, Ordering::SeqCst);
        number += 1;
    }
}

/// Pages of a domain by first byte of the root, once there are so many.
async fn pages(channel: &Channel, domain: &str, count: usize) -> BTreeMap<u8, Vec<EventPage>> {
    let request = ReadAllRequest {
        after_position: 0,
        filter: Some(Filter {
            domains: vec![domain.to_owned()],
            ..Filter::default()
        }),
    };
    let mut store = EventStoreClient::new(channel.clone());
    let mut records = store.subscribe(request).await.unwrap().into_inner();
    let mut found: BTreeMap<u8, Vec<EventPage>> = BTreeMap::new();
    let mut seen = 0;
    let reading = async {
        while seen < count {
            let record = records.message().await.unwrap().unwrap();
            let Some(read_all_response::Item::Book(book)) = record.item else {
                continue;
            };
            seen += book.pages.len();
            let root = book.cover.unwrap().root.unwrap().value[0];
            let decoded = book
                .pages
                .into_iter()
                .map(|page| EventPage::decode(page).unwrap());
            found.entry(root).or_default().extend(decoded);
        }
    };
    let all = tokio::time::timeout(Duration::from_secs(120), reading).await;
    assert!(all.is_ok(), "only {seen} of {count} pages in {domain}");
    found
}

pub(crate) fn amounts(pages: &[EventPage]) -> BTreeMap<u32, usize> {
    let mut amounts = BTreeMap::new();
    for page in pages {
        if event(page).type_url.ends_with("Added") {
            let amount = unpack::<Amount>(page).amount;
            *amounts.entry(amount).or_default() += 1;
        }
    }
    amounts
}

async fn configure(folder: &Path, view: &Reactor, saga: &Reactor, manager: &Reactor) {
    let counter = Counter::new().serve(Dialect::V1).await;
    let stock = Counter::new().serve(Dialect::V1).await;
    let [view, saga, manager] = [
        view.serve(Dialect::V1).await,
        saga.serve(Dialect::V1).await,
        manager.serve(Dialect::V1).await,
    ];
    let inputs = "inputs: [{domain: counter, types: [Labelled]}]";
    let text = format!(
        "aggregates:\n\
         - {{domain: counter, address: '{counter}'}}\n\
         - {{domain: stock, address: '{stock}'}}\n\
         sagas:\n\
         - {{name: restock, address: '{saga}', {inputs}, targets: [stock]}}\n\
         process_managers:\n\
         - {{name: ship, domain: shipping, address: '{manager}', {inputs}, targets: [stock]}}\n\
         projectors:\n\
         - {{name: view, address: '{view}', {inputs}}}\n"
    );
    std::fs::write(folder.join("angzarr.yaml"), text).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn s6_sigkill_at_any_moment_loses_no_effect_and_doubles_none() {
    let seed: u64 = std::env::var("CRASH_SEED")
        .map_or_else(|_| rand::rng().random(), |seed| seed.parse().unwrap());
    let kills: usize = std::env::var("CRASH_KILLS").map_or(5, |kills| kills.parse().unwrap());
    eprintln!("CRASH_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let (view, saga, manager) = (Reactor::new(), saga(), manager());
    configure(folder.path(), &view, &saga, &manager).await;

    let (address, watched) = watch::channel(None);
    let sent = Arc::new(Mutex::new(BTreeMap::new()));
    let answered = Arc::new(AtomicUsize::new(0));
    let ending = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (1..=CLIENTS)
        .map(|client| {
            let (sent, answered) = (Arc::clone(&sent), Arc::clone(&answered));
            let ending = Arc::clone(&ending);
            tokio::spawn(send(client, seed, watched.clone(), sent, answered, ending))
        })
        .collect();
    for _ in 0..kills {
        let server = Server::start(folder.path());
        let goal = answered.load(Ordering::SeqCst) + rng.random_range(1..60);
        address.send_replace(Some(server.url.clone()));
        while answered.load(Ordering::SeqCst) < goal {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(Duration::from_micros(rng.random_range(0..20_000))).await;
        address.send_replace(None);
        drop(server);
    }
    let server = Server::start(folder.path());
    let goal = answered.load(Ordering::SeqCst) + 20;
    address.send_replace(Some(server.url.clone()));
    while answered.load(Ordering::SeqCst) < goal {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // Each client ends with the label it is at.
    ending.store(true, Ordering::SeqCst);
    for client in clients {
        client.await.unwrap();
    }
    let sent = sent.lock().unwrap().clone();
    check(&server, &view, &sent).await;
}

/// Compares what is stored with what follows from the labels that were answered.
async fn check(server: &Server, view: &Reactor, sent: &BTreeMap<u8, Vec<String>>) {
    let channel = server.channel().await;
    let total: usize = sent.values().map(Vec::len).sum();
    let is_refused = |text: &&String| text.starts_with("refused");
    let refused: usize = sent.values().flatten().filter(is_refused).count();
    eprintln!("{total} labels, {refused} of them refused");
    let counters = pages(&channel, "counter", total + refused).await;
    let stocks = pages(&channel, "stock", 3 * total - refused).await;
    let processes = pages(&channel, "shipping", total).await;
    view.projected.reach(total).await;
    for (client, texts) in sent {
        let refused = texts.iter().filter(is_refused).count();
        let counter = &counters[client];
        let stored: Vec<String> = counter
            .iter()
            .filter(|page| event(page).type_url.ends_with("Labelled"))
            .map(text_of)
            .collect();
        assert_eq!(&stored, texts, "each label once, in order");
        let compensated = amounts(counter)
            .get(&COMPENSATION)
            .copied()
            .unwrap_or_default();
        assert_eq!(compensated, refused, "client {client}: compensations");
        let stock = amounts(&stocks[client]);
        let count = |amount| stock.get(&amount).copied().unwrap_or_default();
        assert_eq!(count(SAGA), texts.len() - refused, "client {client}: saga");
        assert_eq!(
            count(COMMAND),
            texts.len(),
            "client {client}: process commands"
        );
        assert_eq!(count(FACT), texts.len(), "client {client}: process facts");
        assert_eq!(
            processes[client].len(),
            texts.len(),
            "client {client}: process"
        );
        let seen: BTreeSet<u32> = view
            .projected
            .all()
            .iter()
            .filter(|book| root_of(book) == *client)
            .flat_map(sequences)
            .collect();
        assert_eq!(seen.len(), texts.len(), "client {client}: projected");
    }
    let letters = EventStoreClient::new(channel)
        .list_domains(angzarr_proto::store::v1::ListDomainsRequest::default())
        .await
        .unwrap()
        .into_inner();
    let letters = letters
        .domains
        .iter()
        .filter(|name| name.starts_with("angzarr.dlq."));
    assert_eq!(letters.count(), 0, "nothing was put aside");
}
