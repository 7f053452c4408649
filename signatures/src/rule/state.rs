//! What rules remember: bits, numbers and counts.

use std::sync::Arc;

/// `flow`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct FlowKeyword {
    pub to_server: bool,
    pub to_client: bool,
    pub established: bool,
    pub not_established: bool,
    pub stateless: bool,
    /// `only_stream`, `no_stream`
    pub only_stream: bool,
    pub no_stream: bool,
    pub only_fragments: bool,
    pub no_fragments: bool,
}

/// Something that is asked or done to bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum BitAction {
    Set,
    Unset,
    Toggle,
    IsSet,
    IsNotSet,
}

/// `flowbits`: `isset` with several names holds if any of them is.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Flowbits {
    pub action: BitAction,
    pub names: Vec<Arc<str>>,
}

/// Whose bits they are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum BitScope {
    Source,
    Destination,
    Pair,
    Transaction,
    /// `hostbits` without a direction.
    Both,
}

/// `xbits`, and `hostbits`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Bits {
    pub action: BitAction,
    pub name: Arc<str>,
    pub scope: BitScope,
    /// For how long, s.
    pub expire_s: u32,
}

/// `xbits`.
pub type Xbits = Bits;

/// What `flowint` does or asks.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum FlowintOp {
    Set(IntValue),
    Add(IntValue),
    Subtract(IntValue),
    Less(IntValue),
    LessOrEqual(IntValue),
    Equal(IntValue),
    NotEqual(IntValue),
    GreaterOrEqual(IntValue),
    Greater(IntValue),
    IsSet,
    IsNotSet,
}

/// A number, or another variable of the flow.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum IntValue {
    Number(u32),
    Variable(Arc<str>),
}

/// `flowint`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Flowint {
    pub name: Arc<str>,
    pub op: FlowintOp,
}

/// Whose events are counted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Track {
    Source,
    Destination,
    Both,
    Rule,
    Flow,
}

/// `threshold`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Threshold {
    pub kind: ThresholdKind,
    pub track: Track,
    pub count: u32,
    pub seconds: u32,
}

/// How alerts are limited.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ThresholdKind {
    /// Each one from the count on, in every period.
    Threshold,
    /// Not more than the count in a period.
    Limit,
    /// One in a period, when the count is reached.
    Both,
    /// At the count, then at the count times the multiplier, and so on.
    Backoff { multiplier: u32 },
}

/// `detection_filter`: the rule matches beyond this rate only.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Detection {
    pub track: Track,
    pub count: u32,
    pub seconds: u32,
}

/// `suppress` of `threshold.config`: no alerts of these hosts; its action counts all the same.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Suppress {
    /// Whose address; `None`: whoever.
    pub track: Option<Track>,
    pub addresses: super::Addresses,
}

/// What a match does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    Flowbits(Flowbits),
    Xbits(Xbits),
    Hostbits(Bits),
    Flowint(Flowint),
    /// `tag`: nothing is done for it.
    Tag,
    /// `bypass`: the flow needs no more inspection.
    Bypass,
}
