//! What a buffer looks like says how contents of it must: a digest is in lower case, whatever the rule writes.

use super::{draft::List, mistake::Mistake};
use crate::{
    buffer::Buffer,
    codes,
    rule::{Check, Content, Selected},
};

/// Brings contents into the form of their buffer.
///
/// # Errors
/// The first content that the buffer can never hold.
pub(super) fn adapt(list: &mut List) -> Result<(), Mistake> {
    let Selected::Buffer(buffer) = list.selected else { return Ok(()) };
    // what a transform makes has a form of its own
    if !list.transforms.is_empty() {
        return Ok(());
    }
    for item in &mut list.items {
        let Check::Content(content) = &mut item.check else { continue };
        adapt_one(buffer, content)
            .map_err(|message| Mistake::new(&codes::IMPOSSIBLE, message).at(item.span.clone()))?;
    }
    Ok(())
}

fn adapt_one(buffer: Buffer, content: &mut Content) -> Result<(), String> {
    let name = buffer.name();
    match buffer {
        Buffer::TlsCertFingerprint
        | Buffer::TlsFingerprint
        | Buffer::Ja3Hash
        | Buffer::Ja3sHash
        | Buffer::SshHassh
        | Buffer::SshHasshServer
        | Buffer::EmailBodyMd5 => content.bytes = content.bytes.to_ascii_lowercase().into(),
        Buffer::TlsCertSerial => content.bytes = content.bytes.to_ascii_uppercase().into(),
        Buffer::HttpHost if content.nocase => {
            return Err(format!("`{name}` is in lower case: `nocase` says nothing about it"));
        }
        Buffer::HttpHost if content.bytes.iter().any(u8::is_ascii_uppercase) => {
            return Err(format!("`{name}` is in lower case, and the content is not"));
        }
        Buffer::HttpMethod if content.bytes.iter().any(u8::is_ascii_whitespace) => {
            return Err(format!("`{name}` holds no spaces"));
        }
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::{
        load::tests::loaded,
        rule::{Check, Condition},
    };

    /// The first content of the only rule.
    fn content(options: &str) -> Option<String> {
        let text = format!("alert ip any any -> any any ({options} sid:1;)");
        let rules = loaded(text.as_bytes()).rules;
        let Condition::Inspect(inspect) = &rules.first()?.conditions[0] else { panic!("no content") };
        let Check::Content(content) = &inspect.checks[0] else { panic!("no content") };
        Some(String::from_utf8_lossy(&content.bytes).into_owned())
    }

    #[test]
    fn contents_take_the_form_of_their_buffer() {
        for (options, expected) in [
            ("ja3.hash; content:\"AB\";", Some("ab")),
            ("tls.cert_serial; content:\"0a:ff\";", Some("0A:FF")),
            ("tls.cert_fingerprint; content:\"AA:bb\";", Some("aa:bb")),
            ("http.host; content:\"example.com\";", Some("example.com")),
            ("http.host; content:\"example.com\"; nocase;", None),
            ("http.host; content:\"Example.com\";", None),
            ("http.host; to_uppercase; content:\"EXAMPLE\";", Some("EXAMPLE")),
            ("http.method; content:\"GET \";", None),
            ("http.uri; content:\"/A\";", Some("/A")),
        ] {
            assert_eq!(content(options).as_deref(), expected, "{options}");
        }
    }
}
