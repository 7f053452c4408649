//! Runs the commands of a transcript and compares what comes of them with what is recorded.

use std::{
    collections::HashMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

pub fn case(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(name)
}

/// Runs a case in a directory of its own, with its policy and these files.
pub fn run(name: &str, files: &[(&str, Vec<u8>)]) {
    let directory = tempfile::tempdir().unwrap();
    fs::copy(case(name).join("policy.toml"), directory.path().join("policy.toml")).unwrap();
    for (file, bytes) in files {
        fs::write(directory.path().join(file), bytes).unwrap();
    }
    let recorded = case(name).join("expected.txt");
    let expected = fs::read_to_string(&recorded).unwrap();
    let mut transcript = String::new();
    for command in expected.lines().filter_map(|line| line.strip_prefix("$ ")) {
        transcript.push_str(&format!("$ {command}\n{}\n", answer(directory.path(), command)));
    }
    assert!(!transcript.is_empty(), "`{}` has no commands", recorded.display());
    if env::var_os("DROPGATE_BLESS").is_some() {
        fs::write(&recorded, &transcript).unwrap();
    } else if transcript != expected {
        let differs = transcript.lines().zip(expected.lines()).find(|(is, was)| is != was);
        panic!("`{name}` differs from what is recorded, first in {differs:#?}\n{transcript}");
    }
}

/// `dropgate ...`: standard output, standard error, exit code. `cat FILE`: the file.
fn answer(directory: &Path, command: &str) -> String {
    let words: Vec<&str> = command.split(' ').collect();
    match &words[..] {
        ["dropgate", arguments @ ..] => {
            let program = env!("CARGO_BIN_EXE_dropgate");
            let out = Command::new(program).args(arguments).current_dir(directory).output().unwrap();
            let mut text = anonymous(&String::from_utf8(out.stdout).unwrap());
            for line in String::from_utf8(out.stderr).unwrap().lines() {
                text.push_str(&format!("! {line}\n"));
            }
            format!("{text}exit {}\n", out.status.code().unwrap())
        }
        ["cat", file] => anonymous(&fs::read_to_string(directory.join(file)).unwrap()),
        _ => panic!("`{command}` is no command of a transcript"),
    }
}

/// Flows are numbered at random; here in the order in which they appear.
fn anonymous(text: &str) -> String {
    let mut known = HashMap::new();
    let mut out = String::new();
    let mut rest = text;
    while let Some((at, key)) =
        ["\"flow\":", "\"flow_id\":"].iter().filter_map(|key| Some((rest.find(key)?, key))).min()
    {
        let (before, after) = rest.split_at(at + key.len());
        out.push_str(before);
        let number = after.trim_start();
        let digits = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
        if digits > 0 {
            let next = known.len() + 1;
            let shown = *known.entry(number[..digits].to_owned()).or_insert(next);
            out.push_str(&format!("{}{shown}", &after[..after.len() - number.len()]));
        } else {
            out.push_str(&after[..after.len() - number.len()]);
        }
        rest = &number[digits..];
    }
    out + rest
}
