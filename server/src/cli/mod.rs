//! The command line: one binary for the server and for whoever looks into it.

mod aggregates;
mod append;
mod archive;
mod backup;
mod consumers;
mod dead_letters;
mod demo;
mod dump;
mod event;
mod export;
mod failure;
mod fork;
mod import;
mod offline;
mod payload;
mod read;
mod rebuild_index;
mod repair;
mod restore;
mod sealing;
mod serve;
mod stats;
mod tail;
mod target;
mod transfer;
mod verify;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

pub use self::failure::{Exit, Failure};
pub(crate) use self::payload::type_name;
use crate::{
    bench,
    output::{Ink, Output},
};

/// Stack of a thread, in bytes, of which only what is used is taken: commands that cause commands
/// lie on it one above the other, sixteen at most.
const STACK_BYTES: usize = 8 * 1024 * 1024;

const EXIT_CODES: &str = "Exit codes:
  0  done
  1  failed or refused
  2  the command line or the configuration is wrong
  3  the server cannot be reached
verify: 0 sound, 1 torn tail, 2 corrupt, 3 unsupported format, 4 not checked";

/// A durable event database: streams of events that can be read, followed and branched.
#[derive(Debug, Parser)]
#[command(name = "angzarr", version, max_term_width = 100, after_help = EXIT_CODES)]
#[command(arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    Demo(demo::Demo),
    Append(append::Append),
    Read(read::Read),
    Tail(tail::Tail),
    Aggregates(aggregates::Aggregates),
    Fork(fork::Fork),
    Stats(stats::Stats),
    Sealing(sealing::Sealing),
    Consumers(consumers::Consumers),
    DeadLetters(dead_letters::DeadLetters),
    Verify(verify::Verify),
    RebuildIndex(rebuild_index::RebuildIndex),
    Dump(dump::Dump),
    Backup(backup::Backup),
    Restore(restore::Restore),
    Repair(repair::Repair),
    Export(export::Export),
    Import(import::Import),
    Bench(bench::Args),
    /// Print the completions of a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match parse() {
        Ok(cli) => cli,
        Err(error) => {
            // A reader that went away is no failure.
            let _ = error.print();
            // Its codes are its own, and the usual one says that the data is damaged.
            let verifying = std::env::args_os().nth(1).is_some_and(|it| it == "verify");
            return if !error.use_stderr() {
                Exit::Ok.into()
            } else if verifying {
                ExitCode::from(verify::NOT_CHECKED)
            } else {
                Exit::Usage.into()
            };
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(STACK_BYTES)
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return report(&Failure::new(Exit::Failed, error.to_string())),
    };
    match runtime.block_on(run(cli.command)) {
        Ok(()) => Exit::Ok.into(),
        Err(failure) => report(&failure),
    }
}

fn parse() -> Result<Cli, clap::Error> {
    let command =
        Cli::command().mut_subcommand("serve", |serve| serve.after_long_help(serve::keys_help()));
    Cli::from_arg_matches(&command.try_get_matches()?)
}

async fn run(command: Command) -> Result<(), Failure> {
    let mut output = Output::stdout();
    match command {
        Command::Serve(serve) => serve.run(&mut output).await,
        Command::Demo(demo) => demo.run(&mut output).await,
        Command::Append(append) => append.run(&mut output).await,
        Command::Read(read) => read.run(&mut output).await,
        Command::Tail(tail) => tail.run(&mut output).await,
        Command::Aggregates(aggregates) => aggregates.run(&mut output).await,
        Command::Fork(fork) => fork.run(&mut output).await,
        Command::Stats(stats) => stats.run(&mut output).await,
        Command::Sealing(sealing) => sealing.run(&mut output).await,
        Command::Consumers(consumers) => consumers.run(&mut output).await,
        Command::DeadLetters(letters) => letters.run(&mut output).await,
        Command::Verify(verify) => verify.run(&mut output).await,
        Command::RebuildIndex(rebuild) => rebuild.run(&mut output).await,
        Command::Dump(dump) => dump.run(&mut output).await,
        Command::Backup(backup) => backup.run(&mut output).await,
        Command::Restore(restore) => restore.run(&mut output).await,
        Command::Repair(repair) => repair.run(&mut output).await,
        Command::Export(export) => export.run(&mut output).await,
        Command::Import(import) => import.run(&mut output).await,
        Command::Bench(args) => bench::run(args)
            .await
            .map_err(|error| bench_failure(&error)),
        Command::Completions { shell } => completions(shell),
    }
}

fn completions(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "angzarr", &mut script);
    Ok(std::io::Write::write_all(&mut std::io::stdout(), &script)?)
}

fn bench_failure(error: &bench::Error) -> Failure {
    let exit = match error {
        bench::Error::Unreachable { .. } => Exit::Unreachable,
        bench::Error::Usage(_) => Exit::Usage,
        _ => Exit::Failed,
    };
    Failure::new(exit, error.to_string())
}

fn report(failure: &Failure) -> ExitCode {
    if !failure.is_quiet() {
        let name = "angzarr:";
        let name = if Output::colour_on_stderr() {
            Ink::Bad.on(name)
        } else {
            name.to_owned()
        };
        // Nothing is left to tell when standard error is gone too.
        let _ =
            std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("{name} {failure}\n"));
    }
    ExitCode::from(failure.code)
}
