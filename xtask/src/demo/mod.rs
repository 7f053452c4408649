//! `cargo xtask demo`: a guarded gateway from start to end, on real traffic.

mod daemon;
mod eve;
mod frames;
mod inspected;
mod load;
mod policy;
mod rows;
mod signatures;
mod stage;
mod table;

use std::{path::Path, process::ExitCode};

use anyhow::{Result, ensure};
use dropgate_lab::{Gateway, Kind, Options, address, clean_up_on_signals, kept, take_down};

use self::{daemon::Daemon, eve::Events, policy::PolicyText, stage::Stage, table::Table};
use crate::{setup, shell};

/// Options of the demo.
#[derive(clap::Args)]
pub struct Arguments {
    /// Leave the gateway up, with the last policy in force, and print commands to play with.
    #[arg(long)]
    keep: bool,
    /// Only remove what `--keep` left up.
    #[arg(long, conflicts_with = "keep")]
    down: bool,
}

const FIRST: &str = "docs/examples/office.toml";
const SECOND: &str = "docs/examples/office-later.toml";
const THIRD: &str = "docs/examples/inspected.toml";
const FOURTH: &str = "docs/examples/signatures.toml";

/// Runs it. The exit code is 1 if anything differs from what the policies say.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    if arguments.down {
        return down();
    }
    setup::run()?;
    shell::cargo(&["build", "--release", "--package", "dropgate"])?;
    let program = shell::root().join("target/release/dropgate");
    ensure!(program.exists(), "the build left no `{}`", program.display());
    clean_up_on_signals()?;

    shell::step("building the gateway, its zones and the servers in network namespaces");
    let mut lab = Gateway::new(Kind::Masquerade, Options { keep: arguments.keep })?;
    lab.start_servers()?;
    let [first, second, third, fourth] = [FIRST, SECOND, THIRD, FOURTH].map(|file| shell::root().join(file));
    shell::step(&format!("starting `dropgate run --policy {FIRST}` on the gateway"));
    let daemon = Daemon::start(&mut lab, &program, &first)?;
    let events = Events::new(&daemon.events);
    let mut stage = Stage { table: Table::default(), events, policy: PolicyText::read(&first)?, daemon, lab };

    shell::step("services of the office");
    rows::services(&mut stage)?;
    shell::step("the devices, and the way between zones");
    rows::zones(&mut stage)?;
    shell::step("the gateway itself, published services, and the outside");
    rows::outside(&mut stage)?;
    shell::step("path MTU, traceroute, fragments, tags, odd frames");
    rows::frames(&mut stage)?;
    shell::step("a flood of what is denied");
    load::flood(&mut stage)?;
    shell::step(&format!("`dropgate apply {SECOND}` while traffic runs"));
    load::push(&mut stage, &second)?;
    shell::step(&format!("what is said on a port: `dropgate apply {THIRD}`"));
    inspected::inspected(&mut stage, &third)?;
    shell::step(&format!("rules: `dropgate apply {FOURTH}`"));
    signatures::signatures(&mut stage, &fourth)?;
    if !arguments.keep {
        shell::step("`dropgate stop --detach`");
        load::detached(&mut stage)?;
    }
    finish(stage, arguments.keep, &program)
}

fn finish(stage: Stage, keep: bool, program: &Path) -> Result<ExitCode> {
    let Stage { table, lab, .. } = stage;
    println!("\n{}", table.text());
    let differing = table.differing();
    if keep {
        print_commands(&lab, program);
        lab.keep()?;
    } else {
        shell::step("removing namespaces, processes and files");
        drop(lab);
    }
    if differing == 0 {
        println!("all {} rows are as the policies say", table.len());
        Ok(ExitCode::SUCCESS)
    } else {
        println!("{differing} of {} rows differ from what the policies say", table.len());
        Ok(ExitCode::FAILURE)
    }
}

fn down() -> Result<ExitCode> {
    setup::check_root()?;
    let kept = kept();
    for one in &kept {
        shell::step(&format!("removing `{}`", one.id));
        take_down(one);
    }
    println!("{} removed", kept.len());
    Ok(ExitCode::SUCCESS)
}

fn print_commands(lab: &Gateway, program: &Path) {
    let at = |namespace: &dropgate_lab::Namespace| format!("nsenter --net={}", namespace.path().display());
    let (office, gw) = (at(&lab.office), at(&lab.gw));
    let program = program.display();
    println!(
        "The gateway is up, with {FOURTH} in force. Things to try:

  {office} curl http://{server}:8088/                # allowed: HTTP where it belongs
  {office} curl -k -m 2 https://{other}:8088/       # dropped: TLS where it does not
  {office} curl -m 2 http://{server}:8081/           # dropped: no service names the port
  {office} curl -m 2 -d id=1 http://{server}/gate.php   # dropped: a rule is against it
  {gw} {program} status
  {gw} {program} events
  {gw} {program} flows
  {gw} {program} explain --from {client} --to {server}:8088/tcp --zone office
  {gw} {program} apply {FIRST}
  tail -f {events}
  cargo xtask demo --down                            # removes all of it
",
        server = address::SERVER,
        other = address::SERVER_B,
        client = address::OFFICE,
        events = lab.dir().join("eve.json").display(),
    );
}
