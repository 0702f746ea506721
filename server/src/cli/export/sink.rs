//! The file of an export, and how far it has got.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cli::{
    Exit, Failure,
    transfer::{Form, Line},
};

/// The place to go on at is noted when so many bytes were written since the last time.
const NOTE_BYTES: u64 = 8 * 1024 * 1024;

/// How far an export has got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) database_id: String,
    pub(super) format: Form,
    pub(super) domains: Vec<String>,
    pub(super) position: u64,
    pub(super) bytes: u64,
}

/// A file that can be gone on with, or standard output.
pub(super) struct Sink {
    out: Box<dyn Write + Send>,
    pub(super) state: State,
    noted: u64,
    file: Option<(PathBuf, File)>,
}

impl Sink {
    pub(super) fn open(path: Option<&Path>, begin: State) -> Result<Self, Failure> {
        let Some(path) = path else {
            return Ok(Self {
                out: Box::new(BufWriter::new(io::stdout())),
                state: begin,
                noted: 0,
                file: None,
            });
        };
        let failed =
            |error: io::Error| Failure::new(Exit::Failed, format!("{}: {error}", path.display()));
        if path.exists() {
            return Err(Failure::usage(format!("{} exists", path.display()))
                .next("name another file, or remove this one"));
        }
        let unfinished = fs::read(beside(path, "state")).ok();
        let unfinished: Option<State> =
            unfinished.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let state = unfinished.unwrap_or_else(|| begin.clone());
        let same = state.database_id == begin.database_id
            && state.format == begin.format
            && state.domains == begin.domains
            && state.position >= begin.position;
        if !same {
            let name = beside(path, "state");
            return Err(Failure::usage(format!(
                "{} is of another export that did not end",
                name.display()
            ))
            .next("repeat that one, or remove the file"));
        }
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(beside(path, "part"));
        let mut file = file.map_err(failed)?;
        file.set_len(state.bytes).map_err(failed)?;
        file.seek(SeekFrom::End(0)).map_err(failed)?;
        let out = BufWriter::new(file.try_clone().map_err(failed)?);
        Ok(Self {
            out: Box::new(out),
            noted: state.bytes,
            state,
            file: Some((path.to_owned(), file)),
        })
    }

    pub(super) fn line(&mut self, line: &Line) -> Result<(), Failure> {
        let mut bytes = serde_json::to_vec(line)
            .map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
        bytes.push(b'\n');
        Ok(self.write(&bytes)?)
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.state.bytes += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    /// Notes that everything up to a position was written.
    pub(super) fn passed(&mut self, position: u64) -> Result<(), Failure> {
        self.state.position = self.state.position.max(position);
        if self.state.bytes - self.noted >= NOTE_BYTES {
            self.note()?;
        }
        Ok(())
    }

    fn note(&mut self) -> Result<(), Failure> {
        self.out.flush()?;
        self.noted = self.state.bytes;
        let Some((path, file)) = &self.file else {
            return Ok(());
        };
        file.sync_data()?;
        let draft = beside(path, "state.tmp");
        let bytes = serde_json::to_vec(&self.state).unwrap_or_default();
        fs::write(&draft, bytes)?;
        Ok(fs::rename(&draft, beside(path, "state"))?)
    }

    pub(super) fn finish(mut self) -> Result<(), Failure> {
        self.out.flush()?;
        let Some((path, file)) = &self.file else {
            return Ok(());
        };
        file.sync_all()?;
        fs::rename(beside(path, "part"), path)?;
        match fs::remove_file(beside(path, "state")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(end);
    name.into()
}
