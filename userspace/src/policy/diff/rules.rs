//! Rules by their numbers: those that come, those that go, and those that say something else.

use std::{collections::BTreeMap, sync::Arc};

use dropgate_signatures::rule::Rule;

use super::{ChangeKind, Diff};
use crate::{policy::model::Signatures, view::rules::action};

/// What these changes are called.
pub(super) const WHAT: &str = "rule";

/// Adds the changes of rules. They are compared by what they mean: with the variables of their policy, and its thresholds.
pub(super) fn compare(diff: &mut Diff, [old, new]: [Option<&Signatures>; 2]) {
    let (mut old, new) = (by_number(old), by_number(new));
    for (number, new) in new {
        let name = format!("{}:{}", number.0, number.1);
        match old.remove(&number) {
            None => diff.add(ChangeKind::Added, WHAT, name, None, Some(words(new))),
            Some(old) if old.says(new) => {}
            Some(old) => {
                let mut after = words(new);
                if after == words(old) {
                    after.push_str(" (it says something else)");
                }
                diff.add(ChangeKind::Changed, WHAT, name, Some(words(old)), Some(after));
            }
        }
    }
    for (number, old) in old {
        diff.add(ChangeKind::Removed, WHAT, format!("{}:{}", number.0, number.1), Some(words(old)), None);
    }
}

fn by_number(signatures: Option<&Signatures>) -> BTreeMap<(u32, u32), &Arc<Rule>> {
    let rules = signatures.map_or(&[][..], |signatures| signatures.ruleset.rules());
    rules.iter().map(|rule| ((rule.gid, rule.sid), rule)).collect()
}

fn words(rule: &Rule) -> String {
    format!("rev {}, {} \"{}\"", rule.rev, action(rule.action), crate::view::text::clean(&rule.message))
}

#[cfg(test)]
mod tests {
    use dropgate_signatures::engine::Ruleset;

    use super::*;
    use crate::{policy::diff::RulesChanged, samples::rules};

    fn signatures(text: &str) -> Signatures {
        Signatures { ruleset: Arc::new(Ruleset::compile(rules(text))), ..Signatures::default() }
    }

    #[test]
    fn rules_are_told_by_number_and_revision() {
        let old = "alert ip any any -> any any (msg:\"a\"; sid:1; rev:1;)\n\
                   alert ip any any -> any any (msg:\"b\"; sid:2; rev:1;)\n\
                   alert tcp any any -> any 80 (msg:\"c\"; content:\"x\"; sid:3; rev:4;)\n\
                   alert tcp any any -> any 80 (msg:\"d\"; content:\"x\"; sid:4; rev:4;)\n";
        let new = "# elsewhere in the file\n\
                   alert tcp any any -> any 80 (msg:\"d\"; content:\"y\"; sid:4; rev:4;)\n\
                   alert tcp any any -> any 80 (msg:\"c\"; content:\"x\"; sid:3; rev:4;)\n\
                   drop ip any any -> any any (msg:\"b\"; sid:2; rev:2;)\n\
                   alert ip any any -> any any (msg:\"e\"; gid:2; sid:5;)\n";
        let mut diff = Diff::default();
        compare(&mut diff, [Some(&signatures(old)), Some(&signatures(new))]);
        let expected = "\
~ rule 1:2: rev 1, alert \"b\" -> rev 2, drop \"b\"
~ rule 1:4: rev 4, alert \"d\" -> rev 4, alert \"d\" (it says something else)
+ rule 2:5: rev 0, alert \"e\"
- rule 1:1: rev 1, alert \"a\"
rules: 1 added, 1 removed, 2 changed
";
        assert_eq!(diff.to_string(), expected);
        let mut none = Diff::default();
        compare(&mut none, [Some(&signatures(old)), Some(&signatures(old))]);
        assert!(none.is_empty());
    }

    #[test]
    fn a_new_set_of_rules_does_not_flood_the_screen() {
        let text: String = (1..=1000).map(|sid| format!("alert ip any any -> any any (sid:{sid};)\n")).collect();
        let mut diff = Diff::default();
        compare(&mut diff, [None, Some(&signatures(&text))]);
        assert_eq!(diff.rules(), RulesChanged { added: 1000, ..RulesChanged::default() });
        let shown = diff.to_string();
        assert_eq!(shown.lines().count(), 102);
        assert!(shown.contains("900 more rules; `--json` shows them"), "{shown}");
    }
}
