//! Events as business code writes them: JSON with names that repeat and values that do not.

use angzarr_engine::{AggregateKey, Domain, Edition, Page, Root, Span, Write};
use std::fmt::Write as _;

const KINDS: [&str; 5] = [
    "shop.OrderCreated",
    "shop.ItemAdded",
    "shop.AddressChanged",
    "shop.OrderPaid",
    "shop.OrderShipped",
];
const CITIES: [&str; 8] = [
    "Lisbon", "Oslo", "Turin", "Ghent", "Porto", "Graz", "Lyon", "Bergen",
];

/// An aggregate's key.
///
/// # Panics
/// Never: the domain is valid.
#[must_use]
pub fn key(aggregate: u32) -> AggregateKey {
    let mixed = mix(u64::from(aggregate));
    let root = (u128::from(mixed) << 64) | u128::from(mix(mixed));
    AggregateKey {
        domain: Domain::new("order").expect("the domain is valid"),
        edition: Edition::default(),
        root: Root::new(root.to_be_bytes()),
    }
}

/// The payload of an event: about 110 bytes.
#[must_use]
pub fn payload(aggregate: u32, sequence: u32) -> Vec<u8> {
    let dice = mix((u64::from(aggregate) << 32) | u64::from(sequence));
    let of = |list: &[&'static str], shift: u32| {
        let at = usize::try_from((dice >> shift) % list.len() as u64).unwrap_or(0);
        list.get(at).copied().unwrap_or_default()
    };
    let kind = KINDS
        .get(sequence as usize % KINDS.len())
        .copied()
        .unwrap_or_default();
    let mut text = String::with_capacity(128);
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "{kind} {{\"order\":{aggregate},\"sku\":\"A-{:05}\",\"city\":\"{}\",\"cents\":{},\"ref\":\"{:08x}\"}}",
        dice % 20_000,
        of(&CITIES, 20),
        (dice >> 24) % 100_000,
        dice >> 32,
    );
    text.into_bytes()
}

/// A write of one event, whatever the aggregate's state.
#[must_use]
pub fn write(aggregate: u32, sequence: u32) -> Write {
    let kind = KINDS
        .get(sequence as usize % KINDS.len())
        .copied()
        .unwrap_or_default();
    Write {
        pages: vec![Page {
            created_at: None,
            type_name: Span {
                start: 0,
                len: u32::try_from(kind.len()).unwrap_or(0),
            },
            body: payload(aggregate, sequence).into(),
        }],
        ..Write::to(key(aggregate))
    }
}

/// The finisher of SplitMix64.
fn mix(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}
