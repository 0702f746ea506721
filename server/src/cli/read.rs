use angzarr_proto::{
    store::v1 as pb,
    v1::{SequenceRange, Snapshot},
};
use clap::Args;
use futures::TryStreamExt;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    Failure,
    append::root,
    event::{Event, clock, fit, mark},
    payload,
    target::{Remote, Target, Timeline},
};
use crate::output::{Ink, Output};

/// Show the events of one aggregate.
#[derive(Debug, Clone, Args)]
pub(super) struct Read {
    /// Domain of the aggregate.
    domain: String,
    /// Root of the aggregate, a UUID.
    root: String,
    /// First sequence to show.
    #[arg(long, value_name = "N", conflicts_with = "as_of")]
    from: Option<u32>,
    /// Last sequence to show.
    #[arg(long, value_name = "N", conflicts_with = "as_of")]
    to: Option<u32>,
    /// The aggregate as it was: at a sequence, or at a time such as 2026-01-31T12:00:00Z.
    #[arg(long, value_name = "N|TIME", value_parser = as_of)]
    as_of: Option<AsOf>,
    /// Newest first.
    #[arg(long)]
    reverse: bool,
    /// Begin with the newest usable snapshot.
    #[arg(long)]
    snapshot: bool,
    /// Show pending and revoked events as the business code sees them.
    #[arg(long)]
    resolved: bool,
    /// One JSON object for each event.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    timeline: Timeline,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Clone, Copy)]
enum AsOf {
    Sequence(u32),
    Time(Timestamp),
}

impl Read {
    pub(super) async fn run(self, output: &mut Output) -> Result<(), Failure> {
        let remote = self.target.connect()?;
        let request = self.request()?;
        let fail = |error| remote.failure(&error);
        let mut chunks = remote.store().read(request).await.map_err(fail)?;
        let divergence = self.divergence(&remote).await?;
        let mut first = true;
        let mut shown = 0_usize;
        while let Some(chunk) = chunks.try_next().await.map_err(fail)? {
            if std::mem::take(&mut first) && !self.json {
                self.title(output, &chunk, divergence)?;
            }
            if let Some(snapshot) = &chunk.snapshot {
                self.snapshot(output, snapshot)?;
            }
            for page in chunk.pages.iter() {
                let event = Event::decode(page)?;
                self.event(output, &event, divergence)?;
                shown += 1;
            }
        }
        if shown == 0 && !self.json {
            output.line(output.paint(Ink::Faint, "  no events here"))?;
        }
        Ok(())
    }

    fn request(&self) -> Result<pb::ReadRequest, Failure> {
        use pb::read_request::Selection;
        let range = SequenceRange {
            lower: self.from.unwrap_or(0),
            upper: self.to,
        };
        let selection = match self.as_of {
            Some(AsOf::Sequence(sequence)) => Some(Selection::AsOfSequence(sequence)),
            Some(AsOf::Time(time)) => Some(Selection::AsOfTime(prost_types::Timestamp {
                seconds: time.as_second(),
                nanos: time.subsec_nanosecond(),
            })),
            None if self.from.is_some() || self.to.is_some() => Some(Selection::Range(range)),
            None => None,
        };
        let direction = if self.reverse {
            pb::Direction::Backwards
        } else {
            pb::Direction::Forwards
        };
        let pending = if self.resolved {
            pb::PendingView::Resolved
        } else {
            pb::PendingView::Raw
        };
        Ok(pb::ReadRequest {
            cover: Some(self.timeline.cover(&self.domain, root(&self.root)?)),
            selection,
            with_snapshot: self.snapshot,
            direction: direction.into(),
            pending: pending.into(),
            cascade_id: None,
            skip_isolated: false,
        })
    }

    /// Where the branch left main, when that was said explicitly.
    async fn divergence(&self, remote: &Remote) -> Result<Option<u32>, Failure> {
        let Some(branch) = self.timeline.branch() else {
            return Ok(None);
        };
        let request = pb::ListEditionDetailsRequest {
            edition: branch.to_owned(),
            ..pb::ListEditionDetailsRequest::default()
        };
        let answer = remote
            .store()
            .list_edition_details(request)
            .await
            .map_err(|error| remote.failure(&error))?;
        let mut domains = answer.editions.iter().flat_map(|edition| &edition.domains);
        let found = domains.find(|domain| domain.domain == self.domain);
        Ok(found.and_then(|domain| domain.divergence))
    }

    fn title(
        &self,
        output: &mut Output,
        chunk: &pb::ReadResponse,
        divergence: Option<u32>,
    ) -> Result<(), Failure> {
        let timeline = match (self.timeline.branch(), divergence) {
            (None, _) => "main".to_owned(),
            (Some(branch), None) => format!("branch {branch}"),
            (Some(branch), Some(at)) => format!("branch {branch}, own events from {at} on (◆)"),
        };
        let line = format!(
            "{} {} · {} · next sequence {}",
            output.paint(Ink::Title, &self.domain),
            self.root,
            output.paint(Ink::Branch, timeline),
            output.paint(Ink::Number, chunk.next_sequence),
        );
        Ok(output.line(line)?)
    }

    fn snapshot(&self, output: &mut Output, snapshot: &Snapshot) -> Result<(), Failure> {
        let state = snapshot.state.as_ref();
        if self.json {
            let state = state.map(|any| {
                payload::to_json(Some(&angzarr_proto::v1::event_page::Payload::Event(
                    any.clone(),
                )))
            });
            return Ok(output.json(&json!({"snapshot": snapshot.sequence, "state": state}))?);
        }
        let name = state.map_or("", |any| payload::type_name(&any.type_url));
        let text = format!("{:>6} ▣ snapshot of {name}", snapshot.sequence);
        Ok(output.line(output.paint(Ink::Faint, text))?)
    }

    fn event(
        &self,
        output: &mut Output,
        event: &Event,
        divergence: Option<u32>,
    ) -> Result<(), Failure> {
        if self.json {
            let mut value = event.to_json();
            if let Value::Object(map) = &mut value {
                map.insert("domain".to_owned(), json!(self.domain));
                map.insert("root".to_owned(), json!(self.root));
                map.insert(
                    "edition".to_owned(),
                    json!(self.timeline.branch().unwrap_or("main")),
                );
            }
            return Ok(output.json(&value)?);
        }
        let own = divergence.is_some_and(|at| event.sequence >= at);
        let (name, text) = event.describe();
        let number = format!("{:>6}", event.sequence);
        let time = clock(event.created_at);
        let padded = format!("{name:<24}");
        let line = format!(
            "{} {} {}  {} {}{}",
            output.paint(Ink::Number, &number),
            mark(output, event, own),
            output.paint(Ink::Faint, &time),
            output.paint(Ink::Type, &padded),
            fit(output, &text, 12 + time.len() + padded.chars().count()),
            if event.pending {
                output.paint(Ink::Warn, " pending")
            } else {
                String::new()
            },
        );
        Ok(output.line(line.trim_end())?)
    }
}

fn as_of(text: &str) -> Result<AsOf, String> {
    if let Ok(sequence) = text.parse() {
        return Ok(AsOf::Sequence(sequence));
    }
    text.parse()
        .map(AsOf::Time)
        .map_err(|_| "write a sequence, or a time such as 2026-01-31T12:00:00Z".to_owned())
}
