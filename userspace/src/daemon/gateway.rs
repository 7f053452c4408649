//! A gateway: the loaded object, the policy in force, and how a new one gets there.

mod inspect;
mod open;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicU64},
    time::{Duration, Instant},
};

use super::{
    attach::{AttachError, Attached},
    forward::Forward,
    guard::Guard,
    links::Links,
    place::Place,
    ring::Word,
    state::State,
};
use crate::{
    clock::now_ns,
    datapath::{Object, ObjectError, SlotError, Slots, program},
    events::Names,
    hold::{self, HoldError, Holder},
    inspect::Signatures,
    netlink,
    policy::{self, Diagnostic, Environment, Ids, Image, Policy, RulesChanged, compile::Build},
    view::subject,
};
use arc_swap::{ArcSwap, ArcSwapOption};
use crossbeam::channel::Sender;
use dropgate_signatures::engine::Shared;

/// Why a push changed nothing, or a start came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    #[error("the policy is not in order")]
    Policy(Vec<Diagnostic>),
    #[error(transparent)]
    Slot(#[from] SlotError),
    #[error(transparent)]
    Attach(#[from] AttachError),
    #[error(transparent)]
    Object(#[from] ObjectError),
    #[error(transparent)]
    Hold(#[from] HoldError),
    #[error("this machine has none of the interfaces that the policy names: {0}; at least one must be there")]
    NoInterface(String),
    #[error("maps pinned at `{}` are of ABI version {found}, this is {}; take them off with `dropgate stop --detach`", pins.display(), dropgate_abi::VERSION)]
    Version { pins: PathBuf, found: u32 },
    #[error("{what}")]
    Io {
        what: String,
        #[source]
        source: io::Error,
    },
}

fn fault(what: impl Into<String>) -> impl FnOnce(io::Error) -> GatewayError {
    move |source| GatewayError::Io { what: what.into(), source }
}

/// What a push did.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Pushed {
    pub generation: u32,
    /// Reading and compiling, ms.
    pub compile_ms: f64,
    /// Filling the idle slot, ms.
    pub fill_ms: f64,
    /// From there until every packet is judged by the new generation, ms.
    pub commit_ms: f64,
    /// What became of the rules; left out where there are none, and were none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules: Option<RulesPushed>,
    /// Warnings about the policy, as text.
    pub warnings: String,
}

/// Rules that are in force, and what is new about them.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct RulesPushed {
    pub loaded: usize,
    /// Those that something is wrong with.
    pub left_out: usize,
    #[serde(flatten)]
    pub changes: RulesChanged,
}

/// The gateway of this network namespace.
pub struct Gateway {
    pub(super) place: Place,
    pub(super) object: Object,
    pub(super) slots: Slots,
    pub(super) attached: Attached,
    pub(super) names: Arc<ArcSwap<Names>>,
    /// Rules, for what the programs tell of.
    pub(super) signatures: Arc<ArcSwapOption<Signatures>>,
    /// The policy in force and the machine it was compiled for.
    pub(super) current: Option<Current>,
    /// Whether the maps were there before this daemon.
    pub(super) adopted: bool,
    /// What was changed about the links of a bridge.
    links: Links,
    /// Interfaces by which packets are forwarded without the kernel's stack.
    pub(super) forward: Forward,
    /// What keeps interfaces without programs from forwarding.
    pub(super) guard: Guard,
    /// Who inspects what is held; from the first policy on that asks for it.
    pub(super) holder: Option<Holder>,
    /// Where events go, once somebody writes them.
    pub(super) words: Option<Sender<Word>>,
    /// Events of inspectors that found no room there.
    pub(super) untold: Arc<AtomicU64>,
    ids: Ids,
    generation: u32,
    /// What signatures remember, whichever are in force.
    pub(super) remembered: Arc<Shared>,
}

/// What is in force.
pub(super) struct Current {
    pub path: PathBuf,
    pub policy: Policy,
    pub environment: Environment,
    pub image: Image,
}

impl Gateway {
    /// Reads, compiles and commits a policy file. On an error nothing has changed.
    pub fn push(&mut self, path: &Path) -> Result<Pushed, GatewayError> {
        let started = Instant::now();
        let (policy, diagnostics) = policy::load(path);
        let Some(policy) = policy else { return Err(GatewayError::Policy(diagnostics)) };
        let environment = environment()?;
        let named = policy.interfaces();
        if named.keys().all(|name| !environment.interfaces.contains_key(*name)) {
            return Err(GatewayError::NoInterface(named.into_keys().collect::<Vec<_>>().join(", ")));
        }
        let mut pushed = self.commit(path.to_owned(), policy, environment, diagnostics, started)?;
        // what lines leave one another is told when no packet waits for it any more
        if let Some(current) = &self.current {
            let found = policy::analysis::analyse(&current.policy, &current.environment).diagnostics(&current.policy);
            pushed.warnings += &policy::render(&found, false);
        }
        Ok(pushed)
    }

    /// Compiles the policy in force again, when the interfaces or their addresses have changed; whether they have.
    pub fn follow(&mut self) -> Result<bool, GatewayError> {
        let environment = environment()?;
        let Some(current) = &self.current else { return Ok(false) };
        if current.environment == environment {
            return Ok(false);
        }
        let (path, policy) = (current.path.clone(), current.policy.clone());
        self.commit(path, policy, environment, Vec::new(), Instant::now())?;
        Ok(true)
    }

    /// Whether a link of a bridge has yet to rise.
    pub fn links_rise(&self) -> bool {
        self.links.is_rising()
    }

    /// Sees to the links of a bridge, some of which may have changed.
    pub fn follow_links(&mut self) -> Result<(), GatewayError> {
        let Some(current) = &self.current else { return Ok(()) };
        let (policy, environment) = (&current.policy, &current.environment);
        self.links.follow(policy, environment, &self.place.links()).map_err(fault("the links of the bridge"))
    }

    /// Whether the policy in force asks for forwarding without the kernel's stack.
    pub(super) fn forwards(&self) -> bool {
        self.current.as_ref().is_some_and(|current| current.policy.gateway.fast_forward)
    }

    /// Sees to the interfaces by which packets are forwarded without the kernel's stack.
    fn follow_forward(&mut self) -> Result<(), ObjectError> {
        let wanted = self.forwards();
        self.forward.follow(&mut self.object, self.attached.framed().filter(|_| wanted))
    }

    /// Whether an interface of the policy has come or has another index than the one with programs.
    pub fn newcomer(&self) -> bool {
        let Some(current) = &self.current else { return false };
        current.policy.interfaces().into_keys().any(|name| {
            let index = netlink::index(name);
            index.is_some() && index != self.attached.index(name)
        })
    }

    /// Names of interfaces of the policy in force that are not there, or take no programs.
    pub fn missing(&self) -> Vec<String> {
        let Some(current) = &self.current else { return Vec::new() };
        let there = |name: &&str| netlink::index(name).is_some_and(|index| self.attached.index(name) == Some(index));
        current.policy.interfaces().into_keys().filter(|name| !there(name)).map(str::to_owned).collect()
    }

    fn commit(
        &mut self,
        path: PathBuf,
        policy: Policy,
        mut environment: Environment,
        diagnostics: Vec<Diagnostic>,
        started: Instant,
    ) -> Result<Pushed, GatewayError> {
        if self.current.is_some() {
            // what has come is guarded at once: until the commit that knows it, nothing passes there
            for (name, error) in self.attach(&policy, &environment) {
                eprintln!("dropgate: {:#}", anyhow::Error::from(error));
                // without programs it is no side: what comes in there leaves by none of the others
                environment.interfaces.remove(&name);
            }
        }
        let pushed = self.compile_and_switch(path, policy, environment, diagnostics, started);
        if let (Err(_), Some(current)) = (&pushed, &self.current) {
            let _ = self.attached.prune(&self.place.pins, &current.image.interfaces);
        }
        pushed
    }

    /// Puts programs on the policy's interfaces that are there and have none; those that take none, and why.
    fn attach(&mut self, policy: &Policy, environment: &Environment) -> Vec<(String, AttachError)> {
        let there = policy.interfaces().into_keys();
        let there = there.filter_map(|name| {
            Some((name, environment.interfaces.get(name)?.index, Build::of(policy, environment, name)))
        });
        let there = there.collect::<Vec<_>>();
        self.attached.add(&mut self.object, &self.place.pins, &there)
    }

    fn compile_and_switch(
        &mut self,
        path: PathBuf,
        policy: Policy,
        environment: Environment,
        mut diagnostics: Vec<Diagnostic>,
        started: Instant,
    ) -> Result<Pushed, GatewayError> {
        let mut ids = self.ids.clone();
        let image = policy::compile(&policy, &environment, &mut ids).map_err(|errors| {
            diagnostics.extend(errors);
            GatewayError::Policy(std::mem::take(&mut diagnostics))
        })?;
        diagnostics.extend(image.warnings.iter().cloned());
        let compile = started.elapsed();
        self.forget_counters(&image)?;
        let first = self.current.is_none() && !self.adopted;
        if first {
            if let Some(at) = image.interfaces.iter().find(|at| at.build.is_refused()) {
                return Err(AttachError::Refused { interface: at.name.clone(), build: at.build }.into());
            }
            self.adopt_for(image.adopt);
        }
        // a number is used up by the attempt: what failed half way must not share it with what comes next
        let generation = self.generation + 1;
        self.generation = generation;
        self.hold(&policy, &image, generation)?;
        if image.looks_inside() {
            self.object.look_inside(image.interfaces.iter().any(|at| at.build == Build::Bare))?;
        }
        let committed = self.slots.commit(&self.object, &image, generation)?;
        self.ids = ids;
        self.names.store(Arc::new(subject::names(&image)));
        if self.current.is_none()
            && let Some((_, error)) = self.attach(&policy, &environment).into_iter().next()
        {
            if first {
                return Err(error.into());
            }
            // in force where programs are; the interface is tried again on netlink's word
            eprintln!("dropgate: {:#}", anyhow::Error::from(error));
        }
        self.attached
            .prune(&self.place.pins, &image.interfaces)
            .map_err(fault(format!("`{}`", self.place.pins.display())))?;
        self.write_down(&path, &policy, &environment, &image)?;
        self.links.follow(&policy, &environment, &self.place.links()).map_err(fault("the links of the bridge"))?;
        self.guard.follow(&policy, &environment, |name| self.attached.index(name));
        let rules = rules_pushed(self.current.as_ref().map(|current| &current.policy), &policy);
        self.current = Some(Current { path, policy, environment, image });
        self.follow_forward()?;
        Ok(Pushed {
            generation,
            compile_ms: ms(compile),
            fill_ms: ms(committed.fill),
            commit_ms: ms(committed.switch),
            rules,
            warnings: policy::render(&diagnostics, false),
        })
    }

    /// Counters whose number now means something else start from zero.
    fn forget_counters(&mut self, image: &Image) -> Result<(), GatewayError> {
        for counter in &image.reused_services {
            self.object.zero("SERVICE_COUNTERS", *counter)?;
        }
        for zone in &image.reused_zones {
            self.object.zero("ZONE_COUNTERS", zone * 2)?;
            self.object.zero("ZONE_COUNTERS", zone * 2 + 1)?;
        }
        Ok(())
    }

    /// At first attach: takes mid-stream TCP in for a while.
    fn adopt_for(&self, time: Duration) {
        if let Some(mut control) = self.slots.control().get(0) {
            control.adopt_until_ns = now_ns() + u64::try_from(time.as_nanos()).unwrap_or(u64::MAX / 2);
            self.slots.control().set(0, control);
        }
    }

    fn write_down(
        &self,
        path: &Path,
        policy: &Policy,
        environment: &Environment,
        image: &Image,
    ) -> Result<(), GatewayError> {
        let services = image.names.services.iter();
        let state = State {
            abi: dropgate_abi::VERSION,
            sizes: self.object.sizes(),
            generation: self.generation,
            tag: self.object.program_tag(program::INGRESS)?,
            policy: path.to_owned(),
            text: fs::read_to_string(path).unwrap_or_default(),
            ports: subject::ports(policy, environment, image),
            ids: self.ids.clone(),
            zones: image.names.zones.clone(),
            services: services.map(|(at, name)| (*at, (name.owner.clone(), name.name.clone(), name.line))).collect(),
            interfaces: image.interfaces.iter().map(|at| (at.index, at.name.clone())).collect(),
            inspection: policy.inspection,
            expect: image.names.expected(),
        };
        state.write(&self.place.state()).map_err(fault(format!("`{}`", self.place.state().display())))
    }

    /// A sign of life, and a stretch of the flow table swept.
    pub fn tick(&mut self, runs: u32) -> Result<(), ObjectError> {
        if let Some(holder) = &mut self.holder {
            holder.forget();
        }
        self.guard.tick();
        if self.forwards() && self.forward.is_due() {
            self.follow_forward()?;
        }
        if let Some(control) = self.slots.control().at(0) {
            // SAFETY: inside the mapping; an aligned word.
            unsafe { (&raw mut (*control).heartbeat_ns).write_volatile(now_ns()) };
        }
        self.object.sweep(runs)
    }
}

/// What a push does to the rules.
fn rules_pushed(old: Option<&Policy>, new: &Policy) -> Option<RulesPushed> {
    let signatures = [old.and_then(|policy| policy.signatures.as_ref()), new.signatures.as_ref()];
    let [_, after] = signatures;
    signatures.iter().any(Option::is_some).then(|| RulesPushed {
        loaded: after.map_or(0, |signatures| signatures.ruleset.rules().len()),
        left_out: after.map_or(0, |signatures| signatures.left_out.values().sum()),
        changes: policy::diff::rules(signatures).rules(),
    })
}

/// The interfaces of this machine, without those that serve to hold packets.
fn environment() -> Result<Environment, GatewayError> {
    let mut found = netlink::environment().map_err(fault("the interfaces of this machine"))?;
    found.interfaces.retain(|name, _| !hold::is_device(name));
    Ok(found)
}

fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}
