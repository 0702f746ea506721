//! The part of UmaDB's protocol that is used, by its field numbers: its own crate would bring
//! another TLS library and a compiler for its schema.

use prost::Message;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};
use tonic_prost::ProstCodec;

#[derive(Clone, PartialEq, Message)]
pub(super) struct Event {
    #[prost(string, tag = "1")]
    pub(super) event_type: String,
    #[prost(string, repeated, tag = "2")]
    pub(super) tags: Vec<String>,
    #[prost(bytes = "vec", tag = "3")]
    pub(super) data: Vec<u8>,
    #[prost(string, tag = "4")]
    pub(super) uuid: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SequencedEvent {
    #[prost(uint64, tag = "1")]
    pub(super) position: u64,
    #[prost(message, optional, tag = "2")]
    pub(super) event: Option<Event>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct QueryItem {
    #[prost(string, repeated, tag = "1")]
    pub(super) types: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub(super) tags: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Query {
    #[prost(message, repeated, tag = "1")]
    pub(super) items: Vec<QueryItem>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct AppendCondition {
    #[prost(message, optional, tag = "1")]
    pub(super) fail_if_events_match: Option<Query>,
    #[prost(uint64, optional, tag = "2")]
    pub(super) after: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct AppendRequest {
    #[prost(message, repeated, tag = "1")]
    pub(super) events: Vec<Event>,
    #[prost(message, optional, tag = "2")]
    pub(super) condition: Option<AppendCondition>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct AppendResponse {
    #[prost(uint64, tag = "1")]
    pub(super) position: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ReadRequest {
    #[prost(message, optional, tag = "1")]
    pub(super) query: Option<Query>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ReadResponse {
    #[prost(message, repeated, tag = "1")]
    pub(super) events: Vec<SequencedEvent>,
}

/// A client of its service.
pub(super) struct Dcb(Grpc<Channel>);

impl Dcb {
    pub(super) fn new(channel: Channel) -> Self {
        Self(Grpc::new(channel))
    }

    pub(super) async fn append(
        &mut self,
        request: AppendRequest,
    ) -> Result<AppendResponse, Status> {
        self.ready().await?;
        let path = PathAndQuery::from_static("/umadb.v1.DCB/Append");
        let codec = ProstCodec::<AppendRequest, AppendResponse>::default();
        let answer = self.0.unary(Request::new(request), path, codec).await?;
        Ok(answer.into_inner())
    }

    pub(super) async fn read(
        &mut self,
        request: ReadRequest,
    ) -> Result<Streaming<ReadResponse>, Status> {
        self.ready().await?;
        let path = PathAndQuery::from_static("/umadb.v1.DCB/Read");
        let codec = ProstCodec::<ReadRequest, ReadResponse>::default();
        let answer = self.0.server_streaming(Request::new(request), path, codec);
        Ok(answer.await?.into_inner())
    }

    async fn ready(&mut self) -> Result<(), Status> {
        let ready = self.0.ready().await;
        ready.map_err(|error| Status::unavailable(error.to_string()))
    }
}
