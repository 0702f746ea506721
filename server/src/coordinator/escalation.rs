//! Tells people, through a webhook, about what the system cannot mend by itself.

use std::time::Duration;

use angzarr_proto::v1::{AngzarrDeferredSequence, RejectionNotification, RevocationResponse};
use bytes::Bytes;
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use super::Coordinator;
use super::synchronous::type_of;
use super::validate::{self, Command};

/// Longest time a webhook may take.
const TIMEOUT: Duration = Duration::from_secs(10);

impl Coordinator {
    /// Posts what happened to the configured webhook and logs it as an error. A webhook that
    /// fails is logged too: the log is the last resort.
    pub(super) async fn escalate(
        &self,
        command: &Command,
        origin: &AngzarrDeferredSequence,
        revocation: &RevocationResponse,
        rejection: &RejectionNotification,
    ) {
        let rejected = rejection.rejected_command.clone().unwrap_or_default();
        tracing::error!(
            domain = command.cover.domain,
            root = validate::root_hex(&command.cover),
            sequence = origin.source_seq,
            component = origin.source_component,
            rejection = rejection.rejection_reason,
            reason = revocation.reason,
            "a compensation was escalated: a person has to look at it"
        );
        let Some(url) = &self.settings.escalation_webhook else {
            return;
        };
        let report = serde_json::json!({
            "domain": command.cover.domain,
            "root": validate::root_hex(&command.cover),
            "edition": validate::edition_name(&command.cover),
            "correlation_id": command.cover.correlation_id,
            "sequence": origin.source_seq,
            "component": origin.source_component,
            "rejected_command": type_of(&rejected),
            "rejected_domain": rejected.cover.map(|cover| cover.domain).unwrap_or_default(),
            "rejection_reason": rejection.rejection_reason,
            "reason": revocation.reason,
        });
        let posted = tokio::time::timeout(TIMEOUT, post(url, report.to_string())).await;
        let problem = match posted {
            Ok(Ok(status)) if status.is_success() => return,
            Ok(Ok(status)) => format!("it answered {status}"),
            Ok(Err(problem)) => problem,
            Err(_) => format!("it did not answer within {TIMEOUT:?}"),
        };
        tracing::error!(url, problem, "the escalation webhook failed");
    }
}

async fn post(url: &str, body: String) -> Result<http::StatusCode, String> {
    let request = http::Request::post(url)
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| error.to_string())?;
    let client = Client::builder(TokioExecutor::new()).build_http();
    let answer = client.request(request).await;
    answer
        .map(|answer| answer.status())
        .map_err(|error| error.to_string())
}
