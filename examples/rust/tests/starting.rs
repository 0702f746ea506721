//! Where functions of the server's own process begin.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::Path;
use std::sync::mpsc::{Receiver, channel};

use angzarr_server::embedded::{Embedded, Error, Event, Outgoing, Running, Step};
use prost_types::Any;

const ROOT: [u8; 16] = [7; 16];

/// Every command is an event.
fn echo(_: &[Event], command: &Any) -> Result<Vec<Any>, String> {
    Ok(vec![command.clone()])
}

fn aggregate(folder: &Path) -> Embedded {
    Embedded::in_folder(folder).unwrap().aggregate("note", echo)
}

async fn write(server: &Running, ids: std::ops::RangeInclusive<u32>) {
    for id in ids {
        let note = Outgoing::new("note", ROOT, &id);
        server.send(note, &id.to_string(), "notes").await.unwrap();
    }
}

/// One of each kind, all from now on, and what they were told: the sequences of the events.
async fn started(folder: &Path) -> (Running, [Receiver<u32>; 3]) {
    let (saga, by_saga) = channel();
    let (process, by_process) = channel();
    let (projector, by_projector) = channel();
    let server = aggregate(folder)
        .saga("late-saga", "note", move |event| {
            saga.send(event.sequence).unwrap();
            Ok(Vec::new())
        })
        .process_manager("late-process", &["note"], move |_, event| {
            process.send(event.sequence).unwrap();
            Ok(Step::default())
        })
        .projector("late-projector", &["note"], move |event| {
            projector.send(event.sequence).unwrap();
            Ok(())
        })
        .from_now("late-saga")
        .from_now("late-process")
        .from_now("late-projector")
        .start()
        .await
        .unwrap();
    (server, [by_saga, by_process, by_projector])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_from_now_is_told_what_comes_after_its_first_start() {
    let folder = tempfile::tempdir().unwrap();
    let server = aggregate(folder.path()).start().await.unwrap();
    write(&server, 0..=2).await;
    server.stop().await.unwrap();

    // They begin where the server was started, not where it was when they were ready.
    let (server, heard) = started(folder.path()).await;
    write(&server, 3..=4).await;
    for heard in &heard {
        assert_eq!([heard.recv().unwrap(), heard.recv().unwrap()], [3, 4]);
    }
    server.stop().await.unwrap();

    // While they are away something happens, and that they are told.
    let server = aggregate(folder.path()).start().await.unwrap();
    write(&server, 5..=5).await;
    server.stop().await.unwrap();
    let (server, heard) = started(folder.path()).await;
    write(&server, 6..=6).await;
    for heard in &heard {
        let mut later = Vec::new();
        while later.last() != Some(&6) {
            later.push(heard.recv().unwrap());
        }
        // The last before the stop may come twice: at least once is the promise.
        assert!(later.ends_with(&[5, 6]), "{later:?}");
        assert!(later.iter().all(|sequence| *sequence > 2), "{later:?}");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn from_now_names_a_component() {
    let folder = tempfile::tempdir().unwrap();
    let started = aggregate(folder.path()).from_now("note").start().await;
    let Err(Error::Configuration(problem)) = started.map(drop) else {
        panic!("a server with a component that nobody added");
    };
    assert_eq!(
        problem,
        "from_now: no saga, process manager or projector is named \"note\": add it, too"
    );
}
