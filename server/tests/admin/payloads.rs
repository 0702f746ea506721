//! §10: large payloads lie in an object store, and nobody notices.

use std::path::{Path, PathBuf};
use std::time::Duration;

use angzarr_adapters::{EventStore, RemoteStore};
use angzarr_proto::status::{ListDeadLettersRequest, RejectionType, list_dead_letters_response};
use angzarr_proto::store::v1::{
    DeleteEditionRequest, Filter, ReadAllRequest, ReadRequest, read_all_response,
};
use angzarr_proto::v1::{
    CommandRequest, Edition, EventPage, EventStreamFilter, MergeStrategy, PayloadReference,
    PayloadStorageType, command_page, event_page,
};
use angzarr_server::claim_check::ClaimCheck;
use futures::StreamExt;
use prost::Message;
use tempfile::TempDir;
use tonic::Code;

use crate::server::{Server, command, cover};

const LARGE: usize = 2_000;

async fn server(folder: TempDir) -> Server {
    let payloads = format!(
        "{{store: '{}', threshold: 1KiB}}",
        objects(folder.path()).display()
    );
    Server::start_in(folder, &[("payloads", &payloads)]).await
}

fn objects(folder: &Path) -> PathBuf {
    folder.join("payloads")
}

/// A command whose payload, and so its event's, has so many bytes.
fn sized(root: u8, sequence: u32, size: usize) -> CommandRequest {
    let mut request = command(root, "Add", sequence, MergeStrategy::MergeStrict);
    let page = &mut request.command.as_mut().unwrap().pages[0];
    let Some(command_page::Payload::Command(any)) = &mut page.payload else {
        panic!("no command")
    };
    any.value = vec![root; size];
    request
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    for entry in entries.map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            found.extend(files(&entry));
        } else {
            found.push(entry);
        }
    }
    found
}

fn value(page: &EventPage) -> &[u8] {
    match page.payload.as_ref().unwrap() {
        event_page::Payload::Event(any) => &any.value,
        other @ event_page::Payload::External(_) => panic!("{other:?} is no event"),
    }
}

fn store(server: &Server) -> RemoteStore {
    RemoteStore::connect(&server.url).unwrap()
}

/// The references that the store holds for an aggregate.
async fn references(server: &Server, root: u8) -> Vec<PayloadReference> {
    let request = ReadRequest {
        cover: Some(cover(root)),
        ..ReadRequest::default()
    };
    let mut chunks = store(server).read(request).await.unwrap();
    let mut references = Vec::new();
    while let Some(chunk) = chunks.next().await {
        for page in chunk.unwrap().pages {
            let page = EventPage::decode(page).unwrap();
            if let Some(event_page::Payload::External(reference)) = page.payload {
                references.push(reference);
            }
        }
    }
    references
}

#[tokio::test]
async fn only_large_payloads_are_kept_elsewhere_and_everybody_sees_them() {
    let server = server(tempfile::tempdir().unwrap()).await;
    let mut commands = server.commands();
    let mut live = angzarr_proto::v1::event_stream_service_client::EventStreamServiceClient::new(
        server.channel.clone(),
    );
    let filter = EventStreamFilter {
        correlation_id: "c-1".into(),
    };
    let mut live = live.subscribe(filter).await.unwrap().into_inner();
    let mut large = sized(1, 0, LARGE);
    let book = large.command.as_mut().unwrap();
    book.cover.as_mut().unwrap().correlation_id = "c-1".into();
    let answer = commands.handle_command(large).await.unwrap().into_inner();
    assert_eq!(value(&answer.events.unwrap().pages[0]).len(), LARGE);
    commands.handle_command(sized(1, 1, 10)).await.unwrap();

    let references = references(&server, 1).await;
    assert_eq!(references.len(), 1);
    let reference = &references[0];
    assert_eq!(reference.storage_type(), PayloadStorageType::Filesystem);
    assert!(
        reference
            .uri
            .ends_with("#type.googleapis.com/counter.Added"),
        "{}",
        reference.uri
    );
    assert_eq!(files(&objects(server.folder.path())).len(), 1);

    let book = server.book(cover(1)).await;
    assert_eq!(value(&book.pages[0]), vec![1; LARGE]);
    assert_eq!(
        value(&live.next().await.unwrap().unwrap().pages[0]),
        vec![1; LARGE]
    );
    let (seen, _) = server.counter.calls.lock().unwrap()[1].clone();
    assert_eq!(value(&seen.events.unwrap().pages[0]), vec![1; LARGE]);
}

#[tokio::test]
async fn the_type_of_a_payload_elsewhere_is_known_to_filters() {
    let server = server(tempfile::tempdir().unwrap()).await;
    server
        .commands()
        .handle_command(sized(1, 0, LARGE))
        .await
        .unwrap();
    for (name, expected) in [("Added", 1), ("counter.Added", 1), ("Removed", 0)] {
        let request = ReadAllRequest {
            after_position: 0,
            filter: Some(Filter {
                types: vec![name.into()],
                ..Filter::default()
            }),
        };
        let mut records = store(&server).read_all(request).await.unwrap();
        let mut books = 0;
        while let Some(record) = records.next().await {
            let item = record.unwrap().item;
            books += usize::from(matches!(item, Some(read_all_response::Item::Book(_))));
        }
        assert_eq!(books, expected, "{name}");
    }
}

#[tokio::test]
async fn a_lost_payload_is_a_dead_letter() {
    let server = server(tempfile::tempdir().unwrap()).await;
    let mut commands = server.commands();
    for root in [1, 2] {
        commands
            .handle_command(sized(root, 0, LARGE))
            .await
            .unwrap();
    }
    // One is gone, the other is not what it was.
    let objects = files(&objects(server.folder.path()));
    let gone = references(&server, 1).await[0].content_hash.clone();
    for object in objects {
        let name = object.file_name().unwrap().to_str().unwrap();
        if name.starts_with(&format!("{:02x}{:02x}", gone[0], gone[1])) {
            std::fs::remove_file(&object).unwrap();
        } else {
            std::fs::write(&object, b"changed").unwrap();
        }
    }
    for root in [1, 2] {
        let refused = commands
            .handle_command(sized(root, 1, 10))
            .await
            .unwrap_err();
        assert_eq!(refused.code(), Code::DataLoss, "{refused}");
        assert!(
            refused.message().contains("#type.googleapis.com/"),
            "{refused}"
        );
    }
    let listed = server
        .dead_letters()
        .list_dead_letters(ListDeadLettersRequest::default())
        .await
        .unwrap()
        .into_inner();
    let Some(list_dead_letters_response::State::Ok(listed)) = listed.state else {
        panic!("{listed:?}")
    };
    assert_eq!(listed.entries.len(), 2);
    for entry in listed.entries {
        assert_eq!(
            entry.rejection_type(),
            RejectionType::PayloadRetrievalFailed
        );
    }
}

#[tokio::test]
async fn a_payload_is_removed_when_no_event_refers_to_it_and_never_before() {
    let server = server(tempfile::tempdir().unwrap()).await;
    let mut commands = server.commands();
    commands.handle_command(sized(1, 0, LARGE)).await.unwrap();
    let mut branch = sized(2, 0, LARGE);
    let edition = Edition {
        name: "what-if".into(),
        divergences: vec![],
    };
    let book = branch.command.as_mut().unwrap();
    book.cover.as_mut().unwrap().edition = Some(edition);
    commands.handle_command(branch).await.unwrap();
    let folder = objects(server.folder.path());
    let claim_check = ClaimCheck::open(&folder.display().to_string(), 1).unwrap();
    let store = store(&server);
    let now = Duration::ZERO;
    assert_eq!(claim_check.sweep(&store, now).await.unwrap(), 0);
    assert_eq!(files(&folder).len(), 2);

    let deletion = DeleteEditionRequest {
        edition: "what-if".into(),
        domain: String::new(),
    };
    store.delete_edition(deletion).await.unwrap();
    let hour = Duration::from_secs(3600);
    assert_eq!(
        claim_check.sweep(&store, hour).await.unwrap(),
        0,
        "it is too young"
    );
    assert_eq!(claim_check.sweep(&store, now).await.unwrap(), 1);
    assert_eq!(files(&folder).len(), 1);
    let book = server.book(cover(1)).await;
    assert_eq!(value(&book.pages[0]), vec![1; LARGE]);
}
