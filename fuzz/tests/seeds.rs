//! Makes the first inputs of a corpus. Run by hand: `cargo test --test seeds -- --ignored`.
#![allow(missing_docs, reason = "tests")]

use std::fs;
use std::path::Path;

fn write(target: &str, name: &str, bytes: &[u8]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(name), bytes).unwrap();
}

/// Bytes that a generator of numbers makes: enough for inputs that are read as steps.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed * 2 + 1;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(99);
        state.to_be_bytes()[0]
    };
    (0..len).map(|_| next()).collect()
}

#[test]
#[ignore = "writes into the corpus"]
fn make() {
    let frames = angzarr_fuzz::sample_frames();
    for (n, frame) in frames.iter().enumerate() {
        let payload = &frame[64..];
        let mut record = vec![0; 8];
        record.extend_from_slice(payload);
        write("record", &format!("seed-{n}"), &record);
        for mode in 0..3u8 {
            let mut input = vec![mode];
            input.extend_from_slice(&[1, 0, 0, 0]);
            input.extend_from_slice(&frame[8..16]);
            input.extend_from_slice(frame);
            write("frame", &format!("seed-{n}-{mode}"), &input);
        }
    }
    for prefix in [0, 3, 8, 100] {
        let mut input = vec![prefix, prefix];
        for frame in frames.iter().take(24) {
            let payload = &frame[64..];
            input.extend_from_slice(&u16::try_from(payload.len()).unwrap().to_le_bytes());
            input.extend_from_slice(payload);
        }
        write("apply", &format!("seed-{prefix}"), &input);
    }
    for (n, request) in angzarr_fuzz::sample_requests().iter().enumerate() {
        write("append_request", &format!("seed-{n}"), request);
    }
    for seed in 0..9 {
        let mode = u8::try_from(seed % 3).unwrap();
        let mut input = vec![mode];
        input.extend(noise(seed, 300));
        write("sealed", &format!("seed-{seed}"), &input);
    }
    for seed in 0..12 {
        for target in ["image", "directory", "operations", "index_keys"] {
            let len = if target == "index_keys" { 200 } else { 600 };
            write(target, &format!("seed-{seed}"), &noise(seed, len));
        }
    }
}
