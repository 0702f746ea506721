//! Appends during an online backup, against appends without.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use angzarr_benches::fill::Fill;
use angzarr_server::bench::load::Measured;
use angzarr_server::bench::report::Latency;
use angzarr_server::bench::workload::Workload;

use crate::goal::{Goal, Ratio};
use crate::report::Part;
use crate::venue::{PAYLOAD, Serving, Venue, appended};
use crate::{Args, Result};

pub(crate) async fn run(venue: &Venue, args: &Args) -> Result<Part> {
    let serving = venue.angzarr().await?;
    let held = Arc::new(Workload::fresh(args.backed_up.div_ceil(50), PAYLOAD));
    let fill = Fill {
        first: 0,
        events: 50,
        together: 2,
        clients: 16,
    };
    fill.run(&serving.channel, &held).await?;
    let mut rate = Ratio::new(
        "appends during `angzarr backup`",
        "appends without",
        "a second",
        Some(Goal::AtLeast(0.85)),
    );
    let mut p99 = Ratio::new("their p99", "without", "ms", Some(Goal::AtMost(2.0)));
    let mut notes = vec![
        "64 clients; backups of all files to a fresh folder on the same disk, one after the other \
         for the whole time."
            .to_owned(),
    ];
    let late = |run: &Measured| Latency::from(&run.latency).p99_ms;
    for _ in 0..args.rounds {
        let without = venue.append(&serving, &appended()).await?;
        let (with, note) = beside(venue, &serving).await?;
        notes.push(note);
        rate.add(with.per_second(), without.per_second());
        p99.add(late(&with), late(&without));
    }
    Ok(Part {
        title: "Appends during a backup".to_owned(),
        notes,
        ratios: vec![rate, p99],
    })
}

async fn beside(venue: &Venue, serving: &Serving) -> Result<(Measured, String)> {
    let folder = venue.folder()?;
    let enough = Arc::new(AtomicBool::new(false));
    let backups = {
        let (enough, to) = (Arc::clone(&enough), folder.path().to_owned());
        let (angzarr, url) = (venue.angzarr.canonicalize()?, serving.server.url());
        tokio::task::spawn_blocking(move || back_up(&angzarr, &url, &to, &enough))
    };
    let measured = venue.append(serving, &appended()).await;
    enough.store(true, Ordering::Relaxed);
    let (count, bytes) = backups.await??;
    let note = format!("{count} backups of {} MiB each.", bytes >> 20);
    Ok((measured?, note))
}

/// Makes backups until it is enough. Returns how many and the bytes of the last.
fn back_up(angzarr: &Path, url: &str, to: &Path, enough: &AtomicBool) -> Result<(u32, u64)> {
    let (mut count, mut bytes) = (0, 0);
    while !enough.load(Ordering::Relaxed) {
        let place = to.join(count.to_string());
        let output = Command::new(angzarr)
            .args(["backup", "--json", "--target", url])
            .arg(&place)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .current_dir(to)
            .output()?;
        if !output.status.success() {
            return Err(format!("the backup ended with {}", output.status).into());
        }
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        let copied = answer.get("copied_bytes");
        bytes = copied.and_then(|copied| copied.as_u64()).unwrap_or(0);
        if bytes == 0 {
            return Err("a backup copied nothing".into());
        }
        std::fs::remove_dir_all(&place)?;
        count += 1;
    }
    Ok((count, bytes))
}
