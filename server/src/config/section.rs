use super::{
    ConfigError, Origin,
    node::{Entry, Node, Value},
};

/// One map of the configuration while it is read. Reading takes keys out; what is left when
/// [`Section::finish`] is called was unknown.
pub(super) struct Section {
    path: String,
    origin: Origin,
    entries: Vec<Entry>,
    known: Vec<&'static str>,
}

impl Section {
    pub(super) fn new(path: &str, node: Node) -> Result<Self, ConfigError> {
        let Node { origin, value } = node;
        let entries = match value {
            Value::Empty => Vec::new(),
            Value::Map(entries) => entries,
            Value::Scalar(_) | Value::List(_) => {
                let problem = "must be a map of keys and values".to_owned();
                return Err(ConfigError::BadValue {
                    origin,
                    key: path.to_owned(),
                    problem,
                });
            }
        };
        Ok(Self {
            path: path.to_owned(),
            origin,
            entries,
            known: Vec::new(),
        })
    }

    /// The error for a key of this section.
    pub(super) fn bad(
        &self,
        key: &str,
        origin: &Origin,
        problem: impl Into<String>,
    ) -> ConfigError {
        ConfigError::BadValue {
            origin: origin.clone(),
            key: self.name(key),
            problem: problem.into(),
        }
    }

    pub(super) fn missing(&self, key: &str, problem: &str) -> ConfigError {
        self.bad(key, &self.origin.clone(), problem)
    }

    pub(super) fn take(&mut self, key: &'static str) -> Option<Node> {
        self.known.push(key);
        let at = self.entries.iter().position(|entry| entry.key == key)?;
        Some(self.entries.remove(at).node)
    }

    /// The map at `key`; an empty one when it is not there.
    pub(super) fn section(&mut self, key: &'static str) -> Result<Section, ConfigError> {
        let node = self
            .take(key)
            .unwrap_or_else(|| Node::new(self.origin.clone(), Value::Empty));
        Section::new(&self.name(key), node)
    }

    /// The map at `key`, when it is there.
    pub(super) fn optional(&mut self, key: &'static str) -> Result<Option<Section>, ConfigError> {
        let node = self.take(key);
        node.map(|node| Section::new(&self.name(key), node))
            .transpose()
    }

    /// The maps of the list at `key`.
    pub(super) fn sections(&mut self, key: &'static str) -> Result<Vec<Section>, ConfigError> {
        let items = match self.take(key) {
            None => Vec::new(),
            Some(node) => self.items(key, node)?,
        };
        items
            .into_iter()
            .enumerate()
            .map(|(index, item)| Section::new(&format!("{}[{index}]", self.name(key)), item))
            .collect()
    }

    /// The texts of the list at `key`; one text alone, or several with commas between, will do.
    pub(super) fn texts(
        &mut self,
        key: &'static str,
    ) -> Result<Option<Vec<(Origin, String)>>, ConfigError> {
        let Some(node) = self.take(key) else {
            return Ok(None);
        };
        if let Value::Scalar(text) = &node.value {
            let parts = text
                .split(',')
                .map(|part| (node.origin.clone(), part.trim().to_owned()));
            return Ok(Some(parts.collect()));
        }
        let items = self.items(key, node)?;
        items
            .into_iter()
            .map(|item| self.text_of(key, item))
            .collect::<Result<_, _>>()
            .map(Some)
    }

    /// The text at `key`.
    pub(super) fn text(
        &mut self,
        key: &'static str,
    ) -> Result<Option<(Origin, String)>, ConfigError> {
        self.take(key)
            .map(|node| self.text_of(key, node))
            .transpose()
    }

    /// The value at `key` as `parse` understands it; its error completes the sentence
    /// "`key`: ...".
    pub(super) fn parse<T>(
        &mut self,
        key: &'static str,
        default: T,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, ConfigError> {
        let Some((origin, text)) = self.text(key)? else {
            return Ok(default);
        };
        parse(&text).map_err(|problem| self.bad(key, &origin, problem))
    }

    /// The value at `key`, which must be there.
    pub(super) fn require<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, ConfigError> {
        let Some((origin, text)) = self.text(key)? else {
            return Err(self.missing(key, "is missing"));
        };
        parse(&text).map_err(|problem| self.bad(key, &origin, problem))
    }

    /// Refuses whatever was not read.
    pub(super) fn finish(self) -> Result<(), ConfigError> {
        let Some(entry) = self.entries.first() else {
            return Ok(());
        };
        Err(ConfigError::UnknownKey {
            origin: entry.origin.clone(),
            key: self.name(&entry.key),
            hint: hint(&entry.key, &self.known),
        })
    }

    fn name(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    fn items(&self, key: &str, node: Node) -> Result<Vec<Node>, ConfigError> {
        match node.value {
            Value::Empty => Ok(Vec::new()),
            Value::List(items) => Ok(items),
            Value::Scalar(_) | Value::Map(_) => Err(self.bad(key, &node.origin, "must be a list")),
        }
    }

    fn text_of(&self, key: &str, node: Node) -> Result<(Origin, String), ConfigError> {
        match node.value {
            Value::Scalar(text) => Ok((node.origin, text)),
            Value::Empty => Err(self.bad(key, &node.origin, "has no value")),
            Value::List(_) | Value::Map(_) => {
                Err(self.bad(key, &node.origin, "must be a single value"))
            }
        }
    }
}

fn hint(written: &str, known: &[&str]) -> String {
    let nearest = known.iter().map(|key| (distance(written, key), key)).min();
    match nearest {
        Some((distance, key)) if distance <= 2 => format!("did you mean {key}?"),
        _ => format!("known here: {}", known.join(", ")),
    }
}

/// Levenshtein distance, in bytes.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.bytes().enumerate() {
        let mut next = vec![i + 1];
        for ((b, window), last) in right.bytes().zip(row.windows(2)).zip(1..) {
            let [diagonal, above] = window else { continue };
            let left_of = next.get(last - 1).copied().unwrap_or(usize::MAX - 1);
            let changed = diagonal + usize::from(a != b);
            next.push(changed.min(above + 1).min(left_of + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}
