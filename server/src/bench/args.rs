//! What can be asked of `angzarr bench`.

use std::time::Duration;

/// Measure a server: appends, replay of one aggregate, a subscription, or commands.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// What to measure.
    #[command(subcommand)]
    pub what: What,
}

/// What to measure.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum What {
    /// Append events one at a time, each with its expected sequence, each waiting to be durable.
    Append(AppendArgs),
    /// Read one long aggregate from its first event to its last, again and again.
    Replay(ReplayArgs),
    /// Subscribe: how fast it catches up, and how soon a new event arrives.
    Tail(TailArgs),
    /// Send commands through business code that does next to nothing, on a server started for the
    /// occasion; beside it, the same calls without storage, and plain appends.
    Command(CommandArgs),
    /// The same, each waiting for a saga and the command that this one sends.
    Cascade(CommandArgs),
}

/// What every benchmark takes.
#[derive(Debug, Clone, clap::Args)]
pub struct Common {
    /// Address of a running server. Without it, one is started on a scratch folder in this
    /// process, reached over loopback.
    #[arg(long, value_name = "URL")]
    pub target: Option<String>,
    /// Folder for the scratch data of a server started here. It should be on the disk in
    /// question: a memory file system syncs in no time.
    #[arg(long, value_name = "FOLDER", conflicts_with = "target")]
    pub scratch: Option<std::path::PathBuf>,
    /// Seconds that count.
    #[arg(long, default_value_t = 5.0, value_parser = seconds)]
    pub seconds: f64,
    /// Seconds before anything counts.
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    pub warm_up: f64,
    /// Bytes of each event's payload.
    #[arg(long, value_name = "BYTES", default_value_t = 256,
          value_parser = clap::value_parser!(u32).range(8..=262_144))]
    pub payload: u32,
    /// HTTP/2 connections the clients share. 0: one for every 64 clients.
    #[arg(long, default_value_t = 0)]
    pub connections: u32,
    /// Print one JSON object instead of text.
    #[arg(long)]
    pub json: bool,
}

impl Common {
    pub(crate) fn measured(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    pub(crate) fn warming_up(&self) -> Duration {
        Duration::from_secs_f64(self.warm_up)
    }
}

/// `angzarr bench append`.
#[derive(Debug, Clone, clap::Args)]
pub struct AppendArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as a help heading")]
    pub common: Common,
    /// Clients, each with one append under way.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub clients: u32,
    /// Aggregates the events are spread over, uniformly at random.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub aggregates: u32,
    /// Append through one `AppendStream` for each client instead of a call for each event.
    #[arg(long)]
    pub stream: bool,
    /// Let all clients write to all aggregates, so that some expectations fail. Otherwise each
    /// client has its own part of the aggregates.
    #[arg(long)]
    pub contended: bool,
}

/// `angzarr bench replay`.
#[derive(Debug, Clone, clap::Args)]
pub struct ReplayArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as a help heading")]
    pub common: Common,
    /// Clients, each reading the whole aggregate over and over.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub clients: u32,
    /// Events of the aggregate, written first.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub events: u32,
    /// Read this existing aggregate instead: its domain and its root in hexadecimal.
    #[arg(long, value_name = "DOMAIN/ROOT", requires = "target")]
    pub aggregate: Option<String>,
}

/// `angzarr bench tail`.
#[derive(Debug, Clone, clap::Args)]
pub struct TailArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as a help heading")]
    pub common: Common,
    /// Clients that append while the subscription is live.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub clients: u32,
    /// Aggregates the events are spread over.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub aggregates: u32,
    /// Events to catch up with, written first.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub events: u32,
}

/// `angzarr bench command` and `angzarr bench cascade`.
#[derive(Debug, Clone, clap::Args)]
pub struct CommandArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as a help heading")]
    pub common: Common,
    /// Clients, each with one command under way.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub clients: u32,
    /// Aggregates the commands are spread over, uniformly at random.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub aggregates: u32,
    /// Parts into which the seconds of appends, hops and commands are divided. The three take
    /// turns, so that a machine that changes its speed changes all of them; medians are printed.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: u32,
    /// What a command waits for, beside its durable events. Not for `cascade`.
    #[arg(long, value_enum, default_value_t = Wait::Events)]
    pub wait: Wait,
}

/// What a command waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Wait {
    /// For its events to be durable.
    Events,
    /// For a projector to have taken them too.
    Projector,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| format!("{text} is not a number of seconds"))?;
    if (0.0..=86_400.0).contains(&seconds) {
        return Ok(seconds);
    }
    Err("give between 0 and 86400 seconds".to_owned())
}
