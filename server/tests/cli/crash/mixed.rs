//! Everything at once, and the process killed in the middle of it.

use std::collections::BTreeMap;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use angzarr_proto::store::v1 as pb;
use angzarr_proto::v1;
use pb::cascades_client::CascadesClient;
use pb::editions_client::EditionsClient;
use pb::event_store_client::EventStoreClient;
use pb::snapshots_client::SnapshotsClient;
use rand::{Rng, SeedableRng, rngs::StdRng};
use tonic::transport::Channel;

use super::super::support::{Server, angzarr};
use super::{SERVE, connect, cover, read, request};

/// Cascades that a kill leaves pending are not revoked behind the back of the test.
const PATIENT: [&str; 2] = ["--set", "cascade.timeout=1h"];
const CLIENTS: u8 = 6;
/// One append in so many carries snapshots, is followed by a fork, by a cascade.
const SNAPSHOT_EVERY: u32 = 4;
const FORK_EVERY: u32 = 9;
const CASCADE_EVERY: u32 = 5;

/// What a client was told.
#[derive(Debug, Clone, Default)]
struct Known {
    /// Events in each of the two aggregates.
    events: u32,
    /// Sequence of the newest snapshot.
    snapshot: Option<u32>,
    /// Branches: where they leave main.
    branches: BTreeMap<String, u32>,
    /// Cascades: whether they were settled.
    cascades: BTreeMap<String, bool>,
    /// A cascade whose settlement was under way.
    settling: Option<String>,
}

type Told = Arc<Mutex<BTreeMap<u8, Known>>>;

struct Client {
    number: u8,
    channel: Channel,
    told: Told,
    count: Arc<AtomicUsize>,
}

impl Client {
    fn note(&self, change: impl FnOnce(&mut Known)) {
        let mut told = self.told.lock().unwrap();
        change(told.entry(self.number).or_default());
        self.count.fetch_add(1, Ordering::SeqCst);
    }

    /// Works until the server is gone.
    async fn run(self) {
        let known = self.told.lock().unwrap()[&self.number].clone();
        let mut next = known.events;
        loop {
            let step = self.step(next).await;
            if step.is_err() {
                return;
            }
            next += 1;
        }
    }

    async fn step(&self, next: u32) -> Result<(), tonic::Status> {
        let mut request = request(self.number, next);
        let with_snapshot = next.is_multiple_of(SNAPSHOT_EVERY);
        if with_snapshot {
            for write in &mut request.writes {
                write.snapshot = Some(snapshot(self.number, next));
            }
        }
        EventStoreClient::new(self.channel.clone())
            .append(request)
            .await?;
        self.note(|known| {
            known.events = next + 1;
            if with_snapshot {
                known.snapshot = Some(next);
            }
        });
        if next % FORK_EVERY == 1 {
            self.fork(next).await?;
        }
        if next % CASCADE_EVERY == 2 {
            self.cascade(next).await?;
        }
        Ok(())
    }

    /// Branches off in the middle of what there is, and appends one event there.
    async fn fork(&self, next: u32) -> Result<(), tonic::Status> {
        let (name, at) = (format!("b{}-{next}", self.number), next / 2);
        let edition = v1::Edition {
            name: name.clone(),
            divergences: vec![v1::DomainDivergence {
                domain: "order".to_owned(),
                sequence: at,
            }],
        };
        EditionsClient::new(self.channel.clone())
            .fork(pb::ForkRequest {
                edition: Some(edition),
            })
            .await?;
        let mut append = request(self.number, at);
        append.writes.truncate(1);
        append.writes[0].cover = on_branch(self.number, &name);
        EventStoreClient::new(self.channel.clone())
            .append(append)
            .await?;
        self.note(|known| {
            known.branches.insert(name, at);
        });
        Ok(())
    }

    /// Appends to two aggregates what is pending, then settles it.
    async fn cascade(&self, next: u32) -> Result<(), tonic::Status> {
        let id = format!("c{}-{next}", self.number);
        let mut append = request(self.number, 0);
        append.cascade_id = Some(id.clone());
        for (write, domain) in append.writes.iter_mut().zip(["left", "right"]) {
            write.cover = cover(self.number, domain);
            write.expected = None;
        }
        EventStoreClient::new(self.channel.clone())
            .append(append)
            .await?;
        self.note(|known| {
            known.cascades.insert(id.clone(), false);
        });
        self.told
            .lock()
            .unwrap()
            .entry(self.number)
            .or_default()
            .settling = Some(id.clone());
        let mut cascades = CascadesClient::new(self.channel.clone());
        let cascade_id = id.clone();
        if next.is_multiple_of(2) {
            cascades
                .commit(pb::CommitCascadeRequest { cascade_id })
                .await?;
        } else {
            let reason = "a test".to_owned();
            let rollback = pb::RollbackCascadeRequest { cascade_id, reason };
            cascades.rollback(rollback).await?;
        }
        self.note(|known| {
            known.cascades.insert(id, true);
            known.settling = None;
        });
        Ok(())
    }
}

fn snapshot(client: u8, sequence: u32) -> v1::Snapshot {
    v1::Snapshot {
        sequence,
        state: Some(prost_types::Any {
            type_url: "t/test.State".to_owned(),
            value: vec![client; 20],
        }),
        ..Default::default()
    }
}

fn on_branch(client: u8, edition: &str) -> Option<v1::Cover> {
    let edition = Some(v1::Edition {
        name: edition.to_owned(),
        divergences: Vec::new(),
    });
    cover(client, "order").map(|cover| v1::Cover { edition, ..cover })
}

/// All that a client was told is so, and what it was not told is there whole or not at all.
async fn check(channel: &Channel, client: u8, known: &mut Known) {
    let orders = read(channel, cover(client, "order")).await;
    let stock = read(channel, cover(client, "stock")).await;
    assert_eq!(orders, stock, "half a commit of {client}");
    let events = u32::try_from(orders.len()).unwrap();
    let expected = known.events..=known.events + 1;
    assert!(expected.contains(&events), "{client}: {known:?}, {events}");
    for (n, value) in orders.iter().enumerate() {
        assert_eq!(*value, vec![client; 40 + (n * 97) % 900]);
    }
    known.events = events;
    check_snapshots(channel, client, known).await;
    for (name, at) in &known.branches {
        let branch = read(channel, on_branch(client, name)).await;
        let inherited = *at as usize;
        assert_eq!(branch[..inherited], orders[..inherited], "branch {name}");
        assert_eq!(branch.len(), inherited + 1, "branch {name}");
    }
    let halves = [cover(client, "left"), cover(client, "right")];
    let [left, right] = [
        read(channel, halves[0].clone()).await,
        read(channel, halves[1].clone()).await,
    ];
    assert_eq!(left.len(), right.len(), "half a cascade of {client}");
    let mut cascades = CascadesClient::new(channel.clone());
    for (id, settled) in &mut known.cascades {
        let request = pb::ListParticipantsRequest {
            cascade_id: id.clone(),
        };
        let answer = cascades.list_participants(request).await.unwrap();
        let pending = answer.into_inner().participants.len();
        let under_way = known.settling.as_ref() == Some(id);
        let right = pending == 2 && !*settled || pending == 0 && (*settled || under_way);
        assert!(right, "{id} has {pending} participants, settled: {settled}");
        *settled = pending == 0;
    }
    known.settling = None;
}

async fn check_snapshots(channel: &Channel, client: u8, known: &mut Known) {
    let mut newest = Vec::new();
    for domain in ["order", "stock"] {
        let request = pb::ListSnapshotsRequest {
            cover: cover(client, domain),
        };
        let mut snapshots = SnapshotsClient::new(channel.clone());
        let found = snapshots.list(request).await.unwrap().into_inner();
        newest.push(found.snapshots.last().map(|found| found.sequence));
    }
    assert_eq!(newest[0], newest[1], "snapshots of one commit");
    assert!(newest[0] >= known.snapshot, "{newest:?} {known:?}");
    known.snapshot = newest[0];
}

/// Starts a backup that goes on while the server is killed.
fn back_up(server: &Server) -> Child {
    let mut backup = server.command(&["backup", "copies"]);
    backup.stdout(Stdio::null()).stderr(Stdio::null());
    backup.spawn().unwrap()
}

/// Has clients work and kills the server after so many answers; returns how many there were.
async fn work_until(told: &Told, channel: &Channel, moment: usize, server: Server) -> usize {
    let count = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let client = Client {
                number,
                channel: channel.clone(),
                told: told.clone(),
                count: count.clone(),
            };
            tokio::spawn(client.run())
        })
        .collect();
    while count.load(Ordering::SeqCst) < moment {
        tokio::task::yield_now().await;
    }
    server.kill();
    for client in clients {
        client.await.unwrap();
    }
    count.load(Ordering::SeqCst)
}

/// Appends over several aggregates, snapshots, forks, cascades, rewriting of segments and backups,
/// and a SIGKILL at a random moment: a dozen times, or as often as `ANGZARR_KILLS` says.
#[tokio::test(flavor = "multi_thread")]
async fn sigkill_under_mixed_load_loses_nothing_acknowledged() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().unwrap());
    let seed: u64 = number("ANGZARR_SEED").unwrap_or_else(rand::random);
    let kills = number("ANGZARR_KILLS").unwrap_or(12);
    eprintln!("replay with ANGZARR_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let told: Told = Arc::default();
    told.lock()
        .unwrap()
        .extend((0..CLIENTS).map(|client| (client, Known::default())));
    let (mut acknowledged, mut torn) = (0, 0);
    for round in 0..kills {
        let server = Server::start_with(folder.path(), &[&SERVE[..], &PATIENT].concat());
        let channel = connect(&server.url).await;
        for client in 0..CLIENTS {
            let mut known = told.lock().unwrap()[&client].clone();
            check(&channel, client, &mut known).await;
            told.lock().unwrap().insert(client, known);
        }
        let backup = (round % 3 == 1).then(|| back_up(&server));
        acknowledged += work_until(&told, &channel, random.random_range(1..150), server).await;
        if let Some(mut backup) = backup {
            backup.wait().unwrap();
        }
        let verdict = angzarr(folder.path(), &["verify", "data", "--json"]);
        // 1 is an unfinished write at the end, which opening removes.
        assert!(matches!(verdict.code, Some(0 | 1)), "{}", verdict.stderr);
        torn += usize::from(verdict.code == Some(1));
    }
    let server = Server::start_with(folder.path(), &[&SERVE[..], &PATIENT].concat());
    let channel = connect(&server.url).await;
    for client in 0..CLIENTS {
        let mut known = told.lock().unwrap()[&client].clone();
        check(&channel, client, &mut known).await;
    }
    server.run(&["backup", "copies"]).ok();
    angzarr(folder.path(), &["restore", "copies", "restored"]).ok();
    let arguments = [&SERVE[..], &PATIENT, &["--data", "restored"]].concat();
    let restored = Server::start_with(folder.path(), &arguments);
    let channel = connect(&restored.url).await;
    for client in 0..CLIENTS {
        let mut known = told.lock().unwrap()[&client].clone();
        check(&channel, client, &mut known).await;
    }
    eprintln!("{kills} kills, {acknowledged} acknowledged, {torn} unfinished writes cut off");
}
