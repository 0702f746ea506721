//! Protocol messages as JSON and back, by their descriptors.
//!
//! What a descriptor does not explain stays whole: an `Any` of a type that is not known is
//! `{"@type": its type URL, "value": its bytes in base64}`, in both directions.

use std::sync::Arc;

use prost::Message;
use prost_reflect::{
    DescriptorPool, DynamicMessage, MapKey, MessageDescriptor, ReflectMessage, Value as Field,
};
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{Any, DescriptorProto, FieldDescriptorProto, FileDescriptorProto};
use serde_json::{Map, Value};

use angzarr_proto::FILE_DESCRIPTOR_SET;

const ANY: &str = "google.protobuf.Any";

/// Stands in for an `Any` of an unknown type while the rest is turned into JSON or back. It has
/// the fields of an `Any`.
const OPAQUE: &str = "angzarr.json.Opaque";
const OPAQUE_URL: &str = "type.googleapis.com/angzarr.json.Opaque";

/// An `Any` within an `Any` within ... is opaque from here on.
const NESTED_MAX: usize = 16;

/// The descriptors of the protocol and of business messages.
#[derive(Debug, Clone)]
pub struct Json {
    pool: Arc<DescriptorPool>,
}

impl Json {
    /// Knows the protocol, and what `sets` describe: each an encoded
    /// `google.protobuf.FileDescriptorSet` with its imports.
    ///
    /// # Errors
    /// A sentence: a set that is none, lacks an import, or contradicts another.
    pub fn new<'a>(sets: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, String> {
        let mut pool =
            DescriptorPool::decode(FILE_DESCRIPTOR_SET).map_err(|error| error.to_string())?;
        pool.add_file_descriptor_proto(opaque_file())
            .map_err(|error| error.to_string())?;
        for set in sets {
            pool.decode_file_descriptor_set(set)
                .map_err(|error| format!("no usable descriptor set: {error}"))?;
        }
        Ok(Self {
            pool: Arc::new(pool),
        })
    }

    /// The descriptors themselves.
    #[must_use]
    pub fn pool(&self) -> &DescriptorPool {
        &self.pool
    }

    /// Name of a field by its number, when the message is described.
    #[must_use]
    pub fn field_name(&self, type_url: &str, number: u32) -> Option<String> {
        let message = self.pool.get_message_by_name(type_name(type_url)?)?;
        Some(message.get_field(number)?.name().to_owned())
    }

    /// Bytes of a message as JSON.
    ///
    /// # Errors
    /// A sentence: the bytes are no such message.
    pub fn write(&self, descriptor: &MessageDescriptor, bytes: &[u8]) -> Result<Value, String> {
        let mut message =
            DynamicMessage::decode(descriptor.clone(), bytes).map_err(|error| error.to_string())?;
        self.hide(&mut message, 0);
        let mut value = serde_json::to_value(&message).map_err(|error| error.to_string())?;
        show_opaque(&mut value);
        Ok(value)
    }

    /// A message of the protocol as JSON, by its full name.
    ///
    /// # Errors
    /// A sentence: no such message.
    pub fn write_named(&self, name: &str, message: &impl Message) -> Result<Value, String> {
        let descriptor = self
            .pool
            .get_message_by_name(name)
            .ok_or_else(|| format!("{name} is not described"))?;
        self.write(&descriptor, &message.encode_to_vec())
    }

    /// JSON as the bytes of a message.
    ///
    /// # Errors
    /// A sentence that names the field.
    pub fn read(
        &self,
        descriptor: &MessageDescriptor,
        mut value: Value,
    ) -> Result<Vec<u8>, String> {
        self.hide_unknown(&mut value)?;
        let mut track = serde_path_to_error::Track::new();
        let tracked = serde_path_to_error::Deserializer::new(value, &mut track);
        let read = DynamicMessage::deserialize(descriptor.clone(), tracked);
        let mut message = read.map_err(|error| format!("{}: {error}", track.path()))?;
        self.uncover(&mut message, 0);
        Ok(message.encode_to_vec())
    }

    /// Wraps each `Any` that cannot be written as what it holds.
    fn hide(&self, message: &mut DynamicMessage, depth: usize) {
        if message.descriptor().full_name() != ANY {
            each_message(message, &mut |inner| self.hide(inner, depth));
            return;
        }
        let Ok(any) = message.transcode_to::<Any>() else {
            return;
        };
        let hidden = match self.decode(&any).filter(|_| depth < NESTED_MAX) {
            Some(mut inner) => {
                self.hide(&mut inner, depth.saturating_add(1));
                Any {
                    value: inner.encode_to_vec(),
                    ..any
                }
            }
            None => Any {
                type_url: OPAQUE_URL.to_owned(),
                value: any.encode_to_vec(),
            },
        };
        replace(message, &hidden);
    }

    /// Undoes what [`Json::hide_unknown`] did, once the JSON has become a message.
    fn uncover(&self, message: &mut DynamicMessage, depth: usize) {
        if message.descriptor().full_name() != ANY {
            each_message(message, &mut |inner| self.uncover(inner, depth));
            return;
        }
        let Ok(any) = message.transcode_to::<Any>() else {
            return;
        };
        if any.type_url == OPAQUE_URL {
            if let Ok(real) = Any::decode(any.value.as_slice()) {
                replace(message, &real);
            }
        } else if let Some(mut inner) = self.decode(&any).filter(|_| depth < NESTED_MAX) {
            self.uncover(&mut inner, depth.saturating_add(1));
            let value = inner.encode_to_vec();
            replace(message, &Any { value, ..any });
        }
    }

    /// Names the stand-in wherever JSON holds an `Any` of an unknown type.
    fn hide_unknown(&self, value: &mut Value) -> Result<(), String> {
        match value {
            Value::Array(items) => items
                .iter_mut()
                .try_for_each(|item| self.hide_unknown(item)),
            Value::Object(fields) => {
                let type_url = fields
                    .get("@type")
                    .and_then(Value::as_str)
                    .map(str::to_owned);
                match type_url {
                    Some(type_url) if !self.reads(&type_url, fields) => {
                        *value = opaque_json(type_url, fields)?;
                        Ok(())
                    }
                    _ => fields
                        .values_mut()
                        .try_for_each(|field| self.hide_unknown(field)),
                }
            }
            _ => Ok(()),
        }
    }

    /// Whether an `Any` is given by the fields of what it holds, and not by its bytes.
    fn reads(&self, type_url: &str, fields: &Map<String, Value>) -> bool {
        let name = type_name(type_url).filter(|name| *name != OPAQUE);
        let Some(known) = name.and_then(|name| self.pool.get_message_by_name(name)) else {
            return false;
        };
        // The same form is the proper one of some: those that are written as one value.
        let has_value = known.full_name().starts_with("google.protobuf.")
            || known.get_field_by_json_name("value").is_some();
        has_value || fields.len() != 2 || !fields.contains_key("value")
    }

    fn decode(&self, any: &Any) -> Option<DynamicMessage> {
        let name = type_name(&any.type_url).filter(|name| *name != OPAQUE)?;
        let descriptor = self.pool.get_message_by_name(name)?;
        DynamicMessage::decode(descriptor, any.value.as_slice()).ok()
    }
}

fn type_name(type_url: &str) -> Option<&str> {
    type_url.rsplit_once('/').map(|(_, name)| name)
}

fn each_message(message: &mut DynamicMessage, act: &mut impl FnMut(&mut DynamicMessage)) {
    for (_, field) in message.fields_mut() {
        match field {
            Field::Message(inner) => act(inner),
            Field::List(items) => items.iter_mut().for_each(|item| each_in(item, act)),
            Field::Map(entries) => entries
                .iter_mut()
                .for_each(|(_, item): (&MapKey, &mut Field)| each_in(item, act)),
            _ => {}
        }
    }
}

fn each_in(item: &mut Field, act: &mut impl FnMut(&mut DynamicMessage)) {
    if let Field::Message(inner) = item {
        act(inner);
    }
}

fn replace(message: &mut DynamicMessage, any: &Any) {
    message.set_field_by_name("type_url", Field::String(any.type_url.clone()));
    message.set_field_by_name("value", Field::Bytes(any.value.clone().into()));
}

fn opaque_json(type_url: String, fields: &mut Map<String, Value>) -> Result<Value, String> {
    let bytes = fields.remove("value").filter(Value::is_string);
    let (Some(bytes), 1) = (bytes, fields.len()) else {
        return Err(format!(
            "{type_url} is not described to this server: send it as {{\"@type\": ..., \"value\": \
             the encoded message in base64}}, or configure a descriptor set that has it"
        ));
    };
    Ok(serde_json::json!({"@type": OPAQUE_URL, "typeUrl": type_url, "value": bytes}))
}

/// Gives what is behind a stand-in its own name again.
fn show_opaque(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(show_opaque),
        Value::Object(fields) => {
            if fields.get("@type").and_then(Value::as_str) == Some(OPAQUE_URL) {
                let type_url = fields.remove("typeUrl").unwrap_or_else(|| "".into());
                let bytes = fields.remove("value").unwrap_or_else(|| "".into());
                *value = serde_json::json!({"@type": type_url, "value": bytes});
                return;
            }
            fields.values_mut().for_each(show_opaque);
        }
        _ => {}
    }
}

fn opaque_file() -> FileDescriptorProto {
    let field = |number, name: &str, kind| FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        label: Some(Label::Optional.into()),
        r#type: Some(i32::from(kind)),
        ..FieldDescriptorProto::default()
    };
    let (package, name) = OPAQUE.rsplit_once('.').unwrap_or(("", OPAQUE));
    FileDescriptorProto {
        name: Some("angzarr/json/opaque.proto".to_owned()),
        package: Some(package.to_owned()),
        syntax: Some("proto3".to_owned()),
        message_type: vec![DescriptorProto {
            name: Some(name.to_owned()),
            field: vec![
                field(1, "type_url", Type::String),
                field(2, "value", Type::Bytes),
            ],
            ..DescriptorProto::default()
        }],
        ..FileDescriptorProto::default()
    }
}

#[cfg(test)]
mod tests;
