use std::sync::Arc;

use angzarr_proto::Dialect;
use angzarr_proto::v1::process_manager_coordinator_service_server::{
    ProcessManagerCoordinatorService, ProcessManagerCoordinatorServiceServer,
};
use angzarr_proto::v1::{
    ProcessManagerCoordinatorRequest, ProcessManagerHandleResponse, SpeculatePmRequest,
};
use tonic::{Request, Response, Status};

use super::dialect_of;
use crate::coordinator::Coordinator;
use crate::handler::{book_for_caller, notification_for_caller, trace};
use crate::status;

/// Process managers over gRPC.
pub struct ProcessManagerService {
    coordinator: Arc<Coordinator>,
}

impl ProcessManagerService {
    /// The service of a coordinator, for requests of at most `message_bytes_max` bytes.
    #[must_use]
    pub fn server(
        coordinator: Arc<Coordinator>,
        message_bytes_max: usize,
    ) -> ProcessManagerCoordinatorServiceServer<Self> {
        ProcessManagerCoordinatorServiceServer::new(Self { coordinator })
            .max_decoding_message_size(message_bytes_max)
    }
}

#[tonic::async_trait]
impl ProcessManagerCoordinatorService for ProcessManagerService {
    async fn handle(
        &self,
        request: Request<ProcessManagerCoordinatorRequest>,
    ) -> Result<Response<ProcessManagerHandleResponse>, Status> {
        let dialect = dialect_of(&request);
        let (metadata, _, message) = request.into_parts();
        let work = self.coordinator.execute_process_managers(message);
        let answer = trace::continued(&metadata, work).await;
        let answer = answer.map_err(|error| status::of(error, dialect))?;
        Ok(Response::new(for_caller(answer, dialect)))
    }

    async fn handle_speculative(
        &self,
        request: Request<SpeculatePmRequest>,
    ) -> Result<Response<ProcessManagerHandleResponse>, Status> {
        let dialect = dialect_of(&request);
        let (metadata, _, message) = request.into_parts();
        let work = self.coordinator.speculate_process_managers(message);
        let answer = trace::continued(&metadata, work).await;
        let answer = answer.map_err(|error| status::of(error, dialect))?;
        Ok(Response::new(for_caller(answer, dialect)))
    }
}

fn for_caller(
    mut answer: ProcessManagerHandleResponse,
    dialect: Dialect,
) -> ProcessManagerHandleResponse {
    for book in answer.process_events.iter_mut().chain(&mut answer.facts) {
        book_for_caller(book, dialect);
    }
    if let Some(notification) = &mut answer.notification {
        notification_for_caller(notification, dialect);
    }
    answer
}
