//! The command line. Names and exit codes are a contract: 0 done, 1 the answer is no, 2 usage, 3 the environment cannot.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use dropgate::{
    command, daemon,
    view::{bench, cli},
};

/// Events are made by the inspector's threads and end in another, which glibc's allocator is slow at
/// (docs/decisions/0016-cost-of-rules.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Inline intrusion prevention for Linux gateways.
#[derive(Parser)]
#[command(name = "dropgate", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Put a policy in force and keep it there
    Run(daemon::RunArgs),
    /// End the daemon; with `--detach`, enforcement too
    Stop(command::StopArgs),
    /// Push a policy to the running daemon
    Apply(command::FileArgs),
    /// What a push would change
    Diff(command::FileArgs),
    /// What is attached and in force
    Status(command::ShowArgs),
    /// Live flows
    Flows(command::ShowArgs),
    /// Live event stream
    Events(command::EventsArgs),
    /// Compile a policy and everything it names; report every mistake
    Check(command::CheckArgs),
    /// Read rules without a policy: which load, and what stops the others
    Rules(command::RulesArgs),
    /// Judge the packets of captures by a policy, offline
    Replay(cli::ReplayArgs),
    /// Show what each stage says to one packet
    Explain(cli::ExplainArgs),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.command {
        Command::Run(args) => daemon::run(args),
        Command::Stop(args) => command::stop(args),
        Command::Apply(args) => command::apply(args),
        Command::Diff(args) => command::diff(args),
        Command::Status(args) => command::status(args),
        Command::Flows(args) => command::flows(args),
        Command::Events(args) => command::events(args),
        Command::Check(args) => command::check(args),
        Command::Rules(args) => command::rules(args),
        Command::Replay(args) => cli::replay_main(args, |image| Ok(bench::open(image)?)),
        Command::Explain(args) if args.policy.is_none() => daemon::live::explain(args),
        Command::Explain(args) => cli::explain_main(args, |image| Ok(bench::open(image)?)),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("dropgate: {error:#}");
            ExitCode::from(command::exit_code(&error))
        }
    }
}
