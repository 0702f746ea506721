//! Everything that can be compared, one file for each.

mod angzarr;
mod batched;
mod in_process;
mod message_db;
mod nats;
mod postgres;
mod redis;
mod rocksdb;
mod sequential;
mod sierradb;
mod sqlite;
mod umadb;

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
        Box::new(sequential::Sequential),
        Box::new(rocksdb::RocksDb { batched: false }),
        Box::new(rocksdb::RocksDb { batched: true }),
        Box::new(sqlite::Sqlite { batched: false }),
        Box::new(sqlite::Sqlite { batched: true }),
        Box::new(umadb::UmaDb),
        Box::new(sierradb::SierraDb { compressed: true }),
        Box::new(sierradb::SierraDb { compressed: false }),
        Box::new(nats::Nats),
        Box::new(redis::Redis),
        Box::new(postgres::Postgres(Table::Plain)),
        Box::new(postgres::Postgres(Table::Angzarr)),
        Box::new(postgres::Postgres(Table::AngzarrPrepared)),
        Box::new(message_db::MessageDb),
    ]
}

/// Roots as peers take them that want text.
fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
