//! What is looked for in bytes. Offsets count from the start of the buffer, or from the end of the last match.

use std::sync::Arc;

/// A number, or a variable that `byte_extract` or `byte_math` has set: its index in the rule.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Value {
    Number(i64),
    Variable(u8),
}

/// What a place counts from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum From {
    Start,
    LastMatch,
}

/// Where a content may stand.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Place {
    /// `offset`, `depth`: from the start of the buffer.
    pub offset: Option<Value>,
    pub depth: Option<Value>,
    /// `distance`, `within`: from the end of the last match.
    pub distance: Option<Value>,
    pub within: Option<Value>,
    /// `startswith` (offset 0 and depth of its length), `endswith`.
    pub at_start: bool,
    pub at_end: bool,
}

/// `content`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Content {
    pub bytes: Arc<[u8]>,
    pub nocase: bool,
    pub negated: bool,
    pub place: Place,
}

/// `pcre`.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Pcre {
    /// Without delimiters and modifiers.
    pub pattern: Arc<str>,
    pub caseless: bool,
    pub dotall: bool,
    pub multiline: bool,
    pub extended: bool,
    /// `A`, `E`, `G`
    pub anchored: bool,
    pub dollar_end_only: bool,
    pub ungreedy: bool,
    /// `R`: behind the last match.
    pub relative: bool,
    pub negated: bool,
    /// Captures that are kept: `pkt:name`, `flow:name`.
    pub captures: Vec<Arc<str>>,
}

/// What `byte_test`, `byte_jump`, `byte_extract` and `byte_math` read, and where.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ByteOp {
    /// Number of bytes; 0 where `string` says "until it ends".
    pub bytes: Value,
    pub offset: Value,
    pub from: From,
    pub little_endian: bool,
    /// It is text, in this base.
    pub string: Option<u8>,
    /// `dce`: the byte order of the call.
    pub dce: bool,
    /// `bitmask`: the bits that count, moved down by the zeros behind its lowest one.
    pub bitmask: Option<u64>,
}

/// `byte_test`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ByteTest {
    pub op: ByteOp,
    pub compare: Compare,
    pub negated: bool,
    pub value: Value,
}

/// How `byte_test` compares.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Compare {
    Equal,
    Less,
    Greater,
    LessOrEqual,
    GreaterOrEqual,
    /// Any bit of the value is set.
    And,
    /// Bits differ: the result of exclusive or is not zero.
    Xor,
}

/// `byte_jump`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ByteJump {
    pub op: ByteOp,
    pub multiplier: u32,
    /// Rounded up to the next four bytes.
    pub align: bool,
    pub base: JumpBase,
    pub post_offset: Value,
}

/// What a jump counts from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum JumpBase {
    /// Behind the number that was read.
    Here,
    /// `from_beginning`
    Start,
    /// `from_end`
    End,
}

/// `byte_extract`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ByteExtract {
    pub op: ByteOp,
    pub multiplier: u32,
    /// 0, 2, 4.
    pub align: u8,
    pub variable: u8,
}

/// `byte_math`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ByteMath {
    pub op: ByteOp,
    pub operator: MathOp,
    pub value: Value,
    pub variable: u8,
}

/// What `byte_math` does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MathOp {
    Add,
    Subtract,
    Multiply,
    Divide,
    ShiftLeft,
    ShiftRight,
}

/// `isdataat`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct IsDataAt {
    pub place: Value,
    pub from: From,
    pub negated: bool,
}

/// How many bytes there are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Size {
    Equal(Value),
    NotEqual(Value),
    Less(Value),
    LessOrEqual(Value),
    Greater(Value),
    GreaterOrEqual(Value),
    /// Between, neither included.
    Between(u64, u64),
}

/// `base64_decode`: its result is what `base64_data` selects.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Base64 {
    /// Most bytes that are decoded; 0: all.
    pub bytes: u32,
    pub offset: u32,
    pub from: From,
}

/// `dataset`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Dataset {
    pub action: SetAction,
    /// Its index among the sets of the ruleset is the engine's to find.
    pub name: Arc<str>,
    pub kind: SetKind,
    /// What `load` or `state` name, sorted: bytes of the values, of digests and addresses themselves (addresses in 16 bytes, those
    /// of IPv4 mapped). Rules of one set share it.
    pub initial: Arc<[Box<[u8]>]>,
}

/// What a dataset holds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SetKind {
    String,
    /// The digest of what is looked up.
    Md5,
    Sha256,
    /// Either version, or IPv4 alone.
    Ip,
    Ipv4,
}

/// What is done with a dataset.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SetAction {
    IsSet,
    IsNotSet,
    Set,
    Unset,
}

/// One thing to hold of a buffer.
#[derive(Clone, PartialEq, Debug)]
pub enum Check {
    Content(Content),
    Pcre(Pcre),
    ByteTest(ByteTest),
    ByteJump(ByteJump),
    ByteExtract(ByteExtract),
    ByteMath(ByteMath),
    IsDataAt(IsDataAt),
    /// `bsize`, `urilen`.
    Size(Size),
    Base64(Base64),
    Dataset(Dataset),
    /// `absent`: there is no such buffer; with `true`: or what follows holds (`or_else`).
    Absent(bool),
    Entropy(Entropy),
}

/// `entropy`: of these bytes, in bits for each.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Entropy {
    pub offset: usize,
    /// 0: to the end.
    pub bytes: usize,
    pub test: EntropyTest,
}

/// How entropies are compared.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum EntropyTest {
    Equal(f64),
    NotEqual(f64),
    Less(f64),
    LessOrEqual(f64),
    Greater(f64),
    GreaterOrEqual(f64),
    /// Between, neither included.
    Between(f64, f64),
    NotBetween(f64, f64),
}

impl EntropyTest {
    /// Whether it holds. What differs by less than rounding does is equal.
    pub fn holds(&self, entropy: f64) -> bool {
        let equal = |than: f64| (entropy - than).abs() < 1e-9;
        match *self {
            Self::Equal(than) => equal(than),
            Self::NotEqual(than) => !equal(than),
            Self::Less(than) => entropy < than,
            Self::LessOrEqual(than) => entropy <= than || equal(than),
            Self::Greater(than) => entropy > than,
            Self::GreaterOrEqual(than) => entropy >= than || equal(than),
            Self::Between(low, high) => entropy > low && entropy < high,
            Self::NotBetween(low, high) => entropy <= low || entropy >= high,
        }
    }
}

/// What is done to a buffer before anything is looked for.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Transform {
    DotPrefix,
    StripWhitespace,
    CompressWhitespace,
    ToLowercase,
    ToUppercase,
    ToMd5,
    ToSha1,
    ToSha256,
    UrlDecode,
    /// `header_lowercase`
    HeaderLowercase,
    StripPseudoHeaders,
    /// `domain`, `tld`
    Domain,
    Tld,
    /// `from_base64`: bytes, offset, strict.
    FromBase64 {
        bytes: u32,
        offset: u32,
        mode: Base64Mode,
    },
    /// `xor` with a key.
    Xor(Arc<[u8]>),
    /// `pcrexform`: the first capture.
    Pcre(Arc<str>),
    Gunzip(u32),
    ZlibDeflate(u32),
    /// `subslice`: offset, length (0: to the end); negative ones count from the end.
    Subslice(i32, i32),
}

/// Which base64 is taken.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Base64Mode {
    /// RFC 4648: anything else ends it.
    Rfc4648,
    /// RFC 2045: what is not of the alphabet is left out.
    Rfc2045,
    Strict,
}
