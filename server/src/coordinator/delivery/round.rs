//! The delivery loop of one consumer, from its checkpoint on.

use std::sync::Arc;
use std::time::Duration;

use angzarr_adapters::EventStore;
use angzarr_proto::internal::v1::ConsumerReset;
use angzarr_proto::store::v1::{
    AggregateAppend, AppendRequest, Checkpoint, PutPositionRequest, ReadRequest,
};
use angzarr_proto::v1::{Cover, EventPage, Uuid, event_page};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::feed::{Batch, Feed};
use super::lanes::Lanes;
use super::trouble::Troubles;
use super::watermark::Watermark;
use super::work::work;
use super::{Consumer, Control, Controls, Interest, Progress, Trigger};
use crate::coordinator::Error;
use crate::coordinator::load::read_book;
use crate::framework;
use crate::handler::Retries;
use crate::registry::checkpoint_name;

/// Where resets are recorded.
const CONSUMERS: &str = "angzarr.consumers";
/// How long finished work may be unknown to the checkpoint: after a crash it is done again.
const CHECKPOINT_DELAY: Duration = Duration::from_secs(1);
/// Triggers and bytes held for a consumer. Beyond, reading waits: the log is the queue.
const HELD_MAX: usize = 4096;
const HELD_BYTES_MAX: usize = 32 * 1024 * 1024;
/// How long calls under way at shutdown may take; those cut off come again after the start.
const DRAIN: Duration = Duration::from_secs(2);
/// For a store that does not answer.
const STORE_RETRIES: Retries = Retries {
    attempts: u32::MAX,
    min: Duration::from_millis(50),
    max: Duration::from_secs(5),
};

/// One consumer with all it needs.
pub(in crate::coordinator) struct Delivery {
    pub(in crate::coordinator) store: Arc<dyn EventStore>,
    /// Names its checkpoint.
    pub(in crate::coordinator) name: String,
    pub(in crate::coordinator) interest: Arc<Interest>,
    pub(in crate::coordinator) consumer: Arc<dyn Consumer>,
    pub(in crate::coordinator) controls: Controls,
    /// Nothing new is begun.
    pub(in crate::coordinator) paused: bool,
    pub(in crate::coordinator) shutdown: CancellationToken,
}

/// Why a round ended well.
enum Ended {
    Shutdown,
    Reset,
}

impl Delivery {
    /// Delivers until the shutdown.
    pub(in crate::coordinator) async fn run(mut self) {
        let mut pauses = STORE_RETRIES.delays();
        loop {
            match self.round().await {
                Ok(Ended::Shutdown) => return,
                Ok(Ended::Reset) => pauses = STORE_RETRIES.delays(),
                Err(error) => {
                    tracing::warn!(consumer = self.name, %error, "delivery was interrupted, goes on");
                    let error = error.to_string();
                    self.controls
                        .progress
                        .send_modify(|progress| progress.error = error);
                    let pause = pauses.next().unwrap_or(STORE_RETRIES.max);
                    tokio::select! {
                        () = self.shutdown.cancelled() => return,
                        () = tokio::time::sleep(pause) => {}
                    }
                }
            }
        }
    }

    /// From the checkpoint on, until the shutdown, a reset or a failure of the store. Work that
    /// is cut off was not passed by the checkpoint: it comes again.
    async fn round(&mut self) -> Result<Ended, Error> {
        let generation = self.generation().await?;
        self.consumer.begins(generation);
        let checkpoint = checkpoint_name(&self.name, generation);
        let start = self.start(&checkpoint, generation).await?;
        let feed = Feed::open(&self.store, &self.interest, start).await?;
        let mut round = Round {
            permits: Arc::new(Semaphore::new(self.interest.concurrency.max(1))),
            mark: Watermark::at(start),
            written: start,
            write_at: None,
            lanes: Lanes::default(),
            troubles: Arc::default(),
            running: JoinSet::new(),
            caught_up: false,
            checkpoint,
            delivery: self,
            generation,
        };
        round.run(feed).await
    }

    /// How often the consumer was reset.
    pub(super) async fn generation(&self) -> Result<u32, Error> {
        let request = ReadRequest {
            cover: Some(self.cover()),
            ..ReadRequest::default()
        };
        Ok(read_book(self.store.as_ref(), request).await?.next_sequence)
    }

    /// Records a reset. The number of resets is part of the name of the checkpoint, so that the
    /// next round has none.
    async fn record_reset(&self) -> Result<(), Error> {
        let event = ConsumerReset {
            consumer: self.name.clone(),
        };
        let page = EventPage {
            payload: Some(event_page::Payload::Event(framework::pack_internal(
                "ConsumerReset",
                &event,
            ))),
            ..EventPage::default()
        };
        let request = AppendRequest {
            writes: vec![AggregateAppend {
                cover: Some(self.cover()),
                pages: vec![page],
                ..AggregateAppend::default()
            }],
            ..AppendRequest::default()
        };
        self.store.append(request).await?;
        Ok(())
    }

    pub(super) fn cover(&self) -> Cover {
        let root = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, self.name.as_bytes());
        Cover {
            domain: CONSUMERS.to_owned(),
            root: Some(Uuid {
                value: root.as_bytes().to_vec(),
            }),
            ..Cover::default()
        }
    }
}

struct Round<'a> {
    delivery: &'a mut Delivery,
    checkpoint: String,
    generation: u32,
    permits: Arc<Semaphore>,
    mark: Watermark,
    /// The checkpoint as it is stored.
    written: u64,
    /// When it is written next; `None` while it need not be.
    write_at: Option<Instant>,
    lanes: Lanes,
    troubles: Arc<Troubles>,
    running: JoinSet<Trigger>,
    caught_up: bool,
}

impl Round<'_> {
    async fn run(&mut self, mut feed: Feed) -> Result<Ended, Error> {
        let shutdown = self.delivery.shutdown.clone();
        let mut troubles = self.troubles.watch();
        loop {
            let error = troubles.borrow_and_update().error.clone();
            self.tell(error);
            let may_read = !self.delivery.paused
                && self.lanes.held() < HELD_MAX
                && self.lanes.held_bytes() < HELD_BYTES_MAX;
            let write_at = self.write_at.unwrap_or_else(Instant::now);
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(ended) = self.running.join_next() => self.take_finished(ended)?,
                batch = feed.next(), if may_read => self.begin(batch?),
                () = sleep_until(write_at), if self.write_at.is_some() => {
                    self.write_checkpoint().await?;
                }
                // Held by the round itself, so it cannot have ended.
                _ = troubles.changed() => {}
                control = self.delivery.controls.controls.recv() => match control {
                    Some(Control::Pause(answer)) => self.pause(true, answer),
                    Some(Control::Resume(answer)) => self.pause(false, answer),
                    Some(Control::Reset(answer)) => {
                        // Work under way is given up first: nothing of the old round may come
                        // after the first event of the new one.
                        self.running.shutdown().await;
                        let recorded = self.delivery.record_reset().await;
                        let failed = recorded.is_err();
                        // Nobody may be waiting any more.
                        let _ = answer.send(recorded.map_err(|error| error.to_string()));
                        if failed {
                            tracing::error!(consumer = self.delivery.name, "not reset");
                        }
                        return Ok(Ended::Reset);
                    }
                    // Nobody can tell it anything any more: the server is about to stop.
                    None => break,
                },
            }
        }
        self.drain().await;
        self.write_checkpoint().await?;
        Ok(Ended::Shutdown)
    }

    fn pause(&mut self, paused: bool, answer: oneshot::Sender<()>) {
        self.delivery.paused = paused;
        self.delivery
            .controls
            .progress
            .send_modify(|progress| progress.paused = paused);
        // Nobody may be waiting any more.
        let _ = answer.send(());
    }

    fn begin(&mut self, batch: Batch) {
        for trigger in batch.triggers {
            self.mark.begin(trigger.position);
            if let Some(trigger) = self.lanes.push(trigger) {
                self.start(trigger);
            }
        }
        self.mark.read_up_to(batch.position);
        self.caught_up |= batch.caught_up;
        self.plan_checkpoint();
    }

    fn start(&mut self, trigger: Trigger) {
        let consumer = Arc::clone(&self.delivery.consumer);
        let interest = Arc::clone(&self.delivery.interest);
        let permits = Arc::clone(&self.permits);
        let troubles = Arc::clone(&self.troubles);
        self.running
            .spawn(work(consumer, interest, permits, troubles, trigger));
    }

    fn take_finished(
        &mut self,
        ended: Result<Trigger, tokio::task::JoinError>,
    ) -> Result<(), Error> {
        // Panics of a consumer are caught where they happen; one elsewhere starts a new round.
        let trigger = ended.map_err(|error| {
            angzarr_adapters::StoreError::Unavailable(format!("a delivery ended early: {error}"))
        })?;
        self.mark.finish(trigger.position);
        if let Some(next) = self.lanes.finished(&trigger) {
            self.start(next);
        }
        self.plan_checkpoint();
        Ok(())
    }

    fn plan_checkpoint(&mut self) {
        if self.write_at.is_none() && self.mark.done() > self.written {
            self.write_at = Some(Instant::now() + CHECKPOINT_DELAY);
        }
    }

    /// Makes durable what is done. Behind the work: a crash in between repeats it.
    async fn write_checkpoint(&mut self) -> Result<(), Error> {
        self.write_at = None;
        let position = self.mark.done();
        if position > self.written {
            let checkpoint = Some(Checkpoint {
                consumer: self.checkpoint.clone(),
                position,
            });
            let request = PutPositionRequest { checkpoint };
            self.delivery.store.put_position(request).await?;
            self.written = position;
        }
        Ok(())
    }

    async fn drain(&mut self) {
        let running = &mut self.running;
        let mark = &mut self.mark;
        let all = async {
            while let Some(ended) = running.join_next().await {
                if let Ok(trigger) = ended {
                    mark.finish(trigger.position);
                }
            }
        };
        if timeout(DRAIN, all).await.is_err() {
            tracing::info!(
                consumer = self.delivery.name,
                "deliveries under way were cut off and come again after the start"
            );
        }
        self.running.shutdown().await;
    }

    fn tell(&self, error: String) {
        let progress = Progress {
            done: self.mark.done(),
            seen: self.mark.read(),
            held: self.lanes.held(),
            paused: self.delivery.paused,
            generation: self.generation,
            caught_up: self.caught_up,
            error,
        };
        self.delivery.controls.progress.send_if_modified(|old| {
            let changed = *old != progress;
            *old = progress;
            changed
        });
    }
}
