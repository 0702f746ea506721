//! A server filled through gRPC, with no one else writing.

use std::error::Error;
use std::sync::Arc;

use angzarr_proto::store::v1 as pb;
use angzarr_server::bench::grpc;
use angzarr_server::bench::workload::Workload;
use tonic::transport::Channel;

/// How a store is filled.
#[derive(Debug, Clone, Copy)]
pub struct Fill {
    /// Sequence of the first event of each aggregate.
    pub first: u32,
    /// Events of each aggregate. With `together` they are the pages of one append, of which the
    /// server takes 100.
    pub events: u32,
    /// Aggregates written by one append.
    pub together: u32,
    /// Appends under way at once.
    pub clients: u32,
}

impl Fill {
    /// Writes events of each of the workload's aggregates.
    ///
    /// # Errors
    /// When an append is refused or fails.
    pub async fn run(
        self,
        channel: &Channel,
        workload: &Arc<Workload>,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let clients: Vec<_> = (0..self.clients)
            .map(|client| tokio::spawn(self.part(channel.clone(), Arc::clone(workload), client)))
            .collect();
        for client in clients {
            client.await??;
        }
        Ok(())
    }

    /// Every so many batches of aggregates as there are clients.
    async fn part(
        self,
        channel: Channel,
        workload: Arc<Workload>,
        client: u32,
    ) -> Result<(), tonic::Status> {
        let mut store = grpc::store(&channel);
        let stride = (self.together * self.clients) as usize;
        for first in (client * self.together..workload.aggregates).step_by(stride) {
            let end = workload.aggregates.min(first.saturating_add(self.together));
            let writes = (first..end).flat_map(|aggregate| {
                let until = self.first + self.events;
                grpc::request(&workload, aggregate, self.first, until).writes
            });
            let request = pb::AppendRequest {
                writes: writes.collect(),
                ..Default::default()
            };
            store.append(request).await?;
        }
        Ok(())
    }
}
