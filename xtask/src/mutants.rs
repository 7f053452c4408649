//! Seeded mistakes in the source of both sides, each of which the tests must catch.
//!
//! A copy of the source is changed in one place and built. On a changed object of the kernel side the packet table and the
//! reference model are run; of a changed userspace the unit tests of what is held, put together and inspected. A mutant that no
//! test fails on is a hole in the tests, and fails the run.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{halves, shell};

#[path = "../../xdp/build_object.rs"]
mod build_object;

const PACKAGE: &str = "dropgate-xdp";

/// File below `xdp/src` or `userspace/src`, text there, what it becomes.
type Mutant = (&'static str, &'static str, &'static str);

/// One mistake each: a wrong mask, a missing bound, a swapped direction, a forgotten check.
const KERNEL: &[Mutant] = &[
    ("frame.rs", "walk.vlan[tags] = u16::from_be(tag[0]) & 0xfff;", "walk.vlan[tags] = u16::from_be(tag[0]) & 0xff;"),
    (
        "frame.rs",
        "            if is_tag(ethertype) {\n                return drop(Reason::vlan_too_deep);\n            }\n",
        "",
    ),
    (
        "parse.rs",
        "let header = (first >> 24 & 0xf) as usize * 4;",
        "let header = 20usize.max((first >> 24 & 1) as usize);",
    ),
    ("parse.rs", "!merged && (total < header || !frame.holds(l3 + total))", "!merged && total < header"),
    ("parse.rs", "if field & 0xfff9 != 0 {", "if true {"),
    ("parse.rs", "_ => (head[1] as usize + 1) * 8,", "_ => (head[1] as usize) * 8,"),
    ("parse.rs", "whole && length != available", "whole && length < 8"),
    ("parse.rs", "(V4, 0) => (8, identifier),", "(V4, 0) => (identifier, 8),"),
    ("ingress.rs", "outer: walk.vlan[0], inner: walk.vlan[1] };", "outer: walk.vlan[1], inner: walk.vlan[0] };"),
    (
        "anomaly.rs",
        "if flags & (tcp::SYN | tcp::RST) == tcp::SYN | tcp::RST {",
        "if flags & (tcp::SYN | tcp::RST) == tcp::SYN {",
    ),
    ("anomaly.rs", "if src >> 28 == 0xe {", "if src >> 28 == 0xf {"),
    ("anomaly.rs", "walk.sport == 0 || walk.dport == 0", "walk.sport == 0 && walk.dport == 0"),
    ("fragment.rs", "let of = if walk.family == V4 { of4 } else { of6 };", "let _ = of6;\n    let of = of4;"),
    (
        "fragment.rs",
        "        fragments::TRACK if first => begins(settings),\n",
        "        fragments::TRACK if first => Ok(()),\n",
    ),
    (
        "fragment.rs",
        "        told::DROPPED => drop(Reason::fragment_of_dropped),\n        told::UNKNOWN",
        "        told::EARLY => drop(Reason::fragment_of_dropped),\n        told::UNKNOWN",
    ),
    ("track.rs", "        && kept.id == walk.fragment_id\n", ""),
    ("track.rs", "(told::PASSED, told::HELD | told::EARLY) => told::HELD,", ""),
    ("track.rs", "(_, told::REFUSED) => return refused(kept.reason),", ""),
    ("track.rs", "            kept.fate = fate::CONDEMNED;\n", ""),
    ("track.rs", "            kept.used = (fate != told::PASSED) as u8;\n", ""),
    ("track.rs", "(*counted).now = (*counted).now.saturating_sub(1);", ""),
    (
        "flow.rs",
        "(source_high != (flow.flags & flag::INITIATOR_HIGH != 0)) as u8",
        "(source_high == (flow.flags & flag::INITIATOR_HIGH != 0)) as u8",
    ),
    ("flow.rs", "if port != walk.port && !fits(walk, flow) {", "if false {"),
    (
        "flow.rs",
        "if flow.generation != walk.generation && flow.flags & flag::LEDGER == 0 {\n        older(",
        "if false {\n        older(",
    ),
    ("flow.rs", "    if !equal(&src, &walk.dst) {", "    if false {"),
    ("zone.rs", "None => drop(Reason::source_not_in_zone),", "None => Ok(ZONE_OUTSIDE),"),
    ("zone.rs", "Some(ZONE_NONE) => drop(Reason::source_of_zone),", ""),
    ("policy.rs", "walk.protocol == protocol::TCP && !state::starts(walk)", "false"),
    ("policy.rs", "Some(ordinal) if ordinal != NO_SERVICE => index += ordinal,", "Some(_) => {}"),
    ("policy.rs", "BLOCK_TO, query.family, &query.dst)", "BLOCK_TO, query.family, &query.src)"),
    ("blocklist.rs", "part(slot & (SLOTS - 1), scope, family)", "part(slot & (SLOTS - 1), scope ^ 1, family)"),
    ("state.rs", "flow.tcp_state >= state::TIME_WAIT && starts(walk)", "starts(walk)"),
    (
        "state.rs",
        "table::live(query.zone) >= limit.max_flows as u64",
        "table::live(query.zone) > limit.max_flows as u64",
    ),
    ("table.rs", "    if old.flags & flag::ESTABLISHED != 0 {\n        return TAKEN;\n    }\n", ""),
    ("zone.rs", "host.scope == scope && ", ""),
    ("zone.rs", "host.stamp == stamp && ", ""),
    ("zone.rs", "if !may_hold(slot, family, address) {", "if may_hold(slot, family, address) {"),
    ("neighbour.rs", "if walk.ttl != 255 {", "if false {"),
    // what is held, and when it need not be any more
    ("content.rs", "walk.now_ns > alive.wrapping_add(settings.late_ns)", "false"),
    ("first.rs", "if seen & (BEGUN | RELATED) != 0 {", "if seen & BEGUN != 0 {"),
    ("hold.rs", "let all = seen / ONE == asked.held;", "let all = true;"),
    ("table.rs", "if seen == tag && is(flow) {", "if seen == tag {"),
    ("table.rs", "|flow| flow.id == id", "|_| true"),
    ("table.rs", "unsafe { (*group).taken |= Group::bit(index) };", ""),
    ("table.rs", "if (*tags).is_empty() {", "if false {"),
    ("inside.rs", ".wrapping_add(tags) >> 32", " >> 32"),
    ("hold.rs", "    if asked.note != 0 {\n        return settled::DONE;\n    }\n", ""),
    ("related.rs", "atomic::exchange_if(begun, 0, 1) || flags & flag::ONCE == 0", "true"),
    ("related.rs", "!is_late(related, now) && allowed(query, related)", "allowed(query, related)"),
    ("related.rs", "zone == ZONE_NONE || zone != related.zone", "zone == ZONE_NONE"),
    ("related.rs", "key.realm = query.realm;", "key.realm = 0;"),
    ("flow.rs", "query.realm = realm::of_tunnel(flow.key.realm);", "query.realm = 0;"),
    ("target.rs", "if !named && policy::blocked(query).is_some() {", "if false {"),
];

/// Likewise.
const USERSPACE: &[Mutant] = &[
    ("hold/credits.rs", "words.returned.fetch_add(count as u32, Ordering::Release);", ""),
    (
        "hold/flows.rs",
        "if held.wrapping_sub(self.first) & NUMBERS == self.seen & NUMBERS { Some(held) } else { None }",
        "Some(held)",
    ),
    ("hold/memory.rs", "    fn drop(&mut self) {\n        self.set(0);", "    fn drop(&mut self) {"),
    ("reassembly/segment.rs", "verify == Checksum::Verify && checksum(", "false && checksum("),
    ("reassembly/side.rs", "if !self.memory.agrees(start, payload) {", "if false {"),
    ("reassembly/side.rs", "end > edge + probe", "end > edge + probe + 1"),
    ("reassembly/side.rs", "place <= 1 || self.acked.is_some_and(|acked| acked >= place)", "true"),
    ("defragment/datagram.rs", "if over_one_before || ", "if "),
    ("defragment/mod.rs", "                self.left.add(*key, now_ns, &self.limits);\n", ""),
    ("defragment/left.rs", "self.keys.contains(&key.anywhere())", "false"),
    ("inspect/related/mod.rs", "word.address.is_none_or(|address| address == responder.0)", "true"),
    ("inspect/related/mod.rs", "(own && port >= PRIVILEGED)", "own"),
    ("inspect/related/mod.rs", "realm: held.realm,", "realm: 0,"),
    ("inspect/talk.rs", "        self.noted = self.app;\n", ""),
    ("inspect/expect.rs", "(Some(listed), Some(spoken)) => listed.contains(&spoken),", "(Some(_), Some(_)) => true,"),
];

/// The unit tests that a change of userspace must not pass.
const FILTERS: [&str; 4] = ["hold::", "reassembly::", "defragment::", "inspect::"];

/// Pairs of the reference model for each mutant; the whole run takes 100,000.
const PAIRS: &str = "4000";

/// Makes and runs every mutant from number `first` on.
pub fn run(first: usize) -> Result<()> {
    let root = shell::root();
    let work = root.join("target/mutants");
    let tree = work.join("tree");
    copy(&root, &tree)?;
    let before = first.saturating_sub(1);
    let mut alive = Vec::new();
    if before < KERNEL.len() {
        let tests = tests()?;
        let caught = || build(&tree, &work)?.map(|object| caught(&tests, &object)).transpose();
        each(&tree.join("xdp/src"), KERNEL, (0, before), &caught, &mut alive)?;
    }
    let caught = || caught_by_units(&tree, &work);
    each(&tree.join("userspace/src"), USERSPACE, (KERNEL.len(), before), &caught, &mut alive)?;
    if !alive.is_empty() {
        bail!("mutants {alive:?} were not caught by a test");
    }
    println!("{} mutants, each caught", (KERNEL.len() + USERSPACE.len()).saturating_sub(before));
    Ok(())
}

/// Makes and runs the mutants of one side, which are numbered from `offset` on; leaves out so many of all. `caught`: whether
/// some test fails on the tree as it is, `None` if it does not build.
fn each(
    folder: &Path,
    mutants: &[Mutant],
    (offset, before): (usize, usize),
    caught: &dyn Fn() -> Result<Option<bool>>,
    alive: &mut Vec<usize>,
) -> Result<()> {
    // the copy itself must pass, or a mutant could fail for another reason
    let unchanged = caught()?.context("the unchanged source does not build")?;
    ensure!(!unchanged, "the unchanged source fails the tests");
    for (at, (file, from, to)) in mutants.iter().enumerate().skip(before.saturating_sub(offset)) {
        let number = offset + at + 1;
        let path = folder.join(file);
        let source = fs::read_to_string(&path).with_context(|| format!("`{}`", path.display()))?;
        ensure!(source.contains(from), "mutant {number}: `{from}` is not in `{file}`");
        fs::write(&path, source.replacen(from, to, 1))?;
        let how = match caught()? {
            None => "does not build",
            Some(true) => "caught",
            Some(false) => "SURVIVES",
        };
        fs::write(&path, &source)?;
        println!("mutant {number:>2}: {how:<14} {file}: {}", first_line(from));
        if how != "caught" {
            alive.push(number);
        }
    }
    Ok(())
}

/// Whether some unit test fails on the tree; `None` when it does not build.
fn caught_by_units(tree: &Path, work: &Path) -> Result<Option<bool>> {
    let cargo = |run: &[&str]| {
        let mut command = Command::new(env!("CARGO"));
        command.args(["test", "--quiet", "--locked", "--package", "dropgate", "--lib", "--target-dir"]);
        command.arg(work.join("userspace")).args(run).current_dir(tree);
        command.output().context("cargo did not start")
    };
    if !cargo(&["--no-run"])?.status.success() {
        return Ok(None);
    }
    Ok(Some(!cargo(&[&["--"], &FILTERS[..]].concat())?.status.success()))
}

fn first_line(text: &str) -> &str {
    text.trim().lines().next().unwrap_or_default()
}

/// Copies what the kernel side is built from.
fn copy(root: &Path, tree: &Path) -> Result<()> {
    let _ = fs::remove_dir_all(tree);
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()?;
    ensure!(listed.status.success(), "`git ls-files` failed; mutants need a git checkout");
    for name in String::from_utf8(listed.stdout)?.lines() {
        let keep =
            name.starts_with("xdp/") || name.ends_with("Cargo.toml") || name == "Cargo.lock" || name.ends_with(".rs");
        let from = root.join(name);
        if keep && from.is_file() {
            let to = tree.join(name);
            fs::create_dir_all(to.parent().unwrap_or(tree))?;
            fs::copy(from, to)?;
        }
    }
    Ok(())
}

/// The binaries of the packet table and of the reference model.
fn tests() -> Result<Vec<PathBuf>> {
    let arguments = ["test", "--release", "--package", "dropgate", "--test", "model", "--test", "table"];
    let found: Vec<PathBuf> = halves::build(&arguments)?.into_iter().map(|program| program.path).collect();
    ensure!(found.len() == 2, "expected two test binaries, found {}", found.len());
    Ok(found)
}

/// The object of the tree; `None` when it does not compile.
fn build(tree: &Path, work: &Path) -> Result<Option<PathBuf>> {
    let out = work.join("target");
    let built =
        build_object::command(PACKAGE, &tree.join("xdp"), &out, std::env::consts::ARCH).arg("--quiet").output()?;
    Ok(built.status.success().then(|| build_object::object(PACKAGE, &out)))
}

/// Whether some test fails on the object.
fn caught(tests: &[PathBuf], object: &Path) -> Result<bool> {
    for test in tests {
        let ran = Command::new(test)
            .env("DROPGATE_TEST_OBJECT", object)
            .env("DROPGATE_MODEL_PAIRS", PAIRS)
            .output()
            .with_context(|| format!("`{}`", test.display()))?;
        if !ran.status.success() {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Code that has moved takes its mistakes with it.
    #[test]
    fn every_mistake_can_be_made() {
        for (folder, mutants) in [("xdp/src", KERNEL), ("userspace/src", USERSPACE)] {
            for (file, from, to) in mutants {
                let source = fs::read_to_string(shell::root().join(folder).join(file)).expect(file);
                assert!(source.contains(from), "`{from}` is not in `{folder}/{file}`");
                assert_ne!(from, to);
            }
        }
    }
}
