//! The figures as Markdown.

use std::fmt::{Result, Write as _};

use super::{Signatures, engine::Engine};
use crate::report;

/// All of them.
pub fn write(text: &mut String, of: &Signatures) -> Result {
    writeln!(text, "\n## Signatures\n")?;
    if !of.engine.is_empty() {
        engine(text, &of.engine)?;
    }
    if !of.rows.is_empty() {
        writeln!(
            text,
            "\nHTTP by wrk through a masquerading gateway with the largest set of rules, {} s a load and round; ratio: to the \
             kernel alone in the same round. Median (min to max).\n",
            of.seconds
        )?;
        report::rows(text, &of.rows)?;
    }
    if let Some(datagrams) = &of.datagrams {
        writeln!(
            text,
            "\nDatagrams of 60 bytes by trafgen with the same rules; million packets a second of one core, in whose time sender, \
             softirq threads and daemon are counted.\n\n| scenario | contender | forwarded | ratio |\n| --- | --- | --- | --- |"
        )?;
        for row in &datagrams.rows {
            writeln!(
                text,
                "| {} | {} | {} | {} |",
                row.scenario,
                row.contender,
                row.forwarded.text(3),
                row.ratio.text(2)
            )?;
        }
        if let Some(hits) = &datagrams.hits {
            writeln!(
                text,
                "\nOf those that each hit a rule, million a second by the clock: judged {}, dropped for want of credits {}; \
                 {} lost; {:.3} alerts written for each that was judged.",
                hits.judged.text(3),
                hits.refused.text(3),
                hits.lost,
                hits.alerts
            )?;
        }
    }
    if let Some(pushes) = &of.pushes {
        writeln!(
            text,
            "\nTen pushes of the largest set under the keep-alive load: {} s each; {:.0} requests/s meanwhile, {} failed. Memory of \
             the daemon: {:.0} MB before ({:.0} with what it has mapped of the kernel's tables), {:.0} after one push, {:.0} after \
             ten more, {:.0} at most.",
            pushes.push_s.text(2),
            pushes.requests,
            pushes.failed,
            pushes.before_mb,
            pushes.mapped_mb,
            pushes.first_mb,
            pushes.last_mb,
            pushes.most_mb
        )?;
    }
    report::targets(text, &of.targets)
}

fn engine(text: &mut String, all: &[Engine]) -> Result {
    writeln!(
        text,
        "The engine in one thread, by its CPU time; what is asked is said by nobody who is bad. Without rules: identification alone.\n\n\
         | rules | refused | asked every time | read, ms | compiled, ms | both by the clock, ms | matchers, MB |\n\
         | --- | --- | --- | --- | --- | --- | --- |"
    )?;
    for one in all {
        writeln!(
            text,
            "| {}, {} | {} | {} | {:.0} | {:.0} | {:.0} | {:.1} |",
            one.rules, one.origin, one.refused, one.slow, one.read_ms, one.compile_ms, one.load_ms, one.matchers_mb
        )?;
    }
    writeln!(text, "\n| rules | conversation | us | without rules, us | alerts |\n| --- | --- | --- | --- | --- |")?;
    for one in all {
        for cost in &one.costs {
            let (us, without) = (cost.us.text(2), cost.without_us.text(2));
            writeln!(text, "| {} | {} | {us} | {without} | {} |", one.rules, cost.name, cost.alerts)?;
        }
    }
    writeln!(text, "\n| rules | buffer | holds | bytes | MB/s |\n| --- | --- | --- | --- | --- |")?;
    for one in all {
        for speed in &one.buffers {
            let rate = speed.mb_s.text(0);
            writeln!(text, "| {} | {} | {} | {} | {rate} |", one.rules, speed.buffer, speed.holds, speed.bytes)?;
        }
    }
    Ok(())
}
