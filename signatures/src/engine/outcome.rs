//! From what has matched to alerts and a verdict.

use super::{
    Alert, Outcome, Verdict,
    round::{Match, Round},
    threshold::{Told, told},
};
use crate::rule::{Action, Effect};

/// Tells what has matched, in the order of rules, and what becomes of the packet: what the first one says that drops, rejects or passes.
/// Behind one that passes nothing is told.
pub fn conclude(round: &mut Round<'_>, out: &mut Outcome) {
    let mut matches = std::mem::take(&mut round.scratch.matches);
    let mut bypass = false;
    matches.sort_unstable();
    matches.dedup_by_key(|matched| (matched.rule, matched.transaction, matched.back));
    for Match { rule: number, transaction, back, in_stream } in &matches {
        let packet = if *back { round.subject.packet.reversed() } else { round.subject.packet };
        let compiled = round.compiled(*number);
        let rule = &compiled.rule;
        let of_flow = round.subject.flow.is_some() && compiled.kind.is_of_flow(*in_stream);
        let told = told(rule, &packet, round.flow, round.shared, round.subject.now_ns);
        if told == Told::No {
            continue;
        }
        bypass |= round.subject.flow.is_some() && rule.effects.contains(&Effect::Bypass);
        if rule.action == Action::Pass {
            if out.verdict == Verdict::Continue {
                out.verdict = Verdict::Pass(of_flow);
            }
            break;
        }
        out.verdict = stricter(out.verdict, rule.action, of_flow);
        if rule.action.blocks() {
            out.dropped_by.get_or_insert(*number);
        }
        if !rule.noalert {
            let silent = told == Told::Silent;
            let (transaction, in_stream, direction) = (*transaction, *in_stream, packet.direction);
            out.alerts.push(Alert { rule: rule.clone(), transaction, in_stream, direction, silent });
        }
    }
    round.scratch.matches = matches;
    if matches!(out.verdict, Verdict::Pass(true) | Verdict::Drop(true) | Verdict::Reject(_, true)) {
        round.flow.verdict = out.verdict;
    }
    round.flow.bypassed |= bypass;
    if bypass && matches!(out.verdict, Verdict::Continue | Verdict::Pass(false)) {
        // what was found is told; what the flow says from here on is not looked at
        round.flow.verdict = Verdict::Pass(true);
    }
    out.captured.append(&mut round.scratch.packet_variables);
    round.scratch.limited.sort_unstable();
    round.scratch.limited.dedup();
    out.limited.extend_from_slice(&round.scratch.limited);
}

/// What comes of one more match. A drop of the flow is never made one of the packet alone.
const fn stricter(so_far: Verdict, action: Action, of_flow: bool) -> Verdict {
    match (so_far, action) {
        (Verdict::Continue, Action::Drop) => Verdict::Drop(of_flow),
        (Verdict::Continue, Action::Reject(ends)) => Verdict::Reject(ends, of_flow),
        (Verdict::Drop(flow), Action::Drop) => Verdict::Drop(flow || of_flow),
        // who is rejected is told, also if another rule drops
        (Verdict::Drop(flow), Action::Reject(ends)) => Verdict::Reject(ends, flow || of_flow),
        (Verdict::Reject(ends, flow), Action::Drop | Action::Reject(_)) => Verdict::Reject(ends, flow || of_flow),
        _ => so_far,
    }
}
