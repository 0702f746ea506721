#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use futures::task::noop_waker_ref;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// What arrives, write by write, at a peer that takes as much of each as it is told.
#[derive(Default, Clone)]
struct Peer {
    writes: Arc<Mutex<Vec<Vec<u8>>>>,
    /// Bytes to take next; `None`: not now. When they are used up it takes everything.
    takes: Arc<Mutex<VecDeque<Option<usize>>>>,
}

impl Peer {
    fn writes(&self) -> Vec<Vec<u8>> {
        self.writes.lock().unwrap().clone()
    }

    fn taken(&self) -> usize {
        self.writes.lock().unwrap().iter().map(Vec::len).sum()
    }
}

impl AsyncWrite for Peer {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        match self.takes.lock().unwrap().pop_front() {
            None => {}
            Some(Some(most)) => bytes.truncate(most),
            Some(None) => {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        let len = bytes.len();
        self.writes.lock().unwrap().push(bytes);
        Poll::Ready(Ok(len))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn small_writes_go_out_together_when_flushed() {
    let peer = Peer::default();
    let mut corked = Corked::new(peer.clone());
    corked.write_all(b"head").await.unwrap();
    corked.write_all(b"data").await.unwrap();
    assert_eq!(peer.writes(), Vec::<Vec<u8>>::new());
    corked.flush().await.unwrap();
    assert_eq!(peer.writes(), [b"headdata"]);
}

#[test]
fn what_others_write_meanwhile_goes_with_a_flush() {
    let peer = Peer::default();
    let mut corked = Corked::new(peer.clone());
    let mut context = Context::from_waker(noop_waker_ref());
    for round in 1..=3 {
        assert!(write(&mut corked, &mut context, b"one").is_ready());
        assert!(flush(&mut corked, &mut context).is_pending());
        assert!(write(&mut corked, &mut context, b"two").is_ready());
        assert_eq!(peer.writes().len(), round - 1);
        assert!(flush(&mut corked, &mut context).is_ready());
        assert_eq!(peer.writes(), vec![b"onetwo"; round]);
        // There is nothing to wait for when nothing is held.
        assert!(flush(&mut corked, &mut context).is_ready());
    }
}

#[test]
fn who_is_alone_gives_way_now_and_then() {
    let peer = Peer::default();
    let mut corked = Corked::new(peer.clone());
    let mut context = Context::from_waker(noop_waker_ref());
    let mut gave_way = Vec::new();
    for round in 0..100 {
        assert!(write(&mut corked, &mut context, b"alone").is_ready());
        if flush(&mut corked, &mut context).is_pending() {
            gave_way.push(round);
            assert!(flush(&mut corked, &mut context).is_ready());
        }
        assert_eq!(peer.writes().len(), round + 1);
    }
    assert_eq!(gave_way, [0, 1, 2, 3, 32, 64, 96]);

    // Company is noticed, and let through again.
    gave_way.clear();
    for round in 0..40 {
        assert!(write(&mut corked, &mut context, b"one").is_ready());
        if flush(&mut corked, &mut context).is_pending() {
            gave_way.push(round);
            assert!(write(&mut corked, &mut context, b"two").is_ready());
            assert!(flush(&mut corked, &mut context).is_ready());
        }
    }
    assert_eq!(gave_way, (28..40).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_is_held_goes_before_the_end() {
    let peer = Peer::default();
    let mut corked = Corked::new(peer.clone());
    corked.write_all(b"last").await.unwrap();
    corked.shutdown().await.unwrap();
    assert_eq!(peer.writes(), [b"last"]);
}

#[tokio::test]
async fn a_peer_that_takes_nothing_is_an_error() {
    let peer = Peer::default();
    peer.takes.lock().unwrap().push_back(Some(0));
    let mut corked = Corked::new(peer);
    corked.write_all(b"lost").await.unwrap();
    let error = corked.flush().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WriteZero);
}

#[tokio::test]
async fn reading_is_as_without() {
    let mut corked = Corked::new(&b"came"[..]);
    let mut came = String::new();
    corked.read_to_string(&mut came).await.unwrap();
    assert_eq!(came, "came");
}

#[derive(Debug, Clone)]
enum Step {
    Write(usize),
    Flush,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let len = prop_oneof![0..600usize, 1_000..40_000usize];
    let step = prop_oneof![3 => len.prop_map(Step::Write), 1 => Just(Step::Flush)];
    prop::collection::vec(step, 1..40)
}

proptest! {
    #[test]
    fn every_byte_arrives_once_and_in_order(
        steps in steps(),
        takes in prop::collection::vec(prop::option::weighted(0.8, 1..30_000usize), 0..60),
    ) {
        let peer = Peer::default();
        peer.takes.lock().unwrap().extend(takes);
        let mut corked = Corked::new(peer.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut written: Vec<u8> = Vec::new();
        for step in steps {
            match step {
                Step::Write(len) => {
                    let bytes: Vec<u8> = (written.len()..).take(len).map(told_by_its_place).collect();
                    runtime.block_on(corked.write_all(&bytes)).unwrap();
                    written.extend(bytes);
                    prop_assert!(written.len() - peer.taken() <= HELD_MAX);
                }
                Step::Flush => {
                    runtime.block_on(corked.flush()).unwrap();
                    prop_assert_eq!(peer.taken(), written.len());
                }
            }
        }
        runtime.block_on(corked.flush()).unwrap();
        prop_assert_eq!(peer.writes().concat(), written);
    }
}

/// A byte that differs from those around it, also from one 256 or 65,536 places away.
fn told_by_its_place(place: usize) -> u8 {
    place
        .to_le_bytes()
        .into_iter()
        .fold(0, |sum, byte| sum.wrapping_mul(31) ^ byte)
}

fn write(corked: &mut Corked<Peer>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<()> {
    let written = Pin::new(corked).poll_write(context, bytes);
    written.map(|written| assert_eq!(written.unwrap(), bytes.len()))
}

fn flush(corked: &mut Corked<Peer>, context: &mut Context<'_>) -> Poll<()> {
    Pin::new(corked).poll_flush(context).map(Result::unwrap)
}
