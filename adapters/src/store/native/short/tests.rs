use std::sync::{Arc, Barrier, mpsc};
use std::thread;

use super::*;

fn here() -> thread::ThreadId {
    thread::current().id()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_thread_stays_free() {
    let reads = ShortReads::default();
    let (entered, has_entered) = mpsc::channel();
    let go_on = Arc::new(Barrier::new(2));
    let first = tokio::spawn({
        let (reads, go_on) = (reads.clone(), go_on.clone());
        async move {
            let asker = here();
            let read = move || {
                let _ = entered.send(());
                go_on.wait();
                Ok(here())
            };
            reads.run(read).await.is_ok_and(|reader| reader == asker)
        }
    });
    // Two threads serve; one of them is held by the first read, this task needs the other.
    let second = tokio::spawn(async move {
        let waited = tokio::task::spawn_blocking(move || has_entered.recv());
        assert!(matches!(waited.await, Ok(Ok(()))));
        let found = reads.run(|| Ok(thread::current().id())).await;
        let asker = here();
        go_on.wait();
        found.is_ok_and(|reader| reader != asker)
    });
    assert!(
        second.await.is_ok_and(|elsewhere| elsewhere),
        "the second read had a thread to itself"
    );
    assert!(
        first.await.is_ok_and(|same| same),
        "the first ran where it was asked for"
    );
}

#[tokio::test]
async fn the_only_thread_is_never_held() {
    let reads = ShortReads::default();
    let found = reads.run(|| Ok(here())).await;
    assert!(found.is_ok_and(|reader| reader != here()));
}
