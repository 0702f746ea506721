//! Disks that fill up or become read-only, and a process that runs out of descriptors.

use std::path::{Path, PathBuf};
use std::process::Command;

use rand::Rng;

use angzarr_proto::store::v1::event_store_client::EventStoreClient;
use angzarr_proto::v1;
use tonic::transport::Channel;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};

use super::super::support::Server;
use super::{ROOT, SERVE, connect, cover, health, read, request};

/// A small file system in a file, mounted on `folder/mnt`; unmounted when dropped.
struct SmallDisk {
    mounted: PathBuf,
}

impl SmallDisk {
    /// `None`, said aloud, where a test may not mount.
    fn mount(folder: &Path, mib: u64) -> Option<Self> {
        let (image, mounted) = (folder.join("image"), folder.join("mnt"));
        std::fs::create_dir(&mounted).unwrap();
        let file = std::fs::File::create(&image).unwrap();
        file.set_len(mib << 20).unwrap();
        let made = Command::new("mkfs.ext4")
            .args(["-q", "-m", "0"])
            .arg(&image)
            .output();
        let done = made.is_ok_and(|made| made.status.success())
            && Command::new("mount")
                .args(["-o", "loop"])
                .args([&image, &mounted])
                .output()
                .is_ok_and(|mount| mount.status.success());
        if !done {
            eprintln!(
                "SKIPPED: no file system can be mounted here (it takes root and a loop device)"
            );
            return None;
        }
        Some(Self { mounted })
    }

    /// A server with its data here.
    fn serve(&self, folder: &Path) -> Server {
        let data = self.mounted.join("data");
        let data = [
            "--data",
            data.to_str().unwrap(),
            "--set",
            "storage.index=memory",
        ];
        Server::start_with(folder, &[&SERVE[..], &data].concat())
    }

    fn remount(&self, how: &str) -> bool {
        let how = format!("remount,{how}");
        let mount = Command::new("mount")
            .args(["-o", &how])
            .arg(&self.mounted)
            .output();
        mount.is_ok_and(|mount| mount.status.success())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(&self.mounted).output();
        if !unmounted.is_ok_and(|unmounted| unmounted.status.success()) {
            // Whatever still uses it: gone from the tree now, from the disk when it ends.
            let _ = Command::new("umount").arg("-l").arg(&self.mounted).output();
        }
    }
}

fn events(server: &Server) -> usize {
    let read = server.run(&["read", "order", ROOT, "--json"]).ok();
    read.lines().count()
}

async fn is_unhealthy(channel: &Channel) {
    let mut client = HealthClient::new(channel.clone());
    let watch = client.watch(HealthCheckRequest::default()).await;
    let mut watch = watch.unwrap().into_inner();
    while watch.message().await.unwrap().unwrap().status() != ServingStatus::NotServing {}
}

/// A file system that is full: the append fails and says so, reads go on, and when there is room
/// again a restart has everything that was acknowledged.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_file_system_stops_appends_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(folder.path(), 12) else {
        return;
    };
    let server = disk.serve(folder.path());
    // Not to be compressed: rewriting segments would make room.
    let mut large = rand::rng().sample_iter(rand::distr::Alphanumeric);
    let large: Vec<u8> = large.by_ref().take(200 * 1024).collect();
    std::fs::write(folder.path().join("large"), large).unwrap();
    std::fs::write(disk.mounted.join("ballast"), vec![7u8; 6 << 20]).unwrap();
    let mut acknowledged = 0;
    let problem = loop {
        let ended = server.run(&["append", "order", ROOT, "--data", "@large"]);
        if ended.code != Some(0) {
            break ended.stderr;
        }
        acknowledged += 1;
        assert!(acknowledged < 60, "12 MiB do not hold this much");
    };
    assert!(problem.contains("restart"), "{problem}");
    assert!(acknowledged > 0);
    assert_eq!(events(&server), acknowledged);
    is_unhealthy(&connect(&server.url).await).await;
    let again = server.run(&["append", "order", ROOT, "--data", "small"]);
    assert_ne!(again.code, Some(0), "a poisoned store takes nothing");
    drop(server);
    std::fs::remove_file(disk.mounted.join("ballast")).unwrap();
    let server = disk.serve(folder.path());
    assert_eq!(events(&server), acknowledged);
    server
        .run(&["append", "order", ROOT, "--data", "@large"])
        .ok();
    assert_eq!(events(&server), acknowledged + 1);
    assert_eq!(
        health(&connect(&server.url).await).await,
        ServingStatus::Serving
    );
}

/// A file system that becomes read-only under the server, as after an error of the disk.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_file_system_stops_appends_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(folder.path(), 16) else {
        return;
    };
    let server = disk.serve(folder.path());
    for _ in 0..3 {
        server
            .run(&["append", "order", ROOT, "--data", "small"])
            .ok();
    }
    // Files open for writing hold up a plain remount; `abort` is what a failing disk does.
    if !disk.remount("abort") {
        eprintln!("SKIPPED: this system does not remount with abort");
        return;
    }
    let problem = server.run(&["append", "order", ROOT, "--data", "small"]);
    assert_ne!(problem.code, Some(0));
    assert!(problem.stderr.contains("restart"), "{}", problem.stderr);
    assert_eq!(events(&server), 3);
    is_unhealthy(&connect(&server.url).await).await;
    drop(server);
    drop(disk);
    let mounted = folder.path().join("mnt");
    let image = folder.path().join("image");
    let mount = Command::new("mount")
        .args(["-o", "loop"])
        .args([&image, &mounted])
        .output();
    assert!(mount.unwrap().status.success());
    let disk = SmallDisk { mounted };
    let server = disk.serve(folder.path());
    assert_eq!(events(&server), 3);
    server
        .run(&["append", "order", ROOT, "--data", "small"])
        .ok();
    assert_eq!(events(&server), 4);
}

/// No descriptor is left for a new segment: the append that needs one fails and says so, reads go
/// on, and a restart has everything.
#[tokio::test(flavor = "multi_thread")]
async fn without_descriptors_appends_stop_and_reads_go_on() {
    let folder = tempfile::tempdir().unwrap();
    // Segments stay as they are: each is an open file.
    let set = [
        "--set",
        "storage.index=memory",
        "--set",
        "storage.seal_rate=0",
    ];
    let arguments = [&SERVE[..], &set].concat();
    let server = Server::start_with_descriptors(folder.path(), 48, &arguments);
    // No new connection would be accepted in the end.
    let channel = connect(&server.url).await;
    let mut acknowledged = 0;
    let problem = loop {
        if let Err(status) = append_large(&channel, acknowledged).await {
            break status;
        }
        acknowledged += 1;
        assert!(acknowledged < 100, "48 descriptors are not enough for this");
    };
    let text = problem.message();
    assert!(text.contains("Too many open files"), "{text}");
    assert!(text.contains("no longer accepts appends"), "{text}");
    let stored = read(&channel, cover(1, "order")).await;
    assert_eq!(stored.len(), acknowledged as usize);
    let again = append_large(&channel, acknowledged).await;
    assert!(again.is_err(), "a poisoned store takes nothing");
    is_unhealthy(&channel).await;
    drop(server);
    let server = Server::start_with(folder.path(), &arguments);
    let channel = connect(&server.url).await;
    let stored = read(&channel, cover(1, "order")).await;
    assert_eq!(stored.len(), acknowledged as usize);
    append_large(&channel, acknowledged).await.unwrap();
}

/// Fills a segment.
async fn append_large(channel: &Channel, next: u32) -> Result<(), tonic::Status> {
    let mut request = request(1, next);
    request.writes.truncate(1);
    for page in &mut request.writes[0].pages {
        page.payload = Some(v1::event_page::Payload::Event(prost_types::Any {
            type_url: "t/test.Large".to_owned(),
            value: vec![1; 60 * 1024],
        }));
    }
    let mut store = EventStoreClient::new(channel.clone());
    store.append(request).await.map(drop)
}
