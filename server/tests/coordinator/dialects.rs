//! The three published forms of the protocol, on both sides of the server.

use angzarr_proto::Dialect;
use angzarr_proto::v1::{CommandRequest, CommandResponse, EventBook, Query};
use prost::Message;
use tonic::client::Grpc;
use tonic::{Request, Status};
use tonic_prost::ProstCodec;

use crate::counter::{Amount, any};
use crate::messages::*;
use crate::world::*;

/// Calls the server as a client of a dialect does.
async fn call<Q, A>(
    world: &World,
    dialect: Dialect,
    method: (&str, &str),
    request: Q,
) -> Result<A, Status>
where
    Q: Message + Send + Sync + 'static,
    A: Message + Default + Send + Sync + 'static,
{
    let path = dialect.method_path(method.0, method.1).parse().unwrap();
    let mut client = Grpc::new(world.channel.clone());
    client.ready().await.unwrap();
    let answer = client
        .unary(Request::new(request), path, ProstCodec::<Q, A>::default())
        .await?;
    Ok(answer.into_inner())
}

const HANDLE: (&str, &str) = ("CommandHandlerCoordinatorService", "HandleCommand");
const BOOK: (&str, &str) = ("EventQueryService", "GetEventBook");

#[tokio::test]
async fn the_dialect_of_a_handler_is_found_out_and_remembered() {
    for dialect in Dialect::ALL {
        let world = Setup {
            dialect,
            ..Setup::default()
        }
        .start()
        .await;
        world.add(1, 1).await;
        world.add(1, 1).await;
        assert_eq!(world.counter.calls().len(), 2, "{dialect:?}");
    }
}

#[tokio::test]
async fn a_client_03_handler_reads_field_6_as_committed() {
    let world = Setup {
        dialect: Dialect::Client03,
        ..Setup::default()
    }
    .start()
    .await;
    world.add(1, 1).await;
    world.add(1, 1).await;
    let seen = world.counter.calls().pop().unwrap().request.events.unwrap();
    assert!(seen.pages[0].no_commit, "field 6 is `committed` there");
    // Pages sent back with field 6 as they were sent are still known, and not stored twice.
    let book = world
        .sent(at_head(1, any("Echo", &Amount { amount: 1 })))
        .await;
    assert_eq!(sequences(&book), [2]);
    assert!(!world.book(cover(1)).await.pages[2].no_commit);
}

#[tokio::test]
async fn placeholders_are_named_in_the_package_of_the_handler() {
    let world = Setup {
        dialect: Dialect::Client05,
        ..Setup::default()
    }
    .start()
    .await;
    world.sent(in_cascade(at_head(1, add(1)), "c1")).await;
    world.sent(at_head(1, label("a"))).await;
    let seen = world.counter.calls().pop().unwrap().request.events.unwrap();
    let name = &event(&seen.pages[0]).type_url;
    assert_eq!(
        name,
        "type.googleapis.com/angzarr_client.proto.angzarr.NoOp"
    );
}

#[tokio::test]
async fn callers_of_every_dialect_reach_the_one_implementation() {
    let world = World::start().await;
    for (place, dialect) in Dialect::ALL.into_iter().enumerate() {
        let request: CommandRequest = at_head(1, add(1));
        let answer: CommandResponse = call(&world, dialect, HANDLE, request).await.unwrap();
        let book = answer.events.unwrap();
        assert_eq!(sequences(&book), [place as u32]);
        assert_eq!(book.pages[0].no_commit, dialect == Dialect::Client03);

        let query = Query {
            cover: Some(cover(1)),
            selection: None,
        };
        let book: EventBook = call(&world, dialect, BOOK, query).await.unwrap();
        assert_eq!(book.pages[0].no_commit, dialect == Dialect::Client03);
    }
}

#[tokio::test]
async fn details_of_errors_are_named_in_the_package_of_the_caller() {
    let world = World::start().await;
    world.add(1, 1).await;
    for dialect in Dialect::ALL {
        let request = command(cover(1), add(1), 0);
        let answer: Result<CommandResponse, _> = call(&world, dialect, HANDLE, request).await;
        let rich = tonic_types::pb::Status::decode(answer.unwrap_err().details()).unwrap();
        let names: Vec<_> = rich
            .details
            .iter()
            .map(|any| any.type_url.clone())
            .collect();
        let book = format!("type.googleapis.com/{}", dialect.qualify("EventBook"));
        assert!(names.contains(&book), "{names:?}");
    }
}
