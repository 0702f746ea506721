//! Every bound of the engine in one place.

/// Whether bounds within the engine are so small that its own tests meet them all the time.
const SMALL: bool = cfg!(test);

/// Longest domain name, in bytes.
pub const DOMAIN_MAX: usize = 64;
/// The same for the server's own domains, which carry another domain's name behind a prefix.
pub const INTERNAL_DOMAIN_MAX: usize = 96;
/// Longest edition name, in bytes.
pub const EDITION_MAX: usize = 64;
/// Longest correlation id, in bytes.
pub const CORRELATION_MAX: usize = 128;
/// Longest cascade id, in bytes.
pub const CASCADE_MAX: usize = 128;
/// Longest consumer name of a checkpoint, in bytes.
pub const CONSUMER_MAX: usize = 128;
/// Longest kind and key of a claim together, in bytes: it becomes part of an index key.
pub const CLAIM_MAX: usize = 1024;
/// Aggregates one commit may write or name in conditions.
pub const COMMIT_WRITES_MAX: usize = 10_000;
/// Largest frame payload, in bytes: what a reader may have to hold for one commit, and the bound
/// that a length read from disk is held to before memory is reserved for it.
pub const PAYLOAD_MAX: u32 = 32 * 1024 * 1024;
/// Bytes of frames written and synced together. Up to about this size a sync costs the same as a
/// small one; beyond it, the first in the group waits for the last.
pub const GROUP_BYTES_MAX: usize = 1024 * 1024;
/// Commits written and synced together.
pub const GROUP_COMMITS_MAX: usize = 4096;
/// Smallest segment an operator may ask for, in bytes.
pub const SEGMENT_MIN: u64 = 64 * 1024;
/// Distance in the log between two entries of the position table, in bytes.
pub const POSITION_STRIDE: u64 = if SMALL { 1024 } else { 64 * 1024 };
/// Frames applied to the index in one batch while opening.
pub const REPLAY_BATCH: usize = if SMALL { 5 } else { 1024 };
/// Aggregate heads the writer keeps in memory per cache generation.
pub const HEADS_CACHED: usize = if SMALL { 12 } else { 200_000 };
/// Idempotency keys the writer keeps in memory per cache generation.
pub const CLAIMS_CACHED: usize = if SMALL { 6 } else { 50_000 };
/// Aggregates of which submitters know that the writer knows them, four bytes each. So few that
/// their heads are hardly ever dropped from its cache first.
pub const RECENT_AGGREGATES: usize = if SMALL { 8 } else { 131_072 };
/// Index entries read in one step of a scan.
pub const SCAN_STEP: usize = if SMALL { 4 } else { 1024 };

/// Bytes of the log's end that are kept in memory for readers.
pub const TAIL_CACHE_BYTES: usize = if SMALL { 2 * 1024 } else { 64 * 1024 * 1024 };

/// Bytes of frames in a block of a sealed segment: what is decompressed to read one of them.
pub const BLOCK_BYTES: usize = if SMALL { 1024 } else { 16 * 1024 };
/// Largest block: one that holds a single frame of the largest size. A length read from disk is
/// held to it before memory is reserved for it.
pub const BLOCK_MAX: usize = PAYLOAD_MAX as usize + BLOCK_BYTES;
/// Bytes of log within which a sealed segment's frames are gathered by aggregate: what sealing
/// holds in memory, and what a reader of everything decompresses before it goes on.
pub const STRETCH_BYTES: u64 = if SMALL { 4096 } else { 16 * 1024 * 1024 };
/// Full segments that wait to be rewritten before that goes at its whole rate.
pub const SEAL_BACKLOG: u64 = 8;

const _: () = assert!(GROUP_BYTES_MAX < PAYLOAD_MAX as usize);
const _: () = assert!(SEGMENT_MIN <= GROUP_BYTES_MAX as u64);
const _: () = assert!(CLAIM_MAX < u16::MAX as usize);
