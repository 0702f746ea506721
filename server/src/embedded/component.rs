//! Functions as gRPC services.

use std::io;
use std::path::Path;
use std::sync::Arc;

use angzarr_proto::v1::{
    BusinessResponse, ContextualCommand, EventBook, EventPage, FactRequest,
    ProcessManagerHandleRequest, ProcessManagerHandleResponse, Projection, ReplayRequest,
    ReplayResponse, SagaHandleRequest, SagaResponse, business_response,
    command_handler_service_server as handler, command_page, event_page,
    process_manager_service_server as manager, projector_service_server as projector,
    saga_service_server as saga,
};
use prost_types::Any;
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use super::message::{Event, Outgoing, events};

pub(super) type Decide = Arc<dyn Fn(&[Event], &Any) -> Result<Vec<Any>, String> + Send + Sync>;
pub(super) type Translate = Arc<dyn Fn(&Event) -> Result<Vec<Outgoing>, String> + Send + Sync>;
pub(super) type Process = Arc<dyn Fn(&[Event], &Event) -> Result<Step, String> + Send + Sync>;
pub(super) type Project = Arc<dyn Fn(&Event) -> Result<(), String> + Send + Sync>;

/// What a process manager does about an event. All of it happens, or none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Step {
    /// New events of its own.
    pub events: Vec<Any>,
    /// Commands to others.
    pub commands: Vec<Outgoing>,
}

/// A function and what it is for.
pub(super) enum Component {
    Aggregate {
        domain: String,
        decide: Decide,
    },
    Saga {
        name: String,
        inputs: Vec<String>,
        translate: Translate,
    },
    ProcessManager {
        name: String,
        inputs: Vec<String>,
        process: Process,
    },
    Projector {
        name: String,
        inputs: Vec<String>,
        project: Project,
    },
}

impl Component {
    /// Serves the function on a Unix socket until it is stopped.
    pub(super) async fn serve(self, socket: &Path, stop: CancellationToken) -> io::Result<()> {
        let incoming = UnixListenerStream::new(UnixListener::bind(socket)?);
        let mut server = Server::builder();
        let router = match self {
            Self::Aggregate { decide, .. } => {
                server.add_service(handler::CommandHandlerServiceServer::new(Deciding(decide)))
            }
            Self::Saga { translate, .. } => {
                server.add_service(saga::SagaServiceServer::new(Translating(translate)))
            }
            Self::ProcessManager { process, .. } => server.add_service(
                manager::ProcessManagerServiceServer::new(Processing(process)),
            ),
            Self::Projector { project, .. } => {
                server.add_service(projector::ProjectorServiceServer::new(Projecting(project)))
            }
        };
        tokio::spawn(async move {
            let served = router
                .serve_with_incoming_shutdown(incoming, stop.cancelled_owned())
                .await;
            if let Err(error) = served {
                tracing::error!(%error, "a component of this process ended");
            }
        });
        Ok(())
    }
}

struct Deciding(Decide);

#[tonic::async_trait]
impl handler::CommandHandlerService for Deciding {
    async fn handle(
        &self,
        request: Request<ContextualCommand>,
    ) -> Result<Response<BusinessResponse>, Status> {
        let ContextualCommand { events, command } = request.into_inner();
        let history = self::events(events);
        let page = command.and_then(|book| book.pages.into_iter().next());
        let Some(command_page::Payload::Command(command)) = page.and_then(|page| page.payload)
        else {
            return Err(Status::invalid_argument("the command has no page"));
        };
        let decide = Arc::clone(&self.0);
        let decided = run(move || decide(&history, &command)).await?;
        let book = book(decided.map_err(Status::failed_precondition)?);
        let result = Some(business_response::Result::Events(book));
        Ok(Response::new(BusinessResponse { result }))
    }

    async fn handle_fact(&self, _: Request<FactRequest>) -> Result<Response<EventBook>, Status> {
        Err(Status::unimplemented("facts are stored as they are"))
    }

    async fn replay(&self, _: Request<ReplayRequest>) -> Result<Response<ReplayResponse>, Status> {
        Err(Status::unimplemented("a function has no state to show"))
    }
}

struct Translating(Translate);

#[tonic::async_trait]
impl saga::SagaService for Translating {
    async fn handle(
        &self,
        request: Request<SagaHandleRequest>,
    ) -> Result<Response<SagaResponse>, Status> {
        let mut response = SagaResponse::default();
        for event in events(request.into_inner().source) {
            let translate = Arc::clone(&self.0);
            let correlation_id = event.correlation_id.clone();
            let commands = run(move || translate(&event)).await?;
            let commands = commands.map_err(Status::internal)?.into_iter();
            response
                .commands
                .extend(commands.map(|command| command.into_book(&correlation_id)));
        }
        Ok(Response::new(response))
    }
}

struct Processing(Process);

#[tonic::async_trait]
impl manager::ProcessManagerService for Processing {
    async fn handle(
        &self,
        request: Request<ProcessManagerHandleRequest>,
    ) -> Result<Response<ProcessManagerHandleResponse>, Status> {
        let request = request.into_inner();
        let mut state = events(request.process_state);
        let mut response = ProcessManagerHandleResponse::default();
        for event in events(request.trigger) {
            let process = Arc::clone(&self.0);
            let correlation_id = event.correlation_id.clone();
            let (step, known) = run(move || (process(&state, &event), state)).await?;
            state = known;
            let step = step.map_err(Status::internal)?;
            if !step.events.is_empty() {
                response.process_events.push(book(step.events));
            }
            let commands = step.commands.into_iter();
            response
                .commands
                .extend(commands.map(|command| command.into_book(&correlation_id)));
        }
        Ok(Response::new(response))
    }
}

struct Projecting(Project);

#[tonic::async_trait]
impl projector::ProjectorService for Projecting {
    async fn handle(&self, request: Request<EventBook>) -> Result<Response<Projection>, Status> {
        for event in events(Some(request.into_inner())) {
            let project = Arc::clone(&self.0);
            run(move || project(&event))
                .await?
                .map_err(Status::internal)?;
        }
        Ok(Response::new(Projection::default()))
    }

    async fn handle_speculative(
        &self,
        _: Request<EventBook>,
    ) -> Result<Response<Projection>, Status> {
        Err(Status::unimplemented(
            "a function that builds a read model cannot do so without effects",
        ))
    }
}

/// Runs business code where it may block, and survives its panics.
async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Status> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| Status::unknown("the function panicked; the log of the process says where"))
}

fn book(events: Vec<Any>) -> EventBook {
    let page = |event| EventPage {
        payload: Some(event_page::Payload::Event(event)),
        ..EventPage::default()
    };
    EventBook {
        pages: events.into_iter().map(page).collect(),
        ..EventBook::default()
    }
}
