//! An engine in which nothing happens by itself: no threads, every step is a call.

use super::start::recover;
use super::*;
use crate::core::Core;
use crate::log::Spare;
use crate::types::Timestamp;

/// The parts of an engine, held by one caller.
pub(crate) struct Still {
    /// For reading; it has no writer.
    pub(crate) engine: Engine,
    pub(crate) core: Core,
    pub(crate) spare: Arc<Spare>,
    /// Time of the last frame.
    pub(crate) recorded_at: Timestamp,
}

impl Engine {
    /// Rewrites the next segment that gains by it. Whether there was one.
    pub(crate) fn seal_next(&self) -> Result<bool> {
        self.sealer.run_next(&|_| {}, &mut |_| Ok(()))
    }
}

impl Still {
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        base: Option<Box<dyn Base>>,
        clock: Arc<dyn Clock>,
        options: Options,
        random: Box<dyn rand::RngCore + Send>,
    ) -> Result<Self> {
        let (shared, opened, recovery) = recover(disk.clone(), base, &*clock, &options, random)?;
        let shared = Arc::new(shared);
        let recorded_at = opened.writer.time(Timestamp::from_nanos(i64::MIN));
        let core = Core::new(shared.clone(), opened.writer, clock, options.durability)?;
        let active = core.active_file();
        let sealer = Sealer::new(shared.clone(), disk, active, options.durability);
        let engine = Engine {
            shared,
            sealer: Arc::new(sealer),
            sealing: Arc::default(),
            queue: Arc::default(),
            room: Arc::new(Semaphore::new(0)),
            database_id: opened.database_id,
            options,
            recovery,
            writer: Mutex::new(None),
            workers: Mutex::new(Vec::new()),
            _lock: None,
        };
        Ok(Self {
            engine,
            core,
            spare: opened.spare,
            recorded_at,
        })
    }
}
