use angzarr_proto::{
    store::v1 as pb,
    v1::{EventPage, event_page::Payload},
};
use clap::Args;
use prost_types::Any;
use serde_json::json;
use uuid::Uuid;

use super::{
    Failure,
    failure::Exit,
    payload,
    target::{Target, Timeline, root_text, unhex},
};
use crate::output::{Ink, Output};

/// Append one event to an aggregate.
#[derive(Debug, Clone, Args)]
pub(super) struct Append {
    /// Domain of the aggregate.
    domain: String,
    /// Root of the aggregate: a UUID, or `new` for a fresh one.
    root: String,
    /// The payload: text, `@FILE` (`@-`: standard input), or `hex:` and hexadecimal digits.
    #[arg(long, short, value_name = "DATA")]
    data: String,
    /// Full type name of the payload, whose encoded bytes --data gives. Left out, the data is
    /// stored as text (google.protobuf.StringValue).
    #[arg(long = "type", short, value_name = "NAME")]
    type_name: Option<String>,
    /// What must hold of the aggregate: its next sequence, `none` for no events yet, or `any`.
    #[arg(long, default_value = "any", value_name = "N|none|any", value_parser = expected)]
    expected: pb::Expected,
    /// Correlation id stored with the event.
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    correlation: String,
    /// Store the event as pending, as part of this cascade.
    #[arg(long, value_name = "ID")]
    cascade: Option<String>,
    /// Answer in JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    timeline: Timeline,
    #[command(flatten)]
    target: Target,
}

impl Append {
    pub(super) async fn run(self, output: &mut Output) -> Result<(), Failure> {
        let event = self.payload()?;
        let root = match self.root.as_str() {
            "new" => Uuid::new_v4(),
            text => root(text)?,
        };
        let mut cover = self.timeline.cover(&self.domain, root);
        cover.correlation_id.clone_from(&self.correlation);
        let page = EventPage {
            payload: Some(Payload::Event(event)),
            ..EventPage::default()
        };
        let write = pb::AggregateAppend {
            cover: Some(cover.clone()),
            pages: vec![page],
            expected: Some(self.expected),
            ..pb::AggregateAppend::default()
        };
        let request = pb::AppendRequest {
            writes: vec![write],
            cascade_id: self.cascade.clone(),
            ..pb::AppendRequest::default()
        };
        let remote = self.target.connect()?;
        let answer = remote
            .store()
            .append(request)
            .await
            .map_err(|error| remote.failure(&error))?;
        let sequence = answer
            .results
            .first()
            .and_then(|result| result.last_sequence)
            .ok_or_else(|| Failure::new(Exit::Failed, "the server did not say what it stored"))?;
        let root = root_text(&cover);
        let branch = self.timeline.branch().unwrap_or("main");
        if self.json {
            return Ok(output.json(&json!({
                "domain": self.domain, "root": root, "edition": branch,
                "sequence": sequence, "position": answer.position,
            }))?);
        }
        let line = format!(
            "{} {} {} {} · sequence {} · position {}",
            output.paint(Ink::Good, "stored"),
            output.paint(Ink::Title, &self.domain),
            root,
            output.paint(Ink::Branch, branch),
            output.paint(Ink::Number, sequence),
            output.paint(Ink::Number, answer.position),
        );
        Ok(output.line(line)?)
    }

    fn payload(&self) -> Result<Any, Failure> {
        let bytes = data(&self.data)?;
        match &self.type_name {
            Some(name) if name.contains('/') => Ok(Any {
                type_url: name.clone(),
                value: bytes,
            }),
            Some(name) => Ok(Any {
                type_url: format!("type.googleapis.com/{name}"),
                value: bytes,
            }),
            None => match std::str::from_utf8(&bytes) {
                Ok(text) => Ok(payload::text_any(text)),
                Err(_) => Err(Failure::usage("the data is not text, and no type is given")
                    .next("say with --type which message the bytes encode")),
            },
        }
    }
}

fn data(text: &str) -> Result<Vec<u8>, Failure> {
    if text == "@-" {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut std::io::stdin(), &mut bytes)?;
        return Ok(bytes);
    }
    if let Some(path) = text.strip_prefix('@') {
        return std::fs::read(path)
            .map_err(|error| Failure::usage(format!("cannot read {path}: {error}")));
    }
    match text.strip_prefix("hex:") {
        None => Ok(text.as_bytes().to_vec()),
        Some(digits) => unhex(digits).ok_or_else(|| {
            Failure::usage(format!(
                "{digits:?} is not an even number of hexadecimal digits"
            ))
        }),
    }
}

/// A root as given on the command line.
pub(super) fn root(text: &str) -> Result<Uuid, Failure> {
    Uuid::parse_str(text).map_err(|_| {
        Failure::usage(format!("{text:?} is not a root; a root is a UUID"))
            .next("`angzarr aggregates` lists the roots there are")
    })
}

fn expected(text: &str) -> Result<pb::Expected, String> {
    use pb::expected::State;
    let state = match text {
        "any" => State::Any(true),
        "none" => State::NoEvents(true),
        number => State::Next(
            number
                .parse()
                .map_err(|_| "write a sequence number, `none` or `any`".to_owned())?,
        ),
    };
    Ok(pb::Expected { state: Some(state) })
}
