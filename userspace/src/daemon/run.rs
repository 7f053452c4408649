//! `dropgate run`: one loop over signals, the control socket, netlink's word and the clock.

use std::{
    fs,
    os::{
        fd::AsRawFd as _,
        unix::{
            fs::MetadataExt as _,
            net::{UnixDatagram, UnixListener, UnixStream},
        },
    },
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::Args;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};

use super::{
    control::{self, Answer, Request},
    gateway::{Gateway, GatewayError},
    place::{self, Place},
    ring::{Ring, Word},
};
use crate::{
    clock::now_ns,
    command::Refused,
    events::{self, Clock},
    netlink::Watch,
    policy,
    view::{self, filter::Filter},
};

/// Between two signs of life.
const TICK: Duration = Duration::from_millis(100);
/// Runs of the sweep at each tick: of a table for a million flows, all of it in about fifteen seconds.
const SWEEPS: u32 = 64;
/// Between two `stats` events.
const STATS: Duration = Duration::from_secs(10);

/// Arguments of `run`.
#[derive(Args, Debug)]
pub struct RunArgs {
    /// Policy file to put in force
    #[arg(long, value_name = "FILE")]
    pub policy: PathBuf,
    /// Append EVE events to this file; SIGHUP opens it again
    #[arg(long, value_name = "FILE")]
    pub events: Option<PathBuf>,
}

/// Runs until told to stop. Enforcement goes on after it, unless it is told to take it off.
pub fn run(args: &RunArgs) -> anyhow::Result<ExitCode> {
    let path = std::path::absolute(&args.policy)?;
    let events = args.events.as_ref().map(std::path::absolute).transpose()?;
    let place = Place::here().context("the network namespace")?;
    place::enter().context("a BPF file system at `/sys/fs/bpf`")?;
    let _lock = lock(&place)?;

    let (loaded, diagnostics) = policy::load(&path);
    let Some(flows) = loaded.map(|policy| policy.limits.flows) else {
        return Err(refused(GatewayError::Policy(diagnostics)));
    };
    let mut gateway = Gateway::open(place.clone(), flows)?;
    let watch = Watch::new().context("rtnetlink")?;
    let ring = Ring::start(
        gateway.object.take("EVENTS")?,
        events,
        (std::sync::Arc::clone(&gateway.names), std::sync::Arc::clone(&gateway.signatures)),
    )?;
    gateway.words = Some(ring.words.clone());
    let pushed = match gateway.push(&path) {
        Ok(pushed) => pushed,
        Err(error) => {
            if !gateway.adopted {
                place.detach()?;
            }
            return Err(refused(error));
        }
    };
    let listener = control::listen(&place.socket()).with_context(|| format!("`{}`", place.socket().display()))?;
    eprint!("{}", pushed.warnings);
    eprintln!(
        "dropgate: generation {} in force on {} ({} ms to compile, {} ms to fill, {} ms to commit){}",
        pushed.generation,
        gateway.attached.interfaces().keys().cloned().collect::<Vec<_>>().join(", "),
        pushed.compile_ms,
        pushed.fill_ms,
        pushed.commit_ms,
        if gateway.adopted { "; took over what was pinned" } else { "" },
    );
    let mut daemon = Daemon { gateway, ring, path, started: Instant::now() };
    notify("READY=1");
    let detach = daemon.serve(&listener, &watch)?;
    notify("STOPPING=1");
    let _ = fs::remove_file(place.socket());
    drop(daemon);
    if detach {
        place.detach()?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The lock that keeps a second daemon out.
fn lock(place: &Place) -> anyhow::Result<fs::File> {
    let fault = || format!("`{}`", place.lock().display());
    loop {
        fs::create_dir_all(&place.run).with_context(fault)?;
        let file = fs::File::create(place.lock()).with_context(fault)?;
        // SAFETY: an open descriptor.
        if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } < 0 {
            anyhow::bail!("a daemon already runs in this network namespace; push a policy with `dropgate apply FILE`");
        }
        // a daemon that ended meanwhile may have removed this very file
        let held = file.metadata().with_context(fault)?.ino();
        if fs::metadata(place.lock()).is_ok_and(|named| named.ino() == held) {
            return Ok(file);
        }
    }
}

/// Tells systemd (sd_notify(3)).
fn notify(word: &str) {
    if let Some(path) = std::env::var_os("NOTIFY_SOCKET")
        && let Ok(socket) = UnixDatagram::unbound()
    {
        let _ = socket.send_to(word.as_bytes(), path);
    }
}

/// An error as its own kind: a policy that is not in order is an answer of no.
fn refused(error: GatewayError) -> anyhow::Error {
    match error {
        GatewayError::Policy(_) => Refused(explain(error)).into(),
        error => error.into(),
    }
}

/// An error as text, with the diagnostics of a policy in full.
fn explain(error: GatewayError) -> String {
    match error {
        GatewayError::Policy(diagnostics) => {
            format!("{}{}", policy::render(&diagnostics, false), policy::summary(&diagnostics))
        }
        error => format!("{:#}", anyhow::Error::from(error)),
    }
}

struct Daemon {
    gateway: Gateway,
    ring: Ring,
    path: PathBuf,
    started: Instant,
}

impl Daemon {
    /// The loop. Whether enforcement is to be taken off.
    fn serve(&mut self, listener: &UnixListener, watch: &Watch) -> anyhow::Result<bool> {
        let mut signals = signal_hook::iterator::Signals::new([SIGHUP, SIGINT, SIGTERM, SIGUSR1])?;
        let (mut ticked, mut told) = (Instant::now(), Instant::now());
        let mut changed = None;
        let mut newcomer = false;
        loop {
            let mut polled = [listener.as_raw_fd(), watch.descriptor()].map(|fd| libc::pollfd {
                fd,
                events: libc::POLLIN,
                revents: 0,
            });
            // SAFETY: two valid entries.
            unsafe { libc::poll(polled.as_mut_ptr(), 2, 50) };
            for signal in signals.pending() {
                match signal {
                    SIGHUP => self.reload(),
                    SIGUSR1 => self.tell(Word::Reopen),
                    _ => return Ok(false),
                }
            }
            while let Ok((stream, _)) = listener.accept() {
                if let Some(detach) = self.answer(stream) {
                    return Ok(detach);
                }
            }
            if watch.drain() {
                // changes come in groups: wait until they are over, but not with an interface that nobody guards
                changed = Some(Instant::now());
                self.follow_links();
                newcomer = self.gateway.newcomer();
            }
            if newcomer || changed.is_some_and(|at: Instant| at.elapsed() > TICK) {
                // addresses may follow the interface
                changed = changed.filter(|_| newcomer);
                newcomer = false;
                match self.gateway.follow() {
                    Ok(true) => eprintln!("dropgate: interfaces changed; the policy was compiled again"),
                    Ok(false) => {}
                    Err(error) => eprintln!("dropgate: interfaces changed: {}", explain(error)),
                }
            }
            if ticked.elapsed() >= TICK {
                ticked = Instant::now();
                self.gateway.tick(SWEEPS)?;
                if self.gateway.links_rise() {
                    self.follow_links();
                }
            }
            if told.elapsed() >= STATS {
                told = Instant::now();
                let totals = self.gateway.totals(self.started.elapsed().as_secs(), self.unwritten())?;
                let names = self.gateway.names.load_full();
                let event = events::stats(&totals, now_ns(), &names, &Clock::system());
                self.tell(Word::Event(Box::new(event)));
            }
        }
    }

    fn follow_links(&mut self) {
        if let Err(error) = self.gateway.follow_links() {
            eprintln!("dropgate: {:#}", anyhow::Error::from(error));
        }
    }

    fn tell(&self, word: Word) {
        // the other end lives as long as `self.ring`
        let _ = self.ring.words.send(word);
    }

    fn unwritten(&self) -> u64 {
        self.ring.unwritten.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// SIGHUP: the policy file is read again, and the event file opened again.
    fn reload(&mut self) {
        self.tell(Word::Reopen);
        let path = self.path.clone();
        match self.gateway.push(&path) {
            Ok(pushed) => eprintln!("dropgate: generation {} in force", pushed.generation),
            Err(error) => eprintln!("{}\ndropgate: the policy in force stays", explain(error)),
        }
    }

    /// Answers one connection; `Some` when it was told to stop.
    fn answer(&mut self, stream: UnixStream) -> Option<bool> {
        let request = match control::read(&stream) {
            Ok(request) => request,
            Err(error) => {
                control::reply(&stream, &Answer::refused(format!("the request cannot be read: {error}")));
                return None;
            }
        };
        let names = self.gateway.names.load_full();
        let uptime = self.started.elapsed().as_secs();
        let answer = match request {
            Request::Apply { path } => match self.gateway.push(&path) {
                Ok(pushed) => Ok(serde_json::to_value(pushed)),
                Err(error) => Err(explain(error)),
            },
            Request::Diff { path } => self.diff(&path).map(Ok),
            Request::Status {} => self
                .gateway
                .status(uptime, self.unwritten(), &names)
                .map(|status| both(&status, view::status::human(&status, 20)))
                .map_err(|error| format!("{:#}", anyhow::Error::from(error))),
            Request::Flows {} => self
                .gateway
                .flows(&names)
                .map(|flows| both(&flows, view::flows::table(&flows)))
                .map_err(|error| format!("{:#}", anyhow::Error::from(error))),
            Request::Rules {} => Ok(self.rules()),
            Request::Events { types, reasons, zones } => {
                let filter = Filter { event_types: types, reasons, zones, ..Filter::default() };
                self.tell(Word::Listen(stream, filter));
                return None;
            }
            Request::Stop { detach } => {
                control::reply(&stream, &Answer::done(serde_json::Value::Null));
                return Some(detach);
            }
        };
        control::reply(
            &stream,
            &match answer {
                Ok(Ok(value)) => Answer::done(value),
                Ok(Err(error)) => Answer::refused(error.to_string()),
                Err(error) => Answer::refused(error),
            },
        );
        None
    }

    /// The rules in force; none where the policy has none.
    fn rules(&self) -> serde_json::Result<serde_json::Value> {
        let signatures = self.gateway.current.as_ref().and_then(|current| current.policy.signatures.as_ref());
        let rules = signatures.map_or(&[][..], |signatures| signatures.ruleset.rules());
        let views: Vec<_> = rules.iter().map(|rule| view::rules::RuleView::of(rule)).collect();
        let text = view::rules::table(rules.iter().map(|rule| &**rule));
        both(&views, format!("{text}{} rules in force\n", rules.len()))
    }

    fn diff(&self, path: &std::path::Path) -> Result<serde_json::Value, String> {
        let (new, diagnostics) = policy::load(path);
        let Some(new) = new else { return Err(explain(GatewayError::Policy(diagnostics))) };
        let Some(current) = &self.gateway.current else { return Err("no policy is in force".to_owned()) };
        let diff = policy::diff(&current.policy, &new);
        both(&diff, diff.to_string()).map_err(|error| error.to_string())
    }
}

/// An answer as data and as text for people.
fn both(data: &impl serde::Serialize, text: String) -> serde_json::Result<serde_json::Value> {
    Ok(serde_json::json!({ "data": serde_json::to_value(data)?, "text": text }))
}
