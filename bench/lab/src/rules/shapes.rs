//! What rules of each kind look like.

use super::Draw;

/// Header and options, without what all rules have.
type Shape = fn(&mut Draw, u32) -> (String, String);

/// With how many of a hundred rules each has.
pub const SHAPES: [(u32, Shape); 12] = [
    (22, request),
    (8, uri),
    (5, upload),
    (9, page),
    (20, query),
    (10, server_name),
    (6, certificate),
    (12, stream),
    (2, banner),
    (3, datagram),
    (1, bad_addresses),
    (2, mail),
];

const OUT: &str = "$HOME_NET any -> $EXTERNAL_NET any";
const IN: &str = "$EXTERNAL_NET any -> $HOME_NET any";

/// A program that reports to whom it belongs: method, path, agent.
fn request(draw: &mut Draw, number: u32) -> (String, String) {
    let mut options = String::from("flow:established,to_server; ");
    options += &format!("http.method; content:\"{}\"; ", draw.pick(&["GET", "POST", "POST", "GET", "PUT"]));
    options += &match draw.below(4) {
        0 => format!("http.uri; content:\"/{}/{}.php?id=\"; startswith; fast_pattern; ", draw.word(), draw.word()),
        1 => format!(
            "http.uri; content:\"{}={}&{}=\"; nocase; fast_pattern; content:\"&v=\"; distance:0; ",
            draw.word(),
            draw.hex(3),
            draw.word()
        ),
        2 => format!("http.uri; content:\"/{}_{}/gate.php\"; bsize:<64; endswith; ", draw.word(), draw.word()),
        _ => format!(
            "http.uri; content:\".php\"; content:\"/{}-{}/\"; fast_pattern; pcre:\"/\\/{}-[a-z]{{3,9}}\\/[0-9]{{2,8}}\\.php$/\"; ",
            draw.word(),
            draw.word(),
            draw.word()
        ),
    };
    if draw.percent(25) {
        options += &format!("http.user_agent; content:\"{}/{}.\"; startswith; ", capital(draw), draw.range(1, 9));
    }
    if draw.percent(15) {
        options += "http.header_names; content:!\"Referer\"; content:!\"Accept-Language\"; ";
    }
    if draw.percent(8) {
        options += &format!("http.host; content:\"{}.{}\"; endswith; ", draw.word(), top(draw));
    }
    if draw.percent(6) {
        options += &format!("flowbits:set,made.up.{}; flowbits:noalert; ", number % 40);
    }
    (format!("http {OUT}"), options)
}

/// An attack on a web application.
fn uri(draw: &mut Draw, _: u32) -> (String, String) {
    let mut options = format!(
        "flow:established,to_server; http.uri; content:\"/{}/{}.php?\"; nocase; content:\"{}=\"; nocase; distance:0; ",
        draw.word(),
        draw.word(),
        draw.word()
    );
    options += &match draw.below(3) {
        0 => "content:\"SELECT\"; nocase; distance:0; pcre:\"/SELECT.+FROM/i\"; ".to_owned(),
        1 => format!("content:\"../../\"; distance:0; content:\"{}.conf\"; distance:0; ", draw.word()),
        _ => "content:\"<script\"; nocase; pcre:\"/<script[^>]{0,64}>[^<]+alert/i\"; ".to_owned(),
    };
    ("http $EXTERNAL_NET any -> $HTTP_SERVERS any".to_owned(), options)
}

/// What a program sends home.
fn upload(draw: &mut Draw, _: u32) -> (String, String) {
    let mut options = format!(
        "flow:established,to_server; http.method; content:\"POST\"; http.request_body; content:\"{}={}\"; depth:40; fast_pattern; ",
        draw.word(),
        draw.hex(2)
    );
    for _ in 0..draw.below(4) {
        options += &format!("content:\"&{}=\"; distance:0; within:120; ", draw.word());
    }
    if draw.percent(30) {
        options += "pcre:\"/^[a-z]{2,12}=[A-Za-z0-9+\\/]{20,}={0,2}(?:&|$)/\"; ";
    }
    (format!("http {OUT}"), options)
}

/// A page that attacks whoever looks at it.
fn page(draw: &mut Draw, number: u32) -> (String, String) {
    let mut options = String::from("flow:established,to_client; ");
    if draw.percent(20) {
        options += "http.stat_code; content:\"200\"; ";
    }
    if draw.percent(10) {
        options += &format!("flowbits:isset,made.up.{}; ", number % 40);
    }
    options += &format!("file.data; content:\"{}.{}(\"; nocase; fast_pattern; ", draw.word(), capital(draw));
    for _ in 0..draw.range(0, 4) {
        options += &format!("content:\"{}\"; nocase; distance:0; ", draw.word());
    }
    if draw.percent(35) {
        options += &format!("pcre:\"/var\\s+([a-z]+)\\s*=\\s*{}.+\\1/Rsi\"; ", draw.word());
    }
    (format!("http {IN}"), options)
}

/// A name that is asked for.
fn query(draw: &mut Draw, _: u32) -> (String, String) {
    let name = name(draw);
    let options = match draw.below(10) {
        0..5 => format!("dns.query; content:\"{name}\"; nocase; endswith; "),
        5..8 => format!("dns.query; content:\"{name}\"; bsize:{}; nocase; ", name.len()),
        8 => format!("dns.query; dotprefix; content:\".{name}\"; nocase; endswith; "),
        _ => format!(
            "dns.query; content:\"{}\"; startswith; content:\"{name}\"; distance:0; fast_pattern; ",
            draw.word()
        ),
    };
    ("dns $HOME_NET any -> any any".to_owned(), options)
}

/// A name that is said in the clear before it is encrypted.
fn server_name(draw: &mut Draw, _: u32) -> (String, String) {
    let name = name(draw);
    let options = match draw.below(10) {
        0..6 => format!("tls.sni; content:\"{name}\"; bsize:{}; fast_pattern; ", name.len()),
        6..8 => format!("tls.sni; dotprefix; content:\".{name}\"; endswith; fast_pattern; "),
        _ => format!("ja3.hash; content:\"{}\"; ", draw.hex(32)),
    };
    (format!("tls {OUT}"), format!("flow:established,to_server; {options}"))
}

/// Who a server says it is.
fn certificate(draw: &mut Draw, _: u32) -> (String, String) {
    let name = name(draw);
    let options = match draw.below(3) {
        0 => format!("tls.cert_subject; content:\"CN={name}\"; nocase; endswith; fast_pattern; "),
        1 => format!(
            "tls.certs; content:\"|55 04 03|\"; content:\"|{:02x}|{name}\"; distance:1; within:{}; fast_pattern; ",
            name.len(),
            name.len() + 1
        ),
        _ => format!("tls.cert_issuer; content:\"O={}\"; content:\"CN={name}\"; ", capital(draw)),
    };
    (format!("tls {IN}"), format!("flow:established,to_client; {options}"))
}

/// What is said on a connection that nobody reads.
fn stream(draw: &mut Draw, number: u32) -> (String, String) {
    let header = match draw.below(10) {
        0..5 => format!("tcp {OUT}"),
        5 => format!("tcp $EXTERNAL_NET any -> $HOME_NET {}", draw.pick(&["445", "139", "[139,445]", "135", "3389"])),
        6 => "tcp $EXTERNAL_NET $HTTP_PORTS -> $HOME_NET any".to_owned(),
        7 => format!("tcp any any -> any {}", draw.range(1024, 9999)),
        8 => "tcp $EXTERNAL_NET any -> $HOME_NET [1024:5000,49152:]".to_owned(),
        _ => format!("tcp {IN}"),
    };
    let way = if draw.percent(75) { "to_server" } else { "to_client" };
    let mut options = format!("flow:established,{way}; ");
    options += &match draw.below(5) {
        0 => format!("content:\"{}\"; depth:8; content:\"{}|00|\"; distance:4; ", draw.bytes(4), draw.word()),
        1 => format!("content:\"{}|3a|{}\"; startswith; ", draw.word(), draw.hex(4)),
        2 => format!(
            "content:\"|ff|SMB\"; depth:8; content:\"{}\"; distance:0; byte_test:2,>,{},4,relative,little; ",
            draw.bytes(6),
            draw.range(64, 2000)
        ),
        3 => format!("content:\"{}\"; offset:{}; depth:64; fast_pattern; ", draw.bytes(7), draw.range(0, 20)),
        _ => format!("content:\"{} {}|0d 0a|\"; nocase; pcre:\"/^[A-Z]{{2,9}} /\"; ", draw.word(), draw.word()),
    };
    for _ in 0..draw.below(4) {
        options += &format!("content:\"{}\"; distance:0; within:{}; ", draw.bytes(3), draw.range(20, 200));
    }
    if draw.percent(15) {
        let action = draw.pick(&["set", "isset", "isnotset"]);
        options += &format!("flowbits:{action},made.up.{}; ", number % 40);
    }
    (header, options)
}

/// Old protocols, on their ports.
fn banner(draw: &mut Draw, _: u32) -> (String, String) {
    let (protocol, port) = draw.pick(&[("ftp", "any"), ("tcp", "21"), ("tcp", "23"), ("ssh", "any"), ("tcp", "3306")]);
    let look = match protocol {
        "ssh" => format!("ssh.software; content:\"{}_{}\"; ", capital(draw), draw.range(1, 9)),
        _ => format!("content:\"{} {}\"; nocase; ", draw.pick(&["USER", "PASS", "STOR", "SITE"]), draw.word()),
    };
    (format!("{protocol} any any -> any {port}"), format!("flow:established,to_server; {look}"))
}

/// Datagrams.
fn datagram(draw: &mut Draw, _: u32) -> (String, String) {
    let port = match draw.below(4) {
        0 => "any".to_owned(),
        1 => draw.pick(&["5060", "161", "1900", "69", "123"]).to_owned(),
        _ => draw.range(1024, 65535).to_string(),
    };
    let options = match draw.below(3) {
        0 => format!("content:\"{}\"; depth:{}; ", draw.bytes(5), draw.range(5, 12)),
        1 => format!("dsize:>{}; content:\"{}{}\"; offset:2; ", draw.range(8, 40), draw.word(), draw.bytes(2)),
        _ => format!(
            "content:\"{} {}\"; nocase; threshold:type limit, track by_src, seconds 60, count 1; ",
            draw.word(),
            draw.word()
        ),
    };
    (format!("udp any any -> any {port}"), options)
}

/// Hosts that nobody should speak to (of the range for benchmarks, RFC 2544).
fn bad_addresses(draw: &mut Draw, _: u32) -> (String, String) {
    let hosts: Vec<String> =
        (0..60).map(|_| format!("198.{}.{}.{}", draw.range(18, 19), draw.below(256), draw.below(256))).collect();
    let header = format!("ip [{}] any -> $HOME_NET any", hosts.join(","));
    (header, "threshold:type limit, track by_src, seconds 3600, count 1; ".to_owned())
}

/// Mail.
fn mail(draw: &mut Draw, _: u32) -> (String, String) {
    let options = match draw.below(2) {
        0 => format!("content:\"Subject|3a 20|{} {}\"; nocase; ", capital(draw), draw.word()),
        _ => format!("file.data; content:\"{}{}\"; ", draw.word(), draw.bytes(4)),
    };
    (format!("smtp {IN}"), format!("flow:established,to_server; {options}"))
}

/// A host's name, as they are made up in masses.
fn name(draw: &mut Draw) -> String {
    match draw.below(3) {
        0 => format!("{}-{}.{}", draw.word(), draw.word(), top(draw)),
        1 => format!("{}{}{}.{}", draw.word(), draw.word(), draw.below(100), top(draw)),
        _ => format!("{}.{}.{}", draw.hex(8), draw.word(), top(draw)),
    }
}

fn top(draw: &mut Draw) -> &'static str {
    draw.pick(&["com", "net", "top", "xyz", "info", "site", "ru", "biz", "club", "online"])
}

fn capital(draw: &mut Draw) -> String {
    let word = draw.word();
    word[..1].to_ascii_uppercase() + &word[1..]
}
