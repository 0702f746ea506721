//! Business code for the tests: every command but `Fail` becomes an event of the same bytes.

use std::sync::{Arc, Mutex};

use angzarr_proto::v1::command_handler_service_server::{
    CommandHandlerService, CommandHandlerServiceServer,
};
use angzarr_proto::v1::{
    BusinessResponse, ContextualCommand, EventBook, EventPage, FactRequest, ReplayRequest,
    ReplayResponse, business_response, command_page, event_page,
};
use prost_types::Any;
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

/// Remembers what it was called with.
#[derive(Clone, Default)]
pub(crate) struct Counter {
    pub(crate) calls: Arc<Mutex<Vec<(ContextualCommand, tonic::metadata::MetadataMap)>>>,
}

impl Counter {
    /// Serves on a free port and gives its address.
    pub(crate) async fn serve(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let router = Server::builder().add_service(CommandHandlerServiceServer::new(self.clone()));
        tokio::spawn(router.serve_with_incoming(TcpIncoming::from(listener)));
        address
    }
}

#[tonic::async_trait]
impl CommandHandlerService for Counter {
    async fn handle(
        &self,
        request: Request<ContextualCommand>,
    ) -> Result<Response<BusinessResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let page = request.command.as_ref().unwrap().pages[0].clone();
        self.calls.lock().unwrap().push((request, metadata));
        let Some(command_page::Payload::Command(command)) = page.payload else {
            panic!("a command without its payload");
        };
        let name = command.type_url.rsplit('.').next().unwrap();
        if name == "Fail" {
            return Err(Status::failed_precondition("the counter is sealed"));
        }
        let event = Any {
            type_url: format!("type.googleapis.com/counter.{name}ed"),
            value: command.value,
        };
        let events = EventBook {
            pages: vec![EventPage {
                payload: Some(event_page::Payload::Event(event)),
                ..EventPage::default()
            }],
            ..EventBook::default()
        };
        Ok(Response::new(BusinessResponse {
            result: Some(business_response::Result::Events(events)),
        }))
    }

    async fn handle_fact(&self, _: Request<FactRequest>) -> Result<Response<EventBook>, Status> {
        Err(Status::unimplemented("no facts"))
    }

    async fn replay(&self, _: Request<ReplayRequest>) -> Result<Response<ReplayResponse>, Status> {
        Err(Status::unimplemented("no replay"))
    }
}
