#![allow(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

use std::path::Path;

use super::{
    aggregates::decide_stock,
    handler::Handler,
    messages::{ReceiveStock, ReserveStock, pack},
    shop::{Place, Shop},
};
use crate::{
    config::{Aggregate, Config, Endpoint, Listen, NativeStorage, Sources, Storage},
    run::Instance,
};

const TEA: Place = Place {
    domain: "stock",
    name: "tea",
    branch: None,
};

fn config(folder: &Path, stock: &Handler) -> Config {
    let sources = Sources {
        folder: folder.to_path_buf(),
        ..Sources::default()
    };
    let mut config = Config::load(&sources).unwrap();
    config.server.listen = vec![Listen::Unix(folder.join("socket"))];
    config.storage = Storage::Native(NativeStorage {
        path: folder.join("data"),
        ..NativeStorage::default()
    });
    config.aggregates = vec![Aggregate {
        sagas: Vec::new(),
        domain: "stock".to_owned(),
        address: Endpoint::parse(&stock.address).unwrap(),
        dialect: None,
        timeout: std::time::Duration::from_secs(30),
        retries: crate::config::Retries::default(),
        concurrency: 1,
        snapshots: crate::config::Snapshots::Auto,
    }];
    config
}

/// The claims of the story are worth something only if the check can fail.
#[tokio::test]
async fn the_check_notices_what_is_missing_or_different() {
    let folder = tempfile::tempdir().unwrap();
    let stock = Handler::start(decide_stock).await.unwrap();
    let instance = Instance::open(&config(folder.path(), &stock))
        .await
        .unwrap();
    let shutdown = instance.shutdown();
    let serving = tokio::spawn(instance.serve());
    let mut shop = Shop::connect(&folder.path().join("socket")).await.unwrap();

    let received = pack(&ReceiveStock { chests: 10 });
    shop.command(&TEA, 0, received).await.unwrap();
    let reserve = pack(&ReserveStock {
        chests: 4,
        customer: "Ada".to_owned(),
    });
    let page = shop.command(&TEA, 1, reserve.clone()).await.unwrap();
    assert_eq!(shop.check_everything(&[]).await.unwrap(), 2);

    let stale = shop.command(&TEA, 1, reserve).await.unwrap_err();
    assert!(stale.message().starts_with("Sequence mismatch:"), "{stale}");

    let mut missing = shop.clone();
    missing.remember(&TEA, page);
    let problem = missing.check_everything(&[]).await.unwrap_err().to_string();
    assert_eq!(
        problem,
        "stock tea: 2 events were read, not the 3 that were acknowledged"
    );

    let mut different = shop.clone();
    different.forget_last(&TEA);
    let mut page = shop.book(&TEA).await.unwrap().pages.pop().unwrap();
    page.created_at = None;
    different.remember(&TEA, page);
    assert!(different.check_everything(&[]).await.is_err());

    shutdown.cancel();
    serving.await.unwrap().unwrap();
}
