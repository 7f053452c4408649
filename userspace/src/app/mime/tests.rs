use proptest::prelude::*;

use super::*;

/// Name, content and whether it is over, of each file.
type Files = Vec<(String, String, bool)>;

fn message(text: &str) -> Message {
    let mut message = Message::new(Limits::default());
    message.hear(text.replace('\n', "\r\n").as_bytes());
    message
}

fn files(message: &Message) -> Files {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    message.files().iter().map(|file| (text(file.name()), text(file.contents()), file.is_over())).collect()
}

fn file(name: &str, content: &str) -> (String, String, bool) {
    (name.into(), content.into(), true)
}

const NESTED: &str = "From: a@b.test
Subject: one
 two
Content-Type: multipart/mixed;
\tboundary=\"out er\"

preamble
--out er
Content-Type: multipart/alternative; boundary=in

--in
Content-Type: text/plain

look at http://web.test/x here
--in
Content-Type: text/html; name=page.html
Content-Transfer-Encoding: quoted-printable

<a href=3D\"http://ht=
ml.test/\">
--in--
--out er
Content-Disposition: attachment; filename=a.bin
Content-Transfer-Encoding: base64

aGVsbG8g
d29ybGQ=
--out er
Content-Type: message/rfc822
Content-Disposition: attachment; filename=forwarded.eml

Subject: inner
Content-Type: application/x; name=\"in.exe\"

MZ
--out er--
epilogue
";

#[test]
fn parts_in_parts() {
    let mut message = message(NESTED);
    message.end(true);
    let expected = [
        file("page.html", "<a href=\"http://html.test/\">"),
        file("a.bin", "hello world"),
        file("forwarded.eml", "Subject: inner\r\nContent-Type: application/x; name=\"in.exe\"\r\n\r\nMZ"),
        file("in.exe", "MZ"),
    ];
    assert_eq!(files(&message), expected);
    assert_eq!(message.urls(), [&b"web.test/x"[..], b"html.test/"]);
    assert_eq!(message.values("subject").collect::<Vec<_>>(), [b"onetwo"]);
    assert_eq!(message.take_events(), Vec::<&str>::new());
}

#[test]
fn a_boundary_is_one_only_as_a_whole_line() {
    let mut message = message(
        "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: x; name=f\n\nx\n--bc\n --b\ny\n--b-- \t\nz\n",
    );
    message.end(true);
    assert_eq!(files(&message), [file("f", "x\r\n--bc\r\n --b\r\ny")]);
}

#[test]
fn depth_is_bounded() {
    let levels = 40;
    let mut text = String::new();
    for level in 0..levels {
        text += &format!("Content-Type: multipart/mixed; boundary=b{level}\n\n--b{level}\n");
    }
    text += "Content-Type: x; name=deep\n\nx\n";
    let mut message = message(&text);
    message.end(true);
    assert!(message.entities.is_empty());
    let mut nested = String::new();
    (0..levels).for_each(|_| nested += "Content-Type: message/rfc822\n\n");
    assert!(super::tests::message(&nested).entities.len() <= DEPTH_MAX + 1);
}

#[test]
fn what_is_noticed() {
    let long = "x".repeat(80);
    for (text, event) in [
        (format!("{long}: y\n\n"), "mime_long_header_name"),
        (format!("y: {}\n\n", long.repeat(30)), "mime_long_header_value"),
        (format!("y: z\n\n{}\n", long.repeat(13)), "mime_long_line"),
        (format!("Content-Type: multipart/x; boundary={}\n\n", long.repeat(4)), "mime_long_boundary"),
        (format!("Content-Type: x; name={}\n\n", long.repeat(4)), "mime_long_filename"),
        ("Content-Type: x; name=f\nContent-Transfer-Encoding: base64\n\n!\n".into(), "mime_invalid_base64"),
        ("Content-Type: x; name=f\nContent-Transfer-Encoding: quoted-printable\n\n=z\n".into(), "mime_invalid_qp"),
        (format!("Content-Type: x; name=f\nContent-Transfer-Encoding: base64\n\n{long}\n"), "mime_long_enc_line"),
    ] {
        let mut message = message(&text);
        message.end(true);
        assert!(message.take_events().contains(&event), "{event}: {text}");
    }
}

#[test]
fn truncated_anywhere() {
    let text = NESTED.replace('\n', "\r\n");
    for end in 0..text.len() {
        let mut message = Message::new(Limits::default());
        message.hear(&text.as_bytes()[..end]);
        message.end(false);
        assert!(message.files().iter().all(Tracked::is_over));
        assert_eq!(message.body_md5(), None);
    }
}

proptest! {
    #[test]
    fn cuts_change_nothing(cuts in prop::collection::vec(0usize..700, 0..6)) {
        let text = NESTED.replace('\n', "\r\n");
        let mut whole = Message::new(Limits::default());
        whole.hear(text.as_bytes());
        whole.end(true);
        let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
        cuts.sort_unstable();
        cuts.push(text.len());
        let (mut message, mut from) = (Message::new(Limits::default()), 0);
        for cut in cuts {
            message.hear(&text.as_bytes()[from..cut]);
            from = cut;
        }
        message.end(true);
        prop_assert_eq!(files(&message), files(&whole));
        prop_assert_eq!(message.fields(), whole.fields());
        prop_assert_eq!(message.urls(), whole.urls());
        prop_assert_eq!(message.body_md5(), whole.body_md5());
    }
}
