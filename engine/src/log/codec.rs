//! Variable-length integers and length-prefixed bytes, little-endian base 128.

/// The bytes are not what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a record does not have the documented form: {0}")]
pub(crate) struct BadRecord(pub(crate) &'static str);

/// Appends an unsigned integer, seven bits to a byte, lowest first.
pub(crate) fn put_uint(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let low = value.to_le_bytes()[0] & 0x7f;
        value >>= 7;
        if value == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

/// Appends a signed integer, small magnitudes in few bytes.
pub(crate) fn put_int(out: &mut Vec<u8>, value: i64) {
    put_uint(out, (value.wrapping_shl(1) ^ (value >> 63)).cast_unsigned());
}

/// Appends bytes behind their length.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_uint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads what the functions above wrote, from the front.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decoder<'a>(pub(crate) &'a [u8]);

impl<'a> Decoder<'a> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], BadRecord> {
        let (head, rest) = self
            .0
            .split_at_checked(len)
            .ok_or(BadRecord("it ends early"))?;
        self.0 = rest;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], BadRecord> {
        let (head, rest) = self
            .0
            .split_first_chunk()
            .ok_or(BadRecord("it ends early"))?;
        self.0 = rest;
        Ok(*head)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, BadRecord> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn uint(&mut self) -> Result<u64, BadRecord> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(BadRecord("an integer is too large"))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, BadRecord> {
        u32::try_from(self.uint()?).map_err(|_| BadRecord("a 32-bit integer is too large"))
    }

    pub(crate) fn int(&mut self) -> Result<i64, BadRecord> {
        let raw = self.uint()?;
        Ok((raw >> 1).cast_signed() ^ -((raw & 1).cast_signed()))
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], BadRecord> {
        let len = usize::try_from(self.uint()?).map_err(|_| BadRecord("it ends early"))?;
        self.take(len)
    }

    pub(crate) fn str(&mut self) -> Result<&'a str, BadRecord> {
        std::str::from_utf8(self.bytes()?).map_err(|_| BadRecord("a name is not UTF-8"))
    }
}
