#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::*;
use proptest::prelude::*;

fn place(salt: u32) -> Place {
    Place {
        address: Address::new(4096),
        durable: Address::new(1024),
        position: Position::new(7),
        recorded_at: Timestamp::from_nanos(1_700_000_000_000_000_000),
        previous: 0xdead_beef,
        salt,
    }
}

fn frame(salt: u32, payload: &[u8]) -> (Header, Vec<u8>) {
    let mut out = Vec::new();
    let header = encode(&mut out, place(salt), Kind::Commit, |out| {
        out.extend_from_slice(payload);
        3
    });
    (header, out)
}

fn decode(bytes: &[u8], salt: u32, address: Address) -> Result<Header, Malformed> {
    let header = Header::decode(bytes.first_chunk().unwrap(), salt, address)?;
    check_payload(&header, salt, bytes)?;
    Ok(header)
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(payload in prop::collection::vec(any::<u8>(), 0..300), salt in 1u32..) {
        let (header, bytes) = frame(salt, &payload);
        prop_assert_eq!(bytes.len() % ALIGN, 0);
        prop_assert_eq!(bytes.len() as u64, header.frame_len());
        prop_assert_eq!(decode(&bytes, salt, Address::new(4096)), Ok(header));
        prop_assert_eq!(header.next_position(), Position::new(10));
    }

    #[test]
    fn every_flipped_bit_is_noticed(payload in prop::collection::vec(any::<u8>(), 0..60), salt in 1u32.., at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let (_, mut bytes) = frame(salt, &payload);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(decode(&bytes, salt, Address::new(4096)).is_err());
    }

    #[test]
    fn bytes_that_are_no_frame_are_refused(bytes in prop::array::uniform32(any::<u8>()), salt in 1u32..) {
        let doubled = [bytes, bytes].concat();
        prop_assert!(decode(&doubled, salt, Address::default()).is_err());
    }
}

#[test]
fn a_frame_is_bound_to_its_address_and_segment() {
    let (_, bytes) = frame(1, b"payload");
    assert_eq!(
        decode(&bytes, 1, Address::new(4104)),
        Err(Malformed::Address)
    );
    assert_eq!(
        decode(&bytes, 2, Address::new(4096)),
        Err(Malformed::HeaderChecksum)
    );
}

#[test]
fn zeros_are_not_a_frame_under_any_salt() {
    for salt in [1, 2, 0xffff_ffff] {
        assert_eq!(
            decode(&[0; 64], salt, Address::default()),
            Err(Malformed::Magic)
        );
        assert_ne!(checksum(salt, &[]), 0);
    }
}

#[test]
fn a_frame_cut_short_is_refused() {
    let (_, bytes) = frame(1, b"some payload");
    for len in HEADER_LEN..bytes.len() {
        assert_eq!(
            decode(&bytes[..len], 1, Address::new(4096)),
            Err(Malformed::Incomplete)
        );
    }
}

/// The bytes of the format: a change here is a change of the format, see CONTRIBUTING.md.
#[test]
fn the_bytes_are_those_of_format_version_1() {
    let (_, bytes) = frame(0x0102_0304, b"hi");
    let hex: Vec<String> = bytes.iter().map(|b| format!("{b:02x}")).collect();
    let lines: Vec<String> = hex.chunks(16).map(|line| line.join(" ")).collect();
    assert_eq!(
        lines,
        include_str!("frame_v1.hex").lines().collect::<Vec<_>>()
    );
}
