use std::sync::Arc;

use angzarr_proto::v1::saga_coordinator_service_server::{
    SagaCoordinatorService, SagaCoordinatorServiceServer,
};
use angzarr_proto::v1::{SagaHandleRequest, SagaResponse, SpeculateSagaRequest};
use tonic::{Request, Response, Status};

use super::dialect_of;
use crate::coordinator::Coordinator;
use crate::handler::{book_for_caller, trace};
use crate::status;

/// Sagas over gRPC.
pub struct SagaService {
    coordinator: Arc<Coordinator>,
}

impl SagaService {
    /// The service of a coordinator, for requests of at most `message_bytes_max` bytes.
    #[must_use]
    pub fn server(
        coordinator: Arc<Coordinator>,
        message_bytes_max: usize,
    ) -> SagaCoordinatorServiceServer<Self> {
        SagaCoordinatorServiceServer::new(Self { coordinator })
            .max_decoding_message_size(message_bytes_max)
    }
}

#[tonic::async_trait]
impl SagaCoordinatorService for SagaService {
    async fn execute(
        &self,
        request: Request<SagaHandleRequest>,
    ) -> Result<Response<SagaResponse>, Status> {
        let dialect = dialect_of(&request);
        let (metadata, _, message) = request.into_parts();
        let work = self.coordinator.execute_sagas(message);
        let answer = trace::continued(&metadata, work).await;
        let mut answer = answer.map_err(|error| status::of(error, dialect))?;
        for book in &mut answer.events {
            book_for_caller(book, dialect);
        }
        Ok(Response::new(answer))
    }

    async fn execute_speculative(
        &self,
        request: Request<SpeculateSagaRequest>,
    ) -> Result<Response<SagaResponse>, Status> {
        let dialect = dialect_of(&request);
        let (metadata, _, message) = request.into_parts();
        let work = self.coordinator.speculate_sagas(message);
        let answer = trace::continued(&metadata, work).await;
        let mut answer = answer.map_err(|error| status::of(error, dialect))?;
        for book in &mut answer.events {
            book_for_caller(book, dialect);
        }
        Ok(Response::new(answer))
    }
}
