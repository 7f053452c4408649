//! Flows that others announce: the policy names the control port alone.

use std::{
    net::{TcpStream, UdpSocket},
    os::unix::fs::PermissionsExt as Mode,
    time::Duration,
};

use dropgate_lab::{Gateway, Kind, Lab, address::*, wait_until};

use crate::{
    daemon::Daemon,
    policies,
    setup::LIMIT,
    traffic::{fails, host, works},
};

const LINES: &str = r#"
[[zone.office.egress]]
name = "files"
tcp = [21]
udp = [69]

[[zone.office.egress]]
name = "phone"
udp = [5060]

[inspection]
mismatch = "drop"
unknown = "drop"
pending = "drop"
"#;

const FTP: &str = "listen=NO
listen_ipv6=YES
anonymous_enable=YES
local_enable=NO
no_anon_password=YES
anon_root=DIR
background=NO
seccomp_sandbox=NO
port_enable=YES
pasv_enable=YES
pasv_min_port=50000
pasv_max_port=50099
secure_chroot_dir=DIR
";

/// What the servers give.
const FILE: &str = "this is a file\n";

/// A gateway, an FTP and a TFTP server on the outside, and the policy in force.
fn guarded(kind: Kind) -> (Gateway, Daemon) {
    let mut lab = Lab::gateway(kind).unwrap();
    let dir = lab.dir().join("files");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("file"), FILE).unwrap();
    // the servers give up root before they read
    std::fs::set_permissions(lab.dir(), Mode::from_mode(0o755)).unwrap();
    std::fs::set_permissions(&dir, Mode::from_mode(0o555)).unwrap();
    let config = lab.write("vsftpd.conf", &FTP.replace("DIR", &dir.display().to_string())).unwrap();
    let mut ftp = lab.servers.command("vsftpd");
    lab.serve("ftp", ftp.arg(config)).unwrap();
    let mut tftp = lab.servers.command("dnsmasq");
    tftp.args([
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--user=root",
        "--group=root",
        "--pid-file=",
        "--port=0",
    ]);
    tftp.args(["--enable-tftp", "--log-facility=-"]).arg(format!("--tftp-root={}", dir.display()));
    lab.serve("tftp", &mut tftp).unwrap();
    let servers = lab.servers.clone();
    wait_until("the FTP server", LIMIT, || servers.enter(|| TcpStream::connect((SERVER, 21)).is_ok())).unwrap();
    let daemon = Daemon::start(&lab, &policies::office(kind, LINES));
    (lab, daemon)
}

fn get(lab: &Gateway, url: &str) {
    assert_eq!(works(&lab.office, &format!("curl -sf -m 8 {url}")), FILE, "{url}");
}

#[test]
fn passive_ftp() {
    for kind in [Kind::Masquerade, Kind::Route] {
        let (lab, daemon) = guarded(kind);
        let mut related = 0;
        for (server, options) in [(SERVER, ""), (SERVER, "--disable-epsv"), (SERVER6, "")] {
            get(&lab, &format!("{options} ftp://{}/file", host(server)));
            related += 1;
            assert_eq!(daemon.count("related"), related, "{}", daemon.status());
        }
        // without a control channel there is nothing
        let before = daemon.count("not_allowed");
        fails(&lab.office, &format!("curl -sf -m 1 telnet://{SERVER}:50000"));
        assert!(daemon.count("not_allowed") > before);
        for reason in ["app_mismatch", "app_unknown", "app_pending", "first_byte_impossible"] {
            assert_eq!(daemon.count(reason), 0, "{}", daemon.status());
        }
    }
}

#[test]
fn active_ftp() {
    let (lab, daemon) = guarded(Kind::Route);
    for (server, options) in
        [(SERVER, "--ftp-port - --disable-eprt"), (SERVER, "--ftp-port -"), (SERVER6, "--ftp-port -")]
    {
        get(&lab, &format!("{options} ftp://{}/file", host(server)));
    }
    assert_eq!(daemon.count("related"), 3, "{}", daemon.status());
}

#[test]
fn tftp() {
    let (lab, daemon) = guarded(Kind::Route);
    for server in [SERVER, SERVER6] {
        get(&lab, &format!("tftp://{}/file", host(server)));
    }
    // the transfers are inspected too: flows of their own, which the server has begun
    let flows = daemon.flows();
    let transfers = flows.iter().filter(|flow| flow["app_proto"] == "tftp" && flow["dport"] != 69).count();
    assert_eq!(transfers, 2, "{flows:?}");
}

/// The kernel follows the control flows too, which it does where it is told to: else it could translate nothing back.
const HELPERS: &str = "\
table inet helpers {
    ct helper files { type \"ftp\" protocol tcp; }
    ct helper transfers { type \"tftp\" protocol udp; }
    chain prerouting {
        type filter hook prerouting priority filter;
        tcp dport 21 ct helper set \"files\"
        udp dport 69 ct helper set \"transfers\"
    }
}
";

/// What a server begins, behind translation.
#[test]
fn servers_that_call_back() {
    let (lab, daemon) = guarded(Kind::Masquerade);
    let rules = lab.write("helpers.nft", HELPERS).unwrap();
    lab.gw.check("nft", ["-f".as_ref(), rules.as_os_str()]).unwrap();
    for server in [SERVER, SERVER6] {
        get(&lab, &format!("--ftp-port - ftp://{}/file", host(server)));
        get(&lab, &format!("tftp://{}/file", host(server)));
    }
    get(&lab, &format!("--ftp-port - --disable-eprt ftp://{SERVER}/file"));
    for reason in ["app_mismatch", "app_unknown", "app_pending", "first_byte_impossible"] {
        assert_eq!(daemon.count(reason), 0, "{}", daemon.status());
    }
    let flows = daemon.flows();
    let transfers = flows.iter().filter(|flow| flow["app_proto"] == "tftp" && flow["dport"] != 69).count();
    assert_eq!(transfers, 2, "{flows:?}");
    // to a port that nobody has announced
    let before = daemon.count("not_published");
    fails(&lab.servers, &format!("curl -sf -m 1 telnet://{WAN}:40000"));
    assert!(daemon.count("not_published") > before);
}

/// A call between a host of the zone and one outside: both name their ports, and media pass between those.
#[test]
fn sip_and_its_media() {
    let (lab, daemon) = guarded(Kind::Route);
    for (client, server, family) in [(OFFICE, SERVER, "IP4"), (OFFICE6, SERVER6, "IP6")] {
        let at = |inside: bool, port: u16| {
            let (namespace, address) = if inside { (&lab.office, client) } else { (&lab.servers, server) };
            let socket = namespace.enter(|| UdpSocket::bind((address, port)).unwrap()).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
            socket
        };
        let (phone, far) = (at(true, 5060), at(false, 5060));
        let (media, far_media) = (at(true, 40_000), at(false, 41_000));
        let rtp = |sequence: u8| [&[0x80, 0, 0, sequence, 0, 0, 0, sequence, 1, 2, 3, 4][..], &[0x55; 160]].concat();
        media.send_to(&rtp(0), (server, 41_000)).unwrap();
        far_media.send_to(&rtp(0), (client, 40_000)).unwrap();
        let sdp = |address: &str, port: u16| format!("v=0\r\nc=IN {family} {address}\r\nm=audio {port} RTP/AVP 0\r\n");
        let message = |first: &str, body: String| {
            format!(
                "{first}\r\nVia: SIP/2.0/UDP {client}\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )
        };
        let mut got = [0; 2048];
        phone.send_to(message("INVITE sip:b@example SIP/2.0", sdp(client, 40_000)).as_bytes(), (server, 5060)).unwrap();
        far.recv(&mut got).expect("the call");
        far.send_to(message("SIP/2.0 200 OK", sdp(server, 41_000)).as_bytes(), (client, 5060)).unwrap();
        phone.recv(&mut got).expect("the answer");
        // from the outside first, and reports on a flow of their own
        for sequence in 1..6 {
            far_media.send_to(&rtp(sequence), (client, 40_000)).unwrap();
            assert_eq!(media.recv(&mut got).expect("media"), 172);
            assert_eq!(got[3], sequence, "what came before the call got through");
            media.send_to(&rtp(sequence), (server, 41_000)).unwrap();
            assert_eq!(far_media.recv(&mut got).expect("media"), 172);
        }
        let (reports, far_reports) = (at(true, 40_001), at(false, 41_001));
        let report = [&[0x80, 200, 0, 6, 1, 2, 3, 4][..], &[7; 20]].concat();
        reports.send_to(&report, (server, 41_001)).unwrap();
        assert_eq!(far_reports.recv(&mut got).expect("reports"), report.len());
        // something else where media were announced
        let (wrong, far_wrong) = (at(true, 40_003), at(false, 41_001 + 1));
        wrong.send_to(b"raw", (server, 41_002)).unwrap();
        far_wrong.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        assert!(far_wrong.recv(&mut got).is_err());
    }
    let media = daemon.flows().into_iter().find(|flow| flow["sport"] == 41_000).expect("the flow of the media");
    assert_eq!(media["app_proto"], "rtp", "{media}");
}
