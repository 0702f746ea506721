use std::collections::BTreeMap;
use std::path::PathBuf;

use angzarr_proto::store::v1 as pb;
use angzarr_proto::v1;
use clap::Args;
use futures::TryStreamExt;
use indicatif::ProgressBar;
use pb::read_all_response::Item;
use prost::Message;

use super::{
    Exit, Failure, offline,
    target::Target,
    transfer::{Event, FORMAT, Form, Line, Place, Snapshot, sequence},
};
use crate::output::Output;

mod sink;

use sink::{Sink, State};

/// Write all events of a store to a file, to be read by other programs or by `import`.
#[derive(Debug, Clone, Args)]
pub(super) struct Export {
    /// The file; standard output when left out.
    file: Option<PathBuf>,
    /// Form of the file.
    #[arg(long, value_enum, default_value_t = Form::Jsonl)]
    format: Form,
    /// Only events after this position.
    #[arg(long, value_name = "POSITION", default_value_t = 0)]
    after: u64,
    /// Only events of these domains.
    #[arg(long = "domain", short, value_name = "DOMAIN")]
    domains: Vec<String>,
    /// Leave snapshots out.
    #[arg(long)]
    no_snapshots: bool,
    /// Answer in JSON, when a file is given.
    #[arg(long, requires = "file")]
    json: bool,
    /// The data folder of a stopped server, to be opened instead of asking a server.
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    #[command(flatten)]
    target: Target,
}

/// Collects a list that comes in pages.
macro_rules! all {
    ($place:expr, $list:ident($request:ident) . $names:ident) => {{
        let (mut names, mut token) = (Vec::new(), String::new());
        loop {
            let request = pb::$request {
                page_token: token,
                ..Default::default()
            };
            let found = $place.store().$list(request).await;
            let found = found.map_err(|error| $place.failure(&error))?;
            names.extend(found.$names);
            token = found.next_page_token;
            if token.is_empty() {
                break names;
            }
        }
    }};
}

impl Export {
    pub(super) async fn run(self, output: &mut Output) -> Result<(), Failure> {
        let place = Place::open(&self.target, self.folder.as_deref()).await?;
        let stats = place.store().stats(pb::StatsRequest {}).await;
        let stats = stats.map_err(|error| place.failure(&error))?;
        let begin = State {
            database_id: stats.database_id,
            format: self.format,
            domains: self.domains.clone(),
            position: self.after,
            bytes: 0,
        };
        let mut sink = Sink::open(self.file.as_deref(), begin)?;
        let bar = offline::bar();
        bar.set_message("export");
        bar.set_length(stats.log_bytes);
        let branches = self.branches(&place).await?;
        if self.format == Form::Jsonl {
            head(&mut sink, &branches)?;
        }
        let mut reading = Reading {
            sink: &mut sink,
            branches,
            format: self.format,
        };
        let events = self
            .events(&place, &mut reading, &bar, stats.position)
            .await?;
        if self.format == Form::Jsonl && !self.no_snapshots {
            self.snapshots(&place, &mut sink).await?;
        }
        bar.finish_and_clear();
        sink.finish()?;
        place.close().await?;
        match &self.file {
            None => Ok(()),
            Some(_) if self.json => Ok(output.json(&serde_json::json!({
                "position": stats.position, "written_events": events,
            }))?),
            Some(file) => Ok(output.line(format!(
                "{} holds the events up to position {}, {events} of them written now",
                file.display(),
                stats.position
            ))?),
        }
    }

    async fn branches(&self, place: &Place) -> Result<Branches, Failure> {
        let editions = all!(
            place,
            list_edition_details(ListEditionDetailsRequest).editions
        );
        let mut branches = Branches::new();
        for edition in editions {
            for it in edition.domains {
                let wanted = self.domains.is_empty() || self.domains.contains(&it.domain);
                if let Some(divergence) = it.divergence.filter(|_| wanted) {
                    branches.insert((edition.name.clone(), it.domain), divergence);
                }
            }
        }
        Ok(branches)
    }

    async fn events(
        &self,
        place: &Place,
        reading: &mut Reading<'_>,
        bar: &ProgressBar,
        last: u64,
    ) -> Result<u64, Failure> {
        let request = pb::ReadAllRequest {
            after_position: reading.sink.state.position,
            filter: Some(pb::Filter {
                domains: self.domains.clone(),
                ..Default::default()
            }),
        };
        let books = place.store().read_all(request).await;
        let mut books = books.map_err(|error| place.failure(&error))?;
        let mut events = 0;
        while let Some(answer) = books
            .try_next()
            .await
            .map_err(|error| place.failure(&error))?
        {
            let (book, position) = match answer.item {
                Some(Item::Book(book)) => {
                    let position = book.positions.last().copied().unwrap_or_default();
                    (Some(book), position)
                }
                Some(Item::Progress(progress)) => (None, progress.position),
                None => continue,
            };
            if let Some(book) = book {
                events += book.pages.len() as u64;
                reading.book(&book)?;
            }
            reading.sink.passed(position)?;
            let done = u128::from(bar.length().unwrap_or(0)) * u128::from(position);
            let done = done.checked_div(u128::from(last)).unwrap_or(0);
            bar.set_position(u64::try_from(done).unwrap_or(u64::MAX));
        }
        Ok(events)
    }

    async fn snapshots(&self, place: &Place, sink: &mut Sink) -> Result<(), Failure> {
        let store = place.store();
        let fail = |error| place.failure(&error);
        let (domains, editions) = self.timelines(place).await?;
        for (domain, edition) in domains
            .iter()
            .flat_map(|domain| editions.iter().map(move |edition| (domain, edition)))
        {
            let mut token = String::new();
            loop {
                let request = pb::ListAggregatesRequest {
                    domain: domain.clone(),
                    edition: edition.clone(),
                    page_size: 0,
                    page_token: token,
                };
                let found = store.list_aggregates(request).await.map_err(fail)?;
                for aggregate in found.aggregates {
                    let cover = v1::Cover {
                        domain: domain.clone(),
                        root: aggregate.root,
                        edition: (!edition.is_empty()).then(|| v1::Edition {
                            name: edition.clone(),
                            ..Default::default()
                        }),
                        ..Default::default()
                    };
                    let request = pb::ListSnapshotsRequest {
                        cover: Some(cover.clone()),
                    };
                    let found = store.list_snapshots(request).await.map_err(fail)?;
                    for snapshot in &found.snapshots {
                        sink.line(&Line::Snapshot(Box::new(Snapshot::of(&cover, snapshot))))?;
                    }
                }
                token = found.next_page_token;
                if token.is_empty() {
                    break;
                }
            }
        }
        Ok(())
    }
}

impl Export {
    /// Domains and editions, main included.
    async fn timelines(&self, place: &Place) -> Result<(Vec<String>, Vec<String>), Failure> {
        let mut domains = all!(place, list_domains(ListDomainsRequest).domains);
        domains.retain(|it| self.domains.is_empty() || self.domains.contains(it));
        let mut editions = all!(place, list_editions(ListEditionsRequest).editions);
        editions.push(String::new());
        Ok((domains, editions))
    }
}

/// Where branches leave main, by edition and domain.
type Branches = BTreeMap<(String, String), u32>;

/// What must be known before the events. Where an export goes on, there may be new branches.
fn head(sink: &mut Sink, branches: &Branches) -> Result<(), Failure> {
    if sink.state.bytes == 0 {
        sink.line(&Line::Export {
            format: FORMAT,
            database_id: sink.state.database_id.clone(),
        })?;
    }
    for ((name, domain), divergence) in branches {
        sink.line(&Line::Edition {
            name: name.clone(),
            domain: domain.clone(),
            divergence: *divergence,
        })?;
    }
    Ok(())
}

/// Writes books as they are read.
struct Reading<'a> {
    sink: &'a mut Sink,
    branches: Branches,
    format: Form,
}

impl Reading<'_> {
    fn book(&mut self, book: &pb::RecordedBook) -> Result<(), Failure> {
        let pages = book
            .pages
            .iter()
            .map(|page| v1::EventPage::decode(page.clone()));
        let pages = pages.collect::<Result<Vec<_>, _>>().map_err(|error| {
            Failure::new(
                Exit::Failed,
                format!("the server sent a page that is none: {error}"),
            )
            .next("use a server of the same version as this tool")
        })?;
        if self.format == Form::Jsonl {
            for (page, position) in pages.iter().zip(&book.positions) {
                self.sink
                    .line(&Line::Event(Box::new(Event::of(book, page, *position))))?;
            }
            return Ok(());
        }
        let next = pages
            .last()
            .map_or(0, |page| sequence(page).saturating_add(1));
        let mut cover = book.cover.clone();
        // A book must say by itself where its branch leaves main.
        if let Some(cover) = &mut cover
            && let Some(edition) = &mut cover.edition
        {
            let branch = (edition.name.clone(), cover.domain.clone());
            let divergence = self.branches.get(&branch).copied();
            let divergence = divergence.map(|sequence| v1::DomainDivergence {
                domain: branch.1,
                sequence,
            });
            edition.divergences.extend(divergence);
        }
        let book = v1::EventBook {
            cover,
            pages,
            next_sequence: next,
            ..Default::default()
        };
        Ok(self.sink.write(&book.encode_length_delimited_to_vec())?)
    }
}
