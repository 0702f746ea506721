use angzarr_proto::store::v1 as pb;
use clap::Args;
use futures::TryStreamExt;
use pb::read_all_response::Item;
use serde_json::{Value, json};

use super::{
    Exit, Failure,
    append::root,
    event::{Event, clock, fit, mark},
    target::{Target, branch_text, root_text},
};
use crate::output::{Ink, Output};

/// Follow what is stored, as it is stored.
#[derive(Debug, Clone, Args)]
pub(super) struct Tail {
    /// Begin after this position; `start` for everything there is, `now` for what comes.
    #[arg(long, value_name = "POSITION|start|now", default_value = "now", value_parser = from)]
    from: Start,
    /// Only events of these domains.
    #[arg(long = "domain", short, value_name = "DOMAIN")]
    domains: Vec<String>,
    /// Only events of these editions; `main` for the main timeline.
    #[arg(long = "edition", short, value_name = "NAME")]
    editions: Vec<String>,
    /// Only events of these types: full names, or last dotted parts.
    #[arg(long = "type", short, value_name = "NAME")]
    types: Vec<String>,
    /// Only events of these aggregates.
    #[arg(long = "root", short, value_name = "UUID")]
    roots: Vec<String>,
    /// Only events with this correlation id.
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    correlation: String,
    /// End after this many events.
    #[arg(long, short = 'n', value_name = "N")]
    count: Option<u64>,
    /// End when everything stored so far was shown.
    #[arg(long)]
    no_follow: bool,
    /// One JSON object for each event.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Clone, Copy)]
enum Start {
    Position(u64),
    Now,
}

impl Tail {
    pub(super) async fn run(self, output: &mut Output) -> Result<(), Failure> {
        let remote = self.target.connect()?;
        let fail = |error| remote.failure(&error);
        let after_position = match self.from {
            Start::Position(position) => position,
            Start::Now => {
                remote
                    .store()
                    .stats(pb::StatsRequest {})
                    .await
                    .map_err(fail)?
                    .position
            }
        };
        let request = pb::ReadAllRequest {
            after_position,
            filter: Some(self.filter()?),
        };
        let mut items = if self.no_follow {
            remote.store().read_all(request).await
        } else {
            remote.store().subscribe(request).await
        }
        .map_err(fail)?;
        let mut left = self.count;
        let mut last = after_position;
        while left != Some(0) {
            let response = match items.try_next().await {
                Ok(Some(response)) => response,
                Ok(None) if self.no_follow => break,
                Ok(None) => return Err(ended("the server stopped", last)),
                Err(error) => return Err(ended(&remote.failure(&error).to_string(), last)),
            };
            let Some(Item::Book(book)) = response.item else {
                continue;
            };
            for (page, position) in book.pages.iter().zip(&book.positions) {
                if left == Some(0) {
                    break;
                }
                self.event(output, &book, &Event::decode(page)?, *position)?;
                last = *position;
                left = left.map(|left| left - 1);
            }
        }
        Ok(())
    }

    fn filter(&self) -> Result<pb::Filter, Failure> {
        let roots = self
            .roots
            .iter()
            .map(|text| Ok(root(text)?.as_bytes().to_vec()));
        let main_by_name = |name: &String| match name.as_str() {
            "main" => String::new(),
            name => name.to_owned(),
        };
        Ok(pb::Filter {
            domains: self.domains.clone(),
            editions: self.editions.iter().map(main_by_name).collect(),
            types: self.types.clone(),
            roots: roots.collect::<Result<_, Failure>>()?,
            correlation_id: self.correlation.clone(),
            skip_isolated: false,
        })
    }

    fn event(
        &self,
        output: &mut Output,
        book: &pb::RecordedBook,
        event: &Event,
        position: u64,
    ) -> Result<(), Failure> {
        let cover = book.cover.clone().unwrap_or_default();
        let (root, branch) = (root_text(&cover), branch_text(&cover));
        if self.json {
            let mut value = event.to_json();
            if let Value::Object(map) = &mut value {
                map.insert("position".to_owned(), json!(position));
                map.insert("domain".to_owned(), json!(cover.domain));
                map.insert("root".to_owned(), json!(root));
                map.insert("edition".to_owned(), json!(branch));
                map.insert("correlation_id".to_owned(), json!(cover.correlation_id));
                map.insert("isolated".to_owned(), json!(book.isolated));
            }
            return Ok(output.json(&value)?);
        }
        let (name, text) = event.describe();
        let branch = if branch == "main" {
            String::new()
        } else {
            format!(" ({branch})")
        };
        let (root, time) = short(output, &root, &clock(event.created_at));
        let place = format!("{} {root}{branch}", cover.domain);
        let sequence = format!("#{}", event.sequence);
        let used = 15 + time.len() + place.chars().count() + sequence.len() + name.chars().count();
        let line = format!(
            "{} {} {} {} {}{} {} {} {}{}",
            output.paint(Ink::Number, format!("{position:>8}")),
            mark(output, event, !branch.is_empty()),
            output.paint(Ink::Faint, &time),
            output.paint(Ink::Title, &cover.domain),
            output.paint(Ink::Faint, &root),
            output.paint(Ink::Branch, &branch),
            output.paint(Ink::Number, &sequence),
            output.paint(Ink::Type, &name),
            fit(output, &text, used),
            if event.pending {
                output.paint(Ink::Warn, " pending")
            } else {
                String::new()
            },
        );
        Ok(output.line(line.trim_end())?)
    }
}

/// Root and time as a terminal has room for: it shows today, and a root is known by its
/// beginning. In a pipe both are whole.
fn short(output: &Output, root: &str, time: &str) -> (String, String) {
    const ROOMY: usize = 140;
    let Some(width) = output.width() else {
        return (root.to_owned(), time.to_owned());
    };
    let clock = time
        .split_once(' ')
        .map_or(time, |(_, clock)| clock)
        .to_owned();
    match root.get(..8) {
        Some(beginning) if width < ROOMY => (format!("{beginning}…"), clock),
        _ => (root.to_owned(), clock),
    }
}

/// The failure of a stream that ended by itself, and how to go on from there.
fn ended(problem: &str, last: u64) -> Failure {
    let problem = problem.lines().next().unwrap_or_default();
    Failure::new(
        Exit::Unreachable,
        format!("{problem}; the last position seen was {last}"),
    )
    .next(format!(
        "once a server runs again, --from {last} continues where this ended"
    ))
}

fn from(text: &str) -> Result<Start, String> {
    match text {
        "start" => Ok(Start::Position(0)),
        "now" => Ok(Start::Now),
        number => number
            .parse()
            .map(Start::Position)
            .map_err(|_| "write a position, `start` or `now`".to_owned()),
    }
}
