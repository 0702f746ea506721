use angzarr_proto::store::v1 as pb;
use futures::StreamExt;
use futures::future::join_all;

use super::everything::filtered;
use super::subject::{Subject, after, cover, one, take, write};

/// Subscribers that start at any moment of a writer's work see all of it, once and in order.
pub async fn a_subscription_has_no_seam(subject: Subject) {
    const WRITES: usize = 200;
    let writer = {
        let store = subject.store.clone();
        tokio::spawn(async move {
            for number in 0..WRITES {
                let root = u8::try_from(number % 7).expect("below 7");
                let request = one(write(&cover("order", root), &["x", "y", "z"]));
                store.append(request).await.expect("append");
            }
        })
    };
    let subscribers = (0..4).map(|_| {
        let subject = subject.clone();
        tokio::spawn(async move {
            tokio::task::yield_now().await;
            let mut stream = subject.store.subscribe(after(0)).await.expect("subscribe");
            take(&mut stream, 3 * WRITES).await
        })
    });
    let seen = join_all(subscribers).await;
    writer.await.expect("the writer is done");
    let expected = subject.records(after(0)).await;
    assert_eq!(expected.len(), 3 * WRITES);
    for records in seen {
        assert_eq!(records.expect("no panic"), expected);
    }
}

pub async fn a_subscription_from_the_end_sees_only_what_is_new(subject: Subject) {
    let order = cover("order", 1);
    subject.add(&order, &["old"]).await;
    let end = subject.position().await;
    let mut stream = subject
        .store
        .subscribe(after(end))
        .await
        .expect("subscribe");
    subject.add(&order, &["new", "newer"]).await;
    let records = take(&mut stream, 2).await;
    assert_eq!(records, subject.records(after(end)).await);
}

pub async fn a_slow_subscriber_misses_nothing(subject: Subject) {
    let order = cover("order", 1);
    let mut stream = subject.store.subscribe(after(0)).await.expect("subscribe");
    subject.add(&order, &["first"]).await;
    let first = take(&mut stream, 1).await;
    // Far more than any buffer between here and there holds.
    let big = "x".repeat(20_000);
    for _ in 0..20 {
        subject
            .append(one(write(&order, &[big.as_str(); 100])))
            .await;
    }
    let rest = take(&mut stream, 2_000).await;
    let expected = subject.records(after(0)).await;
    assert!(first.iter().chain(&rest).eq(&expected));
}

pub async fn a_filtered_subscription_tells_its_progress(subject: Subject) {
    let filter = pb::Filter {
        domains: vec!["stock".to_owned()],
        ..Default::default()
    };
    let mut stream = subject
        .store
        .subscribe(filtered(filter))
        .await
        .expect("subscribe");
    for _ in 0..30 {
        subject.add(&cover("order", 1), &["x"; 100]).await;
    }
    let end = subject.position().await;
    // Marks may be few, but when nothing happens any more there is one that tells of all.
    loop {
        let answer = stream.next().await.expect("no end").expect("no error");
        match answer.item.expect("an item") {
            pb::read_all_response::Item::Progress(progress) => {
                assert!(progress.position <= end, "{progress:?} is beyond {end}");
                if progress.position == end {
                    break;
                }
            }
            pb::read_all_response::Item::Book(book) => panic!("not asked for: {book:?}"),
        }
    }
    subject.add(&cover("stock", 1), &["y"]).await;
    assert_eq!(take(&mut stream, 1).await.len(), 1);
}
