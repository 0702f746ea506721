//! Business code for the tests: a counter with a label.

use std::sync::{Arc, Mutex};

use angzarr_proto::Dialect;
use angzarr_proto::v1::command_handler_service_server::{
    CommandHandlerService, CommandHandlerServiceServer,
};
use angzarr_proto::v1::{
    BusinessResponse, ContextualCommand, Cover, EventBook, EventPage, FactRequest, Notification,
    PageHeader, ReplayRequest, ReplayResponse, RevocationResponse, Snapshot, SnapshotRetention,
    business_response, command_page, event_page, page_header,
};
use bytes::Bytes;
use http::Request as HttpRequest;
use prost::Message;
use prost_types::Any;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tonic::body::Body;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status};
use tower::util::MapRequestLayer;

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Amount {
    #[prost(uint32, tag = "1")]
    pub(crate) amount: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Text {
    #[prost(string, tag = "1")]
    pub(crate) text: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct State {
    #[prost(uint32, tag = "1")]
    pub(crate) value: u32,
    #[prost(string, tag = "2")]
    pub(crate) label: String,
}

/// One call of `Handle`.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) request: ContextualCommand,
    pub(crate) correlation_header: Option<String>,
    pub(crate) traceparent: Option<String>,
}

#[derive(Clone)]
pub(crate) struct Counter {
    pub(crate) calls: Arc<Mutex<Vec<Call>>>,
    /// Gets a permit with each call.
    pub(crate) arrived: Arc<Semaphore>,
    /// Each `Wait` command takes a permit for good.
    pub(crate) gate: Arc<Semaphore>,
    /// Largest request it takes, in bytes.
    pub(crate) takes: usize,
    /// Answers Replay.
    pub(crate) replays: bool,
    /// Answers HandleFact: doubles the amounts.
    pub(crate) takes_facts: bool,
    /// Answers notifications; otherwise they add 1000.
    pub(crate) on_notification: Option<OnNotification>,
}

pub(crate) type OnNotification = Arc<dyn Fn() -> Result<BusinessResponse, Status> + Send + Sync>;

impl Counter {
    pub(crate) fn new() -> Self {
        Self {
            calls: Arc::default(),
            arrived: Arc::new(Semaphore::new(0)),
            gate: Arc::new(Semaphore::new(0)),
            takes: 64 * 1024 * 1024,
            replays: true,
            takes_facts: false,
            on_notification: None,
        }
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    /// Serves under the package of a dialect and no other.
    pub(crate) async fn serve(&self, dialect: Dialect) -> String {
        self.serve_at("127.0.0.1:0", dialect).await
    }

    pub(crate) async fn serve_at(&self, address: &str, dialect: Dialect) -> String {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let rename = MapRequestLayer::new(move |request| rename(request, dialect));
        let service =
            CommandHandlerServiceServer::new(self.clone()).max_decoding_message_size(self.takes);
        let server = Server::builder().layer(rename).add_service(service);
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        address
    }

    async fn decide(&self, request: &ContextualCommand) -> Result<BusinessResponse, Status> {
        let prior = request.events.clone().unwrap_or_default();
        let command = request.command.clone().unwrap_or_default();
        let Some(command_page::Payload::Command(any)) = &command.pages[0].payload else {
            return Err(Status::invalid_argument("No command pages"));
        };
        let amount = || Amount::decode(any.value.as_slice()).unwrap().amount;
        let book = |pages| EventBook {
            pages,
            ..EventBook::default()
        };
        let events = match any.type_url.rsplit(['.', '/']).next().unwrap() {
            "Add" => book(vec![added(amount())]),
            "Label" => {
                let text = Text::decode(any.value.as_slice()).unwrap();
                book(vec![page("Labelled", &text)])
            }
            "Nothing" => book(vec![]),
            "Repeat" => book((0..amount()).map(|_| added(1)).collect()),
            "Wait" => {
                self.gate.acquire().await.unwrap().forget();
                book(vec![added(1)])
            }
            "Hang" => std::future::pending().await,
            "Reject" => {
                let details = Bytes::from_static(b"kept as they are");
                return Err(Status::with_details(
                    Code::FailedPrecondition,
                    "full",
                    details,
                ));
            }
            "Echo" => EventBook {
                pages: prior
                    .pages
                    .iter()
                    .cloned()
                    .chain([added(amount())])
                    .collect(),
                ..prior
            },
            "Snapshot" => {
                let mut state = fold(prior.snapshot.as_ref(), &prior.pages);
                state.value += amount();
                EventBook {
                    snapshot: Some(snapshot(&state)),
                    ..book(vec![added(amount())])
                }
            }
            "Sloppy" => sloppy(amount()),
            "Untyped" => book(vec![EventPage::default()]),
            "Placeholder" => book(vec![event(Any {
                type_url: "type.googleapis.com/angzarr.NoOp".into(),
                value: vec![],
            })]),
            "Revoke" => {
                let reason = "not today".to_owned();
                let revocation = RevocationResponse {
                    reason,
                    ..RevocationResponse::default()
                };
                return Ok(answer(business_response::Result::Revocation(revocation)));
            }
            "Notify" => {
                let notification = Notification::default();
                return Ok(answer(business_response::Result::Notification(
                    notification,
                )));
            }
            "Notification" => match &self.on_notification {
                Some(answer) => return answer(),
                None => book(vec![added(1000)]),
            },
            other => {
                return Err(Status::invalid_argument(format!(
                    "Unknown command: {other}"
                )));
            }
        };
        Ok(answer(business_response::Result::Events(events)))
    }
}

#[tonic::async_trait]
impl CommandHandlerService for Counter {
    async fn handle(
        &self,
        request: Request<ContextualCommand>,
    ) -> Result<Response<BusinessResponse>, Status> {
        let header = |name: &str| {
            request
                .metadata()
                .get(name)
                .map(|value| value.to_str().unwrap().to_owned())
        };
        let correlation_header = header("x-correlation-id");
        let traceparent = header("traceparent");
        let request = request.into_inner();
        let call = Call {
            request: request.clone(),
            correlation_header,
            traceparent,
        };
        self.calls.lock().unwrap().push(call);
        self.arrived.add_permits(1);
        self.decide(&request).await.map(Response::new)
    }

    async fn handle_fact(
        &self,
        request: Request<FactRequest>,
    ) -> Result<Response<EventBook>, Status> {
        if !self.takes_facts {
            return Err(Status::unimplemented(""));
        }
        let facts = request.into_inner().facts.unwrap_or_default();
        let doubled = facts.pages.iter().map(|page| {
            let Some(event_page::Payload::Event(any)) = &page.payload else {
                panic!()
            };
            added(2 * Amount::decode(any.value.as_slice()).unwrap().amount)
        });
        Ok(Response::new(EventBook {
            pages: doubled.collect(),
            ..EventBook::default()
        }))
    }

    async fn replay(
        &self,
        request: Request<ReplayRequest>,
    ) -> Result<Response<ReplayResponse>, Status> {
        if !self.replays {
            return Err(Status::internal("no state"));
        }
        let request = request.into_inner();
        let state = fold(request.base_snapshot.as_ref(), &request.events);
        Ok(Response::new(ReplayResponse {
            state: Some(any("State", &state)),
        }))
    }
}

pub(crate) fn any(name: &str, message: &impl Message) -> Any {
    Any {
        type_url: format!("type.googleapis.com/counter.{name}"),
        value: message.encode_to_vec(),
    }
}

pub(crate) fn added(amount: u32) -> EventPage {
    page("Added", &Amount { amount })
}

pub(crate) fn fold(snapshot: Option<&Snapshot>, pages: &[EventPage]) -> State {
    let start = snapshot.and_then(|snapshot| snapshot.state.as_ref());
    let mut state = start
        .map(|state| State::decode(state.value.as_slice()).unwrap())
        .unwrap_or_default();
    for page in pages {
        let Some(event_page::Payload::Event(any)) = &page.payload else {
            continue;
        };
        match any.type_url.as_str() {
            "type.googleapis.com/counter.Added" => {
                state.value += Amount::decode(any.value.as_slice()).unwrap().amount;
            }
            "type.googleapis.com/counter.Labelled" => {
                state.label = Text::decode(any.value.as_slice()).unwrap().text;
            }
            _ => {}
        }
    }
    state
}

fn page(name: &str, message: &impl Message) -> EventPage {
    event(any(name, message))
}

fn event(any: Any) -> EventPage {
    EventPage {
        payload: Some(event_page::Payload::Event(any)),
        ..EventPage::default()
    }
}

fn snapshot(state: &State) -> Snapshot {
    Snapshot {
        // The coordinator knows better.
        sequence: 4711,
        state: Some(any("State", state)),
        retention: SnapshotRetention::RetentionPersist.into(),
        created_at: None,
    }
}

/// Everything that is the coordinator's business, wrong.
fn sloppy(amount: u32) -> EventBook {
    let header = PageHeader {
        sequence_type: Some(page_header::SequenceType::Sequence(77)),
        sync_mode: None,
    };
    EventBook {
        cover: Some(Cover {
            domain: "elsewhere".into(),
            ..Cover::default()
        }),
        pages: vec![EventPage {
            header: Some(header),
            no_commit: true,
            cascade_id: Some("invented".into()),
            created_at: Some(prost_types::Timestamp {
                seconds: 1,
                nanos: 0,
            }),
            ..added(amount)
        }],
        next_sequence: 78,
        snapshot: None,
    }
}

pub(crate) fn revocation(revocation: RevocationResponse) -> BusinessResponse {
    answer(business_response::Result::Revocation(revocation))
}

pub(crate) fn answer(result: business_response::Result) -> BusinessResponse {
    BusinessResponse {
        result: Some(result),
    }
}

pub(crate) fn rename(mut request: HttpRequest<Body>, dialect: Dialect) -> HttpRequest<Body> {
    let path = match Dialect::of_path(request.uri().path()) {
        Some((asked, method)) if asked == dialect => {
            format!("/{}.{method}", Dialect::V1.package())
        }
        _ => "/nobody/Nothing".to_owned(),
    };
    *request.uri_mut() = path.parse().unwrap();
    request
}
