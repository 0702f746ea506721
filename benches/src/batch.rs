//! Appends of several events each.

use std::sync::Arc;

use angzarr_proto::store::v1::event_store_client::EventStoreClient;
use angzarr_server::bench::grpc;
use angzarr_server::bench::load::{AppendError, Writer};
use angzarr_server::bench::workload::Workload;
use tonic::transport::Channel;

/// A client whose appends hold `pages` events each, to aggregates that had `held` before. What
/// the closed loop counts as the sequence of an aggregate is its number of such appends.
#[derive(Debug, Clone)]
pub struct Batch {
    client: EventStoreClient<Channel>,
    workload: Arc<Workload>,
    held: u32,
    pages: u32,
}

impl Batch {
    /// One writer for each client, spread over the connections.
    #[must_use]
    pub fn writers(
        channels: &[Channel],
        clients: u32,
        workload: &Arc<Workload>,
        held: u32,
        pages: u32,
    ) -> Vec<Self> {
        let clients = channels.iter().cycle().take(clients as usize);
        clients
            .map(|channel| Self {
                client: grpc::store(channel),
                workload: Arc::clone(workload),
                held,
                pages,
            })
            .collect()
    }
}

impl Writer for Batch {
    async fn append(&mut self, aggregate: u32, sequence: u32) -> Result<(), AppendError> {
        let first = self.held + sequence * self.pages;
        let request = grpc::request(&self.workload, aggregate, first, first + self.pages);
        match self.client.append(request).await {
            Ok(_) => Ok(()),
            Err(status) => Err(grpc::append_error(status.code(), status.message())),
        }
    }
}
