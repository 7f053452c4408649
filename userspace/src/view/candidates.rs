//! Which rules were candidates for a packet, and what became of each.

use std::{collections::HashSet, fmt};

use dropgate_signatures::subject::Direction;
use serde::Serialize;

use super::{rules::action, text::clean};
use crate::inspect;

/// What rules had to do with a packet.
#[derive(Clone, Debug, Serialize)]
pub struct Candidates {
    /// Rules that are loaded. Those that are not among the candidates have nothing to say: another direction, other ports, another
    /// protocol, or what is looked for first is not there.
    pub loaded: usize,
    /// What became of the packet in the end: `released`, `dropped` or `kept`, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inspector: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// In the order in which they were asked. `null`: no rule was asked about this packet.
    pub candidates: Option<Vec<Candidate>>,
}

/// A rule that was a candidate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Candidate {
    pub gid: u32,
    pub sid: u32,
    pub rev: u32,
    pub action: &'static str,
    pub message: String,
    /// `to_server` or `to_client`: whose words it was asked about.
    pub direction: &'static str,
    /// In which transaction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction: Option<u64>,
    pub matched: bool,
    /// What did not hold first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<Failed>,
}

/// What did not hold of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failed {
    /// The keyword; of the header `protocol`, `address` or `port`.
    pub keyword: String,
    /// As the rule writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub says: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub buffer: Option<&'static str>,
    /// There is no such buffer, or not yet.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub absent: bool,
}

impl Candidates {
    /// What the inspector has told of a packet, of so many rules.
    pub fn new(loaded: usize, told: Option<&[inspect::Candidate]>) -> Self {
        Self { loaded, inspector: None, reason: None, candidates: told.map(candidates) }
    }
}

/// Each rule once for a direction and a transaction: whether it has matched, else what failed first.
fn candidates(told: &[inspect::Candidate]) -> Vec<Candidate> {
    let key = |of: &inspect::Candidate| (of.explained.rule, of.explained.transaction, of.direction);
    let matched: HashSet<_> = told.iter().filter(|of| of.explained.failed.is_none()).map(key).collect();
    let mut known = HashSet::new();
    let shown = told
        .iter()
        .filter(|of| (of.explained.failed.is_none() || !matched.contains(&key(of))) && known.insert(key(of)))
        .map(|of| Candidate {
            gid: of.rule.gid,
            sid: of.rule.sid,
            rev: of.rule.rev,
            action: action(of.rule.action),
            message: of.rule.message.to_string(),
            direction: match of.direction {
                Direction::ToServer => "to_server",
                Direction::ToClient => "to_client",
            },
            transaction: of.explained.transaction,
            matched: of.explained.failed.is_none(),
            failed: of.explained.why(&of.rule).map(|why| Failed {
                keyword: why.keyword,
                says: why.says,
                buffer: why.buffer,
                absent: why.absent,
            }),
        });
    shown.collect()
}

impl fmt::Display for Candidates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(candidates) = &self.candidates else {
            return writeln!(f, "rules       none of {} was asked about this packet", self.loaded);
        };
        let matched = candidates.iter().filter(|of| of.matched).count();
        writeln!(f, "rules       {} of {} were candidates, {matched} matched", candidates.len(), self.loaded)?;
        for of in candidates {
            let transaction = of.transaction.map(|id| format!(", transaction {id}")).unwrap_or_default();
            let what = of.failed.as_ref().map_or("matched".to_owned(), ToString::to_string);
            let message = clean(&of.message);
            writeln!(f, "  {}:{} rev {} {} \"{message}\"", of.gid, of.sid, of.rev, of.action)?;
            writeln!(f, "      {}{transaction}: {}", of.direction, clean(&what))?;
        }
        if let Some(inspector) = self.inspector {
            writeln!(f, "inspector   {inspector} ({})", self.reason.as_deref().unwrap_or("-"))?;
        }
        Ok(())
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.says {
            Some(says) if says.starts_with(&self.keyword) => write!(f, "`{says}` does not hold")?,
            Some(says) => write!(f, "{} is not `{says}`", self.keyword)?,
            None => write!(f, "`{}` does not hold", self.keyword)?,
        }
        match self.buffer {
            Some(buffer) if self.absent => write!(f, ": there is no `{buffer}` yet"),
            Some(buffer) => write!(f, " in `{buffer}`"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use dropgate_signatures::engine;

    use super::*;
    use crate::samples::rules;

    #[test]
    fn each_rule_is_shown_once_with_what_failed_first() {
        let rules: Vec<Arc<_>> = rules(
            "alert http any any -> any any (msg:\"a\"; http.uri; content:\"/x\"; http.host; content:\"y\"; sid:1;)\n\
             drop tcp any any -> any 80 (msg:\"b\"; flow:established; content:\"z\"; sid:2; rev:7;)\n",
        )
        .into_iter()
        .map(Arc::new)
        .collect();
        let told = |rule: u32, transaction, failed, check| inspect::Candidate {
            rule: Arc::clone(&rules[rule as usize]),
            explained: engine::Explained { rule, transaction, failed, check },
            direction: Direction::ToServer,
        };
        let condition = |at| Some(engine::Failed::Condition(at));
        let all = [
            told(0, Some(3), condition(0), Some(0)),
            told(0, Some(3), condition(1), None),
            told(0, Some(4), condition(1), None),
            told(1, None, Some(engine::Failed::Ports), None),
            told(1, None, None, None),
        ];
        let mut shown = Candidates::new(9, Some(&all));
        (shown.inspector, shown.reason) = (Some("dropped"), Some("signature".to_owned()));
        let expected = "\
rules       3 of 9 were candidates, 1 matched
  1:1 rev 0 alert \"a\"
      to_server, transaction 3: `content:\"/x\"` does not hold in `http.uri`
  1:1 rev 0 alert \"a\"
      to_server, transaction 4: `content:\"y\"` does not hold: there is no `http.host` yet
  1:2 rev 7 drop \"b\"
      to_server: matched
inspector   dropped (signature)
";
        assert_eq!(shown.to_string(), expected);
        let json = serde_json::to_value(&shown).unwrap();
        assert_eq!(
            json["candidates"][0]["failed"],
            serde_json::json!({"keyword": "content", "says": "content:\"/x\"", "buffer": "http.uri"})
        );
        assert!(Candidates::new(9, None).to_string().contains("none of 9 was asked"));
    }
}
