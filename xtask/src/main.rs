//! `cargo xtask`: set-up, tests, demo and benches of the workspace.

mod corpus;
mod demo;
mod halves;
mod mutants;
mod setup;
mod shell;
mod test;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Set-up, tests, demo and benches of Dropgate. All of them need root.
#[derive(Parser)]
#[command(name = "cargo xtask", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what building and testing need; does nothing where it is there already.
    Setup,
    /// Run every test, the privileged ones included, and the format and lint checks.
    Test,
    /// Make seeded mistakes in the kernel side's source; the tests must catch each.
    Mutants {
        /// Begin with this one.
        #[arg(long, default_value_t = 1)]
        from: usize,
    },
    /// Build a gateway in network namespaces, run Dropgate on it, drive real clients, print what happened.
    Demo(demo::Arguments),
    /// Replay what others have collected to tell right from wrong, and print how often Dropgate is right.
    Corpus(corpus::Arguments),
    /// Measure; arguments go to the bench program.
    Bench {
        /// Passed on.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().task) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<ExitCode> {
    // paths on the command line are those of whoever runs it
    let from = std::env::current_dir()?;
    std::env::set_current_dir(shell::root())?;
    match task {
        Task::Setup => setup::run()?,
        Task::Test => {
            setup::run()?;
            test::run()?;
        }
        Task::Mutants { from } => {
            setup::run()?;
            mutants::run(from)?;
        }
        Task::Demo(arguments) => return demo::run(&arguments),
        Task::Corpus(arguments) => {
            let arguments = arguments.from(&from)?;
            shell::cargo(&["build", "--release", "--package", "dropgate"])?;
            return corpus::run(&arguments);
        }
        Task::Bench { arguments } => {
            setup::run()?;
            shell::cargo(&["build", "--profile", "dist", "--package", "dropgate"])?;
            let mut bench = vec!["run", "--release", "--package", "dropgate-bench", "--"];
            bench.extend(arguments.iter().map(String::as_str));
            shell::cargo(&bench)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
