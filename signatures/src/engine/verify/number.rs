//! Numbers in bytes: what `byte_test`, `byte_jump`, `byte_extract` and `byte_math` read, and what they make of it.

use crate::rule::{ByteExtract, ByteJump, ByteMath, ByteOp, ByteTest, Compare, From, JumpBase, MathOp, Value};

/// Most characters of a number in text: 64 bits in octal, with a zero in front.
const LONGEST_TEXT: usize = 23;

/// What was read: the number, where it began and where it ended.
#[derive(Clone, Copy, Debug)]
struct Read {
    value: u64,
    start: usize,
    end: usize,
}

/// The value of an operand.
pub fn operand(value: Value, variables: &[u64]) -> i64 {
    match value {
        Value::Number(number) => number,
        Value::Variable(index) => variables.get(usize::from(index)).map_or(0, |value| value.cast_signed()),
    }
}

fn read(op: &ByteOp, bytes: &[u8], last: usize, variables: &[u64]) -> Option<Read> {
    let offset = operand(op.offset, variables);
    let start = match op.from {
        From::Start => offset,
        From::LastMatch => offset.checked_add_unsigned(last as u64)?,
    };
    let start = usize::try_from(start).ok()?;
    let count = usize::try_from(operand(op.bytes, variables)).ok()?;
    let rest = bytes.get(start..)?;
    if matches!(op.from, From::LastMatch) && rest.is_empty() {
        return None;
    }
    let (value, taken) = match op.string {
        Some(base) => text(rest, count, u32::from(base))?,
        None => binary(rest, count, op.little_endian || op.dce)?,
    };
    Some(Read { value, start, end: start + taken })
}

fn binary(bytes: &[u8], count: usize, little_endian: bool) -> Option<(u64, usize)> {
    let bytes = bytes.get(..count).filter(|bytes| bytes.len() <= 8)?;
    let next = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
    let value = if little_endian { bytes.iter().rev().fold(0, next) } else { bytes.iter().fold(0, next) };
    Some((value, count))
}

/// A number as `strtoull` reads it: white space, a sign, `0x` in front of hexadecimal digits. It ends at the first byte that is no
/// digit.
fn text(bytes: &[u8], count: usize, base: u32) -> Option<(u64, usize)> {
    let bytes = if count == 0 { &bytes[..bytes.len().min(LONGEST_TEXT)] } else { bytes.get(..count)? };
    let bytes = &bytes[..bytes.len().min(LONGEST_TEXT)];
    let mut at = bytes.iter().take_while(|byte| byte.is_ascii_whitespace() || **byte == 0x0b).count();
    let negative = bytes.get(at) == Some(&b'-');
    if matches!(bytes.get(at), Some(b'-' | b'+')) {
        at += 1;
    }
    let hexadecimal = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
    if base == 16
        && bytes.get(at) == Some(&b'0')
        && matches!(bytes.get(at + 1), Some(b'x' | b'X'))
        && hexadecimal(at + 2)
    {
        at += 2;
    }
    let digits = bytes[at..].iter().map_while(|byte| char::from(*byte).to_digit(base)).map(u64::from);
    let (mut value, mut any) = (0_u64, false);
    for digit in digits {
        value = value.checked_mul(u64::from(base))?.checked_add(digit)?;
        any = true;
        at += 1;
    }
    any.then_some((if negative { value.wrapping_neg() } else { value }, at))
}

/// The bits of a mask, moved down by the zeros behind its lowest one.
const fn masked(value: u64, mask: Option<u64>) -> u64 {
    match mask {
        Some(mask) if mask != 0 => (value & mask) >> mask.trailing_zeros(),
        Some(_) => 0,
        None => value,
    }
}

/// Whether `byte_test` holds; `None`: there is nothing to read, so neither it nor its negation does.
pub fn test(test: &ByteTest, bytes: &[u8], last: usize, variables: &[u64]) -> Option<bool> {
    let value = masked(read(&test.op, bytes, last, variables)?.value, test.op.bitmask);
    let than = operand(test.value, variables).cast_unsigned();
    let holds = match test.compare {
        Compare::Equal => value == than,
        Compare::Less => value < than,
        Compare::Greater => value > than,
        Compare::LessOrEqual => value <= than,
        Compare::GreaterOrEqual => value >= than,
        Compare::And => value & than != 0,
        Compare::Xor => value ^ than != 0,
    };
    Some(holds != test.negated)
}

/// Where `byte_jump` lands: inside of the bytes, or `None`. What jumps before the first byte lands there.
pub fn jump(jump: &ByteJump, bytes: &[u8], last: usize, variables: &[u64]) -> Option<usize> {
    let read = if matches!(jump.op.bytes, Value::Number(0)) && jump.op.string.is_none() {
        // nothing is read: the jump is `post_offset` alone
        let from = if matches!(jump.op.from, From::LastMatch) { last } else { 0 };
        let start = usize::try_from(operand(jump.op.offset, variables).checked_add_unsigned(from as u64)?).ok()?;
        Read { value: 0, start, end: start }
    } else {
        read(&jump.op, bytes, last, variables)?
    };
    let mut value = masked(read.value, jump.op.bitmask).wrapping_mul(u64::from(jump.multiplier));
    if jump.align {
        value = value.checked_next_multiple_of(4)?;
    }
    let by = value.cast_signed().wrapping_add(operand(jump.post_offset, variables));
    let from = match jump.base {
        JumpBase::Start => 0,
        JumpBase::End => bytes.len(),
        JumpBase::Here => read.end.max(read.start),
    };
    let to = by.checked_add_unsigned(from as u64)?.max(0);
    usize::try_from(to).ok().filter(|to| *to < bytes.len())
}

/// What `byte_extract` reads, and where it ends.
pub fn extract(extract: &ByteExtract, bytes: &[u8], last: usize, variables: &[u64]) -> Option<(u64, usize)> {
    let read = read(&extract.op, bytes, last, variables)?;
    let mut value = masked(read.value, extract.op.bitmask).wrapping_mul(u64::from(extract.multiplier));
    if extract.align > 1 {
        value = value.checked_next_multiple_of(u64::from(extract.align))?;
    }
    Some((value, read.end))
}

/// What `byte_math` computes, and where it has read to. A division by zero computes nothing.
pub fn math(math: &ByteMath, bytes: &[u8], last: usize, variables: &[u64]) -> Option<(u64, usize)> {
    let read = read(&math.op, bytes, last, variables)?;
    let by = operand(math.value, variables).cast_unsigned();
    let shift = u32::try_from(by).unwrap_or(u32::MAX);
    let value = match math.operator {
        MathOp::Add => read.value.wrapping_add(by),
        MathOp::Subtract => read.value.wrapping_sub(by),
        MathOp::Multiply => read.value.wrapping_mul(by),
        MathOp::Divide => read.value.checked_div(by)?,
        MathOp::ShiftLeft => read.value.checked_shl(shift).unwrap_or(0),
        MathOp::ShiftRight => read.value.checked_shr(shift).unwrap_or(0),
    };
    Some((masked(value, math.op.bitmask), read.end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(bytes: i64, offset: i64) -> ByteOp {
        ByteOp {
            bytes: Value::Number(bytes),
            offset: Value::Number(offset),
            from: From::Start,
            little_endian: false,
            string: None,
            dce: false,
            bitmask: None,
        }
    }

    fn tested(op: ByteOp, compare: Compare, value: i64, bytes: &[u8]) -> Option<bool> {
        test(&ByteTest { op, compare, negated: false, value: Value::Number(value) }, bytes, 0, &[])
    }

    #[test]
    fn both_byte_orders() {
        assert_eq!(tested(op(2, 1), Compare::Equal, 0x0203, &[1, 2, 3]), Some(true));
        assert_eq!(tested(ByteOp { little_endian: true, ..op(2, 1) }, Compare::Equal, 0x0302, &[1, 2, 3]), Some(true));
        assert_eq!(tested(op(4, 0), Compare::Equal, 0, &[1, 2, 3]), None);
        assert_eq!(tested(op(1, 3), Compare::Equal, 0, &[1, 2, 3]), None);
        assert_eq!(tested(op(1, -1), Compare::Equal, 1, &[1, 2, 3]), None);
        assert_eq!(tested(ByteOp { bitmask: Some(0xf0), ..op(1, 0) }, Compare::Equal, 5, &[0x5a]), Some(true));
    }

    #[test]
    fn text_in_every_base() {
        let text = |base, count| ByteOp { string: Some(base), ..op(count, 0) };
        assert_eq!(tested(text(10, 3), Compare::Equal, 123, b"123 "), Some(true));
        assert_eq!(tested(text(10, 0), Compare::Equal, 12345, b"12345;"), Some(true));
        assert_eq!(tested(text(16, 4), Compare::Equal, 0xfe, b"0xfe"), Some(true));
        assert_eq!(tested(text(8, 2), Compare::Equal, 8, b"10"), Some(true));
        assert_eq!(tested(text(10, 2), Compare::Equal, 0, b"ab"), None);
        assert_eq!(tested(text(10, 4), Compare::Equal, 12, b" 12x"), Some(true));
    }

    #[test]
    fn jumps() {
        let to = |jump: ByteJump, bytes: &[u8]| super::jump(&jump, bytes, 0, &[]);
        let plain =
            ByteJump { op: op(1, 0), multiplier: 1, align: false, base: JumpBase::Here, post_offset: Value::Number(0) };
        assert_eq!(to(plain, &[2, 0, 0, 9]), Some(3));
        assert_eq!(to(plain, &[3, 0, 0, 9]), None);
        assert_eq!(to(ByteJump { align: true, ..plain }, &[1, 0, 0, 0, 0, 9]), Some(5));
        assert_eq!(to(ByteJump { base: JumpBase::Start, ..plain }, &[2, 0, 9]), Some(2));
        assert_eq!(to(ByteJump { base: JumpBase::End, post_offset: Value::Number(-1), ..plain }, &[0, 0, 9]), Some(2));
        assert_eq!(to(ByteJump { post_offset: Value::Number(-9), ..plain }, &[2, 0, 0]), Some(0));
        assert_eq!(to(ByteJump { multiplier: 2, ..plain }, &[1, 0, 0, 9]), Some(3));
    }

    #[test]
    fn arithmetic() {
        let math = |operator, value| {
            let math = ByteMath { op: op(1, 0), operator, value: Value::Number(value), variable: 0 };
            super::math(&math, &[12], 0, &[])
        };
        assert_eq!(math(MathOp::Add, 3), Some((15, 1)));
        assert_eq!(math(MathOp::Divide, 5), Some((2, 1)));
        assert_eq!(math(MathOp::Divide, 0), None);
        assert_eq!(math(MathOp::ShiftLeft, 64), Some((0, 1)));
        assert_eq!(math(MathOp::ShiftRight, 2), Some((3, 1)));
    }
}
