use std::marker::PhantomData;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use prost::Message;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// Encodes a shared message and leaves the answer undecoded.
///
/// The message is shared so that a retry copies nothing; the answer is decoded by the caller,
/// who can then tell a peer's status from bytes that make no sense.
#[derive(Debug)]
pub(crate) struct SharedCodec<M>(PhantomData<fn() -> M>);

impl<M> SharedCodec<M> {
    pub(crate) const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<M: Message + Send + Sync + 'static> Codec for SharedCodec<M> {
    type Encode = Arc<M>;
    type Decode = Bytes;
    type Encoder = SharedEncoder<M>;
    type Decoder = BytesDecoder;

    fn encoder(&mut self) -> Self::Encoder {
        SharedEncoder(PhantomData)
    }

    fn decoder(&mut self) -> Self::Decoder {
        BytesDecoder
    }
}

#[derive(Debug)]
pub(crate) struct SharedEncoder<M>(PhantomData<fn() -> M>);

impl<M: Message + Send + Sync + 'static> Encoder for SharedEncoder<M> {
    type Item = Arc<M>;
    type Error = Status;

    fn encode(&mut self, item: Arc<M>, target: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(target)
            .map_err(|error| Status::internal(error.to_string()))
    }
}

#[derive(Debug)]
pub(crate) struct BytesDecoder;

impl Decoder for BytesDecoder {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(source.copy_to_bytes(source.remaining())))
    }
}
