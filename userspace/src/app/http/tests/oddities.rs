//! What is noticed.

use super::*;

/// What is noticed of a request.
fn asked(request: &str) -> Vec<&'static str> {
    let parser = exchanged(request.as_bytes(), b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    events(&parser, 0)
}

/// What is noticed of a response.
fn answered(response: &str) -> Vec<&'static str> {
    events(&ended(exchanged(GET, response.as_bytes())), 0)
}

#[test]
fn of_requests() {
    let field = |line: &str| format!("GET / HTTP/1.1\r\nHost: h\r\n{line}\r\n\r\n");
    let host = |value: &str| format!("GET / HTTP/1.1\r\nHost: {value}\r\n\r\n");
    let body = |fields: &str, body: &str| format!("POST / HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\n{body}");
    let cases: Vec<(String, &[&str])> = vec![
        (field("X: y"), &[]),
        (field("junk"), &["request_field_missing_colon"]),
        (field("a b: c"), &["request_header_invalid"]),
        (field("A: b\r\na: c"), &["request_header_repetition"]),
        (field(&format!("A: {}", "b".repeat(20_000))), &["request_field_too_long"]),
        (field("Authorization: Odd x"), &["request_auth_unrecognized"]),
        (field("Authorization: Basic eDp5"), &[]),
        ("GET / HTTP/1.1\r\n X: y\r\nHost: h\r\n\r\n".to_owned(), &["invalid_request_field_folding"]),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), &["missing_host_header"]),
        ("GET / HTTP/1.0\r\n\r\n".to_owned(), &[]),
        (host("a..b"), &["request_header_host_invalid"]),
        (host("a:x"), &["request_header_host_invalid"]),
        ("GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n".to_owned(), &["host_header_ambiguous"]),
        ("GET http://A./ HTTP/1.1\r\nHost: a.\r\n\r\n".to_owned(), &["host_header_ambiguous"]),
        ("GET http://a:0/ HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), &["request_uri_host_invalid"]),
        (" GET / HTTP/1.0\r\n\r\n".to_owned(), &["request_line_leading_whitespace"]),
        ("GET\t/ HTTP/1.0\r\n\r\n".to_owned(), &["method_delim_non_compliant"]),
        ("GET /\tHTTP/1.0\r\n\r\n".to_owned(), &["uri_delim_non_compliant"]),
        (body("Content-Length: x", ""), &["invalid_content_length_field_in_request"]),
        (
            body("Content-Length: 1\r\nContent-Length: 2", "a"),
            &["request_header_repetition", "duplicate_content_length_field_in_request"],
        ),
        (body("Transfer-Encoding: odd", ""), &["invalid_transfer_encoding_value_in_request"]),
        (body("Transfer-Encoding: chunked", "x\r\n"), &["invalid_request_chunk_len"]),
        (body("Transfer-Encoding: chunked", "1;x=y\r\na\r\n0\r\n\r\n"), &["request_chunk_extension"]),
        (body("Content-Length: 1", "a{\"more\":1}\r\n"), &["request_body_unexpected"]),
        (body("Content-Length: 1", "a\r\n"), &[]),
        (body("Content-Encoding: odd\r\nContent-Length: 0", ""), &["abnormal_ce_header"]),
        (body("Content-Encoding: gzip, gzip, gzip, gzip\r\nContent-Length: 0", ""), &["too_many_encoding_layers"]),
        (body("Content-Encoding: gzip\r\nContent-Length: 4", "none"), &["gzip_decompression_failed"]),
        (
            body("Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 3", "--b"),
            &["multipart_generic_error"],
        ),
    ];
    for (request, expected) in cases {
        assert_eq!(asked(&request), expected, "{}", &request[..request.len().min(100)]);
    }
}

#[test]
fn of_responses() {
    let field = |line: &str| format!("HTTP/1.1 200 OK\r\n{line}\r\nContent-Length: 0\r\n\r\n");
    let chunked = |version: &str, body: &str| format!("{version} 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
    let cases: Vec<(String, &[&str])> = vec![
        (field("X: y"), &[]),
        (field("junk"), &["response_field_missing_colon"]),
        (field("a b: c"), &["response_header_invalid"]),
        (field("A: b\r\na: c"), &["response_header_repetition"]),
        (field(&format!("A: {}", "b".repeat(20_000))), &["response_field_too_long"]),
        ("HTTP/1.1 200 OK\r\n X: y\r\nContent-Length: 0\r\n\r\n".to_owned(), &["invalid_response_field_folding"]),
        ("HTTP/1.1 2x0 OK\r\nContent-Length: 0\r\n\r\n".to_owned(), &["response_invalid_status"]),
        ("HTTP/9 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned(), &["response_invalid_protocol"]),
        ("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n".to_owned(), &["invalid_content_length_field_in_response"]),
        ("HTTP/1.1 304 No\r\nContent-Length: 0\r\n\r\n".to_owned(), &["response_body_unexpected"]),
        (
            "HTTP/1.1 200 OK\r\nContent-Type: multipart/byteranges\r\n\r\n".to_owned(),
            &["response_multipart_byteranges"],
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n".to_owned(),
            &["response_abnormal_transfer_encoding"],
        ),
        (chunked("HTTP/1.0", "0\r\n\r\n"), &["response_chunked_old_proto"]),
        (chunked("HTTP/1.1", "x"), &["invalid_response_chunk_len"]),
        (chunked("HTTP/1.1", "1;x\r\na\r\n0\r\n\r\n"), &["response_chunk_extension"]),
        (
            "HTTP/1.1 100 C\r\n\r\nHTTP/1.1 100 C\r\n\r\nHTTP/1.1 204 No\r\n\r\n".to_owned(),
            &["100_continue_already_seen"],
        ),
    ];
    for (response, expected) in cases {
        assert_eq!(answered(&response), expected, "{}", &response[..response.len().min(100)]);
    }
}

#[test]
fn too_many_fields_are_not_kept() {
    let fields: String = (0..2000).map(|at| format!("A{at}: b\r\n")).collect();
    assert_eq!(
        answered(&format!("HTTP/1.1 204 No\r\n{fields}\r\n")),
        ["response_field_too_long", "response_too_many_headers"]
    );
}

#[test]
fn an_unfinished_first_line_is_told_of() {
    let parser = ended(heard(&[(Direction::ToServer, b"GET /unfinished")]));
    assert!(events(&parser, 0).contains(&"request_line_incomplete"));
    assert_eq!(of(&parser, Buffer::HttpUri, Direction::ToServer).as_deref(), Some("/unfinished"));
}

/// White space and one byte are no request, but were noticed as the beginning of one: they are over with the connection.
#[test]
fn what_is_no_request_is_over_with_its_connection() {
    let parser = ended(heard(&[(Direction::ToServer, b"\x0b\xde")]));
    assert_eq!(events(&parser, 0), ["request_line_incomplete"]);
    let all = parser.transactions();
    assert!(all.iter().all(|one| [Direction::ToServer, Direction::ToClient].iter().all(|way| one.is_complete(*way))));
}
