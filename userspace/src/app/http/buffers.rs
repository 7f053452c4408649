//! What rules call the parts of a request and its response.

use dropgate_signatures::{
    buffer::Buffer,
    subject::{Data, Direction, Field},
};

use super::{
    message::{Message, Progress},
    pair::Pair,
};

/// The contents of a buffer.
pub fn buffer(pair: &Pair, buffer: Buffer, direction: Direction, instance: usize) -> Field<'_> {
    if !buffer.way().is(direction) {
        return Field::Absent;
    }
    let message = pair.message(direction);
    match buffer {
        Buffer::HttpRequestHeader | Buffer::HttpResponseHeader => {
            return after(message, Progress::Body, || message.normal().field(instance));
        }
        Buffer::FileData if direction == Direction::ToServer => {
            return match message.contents(instance) {
                Some((contents, over)) => part(contents, over),
                None => unless_complete(message),
            };
        }
        Buffer::FileName => {
            return match message.files().get(instance) {
                Some(file) => Field::whole(file.name()),
                None => unless_complete(message),
            };
        }
        _ if instance > 0 => return Field::Absent,
        _ => {}
    }
    line(pair, buffer, direction).or_else(|| section(pair, buffer, direction)).unwrap_or_else(|| match buffer {
        Buffer::HttpRequestBody | Buffer::HttpResponseBody | Buffer::FileData => body(message),
        _ => Field::Absent,
    })
}

/// Parts of the first line.
fn line(pair: &Pair, buffer: Buffer, direction: Direction) -> Option<Field<'_>> {
    let (request, response) = (&pair.request_line, &pair.response_line);
    let bytes: Option<&[u8]> = match (buffer, direction) {
        (Buffer::HttpMethod, _) => Some(&request.method[..]).filter(|method| !method.is_empty()),
        (Buffer::HttpUri, _) => pair.uri.normal.as_deref(),
        (Buffer::HttpUriRaw, _) => request.target.as_deref(),
        (Buffer::HttpRequestLine, _) => Some(&request.line[..]).filter(|line| !line.is_empty()),
        (Buffer::HttpProtocol, Direction::ToServer) => request.protocol.as_deref(),
        (Buffer::HttpProtocol, Direction::ToClient) => response.protocol.as_deref(),
        (Buffer::HttpResponseLine, _) => Some(&response.line[..]).filter(|line| !line.is_empty()),
        (Buffer::HttpStatCode, _) => response.status.as_deref(),
        (Buffer::HttpStatMsg, _) => response.message.as_deref(),
        _ => return None,
    };
    Some(after(pair.message(direction), Progress::Headers, || bytes))
}

/// The field that a buffer holds, of those that hold one.
pub const fn field_of(buffer: Buffer, direction: Direction) -> Option<&'static str> {
    Some(match buffer {
        Buffer::HttpUserAgent => "user-agent",
        Buffer::HttpReferer => "referer",
        Buffer::HttpCookie if matches!(direction, Direction::ToServer) => "cookie",
        Buffer::HttpCookie => "set-cookie",
        Buffer::HttpAccept => "accept",
        Buffer::HttpAcceptEnc => "accept-encoding",
        Buffer::HttpAcceptLang => "accept-language",
        Buffer::HttpConnection => "connection",
        Buffer::HttpContentType => "content-type",
        Buffer::HttpContentLen => "content-length",
        Buffer::HttpLocation => "location",
        Buffer::HttpServer => "server",
        _ => return None,
    })
}

/// Parts of the header section.
fn section(pair: &Pair, buffer: Buffer, direction: Direction) -> Option<Field<'_>> {
    let message = pair.message(direction);
    if let Some(name) = field_of(buffer, direction) {
        return Some(after(message, Progress::Body, || message.headers.get(name)));
    }
    match buffer {
        Buffer::HttpHost => Some(after(message, Progress::Body, || pair.host.as_deref())),
        Buffer::HttpHostRaw => {
            let host = || pair.uri.host_raw.as_deref().or_else(|| message.headers.get("host"));
            Some(after(message, Progress::Body, host))
        }
        Buffer::HttpHeaderRaw => {
            let raw = || Some(message.headers.raw()).filter(|raw| !raw.is_empty());
            Some(after(message, Progress::Body, raw))
        }
        Buffer::HttpHeader | Buffer::HttpHeaderNames => {
            let text = || {
                let normal = message.normal();
                let text = if buffer == Buffer::HttpHeader { normal.header() } else { &normal.names };
                Some(text).filter(|text| !text.is_empty())
            };
            Some(after(message, Progress::Body, text))
        }
        Buffer::HttpStart => {
            if message.progress < Progress::Body {
                return Some(unless_complete(message));
            }
            let line = match direction {
                Direction::ToServer => &pair.request_line.line,
                Direction::ToClient => &pair.response_line.line,
            };
            if line.is_empty() {
                return Some(Field::Absent);
            }
            let start = [line, &b"\r\n"[..], &message.normal().all, b"\r\n"].concat();
            Some(Field::Whole(Data { bytes: start.into() }))
        }
        _ => None,
    }
}

fn body(message: &Message) -> Field<'_> {
    let complete = message.progress == Progress::Complete;
    match message.body() {
        [] if complete => Field::Absent,
        [] => Field::Pending,
        bytes => part(bytes, complete),
    }
}

fn part(bytes: &[u8], whole: bool) -> Field<'_> {
    let data = Data { bytes: bytes.into() };
    if whole { Field::Whole(data) } else { Field::Part(data) }
}

/// What is known once the message has come so far.
fn after<'a>(message: &'a Message, progress: Progress, bytes: impl FnOnce() -> Option<&'a [u8]>) -> Field<'a> {
    if message.progress < progress { Field::Pending } else { Field::optional(bytes()) }
}

/// There is none, and none will come if the message is over.
fn unless_complete(message: &Message) -> Field<'_> {
    if message.progress == Progress::Complete { Field::Absent } else { Field::Pending }
}
