#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::sync::Mutex;

use super::*;

/// Keeps the next sequence of each aggregate and refuses what does not match it.
#[derive(Clone)]
struct Strict {
    next: Arc<Mutex<Vec<u32>>>,
    fail_at: Option<u32>,
}

impl Writer for Strict {
    async fn append(&mut self, aggregate: u32, sequence: u32) -> Result<(), AppendError> {
        tokio::task::yield_now().await;
        let mut next = self.next.lock().unwrap();
        let next = &mut next[aggregate as usize];
        if *next != sequence {
            return Err(AppendError::Refused(format!("{sequence} is not {next}")));
        }
        if self.fail_at == Some(sequence) {
            return Err(AppendError::Failed("no answer".into()));
        }
        *next += 1;
        Ok(())
    }
}

fn plan(aggregates: u32, contended: bool) -> Plan {
    Plan {
        workload: Arc::new(Workload {
            domain: "bench".into(),
            aggregates,
            payload_bytes: 8,
            seed: 3,
        }),
        warm_up: Duration::from_millis(1),
        measured: Duration::from_millis(50),
        contended,
        server_pids: Vec::new(),
    }
}

fn writers(aggregates: u32, fail_at: Option<u32>, clients: usize) -> Vec<Strict> {
    let next = Arc::new(Mutex::new(vec![0; aggregates as usize]));
    vec![Strict { next, fail_at }; clients]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_with_parts_of_their_own_never_collide() {
    let writers = writers(10, None, 3);
    let next = Arc::clone(&writers[0].next);
    let measured = run(&plan(10, false), writers).await;
    assert_eq!((measured.refused, measured.failed), (0, 0));
    assert!(measured.appended > 0);
    let next = next.lock().unwrap();
    for aggregate in 0..10 {
        assert_eq!(
            measured.heads.next(aggregate),
            Some(next[aggregate as usize])
        );
    }
    assert!(next.iter().map(|next| u64::from(*next)).sum::<u64>() >= measured.appended);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contended_clients_collide_and_go_on() {
    let measured = run(&plan(1, true), writers(1, None, 8)).await;
    assert!(measured.refused > 0);
    assert!(measured.appended > 0);
    assert!(matches!(
        measured.first_error,
        Some(AppendError::Refused(_))
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_aggregate_whose_append_failed_is_left_alone() {
    let measured = run(&plan(4, false), writers(4, Some(2), 2)).await;
    assert_eq!(measured.failed, 4);
    assert_eq!(measured.refused, 0);
    assert!((0..4).all(|aggregate| measured.heads.next(aggregate).is_none()));
}

#[test]
fn parts_cover_every_aggregate_once() {
    let parts = parts(&plan(10, false), 3);
    let all: Vec<u32> = parts.into_iter().flatten().collect();
    assert_eq!(all, (0..10).collect::<Vec<_>>());
}
