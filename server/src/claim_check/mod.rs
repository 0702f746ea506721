//! Claim check: large payloads lie in an object store, and their pages hold a reference.
//!
//! An object is the encoded `Any` of an event; its name is the SHA-256 of its bytes. The fragment of
//! a reference's URI is the type of the event, so that it can be told without fetching it.

mod place;
mod reference;
mod sweep;

use std::sync::Arc;
use std::time::SystemTime;

use angzarr_adapters::StoreError;
use angzarr_proto::store::v1::AppendRequest;
use angzarr_proto::v1::{EventPage, PayloadReference, PayloadRetrievalFailedDetails, event_page};
use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use prost::Message;
use prost_types::{Any, Timestamp};
use sha2::{Digest, Sha256};
use thiserror::Error;
use tokio::sync::RwLock;

use self::place::Place;
use crate::framework;

/// A payload that could not be fetched.
#[derive(Debug, Clone, Error)]
#[error("the payload at {} cannot be fetched: {}", .details.uri, .details.error)]
pub struct PayloadLost {
    /// Which one, and why.
    pub details: PayloadRetrievalFailedDetails,
    /// The object store may have it later.
    pub transient: bool,
}

/// Puts large payloads into an object store, and fetches them again.
#[derive(Debug)]
pub struct ClaimCheck {
    objects: Arc<dyn ObjectStore>,
    place: Place,
    /// Larger payloads go to the object store, in bytes.
    threshold: usize,
    /// Held for reading from before an object is written until its reference is stored; for
    /// writing while objects without a reference are removed.
    sweeping: Arc<RwLock<()>>,
}

impl ClaimCheck {
    /// Keeps payloads above `threshold` bytes in the folder or bucket that `url` names.
    ///
    /// # Errors
    /// A sentence: the text names no place that this build can use.
    pub fn open(url: &str, threshold: usize) -> Result<Self, String> {
        let (objects, place) = place::open(url)?;
        Ok(Self {
            objects,
            place,
            threshold,
            sweeping: Arc::default(),
        })
    }

    /// Puts the large payloads of a request into the object store and references into their
    /// pages. They are durable when it returns; the guard is to be held until the request is
    /// answered.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the object store does not take one.
    pub async fn check_in(
        &self,
        request: &mut AppendRequest,
    ) -> Result<impl Send + use<>, StoreError> {
        let guard = Arc::clone(&self.sweeping).read_owned().await;
        for write in &mut request.writes {
            let domain = write.cover.as_ref().map_or("", |cover| &cover.domain);
            if framework::is_internal(domain) {
                continue;
            }
            for page in &mut write.pages {
                if let Some(event_page::Payload::Event(event)) = &page.payload
                    && event.value.len() > self.threshold
                    && framework::name(&event.type_url).is_none()
                {
                    page.payload = Some(event_page::Payload::External(self.put(event).await?));
                }
            }
        }
        Ok(guard)
    }

    /// Pages with their payloads in them.
    ///
    /// # Errors
    /// [`PayloadLost`] for the first payload that is not there or not what it was.
    pub async fn resolve(&self, pages: Vec<Bytes>) -> Result<Vec<Bytes>, PayloadLost> {
        let mut whole = Vec::with_capacity(pages.len());
        for page in pages {
            whole.push(match reference::of(&page) {
                None => page,
                Some((decoded, reference)) => {
                    let event = self.fetch(&reference).await?;
                    let page = EventPage {
                        payload: Some(event_page::Payload::Event(event)),
                        ..decoded
                    };
                    page.encode_to_vec().into()
                }
            });
        }
        Ok(whole)
    }

    async fn put(&self, event: &Any) -> Result<PayloadReference, StoreError> {
        let object = event.encode_to_vec();
        let hash = Sha256::digest(&object);
        let size = u64::try_from(object.len()).unwrap_or(u64::MAX);
        // Written again when it is there: the time it was written at says that it is in use.
        let put = self.objects.put(&self.path(&hash), object.into()).await;
        put.map_err(|error| {
            StoreError::Unavailable(format!("a payload cannot be stored: {error}"))
        })?;
        Ok(PayloadReference {
            storage_type: self.place.kind.into(),
            uri: format!("{}#{}", self.place.uri(&hex(&hash)), event.type_url),
            content_hash: hash.to_vec(),
            original_size: size,
            stored_at: Some(Timestamp::from(SystemTime::now())),
        })
    }

    async fn fetch(&self, reference: &PayloadReference) -> Result<Any, PayloadLost> {
        let lost = |error: String, transient| PayloadLost {
            details: PayloadRetrievalFailedDetails {
                storage_type: reference.storage_type,
                uri: reference.uri.clone(),
                content_hash: reference.content_hash.clone(),
                original_size: reference.original_size,
                error,
            },
            transient,
        };
        let found = async {
            let path = self.path(&reference.content_hash);
            self.objects.get(&path).await?.bytes().await
        };
        let object = found.await.map_err(|error| {
            let gone = matches!(error, object_store::Error::NotFound { .. });
            lost(error.to_string(), !gone)
        })?;
        let hash = Sha256::digest(&object);
        if hash.as_slice() != reference.content_hash {
            let found = hex(&hash);
            return Err(lost(
                format!("its SHA-256 is {found}: it was changed"),
                false,
            ));
        }
        Any::decode(object).map_err(|error| lost(error.to_string(), false))
    }

    /// Objects of one name in many folders: some file systems do not like large ones.
    fn path(&self, hash: &[u8]) -> Path {
        let name = hex(hash);
        let folder = name.get(..2).unwrap_or_default().to_owned();
        self.place.prefix.clone().join(folder).join(name)
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
