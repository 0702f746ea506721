//! A shop in one process: two aggregates, a saga, a process manager and a projector, on a durable
//! store in a scratch folder. `cargo run -p angzarr-example`.
#![allow(clippy::print_stdout, reason = "it tells a story")]

use std::sync::mpsc;

use angzarr_server::embedded::{Embedded, Event, Outgoing, Step, decode, pack};
use prost_types::Any;

/// Messages of the shop; in a larger program, generated from .proto files.
macro_rules! message {
    ($name:ident { $($field:ident: $kind:ty = $tag:tt $rust:ident),* }) => {
        #[derive(Clone, PartialEq, prost::Message)]
        struct $name { $(#[prost($rust, tag = $tag)] $field: $kind),* }
        impl prost::Name for $name {
            const NAME: &'static str = stringify!($name);
            const PACKAGE: &'static str = "shop";
        }
    };
}
message!(PlaceOrder { item: String = "1" string, count: u32 = "2" uint32 });
message!(OrderPlaced { item: String = "1" string, count: u32 = "2" uint32 });
message!(ConfirmOrder {});
message!(OrderConfirmed {});
message!(OrderCancelled { reason: String = "1" string });
message!(AddStock { count: u32 = "1" uint32 });
message!(StockAdded { count: u32 = "1" uint32 });
message!(Reserve { count: u32 = "1" uint32 });
message!(Reserved { count: u32 = "1" uint32 });
message!(CheckoutDone {});

/// Decides about an order. A refused reservation comes back as a `Notification`.
fn order(history: &[Event], command: &Any) -> Result<Vec<Any>, String> {
    if let Some(PlaceOrder { item, count }) = decode(command) {
        if !history.is_empty() {
            return Err("the order was placed already".to_owned());
        }
        return Ok(vec![pack(&OrderPlaced { item, count })]);
    }
    if decode::<ConfirmOrder>(command).is_some() {
        return Ok(vec![pack(&OrderConfirmed {})]);
    }
    if command.type_url.ends_with(".Notification") {
        let reason = "not enough stock".to_owned();
        return Ok(vec![pack(&OrderCancelled { reason })]);
    }
    Err(format!("an order cannot {}", command.type_url))
}

/// Decides about the stock of an item.
fn stock(history: &[Event], command: &Any) -> Result<Vec<Any>, String> {
    if let Some(AddStock { count }) = decode(command) {
        return Ok(vec![pack(&StockAdded { count })]);
    }
    let Some(Reserve { count }) = decode(command) else {
        return Err(format!("stock cannot {}", command.type_url));
    };
    let added = history.iter().filter_map(Event::as_a::<StockAdded>);
    let reserved = history.iter().filter_map(Event::as_a::<Reserved>);
    let left = added.map(|it| it.count).sum::<u32>() - reserved.map(|it| it.count).sum::<u32>();
    if left < count {
        return Err(format!("{left} left, {count} wanted"));
    }
    Ok(vec![pack(&Reserved { count })])
}

/// An order that was placed wants stock.
fn reserve(event: &Event) -> Result<Vec<Outgoing>, String> {
    let placed = event.as_a::<OrderPlaced>();
    Ok(placed
        .map(|placed| {
            Outgoing::new(
                "stock",
                item(&placed.item),
                &Reserve {
                    count: placed.count,
                },
            )
        })
        .into_iter()
        .collect())
}

/// When the stock of an order is there, the order is confirmed, once.
fn checkout(state: &[Event], event: &Event) -> Result<Step, String> {
    if event.as_a::<Reserved>().is_none() || !state.is_empty() {
        return Ok(Step::default());
    }
    let order = event
        .correlation_id
        .parse()
        .map_err(|_| "no order's number".to_owned())?;
    Ok(Step {
        events: vec![pack(&CheckoutDone {})],
        commands: vec![Outgoing::new("order", number(order), &ConfirmOrder {})],
    })
}

fn item(name: &str) -> [u8; 16] {
    let mut root = [b' '; 16];
    root.iter_mut()
        .zip(name.bytes())
        .for_each(|(to, from)| *to = from);
    root
}

fn number(order: u128) -> [u8; 16] {
    order.to_be_bytes()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let (ended, ends) = mpsc::channel();
    let shop = Embedded::in_folder(folder.path())?
        .aggregate("order", order)
        .aggregate("stock", stock)
        .saga("reservation", "order", reserve)
        .process_manager("checkout", &["stock"], checkout)
        .projector("orders", &["order"], move |event| {
            let name = event
                .payload
                .type_url
                .rsplit('.')
                .next()
                .unwrap_or_default();
            let line = format!("order {}: {name}", u128::from_be_bytes(event.root));
            ended.send(line).map_err(|error| error.to_string())
        })
        .start()
        .await?;
    println!("serving on {}", shop.urls().join(", "));
    let add = Outgoing::new("stock", item("lamp"), &AddStock { count: 3 });
    shop.send(add, "delivery-1", "").await?;
    for (order, count) in [(1u128, 2), (2, 2)] {
        let item = "lamp".to_owned();
        let command = PlaceOrder { item, count };
        let command = Outgoing::new("order", number(order), &command);
        shop.send(command, &format!("order-{order}"), &order.to_string())
            .await?;
        for _ in 0..2 {
            println!("{}", ends.recv()?);
        }
    }
    let lamps = shop.history("stock", item("lamp")).await?.len();
    println!("the stock of lamps has {lamps} events");
    Ok(shop.stop().await?)
}
