//! §11: dead letters are durable, listed, shown, replayed and deleted, with an audit trail.

use angzarr_proto::status::{
    DeleteDeadLetterRequest, GetDeadLetterRequest, ListDeadLettersRequest, RejectionType,
    ReplayDeadLetterRequest, ReplayMode, StoredDeadLetter, delete_dead_letter_response,
    get_dead_letter_response, list_dead_letters_response, replay_dead_letter_response,
};
use angzarr_proto::v1::{AngzarrDeadLetter, Cover, EventBook, MergeStrategy, Uuid, event_page};
use prost::Message;
use tonic::{Code, Request, Status};

use crate::server::{Server, command, cover};

impl Server {
    /// An aggregate at sequence 1 and `count` commands that did not know.
    async fn with_letters(self, root: u8, count: usize) -> Self {
        let mut commands = self.commands();
        let first = command(root, "Add", 0, MergeStrategy::MergeStrict);
        commands.handle_command(first).await.unwrap();
        for _ in 0..count {
            let stale = command(root, "Stale", 0, MergeStrategy::MergeManual);
            let refused = commands.handle_command(stale).await.unwrap_err();
            assert_eq!(refused.code(), Code::Aborted, "{refused}");
        }
        self
    }

    async fn list(&self, filter: &str) -> Vec<StoredDeadLetter> {
        self.page(filter, 0, "").await.unwrap().0
    }

    async fn page(
        &self,
        filter: &str,
        page_size: i32,
        page_token: &str,
    ) -> Result<(Vec<StoredDeadLetter>, String), Status> {
        let request = ListDeadLettersRequest {
            filter: filter.into(),
            page_size,
            page_token: page_token.into(),
        };
        let answer = self
            .dead_letters()
            .list_dead_letters(request)
            .await?
            .into_inner();
        assert!(answer.checked_at.is_some());
        match answer.state.unwrap() {
            list_dead_letters_response::State::Ok(ok) => Ok((ok.entries, ok.next_page_token)),
            list_dead_letters_response::State::Degraded(problem) => panic!("{problem:?}"),
        }
    }

    async fn show(&self, id: i64) -> Result<StoredDeadLetter, Status> {
        let request = GetDeadLetterRequest { id };
        let answer = self.dead_letters().get_dead_letter(request).await?;
        match answer.into_inner().state.unwrap() {
            get_dead_letter_response::State::Ok(ok) => Ok(ok.entry.unwrap()),
            get_dead_letter_response::State::Degraded(problem) => panic!("{problem:?}"),
        }
    }

    async fn delete(&self, id: i64) -> Result<bool, Status> {
        let mut request = Request::new(DeleteDeadLetterRequest { id });
        let by = request.metadata_mut();
        by.insert("x-requested-by", "ada".parse().unwrap());
        let answer = self.dead_letters().delete_dead_letter(request).await?;
        match answer.into_inner().state.unwrap() {
            delete_dead_letter_response::State::Ok(ok) => Ok(ok.deleted),
            delete_dead_letter_response::State::Degraded(problem) => panic!("{problem:?}"),
        }
    }

    async fn replay(&self, id: i64, mode: ReplayMode) -> Result<ReplayMode, Status> {
        let request = ReplayDeadLetterRequest {
            id,
            replay_mode: mode.into(),
        };
        let answer = self.dead_letters().replay_dead_letter(request).await?;
        match answer.into_inner().state.unwrap() {
            replay_dead_letter_response::State::Ok(ok) => {
                assert!(ok.replayed_at.is_some());
                Ok(ok.applied_mode())
            }
            replay_dead_letter_response::State::Degraded(problem) => panic!("{problem:?}"),
        }
    }

    async fn audit(&self) -> Vec<String> {
        let root = Some(Uuid { value: vec![0; 16] });
        let stream = Cover {
            domain: "angzarr.dlq.counter".into(),
            root,
            ..Cover::default()
        };
        types(&self.book(stream).await)
    }
}

fn types(book: &EventBook) -> Vec<String> {
    let name = |page: &angzarr_proto::v1::EventPage| match page.payload.as_ref().unwrap() {
        event_page::Payload::Event(any) => any.type_url.rsplit('.').next().unwrap().to_owned(),
        other => panic!("{other:?} is no event"),
    };
    book.pages.iter().map(name).collect()
}

#[tokio::test]
async fn a_letter_is_listed_and_shown_as_it_was_refused() {
    let server = Server::start().await.with_letters(1, 1).await;
    let listed = server.list("").await;
    assert_eq!(listed.len(), 1);
    let shown = server.show(listed[0].id).await.unwrap();
    assert_eq!(shown, listed[0]);
    assert_eq!(shown.domain, "counter");
    assert_eq!(shown.rejection_type(), RejectionType::SequenceMismatch);
    assert_eq!(shown.details, "expected sequence 0, actual 1, MERGE_MANUAL");
    assert_eq!(shown.source_component, "counter");
    assert_eq!(shown.source_component_type, "aggregate");
    assert!(shown.occurred_at.is_some() && shown.created_at.is_some());
    let letter = AngzarrDeadLetter::decode(shown.payload.as_slice()).unwrap();
    assert_eq!(letter.cover, Some(cover(1)));
    let view: serde_json::Value = serde_json::from_str(&shown.payload_view).unwrap();
    let command = view.pointer("/rejectedCommand/pages/0/command").unwrap();
    assert_eq!(command["@type"], "type.googleapis.com/counter.Stale");
    assert_eq!(command["value"], "CAE=");
}

#[tokio::test]
async fn pages_go_from_the_newest_to_the_oldest_and_miss_none() {
    let server = Server::start().await.with_letters(1, 7).await;
    let mut seen = Vec::new();
    let mut token = String::new();
    loop {
        let (entries, next) = server.page("", 3, &token).await.unwrap();
        assert!(entries.len() <= 3);
        seen.extend(entries.iter().map(|entry| entry.id));
        if next.is_empty() {
            break;
        }
        token = next;
    }
    assert_eq!(seen.len(), 7);
    assert!(seen.is_sorted_by(|newer, older| newer > older), "{seen:?}");
    for (size, token) in [(-1, ""), (0, "nonsense")] {
        let refused = server.page("", size, token).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    }
}

#[tokio::test]
async fn a_filter_takes_what_all_its_terms_take() {
    let server = Server::start().await.with_letters(1, 2).await;
    let server = server.with_letters(2, 1).await;
    let two = "root=02020202020202020202020202020202";
    for (filter, count) in [
        ("", 3),
        ("domain=counter", 3),
        ("domain=other", 0),
        (two, 1),
        (
            "type=sequence_mismatch component=counter component_type=aggregate",
            3,
        ),
        ("type=event_processing_failed", 0),
        ("correlation_id=none", 0),
        ("expected sequence", 3),
        ("unheard-of", 0),
        ("since=2020-01-01T00:00:00Z before=2020-01-02T00:00:00Z", 0),
        ("since=2020-01-01T00:00:00Z", 3),
        ("state=replayed", 0),
    ] {
        assert_eq!(server.list(filter).await.len(), count, "{filter}");
    }
    let refused = server.page("colour=red", 0, "").await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("colour"), "{refused}");
}

#[tokio::test]
async fn a_fresh_replay_takes_effect_once() {
    let server = Server::start().await.with_letters(1, 1).await;
    let id = server.list("").await[0].id;
    let applied = server.replay(id, ReplayMode::Unspecified).await.unwrap();
    assert_eq!(applied, ReplayMode::FreshSequence);
    assert_eq!(types(&server.book(cover(1)).await), ["Added", "Staleed"]);

    let (seen, _) = server.counter.calls.lock().unwrap()[1].clone();
    assert_eq!(
        seen.events.unwrap().pages.len(),
        1,
        "it decided on what is there"
    );

    assert!(
        server.list("").await.is_empty(),
        "what was replayed is done"
    );
    assert_eq!(server.list("state=replayed").await.len(), 1);
    assert_eq!(server.list("state=all").await.len(), 1);
    let again = server
        .replay(id, ReplayMode::FreshSequence)
        .await
        .unwrap_err();
    assert_eq!(again.code(), Code::FailedPrecondition, "{again}");
    assert_eq!(server.book(cover(1)).await.pages.len(), 2);
    assert_eq!(
        server.audit().await,
        ["AngzarrDeadLetter", "DeadLetterReplayed"]
    );
}

#[tokio::test]
async fn a_replay_as_it_is_is_checked_as_it_was() {
    let server = Server::start().await.with_letters(1, 1).await;
    let id = server.list("").await[0].id;
    let refused = server.replay(id, ReplayMode::AsIs).await.unwrap_err();
    assert_eq!(refused.code(), Code::Aborted, "{refused}");
    assert_eq!(server.book(cover(1)).await.pages.len(), 1);
    let open: Vec<i64> = server.list("").await.iter().map(|entry| entry.id).collect();
    assert_eq!(open.len(), 2, "the letter, and that of the second refusal");
    assert!(open.contains(&id));
    assert_eq!(
        server.audit().await,
        [
            "AngzarrDeadLetter",
            "AngzarrDeadLetter",
            "DeadLetterReplayFailed"
        ]
    );
}

#[tokio::test]
async fn a_deleted_letter_is_gone_and_the_deletion_is_on_record() {
    let server = Server::start().await.with_letters(1, 2).await;
    let listed = server.list("").await;
    let id = listed[0].id;
    assert!(server.delete(id).await.unwrap());
    assert!(!server.delete(id).await.unwrap(), "it was gone already");
    assert_eq!(server.list("").await, listed[1..]);
    for refused in [
        server.show(id).await.map(|_| ()),
        server.replay(id, ReplayMode::AsIs).await.map(|_| ()),
        server.show(7).await.map(|_| ()),
        server.delete(i64::MIN).await.map(|_| ()),
        server.delete(i64::MAX).await.map(|_| ()),
    ] {
        assert_eq!(refused.unwrap_err().code(), Code::NotFound);
    }
    assert_eq!(
        server.audit().await,
        [
            "AngzarrDeadLetter",
            "AngzarrDeadLetter",
            "DeadLetterDeleted"
        ]
    );
}

#[tokio::test]
async fn letters_and_what_became_of_them_survive_a_restart() {
    let server = Server::start().await.with_letters(1, 3).await;
    let listed = server.list("").await;
    server.delete(listed[0].id).await.unwrap();
    server
        .replay(listed[1].id, ReplayMode::FreshSequence)
        .await
        .unwrap();
    let folder = server.stop().await;

    let server = Server::start_in(folder, &[]).await;
    assert_eq!(server.list("").await, listed[2..]);
    assert_eq!(server.list("state=replayed").await, listed[1..2]);
    assert_eq!(server.show(listed[2].id).await.unwrap(), listed[2]);
}
