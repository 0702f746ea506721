use super::{ConfigError, Origin};

/// A value of the configuration, before anybody knows what it means, with its place.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) origin: Origin,
    pub(super) value: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// A key without a value.
    Empty,
    Scalar(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) origin: Origin,
    pub(super) node: Node,
}

impl Node {
    pub(super) fn new(origin: Origin, value: Value) -> Self {
        Self { origin, value }
    }

    /// Lays `over` on top: maps are merged key by key, everything else is replaced.
    pub(super) fn merge(&mut self, over: Node) {
        match (&mut self.value, over) {
            (
                _,
                Node {
                    value: Value::Empty,
                    ..
                },
            ) => {}
            (
                Value::Map(entries),
                Node {
                    value: Value::Map(above),
                    ..
                },
            ) => {
                for entry in above {
                    match entries.iter_mut().find(|known| known.key == entry.key) {
                        Some(known) => known.node.merge(entry.node),
                        None => entries.push(entry),
                    }
                }
            }
            (_, over) => *self = over,
        }
    }

    /// Puts a value at a path, making the maps on the way. A number steps into a list.
    pub(super) fn set(&mut self, path: &[String], node: Node) -> Result<(), ConfigError> {
        let Some((key, rest)) = path.split_first() else {
            self.merge(node);
            return Ok(());
        };
        if let Value::List(items) = &mut self.value {
            let len = items.len();
            let item = key
                .parse::<usize>()
                .ok()
                .and_then(|index| items.get_mut(index));
            return match item {
                Some(item) => item.set(rest, node),
                None => Err(ConfigError::BadValue {
                    origin: node.origin,
                    key: key.clone(),
                    problem: format!("is not an index into a list of {len}"),
                }),
            };
        }
        if !matches!(self.value, Value::Map(_)) {
            *self = Node::new(node.origin.clone(), Value::Map(Vec::new()));
        }
        if let Value::Map(entries) = &mut self.value {
            let at = entries
                .iter()
                .position(|entry| entry.key == *key)
                .unwrap_or_else(|| {
                    let origin = node.origin.clone();
                    let empty = Node::new(origin.clone(), Value::Empty);
                    entries.push(Entry {
                        key: key.clone(),
                        origin,
                        node: empty,
                    });
                    entries.len() - 1
                });
            if let Some(entry) = entries.get_mut(at) {
                return entry.node.set(rest, node);
            }
        }
        Ok(())
    }

    /// Applies `change` to every scalar.
    pub(super) fn for_each_scalar(
        &mut self,
        change: &mut dyn FnMut(&Origin, &mut String) -> Result<(), ConfigError>,
    ) -> Result<(), ConfigError> {
        match &mut self.value {
            Value::Empty => Ok(()),
            Value::Scalar(text) => change(&self.origin, text),
            Value::List(items) => items
                .iter_mut()
                .try_for_each(|item| item.for_each_scalar(change)),
            Value::Map(entries) => entries
                .iter_mut()
                .try_for_each(|entry| entry.node.for_each_scalar(change)),
        }
    }
}
