//! The binary `angzarr`.

use std::process::ExitCode;

fn main() -> ExitCode {
    angzarr_server::cli::main()
}
