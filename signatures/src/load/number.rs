//! Numbers and comparisons, as integer keywords write them: `5`, `!5`, `<5`, `>=5`, `5-10`, `5<>10`, `&0x10`.

use crate::{diagnostic::quoted, rule::NumberTest};

/// A number in decimal, or hexadecimal behind `0x`.
pub(crate) fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) if !hex.starts_with('+') => u64::from_str_radix(hex, 16).ok(),
        Some(_) => None,
        None if text.starts_with('+') => None,
        None => text.parse().ok(),
    }
}

/// A number with a unit of bytes behind it: `10`, `10kb`, `1MiB`.
fn sized(text: &str) -> Option<u64> {
    let text = text.trim();
    let split = text.find(|c: char| c.is_ascii_alphabetic()).filter(|_| !text.starts_with("0x")).unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" => 1,
        "kb" | "kib" => 1 << 10,
        "mb" | "mib" => 1 << 20,
        "gb" | "gib" => 1 << 30,
        _ => return None,
    };
    number(digits)?.checked_mul(factor)
}

/// A comparison with numbers up to `max`; `name` knows words that stand for numbers.
pub(crate) fn number_test(text: &str, max: u64, name: &dyn Fn(&str) -> Option<u64>) -> Result<NumberTest, String> {
    let text = text.trim();
    let value = |part: &str| {
        let part = part.trim();
        if part.is_empty() {
            return Err("a number is missing".to_owned());
        }
        let number = name(part).or_else(|| sized(part)).ok_or_else(|| format!("{} is not a number", quoted(part)))?;
        if number > max { Err(format!("{number} is more than {max}")) } else { Ok(number) }
    };
    let range = |low: &str, high: &str| {
        let (low, high) = (value(low)?, value(high)?);
        if high.saturating_sub(low) < 2 {
            return Err(format!("nothing lies between {low} and {high}: neither end is included"));
        }
        Ok((low, high))
    };
    let never = |test: NumberTest, is: bool| if is { Err("nothing can be that".to_owned()) } else { Ok(test) };
    let always = |test: NumberTest, is: bool| if is { Err("everything is that".to_owned()) } else { Ok(test) };
    if let Some((low, high)) = text.split_once("<>") {
        return Ok(match low.trim().strip_prefix('!') {
            Some(low) => range(low, high).map(|(low, high)| NumberTest::NotBetween(low, high))?,
            None => range(low, high).map(|(low, high)| NumberTest::Between(low, high))?,
        });
    }
    if let Some(rest) = text.strip_prefix("<=") {
        let number = value(rest)?;
        return always(NumberTest::LessOrEqual(number), number == max);
    }
    if let Some(rest) = text.strip_prefix(">=") {
        let number = value(rest)?;
        return always(NumberTest::GreaterOrEqual(number), number == 0);
    }
    if let Some(rest) = text.strip_prefix('<') {
        let number = value(rest)?;
        return never(NumberTest::Less(number), number == 0);
    }
    if let Some(rest) = text.strip_prefix('>') {
        let number = value(rest)?;
        return never(NumberTest::Greater(number), number == max);
    }
    if let Some(rest) = text.strip_prefix("!&") {
        return Ok(NumberTest::NoBits(value(rest)?));
    }
    if let Some(rest) = text.strip_prefix('&') {
        if let Some((mask, bits)) = rest.split_once('=') {
            let (mask, negated) = mask.strip_suffix('!').map_or((mask, false), |mask| (mask, true));
            let (mask, bits) = (value(mask)?, value(bits)?);
            let test = if negated { NumberTest::NotMasked(mask, bits) } else { NumberTest::Masked(mask, bits) };
            return never(test, bits & !mask != 0);
        }
        return Ok(NumberTest::Bits(value(rest)?));
    }
    let (negated, rest) = match text.strip_prefix('!') {
        Some(rest) => (true, rest.trim_start().strip_prefix('=').unwrap_or(rest)),
        None => (false, text.strip_prefix('=').unwrap_or(text)),
    };
    if name(rest.trim()).is_none()
        && let Some((low, high)) = rest.split_once('-')
    {
        let (low, high) = range(low, high)?;
        return Ok(if negated { NumberTest::NotBetween(low, high) } else { NumberTest::Between(low, high) });
    }
    let number = value(rest)?;
    Ok(if negated { NumberTest::NotEqual(number) } else { NumberTest::Equal(number) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons_are_read() {
        let test = |text| number_test(text, 65535, &|word| (word == "syn-sent").then_some(7));
        for (text, expected) in [
            ("5", NumberTest::Equal(5)),
            ("=5", NumberTest::Equal(5)),
            (" 0x10 ", NumberTest::Equal(16)),
            ("!5", NumberTest::NotEqual(5)),
            ("!=5", NumberTest::NotEqual(5)),
            ("<5", NumberTest::Less(5)),
            (">= 5", NumberTest::GreaterOrEqual(5)),
            ("5-10", NumberTest::Between(5, 10)),
            ("5 <> 10", NumberTest::Between(5, 10)),
            ("!5-10", NumberTest::NotBetween(5, 10)),
            ("&0x03", NumberTest::Bits(3)),
            ("!&3", NumberTest::NoBits(3)),
            ("&0xf0=0x10", NumberTest::Masked(0xf0, 0x10)),
            ("&0xf0 != 0x10", NumberTest::NotMasked(0xf0, 0x10)),
            ("1kb", NumberTest::Equal(1024)),
            ("!syn-sent", NumberTest::NotEqual(7)),
        ] {
            assert_eq!(test(text), Ok(expected), "{text}");
        }
        for text in [
            "", "five", "65536", ">65535", "<0", "5-6", "10-5", "+5", "-1", "0x", "1tb", "1k", ">=0", "<=65535", "5 6",
            "&0xf0=1",
        ] {
            assert!(test(text).is_err(), "{text}: {:?}", test(text));
        }
    }
}
