//! The business code as a gRPC service, on a free port of this machine.

use angzarr_proto::v1::{
    BusinessResponse, ContextualCommand, EventBook, EventPage, FactRequest, ReplayRequest,
    ReplayResponse, command_handler_service_server as service, command_page, event_page,
};
use prost_types::Any;
use tokio::net::TcpListener;
use tonic::{Request, Response, Status, transport::server::TcpIncoming};

use super::{Trouble, aggregates::Decide};
use crate::handler::one_event;

/// A running command handler; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Handler {
    /// Where it listens.
    pub(super) address: String,
    serving: tokio::task::JoinHandle<()>,
}

impl Handler {
    pub(super) async fn start(decide: Decide) -> Result<Self, Trouble> {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .map_err(Trouble::io("bind"))?;
        let address = listener.local_addr().map_err(Trouble::io("bind"))?;
        let service = service::CommandHandlerServiceServer::new(Business { decide });
        let serving = tokio::spawn(async move {
            let router = tonic::transport::Server::builder().add_service(service);
            if let Err(error) = router
                .serve_with_incoming(TcpIncoming::from(listener))
                .await
            {
                tracing::error!(%error, "a command handler of the demo ended");
            }
        });
        Ok(Self {
            address: format!("http://{address}"),
            serving,
        })
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

#[derive(Debug)]
struct Business {
    decide: Decide,
}

#[tonic::async_trait]
impl service::CommandHandlerService for Business {
    async fn handle(
        &self,
        request: Request<ContextualCommand>,
    ) -> Result<Response<BusinessResponse>, Status> {
        let ContextualCommand { events, command } = request.into_inner();
        let history = history(events.as_ref());
        let page = command.and_then(|book| book.pages.into_iter().next());
        let Some(command_page::Payload::Command(command)) = page.and_then(|page| page.payload)
        else {
            return Err(Status::invalid_argument("the command has no page"));
        };
        let event = (self.decide)(&history, &command).map_err(Status::failed_precondition)?;
        Ok(Response::new(one_event(event)))
    }

    async fn handle_fact(&self, _: Request<FactRequest>) -> Result<Response<EventBook>, Status> {
        Err(Status::unimplemented("the shop takes no facts"))
    }

    async fn replay(&self, _: Request<ReplayRequest>) -> Result<Response<ReplayResponse>, Status> {
        Err(Status::unimplemented("the shop shows its state to nobody"))
    }
}

/// The events of a book, oldest first.
pub(super) fn history(book: Option<&EventBook>) -> Vec<Any> {
    let pages = book.map(|book| book.pages.as_slice()).unwrap_or_default();
    let event = |page: &EventPage| match &page.payload {
        Some(event_page::Payload::Event(any)) => Some(any.clone()),
        _ => None,
    };
    pages.iter().filter_map(event).collect()
}
