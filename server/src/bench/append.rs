use std::sync::Arc;

use tonic::transport::Channel;

use super::args::AppendArgs;
use super::grpc::{self, Streamed, Unary};
use super::load::{self, Measured, Plan};
use super::report::{self, Latency};
use super::target::Target;
use super::workload::Workload;
use super::{Error, verify};

/// Aggregates compared byte by byte after the run.
const READ_BACK_SAMPLE: u32 = 100;

pub(crate) async fn run(args: AppendArgs) -> Result<(), Error> {
    if args.aggregates < args.clients && !args.contended {
        return Err(Error::Usage(format!(
            "{} aggregates cannot be divided among {} clients: give --aggregates at least as \
             many, or --contended to let clients collide",
            args.aggregates, args.clients
        )));
    }
    let target = Target::open(&args.common).await?;
    let report = measure(&args, &target).await?;
    target.close().await?;
    report::print(&report, args.common.json, report::Append::lines)?;
    Ok(())
}

async fn measure(args: &AppendArgs, target: &Target) -> Result<report::Append, Error> {
    let channels = grpc::connect(&target.url, args.clients, args.common.connections).await?;
    let channel = target.first(&channels)?;
    let server = target.describe(channel).await?;
    let workload = Arc::new(Workload::fresh(args.aggregates, args.common.payload));
    let plan = Plan {
        workload: Arc::clone(&workload),
        warm_up: args.common.warming_up(),
        measured: args.common.measured(),
        contended: args.contended,
        server_pids: Vec::new(),
    };
    let measured = drive(&plan, &channels, args).await?;
    let stale_append_refused =
        verify::stale_append_is_refused(channel, &workload, &measured.heads).await?;
    let (read_back_aggregates, read_back_events) =
        verify::read_back(channel, &workload, &measured.heads, READ_BACK_SAMPLE).await?;
    Ok(report::Append {
        server,
        clients: args.clients,
        connections: channels.len(),
        call: if args.stream {
            "AppendStream"
        } else {
            "Append"
        },
        aggregates: args.aggregates,
        payload_bytes: args.common.payload,
        contended: args.contended,
        warm_up_seconds: args.common.warm_up,
        seconds: args.common.seconds,
        appended: measured.appended,
        appends_per_second: measured.per_second(),
        latency: Latency::from(&measured.latency),
        refused: measured.refused,
        failed: measured.failed,
        first_error: measured.first_error.as_ref().map(ToString::to_string),
        cpu_us_per_append: measured.client_cpu.as_secs_f64() * 1e6
            / measured.appended.max(1) as f64,
        stale_append_refused,
        read_back_aggregates,
        read_back_events,
    })
}

async fn drive(plan: &Plan, channels: &[Channel], args: &AppendArgs) -> Result<Measured, Error> {
    if args.stream {
        let writers = Streamed::writers(channels, args.clients, &plan.workload).await?;
        return Ok(load::run(plan, writers).await);
    }
    let writers = Unary::writers(channels, args.clients, &plan.workload);
    Ok(load::run(plan, writers).await)
}
