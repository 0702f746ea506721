//! Where a consumer begins.

use angzarr_proto::internal::v1::ConsumerStarted;
use angzarr_proto::store::v1::{
    AggregateAppend, AppendRequest, Claim, GetPositionRequest, ReadRequest, StatsRequest,
};
use angzarr_proto::v1::{Cover, EventPage, event_page};
use prost::Message;

use super::round::Delivery;
use crate::coordinator::Error;
use crate::coordinator::load::read_book;
use crate::framework;
use crate::handler::fields::PageOutline;
use crate::registry::checkpoint_name;

/// Where first starts are recorded.
const STARTED: &str = "angzarr.consumers.started";
/// Of two servers that start a consumer for the first time, one decides.
const CLAIM: &str = "start";

impl Delivery {
    /// Position behind which a round begins: that of the checkpoint, or, until there is one, the
    /// position at which a consumer that begins with what comes was started for the first time.
    pub(super) async fn start(&self, checkpoint: &str, generation: u32) -> Result<u64, Error> {
        let request = GetPositionRequest {
            consumer: checkpoint.to_owned(),
        };
        let position = self.store.get_position(request).await?.position;
        // A rebuild is about the whole history.
        if position > 0 || generation > 0 {
            return Ok(position);
        }
        if let Some(started) = self.started().await? {
            return Ok(started);
        }
        if !self.interest.from_now {
            return Ok(position);
        }
        self.record_start().await?;
        Ok(self.started().await?.unwrap_or_default())
    }

    /// Records where a consumer begins that begins with what comes. Anything else stays as it is.
    pub(in crate::coordinator) async fn fix_start(&self) -> Result<(), Error> {
        if self.interest.from_now {
            let generation = self.generation().await?;
            self.start(&checkpoint_name(&self.name, generation), generation)
                .await?;
        }
        Ok(())
    }

    /// Durable before the first event is delivered: what comes from now on is not missed, however
    /// long the consumer is away before it has taken any.
    async fn record_start(&self) -> Result<(), Error> {
        let event = ConsumerStarted {
            consumer: self.name.clone(),
            position: self.store.stats(StatsRequest {}).await?.position,
        };
        let page = EventPage {
            payload: Some(event_page::Payload::Event(framework::pack_internal(
                "ConsumerStarted",
                &event,
            ))),
            ..EventPage::default()
        };
        let request = AppendRequest {
            writes: vec![AggregateAppend {
                cover: Some(self.started_cover()),
                pages: vec![page],
                claim: Some(Claim {
                    kind: CLAIM.to_owned(),
                    key: self.name.as_bytes().to_vec(),
                }),
                ..AggregateAppend::default()
            }],
            ..AppendRequest::default()
        };
        self.store.append(request).await?;
        Ok(())
    }

    async fn started(&self) -> Result<Option<u64>, Error> {
        let request = ReadRequest {
            cover: Some(self.started_cover()),
            ..ReadRequest::default()
        };
        let book = read_book(self.store.as_ref(), request).await?;
        let Some(page) = book.pages.first() else {
            return Ok(None);
        };
        let outline = PageOutline::of(page).map_err(Error::damaged)?;
        let started = ConsumerStarted::decode(outline.event).map_err(Error::damaged)?;
        Ok(Some(started.position))
    }

    fn started_cover(&self) -> Cover {
        Cover {
            domain: STARTED.to_owned(),
            ..self.cover()
        }
    }
}
