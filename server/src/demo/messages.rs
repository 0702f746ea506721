//! The commands and events of the shop.

use prost::{Message, Name};
use prost_types::Any;

/// Declares messages of the package `shop`.
macro_rules! messages {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty = $tag:literal $kind:ident,)* })*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, PartialEq, Eq, Message)]
            pub(super) struct $name {
                $(#[prost($kind, tag = $tag)] pub(super) $field: $type,)*
            }

            impl Name for $name {
                const NAME: &'static str = stringify!($name);
                const PACKAGE: &'static str = "shop";

                fn full_name() -> String {
                    concat!("shop.", stringify!($name)).to_owned()
                }

                fn type_url() -> String {
                    concat!("type.googleapis.com/shop.", stringify!($name)).to_owned()
                }
            }
        )*
    };
}

messages! {
    /// Command: chests arrive.
    ReceiveStock { chests: u32 = "1" uint32, }
    /// Command: keep chests for a customer.
    ReserveStock { chests: u32 = "1" uint32, customer: String = "2" string, }
    /// Event: chests arrived.
    StockReceived { chests: u32 = "1" uint32, left: u32 = "2" uint32, }
    /// Event: chests are kept for a customer.
    StockReserved {
        chests: u32 = "1" uint32,
        customer: String = "2" string,
        left: u32 = "3" uint32,
    }

    /// Command: a customer asks for chests.
    PlaceOrder { customer: String = "1" string, chests: u32 = "2" uint32, }
    /// Command: the chests are reserved.
    ConfirmOrder {}
    /// Command: there is nothing to sell.
    CancelOrder { reason: String = "1" string, }
    /// Command: the chests leave the house.
    ShipOrder {}
    /// Event: a customer asked for chests.
    OrderPlaced { customer: String = "1" string, chests: u32 = "2" uint32, }
    /// Event: the customer will get them.
    OrderConfirmed {}
    /// Event: the customer will not.
    OrderCancelled { reason: String = "1" string, }
    /// Event: the chests left the house.
    OrderShipped {}
}

/// The message in an `Any`, when it is of that type.
pub(super) fn unpack<M: Message + Name + Default>(any: &Any) -> Option<M> {
    let name = any.type_url.rsplit('/').next()?;
    if name != M::full_name() {
        return None;
    }
    M::decode(any.value.as_slice()).ok()
}

/// A message as an `Any`.
pub(super) fn pack<M: Message + Name>(message: &M) -> Any {
    Any {
        type_url: M::type_url(),
        value: message.encode_to_vec(),
    }
}

/// What an event of the shop says, for people.
pub(super) fn tell(any: &Any) -> Option<String> {
    if let Some(event) = unpack::<StockReceived>(any) {
        return Some(format!(
            "{} arrive, {} in store",
            chests(event.chests),
            event.left
        ));
    }
    if let Some(event) = unpack::<StockReserved>(any) {
        return Some(format!(
            "{} for {}, {} left",
            event.chests, event.customer, event.left
        ));
    }
    if let Some(event) = unpack::<OrderPlaced>(any) {
        return Some(format!("{} for {}", chests(event.chests), event.customer));
    }
    if let Some(event) = unpack::<OrderCancelled>(any) {
        return Some(event.reason);
    }
    let silent = unpack::<OrderConfirmed>(any).is_some() || unpack::<OrderShipped>(any).is_some();
    silent.then(String::new)
}

/// A number of chests in words.
pub(super) fn chests(number: u32) -> String {
    if number == 1 {
        "1 chest".to_owned()
    } else {
        format!("{number} chests")
    }
}
