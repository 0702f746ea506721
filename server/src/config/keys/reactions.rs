//! The keys of sagas, process managers and projectors, which have most in common.

use super::{Key, joined, key};

macro_rules! common {
    ($list:literal, $attempts:literal, $editions:literal) => {
        [
            key(
                concat!($list, "[].name"),
                "",
                "Its name, no other component's: it names checkpoint, dead letters and outbox.",
            ),
            key(
                concat!($list, "[].address"),
                "",
                "Where it listens: `http://host:port` or `unix:/path`.",
            ),
            key(
                concat!($list, "[].inputs"),
                "",
                "What it reacts to: a list of `{domain: order, types: [OrderCreated]}`; without `types`, \
                 all events of the domain.",
            ),
            key(
                concat!($list, "[].editions"),
                $editions,
                "`main` or `all`: whether it reacts to the events of branches too.",
            ),
            key(
                concat!($list, "[].start"),
                "beginning",
                "Where it begins when it is new: `beginning`, the first event of the store, or `now`, what \
                 comes after its first start. A rebuild goes from the beginning.",
            ),
            key(
                concat!($list, "[].dialect"),
                "auto",
                "`auto`, `v1`, `client-0.5` or `client-0.3`: the protocol it speaks.",
            ),
            key(
                concat!($list, "[].timeout"),
                "30s",
                "Longest wait for one answer.",
            ),
            key(
                concat!($list, "[].retries.attempts"),
                "10",
                $attempts,
            ),
            key(
                concat!($list, "[].retries.min"),
                "10ms",
                "First pause between two attempts.",
            ),
            key(
                concat!($list, "[].retries.max"),
                "2s",
                "Longest pause between two attempts.",
            ),
            key(
                concat!($list, "[].concurrency"),
                "16",
                "Aggregates whose events are handed to it at one time.",
            ),
        ]
    };
}

const COMMON: usize = 11;
const OWN_COUNT: usize = 8;

const SAGAS: [Key; COMMON] = common!(
    "sagas",
    "Attempts in all before an event goes to the dead letters.",
    "all"
);
const PROCESS_MANAGERS: [Key; COMMON] = common!(
    "process_managers",
    "Attempts in all before an event goes to the dead letters.",
    "all"
);
const PROJECTORS: [Key; COMMON] = common!(
    "projectors",
    "Attempts in all before an event goes to the dead letters.",
    "main"
);
const OWN: [Key; OWN_COUNT] = [
    key(
        "sagas[].targets",
        "[]",
        "Domains it sends commands to: it is told the next sequence of the aggregate with the same \
         root there.",
    ),
    key("process_managers[].domain", "", "Domain of its own events."),
    key(
        "process_managers[].targets",
        "[]",
        "Domains it sends commands to: it is told the next sequence of the aggregate with the same \
         root there.",
    ),
    key(
        "aggregates[].sagas",
        "[]",
        "Sagas that the aggregate's endpoint serves, too: entries as in `sagas`, whose `address` and \
         `inputs` are the aggregate's unless given.",
    ),
    key(
        "cascade.timeout",
        "5m",
        "How long a cascade may be pending before it is revoked, with the reason `timeout`.",
    ),
    key(
        "cascade.check_interval",
        "30s",
        "How often that is looked for.",
    ),
    key(
        "compensation.fallback_domain",
        "angzarr.saga-failures",
        "Domain of the `SagaCompensationFailed` events that business code asks for.",
    ),
    key(
        "compensation.webhook",
        "",
        "Where compensations that business code escalates are posted as JSON: \
         `http://host:port/path`. Without it they are logged as errors only.",
    ),
];

pub(super) const REACTIONS: [Key; 3 * COMMON + OWN_COUNT] = joined(
    &joined::<{ 2 * COMMON }>(&SAGAS, &PROCESS_MANAGERS),
    &joined::<{ COMMON + OWN_COUNT }>(&PROJECTORS, &OWN),
);
