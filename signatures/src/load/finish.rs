//! From a draft to a rule: what must hold of the rule as a whole.

use std::sync::Arc;

use super::{
    classes::DEFAULT_PRIORITY,
    draft::{Draft, Item, List, Slot},
    form::adapt,
    mistake::Mistake,
};
use crate::{
    buffer::Way,
    codes,
    engine::is_of_transaction,
    protocol::App,
    rule::{
        Action, Arrow, Check, Condition, Content, FastPattern, Inspect, Number, NumberTest, Options, PacketTest,
        Protocol, Rule, Selected, Size, Value,
    },
    subject::Direction,
};

/// Where a rule stands.
pub(super) struct Standing {
    pub file: Arc<str>,
    pub line: u32,
    pub text: Arc<str>,
    pub action: Action,
}

/// A keyword that a mistake of the whole rule is about, and the mistake.
pub(super) type Whole = (&'static str, Mistake);

/// Makes a rule of what its keywords said.
pub(super) fn finish(mut draft: Draft<'_>, standing: Standing) -> Result<Rule, Vec<Whole>> {
    let mut wrong = Vec::new();
    if let Err(mistake) = draft.close() {
        wrong.push(("content", mistake));
    }
    for list in &mut draft.lists {
        adapt(list).unwrap_or_else(|mistake| wrong.push(("content", mistake)));
    }
    for list in &draft.lists {
        let room = list.items.iter().filter_map(|item| most_of_size(&item.check)).min();
        wrong.extend(too_large(list, room).map(|mistake| ("bsize", mistake)));
        let room = draft.slots.iter().filter_map(most_of_payload).min().filter(|_| list.selected == Selected::Payload);
        wrong.extend(too_large(list, room).map(|mistake| ("dsize", mistake)));
    }
    wrong.extend(behind_base64(&draft).map(|mistake| ("base64_data", mistake)));
    wrong.extend(draft.lists.iter().find_map(besides_absent).map(|mistake| ("absent", mistake)));
    directions(&mut draft).unwrap_or_else(|mistake| wrong.push(("flow", mistake)));
    wrong.extend(packets(&draft));
    let sid = draft.sid.unwrap_or_else(|| {
        let mistake = Mistake::new(&codes::NO_SID, "the rule has no `sid`").help("every rule has a number of its own");
        wrong.push(("sid", mistake.follows()));
        0
    });
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let apps = apps(&draft);
    let Conditions { conditions, options, fast_pattern } = conditions(&mut draft);
    let class = draft.class;
    let priority = draft.priority.or(class.as_ref().map(|class| class.priority)).unwrap_or(DEFAULT_PRIORITY);
    Ok(Rule {
        gid: draft.gid.unwrap_or(1),
        sid,
        rev: draft.rev.unwrap_or(0),
        action: standing.action,
        header: draft.header.clone(),
        apps,
        message: draft.message.unwrap_or_else(|| "".into()),
        class,
        priority,
        metadata: draft.metadata,
        references: draft.references,
        target: draft.target,
        noalert: draft.noalert,
        flow: draft.flow.unwrap_or_default(),
        conditions,
        options,
        effects: draft.effects,
        threshold: draft.threshold,
        detection: draft.detection,
        suppress: Vec::new(),
        fast_pattern,
        line: standing.line,
        file: standing.file,
        text: standing.text,
    })
}

/// What must be spoken, by header and keywords: the narrower of both.
fn apps(draft: &Draft<'_>) -> Vec<App> {
    let header = match draft.header.protocol {
        Protocol::App(app) => Some(app),
        _ => None,
    };
    match (header, draft.apps) {
        (None, None) => Vec::new(),
        (None, Some(apps)) => apps.to_vec(),
        (Some(App::Http), Some([App::Http1])) => vec![App::Http1],
        (Some(App::Http), Some([App::Http2])) => vec![App::Http2],
        (Some(app), _) => vec![app],
    }
}

/// A rule has one direction, unless it is about both of a transaction.
fn directions(draft: &mut Draft<'_>) -> Result<(), Mistake> {
    let flow = draft.flow.unwrap_or_default();
    let both = draft.header.arrow == Arrow::Transaction;
    let (mut to_server, mut to_client) = (None, None);
    for list in &draft.lists {
        let (Selected::Buffer(buffer), Some(item)) = (&list.selected, list.items.first()) else { continue };
        let (slot, other) = match (buffer.way(), list.toward) {
            (Way::ToServer, _) | (Way::Both, Some(Direction::ToServer)) => (&mut to_server, flow.to_client),
            (Way::ToClient, _) | (Way::Both, Some(Direction::ToClient)) => (&mut to_client, flow.to_server),
            (Way::Both, None) if both => {
                let name = buffer.name();
                let message = format!("either end may have `{name}`, and the rule does not say which");
                let help = format!("`{name}:to_client` or `{name}:to_server`");
                return Err(Mistake::new(&codes::BUFFER, message).at(item.span.clone()).help(help));
            }
            (Way::Both, None) => continue,
        };
        slot.get_or_insert((*buffer, item.span.clone()));
        if other && !both {
            let said = if flow.to_client { "to_client" } else { "to_server" };
            let message = format!("`{}` is never said `{said}`", buffer.name());
            return Err(Mistake::new(&codes::BUFFER, message).at(item.span.clone()));
        }
    }
    if both {
        if flow.to_client || flow.to_server {
            return Err(Mistake::new(&codes::CONFLICT, "`=>` is about both directions, and `flow` names one"));
        }
        // what is no buffer may be of either
        let others = |slot: &Slot| matches!(slot, Slot::Condition(condition, _) if is_of_transaction(condition));
        if (to_server.is_none() || to_client.is_none()) && !draft.slots.iter().any(others) {
            let message = "`=>` is about both directions of a transaction, and the rule asks nothing of one of them";
            return Err(Mistake::new(&codes::CONFLICT, message));
        }
        return Ok(());
    }
    if let (Some((a, _)), Some((b, at))) = (&to_server, &to_client) {
        let message = format!("`{}` and `{}` are of different directions", a.name(), b.name());
        let mistake = Mistake::new(&codes::BUFFER, message).at(at.clone());
        return Err(mistake.help("a rule with `=>` looks at both directions of a transaction"));
    }
    // keywords of one direction make the rule one of that direction
    let flow = draft.flow.get_or_insert_default();
    flow.to_server |= to_server.is_some() || draft.implied == Some(Way::ToServer);
    flow.to_client |= to_client.is_some() || draft.implied == Some(Way::ToClient);
    Ok(())
}

/// What only a packet has is not asked of transactions, nor of the stream alone.
fn packets(draft: &Draft<'_>) -> Option<Whole> {
    let keyword = draft.packet_keyword?;
    let stream = draft.header.protocol == Protocol::TcpStream || draft.flow.is_some_and(|flow| flow.only_stream);
    let buffer = draft.lists.iter().find_map(|list| match &list.selected {
        Selected::Buffer(buffer) if !list.items.is_empty() => Some(buffer.name()),
        _ => None,
    });
    let other = buffer.or_else(|| stream.then_some("tcp-stream"))?;
    let message = format!("`{keyword}` is about one packet, and `{other}` about what a conversation says");
    Some((keyword, Mistake::new(&codes::CONFLICT, message)))
}

/// Nothing is looked for in other buffers once `base64_data` was selected.
fn behind_base64(draft: &Draft<'_>) -> Option<Mistake> {
    let first = |list: &List| list.items.first().map(|item| item.order);
    let decoded = draft.lists.iter().find(|list| list.selected == Selected::Base64).and_then(first)?;
    let after = draft
        .lists
        .iter()
        .find(|list| !matches!(list.selected, Selected::Base64) && first(list).is_some_and(|order| order > decoded))?;
    let at = after.items.first()?.span.clone();
    Some(Mistake::new(&codes::CONFLICT, "another buffer behind `base64_data`").at(at))
}

/// What is absent holds nothing; what may be absent must be asked something otherwise.
fn besides_absent(list: &List) -> Option<Mistake> {
    let absent = |item: &Item| matches!(item.check, Check::Absent(_));
    let item = list.items.iter().find(|item| absent(item))?;
    let others = list.items.iter().any(|item| !absent(item));
    let message = match item.check {
        Check::Absent(false) if others => "what is absent holds nothing; `absent: or_else` lets it be either",
        Check::Absent(true) if !others => "`absent: or_else`, and nothing else is asked of the buffer",
        _ => return None,
    };
    Some(Mistake::new(&codes::CONFLICT, message).at(item.span.clone()))
}

/// The largest size that a buffer may have by one of its checks.
fn most_of_size(check: &Check) -> Option<i64> {
    match check {
        Check::Size(Size::Equal(Value::Number(size)) | Size::LessOrEqual(Value::Number(size))) => Some(*size),
        Check::Size(Size::Less(Value::Number(size))) => Some(size - 1),
        Check::Size(Size::Between(_, high)) => Some(*high as i64 - 1),
        _ => None,
    }
}

/// The largest size that a payload may have by `dsize`.
fn most_of_payload(slot: &Slot) -> Option<i64> {
    let Slot::Condition(Condition::Packet(PacketTest::Number(Number::PayloadSize, test)), _) = slot else {
        return None;
    };
    match test {
        NumberTest::Equal(size) | NumberTest::LessOrEqual(size) => Some(*size as i64),
        NumberTest::Less(size) | NumberTest::Between(_, size) => Some(*size as i64 - 1),
        _ => None,
    }
}

/// The content of a list that does not fit in so many bytes.
fn too_large(list: &List, room: Option<i64>) -> Option<Mistake> {
    let room = room?;
    let ends = list.items.iter().filter_map(|item| match &item.check {
        Check::Content(content) if !content.negated => Some((needed(content), item.span.clone())),
        _ => None,
    });
    let (needed, at) = ends.max_by_key(|(needed, _)| *needed).filter(|(needed, _)| *needed > room)?;
    let message = format!("where there are at most {room} bytes, no content ends behind {needed}");
    Some(Mistake::new(&codes::IMPOSSIBLE, message).at(at))
}

/// Least size of a buffer that a content is in.
fn needed(content: &Content) -> i64 {
    let offset = match content.place.offset {
        Some(Value::Number(offset)) => offset,
        _ => 0,
    };
    offset + content.bytes.len() as i64
}

/// See the fields of [`Rule`].
struct Conditions {
    conditions: Vec<Condition>,
    options: Options,
    fast_pattern: Option<FastPattern>,
}

/// The conditions in order, lists that nothing is in left out, and the content that `fast_pattern` names.
fn conditions(draft: &mut Draft<'_>) -> Conditions {
    let fast = draft.fast_pattern.take();
    let mut fast_pattern = None;
    let mut conditions = Vec::with_capacity(draft.slots.len());
    let mut options = Vec::with_capacity(draft.slots.len());
    for slot in std::mem::take(&mut draft.slots) {
        let list = match slot {
            Slot::Condition(condition, setting) => {
                options.push((conditions.len() as u16, 0, setting));
                conditions.push(condition);
                continue;
            }
            Slot::List(list) => &mut draft.lists[list],
        };
        if list.items.is_empty() {
            continue;
        }
        if let Some(fast) = &fast
            && let Some(check) = list.items.iter().position(|item| item.order == fast.order)
        {
            fast_pattern = Some(FastPattern { condition: conditions.len(), check, only: fast.only, chop: fast.chop });
        }
        let checks = list.items.iter().enumerate();
        options.extend(checks.map(|(check, item)| (conditions.len() as u16, check as u16, item.setting)));
        conditions.push(Condition::Inspect(Inspect {
            selected: list.selected.clone(),
            toward: list.toward,
            transforms: std::mem::take(&mut list.transforms),
            checks: std::mem::take(&mut list.items).into_iter().map(|item| item.check).collect(),
        }));
    }
    Conditions { conditions, options: Options(options.into()), fast_pattern }
}
