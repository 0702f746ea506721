use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::context::ContextBuilder;
use async_nats::jetstream::{Context, stream};
use async_nats::{Client, ConnectOptions, Event, ServerAddr};
use percent_encoding::percent_decode_str;
use tokio::sync::watch;
use url::Url;

use super::NatsOptions;
use crate::bus::BusError;

/// Longest wait for the acknowledgement of one message, and for an answer about the stream.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// Longest pause between two attempts to connect.
const RECONNECT_MAX: Duration = Duration::from_secs(2);
/// While the first attempt to connect goes on.
const NO_ANSWER: &str = "no answer yet";
/// How long that is waited for. Later on, a server is there or it is not.
const FIRST_ANSWER_MAX: Duration = Duration::from_secs(1);

/// A connection that is made again for ever, and the stream behind it.
pub(super) struct Connection {
    client: Client,
    jetstream: Context,
    options: NatsOptions,
    /// Addresses without what is secret in them.
    place: String,
    /// Why it is not connected.
    problem: watch::Receiver<String>,
    /// Whether the stream was seen to be there.
    stream: tokio::sync::Mutex<bool>,
}

impl Connection {
    pub(super) async fn open(options: NatsOptions) -> Result<Self, String> {
        let (told, problem) = watch::channel(NO_ANSWER.to_owned());
        let mut connect = connect_options(&options, told);
        let mut addresses = Vec::new();
        for server in &options.servers {
            let (address, secret) = address(server)
                .map_err(|error| format!("an address of NATS cannot be used: {error}"))?;
            // The client does not look for them in addresses. Servers of a cluster share them.
            connect = match secret {
                Some(Secret::Password { user, password }) => {
                    connect.user_and_password(user, password)
                }
                Some(Secret::Token(token)) => connect.token(token),
                None => connect,
            };
            addresses.push(address);
        }
        let place: Vec<String> = addresses
            .iter()
            .map(|address| format!("{}:{}", address.host(), address.port()))
            .collect();
        // With this, only what no server is asked for can fail.
        let client = connect
            .retry_on_initial_connect()
            .connect(addresses)
            .await
            .map_err(|error| error.to_string())?;
        let jetstream = ContextBuilder::new()
            .timeout(ANSWER_MAX)
            .ack_timeout(ANSWER_MAX)
            .build(client.clone());
        Ok(Self {
            client,
            jetstream,
            options,
            place: place.join(","),
            problem,
            stream: tokio::sync::Mutex::new(false),
        })
    }

    pub(super) fn stream(&self) -> &str {
        &self.options.stream
    }

    /// The stream was not there when it was needed.
    pub(super) async fn forget_stream(&self) {
        *self.stream.lock().await = false;
    }

    /// What can be published to.
    pub(super) async fn ready(&self) -> Result<&Context, BusError> {
        let mut problem = self.problem.clone();
        let answer = problem.wait_for(|problem| problem != NO_ANSWER);
        // When it takes too long, that is what is told.
        let _ = tokio::time::timeout(FIRST_ANSWER_MAX, answer).await;
        if self.client.connection_state() != State::Connected {
            // Messages handed to the client now would all be sent when it is back, each as often
            // as it was tried.
            return Err(BusError::Unavailable(format!(
                "NATS at {} is not connected: {}",
                self.place,
                problem.borrow().as_str()
            )));
        }
        let mut seen = self.stream.lock().await;
        if !*seen {
            self.make_stream().await?;
            *seen = true;
        }
        Ok(&self.jetstream)
    }

    /// Makes the stream unless it is there; one that is there stays as its owner made it.
    async fn make_stream(&self) -> Result<(), BusError> {
        let name = &self.options.stream;
        let subjects = format!("{}.>", self.options.prefix);
        let wanted = stream::Config {
            name: name.clone(),
            subjects: vec![subjects.clone()],
            duplicate_window: self.options.duplicate_window,
            ..stream::Config::default()
        };
        let made = self.jetstream.get_or_create_stream(wanted).await;
        let made = made.map_err(|error| {
            let text = format!("the stream {name} cannot be had from NATS: {error}");
            BusError::Unavailable(text)
        })?;
        let taken = &made.cached_info().config.subjects;
        if taken.iter().any(|taken| covers(taken, &subjects)) {
            return Ok(());
        }
        Err(BusError::Unavailable(format!(
            "the stream {name} takes {taken:?}: add {subjects} to its subjects, or name another \
             stream in bus.stream"
        )))
    }
}

/// Who may connect, as it stands in an address.
#[derive(Debug, PartialEq, Eq)]
enum Secret {
    Password { user: String, password: String },
    Token(String),
}

/// An address without what is secret in it, so that no log shows that.
fn address(server: &str) -> Result<(ServerAddr, Option<Secret>), String> {
    let mut url = Url::parse(server).map_err(|error| error.to_string())?;
    let plain = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let secret = match (url.username(), url.password()) {
        ("", None) => None,
        (token, None) => Some(Secret::Token(plain(token))),
        (user, Some(password)) => Some(Secret::Password {
            user: plain(user),
            password: plain(password),
        }),
    };
    if secret.is_some() && (url.set_username("").is_err() || url.set_password(None).is_err()) {
        return Err("there is no host in it".to_owned());
    }
    let address = url.as_str().parse::<ServerAddr>();
    Ok((address.map_err(|error| error.to_string())?, secret))
}

fn connect_options(options: &NatsOptions, problem: watch::Sender<String>) -> ConnectOptions {
    let mut connect = ConnectOptions::new()
        .name("angzarr")
        .reconnect_delay_callback(|attempts| {
            let doublings = u32::try_from(attempts).unwrap_or(u32::MAX).min(10);
            Duration::from_millis(5 << doublings).min(RECONNECT_MAX)
        })
        .event_callback(move |event| {
            let text = match &event {
                Event::Connected => "it comes back".to_owned(),
                Event::Disconnected => "the connection broke".to_owned(),
                other => other.to_string(),
            };
            if let Event::ServerError(_) | Event::SlowConsumer(_) | Event::LameDuckMode = event {
                tracing::warn!(%event, "NATS");
            } else {
                tracing::debug!(%event, "NATS");
            }
            problem.send_replace(text);
            async {}
        });
    if let Some(ca) = &options.ca {
        connect = connect.add_root_certificates(ca.clone()).require_tls(true);
    }
    if let Some((certificate, key)) = &options.identity {
        connect = connect
            .add_client_certificate(certificate.clone(), key.clone())
            .require_tls(true);
    }
    connect
}

/// Whether a pattern takes all that another takes, which ends in `>`.
fn covers(pattern: &str, subjects: &str) -> bool {
    let mut wanted = subjects.split('.');
    for part in pattern.split('.') {
        let matches = match (part, wanted.next()) {
            (">", Some(_)) => return true,
            ("*", Some(next)) => next != ">",
            (part, next) => next == Some(part),
        };
        if !matches {
            return false;
        }
    }
    wanted.next().is_none()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::{Secret, address, covers};

    #[test]
    fn what_is_secret_is_taken_out_of_an_address() {
        let parts = |text: &str| {
            let (address, secret) = address(text).unwrap();
            let port = address.port();
            (format!("{address:?}"), port, secret)
        };
        let (shown, port, secret) = parts("nats://derek:p%40ss@127.0.0.1:4333");
        assert!(
            !shown.contains("p%40ss") && !shown.contains("derek"),
            "{shown}"
        );
        let password = Secret::Password {
            user: "derek".to_owned(),
            password: "p@ss".to_owned(),
        };
        assert_eq!((port, secret), (4333, Some(password)));
        let (_, port, secret) = parts("tls://t0ken@[::1]");
        assert_eq!((port, secret), (4222, Some(Secret::Token("t0ken".into()))));
        assert_eq!(parts("nats://h:1").2, None);
    }

    #[test]
    fn a_stream_takes_what_its_pattern_covers() {
        for pattern in ["a.b.>", "a.>", ">", "*.b.>", "a.*.>"] {
            assert!(covers(pattern, "a.b.>"), "{pattern}");
        }
        for pattern in ["a.b", "a.b.*", "a.c.>", "a.b.c.>", "a.b.*.*", "*.*.*"] {
            assert!(!covers(pattern, "a.b.>"), "{pattern}");
        }
    }
}
