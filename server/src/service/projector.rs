use std::sync::Arc;

use angzarr_proto::v1::projector_coordinator_service_server::{
    ProjectorCoordinatorService, ProjectorCoordinatorServiceServer,
};
use angzarr_proto::v1::{EventBook, EventRequest, Projection, SpeculateProjectorRequest};
use tonic::{Request, Response, Status};

use super::dialect_of;
use crate::coordinator::Coordinator;
use crate::handler::trace;
use crate::status;

/// Projectors over gRPC.
pub struct ProjectorService {
    coordinator: Arc<Coordinator>,
}

impl ProjectorService {
    /// The service of a coordinator, for requests of at most `message_bytes_max` bytes.
    #[must_use]
    pub fn server(
        coordinator: Arc<Coordinator>,
        message_bytes_max: usize,
    ) -> ProjectorCoordinatorServiceServer<Self> {
        ProjectorCoordinatorServiceServer::new(Self { coordinator })
            .max_decoding_message_size(message_bytes_max)
    }
}

#[tonic::async_trait]
impl ProjectorCoordinatorService for ProjectorService {
    async fn handle_sync(
        &self,
        request: Request<EventRequest>,
    ) -> Result<Response<Projection>, Status> {
        let dialect = dialect_of(&request);
        let (metadata, _, message) = request.into_parts();
        let work = self.coordinator.execute_projectors(message.events);
        let answer = trace::continued(&metadata, work).await;
        answer
            .map(Response::new)
            .map_err(|error| status::of(error, dialect))
    }

    async fn handle(&self, request: Request<EventBook>) -> Result<Response<()>, Status> {
        let dialect = dialect_of(&request);
        let (metadata, _, message) = request.into_parts();
        let work = self.coordinator.execute_projectors(Some(message));
        let answer = trace::continued(&metadata, work).await;
        answer
            .map(|_| Response::new(()))
            .map_err(|error| status::of(error, dialect))
    }

    async fn handle_speculative(
        &self,
        request: Request<SpeculateProjectorRequest>,
    ) -> Result<Response<Projection>, Status> {
        let dialect = dialect_of(&request);
        let (metadata, _, message) = request.into_parts();
        let work = self.coordinator.speculate_projectors(message.events);
        let answer = trace::continued(&metadata, work).await;
        answer
            .map(Response::new)
            .map_err(|error| status::of(error, dialect))
    }
}
