//! Where large payloads are kept.

use std::time::Duration;

use super::{ConfigError, section::Section, value};

/// Payloads that lie in an object store, with a reference in the event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payloads {
    /// Folder or URL.
    pub store: String,
    /// Larger payloads go there, in bytes.
    pub threshold: u64,
    /// How long one without an event is kept.
    pub retention: Duration,
    /// How often those are looked for.
    pub sweep_interval: Duration,
}

impl Payloads {
    /// Reads the map at `payloads`; none when there is none.
    pub(super) fn read(root: &mut Section) -> Result<Option<Self>, ConfigError> {
        let Some(mut section) = root.optional("payloads")? else {
            return Ok(None);
        };
        let payloads = Self {
            store: section.require("store", |text| Ok(text.to_owned()))?,
            threshold: section.parse("threshold", 64 << 10, value::positive_bytes)?,
            retention: section.parse(
                "retention",
                Duration::from_secs(24 * 3600),
                value::positive_duration,
            )?,
            sweep_interval: section.parse(
                "sweep_interval",
                Duration::from_secs(3600),
                value::positive_duration,
            )?,
        };
        section.finish()?;
        Ok(Some(payloads))
    }
}
