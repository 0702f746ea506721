use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;

use angzarr_adapters::StoreError;
use angzarr_proto::store::v1 as pb;
use angzarr_proto::v1;
use clap::Args;
use prost::Message;
use serde_json::json;

use super::{
    Exit, Failure, offline,
    target::Target,
    transfer::{FORMAT, Form, Line, Place, sequence},
};
use crate::output::Output;

mod batch;

use batch::{Batch, Piece};

/// Largest encoded book, in bytes.
const BOOK_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Store the events of an export, each once, however often it is repeated.
#[derive(Debug, Clone, Args)]
pub(super) struct Import {
    /// The file; `-` for standard input.
    file: PathBuf,
    /// Form of the file.
    #[arg(long, value_enum, default_value_t = Form::Jsonl)]
    format: Form,
    /// Under which name the store remembers how far this import has got; made of the database's id
    /// or the file's name when left out.
    #[arg(long = "as", value_name = "NAME")]
    name: Option<String>,
    /// The data folder of a stopped server, or a new one, to be opened instead of asking a server.
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// Answer in JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

/// What an import did.
#[derive(Default)]
struct Counts {
    stored: u64,
    known: u64,
    snapshots: u64,
}

impl Import {
    pub(super) async fn run(self, output: &mut Output) -> Result<(), Failure> {
        let bar = offline::bar();
        bar.set_message("import");
        let mut input: Box<dyn BufRead + Send> = if self.file.as_os_str() == "-" {
            Box::new(BufReader::new(std::io::stdin()))
        } else {
            let name = self.file.display();
            let file = File::open(&self.file)
                .map_err(|error| Failure::usage(format!("{name}: {error}")))?;
            bar.set_length(file.metadata().map_or(0, |data| data.len()));
            Box::new(BufReader::new(bar.wrap_read(file)))
        };
        let place = Place::open(&self.target, self.folder.as_deref()).await?;
        let mut importing = Importing {
            place: &place,
            consumer: String::new(),
            done: 0,
            batch: Batch::default(),
            counts: Counts::default(),
        };
        match self.format {
            Form::Jsonl => self.lines(&mut importing, &mut *input).await?,
            Form::Books => self.books(&mut importing, &mut *input).await?,
        }
        importing.flush().await?;
        let counts = importing.counts;
        bar.finish_and_clear();
        place.close().await?;
        if self.json {
            return Ok(output.json(&json!({
                "stored_events": counts.stored, "known_events": counts.known,
                "stored_snapshots": counts.snapshots,
            }))?);
        }
        let (stored, known) = (counts.stored, counts.known);
        Ok(output.line(format!(
            "stored {stored} events; {known} were there already"
        ))?)
    }

    async fn lines(
        &self,
        importing: &mut Importing<'_>,
        input: &mut (dyn BufRead + Send),
    ) -> Result<(), Failure> {
        let mut text = String::new();
        let mut number = 0u64;
        loop {
            text.clear();
            if input.read_line(&mut text)? == 0 {
                return Ok(());
            }
            number += 1;
            let wrong = |problem: String| bad_file(format!("line {number}: {problem}"));
            let line = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
            match line {
                Line::Export {
                    format,
                    database_id,
                } => {
                    if format > FORMAT {
                        return Err(
                            wrong(format!("its format is {format}")).next("use a newer angzarr")
                        );
                    }
                    let name = self.name.clone().unwrap_or(database_id);
                    importing.begin(&name).await?;
                }
                _ if importing.consumer.is_empty() => {
                    return Err(wrong("the first line must be the export's own".to_owned()));
                }
                Line::Edition {
                    name,
                    domain,
                    divergence,
                } => importing.fork(name, domain, divergence).await?,
                Line::Event(event) => {
                    let piece = Piece {
                        cover: event.cover().map_err(wrong)?,
                        first: event.sequence,
                        pages: vec![event.page().map_err(wrong)?],
                        cascade: event.cascade_id.clone(),
                        isolated: event.isolated,
                        position: event.position,
                    };
                    importing.take(piece).await?;
                }
                Line::Snapshot(snapshot) => {
                    let cover = snapshot.name.cover().map_err(wrong)?;
                    let snapshot = snapshot.snapshot().map_err(wrong)?;
                    importing.snapshot(cover, snapshot).await?;
                }
            }
        }
    }

    /// Books carry no positions: their numbers in the file stand for them.
    async fn books(
        &self,
        importing: &mut Importing<'_>,
        input: &mut (dyn BufRead + Send),
    ) -> Result<(), Failure> {
        let file = self.file.file_name().map(|name| name.to_string_lossy());
        let name = self.name.clone().or(file.map(Into::into));
        importing.begin(&name.unwrap_or_default()).await?;
        for number in 1u64.. {
            let wrong = |problem: String| bad_file(format!("book {number}: {problem}"));
            let Some(len) = read_length(input)? else {
                break;
            };
            if len > BOOK_BYTES_MAX {
                return Err(wrong(format!("it has {len} bytes")));
            }
            let mut bytes = Vec::new();
            input.take(len).read_to_end(&mut bytes)?;
            if bytes.len() as u64 != len {
                return Err(wrong("the file ends within it".to_owned()));
            }
            let book = v1::EventBook::decode(bytes.as_slice());
            let book = book.map_err(|error| wrong(error.to_string()))?;
            let cover = book
                .cover
                .ok_or_else(|| wrong("it has no cover".to_owned()))?;
            let Some(first) = book.pages.first() else {
                continue;
            };
            let piece = Piece {
                cover,
                first: sequence(first),
                cascade: first.cascade_id.clone().filter(|_| first.no_commit),
                isolated: false,
                position: number,
                pages: book.pages,
            };
            importing.take(piece).await?;
        }
        Ok(())
    }
}

/// A varint; `None` at the end of the input.
fn read_length(input: &mut (dyn BufRead + Send)) -> Result<Option<u64>, Failure> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let mut byte = [0u8];
        if input.read(&mut byte)? == 0 {
            if shift == 0 {
                return Ok(None);
            }
            break;
        }
        let [byte] = byte;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(Some(value));
        }
    }
    Err(bad_file("a length is damaged".to_owned()))
}

fn bad_file(problem: String) -> Failure {
    Failure::new(Exit::Failed, problem)
        .next("give the file that `angzarr export` wrote, and its --format")
}

/// An import under way. How far it has got is a checkpoint of the store, moved in the same commit
/// as the events: they are stored together or not at all.
struct Importing<'a> {
    place: &'a Place,
    consumer: String,
    /// Everything up to this position of the file was stored earlier.
    done: u64,
    batch: Batch,
    counts: Counts,
}

impl Importing<'_> {
    async fn begin(&mut self, name: &str) -> Result<(), Failure> {
        self.consumer = format!("import/{name}");
        let request = pb::GetPositionRequest {
            consumer: self.consumer.clone(),
        };
        let found = self.place.store().get_position(request).await;
        self.done = found.map_err(|error| self.place.failure(&error))?.position;
        Ok(())
    }

    async fn fork(&self, name: String, domain: String, divergence: u32) -> Result<(), Failure> {
        let request = pb::ForkRequest {
            edition: Some(v1::Edition {
                name,
                divergences: vec![v1::DomainDivergence {
                    domain,
                    sequence: divergence,
                }],
            }),
        };
        let forked = self.place.store().fork(request).await;
        forked.map(drop).map_err(|error| self.place.failure(&error))
    }

    async fn take(&mut self, piece: Piece) -> Result<(), Failure> {
        if piece.position <= self.done {
            self.counts.known += piece.pages.len() as u64;
            return Ok(());
        }
        if !self.batch.fits(&piece) {
            self.flush().await?;
        }
        self.batch.add(piece);
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Failure> {
        let batch = std::mem::take(&mut self.batch);
        let Some((events, request)) = batch.into_request(&self.consumer) else {
            return Ok(());
        };
        match self.place.store().append(request).await {
            Ok(_) => {
                self.counts.stored += events;
                Ok(())
            }
            Err(error @ StoreError::Conflict { .. }) => Err(Failure::new(
                Exit::Failed,
                error.to_string(),
            )
            .next(
                "the store has other events of this aggregate: import into a store that has none",
            )),
            Err(error) => Err(self.place.failure(&error)),
        }
    }

    async fn snapshot(&mut self, cover: v1::Cover, snapshot: v1::Snapshot) -> Result<(), Failure> {
        self.flush().await?;
        let store = self.place.store();
        let request = pb::GetSnapshotRequest {
            cover: Some(cover.clone()),
            at_or_below: Some(snapshot.sequence),
        };
        let found = store.get_snapshot(request).await;
        let found = found.map_err(|error| self.place.failure(&error))?.snapshot;
        if found.is_some_and(|found| found.sequence == snapshot.sequence) {
            return Ok(());
        }
        let request = pb::PutSnapshotRequest {
            cover: Some(cover),
            snapshot: Some(snapshot),
        };
        let stored = store.put_snapshot(request).await;
        stored.map_err(|error| self.place.failure(&error))?;
        self.counts.snapshots += 1;
        Ok(())
    }
}
