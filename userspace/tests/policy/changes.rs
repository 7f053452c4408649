//! What a push would change.

use std::path::Path;

use dropgate::policy::{self, Environment, Ids, Policy, Source, compile};

const OLD: &str = r#"
[gateway]
kind = "masquerade"
outside = ["wan0"]

[zone.office]
interface = "lan0"
prefixes = ["10.10.0.0/24"]

[[zone.office.egress]]
name = "web"
tcp = [80, 443]

[[zone.office.egress]]
name = "mail"
tcp = [587]

[[zone.office.egress]]
name = "dns"
udp = [53]

[zone.iot]
interface = "lan1"
prefixes = ["10.20.0.0/24"]

[[zone.iot.egress]]
name = "web"
tcp = [443]
"#;

fn parse(text: &str) -> Policy {
    policy::parse(Source::new("policy.toml", text), Path::new(".")).0.expect("no errors")
}

#[test]
fn a_diff_speaks_of_meaning() {
    let old = parse(OLD);
    let moved = format!("# a comment\n\n{}", OLD.replace("[80, 443]", "[443, \"80\"]"));
    assert!(policy::diff(&old, &parse(&moved)).is_empty());

    let new = OLD
        .replace("tcp = [80, 443]", "tcp = [443]\nexcept = [\"203.0.113.0/24\"]")
        .replace("kind = \"masquerade\"", "kind = \"route\"\nadopt = \"0s\"")
        .replace("name = \"mail\"\ntcp = [587]", "name = \"dns\"\nudp = [53]")
        .replace("[[zone.office.egress]]\nname = \"dns\"\nudp = [53]\n\n[zone.iot]", "[zone.iot]")
        .replace("interface = \"lan1\"", "interface = \"lan2\"\nvlan = 7")
        .replace("[zone.iot]", "[zone.guests]")
        .replace("[[zone.iot.egress]]", "[[zone.guests.egress]]");
    let diff = policy::diff(&old, &parse(&new));
    let expected = "\
~ gateway adopt: 1m -> 0s
~ gateway kind: masquerade -> route
+ zone guests: interface lan2, vlan 7, prefixes 10.20.0.0/24
- zone iot: interface lan1, prefixes 10.20.0.0/24
+ service guests/web: tcp 443 to any
~ service office/web: tcp 80, 443 to any -> tcp 443 to any except 203.0.113.0/24
- service iot/web: tcp 443 to any
- service office/mail: tcp 587 to any
";
    assert_eq!(diff.to_string(), expected);
}

#[test]
fn a_diff_tells_of_inspection() {
    let inspecting = format!("{OLD}\n[inspection]\nunknown = \"drop\"\n");
    let begun = policy::diff(&parse(OLD), &parse(&inspecting)).to_string();
    assert!(begun.contains("+ setting inspection.unknown: drop\n"), "{begun}");
    assert!(begun.contains("+ setting failure.inspector: drop\n"), "{begun}");
    let new = inspecting
        .replace("unknown = \"drop\"", "unknown = \"reset\"\nmemory = \"1MiB\"\n\n[failure]\ncredits = \"pass\"")
        .replace("tcp = [587]", "tcp = [587]\nexpect = [\"tls\", \"smtp\"]")
        .replace("udp = [53]", "udp = [53]\ninspect = false")
        .replace("[80, 443]", "[80, 443]\nexpect = \"any\"\nproxied = \"alert\"");
    let expected = "\
~ service office/dns: udp 53 to any -> udp 53 to any, not inspected
~ service office/mail: tcp 587 to any -> tcp 587 to any, expect smtp, tls
~ service office/web: tcp 80, 443 to any -> tcp 80, 443 to any, expect any, proxied alert
~ setting failure.credits: drop -> pass
~ setting inspection.memory: 67108864 bytes -> 1048576 bytes
~ setting inspection.unknown: drop -> reset
";
    assert_eq!(policy::diff(&parse(&inspecting), &parse(&new)).to_string(), expected);
}

#[test]
fn a_diff_tells_of_events_and_signatures() {
    let old = format!("{OLD}\n[inspection]\n\n[signatures]\n");
    let new = old.replace("[signatures]", "[signatures]\naction_order = [\"drop\", \"pass\", \"reject\", \"alert\"]");
    let new = new + "\n[events]\nverdict = false\ncommunity_id = true\ncommunity_id_seed = 7\n";
    let expected = "\
~ setting events.community_id: false -> true, seed 7
~ setting events.verdict: true -> false
~ setting signatures.action_order: pass, drop, reject, alert -> drop, pass, reject, alert
";
    assert_eq!(policy::diff(&parse(&old), &parse(&new)).to_string(), expected);
}

#[test]
fn a_diff_tells_of_lines_that_no_packet_reaches() {
    let new = OLD.replace("tcp = [587]", "tcp = [443]\nto = [\"203.0.113.0/24\"]");
    let expected = "\
~ service office/mail: tcp 587 to any -> tcp 443 to 203.0.113.0/24
+ finding office/mail: DG052 no packet reaches `mail`: `web` takes them all
";
    assert_eq!(policy::diff(&parse(OLD), &parse(&new)).to_string(), expected);
    let gone = policy::diff(&parse(&new), &parse(OLD)).to_string();
    assert!(gone.contains("- finding office/mail: DG052"), "{gone}");
}

#[test]
fn a_change_of_order_is_a_change() {
    let new = OLD.replace("\"mail\"\ntcp = [587]", "\"x\"\nudp = [53]");
    let new = new.replace("\"dns\"\nudp = [53]", "\"mail\"\ntcp = [587]").replace("\"x\"", "\"dns\"");
    let diff = policy::diff(&parse(OLD), &parse(&new));
    assert_eq!(diff.to_string(), "~ order office: web, mail, dns -> web, dns, mail\n");
}

#[test]
fn numbers_stay_over_pushes() {
    let (old, new) =
        (parse(OLD), parse(&OLD.replace("[zone.iot]", "[zone.guests]").replace("[[zone.iot.", "[[zone.guests.")));
    let mut ids = Ids::default();
    let compile = |policy: &Policy, ids: &mut Ids| {
        compile::compile(policy, &Environment::synthetic(policy), ids).expect("it fits")
    };
    let first = compile(&old, &mut ids);
    let second = compile(&new, &mut ids);
    let number = |image: &policy::Image, zone: &str| {
        image.names.zones.iter().find(|(_, name)| *name == zone).map(|(number, _)| *number)
    };
    assert_eq!(number(&first, "office"), number(&second, "office"));
    assert_eq!(number(&second, "iot"), None);
    assert_ne!(number(&first, "iot"), number(&second, "guests"));
    let kept = serde_json::to_string(&ids).expect("numbers can be kept");
    let mut ids: Ids = serde_json::from_str(&kept).expect("and read again");
    let third = compile(&old, &mut ids);
    assert_eq!(first.names, third.names);
    assert!(third.reused_services.is_empty() && third.reused_zones.is_empty());
}
