//! Frame headers and payload checksums.

use super::Input;
use crate::log::frame::{HEADER_LEN, Header, Kind, MAGIC, Place, check_payload, checksum, encode};
use crate::types::{Address, Position, Timestamp};

/// Reads arbitrary bytes as a frame, as they are and with the checksums made to fit, and changes
/// a bit of a frame that was written.
pub fn frame(data: &[u8]) {
    let mut input = Input(data);
    let mode = input.byte();
    let salt = input.u32();
    let address = Address::new(input.u64());
    match mode % 3 {
        0 => read(salt, address, input.0),
        1 => read_with_checksums(salt, address, input.0),
        _ => change(salt, address, input),
    }
}

/// What is accepted is what writing the same fields gives.
fn read(salt: u32, address: Address, bytes: &[u8]) {
    let Some(head) = bytes.first_chunk() else {
        return;
    };
    let Ok(header) = Header::decode(head, salt, address) else {
        return;
    };
    assert_eq!(header.address, address);
    if check_payload(&header, salt, bytes).is_err() {
        return;
    }
    let payload = &bytes[HEADER_LEN..HEADER_LEN + header.payload_len as usize];
    let mut again = Vec::new();
    let written = encode(&mut again, place(&header, salt), header.kind, |out| {
        out.extend_from_slice(payload);
        header.events
    });
    assert_eq!(written, header);
    assert_eq!(bytes[..again.len()], again);
}

fn place(header: &Header, salt: u32) -> Place {
    Place {
        address: header.address,
        durable: header.durable,
        position: header.position,
        recorded_at: header.recorded_at,
        previous: header.previous,
        salt,
    }
}

/// Gets behind the checksums, which no random bytes would pass.
fn read_with_checksums(salt: u32, address: Address, bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    if bytes.len() < HEADER_LEN {
        return;
    }
    bytes[..4].copy_from_slice(&MAGIC);
    bytes[8..16].copy_from_slice(&address.get().to_le_bytes());
    let len = u32::from_le_bytes([bytes[40], bytes[41], bytes[42], bytes[43]]) as usize;
    let len = len.min(bytes.len() - HEADER_LEN);
    if bytes[60] & 1 == 0 {
        bytes[40..44].copy_from_slice(&(len as u32).to_le_bytes());
    }
    let sum = checksum(salt, &bytes[HEADER_LEN..HEADER_LEN + len]);
    bytes[44..48].copy_from_slice(&sum.to_le_bytes());
    let sum = checksum(salt, &bytes[8..HEADER_LEN]);
    bytes[4..8].copy_from_slice(&sum.to_le_bytes());
    read(salt, address, &bytes);
}

/// A frame that was written is read back; with any one bit changed it is not.
fn change(salt: u32, address: Address, mut input: Input<'_>) {
    let address = Address::new(address.get() / 8 * 8);
    let place = Place {
        address,
        durable: Address::new(input.u64()),
        position: Position::new(input.u64()),
        recorded_at: Timestamp::from_nanos(input.u64().cast_signed()),
        previous: input.u32(),
        salt,
    };
    let events = input.u32();
    let kind = [Kind::Commit, Kind::Mark][usize::from(input.byte() % 2)];
    let bit = usize::from(input.u16());
    let mut bytes = Vec::new();
    let written = encode(&mut bytes, place, kind, |out| {
        out.extend_from_slice(input.0);
        events
    });
    assert_eq!(bytes.len() as u64, written.frame_len());
    let parse = |bytes: &[u8]| {
        let header = Header::decode(bytes.first_chunk().unwrap(), salt, address)?;
        check_payload(&header, salt, bytes).map(|()| header)
    };
    assert_eq!(parse(&bytes), Ok(written));
    let at = bit / 8 % bytes.len();
    bytes[at] ^= 1 << (bit % 8);
    assert!(parse(&bytes).is_err(), "bit {bit} was changed unnoticed");
}
