//! What rules mean: the form behind the text, in front of the engine. Everything in it was checked.

mod condition;
mod content;
mod header;
mod state;

use std::sync::Arc;

use crate::{protocol::App, syntax};

pub use self::{
    condition::{Condition, Flags, FlagsTest, Inspect, Layers, Number, NumberTest, PacketTest, Selected, StreamSide},
    content::{
        Base64, Base64Mode, ByteExtract, ByteJump, ByteMath, ByteOp, ByteTest, Check, Compare, Content, Dataset,
        Entropy, EntropyTest, From, IsDataAt, JumpBase, MathOp, Pcre, Place, SetAction, SetKind, Size, Transform,
        Value,
    },
    header::{Addresses, Arrow, Header, Network, PortRange, Ports, Protocol},
    state::{
        BitAction, BitScope, Bits, Detection, Effect, FlowKeyword, Flowbits, Flowint, FlowintOp, IntValue, Suppress,
        Threshold, ThresholdKind, Track, Xbits,
    },
};

/// What is done when a rule matches.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Action {
    Alert,
    Drop,
    /// It is dropped, and these ends are told.
    Reject(Ends),
    Pass,
}

impl Action {
    /// Whether the packet ends.
    pub const fn blocks(self) -> bool {
        matches!(self, Self::Drop | Self::Reject(_))
    }
}

/// Ends of a flow that a `reject` answers, seen from the packet that matched.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Ends {
    Source,
    Destination,
    Both,
}

/// `classtype`, with its priority from `classification.config`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Class {
    pub name: Arc<str>,
    /// As events show it (`category`).
    pub description: Arc<str>,
    pub priority: u8,
}

/// `target`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Target {
    Source,
    Destination,
}

/// A rule.
#[derive(Clone, PartialEq, Debug)]
pub struct Rule {
    pub gid: u32,
    pub sid: u32,
    pub rev: u32,
    pub action: Action,
    pub header: Header,
    /// What must be spoken, by the header or by keywords (`http.uri` in a rule for `tcp`): one of these; empty: anything.
    /// [`App::Http`] is all versions of it.
    pub apps: Vec<App>,
    pub message: Arc<str>,
    pub class: Option<Class>,
    /// 1 is the highest. `priority`, else the class's, else 3.
    pub priority: u8,
    /// `metadata`, in order.
    pub metadata: Vec<(Arc<str>, Arc<str>)>,
    /// `reference`: its system and the rest.
    pub references: Vec<(Arc<str>, Arc<str>)>,
    pub target: Option<Target>,
    /// `noalert`, also by `flowbits`.
    pub noalert: bool,
    pub flow: FlowKeyword,
    /// In the order in which they stand there. All must hold, those of transactions in the same one.
    pub conditions: Vec<Condition>,
    /// Where they stand in the text.
    pub options: Options,
    /// What a match does to bits and numbers, in order.
    pub effects: Vec<state::Effect>,
    pub threshold: Option<Threshold>,
    pub detection: Option<Detection>,
    pub suppress: Vec<Suppress>,
    /// `fast_pattern` names one; else the engine chooses: the index of the condition and of the check in it.
    pub fast_pattern: Option<FastPattern>,
    /// Where it stands.
    pub line: u32,
    pub file: Arc<str>,
    /// The text of it, as it stands there.
    pub text: Arc<str>,
}

/// Which option of a rule's text says a condition, or a check of it: by index of the condition and of the check, counted from 0.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Options(pub Box<[(u16, u16, u16)]>);

impl Rule {
    /// The option that says a condition, or a check of it, as it is written: `content:"/admin"`. `None` of a rule without text.
    pub fn option(&self, condition: u16, check: u16) -> Option<String> {
        let (.., number) = self.options.0.iter().find(|(at, of, _)| (*at, *of) == (condition, check))?;
        let statement = syntax::parse(self.text.as_bytes()).ok()?;
        let setting = statement.settings.get(usize::from(*number))?;
        let keyword = setting.keyword.text().into_owned();
        Some(setting.value.map_or(keyword.clone(), |value| format!("{keyword}:{}", value.text())))
    }

    /// Whether it says the same, whatever file and line it stands in.
    pub fn says(&self, other: &Self) -> bool {
        // where it stands is no part of it
        let Self {
            options: _,
            line: _,
            file: _,
            text: _,
            gid,
            sid,
            rev,
            action,
            header,
            apps,
            message,
            class,
            priority,
            metadata,
            references,
            target,
            noalert,
            flow,
            conditions,
            effects,
            threshold,
            detection,
            suppress,
            fast_pattern,
        } = self;
        (gid, sid, rev, action, priority, noalert)
            == (&other.gid, &other.sid, &other.rev, &other.action, &other.priority, &other.noalert)
            && (header, apps, message, class) == (&other.header, &other.apps, &other.message, &other.class)
            && (metadata, references, target) == (&other.metadata, &other.references, &other.target)
            && (flow, conditions, effects) == (&other.flow, &other.conditions, &other.effects)
            && (threshold, detection, suppress) == (&other.threshold, &other.detection, &other.suppress)
            && fast_pattern == &other.fast_pattern
    }
}

/// What `fast_pattern` says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FastPattern {
    pub condition: usize,
    pub check: usize,
    /// `fast_pattern:only`: it needs no second look.
    pub only: bool,
    /// `fast_pattern:offset,length`.
    pub chop: Option<(u16, u16)>,
}
