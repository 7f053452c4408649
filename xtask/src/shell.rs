//! Running other programs, with a line of progress for each.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

/// Folder of the workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(PathBuf::new, Path::to_path_buf)
}

/// Says what comes next.
pub fn step(what: &str) {
    eprintln!("==> {what}");
}

/// Runs a program with its output shown, and takes anything but success for an error.
pub fn call(command: &mut Command) -> Result<()> {
    let line = line(command);
    step(&line);
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("cannot start `{line}`"))?;
    if !status.success() {
        bail!("`{line}` ended with {status}");
    }
    Ok(())
}

/// Standard output of a program; nothing if it cannot be started or fails.
pub fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// `cargo` of the toolchain that this workspace names.
pub fn cargo(arguments: &[&str]) -> Result<()> {
    call(&mut cargo_command(arguments))
}

/// As [`cargo`]; what it prints to standard output is shown and handed back.
pub fn cargo_printing(arguments: &[&str]) -> Result<String> {
    let mut command = cargo_command(arguments);
    let line = line(&command);
    step(&line);
    printing(&line, &mut command)
}

/// As [`cargo`], not started yet.
pub fn cargo_command(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments);
    command
}

/// Runs a program, and takes anything but success for an error; what it prints to standard output is shown as it comes, and handed
/// back. `name`: what errors call it.
pub fn printing(name: &str, command: &mut Command) -> Result<String> {
    let starting = || format!("cannot start `{name}`");
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().with_context(starting)?;
    let mut printed = String::new();
    for text in child.stdout.take().into_iter().flat_map(|stdout| BufReader::new(stdout).split(b'\n')) {
        let text = String::from_utf8_lossy(&text?).into_owned();
        println!("{text}");
        printed.push_str(&text);
        printed.push('\n');
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("`{name}` ended with {status}");
    }
    Ok(printed)
}

/// `cargo` of the nightly toolchain, free of what the running cargo has put into the environment. `flags` are for rustc.
pub fn cargo_nightly(arguments: &[&str], flags: &[&str]) -> Result<()> {
    let mut command = Command::new("rustup");
    for name in ["CARGO", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN"] {
        command.env_remove(name);
    }
    if !flags.is_empty() {
        command.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
    }
    call(command.args(["run", "nightly", "cargo"]).args(arguments))
}

/// Where a program is: in `PATH`, or where Debian keeps what only root needs.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

fn line(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy()];
    words.extend(command.get_args().map(std::ffi::OsStr::to_string_lossy));
    words.join(" ")
}
