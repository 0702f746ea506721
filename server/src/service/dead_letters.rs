use std::sync::Arc;
use std::time::SystemTime;

use angzarr_adapters::StoreError;
use angzarr_proto::Dialect;
use angzarr_proto::status::dlq_admin_service_server::{DlqAdminService, DlqAdminServiceServer};
use angzarr_proto::status::{
    DeleteDeadLetterOk, DeleteDeadLetterRequest, DeleteDeadLetterResponse, GetDeadLetterRequest,
    GetDeadLetterResponse, ListDeadLettersRequest, ListDeadLettersResponse, ProblemDetails,
    ReplayDeadLetterRequest, ReplayDeadLetterResponse, ReplayMode, delete_dead_letter_response,
    get_dead_letter_response, list_dead_letters_response, replay_dead_letter_response,
};
use prost_types::Timestamp;
use tonic::{Request, Response, Status};

use crate::admin::{AdminError, DeadLetters};
use crate::status;

/// What the answers come from.
const SOURCE: &str = "angzarr.dlq";

/// Who asks, in their own words.
const REQUESTED_BY: &str = "x-requested-by";

/// Characters of it that are kept.
const REQUESTED_BY_MAX: usize = 256;

/// Dead letters over gRPC.
pub struct DeadLetterService {
    letters: Arc<DeadLetters>,
}

impl DeadLetterService {
    /// The service of `letters`, for requests of at most `message_bytes_max` bytes.
    #[must_use]
    pub fn server(
        letters: Arc<DeadLetters>,
        message_bytes_max: usize,
    ) -> DlqAdminServiceServer<Self> {
        DlqAdminServiceServer::new(Self { letters }).max_decoding_message_size(message_bytes_max)
    }
}

/// One answer: what was found, or that the store cannot say at the moment. Other failures are
/// statuses.
macro_rules! answer {
    ($outcome:expr, $response:ident, $state:ident) => {{
        let state = match degraded($outcome)? {
            Ok(ok) => $state::State::Ok(ok),
            Err(problem) => $state::State::Degraded(problem),
        };
        Ok(Response::new($response {
            state: Some(state),
            checked_at: Some(Timestamp::from(SystemTime::now())),
            source: SOURCE.to_owned(),
        }))
    }};
}

#[tonic::async_trait]
impl DlqAdminService for DeadLetterService {
    async fn list_dead_letters(
        &self,
        request: Request<ListDeadLettersRequest>,
    ) -> Result<Response<ListDeadLettersResponse>, Status> {
        let found = self.letters.list(request.into_inner()).await;
        answer!(found, ListDeadLettersResponse, list_dead_letters_response)
    }

    async fn get_dead_letter(
        &self,
        request: Request<GetDeadLetterRequest>,
    ) -> Result<Response<GetDeadLetterResponse>, Status> {
        let found = self.letters.get(request.into_inner().id).await;
        answer!(found, GetDeadLetterResponse, get_dead_letter_response)
    }

    async fn delete_dead_letter(
        &self,
        request: Request<DeleteDeadLetterRequest>,
    ) -> Result<Response<DeleteDeadLetterResponse>, Status> {
        let by = requested_by(&request);
        let deleted = self.letters.delete(request.into_inner().id, by).await;
        let deleted = deleted.map(|deleted| DeleteDeadLetterOk { deleted });
        answer!(
            deleted,
            DeleteDeadLetterResponse,
            delete_dead_letter_response
        )
    }

    async fn replay_dead_letter(
        &self,
        request: Request<ReplayDeadLetterRequest>,
    ) -> Result<Response<ReplayDeadLetterResponse>, Status> {
        let by = requested_by(&request);
        let request = request.into_inner();
        let mode = ReplayMode::try_from(request.replay_mode).map_err(|_| {
            Status::invalid_argument(format!(
                "replay_mode is {}, which is no value of its enumeration",
                request.replay_mode
            ))
        })?;
        let replayed = self.letters.replay(request.id, mode, by).await;
        answer!(
            replayed,
            ReplayDeadLetterResponse,
            replay_dead_letter_response
        )
    }
}

fn degraded<T>(outcome: Result<T, AdminError>) -> Result<Result<T, ProblemDetails>, Status> {
    match outcome {
        Ok(ok) => Ok(Ok(ok)),
        Err(AdminError::Store(
            error @ (StoreError::Unavailable(_) | StoreError::Busy(_) | StoreError::Poisoned(_)),
        )) => Ok(Err(ProblemDetails {
            r#type: "about:blank".to_owned(),
            title: "the dead letters cannot be reached".to_owned(),
            status: 503,
            detail: error.to_string(),
            instance: String::new(),
        })),
        Err(error) => Err(refusal(error)),
    }
}

fn refusal(error: AdminError) -> Status {
    let message = error.to_string();
    match error {
        AdminError::Invalid(_) => Status::invalid_argument(message),
        AdminError::NotFound(_) => Status::not_found(message),
        AdminError::Refused(_) => Status::failed_precondition(message),
        AdminError::Replay(error) => status::of(*error, Dialect::V1),
        AdminError::Store(error) => Status::from(error),
    }
}

fn requested_by<T>(request: &Request<T>) -> String {
    let value = request.metadata().get(REQUESTED_BY);
    let text = value
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    text.chars().take(REQUESTED_BY_MAX).collect()
}
