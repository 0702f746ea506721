use std::path::PathBuf;

use clap::Args;

use super::Failure;
use crate::{
    config::{Config, KEYS, Sources},
    output::Output,
    run, telemetry,
};

/// Run the server.
#[derive(Debug, Clone, Args)]
pub(super) struct Serve {
    /// Configuration file; wins over ./angzarr.yaml.
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address to listen on, host:port or unix:/path; may be given more than once
    /// [server.listen].
    #[arg(long, short, value_name = "ADDRESS")]
    listen: Vec<String>,
    /// Data folder [storage.path].
    #[arg(long, short, value_name = "FOLDER")]
    data: Option<String>,
    /// What an answered append promises: fsync, interval or os [storage.durability].
    #[arg(long, value_name = "LEVEL")]
    durability: Option<String>,
    /// Any other key, such as limits.pages_per_book=200; may be given more than once.
    #[arg(long = "set", short = 's', value_name = "KEY=VALUE", value_parser = assignment)]
    assignments: Vec<(String, String)>,
}

impl Serve {
    pub(super) async fn run(self, output: &mut Output) -> Result<(), Failure> {
        let sources = Sources::of_process(self.config.clone(), self.flags());
        let config = Config::load(&sources)?;
        telemetry::init(&config.log).map_err(Failure::usage)?;
        let ended = run::run(&config, output).await;
        telemetry::flush();
        ended
    }

    fn flags(&self) -> Vec<(String, String, String)> {
        let flag = |flag: &str, key: &str, value: &str| {
            (format!("--{flag}"), key.to_owned(), value.to_owned())
        };
        let mut flags = Vec::new();
        if !self.listen.is_empty() {
            flags.push(flag("listen", "server.listen", &self.listen.join(",")));
        }
        if let Some(path) = &self.data {
            flags.push(flag("data", "storage.path", path));
        }
        if let Some(level) = &self.durability {
            flags.push(flag("durability", "storage.durability", level));
        }
        let set = |(key, value): &(String, String)| flag("set", key, value);
        flags.extend(self.assignments.iter().map(set));
        flags
    }
}

/// Every key of the configuration, as `serve --help` tells it.
pub(super) fn keys_help() -> String {
    let mut help = "Configuration, weakest first: ./angzarr.yaml, the file of --config, the file \
                    of ANGZARR_CONFIG,\nvariables such as ANGZARR__STORAGE__PATH, flags. \
                    ${VAR} and ${VAR:-default} work in every value.\n\nKeys:\n"
        .to_owned();
    for key in KEYS {
        let default = if key.default.is_empty() {
            String::new()
        } else {
            format!(" [default: {}]", key.default)
        };
        let meaning = key.meaning.replace('`', "");
        help.push_str(&format!("  {}\n          {meaning}{default}\n", key.name));
    }
    help
}

fn assignment(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}
