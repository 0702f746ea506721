use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::context::ContextBuilder;
use async_nats::jetstream::{Context, stream};
use async_nats::{Client, ConnectOptions, Event, ServerAddr};

use super::NatsOptions;
use crate::bus::BusError;

/// Longest wait for the acknowledgement of one message, and for an answer about the stream.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// Longest pause between two attempts to connect.
const RECONNECT_MAX: Duration = Duration::from_secs(2);

/// A connection that is made again for ever, and the stream behind it.
pub(super) struct Connection {
    client: Client,
    jetstream: Context,
    options: NatsOptions,
    /// Addresses without what is secret in them.
    place: String,
    /// Why it is not connected.
    problem: Arc<Mutex<String>>,
    /// Whether the stream was seen to be there.
    stream: tokio::sync::Mutex<bool>,
}

impl Connection {
    pub(super) async fn open(options: NatsOptions) -> Result<Self, String> {
        let mut addresses = Vec::new();
        for server in &options.servers {
            let address: ServerAddr = server
                .parse()
                .map_err(|error| format!("a NATS address cannot be used: {error}"))?;
            addresses.push(address);
        }
        let place: Vec<String> = addresses
            .iter()
            .map(|address| format!("{}:{}", address.host(), address.port()))
            .collect();
        let problem = Arc::new(Mutex::new("no answer yet".to_owned()));
        let connect = connect_options(&options, Arc::clone(&problem));
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
        if self.client.connection_state() != State::Connected {
            // Messages handed to the client now would all be sent when it is back, each as often
            // as it was tried.
            let problem = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
            return Err(BusError::Unavailable(format!(
                "NATS at {} is not connected: {problem}",
                self.place
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

fn connect_options(options: &NatsOptions, problem: Arc<Mutex<String>>) -> ConnectOptions {
    let mut connect = ConnectOptions::new()
        .name("angzarr")
        .reconnect_delay_callback(|attempts| {
            let doublings = u32::try_from(attempts).unwrap_or(u32::MAX).min(10);
            Duration::from_millis(5 << doublings).min(RECONNECT_MAX)
        })
        .event_callback(move |event| {
            let text = match &event {
                Event::Connected => String::new(),
                Event::Disconnected => "the connection broke".to_owned(),
                other => other.to_string(),
            };
            if let Event::ServerError(_) | Event::SlowConsumer(_) | Event::LameDuckMode = event {
                tracing::warn!(%event, "NATS");
            } else {
                tracing::debug!(%event, "NATS");
            }
            *problem.lock().unwrap_or_else(PoisonError::into_inner) = text;
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
mod tests {
    use super::covers;

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
