use tonic::transport::Channel;

use super::args::Common;
use super::report::Server;
use super::{Error, grpc};

/// The server to measure.
pub(crate) struct Target {
    pub(crate) url: String,
}

impl Target {
    pub(crate) async fn open(common: &Common) -> Result<Self, Error> {
        let Some(url) = common.target.clone() else {
            return Err(Error::Usage(
                "give the address of a server with --target".to_owned(),
            ));
        };
        Ok(Self { url })
    }

    pub(crate) async fn close(self) {}

    /// The connection for everything outside the measured loop.
    pub(crate) fn first<'a>(&self, channels: &'a [Channel]) -> Result<&'a Channel, Error> {
        channels
            .first()
            .ok_or_else(|| Error::Usage("a benchmark needs a connection".to_owned()))
    }

    /// Asks the server what it promises.
    pub(crate) async fn describe(&self, channel: &Channel) -> Result<Server, Error> {
        let stats = grpc::stats(channel).await?;
        Ok(Server {
            target: self.url.clone(),
            durability: stats.durability,
            index: stats.index,
        })
    }
}
