//! Checks after the measured time: a fast store that loses or accepts what it must not is no
//! result at all.

use angzarr_proto::store::v1 as pb;
use angzarr_proto::v1::{EventPage, event_page, page_header};
use prost::Message;
use tonic::transport::Channel;

use super::Error;
use super::grpc::{self, EVENT_TYPE};
use super::workload::{Heads, Workload};

/// Appends once more with a sequence that is taken, which must be refused.
///
/// Returns false when there is no aggregate with an event to try it on.
///
/// # Errors
/// [`Error::Wrong`] when the store accepts it or refuses it for another reason.
pub async fn stale_append_is_refused(
    channel: &Channel,
    workload: &Workload,
    heads: &Heads,
) -> Result<bool, Error> {
    let known = |aggregate: &u32| heads.next(*aggregate).is_some_and(|next| next > 0);
    let Some(aggregate) = (0..workload.aggregates).find(known) else {
        return Ok(false);
    };
    match grpc::store(channel)
        .append(grpc::request(workload, aggregate, 0, 1))
        .await
    {
        Ok(_) => Err(Error::Wrong(
            "it accepted an append at a sequence that is taken".to_owned(),
        )),
        Err(status) if status.message().starts_with("Sequence mismatch:") => Ok(true),
        Err(status) => Err(Error::Wrong(format!(
            "it refused a stale append with: {status}"
        ))),
    }
}

/// Reads up to `sample` aggregates back, spread over all, and compares every event.
///
/// Returns how many aggregates and events were compared.
///
/// # Errors
/// [`Error::Wrong`] when an event is missing, changed, or was never appended.
pub async fn read_back(
    channel: &Channel,
    workload: &Workload,
    heads: &Heads,
    sample: u32,
) -> Result<(u32, u64), Error> {
    let step = workload.aggregates.div_ceil(sample.max(1));
    let (mut aggregates, mut events) = (0, 0);
    for aggregate in (0..workload.aggregates).step_by(step.max(1) as usize) {
        let Some(next) = heads.next(aggregate) else {
            continue;
        };
        read_one_back(channel, workload, aggregate, next).await?;
        aggregates += 1;
        events += u64::from(next);
    }
    Ok((aggregates, events))
}

async fn read_one_back(
    channel: &Channel,
    workload: &Workload,
    aggregate: u32,
    next: u32,
) -> Result<(), Error> {
    let request = pb::ReadRequest {
        cover: Some(grpc::cover(workload, aggregate)),
        ..Default::default()
    };
    let failed = |status| Error::call("EventStore.Read", &status);
    let mut chunks = grpc::store(channel)
        .read(request)
        .await
        .map_err(failed)?
        .into_inner();
    let mut sequence = 0;
    while let Some(chunk) = chunks.message().await.map_err(failed)? {
        for page in chunk.pages {
            check_page(&page, sequence, &workload.payload(aggregate, sequence))?;
            sequence += 1;
        }
    }
    if sequence == next {
        return Ok(());
    }
    Err(Error::Wrong(format!(
        "it acknowledged {next} events of an aggregate and returned {sequence}"
    )))
}

/// Checks that an encoded page has this sequence and this payload.
pub(crate) fn check_page(encoded: &[u8], sequence: u32, payload: &[u8]) -> Result<(), Error> {
    let page = EventPage::decode(encoded)
        .map_err(|error| Error::Wrong(format!("event {sequence} does not decode: {error}")))?;
    let stored = page.header.and_then(|header| header.sequence_type);
    if stored != Some(page_header::SequenceType::Sequence(sequence)) {
        return Err(Error::Wrong(format!(
            "event {sequence} came back as {stored:?}"
        )));
    }
    match page.payload {
        Some(event_page::Payload::Event(event))
            if event.type_url == EVENT_TYPE && event.value == payload =>
        {
            Ok(())
        }
        _ => Err(Error::Wrong(format!(
            "event {sequence} came back with other bytes"
        ))),
    }
}
