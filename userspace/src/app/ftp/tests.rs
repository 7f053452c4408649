use dropgate_signatures::{
    buffer::Buffer,
    subject::{self, Field},
};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// What was said, each by whom: `>` to the server, `<` to the client; lines end with CRLF.
fn talk(dialogue: &[&str]) -> Ftp {
    let mut ftp = Ftp::new(&Limits::default());
    ftp.between([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
    for said in dialogue {
        let (direction, text) = said.split_at(1);
        let direction = if direction == ">" { ToServer } else { ToClient };
        ftp.hear(direction, text.replace('\n', "\r\n").as_bytes());
    }
    ftp
}

fn told(ftp: &Ftp) -> Vec<Value> {
    ftp.transactions().iter().map(|command| command.records().remove(0).json()).collect()
}

fn events(ftp: &Ftp) -> Vec<&'static str> {
    ftp.transactions().iter().flat_map(|command| command.events().to_vec()).collect()
}

#[test]
fn commands_with_their_replies() {
    let ftp = talk(&[
        "<220 hello\n",
        ">user anonymous\n",
        "<331 password?\n",
        ">FEAT\n",
        "<211-Features:\n MDTM\n211 End\n",
        ">LIST\n",
        "<150 here\n",
        "<226 done\n",
    ]);
    let expected = [
        json!({"completion_code": ["220"], "reply": ["hello"], "reply_received": "yes", "reply_truncated": false}),
        json!({
            "command": "USER", "command_data": "anonymous", "command_truncated": false, "completion_code": ["331"],
            "reply": ["password?"], "reply_received": "yes", "reply_truncated": false,
        }),
        json!({
            "command": "FEAT", "completion_code": ["211"], "reply": ["211-Features:", " MDTM", "End"],
            "reply_received": "yes", "reply_truncated": false,
        }),
        json!({
            "command": "LIST", "completion_code": ["150", "226"], "reply": ["here", "done"],
            "reply_received": "yes", "reply_truncated": false,
        }),
    ];
    assert_eq!(told(&ftp), expected);
    assert!(ftp.commands.iter().all(|command| !command.waits()));
    let last = ftp.transactions()[3];
    assert_eq!(last.buffer(Buffer::FtpCommand, ToServer, 0), Field::whole(b"LIST"));
    assert_eq!(last.buffer(Buffer::FtpReply, ToClient, 1), Field::whole(b"done"));
    assert_eq!(last.buffer(Buffer::FtpCompletionCode, ToClient, 2), Field::Absent);
    assert_eq!(last.test("ftp.reply_received", "yes", ToClient), Some(true));
    assert_eq!(last.events(), ["file_before_port"]);
}

#[test]
fn data_connections() {
    let mut ftp = talk(&[
        ">PORT 192,0,2,1,7,208\n",
        "<200 ok\n",
        ">RETR a b.txt\n",
        "<150 go\n226 done\n",
        ">EPSV\n",
        "<229 passive (|||2001|)\n",
        ">STOR c\n",
        ">PASV\n",
        "<150 go\n226 done\n",
        "<227 passive (192,0,2,2,7,210)\n",
        ">NLST\n",
    ]);
    let transfer =
        |port, active, command: &str, name: &str| Transfer { port, active, command: command.into(), name: name.into() };
    let expected = [
        transfer(2000, true, "RETR", "a b.txt"),
        transfer(2001, false, "STOR", "c"),
        transfer(2002, false, "NLST", ""),
    ];
    assert_eq!(ftp.take_transfers(), expected);
    let all = ftp.transactions();
    assert_eq!(all[0].number("ftp.dynamic_port", ToServer, 0), Some(2000));
    assert_eq!(all[0].test("ftp.mode", "active", ToServer), Some(true));
    assert_eq!(all[2].test("ftp.mode", "active", ToServer), Some(false));
    assert_eq!(all[1].test("ftp.mode", "passive", ToServer), Some(false));
    let asked = talk(&[">EPSV\n"]);
    assert!(!asked.transactions()[0].is_complete(ToServer), "where data goes, the reply says");
    assert_eq!(events(&ftp), Vec::<&str>::new());
}

#[test]
fn a_port_of_somebody_else_bounces() {
    for (command, bounces) in [
        (">PORT 192,0,2,1,7,208\n", false),
        (">PORT 198,51,100,1,0,80\n", true),
        (">EPRT |1|198.51.100.1|80|\n", true),
        (">EPRT |1|192.0.2.1|80|\n", false),
        (">EPRT |2|2001:db8::1|80|\n", true),
        (">PORT nonsense\n", false),
    ] {
        let ftp = talk(&[command]);
        assert_eq!(ftp.transactions()[0].test("ftpbounce", "", ToServer), Some(bounces), "{command}");
    }
}

#[test]
fn tls_is_the_end() {
    let ftp = talk(&[">AUTH TLS\n", "<234 go\n", ">\x16\x03"]);
    assert!(ftp.is_opaque());
    assert_eq!(told(&ftp)[0]["command"], "AUTH TLS");
    assert!(!talk(&[">AUTH TLS\n", "<500 no\n"]).is_opaque());
}

#[test]
fn what_is_noticed() {
    let long = format!(">RETR {}\n", "x".repeat(5000));
    let ftp = talk(&[&long]);
    assert_eq!(events(&ftp), ["request_command_too_long", "file_before_port"]);
    assert_eq!(told(&ftp)[0]["command_data"].as_str().unwrap().len(), LINE_MAX - 5);
    assert_eq!(told(&ftp)[0]["command_truncated"], true);
    let long = format!("<200 {}\n", "x".repeat(5000));
    assert_eq!(events(&talk(&[">NOOP\n", &long])), ["response_command_too_long"]);
    assert_eq!(events(&talk(&[">RETR\n"])), ["file_without_name"]);
    assert_eq!(events(&talk(&[">NOOP\n"; 300])).last(), Some(&"too_many_transactions"));
}

#[test]
fn a_file_in_the_direction_of_its_sender() {
    let transfer = Transfer { port: 2000, active: true, command: b"RETR".to_vec(), name: b"a.txt".to_vec() };
    let mut data = Data::new(transfer, &Limits::default());
    data.hear(ToServer, b"hel");
    data.hear(ToServer, b"lo");
    data.hear(ToClient, b"what?");
    let all = data.transactions();
    let contents = subject::Data { bytes: b"hello"[..].into() };
    assert_eq!(all[0].buffer(Buffer::FileData, ToServer, 0), Field::Part(contents));
    assert_eq!(all[0].buffer(Buffer::FileName, ToServer, 0), Field::whole(b"a.txt"));
    assert_eq!(all[0].buffer(Buffer::FileData, ToClient, 0), Field::Pending);
    assert_eq!(all[0].test("ftpdata_command", "retr", ToServer), Some(true));
    assert_eq!(all[0].test("ftpdata_command", "stor", ToServer), Some(false));
    data.end(ToServer);
    data.end(ToClient);
    let all = data.transactions();
    assert!(all[0].is_complete(ToServer) && all[0].is_complete(ToClient));
    let records = all[0].records();
    assert_eq!(records[0].json(), json!({"filename": "a.txt", "command": "RETR"}));
    assert_eq!((&records[1].json()["size"], &records[1].json()["state"]), (&5.into(), &"CLOSED".into()));
    assert_eq!(all[0].beside(&records[1], &records), [records[0].clone()]);
}

proptest! {
    #[test]
    fn cuts_change_nothing(lines in prop::collection::vec((any::<bool>(), prop_oneof![
        Just("USER a\r\n"), Just("PASV\r\n"), Just("RETR f\r\n"), Just("AUTH TLS\r\n"), Just("PORT 1,2,3,4,5,6\n"),
        Just("220 a\r\n"), Just("150 b\r\n"), Just("211-c\r\n"), Just("211 d\r\n"), Just("227 (1,2,3,4,5,6)\r\n"),
        Just("234 e\r\n"), Just(" f\r\n"), Just("\r\n"),
    ]), 0..30), cut in 1usize..7) {
        let (mut whole, mut pieces) = (Ftp::new(&Limits::default()), Ftp::new(&Limits::default()));
        for (server, line) in &lines {
            let direction = if *server { ToClient } else { ToServer };
            whole.hear(direction, line.as_bytes());
            line.as_bytes().chunks(cut).for_each(|piece| pieces.hear(direction, piece));
        }
        prop_assert_eq!(told(&pieces), told(&whole));
        prop_assert_eq!(pieces.take_transfers(), whole.take_transfers());
        prop_assert_eq!(events(&pieces), events(&whole));
    }

    #[test]
    fn anything_can_be_said(said in prop::collection::vec((any::<bool>(), any::<Vec<u8>>()), 0..20)) {
        let mut ftp = Ftp::new(&Limits::default());
        for (server, said) in said {
            let direction = if server { ToClient } else { ToServer };
            ftp.hear(direction, &said);
            ftp.lost(direction, 1);
        }
        ftp.end(ToServer);
        ftp.end(ToClient);
        prop_assert!(ftp.commands.iter().all(|command| !command.waits()));
    }
}
