//! Files, variables and flags, and which of them wins.

use super::*;

#[test]
fn variables_are_replaced_after_parsing() {
    let fixture = Fixture::new().var("DIR", "a: [b # c").var("EMPTY", "");
    let text = "storage: {path: \"${DIR}/x\"}\nlog: {filter: \"${EMPTY:-debug}\"}
server: {listen: \"${HOST:-127.0.0.1}:9\"}\n";
    fixture.file("angzarr.yaml", text);
    let config = fixture.load().unwrap();
    let native = NativeStorage {
        path: "a: [b # c/x".into(),
        ..NativeStorage::default()
    };
    assert_eq!(config.storage, Storage::Native(native));
    assert_eq!(config.log.filter, "debug");
    assert_eq!(
        config.server.listen,
        [Listen::Tcp("127.0.0.1:9".to_owned())]
    );

    fixture.file("angzarr.yaml", "storage: {path: \"$${DIR}\"}\n");
    let native = NativeStorage {
        path: "${DIR}".into(),
        ..NativeStorage::default()
    };
    assert_eq!(fixture.load().unwrap().storage, Storage::Native(native));
}

#[test]
fn later_sources_win() {
    let mut fixture = Fixture::new();
    let path = |fixture: &Fixture| match fixture.load().unwrap().storage {
        Storage::Native(native) => native.path.display().to_string(),
        Storage::Remote(_) => panic!("a native store was configured"),
    };
    assert_eq!(path(&fixture), "./data");
    fixture.file("angzarr.yaml", "storage: {path: found, durability: os}\n");
    assert_eq!(path(&fixture), "found");
    fixture.sources.file = Some(fixture.file("named.yaml", "storage: {path: named}\n"));
    assert_eq!(path(&fixture), "named");
    let file = fixture.file("variable.yaml", "storage: {path: variable}\n");
    fixture = fixture.var("ANGZARR_CONFIG", file.to_str().unwrap());
    assert_eq!(path(&fixture), "variable");
    fixture = fixture.var("ANGZARR__STORAGE__PATH", "environment");
    assert_eq!(path(&fixture), "environment");
    fixture.sources.flags = vec![(
        "--data".to_owned(),
        "storage.path".to_owned(),
        "flag".to_owned(),
    )];
    assert_eq!(path(&fixture), "flag");
    let Storage::Native(native) = fixture.load().unwrap().storage else {
        panic!("native")
    };
    assert_eq!(
        native.durability,
        Durability::Os,
        "what a later source leaves out stays"
    );
}

#[test]
fn the_environment_reaches_lists_and_is_checked() {
    let fixture = Fixture::new()
        .var("ANGZARR__SERVER__LISTEN", "127.0.0.1:1, unix:/x")
        .var(
            "ANGZARR__AGGREGATES",
            "[{domain: order, address: 'http://h:1'}]",
        )
        .var("ANGZARR__AGGREGATES__0__DIALECT", "v1");
    let config = fixture.load().unwrap();
    assert_eq!(config.server.listen.len(), 2);
    assert_eq!(
        config.aggregates.first().unwrap().dialect,
        Some(Dialect::V1)
    );

    let problem = Fixture::new()
        .var("ANGZARR__STORAGE__PATHS", "x")
        .load()
        .unwrap_err();
    assert!(
        problem.contains("environment variable ANGZARR__STORAGE__PATHS: unknown key"),
        "{problem}"
    );
    let problem = Fixture::new()
        .var("ANGZARR__STORAGE__TYPE", "redis")
        .load()
        .unwrap_err();
    assert!(problem.contains("redis is not built in yet"), "{problem}");
}

#[test]
fn a_missing_file_is_named_with_its_source() {
    let mut fixture = Fixture::new();
    fixture.sources.file = Some("gone.yaml".into());
    let problem = fixture.load().unwrap_err();
    assert!(
        problem.contains("gone.yaml (named by --config) cannot be read"),
        "{problem}"
    );
    let problem = Fixture::new()
        .var("ANGZARR_CONFIG", "/no/such")
        .load()
        .unwrap_err();
    assert!(
        problem.contains("/no/such (named by ANGZARR_CONFIG) cannot be read"),
        "{problem}"
    );
}
