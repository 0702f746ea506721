#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use angzarr_proto::v1::Uuid;

use super::*;

fn cover(root: u8) -> Cover {
    Cover {
        domain: "order".into(),
        root: Some(Uuid {
            value: vec![root; 16],
        }),
        ..Cover::default()
    }
}

fn queues(depth_max: usize) -> Queues {
    Queues::new(depth_max, Duration::from_secs(600))
}

fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[tokio::test]
async fn one_aggregate_is_worked_on_by_one_request_at_a_time() {
    let queues = queues(10);
    let turn = queues.enter(&cover(1)).await.unwrap();
    let cover = cover(1);
    let mut second = pin!(queues.enter(&cover));
    assert!(poll(second.as_mut()).is_pending());
    drop(turn);
    assert!(poll(second.as_mut()).is_ready());
}

#[tokio::test]
async fn other_aggregates_do_not_wait() {
    let queues = queues(10);
    let _turn = queues.enter(&cover(1)).await.unwrap();
    assert!(poll(pin!(queues.enter(&cover(2)))).is_ready());
    let mut branch = cover(1);
    branch.edition = Some(angzarr_proto::v1::Edition {
        name: "what-if".into(),
        divergences: vec![],
    });
    assert!(poll(pin!(queues.enter(&branch))).is_ready());
}

#[tokio::test]
async fn a_full_line_is_refused_and_a_request_that_gave_up_makes_room() {
    let queues = queues(2);
    let cover = cover(1);
    let _turn = queues.enter(&cover).await.unwrap();
    {
        let mut waiting = pin!(queues.enter(&cover));
        assert!(poll(waiting.as_mut()).is_pending());
        let refused = queues.enter(&cover).await.unwrap_err();
        assert!(matches!(refused, Error::Busy(text) if text.contains("order")));
    }
    assert!(poll(pin!(queues.enter(&cover))).is_pending());
}

#[tokio::test]
async fn an_idle_aggregate_takes_no_memory() {
    let queues = queues(10);
    drop(queues.enter(&cover(1)).await.unwrap());
    assert!(lock(&queues.lines).is_empty());
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_with_a_sentence() {
    let queues = queues(10);
    let _turn = queues.enter(&cover(1)).await.unwrap();
    let refused = queues.enter(&cover(1)).await.unwrap_err();
    assert!(matches!(refused, Error::Busy(text) if text.contains("waited 600s")));
}
