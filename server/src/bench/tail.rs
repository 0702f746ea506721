use std::sync::Arc;
use std::time::{Duration, Instant};

use angzarr_proto::store::v1::event_store_client::EventStoreClient;
use angzarr_proto::store::v1::{self as pb, read_all_response::Item};
use angzarr_proto::v1::{EventPage, event_page};
use hdrhistogram::Histogram;
use prost::Message;
use tokio::sync::watch;
use tonic::Streaming;
use tonic::transport::Channel;

use super::args::TailArgs;
use super::load::{self, AppendError, Measured, Plan, Writer, histogram, record};
use super::report::{self, Latency};
use super::target::Target;
use super::workload::Workload;
use super::{Error, grpc, preload};

/// How long the subscription may take to deliver what is already acknowledged.
const DELIVERY_DEADLINE: Duration = Duration::from_secs(30);

/// Times the catch-up is measured; the median counts.
const CATCH_UP_ROUNDS: usize = 3;

pub(crate) async fn run(args: TailArgs) -> Result<(), Error> {
    if args.aggregates < args.clients {
        return Err(Error::Usage(format!(
            "{} aggregates cannot be divided among {} clients: give --aggregates at least as many",
            args.aggregates, args.clients
        )));
    }
    let target = Target::open(&args.common).await?;
    let report = measure(&args, &target).await?;
    target.close().await?;
    report::print(&report, args.common.json, report::Tail::lines)?;
    Ok(())
}

async fn measure(args: &TailArgs, target: &Target) -> Result<report::Tail, Error> {
    let channels = grpc::connect(&target.url, args.clients, args.common.connections).await?;
    let channel = target.first(&channels)?;
    let server = target.describe(channel).await?;
    let catch_up_seconds = catch_up(channel, args).await?;
    let (measured, delivered) = live(&target.url, &channels, args).await?;
    Ok(report::Tail {
        server,
        catch_up_events: u64::from(args.events),
        catch_up_events_per_second: f64::from(args.events) / catch_up_seconds,
        clients: args.clients,
        payload_bytes: args.common.payload,
        live_events: delivered.events,
        live_appends_per_second: measured.per_second(),
        append_latency: Latency::from(&measured.latency),
        delivery_latency: Latency::from(&delivered.latency),
        refused: measured.refused,
        failed: measured.failed,
    })
}

/// Writes the backlog and returns the median time of reading it through a new subscription.
async fn catch_up(channel: &Channel, args: &TailArgs) -> Result<f64, Error> {
    let per_aggregate = args.events.min(1_000);
    let backlog = Workload::fresh(args.events.div_ceil(per_aggregate), args.common.payload);
    let before = grpc::stats(channel).await?.position;
    preload(channel, &backlog, per_aggregate).await?;
    let mut rounds = Vec::new();
    for _ in 0..CATCH_UP_ROUNDS {
        let started = Instant::now();
        let mut books = subscribe(channel, &backlog, before).await?;
        let mut events = 0;
        while events < args.events as usize {
            if let Some(Item::Book(book)) = next(&mut books).await? {
                events += book.pages.len();
            }
        }
        rounds.push(started.elapsed().as_secs_f64());
    }
    rounds.sort_by(f64::total_cmp);
    rounds
        .get(CATCH_UP_ROUNDS / 2)
        .copied()
        .ok_or_else(|| Error::Usage("no round".to_owned()))
}

/// Appends while a subscription on a connection of its own is live.
async fn live(
    url: &str,
    channels: &[Channel],
    args: &TailArgs,
) -> Result<(Measured, Delivered), Error> {
    let workload = Arc::new(Workload::fresh(args.aggregates, args.common.payload));
    let plan = Plan {
        workload: Arc::clone(&workload),
        warm_up: args.common.warming_up(),
        measured: args.common.measured(),
        contended: false,
        server_pids: Vec::new(),
    };
    let own = grpc::connect(url, 1, 1).await?;
    let reader = own
        .first()
        .ok_or_else(|| Error::Usage("no connection".to_owned()))?;
    let position = grpc::stats(reader).await?.position;
    let mut books = subscribe(reader, &workload, position).await?;
    while !matches!(next(&mut books).await?, Some(Item::Progress(mark)) if mark.caught_up) {}

    let epoch = Instant::now();
    let writers = channels.iter().cycle().take(args.clients as usize);
    let writers = writers.map(|channel| Stamped {
        client: grpc::store(channel),
        workload: Arc::clone(&workload),
        epoch,
    });
    let (acknowledged, wanted) = watch::channel(None);
    let follower = tokio::spawn(follow(books, epoch, plan.warm_up, wanted));
    let measured = load::run(&plan, writers.collect()).await;
    let known = (0..workload.aggregates).map(|aggregate| measured.heads.next(aggregate));
    let total = known.map(|next| u64::from(next.unwrap_or(0))).sum();
    acknowledged.send_replace(Some(total));
    let delivered = tokio::time::timeout(DELIVERY_DEADLINE, follower).await;
    let delivered = delivered
        .map_err(|_| Error::Wrong(format!("not all of {total} events were delivered in 30 s")))?
        .map_err(|error| Error::Wrong(format!("the subscriber died: {error}")))??;
    Ok((measured, delivered))
}

async fn subscribe(
    channel: &Channel,
    workload: &Workload,
    after_position: u64,
) -> Result<Streaming<pb::ReadAllResponse>, Error> {
    let filter = pb::Filter {
        domains: vec![workload.domain.clone()],
        ..Default::default()
    };
    let request = pb::ReadAllRequest {
        after_position,
        filter: Some(filter),
    };
    let answer = grpc::store(channel).subscribe(request).await;
    Ok(answer
        .map_err(|status| Error::call("EventStore.Subscribe", &status))?
        .into_inner())
}

async fn next(books: &mut Streaming<pb::ReadAllResponse>) -> Result<Option<Item>, Error> {
    let message = books.message().await;
    let message = message.map_err(|status| Error::call("EventStore.Subscribe", &status))?;
    match message {
        Some(message) => Ok(message.item),
        None => Err(Error::Wrong("the subscription ended by itself".to_owned())),
    }
}

struct Delivered {
    latency: Histogram<u64>,
    events: u64,
}

/// Reads the subscription until it has delivered as many events as `wanted` comes to say.
async fn follow(
    mut books: Streaming<pb::ReadAllResponse>,
    epoch: Instant,
    warm_up: Duration,
    mut wanted: watch::Receiver<Option<u64>>,
) -> Result<Delivered, Error> {
    let mut delivered = Delivered {
        latency: histogram(),
        events: 0,
    };
    let mut position = 0;
    loop {
        let goal = *wanted.borrow_and_update();
        if goal.is_some_and(|goal| delivered.events >= goal) {
            return Ok(delivered);
        }
        let item = tokio::select! {
            item = next(&mut books) => item?,
            changed = wanted.changed(), if goal.is_none() => match changed {
                Ok(()) => continue,
                Err(_) => return Ok(delivered),
            },
        };
        let Some(Item::Book(book)) = item else {
            continue;
        };
        for (page, at) in book.pages.iter().zip(&book.positions) {
            if *at <= position {
                return Err(Error::Wrong(format!("position {at} came after {position}")));
            }
            position = *at;
            delivered.events += 1;
            let sent = stamp(page)?;
            if sent >= warm_up {
                record(&mut delivered.latency, epoch.elapsed().saturating_sub(sent));
            }
        }
    }
}

/// Appends like a unary client, with the time of the call in the payload's first 8 bytes.
struct Stamped {
    client: EventStoreClient<Channel>,
    workload: Arc<Workload>,
    epoch: Instant,
}

impl Writer for Stamped {
    async fn append(&mut self, aggregate: u32, sequence: u32) -> Result<(), AppendError> {
        let mut request = grpc::request(&self.workload, aggregate, sequence, sequence + 1);
        let sent = u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let pages = request.writes.iter_mut().flat_map(|write| &mut write.pages);
        for page in pages {
            if let Some(event_page::Payload::Event(event)) = &mut page.payload {
                event.value.splice(..8, sent.to_le_bytes());
            }
        }
        match self.client.append(request).await {
            Ok(_) => Ok(()),
            Err(status) => Err(grpc::append_error(status.code(), status.message())),
        }
    }
}

/// The time of the call, since the epoch.
fn stamp(page: &[u8]) -> Result<Duration, Error> {
    let wrong = || Error::Wrong("a delivered event is not one that was appended".to_owned());
    let page = EventPage::decode(page).map_err(|_| wrong())?;
    let Some(event_page::Payload::Event(event)) = page.payload else {
        return Err(wrong());
    };
    let bytes = event.value.first_chunk::<8>().ok_or_else(wrong)?;
    Ok(Duration::from_nanos(u64::from_le_bytes(*bytes)))
}
