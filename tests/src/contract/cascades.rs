use angzarr_proto::Dialect;
use angzarr_proto::store::v1 as pb;
use angzarr_proto::v1::{Cover, Revocation};
use pb::read_request::Selection;
use prost::Message;

use super::read::{range, set};
use super::subject::{
    Subject, after, cover, event, everything_of, on, one, page, second, sequence_of, texts, write,
};

pub async fn pending_pages_are_stored_as_such(subject: Subject) {
    let order = cover("order", 1);
    subject.add(&order, &["a"]).await;
    subject.append(pending("one", &[(&order, &["b"])])).await;
    let pages = subject.book(&order).await.pages;
    let marks: Vec<_> = pages
        .iter()
        .map(|page| (page.no_commit, page.cascade_id.as_deref()))
        .collect();
    assert_eq!(marks, [(false, None), (true, Some("one"))]);
    assert_eq!(texts(&pages), ["a", "b"]);
    let records = subject.records(after(0)).await;
    let marks: Vec<_> = records.iter().map(|record| record.page.no_commit).collect();
    assert_eq!(marks, [false, true]);
}

pub async fn pending_pages_are_visible_to_their_own_cascade_only(subject: Subject) {
    let order = cover("order", 1);
    let mut dated = page("b");
    dated.created_at = Some(second(1_234));
    subject.add(&order, &["a"]).await;
    let mut request = pending("one", &[(&order, &[])]);
    request.writes = vec![pb::AggregateAppend {
        pages: vec![dated],
        ..write(&order, &[])
    }];
    subject.append(request).await;
    subject.append(pending("two", &[(&order, &["c"])])).await;

    assert_eq!(
        subject.resolved(&order, None).await,
        ["a", "<uncommitted one>", "<uncommitted two>"]
    );
    assert_eq!(
        subject.resolved(&order, Some("one")).await,
        ["a", "b", "<uncommitted two>"]
    );
    assert_eq!(
        subject.resolved(&order, Some("two")).await,
        ["a", "<uncommitted one>", "c"]
    );
    let request = pb::ReadRequest {
        pending: pb::PendingView::Resolved.into(),
        selection: Some(set(&[1])),
        ..everything_of(&order)
    };
    let pages = subject.read(request).await.pages;
    let [no_op] = pages.as_slice() else {
        panic!("one page, not {pages:?}")
    };
    assert_eq!(
        (sequence_of(no_op), no_op.created_at),
        (1, Some(second(1_234)))
    );
}

pub async fn a_commit_makes_every_participant_visible_at_once(subject: Subject) {
    let (order, stock) = (cover("order", 1), cover("stock", 1));
    subject.add(&order, &["a"]).await;
    subject
        .append(pending("one", &[(&order, &["b"]), (&stock, &["s", "t"])]))
        .await;
    subject.append(pending("two", &[(&order, &["x"])])).await;
    subject.append(pending("one", &[(&order, &["c"])])).await;

    let answer = commit(&subject, "one").await;
    assert_eq!(
        keyed(&answer),
        [
            ("order".to_owned(), vec![1, 3]),
            ("stock".to_owned(), vec![0, 1])
        ]
    );
    assert_eq!(
        subject.resolved(&order, None).await,
        ["a", "b", "<uncommitted two>", "c", "<framework_event>"]
    );
    assert_eq!(
        subject.resolved(&stock, None).await,
        ["s", "t", "<framework_event>"]
    );
    // Both confirmations are one commit: the raw log has them side by side, at its end.
    let records = subject.records(after(0)).await;
    let confirmations: Vec<_> = records
        .iter()
        .rev()
        .take(2)
        .map(|of| of.page.clone())
        .collect();
    let confirmation = "[angzarr_client.proto.angzarr.v1.Confirmation]";
    assert_eq!(texts(&confirmations), [confirmation; 2]);
    assert!(confirmations.iter().all(|page| !page.no_commit));
}

pub async fn a_rollback_voids_every_participant_at_once(subject: Subject) {
    let (order, stock) = (cover("order", 1), on("what-if", &cover("stock", 1)));
    subject
        .append(pending("one", &[(&order, &["a"]), (&stock, &["s"])]))
        .await;
    let request = pb::RollbackCascadeRequest {
        cascade_id: "one".to_owned(),
        reason: "no stock".to_owned(),
    };
    let answer = subject
        .store
        .rollback_cascade(request)
        .await
        .expect("rollback");
    assert_eq!(
        keyed(&answer),
        [("order".to_owned(), vec![0]), ("stock".to_owned(), vec![0])]
    );
    for each in [&order, &stock] {
        for reader in [None, Some("one")] {
            let seen = subject.resolved(each, reader).await;
            assert_eq!(seen.len(), 2, "{seen:?}");
            assert!(
                seen.first()
                    .is_some_and(|text| text.starts_with("<revoked")),
                "{seen:?}"
            );
        }
        // The numbers of revoked events are not given again.
        assert_eq!(subject.add(each, &["next"]).await.first_sequence, Some(2));
    }
    let revocation = subject
        .book(&order)
        .await
        .pages
        .get(1)
        .cloned()
        .expect("a revocation");
    let Some(angzarr_proto::v1::event_page::Payload::Event(any)) = revocation.payload else {
        panic!("an event")
    };
    let revocation = Revocation::decode(any.value.as_slice()).expect("a revocation");
    assert_eq!(revocation.sequences, [0]);
    assert_eq!(
        (revocation.cascade_id.as_str(), revocation.reason.as_str()),
        ("one", "no stock")
    );
}

pub async fn framework_events_take_a_sequence_and_are_hidden(subject: Subject) {
    let order = cover("order", 1);
    let mut pages = vec![page("a")];
    for dialect in Dialect::ALL {
        pages.push(event(&dialect.qualify("Compensate"), b""));
    }
    pages.push(event("shop.Compensate", b""));
    subject
        .append(one(pb::AggregateAppend {
            pages,
            ..write(&order, &[])
        }))
        .await;
    let hidden = "<framework_event>";
    assert_eq!(
        subject.resolved(&order, None).await,
        ["a", hidden, hidden, hidden, "[shop.Compensate]"]
    );
    assert_eq!(subject.next_sequence(&order).await, 5);
}

pub async fn a_revocation_voids_committed_and_confirmed_events(subject: Subject) {
    let order = cover("order", 1);
    subject
        .append(pending("one", &[(&order, &["confirmed"])]))
        .await;
    commit(&subject, "one").await;
    subject.add(&order, &["committed", "kept"]).await;
    revoke(&subject, &order, &[0, 2]).await;
    let seen = subject.resolved(&order, Some("one")).await;
    let revoked = |index: usize| {
        seen.get(index)
            .is_some_and(|text| text.starts_with("<revoked"))
    };
    assert!(revoked(0) && revoked(2), "{seen:?}");
    assert_eq!(seen.get(3).map(String::as_str), Some("kept"));
}

/// What a page shows depends on later pages, also when the selection does not hold those.
pub async fn a_later_revocation_reaches_back_into_any_selection(subject: Subject) {
    let order = cover("order", 1);
    subject.add(&order, &["a", "b", "c"]).await;
    revoke(&subject, &order, &[1]).await;
    subject.append(pending("one", &[(&order, &["d"])])).await;
    commit(&subject, "one").await;
    for (selection, expected) in [
        (range(0, Some(2)), vec!["a", "<revoked>", "c"]),
        (set(&[1, 4]), vec!["<revoked>", "d"]),
    ] {
        let request = pb::ReadRequest {
            pending: pb::PendingView::Resolved.into(),
            selection: Some(selection),
            ..everything_of(&order)
        };
        let seen = texts(&subject.read(request.clone()).await.pages);
        let seen: Vec<_> = seen
            .iter()
            .map(|text| {
                if text.starts_with("<revoked") {
                    "<revoked>"
                } else {
                    text
                }
            })
            .collect();
        assert_eq!(seen, expected, "{request:?}");
    }
    let backwards = pb::ReadRequest {
        pending: pb::PendingView::Resolved.into(),
        direction: pb::Direction::Backwards.into(),
        selection: Some(Selection::AsOfSequence(4)),
        ..everything_of(&order)
    };
    assert_eq!(subject.read(backwards).await.pages.len(), 5);
}

pub async fn settling_what_is_settled_stores_nothing(subject: Subject) {
    let order = cover("order", 1);
    subject.append(pending("one", &[(&order, &["a"])])).await;
    commit(&subject, "one").await;
    let position = subject.position().await;
    for cascade in ["one", "never-heard-of"] {
        let commit = pb::CommitCascadeRequest {
            cascade_id: cascade.to_owned(),
        };
        let rollback = pb::RollbackCascadeRequest {
            cascade_id: cascade.to_owned(),
            ..Default::default()
        };
        // An error or an empty answer, but no second settlement.
        for outcome in [
            subject.store.commit_cascade(commit).await,
            subject.store.rollback_cascade(rollback).await,
        ] {
            assert!(
                outcome.unwrap_or_default().participants.is_empty(),
                "{cascade}"
            );
        }
    }
    assert_eq!(subject.position().await, position);
    assert_eq!(
        subject.resolved(&order, None).await,
        ["a", "<framework_event>"]
    );
}

pub async fn participants_are_listed_until_they_are_settled(subject: Subject) {
    let (order, stock) = (cover("order", 1), cover("stock", 1));
    let listed = async || {
        let request = pb::ListParticipantsRequest {
            cascade_id: "one".to_owned(),
        };
        let answer = subject
            .store
            .list_participants(request)
            .await
            .expect("participants");
        let settled = pb::SettleCascadeResponse {
            participants: answer.participants,
        };
        keyed(&settled)
    };
    assert_eq!(listed().await, []);
    subject
        .append(pending("one", &[(&stock, &["s"]), (&order, &["a", "b"])]))
        .await;
    subject.append(pending("two", &[(&order, &["x"])])).await;
    assert_eq!(
        listed().await,
        [
            ("order".to_owned(), vec![0, 1]),
            ("stock".to_owned(), vec![0])
        ]
    );
    commit(&subject, "one").await;
    assert_eq!(listed().await, []);
}

pub async fn stale_cascades_come_oldest_first(subject: Subject) {
    for (number, cascade) in [(1, "zebra"), (2, "ape"), (3, "mole")] {
        subject
            .append(pending(cascade, &[(&cover("order", number), &["x"])]))
            .await;
    }
    subject
        .append(pending("zebra", &[(&cover("order", 4), &["y"])]))
        .await;
    let stale = async |seconds| {
        let older_than = Some(prost_types::Duration { seconds, nanos: 0 });
        let mut request = pb::ListStaleCascadesRequest {
            older_than,
            page_size: 2,
            ..Default::default()
        };
        let mut found = Vec::new();
        loop {
            let answer = subject
                .store
                .list_stale_cascades(request.clone())
                .await
                .expect("stale");
            assert!(answer.cascades.len() <= 2, "{answer:?}");
            assert!(
                answer
                    .cascades
                    .iter()
                    .all(|cascade| cascade.pending_since.is_some())
            );
            found.extend(
                answer
                    .cascades
                    .into_iter()
                    .map(|cascade| cascade.cascade_id),
            );
            if answer.next_page_token.is_empty() {
                return found;
            }
            request.page_token = answer.next_page_token;
        }
    };
    assert_eq!(stale(0).await, ["zebra", "ape", "mole"]);
    assert_eq!(stale(3_600).await, [] as [String; 0]);
    commit(&subject, "ape").await;
    assert_eq!(stale(0).await, ["zebra", "mole"]);
}

fn pending(cascade: &str, writes: &[(&Cover, &[&str])]) -> pb::AppendRequest {
    pb::AppendRequest {
        writes: writes
            .iter()
            .map(|(cover, texts)| write(cover, texts))
            .collect(),
        cascade_id: Some(cascade.to_owned()),
        ..Default::default()
    }
}

async fn commit(subject: &Subject, cascade: &str) -> pb::SettleCascadeResponse {
    let request = pb::CommitCascadeRequest {
        cascade_id: cascade.to_owned(),
    };
    subject.store.commit_cascade(request).await.expect("commit")
}

async fn revoke(subject: &Subject, order: &Cover, sequences: &[u32]) {
    let revocation = Revocation {
        target: Some(order.clone()),
        sequences: sequences.to_vec(),
        ..Default::default()
    };
    let pages = vec![event(
        &Dialect::V1.qualify("Revocation"),
        &revocation.encode_to_vec(),
    )];
    subject
        .append(one(pb::AggregateAppend {
            pages,
            ..write(order, &[])
        }))
        .await;
}

/// Domains and sequences of the participants, in domain order.
fn keyed(answer: &pb::SettleCascadeResponse) -> Vec<(String, Vec<u32>)> {
    let mut keyed: Vec<_> = answer
        .participants
        .iter()
        .map(|of| {
            let domain = of.cover.as_ref().map(|cover| cover.domain.clone());
            (domain.unwrap_or_default(), of.sequences.clone())
        })
        .collect();
    keyed.sort();
    keyed
}
