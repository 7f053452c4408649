//! One packet, and what each stage said to it.

use std::sync::Arc;

use super::{
    candidates::Candidates,
    inspection::Inspection,
    related::Related,
    replay::{ends, verdict},
    text::{self, protocol},
};
use crate::events::Names;
use dropgate_abi::{
    policy::side,
    reason::{Reason, Stage},
    tunnel::{inside, kind},
    walk::{Walk, action, found, hook, parsed},
};
use serde::Serialize;

/// The text of the policy file in force, to show the line that decided.
#[derive(Clone, Debug, Default)]
pub struct PolicyText {
    /// As it was named.
    pub path: String,
    pub text: String,
}

impl PolicyText {
    /// A line, counted from 1, without the blanks around it.
    pub fn line(&self, number: u32) -> Option<&str> {
        let at = usize::try_from(number).ok()?.checked_sub(1)?;
        self.text.lines().nth(at).map(str::trim)
    }
}

/// What was said to a packet.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// One line about the packet.
    pub packet: String,
    pub action: &'static str,
    pub reason: &'static str,
    pub meaning: &'static str,
    /// ATT&CK technique.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub attack: &'static str,
    pub stage: &'static str,
    pub generation: u32,
    pub zone: Option<Arc<str>>,
    pub peer: Option<Arc<str>>,
    pub service: Option<Arc<str>>,
    pub policy: Option<PolicyLine>,
    pub flow: Option<u64>,
    /// What inspection has to do with it; left out where nothing has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inspection: Option<Inspection>,
    /// What another flow has announced about this packet's; left out where that decides nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub related: Option<Related>,
    pub stages: Vec<StageAnswer>,
    /// What rules had to do with it; left out where there are none, or no capture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules: Option<Candidates>,
    /// What carried the packet, if it was found in a tunnel: judged before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outer: Option<Box<Explanation>>,
}

/// The line that decided.
#[derive(Clone, Debug, Serialize)]
pub struct PolicyLine {
    pub file: String,
    pub line: u32,
    pub text: String,
}

/// One stage's answer.
#[derive(Clone, Debug, Serialize)]
pub struct StageAnswer {
    pub stage: &'static str,
    /// `false`: an earlier stage had decided.
    pub reached: bool,
    /// This one decided.
    pub decided: bool,
    pub answer: String,
}

/// Explains a walk, with what inspection and other flows have to do with it.
pub fn explain(
    walk: &Walk,
    names: &Names,
    policy: Option<&PolicyText>,
    (inspection, related): (Option<Inspection>, Option<Related>),
) -> Explanation {
    let info = walk.reason.info();
    let decided = info.map(|info| info.stage);
    // what the policy allows, the state stage has still to agree to: it has, if there is a flow
    let kept = walk.action == action::PASS && walk.flow_id != 0 && decided == Some(Stage::Policy);
    let stages = Stage::ALL
        .into_iter()
        // of flows that are not inspected it has nothing to say
        .filter(|stage| *stage != Stage::Content || decided == Some(Stage::Content) || inspection.is_some())
        .filter(|stage| *stage != Stage::Tunnel || decided == Some(Stage::Tunnel) || walk.inside != 0)
        .map(|stage| {
            let last = stage == Stage::Verdict;
            let reached = last || kept && stage == Stage::State || decided.is_none_or(|decided| stage <= decided);
            let decides = decided == Some(stage);
            let answer = match (reached, decides && !last) {
                (false, _) => "not reached".to_owned(),
                (true, true) => {
                    let found =
                        if stage == Stage::Policy { passed_on(stage, walk, names) + "; " } else { String::new() };
                    format!("{found}{}: {}", walk.reason.name(), info.map_or("", |info| info.meaning))
                }
                (true, false) => passed_on(stage, walk, names),
            };
            let (reached, answer) = match &inspection {
                Some(inspection) if stage == Stage::Content => (true, inspection.to_string()),
                _ => (reached, answer),
            };
            let answer = match &related {
                Some(related) if stage == Stage::Policy && reached => format!("{answer}; {related}"),
                _ => answer,
            };
            StageAnswer { stage: stage.name(), reached, decided: decides, answer }
        })
        .collect();
    let service = names.service(walk.service);
    let line = if walk.line != 0 { Some(walk.line) } else { service.map(|service| service.line) };
    Explanation {
        packet: packet(walk),
        action: verdict(walk),
        reason: walk.reason.name(),
        meaning: info.map_or("a reason this version does not know", |info| info.meaning),
        attack: info.map_or("", |info| info.attack),
        stage: decided.map_or("unknown", Stage::name),
        generation: walk.generation,
        zone: names.zone(walk.zone),
        peer: names.zone(walk.peer),
        service: service.map(|service| service.name.clone()),
        policy: line.map(|line| PolicyLine {
            file: policy.map(|policy| policy.path.clone()).unwrap_or_default(),
            line,
            text: policy.and_then(|policy| policy.line(line)).unwrap_or_default().to_owned(),
        }),
        flow: (walk.flow_id != 0).then_some(walk.flow_id),
        inspection,
        related,
        stages,
        rules: None,
        outer: None,
    }
}

/// What was said to a packet that carries the one that was asked about, by its service: its walk ends with another packet's verdict.
pub fn explain_outer(walk: &Walk, names: &Names, policy: Option<&PolicyText>) -> Explanation {
    let carries = Walk { reason: Reason::default(), action: action::INSIDE, ..*walk };
    let explained = explain(&carries, names, policy, (None, None));
    let meaning = "the packet inside decides";
    let stages = explained.stages.into_iter().filter(|stage| stage.stage != Stage::Verdict.name()).collect();
    Explanation { action: "judge", reason: "", meaning, stage: Stage::Tunnel.name(), stages, ..explained }
}

fn packet(walk: &Walk) -> String {
    if walk.ethertype == 0 {
        return format!("a frame of {} bytes", walk.frame_len);
    }
    if walk.family == 0 {
        return format!("{}, {} bytes", text::ethertype(walk.ethertype), walk.frame_len);
    }
    let (from, to) = ends(walk);
    let tunnel = match (walk.tunnel, walk.network) {
        (0, _) => String::new(),
        (tunnel, 0) => format!(" in {}", kind::name(tunnel)),
        (tunnel, network) => format!(" in {} {network}", kind::name(tunnel)),
    };
    let more = match walk.protocol {
        6 if walk.l4 != 0 => format!(" {}", flags(walk.tcp_flags)),
        1 | 58 if walk.l4 != 0 => format!(" type {} code {}", walk.icmp_type, walk.icmp_code),
        _ => String::new(),
    };
    format!("{}{more} {from} -> {to}{tunnel}", protocol(walk.protocol))
}

fn flags(byte: u8) -> String {
    const NAMES: [&str; 8] = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];
    let set: Vec<&str> =
        NAMES.iter().enumerate().filter(|(bit, _)| byte & (1 << bit) != 0).map(|(_, name)| *name).collect();
    if set.is_empty() { "no flags".into() } else { set.join("+") }
}

/// What a stage found that did not decide.
fn passed_on(stage: Stage, walk: &Walk, names: &Names) -> String {
    match stage {
        Stage::Frame => {
            let tags: Vec<String> = walk.vlan.iter().filter(|id| **id != 0).map(u16::to_string).collect();
            let tags = if tags.is_empty() { "untagged".into() } else { format!("VLAN {}", tags.join(" in ")) };
            format!("{}, {tags}", text::ethertype(walk.ethertype))
        }
        Stage::Parse => format!("{}, {} bytes, hop limit {}", packet(walk), walk.ip_len, walk.ttl),
        Stage::Ingress => ingress(walk, names),
        Stage::Anomaly => "nothing odd".into(),
        Stage::Fragment if walk.parsed & parsed::FRAGMENT == 0 => "not a fragment".into(),
        Stage::Fragment => format!("fragment at {}, {} bytes", walk.fragment_offset, walk.fragment_len),
        Stage::Flow => match walk.found {
            found::NOT_ASKED => "not asked",
            found::MISS => "belongs to no flow",
            found::HIT | found::DUE => "belongs to a live flow",
            found::OLDER => "belongs to a flow of an older generation: judged again",
            found::REUSED => "the tuple of a closed flow, used again",
            _ => "an answer this version does not know",
        }
        .into(),
        Stage::Zone => match names.zone(walk.zone) {
            Some(zone) => format!("source in zone `{zone}`"),
            None => "source in no zone".into(),
        },
        Stage::Policy => {
            let peer = names.zone(walk.peer).unwrap_or_else(|| "none".into());
            match names.service(walk.service) {
                Some(service) => format!("to `{peer}` by service `{}` of `{}`", service.name, service.zone),
                None => format!("to `{peer}`"),
            }
        }
        Stage::State => if walk.flow_id != 0 { "keeps a flow" } else { "nothing to keep" }.into(),
        Stage::Content => "not inspected".into(),
        Stage::Tunnel => match walk.inside {
            inside::JUDGE => "what is inside is judged as a packet of its own",
            inside::OPAQUE => "what is inside passes unread, as the policy says",
            _ => "what is inside is dropped",
        }
        .into(),
        Stage::Verdict => format!("{} ({}){}", verdict(walk), walk.reason.name(), onward(walk, names)),
    }
}

/// Where a packet goes on that passes, if the programs say so.
fn onward(walk: &Walk, names: &Names) -> String {
    let name = |index: u32| names.interface(index).unwrap_or_else(|| format!("interface {index}").into());
    match (walk.action, walk.onward) {
        (action::PASS | action::HOLD, index) if index != 0 => format!(", goes on by `{}`", name(index)),
        _ => String::new(),
    }
}

fn ingress(walk: &Walk, names: &Names) -> String {
    let name = |index: u32| names.interface(index).unwrap_or_else(|| "nowhere".into());
    let side = match walk.side_kind {
        side::ZONE => "a zone's side",
        side::OUTSIDE => "the outside",
        side::DEVICE => "a device without a side of its own",
        _ => "a side this version does not know",
    };
    if walk.hook == hook::EGRESS {
        let from =
            if walk.from_ifindex == 0 { "the gateway itself".into() } else { format!("`{}`", name(walk.from_ifindex)) };
        format!("leaves by `{}`, from {from}: {side}", name(walk.port as u32))
    } else {
        format!("comes in by `{}`: {side}", name(walk.port as u32))
    }
}

impl Explanation {
    fn stages(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for stage in &self.stages {
            let mark = if stage.decided { "*" } else { " " };
            writeln!(f, "{mark} {:<9} {}", stage.stage, stage.answer)?;
        }
        Ok(())
    }

    fn line(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.policy {
            Some(at) => {
                let text = if at.text.is_empty() { String::new() } else { format!(": {}", text::clean(&at.text)) };
                writeln!(f, "policy      {}:{}{text}", at.file, at.line)
            }
            None => writeln!(f, "policy      no line"),
        }
    }
}

impl std::fmt::Display for Explanation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(outer) = &self.outer {
            writeln!(f, "carried by {}", outer.packet)?;
            writeln!(f)?;
            outer.stages(f)?;
            outer.line(f)?;
            writeln!(f)?;
        }
        writeln!(f, "{}", self.packet)?;
        writeln!(f)?;
        self.stages(f)?;
        writeln!(f)?;
        writeln!(f, "verdict     {}: {}", self.action, self.meaning)?;
        writeln!(f, "reason      {} (stage {})", self.reason, self.stage)?;
        if !self.attack.is_empty() {
            writeln!(f, "technique   {}", self.attack)?;
        }
        self.line(f)?;
        if let Some(service) = &self.service {
            writeln!(f, "service     {service}")?;
        }
        if let Some(zone) = &self.zone {
            writeln!(f, "zone        {zone} -> {}", self.peer.as_deref().unwrap_or("-"))?;
        }
        writeln!(f, "generation  {}", self.generation)?;
        self.rules.as_ref().map_or(Ok(()), |rules| write!(f, "{rules}"))
    }
}

/// Whether the packet would go on: the answer that the exit code of `explain` does not give, since 0 means it was answered.
pub fn passes(walk: &Walk) -> bool {
    matches!(walk.action, action::PASS | action::HOLD)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::ServiceName;
    use dropgate_abi::{policy::ZONE_OUTSIDE, reason::Reason, tuple::V4};

    fn names() -> Names {
        let mut names = Names::default();
        names.zones.insert(16, "office".into());
        names.interfaces.insert(2, "lan0".into());
        names
            .services
            .insert(1, ServiceName { zone: "office".into(), name: "web".into(), line: 2, ..ServiceName::default() });
        names
    }

    fn walk() -> Walk {
        Walk {
            frame_len: 54,
            ethertype: 0x0800,
            l4: 34,
            family: V4,
            protocol: 6,
            tcp_flags: 2,
            src: text::abi_address("10.10.0.5".parse().unwrap()).1,
            dst: text::abi_address("203.0.113.9".parse().unwrap()).1,
            sport: 49152,
            dport: 8088,
            ttl: 64,
            port: 2,
            found: found::MISS,
            zone: 16,
            peer: ZONE_OUTSIDE,
            service: u32::MAX,
            generation: 7,
            reason: Reason::not_allowed,
            action: action::DROP,
            ..Walk::default()
        }
    }

    #[test]
    fn a_denial_names_the_stage_and_what_came_before() {
        let explanation = explain(&walk(), &names(), None, (None, None));
        let text = explanation.to_string();
        for part in [
            "TCP SYN 10.10.0.5:49152 -> 203.0.113.9:8088",
            "  ingress   comes in by `lan0`: a zone's side",
            "  flow      belongs to no flow",
            "  zone      source in zone `office`",
            "* policy    to `outside`; not_allowed: no service of the zone allows it",
            "  state     not reached",
            "  verdict   drop (not_allowed)",
            "policy      no line",
            "zone        office -> outside",
            "generation  7",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
    }

    #[test]
    fn an_allowance_shows_its_line() {
        let policy = PolicyText { path: "p.toml".into(), text: "a\n  name = \"web\"\n".into() };
        let allowed = Walk { reason: Reason::allowed, action: action::PASS, service: 1, line: 2, flow_id: 9, ..walk() };
        let text = explain(&allowed, &names(), Some(&policy), (None, None)).to_string();
        assert!(text.contains("policy      p.toml:2: name = \"web\""), "{text}");
        assert!(text.contains("to `outside` by service `web` of `office`"), "{text}");
        let far = Walk { line: 99, ..allowed };
        assert!(explain(&far, &names(), Some(&policy), (None, None)).to_string().contains("p.toml:99\n"));
    }

    #[test]
    fn numbers_nobody_knows_do_not_panic() {
        let odd = Walk { reason: Reason(9999), found: 77, side_kind: 9, family: 3, action: 9, ..walk() };
        let text = explain(&odd, &names(), None, (None, None)).to_string();
        assert!(text.contains("a reason this version does not know"), "{text}");
    }
}
