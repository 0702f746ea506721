//! Appends with live subscribers that want one aggregate each, against appends without.

use angzarr_benches::subscribers::Subscribers;
use angzarr_server::bench::load::Measured;

use crate::goal::{Goal, Ratio};
use crate::report::Part;
use crate::venue::{Serving, Venue, appended};
use crate::{Args, Result};

pub(crate) async fn run(venue: &Venue, args: &Args) -> Result<Part> {
    let serving = venue.angzarr().await?;
    let mut rate = Ratio::new(
        &format!("appends beside {} subscribers", args.subscribers),
        "appends without them",
        "a second",
        Some(Goal::AtLeast(0.9)),
    );
    let mut cpu = Ratio::new(
        "server's processor time of an append",
        "without them",
        "us",
        None,
    );
    let mut notes = vec![
        "64 clients append to 10,000 aggregates; each subscriber is live on the domain and wants \
         one of them. One store for all rounds."
            .to_owned(),
    ];
    let each = |run: &Measured| run.server_cpu.as_secs_f64() * 1e6 / run.appended.max(1) as f64;
    for _ in 0..args.rounds {
        let without = venue.append(&serving, &appended()).await?;
        let (with, note) = beside(venue, &serving, args.subscribers).await?;
        notes.push(note);
        rate.add(with.per_second(), without.per_second());
        cpu.add(each(&with), each(&without));
    }
    Ok(Part {
        title: "Appends beside subscribers".to_owned(),
        notes,
        ratios: vec![rate, cpu],
    })
}

async fn beside(venue: &Venue, serving: &Serving, count: u32) -> Result<(Measured, String)> {
    let workload = appended();
    let subscribers = Subscribers::open(&serving.server.url(), &workload, count).await?;
    let measured = venue.append(serving, &workload).await?;
    let (after, events) = subscribers.drained(&workload, &measured).await?;
    let note = format!(
        "All of their {events} events were delivered {:.2} s after the last append.",
        after.as_secs_f64()
    );
    Ok((measured, note))
}
