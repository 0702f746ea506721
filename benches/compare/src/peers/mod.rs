//! Everything that can be compared, one file for each.

mod angzarr;
mod batched;
mod in_process;
mod postgres;
mod redis;
mod rocksdb;

use angzarr_benches::postgres::Table;

use self::angzarr::{Behind, Grpc};
use self::in_process::InProcess;
use crate::contender::Contender;

/// All of them, in the order of the tables: each of this project's beside its limits.
pub(crate) fn all() -> Vec<Box<dyn Contender>> {
    let grpc = |behind, streamed| -> Box<dyn Contender> { Box::new(Grpc { behind, streamed }) };
    vec![
        grpc(Behind::Angzarr, false),
        grpc(Behind::GroupCommit, false),
        grpc(Behind::Nothing, false),
        grpc(Behind::Angzarr, true),
        grpc(Behind::GroupCommit, true),
        grpc(Behind::Nothing, true),
        Box::new(InProcess::Engine),
        Box::new(InProcess::GroupCommit),
        Box::new(rocksdb::RocksDb { batched: false }),
        Box::new(rocksdb::RocksDb { batched: true }),
        Box::new(redis::Redis),
        Box::new(postgres::Postgres(Table::Plain)),
        Box::new(postgres::Postgres(Table::Angzarr)),
        Box::new(postgres::Postgres(Table::AngzarrPrepared)),
    ]
}
