//! Fewer, larger writes to a connection.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;

/// Bytes that are held back at most, about one frame of HTTP/2.
const HELD_MAX: usize = 16 * 1024;

/// So many flushes in a row may give way for nothing; of those that follow, one in so many tries.
const FRUITLESS_MAX: u32 = 4;
const TRY_AGAIN: u32 = 32;

/// A connection that lets what is ready at the same time go out in one write.
///
/// An HTTP/2 library writes the head of a message together with its data, then what ends it, and
/// flushes for each of many answers that tasks give one after the other: two writes for each
/// answer, and writes are a fifth of what a command costs. Here small writes are held back, and a
/// flush lets the tasks that are ready run once before it sends: what they write goes with it. On a connection with one call at a time nothing ever does, and giving way wakes a
/// thread: there it is tried now and then.
#[derive(Debug)]
pub(crate) struct Corked<S> {
    stream: S,
    held: BytesMut,
    flushing: Flushing,
    /// Flushes in a row that nothing went with.
    fruitless: u32,
}

/// How far a flush of what is held has got.
#[derive(Debug)]
enum Flushing {
    NotYet,
    /// Others are let through; so many bytes were held then.
    GivingWay(usize),
    Sending,
}

impl<S> Corked<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self {
            stream,
            held: BytesMut::new(),
            flushing: Flushing::NotYet,
            fruitless: 0,
        }
    }

    /// Whether a flush lets others through before it sends.
    fn gives_way(&mut self) -> bool {
        let came = match self.flushing {
            Flushing::Sending => return false,
            Flushing::GivingWay(held) => self.held.len() > held,
            Flushing::NotYet => {
                if self.fruitless < FRUITLESS_MAX || self.fruitless.is_multiple_of(TRY_AGAIN) {
                    self.flushing = Flushing::GivingWay(self.held.len());
                    return true;
                }
                false
            }
        };
        self.fruitless = if came {
            0
        } else {
            self.fruitless.wrapping_add(1)
        };
        self.flushing = Flushing::Sending;
        false
    }
}

impl<S: AsyncWrite + Unpin> Corked<S> {
    /// Sends what is held and `more` behind it. Returns how much of `more` was sent: at least one
    /// byte unless it is empty or the peer takes no more.
    fn poll_send(&mut self, context: &mut Context<'_>, more: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let both = [IoSlice::new(&self.held), IoSlice::new(more)];
            let sent = ready!(Pin::new(&mut self.stream).poll_write_vectored(context, &both))?;
            let of_held = sent.min(self.held.len());
            self.held.advance(of_held);
            if !self.held.is_empty() {
                if sent == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                continue;
            }
            self.flushing = Flushing::NotYet;
            if sent > of_held || more.is_empty() || of_held == 0 {
                return Poll::Ready(Ok(sent - of_held));
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Corked<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.held.len() + bytes.len() > HELD_MAX {
            return this.poll_send(context, bytes);
        }
        this.held.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.held.is_empty() {
            if this.gives_way() {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            ready!(this.poll_send(context, &[]))?;
        }
        Pin::new(&mut this.stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.held.is_empty() {
            ready!(this.poll_send(context, &[]))?;
        }
        Pin::new(&mut this.stream).poll_shutdown(context)
    }

    /// Never: HTTP/2 libraries write several small frames into one buffer then.
    fn is_write_vectored(&self) -> bool {
        false
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Corked<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(context, buffer)
    }
}

impl<S: Connected> Connected for Corked<S> {
    type ConnectInfo = S::ConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.stream.connect_info()
    }
}

#[cfg(test)]
mod tests;
