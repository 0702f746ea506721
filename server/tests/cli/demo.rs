use super::support::angzarr;

#[test]
fn the_story_is_told_and_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let told = angzarr(folder.path(), &["demo"]).ok();
    assert!(!told.contains('\u{1b}'), "no colours in a pipe: {told}");
    for line in [
        "✓ stock tea                #0 StockReceived  10 chests arrive, 10 in store",
        "✓ stock tea                #2 StockReserved  5 for Grace, 1 left",
        "✗ refused by the business: 3 for Linus, but only 1 left",
        "✗ refused as stale: Sequence mismatch:",
        "✓ stock tea (what-if)      #2 StockReserved  3 for Linus, 3 left",
        "✗ refused by the business: 5 for Grace, but only 3 left",
        "✓ the main timeline noticed nothing of it",
        "all 13 acknowledged events are there",
        "✓ order Ada                #2 OrderShipped",
    ] {
        assert!(told.contains(line), "{line}\n is not in\n{told}");
    }
    let drawn: Vec<&str> = told
        .lines()
        .skip_while(|line| *line != "stock · tea")
        .collect();
    assert_eq!(
        drawn[1].trim_end(),
        " 0 ● StockReceived  10 chests arrive, 10 in store"
    );
    assert_eq!(drawn[2].trim_end(), " 1 ● StockReserved  4 for Ada, 6 left");
    assert!(drawn[3].contains('╮'), "{}", drawn[3]);
    assert!(
        drawn[4].starts_with(" 2 ● StockReserved  5 for Grace, 1 left  "),
        "{}",
        drawn[4]
    );
    assert!(
        drawn[4].ends_with("  2 ◆ StockReserved  3 for Linus, 3 left"),
        "{}",
        drawn[4]
    );
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert!(left.is_empty(), "the demo works elsewhere: {left:?}");
}

#[test]
fn a_scratch_folder_can_be_kept() {
    let folder = tempfile::tempdir().unwrap();
    let temporary = folder.path().join("tmp");
    std::fs::create_dir(&temporary).unwrap();
    let output = super::support::command(folder.path())
        .arg("demo")
        .arg("--keep")
        .env("TMPDIR", &temporary)
        .output()
        .unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{told}");
    let line = told.lines().last().unwrap();
    let (_, data) = line.split_once("angzarr serve --data ").unwrap();
    assert!(std::path::Path::new(data).join("log").is_dir(), "{data}");
    let server = super::support::Server::start_with(
        folder.path(),
        &["--data", data, "--listen", "127.0.0.1:0"],
    );
    let orders = server.run(&["aggregates", "order"]).ok();
    assert_eq!(orders.lines().count(), 3, "{orders}");
}
