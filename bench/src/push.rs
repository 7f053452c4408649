//! Pushes under load: when a push takes hold, and whether every packet sent after `apply` has returned is judged by it.
//!
//! Two policies that differ in whether the probes' service is allowed are pushed in turn while other flows pass. A probe that
//! was sent after `apply` had returned and before the next push was asked for has only one right verdict; any other is a
//! violation, and fails the command.

use std::{
    fmt::{self, Write as _},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use dropgate_lab::wait_until;
use serde::Serialize;

use crate::{
    daemon::Daemon,
    forward::{self, Gate, Load},
    packet::{Own, PROBES},
    probe::{self, Content, Paced, Sent},
    report,
    stats::Target,
};

/// Probes a second, and packets a second beside them.
const RATE: f64 = 2000.0;
const BESIDE: f64 = 50_000.0;
/// The port that is allowed and denied in turn.
const PORT: u16 = 7777;
/// Between two pushes: probes are seen to be judged by the first.
const PAUSE: Duration = Duration::from_millis(4);
/// Before the next push is asked for, probes count no more: one that is still under way may meet it.
const GUARD_NS: u64 = 1_000_000;
const LIMIT: Duration = Duration::from_secs(20);

/// What many pushes were like. Times in milliseconds: median, 90th, 99th, 99.9th percentile, and the longest.
#[derive(Clone, Debug, Serialize)]
pub struct Push {
    pub pushes: usize,
    pub probes_a_second: f64,
    pub beside_a_second: f64,
    /// `apply`, from the request to the answer.
    pub apply_ms: [f64; 5],
    /// From the request to the first probe sent that was judged anew.
    pub judged_ms: [f64; 5],
    /// Probes sent between an answer and the next request, and those of them with the wrong verdict.
    pub probes: u64,
    pub violations: u64,
    pub beside_lost: f64,
    pub targets: Vec<Target>,
}

/// One push: asked for, answered (ns), and whether probes are allowed from then on.
struct Pushed {
    asked: u64,
    answered: u64,
    allowed: bool,
}

/// Pushes `pushes` times.
pub fn run(load: &Load, pushes: usize) -> Result<Push> {
    dropgate_lab::clean_up_on_signals().context("signals")?;
    let mut lab = Gate::Route.lab()?;
    let mut own = Own::small()?;
    forward::sink(&lab, &mut own)?;
    let denied = Gate::Route.policy()?;
    let service = format!("[[zone.office.egress]]\nname = \"probes\"\nudp = [{PORT}]\n\n[zone.iot]");
    let allowed = denied.replacen("[zone.iot]", &service, 1);
    ensure!(allowed != denied, "the bench's policy has no zone `iot`");
    let daemon = Daemon::start(&mut lab, &allowed, &load.dropgate)?;
    let files = [lab.write("denied.toml", &denied)?, lab.write("allowed.toml", &allowed)?];

    eprintln!("{pushes} pushes under load");
    let before = own.received()?;
    let background = Paced::start(&lab, &Content::Load, BESIDE, 0)?;
    let probes = Paced::start(&lab, &Content::Probes(PORT), RATE, 1)?;
    wait_until("the first probe", LIMIT, || Ok(own.arrived().get(0).unwrap_or(0) != 0))?;
    let mut done = Vec::with_capacity(pushes);
    for number in 0..pushes {
        let allowed = number % 2 == 1;
        let asked = probe::now_ns();
        daemon.push(&lab, &files[usize::from(allowed)])?;
        done.push(Pushed { asked, answered: probe::now_ns(), allowed });
        thread::sleep(PAUSE);
        if number % 1000 == 999 {
            eprintln!("  {} done", number + 1);
        }
    }
    let sent = probes.stop()?;
    let background = background.stop()?;
    thread::sleep(Duration::from_millis(100));
    let arrived = own.received()? - before;
    daemon.stop(&lab)?;
    ensure!(sent.times.len() < PROBES, "more probes were needed than there is room for: try fewer pushes");
    let mut found = judge(&done, &sent, |number| own.arrived().get(number).unwrap_or(0));
    found.beside_lost = 1.0 - arrived as f64 / background.packets.max(1) as f64;
    Ok(found)
}

/// Holds every probe against the pushes around it.
fn judge(done: &[Pushed], sent: &Sent, arrived: impl Fn(usize) -> u64) -> Push {
    let (mut judged, mut apply) = (Vec::with_capacity(done.len()), Vec::with_capacity(done.len()));
    let (mut probes, mut violations) = (0, 0);
    for (at, push) in done.iter().enumerate() {
        apply.push(push.answered - push.asked);
        let next = done.get(at + 1).map_or(push.answered + PAUSE.as_nanos() as u64, |next| next.asked);
        let anew = |number: usize| (arrived(number) != 0) == push.allowed;
        let first = sent.times.partition_point(|time| *time < push.asked);
        let after = sent.times.partition_point(|time| *time < push.answered);
        let until = sent.times.partition_point(|time| *time + GUARD_NS < next);
        if let Some(number) = (first..until).find(|number| anew(*number)) {
            judged.push(sent.times[number] - push.asked);
        }
        for number in after..until {
            probes += 1;
            violations += u64::from(!anew(number));
        }
    }
    let target = Target::at_most("probes sent after `apply` and judged by the old policy", violations as f64, 0.0, "");
    Push {
        pushes: done.len(),
        probes_a_second: RATE,
        beside_a_second: BESIDE,
        apply_ms: percentiles(apply),
        judged_ms: percentiles(judged),
        probes,
        violations,
        beside_lost: 0.0,
        targets: vec![target],
    }
}

/// The section of the report.
pub fn write(text: &mut String, push: &Push) -> fmt::Result {
    writeln!(
        text,
        "\n## Pushes under load\n\n{} pushes, each of which allows or denies the service that {} probes a second ask for, while {} \
         other packets a second pass ({:.3} % of them lost). Every one of {} probes sent after `apply` had returned has the \
         verdict of the new policy, but for {}.\n",
        push.pushes,
        push.probes_a_second,
        push.beside_a_second,
        push.beside_lost * 100.0,
        push.probes,
        push.violations
    )?;
    writeln!(text, "| ms | p50 | p90 | p99 | p99.9 | longest |\n| --- | --- | --- | --- | --- | --- |")?;
    for (name, [p50, p90, p99, p999, most]) in [
        ("`apply`, from request to answer", push.apply_ms),
        ("from the request until a probe is judged anew", push.judged_ms),
    ] {
        writeln!(text, "| {name} | {p50:.1} | {p90:.1} | {p99:.1} | {p999:.1} | {most:.1} |")?;
    }
    report::targets(text, &push.targets)
}

fn percentiles(mut all: Vec<u64>) -> [f64; 5] {
    all.sort_unstable();
    [0.5, 0.9, 0.99, 0.999, 1.0].map(|part| probe::percentile(&all, part) as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn pushed(asked: u64, answered: u64, allowed: bool) -> Pushed {
        Pushed { asked: asked * MS, answered: answered * MS, allowed }
    }

    /// A probe a millisecond; denied from 10 on (in force at 15), allowed from 30 on (in force at 33).
    #[test]
    fn probes_against_pushes() {
        let sent = Sent { packets: 60, times: (0..60).map(|ms| ms * MS).collect() };
        let pushes = [pushed(10, 20, false), pushed(30, 40, true)];
        let arrived = |number: usize| u64::from(!(15..33).contains(&number));
        let found = judge(&pushes, &sent, arrived);
        assert_eq!((found.violations, found.probes), (0, 9 + 3));
        assert_eq!((found.judged_ms[0], found.judged_ms[4]), (3.0, 5.0));
        // one that gets through although it must not, and one that is lost although it must not be
        for odd in [25, 41] {
            let found =
                judge(&pushes, &sent, |number| if number == odd { 1 - arrived(number) } else { arrived(number) });
            assert_eq!(found.violations, 1, "{odd}");
            assert!(!found.targets[0].met);
        }
        // before the answer either verdict is right
        let late = judge(&pushes, &sent, |number| if number == 19 { 1 } else { arrived(number) });
        assert_eq!(late.violations, 0);
    }
}
