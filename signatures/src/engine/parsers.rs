//! What parsers say of conditions that are about no buffer: numbers, what only they can tell, events, files.

use super::{transaction::MOST_INSTANCES, verify::Answer};
use crate::{
    rule::{Condition, NumberTest, Rule},
    subject::{Direction, File, Transaction},
};

/// What is said of two, of which either will do.
pub(super) const fn either(one: Answer, other: Answer) -> Answer {
    match (one, other) {
        (Answer::Holds, _) | (_, Answer::Holds) => Answer::Holds,
        (Answer::NotYet, _) | (_, Answer::NotYet) => Answer::NotYet,
        _ => Answer::Never,
    }
}

/// What the parser says of a condition.
pub(super) fn of_parser(condition: &Condition, direction: Direction, of: &dyn Transaction) -> Answer {
    let unless_complete = |holds: bool| match holds {
        true => Answer::Holds,
        false if of.is_complete(direction) => Answer::Never,
        false => Answer::NotYet,
    };
    match condition {
        Condition::Number { keyword, test } => {
            let mut numbers = (0..MOST_INSTANCES).map_while(|instance| of.number(keyword, direction, instance));
            unless_complete(numbers.any(|number| test.holds(number)))
        }
        Condition::Test { keyword, argument, negated } => match of.test(keyword, argument, direction) {
            None => unless_complete(false),
            Some(holds) => unless_complete(holds != *negated),
        },
        Condition::AppEvent(event) => {
            let raised = of.events().iter().any(|of| **of == **event);
            // events of the other direction are told of here as well
            if raised { Answer::Holds } else { Answer::NotYet }
        }
        _ => Answer::Never,
    }
}

/// Whether any file has all of what is asked of one: conditions by index.
pub(super) fn of_files(rule: &Rule, conditions: &[u16], direction: Direction, of: &dyn Transaction) -> Answer {
    let mut answer = Answer::Never;
    for instance in 0..MOST_INSTANCES {
        let Some(file) = of.file(direction, instance) else { break };
        let mut all = Answer::Holds;
        for condition in conditions {
            let one = of_file(&rule.conditions[usize::from(*condition)], &file);
            all = match (all, one) {
                (Answer::Never, _) | (_, Answer::Never) => Answer::Never,
                (Answer::NotYet, _) | (_, Answer::NotYet) => Answer::NotYet,
                _ => Answer::Holds,
            };
        }
        answer = either(answer, all);
    }
    if answer == Answer::Never && !of.is_complete(direction) { Answer::NotYet } else { answer }
}

fn of_file(condition: &Condition, file: &File<'_>) -> Answer {
    let now = |holds: bool| if holds { Answer::Holds } else { Answer::Never };
    match condition {
        // of one that was cut off it is known how large it is at least
        Condition::FileSize(test) if file.truncated => {
            let least = matches!(test, NumberTest::Greater(_) | NumberTest::GreaterOrEqual(_));
            now(least && test.holds(file.size))
        }
        Condition::FileSize(test) if file.complete => now(test.holds(file.size)),
        Condition::FileSize(_) => Answer::NotYet,
        // that there is one
        Condition::FileStore => Answer::Holds,
        Condition::FileExtension(extension, negated) => {
            let extension = extension.as_bytes();
            let start = file.name.len().checked_sub(extension.len());
            let ends = start.is_some_and(|start| {
                file.name[start..].eq_ignore_ascii_case(extension) && start > 0 && file.name[start - 1] == b'.'
            });
            now(ends != *negated)
        }
        Condition::FileHash(digests, negated) => {
            let len = digests.first().map_or(0, Vec::len);
            let digest = match len {
                16 => file.md5,
                20 => file.sha1,
                _ => file.sha256,
            };
            match digest {
                Some(digest) => now(digests.binary_search_by(|held| (**held).cmp(digest)).is_ok() != *negated),
                None if file.complete => Answer::Never,
                None => Answer::NotYet,
            }
        }
        _ => Answer::Never,
    }
}
