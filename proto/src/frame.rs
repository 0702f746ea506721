use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;

/// Bytes in front of each message of a gRPC stream: that it is not compressed, and its length.
pub const FRAME_HEAD: usize = 5;

/// A message as gRPC sends it.
pub fn frame(message: &impl Message) -> Bytes {
    let mut frame = BytesMut::with_capacity(FRAME_HEAD + message.encoded_len());
    frame.put_bytes(0, FRAME_HEAD);
    message.encode_raw(&mut frame);
    put_frame_head(&mut frame);
    frame.freeze()
}

/// Completes a frame: its first [`FRAME_HEAD`] bytes, behind which the message stands.
///
/// # Panics
/// When the message has 4 GiB or more.
pub fn put_frame_head(frame: &mut [u8]) {
    let len = frame.len().saturating_sub(FRAME_HEAD);
    let len = u32::try_from(len).expect("messages are far smaller");
    if let Some((head, _)) = frame.split_first_chunk_mut::<FRAME_HEAD>() {
        let [compressed, rest @ ..] = head;
        *compressed = 0;
        *rest = len.to_be_bytes();
    }
}

#[cfg(test)]
mod tests;
