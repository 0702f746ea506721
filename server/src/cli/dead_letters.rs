use angzarr_proto::status as pb;
use angzarr_proto::status::dlq_admin_service_client::DlqAdminServiceClient;
use clap::{Args, Subcommand};
use pb::{
    delete_dead_letter_response, get_dead_letter_response, list_dead_letters_response,
    replay_dead_letter_response,
};
use serde_json::{Value, json};
use tonic::transport::Channel;

use super::{Exit, Failure, target::Remote, target::Target};
use crate::output::{Ink, Output};

/// Letters fetched with one call.
const PAGE: i32 = 200;

/// Show what could not be processed; send it again or delete it.
#[derive(Debug, Clone, Args)]
pub(super) struct DeadLetters {
    #[command(subcommand)]
    action: Option<Action>,
    /// Which to list: terms such as domain=order, component=billing, type=sequence_mismatch,
    /// since=2026-01-31T00:00:00Z, state=replayed, or a word of the reason.
    #[arg(long, value_name = "TERMS", default_value = "")]
    filter: String,
    /// One JSON object for each letter.
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Clone, Subcommand)]
enum Action {
    /// One letter with all it holds.
    Show { id: i64 },
    /// Send it again: a command to its aggregate, events to the component that did not take them.
    Replay {
        id: i64,
        /// A command with the sequence that it expected, not with the one there is now.
        #[arg(long)]
        as_is: bool,
    },
    /// Take it out of sight, for good.
    Delete { id: i64 },
}

impl DeadLetters {
    pub(super) async fn run(self, output: &mut Output) -> Result<(), Failure> {
        let remote = self.target.connect()?;
        let client = DlqAdminServiceClient::new(remote.channel());
        let letters = Letters { client, remote };
        match self.action {
            None => letters.list(self.filter, self.json, output).await,
            Some(Action::Show { id }) => letters.show(id, self.json, output).await,
            Some(Action::Replay { id, as_is }) => letters.replay(id, as_is, output).await,
            Some(Action::Delete { id }) => letters.delete(id, output).await,
        }
    }
}

struct Letters {
    client: DlqAdminServiceClient<Channel>,
    remote: Remote,
}

/// What there is in an answer, or why the server cannot say.
macro_rules! ok {
    ($letters:ident, $answer:expr, $state:ident) => {{
        let answer = $answer.map_err(|status| $letters.remote.refusal(&status))?;
        match answer.into_inner().state {
            Some($state::State::Ok(ok)) => ok,
            Some($state::State::Degraded(problem)) => return Err(degraded(&problem)),
            None => return Err(Failure::new(Exit::Failed, "the server's answer is empty")),
        }
    }};
}

impl Letters {
    async fn list(
        mut self,
        filter: String,
        json: bool,
        output: &mut Output,
    ) -> Result<(), Failure> {
        let mut page_token = String::new();
        let mut found = false;
        loop {
            let request = pb::ListDeadLettersRequest {
                filter: filter.clone(),
                page_size: PAGE,
                page_token,
            };
            let answer = self.client.list_dead_letters(request).await;
            let page = ok!(self, answer, list_dead_letters_response);
            for letter in &page.entries {
                found = true;
                if json {
                    output.json(&to_json(letter))?;
                } else {
                    output.line(line(output, letter))?;
                }
            }
            if page.next_page_token.is_empty() {
                break;
            }
            page_token = page.next_page_token;
        }
        if !found && !json {
            output.line(output.paint(Ink::Faint, "no dead letters"))?;
        }
        Ok(())
    }

    async fn show(mut self, id: i64, json: bool, output: &mut Output) -> Result<(), Failure> {
        let answer = self
            .client
            .get_dead_letter(pb::GetDeadLetterRequest { id })
            .await;
        let ok = ok!(self, answer, get_dead_letter_response);
        let letter = ok.entry.unwrap_or_default();
        if json {
            return Ok(output.json(&to_json(&letter))?);
        }
        let rows = [
            ("id", letter.id.to_string()),
            ("domain", letter.domain.clone()),
            ("from", from(&letter)),
            ("at", at(&letter)),
            ("correlation", letter.correlation_id.clone()),
            ("reason", output.paint(Ink::Bad, &letter.rejection_reason)),
            ("details", letter.details.clone()),
        ];
        for (name, value) in rows {
            if !value.is_empty() {
                let name = output.paint(Ink::Faint, format!("{name:<12}"));
                output.line(format!("{name} {value}"))?;
            }
        }
        let view: Option<Value> = serde_json::from_str(&letter.payload_view).ok();
        let pretty = view.and_then(|view| serde_json::to_string_pretty(&view).ok());
        Ok(output.line(pretty.unwrap_or(letter.payload_view))?)
    }

    async fn replay(mut self, id: i64, as_is: bool, output: &mut Output) -> Result<(), Failure> {
        let mode = if as_is {
            pb::ReplayMode::AsIs
        } else {
            pb::ReplayMode::FreshSequence
        };
        let request = pb::ReplayDeadLetterRequest {
            id,
            replay_mode: mode.into(),
        };
        let answer = self.client.replay_dead_letter(request).await;
        ok!(self, answer, replay_dead_letter_response);
        let text = format!("dead letter {id} was sent again and accepted");
        Ok(output.line(output.paint(Ink::Good, text))?)
    }

    async fn delete(mut self, id: i64, output: &mut Output) -> Result<(), Failure> {
        let answer = self
            .client
            .delete_dead_letter(pb::DeleteDeadLetterRequest { id })
            .await;
        let ok = ok!(self, answer, delete_dead_letter_response);
        let text = if ok.deleted {
            format!("dead letter {id} is deleted")
        } else {
            format!("dead letter {id} was deleted before")
        };
        Ok(output.line(output.paint(Ink::Good, text))?)
    }
}

fn degraded(problem: &pb::ProblemDetails) -> Failure {
    Failure::new(
        Exit::Failed,
        format!("{}: {}", problem.title, problem.detail),
    )
    .next("try again when the store can be reached")
}

fn line(output: &Output, letter: &pb::StoredDeadLetter) -> String {
    let id = output.paint(Ink::Number, format!("{:>6}", letter.id));
    let domain = output.paint(Ink::Title, format!("{:<16}", letter.domain));
    let when = output.paint(Ink::Faint, at(letter));
    let reason = output.paint(Ink::Bad, &letter.rejection_reason);
    format!("{id}  {when}  {domain} {}  {reason}", from(letter))
}

fn from(letter: &pb::StoredDeadLetter) -> String {
    let kind = letter.source_component_type.replace('_', " ");
    format!("{kind} {}", letter.source_component)
}

fn at(letter: &pb::StoredDeadLetter) -> String {
    let at = letter.occurred_at.or(letter.created_at);
    at.map(|at| at.to_string()).unwrap_or_default()
}

fn to_json(letter: &pb::StoredDeadLetter) -> Value {
    let view: Option<Value> = serde_json::from_str(&letter.payload_view).ok();
    json!({
        "id": letter.id, "domain": letter.domain, "correlation_id": letter.correlation_id,
        "reason": letter.rejection_reason, "type": letter.rejection_type().as_str_name(),
        "details": letter.details, "component": letter.source_component,
        "component_type": letter.source_component_type, "occurred_at": at(letter),
        "payload": view,
    })
}
