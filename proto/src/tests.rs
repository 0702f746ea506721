#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};

use crate::store::v1::{ReadResponse, RecordedBook};
use crate::{FILE_DESCRIPTOR_SET, v1};

const PACKAGE: &str = "angzarr_client.proto.angzarr.v1";
const MESSAGES: &str = include_str!("tests/contract.txt");
const SERVICES: &str = include_str!("tests/services.txt");

#[test]
fn every_message_has_the_published_fields() {
    let expected: BTreeMap<String, String> = lines(MESSAGES)
        .map(|line| line.split_once(':').unwrap())
        .map(|(name, fields)| (name.to_owned(), fields.trim().to_owned()))
        .collect();
    let actual = messages();
    for (name, fields) in &expected {
        assert_eq!(actual.get(name), Some(fields), "{name}");
    }
    let unexpected: Vec<_> = actual
        .keys()
        .filter(|name| !expected.contains_key(*name))
        .collect();
    assert!(unexpected.is_empty(), "not in the contract: {unexpected:?}");
}

#[test]
fn every_service_has_the_published_methods() {
    let mut expected: Vec<String> = lines(SERVICES).map(str::to_owned).collect();
    let mut actual = Vec::new();
    for file in files() {
        for service in file.service {
            for method in service.method {
                let stream = |on: Option<bool>| if on == Some(true) { "stream " } else { "" };
                actual.push(format!(
                    "{}.{} {}{} -> {}{}",
                    service.name.as_deref().unwrap(),
                    method.name.as_deref().unwrap(),
                    stream(method.client_streaming),
                    short(method.input_type.as_deref().unwrap()),
                    stream(method.server_streaming),
                    short(method.output_type.as_deref().unwrap()),
                ));
            }
        }
    }
    expected.sort();
    actual.sort();
    assert_eq!(actual, expected);
}

/// The encoded set must keep the routes, which are an extension that prost does not decode.
#[test]
fn routes_survive_in_the_descriptor_set() {
    for route in [
        "/v1/ch/{command.cover.domain}/commands",
        "/v1/ch/{events.cover.domain}/events",
        "/v1/ch/{command.cover.domain}/commands/speculative",
        "/v1/ch/{command.cover.domain}/compensation",
        "/v1/saga/execute",
        "/v1/saga/execute/speculative",
        "/v1/pm/handle",
        "/v1/pm/speculative",
        "/v1/projector/sync",
        "/v1/projector",
        "/v1/projector/speculative",
        "/v1/query/{cover.domain}/events",
        "/v1/query/{cover.domain}/events/stream",
        "/v1/query/aggregates",
        "/v1/stream/{correlation_id}",
        "/api/dlq",
        "/api/dlq/{id}",
        "/api/dlq/{id}/replay",
    ] {
        // A string field is its length and its bytes: the length tells /v1/projector from a prefix.
        let mut field = vec![u8::try_from(route.len()).unwrap()];
        field.extend_from_slice(route.as_bytes());
        let found = FILE_DESCRIPTOR_SET
            .windows(field.len())
            .any(|window| window == field);
        assert!(found, "{route}");
    }
}

/// The hand-written messages must keep the numbers and types their `.proto` gives them.
#[test]
fn raw_messages_match_their_declaration() {
    let set = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap();
    let declared = |name: &str| -> String {
        set.file
            .iter()
            .filter(|file| file.package() == "angzarr.store.v1")
            .flat_map(|file| &file.message_type)
            .find(|message| message.name() == name)
            .map(render)
            .unwrap()
    };
    assert_eq!(
        declared("ReadResponse"),
        "cover=1 Cover; snapshot=2 Snapshot; pages=3 *EventPage; next_sequence=6 uint32"
    );
    assert_eq!(
        declared("RecordedBook"),
        "cover=1 Cover; pages=2 *EventPage; positions=3 *uint64; recorded_at=4 Timestamp; \
         isolated=5 bool"
    );

    let page = v1::EventPage {
        no_commit: true,
        ..Default::default()
    };
    let pages = vec![Bytes::from(page.encode_to_vec()); 2];
    let cover = Some(v1::Cover {
        domain: "order".to_owned(),
        ..Default::default()
    });
    let snapshot = Some(v1::Snapshot {
        sequence: 4,
        ..Default::default()
    });
    // ReadResponse was given the numbers of EventBook.
    let raw = ReadResponse {
        cover: cover.clone(),
        snapshot: snapshot.clone(),
        pages: pages.iter().cloned().collect(),
        next_sequence: 9,
    };
    let book = v1::EventBook::decode(raw.encode_to_vec().as_slice()).unwrap();
    assert_eq!(
        book,
        v1::EventBook {
            cover,
            snapshot,
            pages: vec![page; 2],
            next_sequence: 9
        }
    );

    let again = ReadResponse::decode(raw.encode_to_vec().as_slice()).unwrap();
    assert_eq!(again, raw);
    assert_eq!(raw.encoded_len(), raw.encode_to_vec().len());
    assert_eq!(again.pages.len(), 2);
    assert_eq!(again.pages.iter().collect::<Vec<_>>(), pages);
    assert_eq!(again.pages.into_iter().collect::<Vec<_>>(), pages);
    // Pages before, between and behind other fields.
    let scattered = [0x1a, 1, 7, 0x1a, 0, 0x30, 9, 0x1a, 1, 8];
    let scattered = ReadResponse::decode(&scattered[..]).unwrap();
    assert_eq!(scattered.next_sequence, 9);
    assert_eq!(scattered.pages.len(), 3);
    let found: Vec<_> = scattered.pages.iter().collect();
    assert_eq!(found, [&[7][..], &[], &[8]]);
    for bad in [&[0x1a, 5, 1][..], &[0x18, 1], &[0x1a, 0x80]] {
        assert!(ReadResponse::decode(bad).is_err(), "{bad:?}");
    }

    // Field 1 twice over, then the packed positions, the time and the mark, by hand.
    let encoded = [
        0x12, 2, 0x30, 1, 0x12, 2, 0x30, 1, 0x1a, 2, 5, 6, 0x22, 2, 8, 3, 0x28, 1,
    ];
    let recorded = RecordedBook {
        cover: None,
        pages,
        positions: vec![5, 6],
        recorded_at: Some(prost_types::Timestamp {
            seconds: 3,
            nanos: 0,
        }),
        isolated: true,
    };
    assert_eq!(recorded.encode_to_vec(), encoded);
}

fn messages() -> BTreeMap<String, String> {
    let mut messages = BTreeMap::new();
    for file in files() {
        for message in &file.message_type {
            messages.insert(message.name().to_owned(), render(message));
        }
        for declared in &file.enum_type {
            let values: Vec<_> = declared
                .value
                .iter()
                .map(|value| format!("{}={} enum", value.name(), value.number()))
                .collect();
            messages.insert(declared.name().to_owned(), values.join("; "));
        }
    }
    messages
}

fn files() -> Vec<prost_types::FileDescriptorProto> {
    let set = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap();
    set.file
        .into_iter()
        .filter(|file| file.package() == PACKAGE)
        .collect()
}

fn render(message: &DescriptorProto) -> String {
    let mut fields: Vec<_> = message.field.iter().collect();
    fields.sort_by_key(|field| field.number());
    let fields: Vec<_> = fields
        .into_iter()
        .map(|field| {
            format!(
                "{}={} {}",
                field.name(),
                field.number(),
                render_type(message, field)
            )
        })
        .collect();
    fields.join("; ")
}

fn render_type(message: &DescriptorProto, field: &FieldDescriptorProto) -> String {
    let base = match field.r#type() {
        Type::Message | Type::Enum => short(field.type_name()).to_owned(),
        scalar => scalar
            .as_str_name()
            .trim_start_matches("TYPE_")
            .to_lowercase(),
    };
    let entry = message
        .nested_type
        .iter()
        .find(|nested| nested.name() == base);
    if let Some(entry) = entry {
        let types: Vec<_> = entry
            .field
            .iter()
            .map(|of| render_type(entry, of))
            .collect();
        return format!("map<{}>", types.join(","));
    }
    if field.proto3_optional() {
        return format!("?{base}");
    }
    if field.label() == Label::Repeated {
        return format!("*{base}");
    }
    match field
        .oneof_index
        .and_then(|index| usize::try_from(index).ok())
    {
        Some(index) => format!("{}<{base}>", message.oneof_decl.get(index).unwrap().name()),
        None => base,
    }
}

fn short(full_name: &str) -> &str {
    full_name.rsplit('.').next().unwrap()
}

fn lines(table: &str) -> impl Iterator<Item = &str> {
    table
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
}
