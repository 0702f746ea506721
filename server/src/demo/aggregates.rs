//! The business of the shop: two small aggregates, as anybody would write them.

use prost_types::Any;

use super::messages::{
    CancelOrder, ConfirmOrder, OrderCancelled, OrderConfirmed, OrderPlaced, OrderShipped,
    PlaceOrder, ReceiveStock, ReserveStock, ShipOrder, StockReceived, StockReserved, pack, unpack,
};

/// Decides what a command means, given what happened before.
///
/// # Errors
/// The reason for which the business refuses.
pub(super) type Decide = fn(history: &[Any], command: &Any) -> Result<Any, String>;

/// Tea in store: never less than nothing.
pub(super) fn decide_stock(history: &[Any], command: &Any) -> Result<Any, String> {
    let left = history
        .iter()
        .fold(0_u32, |left, event| match unpack::<StockReceived>(event) {
            Some(received) => left.saturating_add(received.chests),
            None => {
                let reserved = unpack::<StockReserved>(event).map_or(0, |event| event.chests);
                left.saturating_sub(reserved)
            }
        });
    if let Some(ReceiveStock { chests }) = unpack(command) {
        let left = left.saturating_add(chests);
        return Ok(pack(&StockReceived { chests, left }));
    }
    if let Some(ReserveStock {
        chests: asked,
        customer,
    }) = unpack(command)
    {
        let rest = left
            .checked_sub(asked)
            .ok_or_else(|| format!("{asked} for {customer}, but only {left} left"))?;
        return Ok(pack(&StockReserved {
            chests: asked,
            customer,
            left: rest,
        }));
    }
    Err(format!("the stock does not know {}", command.type_url))
}

/// An order: placed, then confirmed or cancelled, then shipped if confirmed.
pub(super) fn decide_order(history: &[Any], command: &Any) -> Result<Any, String> {
    let placed = history
        .iter()
        .any(|event| unpack::<OrderPlaced>(event).is_some());
    let confirmed = history
        .iter()
        .any(|event| unpack::<OrderConfirmed>(event).is_some());
    let cancelled = history
        .iter()
        .any(|event| unpack::<OrderCancelled>(event).is_some());
    let shipped = history
        .iter()
        .any(|event| unpack::<OrderShipped>(event).is_some());
    let open = placed && !confirmed && !cancelled;
    if let Some(PlaceOrder { customer, chests }) = unpack(command) {
        if placed {
            return Err("the order is already placed".to_owned());
        }
        return Ok(pack(&OrderPlaced { customer, chests }));
    }
    if unpack::<ConfirmOrder>(command).is_some() {
        return if open {
            Ok(pack(&OrderConfirmed {}))
        } else {
            Err(not_open())
        };
    }
    if let Some(CancelOrder { reason }) = unpack(command) {
        return if open {
            Ok(pack(&OrderCancelled { reason }))
        } else {
            Err(not_open())
        };
    }
    if unpack::<ShipOrder>(command).is_some() {
        if confirmed && !shipped {
            return Ok(pack(&OrderShipped {}));
        }
        return Err("only a confirmed order that is still here can be shipped".to_owned());
    }
    Err(format!("an order does not know {}", command.type_url))
}

fn not_open() -> String {
    "the order is not open".to_owned()
}
