use std::marker::PhantomData;

use prost::Message;
use tonic::Status;
use tonic::codec::{
    BufferSettings, Codec as TonicCodec, Decoder as TonicDecoder, EncodeBuf,
    Encoder as TonicEncoder,
};
use tonic_prost::ProstCodec;

type Plain<T, U> = ProstCodec<T, U>;

/// The usual codec but for one thing: it makes room for the whole message before it encodes.
///
/// Otherwise a chunk of stored pages is copied each time the buffer has to double.
#[derive(Debug, Clone)]
pub(crate) struct Codec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for Codec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> TonicCodec for Codec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = Encoder<<Plain<T, U> as TonicCodec>::Encoder>;
    type Decoder = <Plain<T, U> as TonicCodec>::Decoder;

    fn encoder(&mut self) -> Self::Encoder {
        Encoder(Plain::<T, U>::raw_encoder(BufferSettings::default()))
    }

    fn decoder(&mut self) -> Self::Decoder {
        Plain::<T, U>::raw_decoder(BufferSettings::default())
    }
}

/// Reads the messages of a gRPC stream.
pub fn decoder<U>() -> impl TonicDecoder<Item = U, Error = Status> + Send + 'static
where
    U: Message + Default + Send + 'static,
{
    Plain::<U, U>::raw_decoder(BufferSettings::default())
}

/// Makes room, then leaves the encoding to another encoder.
#[derive(Debug, Clone)]
pub(crate) struct Encoder<E>(E);

impl<E> TonicEncoder for Encoder<E>
where
    E: TonicEncoder<Item: Message>,
{
    type Item = E::Item;
    type Error = E::Error;

    fn encode(&mut self, item: E::Item, buffer: &mut EncodeBuf<'_>) -> Result<(), E::Error> {
        buffer.reserve(item.encoded_len());
        self.0.encode(item, buffer)
    }

    fn buffer_settings(&self) -> BufferSettings {
        self.0.buffer_settings()
    }
}
