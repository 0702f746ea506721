use std::sync::Arc;

use angzarr_proto::Dialect;
use angzarr_proto::v1::command_handler_coordinator_service_server::{
    CommandHandlerCoordinatorService, CommandHandlerCoordinatorServiceServer,
};
use angzarr_proto::v1::{
    BusinessResponse, CommandRequest, CommandResponse, EventBook, EventRequest,
    FactInjectionResponse, SpeculateCommandHandlerRequest, business_response,
};
use tonic::{Request, Response, Status};

use super::dialect_of;
use crate::coordinator::Coordinator;
use crate::handler::{book_for_caller, notification_for_caller, trace};
use crate::status;
use crate::telemetry::describe;

/// Commands and facts over gRPC.
pub struct CommandService {
    coordinator: Arc<Coordinator>,
}

impl CommandService {
    /// The service of a coordinator, for requests of at most `message_bytes_max` bytes.
    #[must_use]
    pub fn server(
        coordinator: Arc<Coordinator>,
        message_bytes_max: usize,
    ) -> CommandHandlerCoordinatorServiceServer<Self> {
        CommandHandlerCoordinatorServiceServer::new(Self { coordinator })
            .max_decoding_message_size(message_bytes_max)
    }
}

#[tonic::async_trait]
impl CommandHandlerCoordinatorService for CommandService {
    async fn handle_command(
        &self,
        request: Request<CommandRequest>,
    ) -> Result<Response<CommandResponse>, Status> {
        let dialect = dialect_of(&request);
        let (metadata, _, message) = request.into_parts();
        describe(
            message
                .command
                .as_ref()
                .and_then(|book| book.cover.as_ref()),
        );
        let work = self.coordinator.handle_command(message);
        let answer = trace::continued(&metadata, work).await;
        let mut answer = answer.map_err(|error| status::of(error, dialect))?;
        translate(answer.events.as_mut(), dialect);
        Ok(Response::new(answer))
    }

    async fn handle_event(
        &self,
        request: Request<EventRequest>,
    ) -> Result<Response<FactInjectionResponse>, Status> {
        let dialect = dialect_of(&request);
        let (metadata, _, message) = request.into_parts();
        describe(message.events.as_ref().and_then(|book| book.cover.as_ref()));
        let work = self.coordinator.handle_event(message);
        let answer = trace::continued(&metadata, work).await;
        let mut answer = answer.map_err(|error| status::of(error, dialect))?;
        translate(answer.events.as_mut(), dialect);
        Ok(Response::new(answer))
    }

    async fn handle_sync_speculative(
        &self,
        request: Request<SpeculateCommandHandlerRequest>,
    ) -> Result<Response<CommandResponse>, Status> {
        let dialect = dialect_of(&request);
        let (metadata, _, message) = request.into_parts();
        describe(
            message
                .command
                .as_ref()
                .and_then(|book| book.cover.as_ref()),
        );
        let work = self.coordinator.speculate(message);
        let answer = trace::continued(&metadata, work).await;
        let mut answer = answer.map_err(|error| status::of(error, dialect))?;
        translate(answer.events.as_mut(), dialect);
        Ok(Response::new(answer))
    }

    async fn handle_compensation(
        &self,
        request: Request<CommandRequest>,
    ) -> Result<Response<BusinessResponse>, Status> {
        let dialect = dialect_of(&request);
        let (metadata, _, message) = request.into_parts();
        describe(
            message
                .command
                .as_ref()
                .and_then(|book| book.cover.as_ref()),
        );
        let work = self.coordinator.handle_compensation(message);
        let answer = trace::continued(&metadata, work).await;
        let mut answer = answer.map_err(|error| status::of(error, dialect))?;
        match &mut answer.result {
            Some(business_response::Result::Events(book)) => book_for_caller(book, dialect),
            Some(business_response::Result::Notification(notification)) => {
                notification_for_caller(notification, dialect);
            }
            Some(business_response::Result::Revocation(_)) | None => {}
        }
        Ok(Response::new(answer))
    }
}

fn translate(book: Option<&mut EventBook>, dialect: Dialect) {
    if let Some(book) = book {
        book_for_caller(book, dialect);
    }
}
