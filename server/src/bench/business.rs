//! Business code that does next to nothing, so that what is around it is measured.

use std::sync::OnceLock;

use angzarr_proto::Dialect;
use angzarr_proto::v1::command_handler_coordinator_service_server as coordinator;
use angzarr_proto::v1::command_handler_service_server as handler;
use angzarr_proto::v1::projector_service_server as projector;
use angzarr_proto::v1::saga_service_server as saga;
use angzarr_proto::v1::{
    BusinessResponse, CommandBook, CommandPage, CommandRequest, CommandResponse, ContextualCommand,
    Cover, EventBook, EventPage, EventRequest, FactInjectionResponse, FactRequest, Projection,
    ReplayRequest, ReplayResponse, SagaHandleRequest, SagaResponse, SpeculateCommandHandlerRequest,
    business_response, command_page, event_page, page_header,
};
use bytes::Bytes;
use http::uri::PathAndQuery;
use prost::Message;
use prost_types::Any;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::client::Grpc;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Server};
use tonic::{Request, Response, Status};

use super::Error;
use crate::handler::{EncodedCodec, RawBook, contextual_command, one_event};

/// A gRPC server of this process; ends when dropped.
pub(super) struct Serving {
    pub(super) url: String,
    task: JoinHandle<()>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A handler, a projector and a saga at one address. The saga sends each event on to `target`.
pub(super) async fn components(target: String) -> Result<Serving, Error> {
    let router = Server::builder()
        .tcp_nodelay(true)
        .add_service(handler::CommandHandlerServiceServer::new(Echo))
        .add_service(projector::ProjectorServiceServer::new(Blind))
        .add_service(saga::SagaServiceServer::new(PassOn { target }));
    serve(router).await
}

/// The limit: a coordinator that calls the handler and answers, and stores nothing.
pub(super) async fn hops(handler: Channel) -> Result<Serving, Error> {
    let path = Dialect::V1.method_path("CommandHandlerService", "Handle");
    let hops = Hops {
        handler,
        handle: PathAndQuery::try_from(path).map_err(|error| Error::Wrong(error.to_string()))?,
        event: OnceLock::new(),
    };
    let service = coordinator::CommandHandlerCoordinatorServiceServer::new(hops);
    serve(Server::builder().tcp_nodelay(true).add_service(service)).await
}

async fn serve(router: tonic::transport::server::Router) -> Result<Serving, Error> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let task = tokio::spawn(async move {
        if let Err(error) = router.serve_with_incoming(incoming).await {
            tracing::error!(%error, "a part of the benchmark ended");
        }
    });
    Ok(Serving { url, task })
}

/// Answers a command with itself as an event.
struct Echo;

#[tonic::async_trait]
impl handler::CommandHandlerService for Echo {
    async fn handle(
        &self,
        request: Request<ContextualCommand>,
    ) -> Result<Response<BusinessResponse>, Status> {
        let book = request.into_inner().command;
        let payload = book.and_then(|book| book.pages.into_iter().next()?.payload);
        let Some(command_page::Payload::Command(command)) = payload else {
            return Err(Status::invalid_argument("the command has no page"));
        };
        Ok(Response::new(one_event(command)))
    }

    async fn handle_fact(&self, _: Request<FactRequest>) -> Result<Response<EventBook>, Status> {
        Err(none())
    }

    async fn replay(&self, _: Request<ReplayRequest>) -> Result<Response<ReplayResponse>, Status> {
        Err(none())
    }
}

/// Takes every event and shows nothing.
struct Blind;

#[tonic::async_trait]
impl projector::ProjectorService for Blind {
    async fn handle(&self, _: Request<EventBook>) -> Result<Response<Projection>, Status> {
        Ok(Response::new(Projection::default()))
    }

    async fn handle_speculative(
        &self,
        _: Request<EventBook>,
    ) -> Result<Response<Projection>, Status> {
        Err(none())
    }
}

/// Sends each event as a command to the aggregate with the same root in another domain.
struct PassOn {
    target: String,
}

#[tonic::async_trait]
impl saga::SagaService for PassOn {
    async fn handle(
        &self,
        request: Request<SagaHandleRequest>,
    ) -> Result<Response<SagaResponse>, Status> {
        let source = request.into_inner().source.unwrap_or_default();
        let root = source.cover.unwrap_or_default().root;
        let command = |event: Any| CommandBook {
            cover: Some(Cover {
                domain: self.target.clone(),
                root: root.clone(),
                ..Cover::default()
            }),
            pages: vec![CommandPage {
                payload: Some(command_page::Payload::Command(event)),
                ..CommandPage::default()
            }],
        };
        let events = source.pages.into_iter().filter_map(|page| page.payload);
        let commands = events.filter_map(|payload| match payload {
            event_page::Payload::Event(event) => Some(command(event)),
            event_page::Payload::External(_) => None,
        });
        Ok(Response::new(SagaResponse {
            commands: commands.collect(),
            ..SagaResponse::default()
        }))
    }
}

struct Hops {
    handler: Channel,
    /// The handler's method.
    handle: PathAndQuery,
    /// What stands for every earlier event of an aggregate.
    event: OnceLock<Bytes>,
}

impl Hops {
    /// As many events as the command expects: the handler gets what a coordinator would send it.
    fn prior(&self, command: &CommandBook) -> Option<RawBook> {
        let page = command.pages.first()?;
        let Some(page_header::SequenceType::Sequence(next_sequence)) =
            page.header.as_ref()?.sequence_type
        else {
            return None;
        };
        let command_page::Payload::Command(payload) = page.payload.as_ref()? else {
            return None;
        };
        let event = self.event.get_or_init(|| {
            let page = EventPage {
                header: page.header.clone(),
                created_at: Some(std::time::SystemTime::now().into()),
                payload: Some(event_page::Payload::Event(payload.clone())),
                ..EventPage::default()
            };
            page.encode_to_vec().into()
        });
        Some(RawBook {
            cover: command.cover.clone(),
            pages: vec![event.clone(); next_sequence as usize],
            next_sequence,
            snapshot: None,
        })
    }

    async fn ask(&self, command: &CommandBook) -> Result<BusinessResponse, Status> {
        let events = self.prior(command).unwrap_or_default();
        let call = contextual_command(&events, &events.pages, command);
        let mut client = Grpc::new(self.handler.clone());
        client
            .ready()
            .await
            .map_err(|error| Status::unavailable(error.to_string()))?;
        let answer = client
            .unary(Request::new(call), self.handle.clone(), EncodedCodec)
            .await?;
        BusinessResponse::decode(answer.into_inner())
            .map_err(|error| Status::internal(error.to_string()))
    }
}

#[tonic::async_trait]
impl coordinator::CommandHandlerCoordinatorService for Hops {
    async fn handle_command(
        &self,
        request: Request<CommandRequest>,
    ) -> Result<Response<CommandResponse>, Status> {
        let command = request.into_inner().command.unwrap_or_default();
        let events = match self.ask(&command).await?.result {
            Some(business_response::Result::Events(book)) => Some(book),
            _ => None,
        };
        Ok(Response::new(CommandResponse {
            events,
            ..CommandResponse::default()
        }))
    }

    async fn handle_event(
        &self,
        _: Request<EventRequest>,
    ) -> Result<Response<FactInjectionResponse>, Status> {
        Err(none())
    }

    async fn handle_sync_speculative(
        &self,
        _: Request<SpeculateCommandHandlerRequest>,
    ) -> Result<Response<CommandResponse>, Status> {
        Err(none())
    }

    async fn handle_compensation(
        &self,
        _: Request<CommandRequest>,
    ) -> Result<Response<BusinessResponse>, Status> {
        Err(none())
    }
}

fn none() -> Status {
    Status::unimplemented("the benchmark does not ask for this")
}
