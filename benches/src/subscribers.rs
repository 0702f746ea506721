//! Many live subscribers, each of which wants the events of one aggregate.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use angzarr_proto::store::v1::{self as pb, read_all_response::Item};
use angzarr_server::bench::grpc;
use angzarr_server::bench::load::Measured;
use angzarr_server::bench::workload::Workload;
use tokio::task::JoinSet;
use tonic::Streaming;
use tonic::transport::Channel;

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

/// How long they may take to get what is acknowledged when nobody appends any more.
const DRAIN_MAX: Duration = Duration::from_secs(120);

/// Subscriptions that are live until this is dropped.
#[derive(Debug)]
pub struct Subscribers {
    received: Vec<Arc<AtomicU64>>,
    tasks: JoinSet<()>,
}

impl Subscribers {
    /// Subscribes `count` times, on one connection for every 64, each time to one of the
    /// workload's aggregates, and returns when all have caught up.
    ///
    /// # Errors
    /// When the server cannot be reached or a subscription ends.
    pub async fn open(url: &str, workload: &Workload, count: u32) -> Result<Self> {
        let mut subscribers = Self {
            received: Vec::new(),
            tasks: JoinSet::new(),
        };
        if count == 0 {
            return Ok(subscribers);
        }
        let channels = grpc::connect(url, count, 0).await?;
        let first = channels.first().ok_or("no connection")?;
        let position = grpc::stats(first).await?.position;
        let mut open = Vec::new();
        for (aggregate, channel) in (0..count).zip(channels.iter().cycle()) {
            open.push(subscribe(channel, workload, aggregate, position).await?);
        }
        for mut books in open {
            while !matches!(next(&mut books).await?, Item::Progress(mark) if mark.caught_up) {}
            let received = Arc::new(AtomicU64::new(0));
            subscribers.received.push(Arc::clone(&received));
            subscribers.tasks.spawn(follow(books, received));
        }
        Ok(subscribers)
    }

    /// Waits until each has received every event that was acknowledged for its aggregate, one for
    /// each append. Returns how long that took and how many they were.
    ///
    /// # Errors
    /// When they do not arrive in two minutes, or one arrives twice.
    pub async fn drained(&self, workload: &Workload, run: &Measured) -> Result<(Duration, u64)> {
        let started = Instant::now();
        let mut total = 0;
        for (number, received) in self.received.iter().enumerate() {
            let aggregate = u32::try_from(number)? % workload.aggregates;
            let wanted = u64::from(run.heads.next(aggregate).ok_or("an append failed")?);
            while received.load(Ordering::Relaxed) < wanted {
                if started.elapsed() > DRAIN_MAX {
                    return Err(format!("subscriber {number} did not get {wanted} events").into());
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let got = received.load(Ordering::Relaxed);
            if got > wanted {
                return Err(format!("subscriber {number} got {got} of {wanted} events").into());
            }
            total += got;
        }
        Ok((started.elapsed(), total))
    }
}

async fn subscribe(
    channel: &Channel,
    workload: &Workload,
    number: u32,
    after_position: u64,
) -> Result<Streaming<pb::ReadAllResponse>> {
    let filter = pb::Filter {
        domains: vec![workload.domain.clone()],
        roots: vec![workload.root(number % workload.aggregates).to_vec()],
        ..Default::default()
    };
    let request = pb::ReadAllRequest {
        after_position,
        filter: Some(filter),
    };
    Ok(grpc::store(channel).subscribe(request).await?.into_inner())
}

async fn next(books: &mut Streaming<pb::ReadAllResponse>) -> Result<Item> {
    let message = books.message().await?;
    let item = message.and_then(|message| message.item);
    item.ok_or_else(|| "a subscription ended by itself".into())
}

/// Counts until the subscription breaks, which whoever waits for its events finds out.
async fn follow(mut books: Streaming<pb::ReadAllResponse>, received: Arc<AtomicU64>) {
    while let Ok(item) = next(&mut books).await {
        if let Item::Book(book) = item {
            received.fetch_add(book.pages.len() as u64, Ordering::Relaxed);
        }
    }
}
