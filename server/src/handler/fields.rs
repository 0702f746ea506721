use bytes::Bytes;
use thiserror::Error;

/// A message that does not hold what protobuf allows. Carries no place: the caller knows the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the bytes are not an encoded protobuf message")]
pub(crate) struct Malformed;

/// One top-level field of an encoded message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    /// Field number.
    pub(crate) number: u32,
    /// Content, by wire type.
    pub(crate) value: Value<'a>,
    /// Tag and content as they stand in the message.
    pub(crate) raw: &'a [u8],
}

/// Content of a field, as far as the wire tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire types 1 and 5: eight or four bytes.
    Fixed,
    /// Wire type 2: string, bytes, message or packed numbers.
    Bytes(&'a [u8]),
}

/// Walks the top-level fields of an encoded message without a descriptor.
///
/// Yields [`Malformed`] once and then ends; groups (wire types 3 and 4) count as malformed.
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Starts at the first byte of `message`.
    #[must_use]
    pub(crate) const fn of(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    fn read(&mut self) -> Result<Field<'a>, Malformed> {
        let start = self.rest;
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).map_err(|_| Malformed)?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            _ => return Err(Malformed),
        };
        if number == 0 {
            return Err(Malformed);
        }
        let consumed = start.len() - self.rest.len();
        let raw = start.get(..consumed).ok_or(Malformed)?;
        Ok(Field { number, value, raw })
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0_u64;
        for (place, byte) in self.rest.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                self.rest = self.rest.get(place + 1..).ok_or(Malformed)?;
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.read();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

/// What the coordinator has to know of a stored page without decoding it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct PageOutline<'a> {
    /// Type of the event; for a page whose payload lies elsewhere, as its reference tells.
    pub(crate) type_url: &'a str,
    /// Encoded event.
    pub(crate) event: &'a [u8],
    /// Field 6: the page is pending.
    pub(crate) no_commit: bool,
    /// Place of the event in its aggregate, where the header names one.
    pub(crate) sequence: Option<u32>,
}

impl<'a> PageOutline<'a> {
    /// Reads the outline of an encoded `EventPage`.
    ///
    /// # Errors
    /// [`Malformed`] when the bytes are not one.
    pub(crate) fn of(page: &'a [u8]) -> Result<Self, Malformed> {
        let mut outline = Self::default();
        for field in Fields::of(page) {
            match field? {
                Field {
                    number: 3,
                    value: Value::Bytes(any),
                    ..
                } => outline.read_any(any)?,
                Field {
                    number: 4,
                    value: Value::Bytes(reference),
                    ..
                } => outline.read_reference(reference)?,
                Field {
                    number: 1,
                    value: Value::Bytes(header),
                    ..
                } => outline.read_header(header)?,
                Field {
                    number: 6,
                    value: Value::Varint(flag),
                    ..
                } => {
                    outline.no_commit = flag != 0;
                }
                _ => {}
            }
        }
        Ok(outline)
    }

    fn read_header(&mut self, header: &'a [u8]) -> Result<(), Malformed> {
        for field in Fields::of(header) {
            if let Field {
                number: 1,
                value: Value::Varint(sequence),
                ..
            } = field?
            {
                self.sequence = Some(u32::try_from(sequence).map_err(|_| Malformed)?);
            }
        }
        Ok(())
    }

    /// The fragment of the URI is the type.
    fn read_reference(&mut self, reference: &'a [u8]) -> Result<(), Malformed> {
        for field in Fields::of(reference) {
            if let Field {
                number: 2,
                value: Value::Bytes(uri),
                ..
            } = field?
            {
                let uri = std::str::from_utf8(uri).map_err(|_| Malformed)?;
                self.type_url = uri.split_once('#').map_or("", |(_, name)| name);
            }
        }
        Ok(())
    }

    fn read_any(&mut self, any: &'a [u8]) -> Result<(), Malformed> {
        for field in Fields::of(any) {
            match field? {
                Field {
                    number: 1,
                    value: Value::Bytes(url),
                    ..
                } => {
                    self.type_url = std::str::from_utf8(url).map_err(|_| Malformed)?;
                }
                Field {
                    number: 2,
                    value: Value::Bytes(event),
                    ..
                } => self.event = event,
                _ => {}
            }
        }
        Ok(())
    }
}

/// An encoded page with field 6 overwritten: of two occurrences protobuf reads the last.
pub(super) fn with_field_6(page: &Bytes, flag: bool) -> Bytes {
    let mut changed = Vec::with_capacity(page.len() + 2);
    changed.extend_from_slice(page);
    changed.extend_from_slice(&[6 << 3, u8::from(flag)]);
    Bytes::from(changed)
}

#[cfg(test)]
mod tests;
