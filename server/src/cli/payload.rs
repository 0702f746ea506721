//! What a payload says, without knowing its schema.

use angzarr_proto::v1::event_page::Payload;
use prost::{Message, bytes::Buf, encoding};
use prost_types::Any;
use serde_json::{Value, json};

use super::target::hex;

/// Type URL of text.
pub(super) const STRING_VALUE: &str = "type.googleapis.com/google.protobuf.StringValue";

/// How deep messages in messages are looked into.
const DEPTH: usize = 4;

/// An `Any` that holds text.
pub(super) fn text_any(text: &str) -> Any {
    Any {
        type_url: STRING_VALUE.to_owned(),
        value: text.to_owned().encode_to_vec(),
    }
}

/// Last dotted part of the type's name.
pub(crate) fn type_name(type_url: &str) -> &str {
    type_url.rsplit(['.', '/']).next().unwrap_or(type_url)
}

/// The type's short name and a line that tells the fields.
pub(super) fn describe(payload: Option<&Payload>) -> (String, String) {
    match payload {
        None => ("(empty)".to_owned(), String::new()),
        Some(Payload::External(reference)) => (
            "(external)".to_owned(),
            format!("{}, {} bytes", reference.uri, reference.original_size),
        ),
        Some(Payload::Event(any)) => (type_name(&any.type_url).to_owned(), describe_any(any)),
    }
}

/// The payload as JSON: full type name, bytes in hexadecimal, text when it is text.
pub(super) fn to_json(payload: Option<&Payload>) -> Value {
    match payload {
        None => Value::Null,
        Some(Payload::External(reference)) => {
            json!({"uri": reference.uri, "bytes": reference.original_size})
        }
        Some(Payload::Event(any)) => {
            let mut value = json!({"type_url": any.type_url, "hex": hex(&any.value)});
            if let (Some(text), Some(map)) = (text_of(any), value.as_object_mut()) {
                map.insert("text".to_owned(), Value::String(text));
            }
            value
        }
    }
}

fn text_of(any: &Any) -> Option<String> {
    if type_name(&any.type_url) != "StringValue" {
        return None;
    }
    String::decode(any.value.as_slice()).ok()
}

fn describe_any(any: &Any) -> String {
    if let Some(text) = text_of(any) {
        return printable(&text);
    }
    match fields(&any.value, DEPTH) {
        Some(fields) => fields,
        None => match std::str::from_utf8(&any.value) {
            Ok(text) => printable(text),
            Err(_) => format!("0x{}", hex(&any.value)),
        },
    }
}

/// `1:"ada" 2:42 3:{1:7}`, or nothing when the bytes are not an encoded message.
fn fields(mut bytes: &[u8], depth: usize) -> Option<String> {
    let mut parts = Vec::new();
    while bytes.has_remaining() {
        let (tag, wire) = encoding::decode_key(&mut bytes).ok()?;
        let value = match wire {
            encoding::WireType::Varint => encoding::decode_varint(&mut bytes).ok()?.to_string(),
            encoding::WireType::ThirtyTwoBit => bytes.try_get_u32_le().ok()?.to_string(),
            encoding::WireType::SixtyFourBit => bytes.try_get_u64_le().ok()?.to_string(),
            encoding::WireType::LengthDelimited => {
                let length = usize::try_from(encoding::decode_varint(&mut bytes).ok()?).ok()?;
                let (inner, rest) = bytes.split_at_checked(length)?;
                bytes = rest;
                delimited(inner, depth)
            }
            encoding::WireType::StartGroup | encoding::WireType::EndGroup => return None,
        };
        parts.push(format!("{tag}:{value}"));
    }
    Some(parts.join(" "))
}

fn delimited(bytes: &[u8], depth: usize) -> String {
    if let Ok(text) = std::str::from_utf8(bytes)
        && text.chars().all(|c| !c.is_control())
    {
        return format!("{text:?}");
    }
    let inner = if depth == 0 {
        None
    } else {
        fields(bytes, depth - 1)
    };
    inner.map_or_else(
        || format!("0x{}", hex(bytes)),
        |inner| format!("{{{inner}}}"),
    )
}

/// Text that cannot disturb a terminal.
fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let shown: Vec<char> = if c.is_control() {
                c.escape_default().collect()
            } else {
                vec![c]
            };
            shown
        })
        .collect()
}

#[cfg(test)]
mod tests;
