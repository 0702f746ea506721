/// Bounds on what a client or a handler may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Pages in one book.
    pub pages: usize,
    /// Bytes of one command or event.
    pub payload_bytes: usize,
    /// Bytes of one gRPC message.
    pub message_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pages: 100,
            payload_bytes: 256 * 1024,
            message_bytes: 10 * 1024 * 1024,
        }
    }
}
