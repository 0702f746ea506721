//! Compiles the protocol without `protoc` and writes its descriptor set beside the code.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

const ROOT: &str = "proto";

const FILES: [&str; 14] = [
    "angzarr/admin/v1/consumers.proto",
    "angzarr/admin/v1/dead_letters.proto",
    "angzarr/internal/v1/internal.proto",
    "angzarr/store/v1/store.proto",
    "angzarr_client/proto/angzarr/status/dlq.proto",
    "angzarr_client/proto/angzarr/v1/command_handler.proto",
    "angzarr_client/proto/angzarr/v1/dead_letter.proto",
    "angzarr_client/proto/angzarr/v1/framework.proto",
    "angzarr_client/proto/angzarr/v1/process_manager.proto",
    "angzarr_client/proto/angzarr/v1/projector.proto",
    "angzarr_client/proto/angzarr/v1/query.proto",
    "angzarr_client/proto/angzarr/v1/saga.proto",
    "angzarr_client/proto/angzarr/v1/stream.proto",
    "angzarr_client/proto/angzarr/v1/upcaster.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={ROOT}");

    let mut compiler = protox::Compiler::new([ROOT])?;
    compiler
        .include_imports(true)
        .include_source_info(false)
        .open_files(FILES)?;

    // The encoded form keeps the google.api.http options, which the decoded one has no field for.
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(
        out.join("descriptor_set.bin"),
        compiler.encode_file_descriptor_set(),
    )?;

    tonic_prost_build::configure()
        .extern_path(".angzarr.store.v1.ReadResponse", "crate::raw::ReadResponse")
        .extern_path(".angzarr.store.v1.RecordedBook", "crate::raw::RecordedBook")
        // Options only: nothing refers to them, so that no code is made of them.
        .extern_path(".google.api", "::google_api")
        .btree_map(".")
        .codec_path("crate::codec::Codec")
        .include_file("protocol.rs")
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
