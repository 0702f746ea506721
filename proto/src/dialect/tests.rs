use super::Dialect;

#[test]
fn paths_of_every_dialect_are_recognised() {
    for dialect in Dialect::ALL {
        let path = dialect.method_path("EventQueryService", "GetEventBook");
        assert_eq!(
            Dialect::of_path(&path),
            Some((dialect, "EventQueryService/GetEventBook"))
        );
    }
}

#[test]
fn paths_of_other_packages_are_left_alone() {
    for path in [
        "/angzarr.store.v1.EventStore/Append",
        "/angzarr_client.proto.angzarr.status.DlqAdminService/GetDeadLetter",
        "/grpc.health.v1.Health/Check",
        "/angzarr./GetEventBook",
        "/angzarr.EventQueryService",
        "angzarr.EventQueryService/GetEventBook",
        "/EventQueryService/GetEventBook",
        "/",
        "",
    ] {
        assert_eq!(Dialect::of_path(path), None, "{path}");
    }
}

#[test]
fn type_names_are_read_with_any_prefix_and_none() {
    for dialect in Dialect::ALL {
        let name = dialect.qualify("Notification");
        for url in [
            name.clone(),
            format!("type.googleapis.com/{name}"),
            format!("a.b/c/{name}"),
        ] {
            assert_eq!(
                Dialect::of_type_url(&url),
                Some((dialect, "Notification")),
                "{url}"
            );
        }
    }
    assert_eq!(
        Dialect::of_type_url("type.googleapis.com/orders.Notification"),
        None
    );
}
