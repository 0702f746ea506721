use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use angzarr_benches::child::{Server, free_address};
use angzarr_benches::postgres::{self, Cluster, Connection, Table};
use angzarr_server::bench::grpc::{self, Streamed, Unary};
use angzarr_server::bench::load::{self, Measured, Plan, Writer};
use angzarr_server::bench::verify;
use serde::Serialize;

use crate::Result;

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Contender {
    /// `Append` of a tonic server with nothing behind it but one group-committed file.
    Limit,
    /// `Append` of this server.
    Angzarr,
    /// `AppendStream` of the bare limit.
    LimitStream,
    /// `AppendStream` of this server.
    AngzarrStream,
    /// PostgreSQL, plain table, one prepared autocommit INSERT.
    Pg,
    /// PostgreSQL, Angzarr's table, its four round trips as SQL text.
    PgAngzarr,
    /// PostgreSQL, Angzarr's table, its four round trips with prepared statements.
    PgAngzarrPrepared,
}

impl Contender {
    pub(crate) const ALL: [Self; 7] = [
        Self::Limit,
        Self::Angzarr,
        Self::LimitStream,
        Self::AngzarrStream,
        Self::Pg,
        Self::PgAngzarr,
        Self::PgAngzarrPrepared,
    ];

    /// As it stands in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Limit => "limit: tonic + bare group commit",
            Self::Angzarr => "angzarr",
            Self::LimitStream => "limit, streamed",
            Self::AngzarrStream => "angzarr, streamed",
            Self::Pg => "PostgreSQL, plain INSERT",
            Self::PgAngzarr => "PostgreSQL, Angzarr's table",
            Self::PgAngzarrPrepared => "PostgreSQL, Angzarr's table, prepared",
        }
    }

    pub(crate) fn durability(self) -> &'static str {
        match self {
            Self::Limit | Self::LimitStream => "one fdatasync per group",
            Self::Angzarr | Self::AngzarrStream => "fsync (default), as the server says",
            Self::Pg | Self::PgAngzarr | Self::PgAngzarrPrepared => {
                "fsync=on, synchronous_commit=on"
            }
        }
    }

    /// Runs it once on a fresh store.
    pub(crate) async fn measure(self, field: &Field, plan: Plan, clients: u32) -> Result<Measured> {
        let folder = tempfile::tempdir_in(&field.scratch)?;
        match self {
            Self::Limit | Self::LimitStream => {
                let server = field.limit(folder.path())?;
                self.measure_server(&server, plan, clients).await
            }
            Self::Angzarr | Self::AngzarrStream => {
                let server = field.angzarr(folder.path())?;
                self.measure_server(&server, plan, clients).await
            }
            Self::Pg => field.measure_postgres(Table::Plain, plan, clients).await,
            Self::PgAngzarr => field.measure_postgres(Table::Angzarr, plan, clients).await,
            Self::PgAngzarrPrepared => {
                field
                    .measure_postgres(Table::AngzarrPrepared, plan, clients)
                    .await
            }
        }
    }

    async fn measure_server(
        self,
        server: &Server,
        mut plan: Plan,
        clients: u32,
    ) -> Result<Measured> {
        plan.server_pids = vec![server.pid()];
        let channels = grpc::connect(&server.url(), clients, 0).await?;
        let channel = channels.first().ok_or("no connection")?;
        let durability = grpc::stats(channel).await?.durability;
        if durability != "fsync" {
            return Err(format!("the server's durability is {durability}").into());
        }
        let measured = match self {
            Self::LimitStream | Self::AngzarrStream => {
                let writers = Streamed::writers(&channels, clients, &plan.workload).await?;
                load::run(&plan, writers).await
            }
            _ => load::run(&plan, Unary::writers(&channels, clients, &plan.workload)).await,
        };
        verify::stale_append_is_refused(channel, &plan.workload, &measured.heads).await?;
        if matches!(self, Self::Angzarr | Self::AngzarrStream) {
            verify::read_back(channel, &plan.workload, &measured.heads, 50).await?;
        }
        Ok(measured)
    }
}

/// Where contenders run, and what stays up between them.
pub(crate) struct Field {
    pub(crate) angzarr: PathBuf,
    pub(crate) scratch: PathBuf,
    pub(crate) postgres: Option<Cluster>,
}

impl Field {
    pub(crate) fn angzarr(&self, folder: &Path) -> Result<Server> {
        Ok(Server::angzarr(&self.angzarr, folder, &[])?)
    }

    /// The program beside this one.
    fn limit(&self, folder: &Path) -> Result<Server> {
        let address = free_address()?;
        let mut command = Command::new(std::env::current_exe()?.with_file_name("limit"));
        command
            .args(["--listen", &address.to_string(), "--folder"])
            .arg(folder);
        Ok(Server::start(command, address, &folder.join("output"))?)
    }

    pub(crate) fn cluster(&self) -> Result<&Cluster> {
        self.postgres
            .as_ref()
            .ok_or_else(|| "PostgreSQL is not running".into())
    }

    async fn measure_postgres(
        &self,
        table: Table,
        mut plan: Plan,
        clients: u32,
    ) -> Result<Measured> {
        let cluster = self.cluster()?;
        let control = postgres::connect(&cluster.connection()).await?;
        postgres::create(&control, table).await?;
        let mut writers = Vec::new();
        for _ in 0..clients {
            writers.push(Connection::open(&cluster.connection(), table, &plan.workload).await?);
        }
        plan.server_pids = cluster.pids()?;
        let mut stale = Connection::open(&cluster.connection(), table, &plan.workload).await?;
        let measured = load::run(&plan, writers).await;
        let written =
            |aggregate: &u32| measured.heads.next(*aggregate).is_some_and(|next| next > 0);
        if let Some(aggregate) = (0..plan.workload.aggregates).find(written)
            && stale.append(aggregate, 0).await.is_ok()
        {
            return Err("PostgreSQL accepted a stale append".into());
        }
        Ok(measured)
    }
}

pub(crate) fn plan(args: &crate::Args) -> Plan {
    let workload = angzarr_server::bench::workload::Workload::fresh(args.aggregates, args.payload);
    Plan {
        workload: Arc::new(workload),
        warm_up: std::time::Duration::from_secs(args.warm_up),
        measured: std::time::Duration::from_secs(args.seconds),
        contended: false,
        server_pids: Vec::new(),
    }
}
