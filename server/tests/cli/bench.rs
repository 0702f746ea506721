//! The benchmarks run, check what they measured, and say what they measured it against.

use serde_json::Value;

use crate::support::angzarr;

fn figures(what: &[&str]) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let scratch = folder.path().to_str().unwrap();
    let mut args = vec!["bench"];
    args.extend(what);
    args.extend([
        "--json",
        "--seconds",
        "0.3",
        "--warm-up",
        "0",
        "--clients",
        "2",
    ]);
    args.extend(["--aggregates", "8", "--scratch", scratch]);
    serde_json::from_str(&angzarr(folder.path(), &args).ok()).unwrap()
}

#[test]
fn commands_are_measured_beside_appends_and_bare_hops() {
    for (what, mode) in [
        (&["command"][..], "async"),
        (&["command", "--wait", "projector"], "simple"),
        (&["cascade"], "cascade"),
    ] {
        let figures = figures(what);
        assert_eq!(figures["mode"], mode);
        for calls in ["append", "hops", "command"] {
            for figure in ["per_second", "cpu_us"] {
                let figure = figures[calls][figure].as_f64().unwrap();
                assert!(figure > 0.0, "{figures}");
            }
        }
        assert!(
            figures["share_of_limit"].as_f64().unwrap() > 0.0,
            "{figures}"
        );
    }
}
