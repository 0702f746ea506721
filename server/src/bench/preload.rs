use tonic::transport::Channel;

use super::Error;
use super::grpc;
use super::workload::Workload;

/// Events of one append: the most the store takes in one book.
const PAGES_PER_APPEND: u32 = 100;

/// Writes the workload's first `events` events of each aggregate, with no one else writing.
///
/// # Errors
/// When an append is not acknowledged.
pub async fn preload(channel: &Channel, workload: &Workload, events: u32) -> Result<(), Error> {
    let mut client = grpc::store(channel);
    for aggregate in 0..workload.aggregates {
        for first in (0..events).step_by(PAGES_PER_APPEND as usize) {
            let end = first.saturating_add(PAGES_PER_APPEND).min(events);
            let request = grpc::request(workload, aggregate, first, end);
            let answer = client.append(request).await;
            answer.map_err(|status| Error::call("EventStore.Append", &status))?;
        }
    }
    Ok(())
}
