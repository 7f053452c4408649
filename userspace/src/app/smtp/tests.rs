use dropgate_signatures::{
    buffer::Buffer,
    subject::{Field, Transaction as _},
};
use proptest::prelude::*;

use super::*;

/// What was said, each by whom: `>` to the server, `<` to the client; lines end with CRLF.
fn talk(dialogue: &[&str]) -> Smtp {
    let mut smtp = Smtp::new(&Limits::default());
    for said in dialogue {
        let (direction, text) = said.split_at(1);
        let direction = if direction == ">" { ToServer } else { ToClient };
        smtp.hear(direction, text.replace('\n', "\r\n").as_bytes());
    }
    smtp
}

/// Everything that can be seen of a conversation.
fn told(smtp: &Smtp) -> Vec<String> {
    smtp.transactions()
        .iter()
        .map(|mail| {
            let complete = [ToServer, ToClient].map(|way| mail.is_complete(way));
            format!("{} {complete:?} {:?} {:?}", mail.id(), mail.events(), mail.context())
        })
        .collect()
}

fn events(smtp: &Smtp) -> Vec<&'static str> {
    smtp.transactions().iter().flat_map(|mail| mail.events().to_vec()).collect()
}

fn object(smtp: &Smtp, index: usize, name: &str) -> Option<serde_json::Value> {
    let record = smtp.transactions()[index].context().into_iter().find(|record| record.event_type == name)?;
    Some(record.json())
}

fn is_over(smtp: &Smtp, index: usize) -> bool {
    let all = smtp.transactions();
    [ToServer, ToClient].iter().all(|way| all[index].is_complete(*way))
}

const HELLO: [&str; 3] = ["<220 mail.test ESMTP\n", ">EHLO client.test\n", "<250-mail.test\n250 OK\n"];
const ENVELOPE: [&str; 4] = [">MAIL FROM:<a@a.test> SIZE=5\n", "<250 ok\n", ">RCPT TO: <b@b.test>\n", "<250 ok\n"];

fn mail(rest: &[&str]) -> Smtp {
    talk(&[&HELLO[..], &ENVELOPE[..], rest].concat())
}

const BODY: &str = ">From: A <a@a.test>
To: \"b, c\" <b@b.test>, d@d.test
Subject: hello
Content-Type: application/x; name=\"x.bin\"
Content-Transfer-Encoding: base64

aGVsbG8=
.
";

#[test]
fn a_mail_is_told_of() {
    let smtp = mail(&[">DATA\n", "<354 go on\n", BODY]);
    assert!(!is_over(&smtp, 0), "the server has not said anything about it");
    let smtp = mail(&[">DATA\n", "<354 go on\n", BODY, "<250 queued\n", ">QUIT\n", "<221 bye\n"]);
    assert_eq!(smtp.transactions().len(), 1);
    assert!(is_over(&smtp, 0));
    assert_eq!(
        object(&smtp, 0, "smtp"),
        Some(serde_json::json!({"helo": "client.test", "mail_from": "<a@a.test>", "rcpt_to": ["<b@b.test>"]}))
    );
    assert_eq!(
        object(&smtp, 0, "email"),
        Some(serde_json::json!({
            "status": "PARSE_DONE", "from": "A <a@a.test>", "to": ["\"b, c\" <b@b.test>", "d@d.test"],
            "subject": "hello", "attachment": ["x.bin"],
            "subject_md5": "5d41402abc4b2a76b9719d911017c592", "body_md5": "3b06c5c891be7f51a3e2f9895516ea8b",
        }))
    );
    let file = object(&smtp, 0, "fileinfo").unwrap();
    assert_eq!((&file["filename"], &file["size"], &file["state"]), (&"x.bin".into(), &5.into(), &"CLOSED".into()));
    let records = smtp.transactions()[0].records();
    assert_eq!(records.iter().map(|record| record.event_type).collect::<Vec<_>>(), ["smtp", "fileinfo"]);
    let beside = smtp.transactions()[0].beside(&records[1], &records);
    assert_eq!(beside.iter().map(|record| record.event_type).collect::<Vec<_>>(), ["smtp", "email"]);
    assert_eq!(events(&smtp), Vec::<&str>::new());
}

#[test]
fn buffers() {
    let smtp = mail(&[">DATA\n", "<354 go on\n"]);
    let buffer = |smtp: &Smtp, buffer, instance| match smtp.transactions()[0].buffer(buffer, ToServer, instance) {
        Field::Pending => "?".to_owned(),
        Field::Absent => "-".to_owned(),
        Field::Part(data) | Field::Whole(data) => String::from_utf8(data.bytes.into_owned()).unwrap(),
    };
    assert_eq!(buffer(&smtp, Buffer::SmtpHelo, 0), "client.test");
    assert_eq!(buffer(&smtp, Buffer::SmtpMailFrom, 0), "<a@a.test>");
    assert_eq!(buffer(&smtp, Buffer::SmtpRcptTo, 0), "<b@b.test>");
    assert_eq!(buffer(&smtp, Buffer::SmtpRcptTo, 1), "-");
    assert_eq!(buffer(&smtp, Buffer::EmailSubject, 0), "?");
    let smtp = mail(&[">DATA\n", "<354 go on\n", BODY, "<250 queued\n"]);
    assert_eq!(buffer(&smtp, Buffer::EmailSubject, 0), "hello");
    assert_eq!(buffer(&smtp, Buffer::EmailSubject, 1), "-");
    assert_eq!(buffer(&smtp, Buffer::EmailCc, 0), "-");
    assert_eq!(buffer(&smtp, Buffer::FileData, 0), "hello");
    assert_eq!(buffer(&smtp, Buffer::FileName, 0), "x.bin");
    assert_eq!(buffer(&smtp, Buffer::FileData, 1), "-");
    // of `aGVsbG8=\r\n`
    assert_eq!(buffer(&smtp, Buffer::EmailBodyMd5, 0), "3b06c5c891be7f51a3e2f9895516ea8b");
}

#[test]
fn dots_are_unstuffed() {
    let smtp = mail(&[">DATA\n", "<354\n", ">Content-Type: x; name=f\n\n..\n.x\n.\n", "<250 ok\n"]);
    let contents = smtp.transactions()[0].buffer(Buffer::FileData, ToServer, 0);
    assert_eq!(contents, Field::whole(b".\r\nx"));
}

#[test]
fn mails_in_one_conversation() {
    let one = [&ENVELOPE[..], &[">DATA\n", "<354 go\n", ">Subject: x\n\ny\n.\n", "<250 ok\n"]].concat();
    let smtp = talk(&[&HELLO[..], &one, &one, &[">RSET\n", "<250 ok\n", ">QUIT\n"]].concat());
    assert_eq!(smtp.transactions().len(), 2);
    assert!(is_over(&smtp, 0) && is_over(&smtp, 1));
}

#[test]
fn rset_and_another_greeting_end_an_envelope() {
    for again in [">RSET\n", ">EHLO other.test\n"] {
        let smtp = mail(&[again, "<250 ok\n", ">MAIL FROM:<c@c.test>\n", "<250 ok\n"]);
        assert_eq!(smtp.transactions().len(), 2, "{again}");
        assert!(is_over(&smtp, 0));
        assert_eq!(object(&smtp, 1, "smtp").unwrap()["mail_from"], "<c@c.test>");
        assert_eq!(object(&smtp, 1, "smtp").unwrap()["helo"], "client.test");
    }
    let smtp = talk(&["<220 hi\n", ">RSET\n", "<250 ok\n", ">HELO a\n", "<250 ok\n", ">MAIL FROM:<b>\n"]);
    assert_eq!(smtp.transactions().len(), 2);
}

#[test]
fn pipelined() {
    let rest = ">RSET\nMAIL FROM:<c@c.test>\nRCPT TO:<d@d.test>\nDATA\n";
    let smtp = mail(&[
        ">DATA\n",
        "<354 go\n",
        ">Subject: one\n\nx\n.\n",
        rest,
        "<250 queued\n250 ok\n250 ok\n250 ok\n354 go\n",
        ">Subject: two\n\nx\n.\n",
        "<250 queued\n",
    ]);
    let subjects = [0, 1].map(|index| object(&smtp, index, "email").unwrap()["subject"].clone());
    assert_eq!(subjects, ["one", "two"]);
    assert!(is_over(&smtp, 0) && is_over(&smtp, 1));
    assert_eq!(events(&smtp), Vec::<&str>::new());
}

#[test]
fn a_refused_mail_was_commands() {
    let rest = ">DATA\nMAIL FROM:<c@c.test>\nRCPT TO:<d@d.test>\nDATA\nSubject: hidden\n\n.\nQUIT\n";
    let smtp = talk(&[&HELLO[..], &[rest, "<503 no recipients\n"]].concat());
    assert_eq!(object(&smtp, 0, "smtp").unwrap()["mail_from"], "<c@c.test>");
    assert_eq!(object(&smtp, 0, "email").unwrap()["subject"], "hidden");
    assert!(events(&smtp).contains(&"data_command_rejected"));
    // and one that has waited may try again
    let smtp = mail(&[">DATA\n", "<554 no\n", ">RCPT TO:<e@e.test>\n", "<250 ok\n", ">DATA\n", "<354 go\n", BODY]);
    assert_eq!(object(&smtp, 0, "email").unwrap()["subject"], "hello");
}

#[test]
fn chunks() {
    let smtp = mail(&[
        ">BDAT 17\nSubject: chunks\n",
        "<250 17 octets\n",
        ">BDAT 5 LAST\n\nDATA",
        "<250 ok\n",
        ">MAIL FROM:<c>\n",
    ]);
    assert_eq!(object(&smtp, 0, "email").unwrap()["subject"], "chunks");
    assert!(is_over(&smtp, 0));
    assert_eq!(smtp.transactions().len(), 2);
    let smtp = mail(&[">BDAT 5 X\nDATA\n", "<501 no\n354 go\n", BODY, "<250 ok\n"]);
    assert_eq!(events(&smtp), ["invalid_bdat"]);
    assert_eq!(object(&smtp, 0, "email").unwrap()["subject"], "hello");
    let smtp = mail(&[">BDAT 0 LAST\n", "<250 ok\n"]);
    assert!(is_over(&smtp, 0));
}

#[test]
fn starttls_is_the_end() {
    let smtp = talk(&[&HELLO[..], &[">STARTTLS\n", "<220 go\n", ">\x16\x03\x01"]].concat());
    assert!(smtp.is_opaque() && is_over(&smtp, 0));
    assert_eq!(smtp.transactions().len(), 1);
    let smtp = talk(&[&HELLO[..], &[">STARTTLS\n", "<454 no\n", ">MAIL FROM:<a>\n"]].concat());
    assert!(!smtp.is_opaque());
    assert_eq!(events(&smtp), ["tls_rejected"]);
    let smtp = talk(&[&HELLO[..], &[">STARTTLS\nMAIL FROM:<a>\n"]].concat());
    assert_eq!(events(&smtp), ["invalid_pipelined_sequence"]);
}

#[test]
fn answers_that_are_missing_shift_nothing() {
    // a greeting that ends in the middle of its answer
    let open = ["<220 mail.test ESMTP\n", ">EHLO client.test\n", "<250-mail.test\n"];
    // one that runs into the answer behind it
    let joined = ["<220 mail.test ESMTP", ">EHLO client.test\n", "<250-mail.test\n"];
    for hello in [open, joined] {
        let smtp = talk(&[&hello[..], &ENVELOPE, &[">DATA\n", "<354 go on\n", BODY, "<250 queued\n"]].concat());
        assert!(object(&smtp, 0, "email").is_some(), "{hello:?}");
        assert!(is_over(&smtp, 0), "{hello:?}");
        assert!(!events(&smtp).contains(&"data_command_rejected"), "{hello:?}");
    }
}

#[test]
fn what_is_noticed() {
    let long = format!(">{}\n", "x".repeat(5000));
    let long_reply = format!("<250 {}\n", "x".repeat(5000));
    for (dialogue, event) in [
        (&["<220 hi\n", ">HELO a\n", "<472 odd\n"][..], "invalid_reply"),
        (&["<220 hi\n", ">HELO a\n", "<4.7.0 odd\n"], "invalid_reply"),
        (&[">HELO a\n"], "no_server_welcome_message"),
        (&["<220 hi\n", ">HELO a\nHELO b\n"], "duplicate_fields"),
        (&["<220 hi\n", &long], "max_command_line_len_exceeded"),
        (&["<220 hi\n", ">HELO a\n", &long_reply], "max_reply_line_len_exceeded"),
        (&["<220 hi\n", ">HELO a\nDATA\nx\n"], "invalid_pipelined_sequence"),
    ] {
        assert_eq!(events(&talk(dialogue)).last(), Some(&event), "{dialogue:?}");
    }
}

/// Mails, chunks and refusals, in any order.
fn lines() -> impl Strategy<Value = Vec<(bool, String)>> {
    let line = prop_oneof![
        Just("HELO a\r\n"),
        Just("MAIL FROM:<a>\r\n"),
        Just("RCPT TO:<b>\r\n"),
        Just("DATA\r\n"),
        Just(".\r\n"),
        Just("BDAT 9\r\n"),
        Just("BDAT 4 LAST\r\n"),
        Just("RSET\n"),
        Just("Subject: x\r\n"),
        Just("\r\n"),
        Just("Content-Type: x; name=f\r\n"),
        Just("text\r\n"),
        Just("250 ok\r\n"),
        Just("354 go\r\n"),
        Just("503 no\r\n"),
        Just("250-PIPELINING\r\n"),
        Just("220 hi\r\n"),
        Just("STARTTLS\r\n"),
    ];
    prop::collection::vec((any::<bool>(), line.prop_map(str::to_owned)), 0..40)
}

proptest! {
    #[test]
    fn cuts_change_nothing(lines in lines(), cut in 1usize..7) {
        let (mut whole, mut pieces) = (Smtp::new(&Limits::default()), Smtp::new(&Limits::default()));
        for (server, line) in &lines {
            let direction = if *server { ToClient } else { ToServer };
            whole.hear(direction, line.as_bytes());
            line.as_bytes().chunks(cut).for_each(|piece| pieces.hear(direction, piece));
        }
        prop_assert_eq!(told(&pieces), told(&whole));
    }

    #[test]
    fn anything_can_be_said(said in prop::collection::vec((any::<bool>(), any::<Vec<u8>>(), 0u64..3), 0..20)) {
        let mut smtp = Smtp::new(&Limits::default());
        for (server, said, lost) in said {
            let direction = if server { ToClient } else { ToServer };
            smtp.hear(direction, &said);
            smtp.lost(direction, lost);
        }
        smtp.end(ToServer);
        smtp.end(ToClient);
        prop_assert!(smtp.mails.iter().all(|mail| [ToServer, ToClient].iter().all(|way| mail.is_complete(*way))));
    }
}

#[test]
fn truncated_anywhere() {
    let all = [&HELLO[..], &ENVELOPE[..], &[">DATA\n", "<354 go\n", BODY, "<250 ok\n"]].concat();
    for until in 0..all.len() {
        let last = all[until];
        for end in 1..last.len() {
            let mut dialogue = all[..until].to_vec();
            dialogue.push(&last[..end]);
            let mut smtp = talk(&dialogue);
            smtp.end(ToServer);
            smtp.end(ToClient);
            assert!(told(&smtp).iter().all(|mail| mail.contains("[true, true]")));
        }
    }
}
