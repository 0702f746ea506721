use std::{fmt, sync::Arc};

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use super::{
    ConfigError, Origin,
    node::{Entry, Node, Value},
};

/// Parses a file; every node remembers its line.
pub(super) fn parse_file(path: &str, text: &str) -> Result<Node, ConfigError> {
    let path: Arc<str> = Arc::from(path);
    parse(text, &|line| Origin::File {
        path: path.clone(),
        line,
    })
}

/// Parses the value of an environment variable or a flag, which may be a list or a map.
pub(super) fn parse_value(origin: &Origin, text: &str) -> Result<Node, ConfigError> {
    if text.trim_start().starts_with(['[', '{']) {
        return parse(text, &|_| origin.clone());
    }
    Ok(Node::new(origin.clone(), Value::Scalar(text.to_owned())))
}

fn parse(text: &str, place: &dyn Fn(u64) -> Origin) -> Result<Node, ConfigError> {
    let mut options = serde_saphyr::Options::default();
    options.with_snippet = false;
    let parsed: Spanned<Raw> =
        serde_saphyr::from_str_with_options(text, options).map_err(|error| {
            let line = error.location().map_or(1, |location| location.line());
            ConfigError::Syntax {
                origin: place(line),
                problem: error.to_string(),
            }
        })?;
    Ok(locate(parsed, place))
}

fn locate(raw: Spanned<Raw>, place: &dyn Fn(u64) -> Origin) -> Node {
    let origin = place(raw.referenced.line());
    let value = match raw.value {
        Raw::Empty => Value::Empty,
        Raw::Scalar(text) => Value::Scalar(text),
        Raw::List(items) => {
            Value::List(items.into_iter().map(|item| locate(item, place)).collect())
        }
        Raw::Map(entries) => Value::Map(
            entries
                .into_iter()
                .map(|(key, value)| Entry {
                    origin: place(key.referenced.line()),
                    key: key.value,
                    node: locate(value, place),
                })
                .collect(),
        ),
    };
    Node::new(origin, value)
}

enum Raw {
    Empty,
    Scalar(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value, a list or a map")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Scalar(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Scalar(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Scalar(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Scalar(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Scalar(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Empty)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Empty)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}
