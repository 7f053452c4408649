//! Checks, prepared: with their searchers, and with what is known of how they depend on each other.

use std::sync::Arc;

use super::{expression::Expression, needle::Needle};
use crate::rule::{
    Base64, ByteExtract, ByteJump, ByteMath, ByteTest, Check, Dataset, Entropy, From, IsDataAt, Place, Size, Value,
};

/// One check.
#[derive(Clone, Debug)]
pub struct Step {
    pub check: Prepared,
    /// It does not depend on where the last match ended: if it fails, nothing before it need be tried elsewhere.
    pub absolute: bool,
    /// What follows depends on where it ends: if that fails, it is tried elsewhere.
    pub leads: bool,
    /// All that is in front of it and says where it may stand are contents: the earlier those end, the more it can find.
    pub behind_contents: bool,
}

/// A check and its searcher.
#[derive(Clone, Debug)]
pub enum Prepared {
    Content { needle: Needle, negated: bool, place: Place },
    Pcre(Expression),
    ByteTest(ByteTest),
    ByteJump(ByteJump),
    ByteExtract(ByteExtract),
    ByteMath(ByteMath),
    IsDataAt(IsDataAt),
    Size(Size),
    Base64(Base64),
    Dataset(Dataset),
    Entropy(Entropy),
}

/// The checks of one condition.
#[derive(Clone, Debug, Default)]
pub struct Steps {
    pub steps: Vec<Step>,
    /// Some of it uses variables: what was found before it matters.
    pub variables: bool,
    /// Of `base64_data`: asked about what `base64_decode` has made.
    pub decoded: Option<Arc<Self>>,
    /// `absent`, with `true`: or the rest holds.
    pub absent: Option<bool>,
    /// What groups of an expression hold is kept.
    captures: bool,
}

impl Steps {
    /// Prepares the checks of a condition.
    pub fn new(checks: &[Check]) -> Self {
        let mut out = Self::default();
        for check in checks {
            let check = match check {
                Check::Content(content) => {
                    let needle = Needle::new(&content.bytes, content.nocase);
                    Prepared::Content { needle, negated: content.negated, place: content.place }
                }
                Check::Pcre(pcre) => Prepared::Pcre(Expression::new(pcre)),
                Check::ByteTest(test) => Prepared::ByteTest(*test),
                Check::ByteJump(jump) => Prepared::ByteJump(*jump),
                Check::ByteExtract(extract) => Prepared::ByteExtract(*extract),
                Check::ByteMath(math) => Prepared::ByteMath(*math),
                Check::IsDataAt(at) => Prepared::IsDataAt(*at),
                Check::Size(size) => Prepared::Size(*size),
                Check::Base64(base64) => Prepared::Base64(*base64),
                Check::Dataset(dataset) => Prepared::Dataset(dataset.clone()),
                Check::Entropy(entropy) => Prepared::Entropy(*entropy),
                Check::Absent(or_else) => {
                    out.absent = Some(*or_else);
                    continue;
                }
            };
            out.variables |= check.uses_variables();
            out.captures |= matches!(&check, Prepared::Pcre(expression) if !expression.rule.captures.is_empty());
            let absolute = !check.is_relative();
            out.steps.push(Step { check, absolute, leads: false, behind_contents: false });
        }
        out.relate();
        out
    }

    /// Whether what a step looks for ends in bytes behind a place, if it is a content.
    pub fn stands_behind(&self, step: u16, bytes: &[u8], place: usize) -> bool {
        let Some(Step { check: Prepared::Content { needle, .. }, .. }) = self.steps.get(usize::from(step)) else {
            return true;
        };
        let from = (place + 1).saturating_sub(needle.len()).min(bytes.len());
        needle.find(&bytes[from..]).is_some()
    }

    /// What the groups of its expressions hold, by the names that the rule gives them, where they are found first.
    pub fn captured<'a>(&self, bytes: &'a [u8]) -> Vec<(Arc<str>, &'a [u8])> {
        let expressions = self.steps.iter().filter(|_| self.captures).filter_map(|step| match &step.check {
            Prepared::Pcre(expression) if !expression.rule.negated => Some(expression),
            _ => None,
        });
        expressions.flat_map(|expression| expression.captured(bytes)).collect()
    }

    /// Finds out which steps depend on which.
    fn relate(&mut self) {
        let mut contents = true;
        for at in 0..self.steps.len() {
            self.steps[at].behind_contents = contents;
            if self.steps[at].check.moves() {
                contents = matches!(self.steps[at].check, Prepared::Content { .. });
                let next = self.steps[at + 1..].iter().find(|step| !step.absolute || step.check.moves());
                self.steps[at].leads = self.variables || next.is_some_and(|next| !next.absolute);
            }
        }
    }
}

impl Prepared {
    /// Whether it says where the last match ends.
    const fn moves(&self) -> bool {
        match self {
            Self::Content { negated, .. } => !*negated,
            Self::Pcre(expression) => !expression.rule.negated,
            Self::ByteJump(_) | Self::ByteExtract(_) | Self::ByteMath(_) => true,
            _ => false,
        }
    }

    fn is_relative(&self) -> bool {
        let relative = |from: From| matches!(from, From::LastMatch);
        match self {
            Self::Content { place, .. } => place.distance.is_some() || place.within.is_some(),
            Self::Pcre(expression) => expression.rule.relative,
            Self::ByteTest(test) => relative(test.op.from),
            Self::ByteJump(jump) => relative(jump.op.from),
            Self::ByteExtract(extract) => relative(extract.op.from),
            Self::ByteMath(math) => relative(math.op.from),
            Self::IsDataAt(at) => relative(at.from),
            Self::Base64(base64) => relative(base64.from),
            Self::Size(_) | Self::Dataset(_) | Self::Entropy(..) => false,
        }
    }

    fn uses_variables(&self) -> bool {
        let variable = |value: &Value| matches!(value, Value::Variable(_));
        match self {
            Self::Content { place, .. } => {
                [place.offset, place.depth, place.distance, place.within].iter().flatten().any(variable)
            }
            Self::ByteTest(test) => [test.op.bytes, test.op.offset, test.value].iter().any(variable),
            Self::ByteJump(jump) => [jump.op.bytes, jump.op.offset, jump.post_offset].iter().any(variable),
            Self::ByteExtract(_) | Self::ByteMath(_) => true,
            Self::IsDataAt(at) => variable(&at.place),
            Self::Size(size) => match size {
                Size::Equal(value)
                | Size::NotEqual(value)
                | Size::Less(value)
                | Size::LessOrEqual(value)
                | Size::Greater(value)
                | Size::GreaterOrEqual(value) => variable(value),
                Size::Between(..) => false,
            },
            Self::Pcre(_) | Self::Base64(_) | Self::Dataset(_) | Self::Entropy(..) => false,
        }
    }
}
