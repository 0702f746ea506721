use std::time::Duration;

use super::{ConfigError, section::Section, value};

/// Cascades that nobody settles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cascade {
    /// How long one may be pending before it is revoked.
    pub timeout: Duration,
    /// How often that is looked for.
    pub check_interval: Duration,
}

/// Compensations that the business code leaves to the framework.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compensation {
    /// Domain of the events about those that failed.
    pub fallback_domain: String,
    /// Where those that a person has to look at are posted.
    pub webhook: Option<String>,
}

impl Cascade {
    pub(super) fn read(mut section: Section) -> Result<Self, ConfigError> {
        let seconds = Duration::from_secs;
        let cascade = Self {
            timeout: section.parse("timeout", seconds(5 * 60), value::positive_duration)?,
            check_interval: section.parse(
                "check_interval",
                seconds(30),
                value::positive_duration,
            )?,
        };
        section.finish()?;
        Ok(cascade)
    }
}

impl Compensation {
    pub(super) fn read(mut section: Section) -> Result<Self, ConfigError> {
        let default = "angzarr.saga-failures".to_owned();
        let compensation = Self {
            fallback_domain: section.parse("fallback_domain", default, domain)?,
            webhook: section.parse("webhook", None, webhook)?,
        };
        section.finish()?;
        Ok(compensation)
    }
}

fn domain(text: &str) -> Result<String, String> {
    super::component::domain(text).map(|()| text.to_owned())
}

fn webhook(text: &str) -> Result<Option<String>, String> {
    let uri: Result<http::Uri, _> = text.parse();
    let usable = uri.is_ok_and(|uri| uri.scheme_str() == Some("http") && uri.host().is_some());
    if usable {
        return Ok(Some(text.to_owned()));
    }
    Err(format!(
        "{text:?} is no address to post to; write http://host:port/path"
    ))
}
