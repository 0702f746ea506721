//! `angzarr bench command` and `angzarr bench cascade`: commands through business code that does
//! next to nothing, beside what they cannot be faster than.

use std::sync::Arc;

use angzarr_proto::v1::command_handler_coordinator_service_client::CommandHandlerCoordinatorServiceClient as Client;
use angzarr_proto::v1::{
    CommandBook, CommandPage, CommandRequest, MergeStrategy, PageHeader, SyncMode, command_page,
    page_header,
};
use hdrhistogram::Histogram;
use prost_types::Any;
use tonic::Code;
use tonic::transport::Channel;

use super::Error;
use super::args::{CommandArgs, Wait};
use super::business::{self, Serving};
use super::grpc::{self, Unary};
use super::load::{self, AppendError, Measured, Plan, Writer};
use super::report::{self, Latency};
use super::target::Target;
use super::workload::{Heads, Workload};

pub(crate) async fn run(args: CommandArgs, cascade: bool) -> Result<(), Error> {
    if args.aggregates < args.clients {
        return Err(Error::Usage(format!(
            "{} aggregates cannot be divided among {} clients: give --aggregates at least as many",
            args.aggregates, args.clients
        )));
    }
    let mode = match (cascade, args.wait) {
        (true, _) => SyncMode::Cascade,
        (false, Wait::Events) => SyncMode::Async,
        (false, Wait::Projector) => SyncMode::Simple,
    };
    let workload = Workload::fresh(args.aggregates, args.common.payload);
    let target_domain = format!("{}-next", workload.domain);
    let components = business::components(target_domain.clone()).await?;
    let target = Target::start_with(
        args.common.scratch.as_deref(),
        configuration(&workload, &target_domain, &components, mode),
    )
    .await?;
    let report = measure(&args, mode, &target, &components, workload).await?;
    target.close().await?;
    report::print(&report, args.common.json, report::Commands::lines)?;
    Ok(())
}

/// The components that take part in a mode.
fn configuration(
    workload: &Workload,
    target_domain: &str,
    components: &Serving,
    mode: SyncMode,
) -> Vec<(&'static str, String)> {
    let (domain, url) = (&workload.domain, &components.url);
    // The coordinator must not be held up by how many calls a handler takes by default.
    let aggregate = |domain: &str| {
        format!("{{domain: {domain}, address: '{url}', concurrency: 4096, snapshots: never}}")
    };
    let mut flags = vec![(
        "aggregates",
        format!("[{}, {}]", aggregate(domain), aggregate(target_domain)),
    )];
    let input = format!("inputs: [{{domain: {domain}}}]");
    match mode {
        SyncMode::Simple => flags.push((
            "projectors",
            format!("[{{name: blind, address: '{url}', concurrency: 4096, {input}}}]"),
        )),
        SyncMode::Cascade => flags.push((
            "sagas",
            format!(
                "[{{name: pass-on, address: '{url}', concurrency: 4096, {input}, targets: [{target_domain}]}}]"
            ),
        )),
        _ => {}
    }
    flags
}

async fn measure(
    args: &CommandArgs,
    mode: SyncMode,
    target: &Target,
    components: &Serving,
    workload: Workload,
) -> Result<report::Commands, Error> {
    let connections = args.common.connections;
    let channels = grpc::connect(&target.url, args.clients, connections).await?;
    let server = target.describe(target.first(&channels)?).await?;
    let handler = grpc::connect(&components.url, 1, 1).await?;
    let hops = business::hops(target.first(&handler)?.clone()).await?;
    let hop_channels = grpc::connect(&hops.url, args.clients, connections).await?;

    // Appends go to aggregates of their own.
    let appends = plan(args, Workload::fresh(args.aggregates, args.common.payload));
    let commands = plan(args, workload);
    let [append_heads, command_heads] = [(); 2].map(|()| Arc::new(Heads::new(args.aggregates)));
    let [mut append, mut hop, mut command] = [(); 3].map(|()| Phase::new());
    for round in 0..args.rounds {
        let writers = Unary::writers(&channels, args.clients, &appends.workload);
        append.add(load::run_round(&appends, writers, Arc::clone(&append_heads), round).await)?;
        let writers = Commanding::writers(&hop_channels, args, &commands, SyncMode::Async);
        // Hops store nothing: they go on from where the commands are, with histories as long.
        let heads = Arc::new(command_heads.copied());
        hop.add(load::run_round(&commands, writers, heads, round).await)?;
        let writers = Commanding::writers(&channels, args, &commands, mode);
        command
            .add(load::run_round(&commands, writers, Arc::clone(&command_heads), round).await)?;
    }

    let limits = append
        .rates
        .iter()
        .zip(&hop.rates)
        .map(|(append, hop)| append.min(*hop));
    let shares = command
        .rates
        .iter()
        .zip(limits)
        .map(|(command, limit)| command / limit.max(1.0));
    let shares = Spread::of(shares.collect());
    Ok(report::Commands {
        server,
        mode: mode
            .as_str_name()
            .trim_start_matches("SYNC_MODE_")
            .to_lowercase(),
        clients: args.clients,
        payload_bytes: args.common.payload,
        rounds: args.rounds,
        append: append.calls(),
        hops: hop.calls(),
        command: command.calls(),
        share_of_limit: shares.median,
        share_of_limit_min: shares.min,
        share_of_limit_max: shares.max,
    })
}

/// What the rounds of one kind of call gave.
struct Phase {
    rates: Vec<f64>,
    cpu_us: Vec<f64>,
    latency: Histogram<u64>,
}

impl Phase {
    fn new() -> Self {
        Self {
            rates: Vec::new(),
            cpu_us: Vec::new(),
            latency: load::histogram(),
        }
    }

    /// Figures of a round in which something was refused or failed are worth nothing.
    fn add(&mut self, measured: Measured) -> Result<(), Error> {
        if let Some(error) = &measured.first_error {
            return Err(Error::Wrong(error.to_string()));
        }
        self.rates.push(measured.per_second());
        self.cpu_us
            .push(measured.client_cpu.as_secs_f64() * 1e6 / measured.latency.len().max(1) as f64);
        // Both have the same bounds.
        self.latency.add(measured.latency).ok();
        Ok(())
    }

    fn calls(&self) -> report::Calls {
        report::Calls {
            per_second: Spread::of(self.rates.clone()).median,
            cpu_us: Spread::of(self.cpu_us.clone()).median,
            latency: Latency::from(&self.latency),
        }
    }
}

/// Of at least one figure.
struct Spread {
    min: f64,
    median: f64,
    max: f64,
}

impl Spread {
    fn of(mut figures: Vec<f64>) -> Self {
        figures.sort_by(f64::total_cmp);
        let at = |place: usize| figures.get(place).copied().unwrap_or_default();
        Self {
            min: at(0),
            median: f64::midpoint(
                at(figures.len().saturating_sub(1) / 2),
                at(figures.len() / 2),
            ),
            max: at(figures.len().saturating_sub(1)),
        }
    }
}

fn plan(args: &CommandArgs, workload: Workload) -> Plan {
    Plan {
        workload: Arc::new(workload),
        warm_up: args.common.warming_up() / args.rounds,
        measured: args.common.measured() / args.rounds,
        contended: false,
        server_pids: Vec::new(),
    }
}

/// Sends commands that expect the aggregate's next sequence.
struct Commanding {
    client: Client<Channel>,
    workload: Arc<Workload>,
    mode: SyncMode,
}

impl Commanding {
    fn writers(channels: &[Channel], args: &CommandArgs, plan: &Plan, mode: SyncMode) -> Vec<Self> {
        let all = channels.iter().cycle().take(args.clients as usize);
        all.map(|channel| Self {
            client: Client::new(channel.clone()),
            workload: Arc::clone(&plan.workload),
            mode,
        })
        .collect()
    }
}

impl Writer for Commanding {
    async fn append(&mut self, aggregate: u32, sequence: u32) -> Result<(), AppendError> {
        let command = Any {
            type_url: grpc::EVENT_TYPE.to_owned(),
            value: self.workload.payload(aggregate, sequence),
        };
        let page = CommandPage {
            header: Some(PageHeader {
                sequence_type: Some(page_header::SequenceType::Sequence(sequence)),
                sync_mode: None,
            }),
            merge_strategy: MergeStrategy::MergeStrict.into(),
            payload: Some(command_page::Payload::Command(command)),
        };
        let request = CommandRequest {
            command: Some(CommandBook {
                cover: Some(grpc::cover(&self.workload, aggregate)),
                pages: vec![page],
            }),
            sync_mode: self.mode.into(),
            ..CommandRequest::default()
        };
        match self.client.handle_command(request).await {
            Ok(_) => Ok(()),
            Err(status) if status.code() == Code::FailedPrecondition => {
                Err(AppendError::Refused(status.to_string()))
            }
            Err(status) => Err(AppendError::Failed(status.to_string())),
        }
    }
}
