use dropgate_signatures::{buffer::Buffer, subject::Field};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn talk(dialogue: &[&str]) -> Pop3 {
    let mut pop3 = Pop3::new(&Limits::default());
    for said in dialogue {
        let (direction, text) = said.split_at(1);
        let direction = if direction == ">" { ToServer } else { ToClient };
        pop3.hear(direction, text.replace('\n', "\r\n").as_bytes());
    }
    pop3
}

fn told(pop3: &Pop3) -> Vec<Value> {
    let all = pop3.transactions().into_iter();
    all.map(|command| json!([command.events(), command.records().remove(0).json()])).collect()
}

#[test]
fn commands_with_their_answers() {
    let pop3 = talk(&[
        "<+OK ready\n",
        ">user me\n",
        "<+OK\n",
        ">PASS a b\n",
        "<-ERR no\n",
        ">LIST\nSTAT\n",
        "<+OK 2 mails\n1 10\n..2\n.\n+OK 2 20\n",
        ">RETR 1\n",
        "<+OK\nSubject: x\n\n-ERR\n.\n",
        ">LIST 1\n",
        "<+OK 1 10\n",
    ]);
    let answer = |success: bool, header: &str, data: &[&str]| json!({"success": success, "status": if success { "OK" } else { "ERR" }, "header": header, "data": data});
    let request = |command: &str, args: &[&str]| json!({"command": command, "args": args});
    let expected = [
        json!([[], {"response": answer(true, "ready", &[])}]),
        json!([[], {"request": request("USER", &["me"]), "response": answer(true, "", &[])}]),
        json!([[], {"request": request("PASS", &["a", "b"]), "response": answer(false, "no", &[])}]),
        json!([[], {"request": request("LIST", &[]), "response": answer(true, "2 mails", &["1 10", ".2"])}]),
        json!([[], {"request": request("STAT", &[]), "response": answer(true, "2 20", &[])}]),
        json!([[], {"request": request("RETR", &["1"]), "response": answer(true, "", &[])}]),
        json!([[], {"request": request("LIST", &["1"]), "response": answer(true, "1 10", &[])}]),
    ];
    assert_eq!(told(&pop3), expected);
    assert!(pop3.commands.iter().all(|command| !command.waits()));
    assert_eq!(pop3.transactions()[1].buffer(Buffer::Pop3Command, ToServer, 0), Field::whole(b"USER"));
    assert_eq!(pop3.transactions()[0].buffer(Buffer::Pop3Command, ToServer, 0), Field::Absent);
}

#[test]
fn secrets_are_no_commands() {
    let pop3 = talk(&[">AUTH PLAIN\n", "<+ \n", ">QUlU\n", "<+OK in\n", ">QUIT\n"]);
    let commands: Vec<_> = told(&pop3).iter().map(|told| told[1]["request"]["command"].clone()).collect();
    assert_eq!(commands, ["AUTH", "<SASL DATA>", "QUIT"]);
}

#[test]
fn tls_is_the_end() {
    assert!(talk(&[">STLS\n", "<+OK\n"]).is_opaque());
    assert!(!talk(&[">STLS\n", "<-ERR\n"]).is_opaque());
}

#[test]
fn what_is_noticed() {
    let long = "x".repeat(600);
    for (dialogue, event) in [
        (vec![">EHLO a\n".to_owned()], "unknown_command"),
        (vec![">QUIT now\n".to_owned()], "incorrect_argument_count"),
        (vec![format!(">USER {long}\n")], "request_too_long"),
        (vec![format!("<+OK {long}\n")], "response_too_long"),
        (vec![">NOOP\n".to_owned(); 300], "too_many_transactions"),
    ] {
        let dialogue: Vec<_> = dialogue.iter().map(String::as_str).collect();
        let pop3 = talk(&dialogue);
        assert_eq!(pop3.transactions().last().unwrap().events(), [event]);
    }
}

proptest! {
    #[test]
    fn cuts_change_nothing(lines in prop::collection::vec((any::<bool>(), prop_oneof![
        Just("USER a\r\n"), Just("LIST\r\n"), Just("RETR 1\r\n"), Just("AUTH\r\n"), Just("STLS\r\n"), Just("+OK\r\n"),
        Just("+ \r\n"), Just("-ERR x\r\n"), Just(".\r\n"), Just("x\n"),
    ]), 0..30), cut in 1usize..5) {
        let (mut whole, mut pieces) = (Pop3::new(&Limits::default()), Pop3::new(&Limits::default()));
        for (server, line) in &lines {
            let direction = if *server { ToClient } else { ToServer };
            whole.hear(direction, line.as_bytes());
            line.as_bytes().chunks(cut).for_each(|piece| pieces.hear(direction, piece));
        }
        prop_assert_eq!(told(&pieces), told(&whole));
    }

    #[test]
    fn anything_can_be_said(said in prop::collection::vec((any::<bool>(), any::<Vec<u8>>()), 0..20)) {
        let mut pop3 = Pop3::new(&Limits::default());
        for (server, said) in said {
            let direction = if server { ToClient } else { ToServer };
            pop3.hear(direction, &said);
            pop3.lost(direction, 1);
        }
        pop3.end(ToClient);
        prop_assert!(pop3.commands.iter().all(|command| !command.waits()));
    }
}
