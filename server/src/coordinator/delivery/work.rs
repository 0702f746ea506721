//! Tries to hand one trigger over until that succeeds or the budget is spent.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use tokio::sync::Semaphore;

use super::trouble::Troubles;
use super::{Consumer, Failure, Interest, Trigger};
use crate::telemetry;

/// Ends when the trigger was taken or put aside, so that the checkpoint may pass it.
///
/// The pause between two attempts holds no permit: an aggregate in trouble keeps nobody else
/// from being worked on.
pub(super) async fn work(
    consumer: Arc<dyn Consumer>,
    interest: Arc<Interest>,
    permits: Arc<Semaphore>,
    troubles: Arc<Troubles>,
    trigger: Trigger,
) -> Trigger {
    let mut trouble = troubles.attempts();
    let mut pauses = interest.retries.delays();
    let mut attempts = 1;
    loop {
        // Waiting for others holds no permit either.
        let ready = consumer.ready(&trigger).await;
        let failure = match ready {
            Ok(None) => return trigger,
            Ok(Some(rest)) => match attempt(consumer.as_ref(), &permits, &rest).await {
                Ok(()) => return trigger,
                Err(failure) => failure,
            },
            Err(error) => Failure {
                transient: true,
                text: error.to_string(),
                payload: None,
            },
        };
        let pause = pauses.next().filter(|_| failure.transient);
        let Some(pause) = pause else {
            let attempts = if failure.transient { attempts } else { 0 };
            put_aside(consumer.as_ref(), &interest, &trigger, &failure, attempts).await;
            return trigger;
        };
        tracing::debug!(
            error = failure.text,
            attempts,
            "delivery failed, trying again"
        );
        trouble.failed(&failure.text);
        telemetry::retried(&interest.component);
        tokio::time::sleep(pause).await;
        attempts += 1;
    }
}

async fn attempt(
    consumer: &dyn Consumer,
    permits: &Semaphore,
    trigger: &Trigger,
) -> Result<(), Failure> {
    // The semaphore is never closed.
    let _permit = permits.acquire().await.ok();
    AssertUnwindSafe(consumer.deliver(trigger))
        .catch_unwind()
        .await
        .unwrap_or_else(|_| {
            Err(Failure {
                transient: false,
                text: "the server failed while handling the event; its log says where".to_owned(),
                payload: None,
            })
        })
}

/// A dead letter that cannot be stored must not be lost: the checkpoint waits.
async fn put_aside(
    consumer: &dyn Consumer,
    interest: &Interest,
    trigger: &Trigger,
    failure: &Failure,
    attempts: u32,
) {
    let mut reported = false;
    while let Err(error) = consumer.give_up(trigger, failure, attempts).await {
        if !reported {
            tracing::error!(%error, "a dead letter cannot be stored: waiting for the store");
            reported = true;
        }
        tokio::time::sleep(interest.retries.max).await;
    }
}
