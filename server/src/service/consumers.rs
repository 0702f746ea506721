use std::sync::Arc;

use angzarr_adapters::EventStore;
use angzarr_proto::admin::v1::consumer_admin_server::{ConsumerAdmin, ConsumerAdminServer};
use angzarr_proto::admin::v1::{
    Consumer, ListConsumersRequest, ListConsumersResponse, PauseConsumerRequest,
    PauseConsumerResponse, RebuildConsumerRequest, RebuildConsumerResponse, ResumeConsumerRequest,
    ResumeConsumerResponse,
};
use angzarr_proto::store::v1::StatsRequest;
use tonic::{Request, Response, Status};

use crate::coordinator::{Consumers, SteerError};

/// Consumers over gRPC.
pub struct ConsumerService {
    consumers: Consumers,
    store: Arc<dyn EventStore>,
}

impl ConsumerService {
    /// The service of `consumers` that follow `store`, for requests of at most
    /// `message_bytes_max` bytes.
    #[must_use]
    pub fn server(
        consumers: Consumers,
        store: Arc<dyn EventStore>,
        message_bytes_max: usize,
    ) -> ConsumerAdminServer<Self> {
        ConsumerAdminServer::new(Self { consumers, store })
            .max_decoding_message_size(message_bytes_max)
    }

    async fn head(&self) -> Result<u64, Status> {
        Ok(self.store.stats(StatsRequest {}).await?.position)
    }

    fn consumer(&self, name: String, head: u64) -> Consumer {
        let progress = self.consumers.progress(&name).unwrap_or_default();
        Consumer {
            name,
            done: progress.done,
            // The consumer may have got further since the store was asked.
            head: head.max(progress.done),
            lag: head.saturating_sub(progress.done),
            held: u32::try_from(progress.held).unwrap_or(u32::MAX),
            paused: progress.paused,
            caught_up: progress.caught_up,
            rebuilds: progress.generation,
            error: progress.error,
        }
    }

    async fn steered(
        &self,
        name: String,
        steered: Result<(), SteerError>,
    ) -> Result<Option<Consumer>, Status> {
        steered.map_err(|error| match error {
            SteerError::Unknown { .. } => Status::not_found(error.to_string()),
            _ => Status::unavailable(error.to_string()),
        })?;
        Ok(Some(self.consumer(name, self.head().await?)))
    }
}

#[tonic::async_trait]
impl ConsumerAdmin for ConsumerService {
    async fn list_consumers(
        &self,
        _: Request<ListConsumersRequest>,
    ) -> Result<Response<ListConsumersResponse>, Status> {
        let head = self.head().await?;
        let names = self.consumers.names().into_iter();
        let consumers = names.map(|name| self.consumer(name, head)).collect();
        Ok(Response::new(ListConsumersResponse { consumers }))
    }

    async fn pause_consumer(
        &self,
        request: Request<PauseConsumerRequest>,
    ) -> Result<Response<PauseConsumerResponse>, Status> {
        let name = request.into_inner().name;
        let paused = self.consumers.pause(&name).await;
        let consumer = self.steered(name, paused).await?;
        Ok(Response::new(PauseConsumerResponse { consumer }))
    }

    async fn resume_consumer(
        &self,
        request: Request<ResumeConsumerRequest>,
    ) -> Result<Response<ResumeConsumerResponse>, Status> {
        let name = request.into_inner().name;
        let resumed = self.consumers.resume(&name).await;
        let consumer = self.steered(name, resumed).await?;
        Ok(Response::new(ResumeConsumerResponse { consumer }))
    }

    async fn rebuild_consumer(
        &self,
        request: Request<RebuildConsumerRequest>,
    ) -> Result<Response<RebuildConsumerResponse>, Status> {
        let name = request.into_inner().name;
        let reset = self.consumers.reset(&name).await;
        let consumer = self.steered(name, reset).await?;
        Ok(Response::new(RebuildConsumerResponse { consumer }))
    }
}
