//! From path, query and body to the JSON form of a request message.

use axum::extract::RawPathParams;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

use super::binding::Binding;

/// The request message, in its JSON form. What the path says wins.
pub(super) fn value(
    binding: &Binding,
    path: &RawPathParams,
    query: Option<&str>,
    body: &[u8],
) -> Result<Value, String> {
    let mut fields = if binding.body {
        from_body(body)?
    } else {
        Map::new()
    };
    let input = binding.method.input();
    for (name, text) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        set(&input, &mut fields, &name, &text)?;
    }
    for (name, text) in path {
        set(&input, &mut fields, name, text)?;
    }
    Ok(Value::Object(fields))
}

fn from_body(body: &[u8]) -> Result<Map<String, Value>, String> {
    if body.is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err("the body is no JSON object: send the request message as one".to_owned()),
        Err(error) => Err(format!("the body is no JSON: {error}")),
    }
}

/// Sets the field that a dotted path names. A repeated field gains an element.
fn set(
    message: &MessageDescriptor,
    fields: &mut Map<String, Value>,
    path: &str,
    text: &str,
) -> Result<(), String> {
    let (head, rest) = path
        .split_once('.')
        .map_or((path, None), |(head, rest)| (head, Some(rest)));
    let field = message
        .get_field_by_name(head)
        .or_else(|| message.get_field_by_json_name(head))
        .ok_or_else(|| {
            let known: Vec<_> = message
                .fields()
                .map(|field| field.name().to_owned())
                .collect();
            format!(
                "parameter {head:?} is no field; known here: {}",
                known.join(", ")
            )
        })?;
    // One name for one field, whichever of its two names a body used.
    if let Some(value) = fields.remove(field.name()) {
        fields.insert(field.json_name().to_owned(), value);
    }
    let Some(rest) = rest else {
        return set_leaf(&field, fields, text);
    };
    let Kind::Message(inner) = field.kind() else {
        return Err(format!(
            "parameter {path:?}: {head} has no fields of its own"
        ));
    };
    if field.is_list() || field.is_map() {
        return Err(format!(
            "parameter {path:?}: {head} is a list; send it in a body"
        ));
    }
    let slot = fields
        .entry(field.json_name())
        .or_insert_with(|| Value::Object(Map::new()));
    if slot.is_null() {
        *slot = Value::Object(Map::new());
    }
    let Value::Object(inner_fields) = slot else {
        return Err(format!("{head} is no JSON object"));
    };
    set(&inner, inner_fields, rest, text)
}

fn set_leaf(
    field: &FieldDescriptor,
    fields: &mut Map<String, Value>,
    text: &str,
) -> Result<(), String> {
    if field.is_map() {
        return Err(format!(
            "parameter {:?} is a map; send it in a body",
            field.name()
        ));
    }
    let value = leaf(&field.kind(), text);
    if field.is_list() {
        let list = fields
            .entry(field.json_name())
            .or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(items) = list {
            items.push(value);
        }
    } else {
        fields.insert(field.json_name().to_owned(), value);
    }
    Ok(())
}

/// The JSON that a text stands for; what it cannot stand for is found when the message is read.
fn leaf(kind: &Kind, text: &str) -> Value {
    match kind {
        Kind::Bool => match text {
            "true" => json!(true),
            "false" => json!(false),
            _ => json!(text),
        },
        Kind::Enum(_) => text
            .parse::<i32>()
            .map_or_else(|_| json!(text), |number| json!(number)),
        // A root may be written as people write it.
        Kind::Message(message) if message.name() == "UUID" => uuid::Uuid::try_parse(text)
            .map_or_else(
                |_| json!({"value": text}),
                |id| json!({"value": STANDARD.encode(id.as_bytes())}),
            ),
        _ => json!(text),
    }
}
