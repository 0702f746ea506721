mod reactions;

use reactions::REACTIONS;

/// A key of the configuration, as the manual describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Dotted name; `[]` stands for each entry of a list.
    pub name: &'static str,
    /// What holds when it is not given; empty when it must be.
    pub default: &'static str,
    /// What it means.
    pub meaning: &'static str,
}

const fn key(name: &'static str, default: &'static str, meaning: &'static str) -> Key {
    Key {
        name,
        default,
        meaning,
    }
}

/// Every key there is. A test holds it against what is read.
pub const KEYS: &[Key] = &joined::<{ GENERAL.len() + REACTIONS.len() }>(GENERAL, &REACTIONS);

/// Two lists as one; `N` is the sum of their lengths.
#[expect(
    clippy::indexing_slicing,
    reason = "evaluated by the compiler, which refuses what is out of range"
)]
const fn joined<const N: usize>(left: &[Key], right: &[Key]) -> [Key; N] {
    let mut all = [left[0]; N];
    let mut at = 0;
    while at < N {
        all[at] = if at < left.len() {
            left[at]
        } else {
            right[at - left.len()]
        };
        at += 1;
    }
    all
}

const GENERAL: &[Key] = &[
    key(
        "server.listen",
        "127.0.0.1:1310",
        "Addresses to serve on, each `host:port` or `unix:/path`. Every address serves everything.",
    ),
    key(
        "server.drain_timeout",
        "10s",
        "How long requests under way may take to end after SIGTERM.",
    ),
    key(
        "server.tls.certificate",
        "",
        "PEM file with the server's certificate. With it every TCP address speaks TLS, and only TLS.",
    ),
    key("server.tls.key", "", "PEM file with its private key."),
    key(
        "server.tls.client_ca",
        "none",
        "PEM file with the authority whose certificates clients must show.",
    ),
    key(
        "storage.type",
        "angzarr",
        "`angzarr`: the built-in engine. `remote`: another server.",
    ),
    key(
        "storage.path",
        "./data",
        "Data folder of the built-in engine; made when not there.",
    ),
    key(
        "storage.durability",
        "fsync",
        "What happened to an event before its append is answered. `fsync`: written and synced. \
         `interval`: written, synced within `sync_interval`. `os`: written, synced when the \
         operating system likes.",
    ),
    key(
        "storage.sync_interval",
        "100ms",
        "Longest time to a sync, with `durability: interval`.",
    ),
    key(
        "storage.index",
        "rocksdb",
        "`rocksdb`: in files beside the log. `memory`: rebuilt from the log at opening, and the \
         default of a build without RocksDB.",
    ),
    key(
        "storage.segment_bytes",
        "64MiB",
        "Size of one segment of the log; at least 64KiB.",
    ),
    key(
        "storage.queue_bytes",
        "16MiB",
        "Appends that may wait for the writer.",
    ),
    key(
        "storage.index_buffer_bytes",
        "16MiB",
        "Index changes kept in memory before they are written to its files.",
    ),
    key("storage.index_cache_bytes", "64MiB", "Cache of the index."),
    key(
        "storage.seal_rate",
        "32MiB",
        "Most log per second at which full segments are rewritten in the background: smaller, \
         gathered by aggregate, without what is out of reach. While one waits it is a \
         sixty-fourth of that, with two a sixteenth, with four a quarter, with eight all of it. `0`: \
         never.",
    ),
    key(
        "storage.segment_cache_bytes",
        "64MiB",
        "Cache of rewritten segments.",
    ),
    key(
        "storage.book_cache_bytes",
        "64MiB",
        "Events of aggregates that are commanded again and again, kept in memory. `0`: none.",
    ),
    key(
        "storage.url",
        "",
        "Of a `remote` store: `http://host:port`, `https://host:port` or `unix:/path`.",
    ),
    key(
        "storage.tls.ca",
        "",
        "Of a `remote` store with an `https` address: PEM file with the authority that signed its certificate.",
    ),
    key(
        "storage.tls.server_name",
        "host",
        "Name in its certificate, when it is not the host of the address.",
    ),
    key(
        "storage.tls.certificate",
        "none",
        "PEM file with the certificate to show to it.",
    ),
    key(
        "storage.tls.key",
        "none",
        "PEM file with the private key of that.",
    ),
    key(
        "bus.type",
        "channel",
        "`channel`: events reach the components of this server only. `nats`: they are published to \
         NATS JetStream, too. `messaging` is another name for `bus`.",
    ),
    key(
        "bus.url",
        "",
        "Of `nats`: `nats://host:4222` or `tls://host:4222`, with `user:password@` or `token@` when \
         asked for; several of one cluster as a list.",
    ),
    key(
        "bus.stream",
        "ANGZARR",
        "Name of the stream; made when it is not there, else left as it is.",
    ),
    key(
        "bus.prefix",
        "angzarr",
        "What subjects begin with: `<prefix>.<domain>.<root>`.",
    ),
    key(
        "bus.domains",
        "all",
        "Domains that are published; without a list all but internal ones, whose names begin with \
         `_` or `angzarr.`.",
    ),
    key(
        "bus.editions",
        "main",
        "`main` or `all`: whether the events of branches are published too.",
    ),
    key(
        "bus.start",
        "beginning",
        "`beginning` or `now`: whether a server that publishes for the first time begins with the first \
         event there is or with the next to come.",
    ),
    key(
        "bus.duplicate_window",
        "2m",
        "How long a stream that is made here knows the messages that it has: what is published \
         again within it after a crash is not stored twice.",
    ),
    key(
        "bus.concurrency",
        "256",
        "Aggregates whose events are on their way at one time.",
    ),
    key(
        "bus.tls.ca",
        "system",
        "PEM file with the authority that signed the certificate of NATS.",
    ),
    key(
        "bus.tls.certificate",
        "none",
        "PEM file with the certificate to show to it.",
    ),
    key(
        "bus.tls.key",
        "none",
        "PEM file with the private key of that.",
    ),
    key("limits.pages_per_book", "100", "Most pages in one book."),
    key(
        "limits.payload_bytes",
        "256KiB",
        "Most bytes in one payload.",
    ),
    key(
        "limits.message_bytes",
        "10MiB",
        "Most bytes in one gRPC message.",
    ),
    key(
        "payloads.store",
        "",
        "Where large payloads are kept, with a reference in the event: a folder, `s3://bucket/folder` or `gs://bucket/folder`. Without it they stay in the log.",
    ),
    key(
        "payloads.threshold",
        "64KiB",
        "Payloads above this go there.",
    ),
    key(
        "payloads.retention",
        "24h",
        "How long a payload without an event is kept; one with an event is kept as long as the event.",
    ),
    key(
        "payloads.sweep_interval",
        "1h",
        "How often payloads without an event are looked for.",
    ),
    key(
        "descriptor_sets",
        "none",
        "Files that describe business messages (`protoc --descriptor_set_out --include_imports`): REST shows them by their \
         fields, and refusals of conflicting changes name fields of states in place of their numbers.",
    ),
    key(
        "log.filter",
        "info",
        "Level or directives, such as `info,angzarr_engine=debug`. `ANGZARR_LOG` wins.",
    ),
    key(
        "log.format",
        "human",
        "`human` or `json`; written to standard error.",
    ),
    key(
        "aggregates[].domain",
        "",
        "Domain whose commands this handler decides.",
    ),
    key(
        "aggregates[].address",
        "",
        "Where it listens: `http://host:port` or `unix:/path`.",
    ),
    key(
        "aggregates[].dialect",
        "auto",
        "`auto`, `v1`, `client-0.5` or `client-0.3`: the protocol it speaks.",
    ),
    key(
        "aggregates[].timeout",
        "30s",
        "Longest wait for one answer, retries included.",
    ),
    key(
        "aggregates[].retries.attempts",
        "10",
        "Attempts in all while it cannot be reached.",
    ),
    key(
        "aggregates[].retries.min",
        "10ms",
        "First pause between two attempts.",
    ),
    key(
        "aggregates[].retries.max",
        "2s",
        "Longest pause between two attempts.",
    ),
    key(
        "aggregates[].concurrency",
        "256",
        "Calls to it at one time.",
    ),
    key(
        "aggregates[].snapshots",
        "auto",
        "Whether it gets a snapshot in place of older pages. `auto`: once it returned one for \
         that aggregate. `always`, `never`.",
    ),
    key(
        "upcasters[].domain",
        "",
        "Domain whose events are brought up to date when read.",
    ),
    key(
        "upcasters[].address",
        "",
        "Where it listens: `http://host:port` or `unix:/path`.",
    ),
    key(
        "upcasters[].dialect",
        "auto",
        "`auto`, `v1`, `client-0.5` or `client-0.3`: the protocol it speaks.",
    ),
    key(
        "upcasters[].timeout",
        "30s",
        "Longest wait for one answer, retries included.",
    ),
    key(
        "upcasters[].retries.attempts",
        "10",
        "Attempts in all while it cannot be reached.",
    ),
    key(
        "upcasters[].retries.min",
        "10ms",
        "First pause between two attempts.",
    ),
    key(
        "upcasters[].retries.max",
        "2s",
        "Longest pause between two attempts.",
    ),
];
