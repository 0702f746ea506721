//! The binary `angzarr`.

use std::process::ExitCode;

/// A request is some fifty short-lived allocations, many of them freed by another thread: this
/// allocator gives them to that thread again at once, while they are in its cache.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    angzarr_server::cli::main()
}
