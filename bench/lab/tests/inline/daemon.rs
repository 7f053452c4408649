//! The daemon of a test, by its command line alone.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use dropgate_lab::{Finished, Gateway, Namespace, Process, run, wait_until};
use serde_json::Value;

use crate::events::Events;

/// The programs go past the verifier first, on a machine that does other things too.
pub const START: Duration = Duration::from_secs(120);
const COMMAND: Duration = Duration::from_secs(120);

/// The program under test.
///
/// # Panics
/// It has not been built.
pub fn program() -> PathBuf {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/release/dropgate");
    let path = std::env::var_os("DROPGATE").map_or(built, PathBuf::from);
    assert!(
        path.is_file(),
        "`{}` is missing: build it with `cargo build --release --package dropgate`, or name one in `DROPGATE`",
        path.display()
    );
    path
}

/// `dropgate` in the gateway's namespace. Dropping it kills the daemon and leaves enforcement on; the laboratory takes it off.
pub struct Daemon {
    program: PathBuf,
    gw: Namespace,
    policy: PathBuf,
    pub events: Events,
    log: PathBuf,
    process: Process,
}

impl Daemon {
    /// Starts it with this policy, and waits until it answers.
    pub fn start(lab: &Gateway, policy: &str) -> Self {
        let program = program();
        // What it pins outlives the namespace.
        lab.before_removal(&lab.gw, &program, &["stop", "--detach"]).unwrap();
        let policy = lab.write("policy.toml", policy).unwrap();
        let events = lab.dir().join("eve.json");
        let log = lab.log("dropgate");
        let process = spawn(&program, &lab.gw, &policy, &events, &log);
        let mut daemon = Self { program, gw: lab.gw.clone(), policy, events: Events::new(&events), log, process };
        daemon.wait();
        daemon
    }

    fn wait(&mut self) {
        let mut ended = None;
        let waited = wait_until("an answer of `dropgate status`", START, || {
            ended = self.process.ended();
            Ok(ended.is_some() || self.call(&["status", "--json"]).success())
        });
        assert!(ended.is_none() && waited.is_ok(), "`dropgate run`: {ended:?}, {waited:?}\n{}", self.said());
    }

    /// Ends it at once, with no chance to tidy up. Enforcement goes on.
    pub fn kill(&mut self) {
        self.process.signal(libc::SIGKILL);
        self.process.wait(COMMAND).unwrap();
    }

    /// Starts it again, with the policy file as it is now.
    pub fn restart(&mut self) {
        self.process = spawn(&self.program, &self.gw, &self.policy, self.events.path(), &self.log);
        self.wait();
    }

    /// Sends it a signal.
    pub fn signal(&mut self, signal: i32) {
        self.process.signal(signal);
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits for its end.
    pub fn ended(&mut self) -> std::process::ExitStatus {
        self.process.wait(COMMAND).unwrap()
    }

    /// What it has written so far, to either stream.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The policy file that it was started with.
    pub fn policy(&self) -> &Path {
        &self.policy
    }

    /// Runs a command of it to its end.
    pub fn call(&self, arguments: &[&str]) -> Finished {
        run(self.gw.command(&self.program).args(arguments), COMMAND).unwrap()
    }

    fn succeed(&self, arguments: &[&str]) -> String {
        let finished = self.call(arguments);
        assert!(finished.success(), "`dropgate {}`: {finished:?}\n{}", arguments.join(" "), self.said());
        finished.stdout
    }

    /// `dropgate status --json`.
    pub fn status(&self) -> Value {
        serde_json::from_str(&self.succeed(&["status", "--json"])).unwrap()
    }

    /// `dropgate flows --json`.
    pub fn flows(&self) -> Vec<Value> {
        self.succeed(&["flows", "--json"]).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The flow to this server and port whose tuple is as the zone sees it.
    pub fn flow(&self, server: &str, port: u16) -> Option<Value> {
        let wanted = |flow: &Value| flow["dst"] == server && flow["dport"] == port && flow["translated"] == false;
        self.flows().into_iter().find(wanted)
    }

    /// Packets counted for a reason.
    pub fn count(&self, reason: &str) -> u64 {
        self.status()["counters"]["reasons"][reason]["packets"].as_u64().unwrap_or(0)
    }

    /// Puts a policy in force; returns its generation.
    pub fn apply(&self, policy: &Path) -> u64 {
        let answer: Value =
            serde_json::from_str(&self.succeed(&["apply", policy.to_str().unwrap(), "--json"])).unwrap();
        answer["generation"].as_u64().unwrap()
    }

    /// `dropgate stop --detach`.
    pub fn detach(&mut self) {
        self.succeed(&["stop", "--detach"]);
    }
}

fn spawn(program: &Path, gw: &Namespace, policy: &Path, events: &Path, log: &Path) -> Process {
    let out = fs::File::options().create(true).append(true).open(log).unwrap();
    let mut command = gw.command(program);
    command.args(["run", "--policy"]).arg(policy).arg("--events").arg(events);
    command.stdin(Stdio::null()).stdout(out.try_clone().unwrap()).stderr(out);
    Process::spawn_group(&mut command).unwrap()
}
