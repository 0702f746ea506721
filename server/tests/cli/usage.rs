use std::fs;

use super::support::{ROOT, angzarr};
use angzarr_server::config::KEYS;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn help_and_version_are_results() {
    let folder = folder();
    let help = angzarr(folder.path(), &["--help"]).ok();
    for word in [
        "serve",
        "demo",
        "append",
        "read",
        "tail",
        "aggregates",
        "fork",
        "stats",
        "bench",
    ] {
        assert!(help.contains(&format!("  {word} ")), "{word}: {help}");
    }
    assert!(help.contains("Exit codes:"), "{help}");
    let version = angzarr(folder.path(), &["--version"]).ok();
    assert_eq!(version, format!("angzarr {}\n", env!("CARGO_PKG_VERSION")));
    let script = angzarr(folder.path(), &["completions", "bash"]).ok();
    assert!(script.contains("_angzarr()"), "{script}");
}

#[test]
fn help_of_serve_lists_every_key() {
    let help = angzarr(folder().path(), &["serve", "--help"]).ok();
    for key in KEYS {
        assert!(help.contains(&format!("  {}\n", key.name)), "{}", key.name);
    }
}

#[test]
fn a_wrong_command_line_ends_with_2() {
    let folder = folder();
    for arguments in [
        &[][..],
        &["brew"],
        &["append", "order", "new"],
        &[
            "append",
            "order",
            "new",
            "--data",
            "x",
            "--expected",
            "soon",
        ],
        &["append", "order", "nobody", "--data", "x"],
        &["append", "order", "new", "--data", "hex:1"],
        &["append", "order", "new", "--data", "@no-such-file"],
        &["read", "order", "nobody"],
        &["read", "order", ROOT, "--as-of", "yesterday"],
        &["read", "order", ROOT, "--target", "nowhere"],
        &["fork", "what-if", "order"],
        &["tail", "--from", "here"],
    ] {
        let problem = angzarr(folder.path(), arguments).fails(2);
        assert!(!problem.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_server_that_is_not_there_ends_with_3() {
    let folder = folder();
    let target = ["--target", "http://127.0.0.1:1"];
    for arguments in [
        &["stats"][..],
        &["read", "order", ROOT],
        &["append", "order", "new", "--data", "x"],
        &["tail"],
        &["aggregates"],
        &["fork", "what-if", "order=1"],
    ] {
        let problem = angzarr(folder.path(), &[arguments, &target].concat()).fails(3);
        assert!(
            problem.starts_with("angzarr: cannot reach http://127.0.0.1:1:"),
            "{problem}"
        );
        assert!(
            problem.contains("\n  next: start a server with `angzarr serve`"),
            "{problem}"
        );
    }
}

#[test]
fn a_wrong_configuration_ends_with_2_and_names_the_line() {
    let folder = folder();
    fs::write(
        folder.path().join("angzarr.yaml"),
        "storage:\n  durabilty: os\n",
    )
    .unwrap();
    let problem = angzarr(folder.path(), &["serve"]).fails(2);
    let expected = "angzarr: angzarr.yaml, line 2: unknown key storage.durabilty; \
                    did you mean durability?\n  next: ";
    assert!(problem.starts_with(expected), "{problem}");

    fs::write(folder.path().join("angzarr.yaml"), "").unwrap();
    for (arguments, expected) in [
        (
            &["--config", "gone.yaml"][..],
            "gone.yaml (named by --config) cannot be read",
        ),
        (
            &["--durability", "maybe"],
            "flag --durability: storage.durability: \"maybe\"",
        ),
        (
            &["--listen", "here"],
            "flag --listen: server.listen: \"here\" is not an address",
        ),
        (
            &["--set", "storage.type=postgres"],
            "postgres is not built in yet",
        ),
        (
            &["--set", "sagas=[{name: a}]"],
            "sagas[0].address: is missing",
        ),
        (&["--set", "colour=red"], "flag --set: unknown key colour"),
    ] {
        let problem = angzarr(folder.path(), &[&["serve"], arguments].concat()).fails(2);
        assert!(problem.contains(expected), "{problem}");
    }
    assert!(
        !folder.path().join("data").exists(),
        "a refused start leaves nothing behind"
    );
}

#[test]
fn the_log_can_be_turned_up_and_a_wrong_filter_is_told() {
    let folder = folder();
    let run = |filter: &str| {
        let mut command = super::support::command(folder.path());
        command
            .args(["serve", "--listen", "unix:/no/such/folder/socket"])
            .env("ANGZARR_LOG", filter);
        let output = command.output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, problem) = run("a=b=c");
    assert_eq!(code, Some(2));
    assert!(
        problem.starts_with("angzarr: ANGZARR_LOG: \"a=b=c\":"),
        "{problem}"
    );
    let (_, quiet) = run("error");
    assert!(quiet.starts_with("angzarr: cannot listen"), "{quiet}");
    let (_, usual) = run("info");
    assert!(usual.contains("opened the data folder"), "{usual}");
}
