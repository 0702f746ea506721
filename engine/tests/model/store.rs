//! An engine on files beside its model.

use angzarr_engine::{
    Commit, Durability, Engine, Error, Filter, IndexKind, Options, Outcome, Timestamp,
};
use futures::executor::block_on;

use super::check::{self, Mismatch};
use super::decide::contradicts_itself;
use super::generate::{Choose, Generator, keys};
use super::model::Model;

pub(crate) struct Store {
    folder: tempfile::TempDir,
    options: Options,
    engine: Option<Engine>,
    model: Model,
    generator: Generator,
}

impl Store {
    pub(crate) fn new(index: IndexKind) -> Self {
        let options = Options {
            durability: Durability::Os,
            segment_bytes: 64 * 1024,
            index_buffer_bytes: 2048,
            index,
            // Segments are rewritten when a history says so.
            seal_rate: 0,
            ..Options::default()
        };
        let folder = tempfile::tempdir().unwrap();
        let engine = Some(Engine::open(folder.path(), options.clone()).unwrap());
        let mut generator = Generator::default();
        generator.taste.body_max = 2000;
        Self {
            folder,
            options,
            engine,
            model: Model::default(),
            generator,
        }
    }

    fn engine(&self) -> &Engine {
        self.engine.as_ref().unwrap()
    }

    /// One thing that happens, most often a commit.
    pub(crate) fn step(&mut self, choose: &mut dyn Choose) {
        match choose.below(20) {
            0..13 => {
                let commit = self.generator.commit(choose, &self.model);
                self.commit(commit);
            }
            13 => self.check_all(),
            14 => {
                block_on(self.engine().seal_segment()).unwrap();
            }
            15 => {
                block_on(self.engine().seal_segment()).unwrap();
                self.model.rewritten = true;
                self.engine().seal_now().unwrap();
            }
            16 => self.reopen(),
            17 => self.read_log(choose),
            _ => {
                let keys = keys();
                let key = &keys[choose.below(keys.len() as u32) as usize];
                expect(check::part(self.engine(), &self.model, key, choose));
            }
        }
    }

    fn commit(&mut self, commit: Commit) {
        let answer = block_on(self.engine().commit(commit.clone()));
        if contradicts_itself(&commit) {
            assert!(matches!(answer, Err(Error::Invalid(_))), "{answer:?}");
            return;
        }
        let decision = self.model.decide(&commit);
        let results: Result<Vec<Outcome>, Error> = answer
            .as_ref()
            .map(|committed| committed.results.clone())
            .map_err(Clone::clone);
        assert!(
            decision.agrees(&results),
            "{commit:?}\n  got {answer:?}\n  wanted {decision:?}"
        );
        let time = answer
            .as_ref()
            .map_or(Timestamp::from_nanos(0), |committed| committed.recorded_at);
        let deleted = self.model.apply(&commit, &decision, time);
        if let Ok(committed) = answer {
            assert_eq!(committed.deleted, deleted);
            assert_eq!(committed.position.get(), self.model.written);
        }
    }

    pub(crate) fn check_all(&self) {
        expect(check::all(self.engine(), &self.model));
    }

    fn read_log(&self, choose: &mut dyn Choose) {
        let after = choose.below(self.model.written as u32 + 2);
        let filter = Filter {
            skip_isolated: choose.once_in(2),
            ..Filter::default()
        };
        let chunk = [700, 1, 100_000][choose.below(3) as usize];
        let checked = check::log(self.engine(), &self.model, after.into(), &filter, chunk);
        expect(checked);
    }

    /// Ends the process's hold on the folder and takes it up again; sometimes the index is gone.
    pub(crate) fn reopen(&mut self) {
        drop(self.engine.take());
        if self.model.written.is_multiple_of(3) {
            let index = self.folder.path().join("index");
            if index.exists() {
                std::fs::remove_dir_all(index).unwrap();
            }
        }
        self.engine = Some(Engine::open(self.folder.path(), self.options.clone()).unwrap());
        self.check_all();
    }
}

fn expect(checked: Result<(), Mismatch>) {
    match checked {
        Ok(()) => {}
        Err(Mismatch::Different(what)) => panic!("{what}"),
        Err(Mismatch::Failed(error)) => panic!("{error}"),
    }
}
