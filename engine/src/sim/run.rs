//! Which seeds are played, by whom.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rand::Rng;

use super::trace::Trace;
use super::world::{Outcome, Tally, live, live_until};

/// Seeds that every build plays.
const SEEDS: u64 = 2200;

/// A life, with panics of the engine as failures like any other.
fn play(seed: u64, trace: Trace) -> (Outcome, Tally) {
    let life = std::panic::catch_unwind(|| live(seed, trace));
    match life {
        Ok((outcome, tally, _)) => (outcome, tally),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or(panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            let text = format!("panicked: {}", text.unwrap_or_default());
            (Err(text), Tally::default())
        }
    }
}

/// Plays seeds on every core until one fails or there is no next one.
fn play_all(next: impl Fn() -> Option<u64> + Sync) -> Tally {
    let total = Mutex::new(Tally::default());
    let failed = AtomicBool::new(false);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while !failed.load(Ordering::Relaxed)
                    && let Some(seed) = next()
                {
                    let (outcome, tally) = play(seed, Trace::default());
                    total.lock().unwrap().add(tally);
                    if let Err(why) = outcome {
                        failed.store(true, Ordering::Relaxed);
                        eprintln!("seed {seed} failed: {why}\nplay it again: make sim SEED={seed}");
                    }
                }
            });
        }
    });
    assert!(!failed.into_inner(), "a seed failed: see above");
    total.into_inner().unwrap()
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} must be a number, not {text:?}")),
    )
}

/// What every build plays: a million operations and ten thousand crashes.
#[test]
fn the_engine_is_its_model_whatever_happens_to_the_machine() {
    let seeds = AtomicU64::new(0);
    let tally = play_all(|| Some(seeds.fetch_add(1, Ordering::Relaxed)).filter(|n| *n < SEEDS));
    eprintln!("{SEEDS} seeds: {tally:?}");
    assert!(tally.operations >= 1_000_000, "{tally:?}");
    assert!(tally.crashes >= 10_000, "{tally:?}");
}

/// The machine may die at each step of the disk, one after the other.
#[test]
fn every_step_of_a_life_can_be_the_last() {
    let mut ends = 0;
    for seed in 0..40 {
        let mut step = 0;
        loop {
            match live_until(seed, step) {
                Ok(true) => step += 1,
                Ok(false) => break,
                Err(why) => panic!("seed {seed} that dies at step {step} failed: {why}"),
            }
        }
        ends += step;
    }
    assert!(ends > 1000, "only {ends} steps to die at");
}

/// A seed decides everything: two runs do the same, step by step of the disk.
#[test]
fn one_seed_is_one_life() {
    for seed in 0..40 {
        let (outcome, tally, trace) = live(seed, Trace::kept());
        let (again, twice, second) = live(seed, Trace::kept());
        assert_eq!((outcome, tally), (again, twice), "seed {seed}");
        let differs = trace
            .lines()
            .iter()
            .zip(second.lines())
            .find(|(a, b)| a != b);
        assert_eq!(differs, None, "seed {seed}");
        assert_eq!(trace.lines().len(), second.lines().len(), "seed {seed}");
        assert!(trace.lines().len() > 100, "seed {seed}");
    }
}

/// `make sim SEED=n`, and `make sim` for new seeds for some time.
#[test]
#[ignore = "make sim"]
fn sim() {
    if let Some(seed) = number("ANGZARR_SIM_SEED") {
        let (outcome, tally) = play(seed, Trace::printed());
        eprintln!("seed {seed}: {tally:?}");
        if let Err(why) = outcome {
            panic!("seed {seed} failed: {why}");
        }
        return;
    }
    let seconds = Duration::from_secs(number("ANGZARR_SIM_SECONDS").unwrap_or(60));
    let first = number("ANGZARR_SIM_FIRST").unwrap_or_else(|| rand::rng().random::<u32>().into());
    let began = Instant::now();
    let seeds = AtomicU64::new(first);
    let tally =
        play_all(|| (began.elapsed() < seconds).then(|| seeds.fetch_add(1, Ordering::Relaxed)));
    let played = seeds.into_inner() - first;
    eprintln!("{played} seeds from {first}: {tally:?}");
}
