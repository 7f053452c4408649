//! The servers of the topology: real programs, with configuration, keys and logs in the laboratory's folder.

use std::{
    fs,
    net::{IpAddr, SocketAddr, TcpStream},
    path::PathBuf,
    process::Command,
    time::Duration,
};

use crate::{Error, Gateway, Kind, Namespace, Result, address::*, process};

/// Size of the file `/big`, bytes. It is sparse.
const BIG: u64 = 1 << 30;
/// How long a server may take to listen.
const START: Duration = Duration::from_secs(15);

impl Gateway {
    /// Starts every server and waits until each accepts connections:
    ///
    /// | where | what |
    /// | --- | --- |
    /// | [`SERVER`], [`SERVER_B`] | nginx: HTTP on 80; TLS on 443, 587 and 8443 |
    /// | [`SERVER`] / [`SERVER_B`] | nginx on 8088: HTTP / TLS |
    /// | [`SERVER`], [`SERVER_B`] | DNS (dnsmasq) on 53: `www.example.test` is [`SERVER`] |
    /// | [`SERVER`], [`SERVER_B`] | Redis on 6379, SSH on 22 |
    /// | [`IOT`] | nginx: HTTP on 80 and 8080 |
    /// | the gateway | SSH on 22 |
    /// | [`FAR`] | nginx: HTTP on 80 |
    ///
    /// All of them over IPv6 too. nginx serves `/` (a line with its name), `/big` (1 GiB), `/slow` (the same at 1 MiB/s) and
    /// takes any `PUT /upload`.
    ///
    /// # Errors
    /// A program is missing, or does not listen in time; the end of its log is in the message.
    pub fn start_servers(&mut self) -> Result<()> {
        self.make_keys()?;
        let tls = ["443", "587", "8443"].map(|port| format!("{port} ssl"));
        let mut listen: Vec<String> = everywhere("80");
        listen.extend(tls.iter().flat_map(|port| everywhere(port)));
        for (v4, v6, rest) in [(SERVER, SERVER6, "8088"), (SERVER_B, SERVER_B6, "8088 ssl")] {
            listen.extend([format!("{v4}:{rest}"), format!("[{v6}]:{rest}")]);
        }
        self.start_nginx(&self.servers.clone(), "servers", &listen)?;
        self.start_nginx(&self.iot.clone(), "iot", &[everywhere("80"), everywhere("8080")].concat())?;
        self.start_nginx(&self.far.clone(), "far", &everywhere("80"))?;
        self.start_dns()?;
        self.start_redis()?;
        self.start_ssh()?;
        for port in [80, 443, 587, 8088, 8443, 53, 6379, 22] {
            for address in [SERVER, SERVER_B, SERVER6, SERVER_B6] {
                self.wait_for_port(&self.servers, address, port)?;
            }
        }
        for (namespace, addresses, port) in [
            (&self.iot, [IOT, IOT6], 80),
            (&self.iot, [IOT, IOT6], 8080),
            (&self.far, [FAR, FAR6], 80),
            (if self.kind == Kind::Bridge { &self.servers } else { &self.gw }, [GW_OFFICE, GW_OFFICE6], 22),
        ] {
            for address in addresses {
                self.wait_for_port(namespace, address, port)?;
            }
        }
        Ok(())
    }

    /// Starts proxies on the servers' side, and waits until they accept connections: HTTP (tinyproxy) on 3128, SOCKS 5
    /// (microsocks) on 1080, both on [`SERVER`] and on [`SERVER6`].
    ///
    /// # Errors
    /// As [`Gateway::start_servers`].
    pub fn start_proxies(&mut self) -> Result<()> {
        for (name, address) in [("4", SERVER), ("6", SERVER6)] {
            let text = format!("Port 3128\nListen {address}\nTimeout 30\nMaxClients 50\nLogLevel Warning\n");
            let config = self.write(&format!("tinyproxy-{name}.conf"), &text)?;
            let mut command = self.servers.command("tinyproxy");
            self.serve(&format!("tinyproxy-{name}"), command.arg("-d").arg("-c").arg(&config))?;
            let mut command = self.servers.command("microsocks");
            self.serve(&format!("microsocks-{name}"), command.args(["-i", address, "-p", "1080"]))?;
            for port in [3128, 1080] {
                self.wait_for_port(&self.servers, address, port)?;
            }
        }
        Ok(())
    }

    /// An `ssh` client in `from` with the laboratory's key; add the destination and the command.
    pub fn ssh(&self, from: &Namespace) -> Command {
        let mut command = from.command("ssh");
        command.args(["-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "LogLevel=ERROR"]);
        command.args(["-o", "UserKnownHostsFile=/dev/null", "-o", "ConnectTimeout=3", "-l", "root"]);
        command.arg("-i").arg(self.dir().join("ssh_user"));
        command
    }

    fn make_keys(&self) -> Result<()> {
        let file = |name: &str| self.dir().join(name);
        process::checked(
            Command::new("openssl")
                .args([
                    "req",
                    "-x509",
                    "-newkey",
                    "ec",
                    "-pkeyopt",
                    "ec_paramgen_curve:prime256v1",
                    "-nodes",
                    "-days",
                    "2",
                ])
                .args(["-subj", "/CN=www.example.test", "-addext", "subjectAltName=DNS:www.example.test"])
                .arg("-keyout")
                .arg(file("tls.key"))
                .arg("-out")
                .arg(file("tls.crt")),
        )?;
        for name in ["ssh_host", "ssh_user"] {
            let key = file(name);
            process::checked(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(key))?;
        }
        Ok(())
    }

    fn start_nginx(&mut self, namespace: &Namespace, name: &str, listen: &[String]) -> Result<()> {
        let dir = self.dir().join(format!("nginx-{name}"));
        fs::create_dir(&dir).map_err(Error::io("create", &dir))?;
        let page = format!("this is {name}\n");
        fs::write(dir.join("index.html"), page).map_err(Error::io("write", &dir))?;
        let big = fs::File::create(dir.join("big")).map_err(Error::io("create", &dir))?;
        big.set_len(BIG).map_err(Error::io("extend", dir.join("big")))?;
        let listen: String = listen.iter().map(|one| format!("        listen {one};\n")).collect();
        let text = NGINX
            .replace("DIR", &dir.display().to_string())
            .replace("LAB", &self.dir().display().to_string())
            .replace("        LISTEN\n", &listen);
        let config = dir.join("nginx.conf");
        fs::write(&config, text).map_err(Error::io("write", &config))?;
        let mut command = namespace.command("nginx");
        command.arg("-p").arg(&dir).arg("-c").arg(&config).arg("-e").arg(dir.join("error.log"));
        self.serve(&format!("nginx-{name}"), &mut command)?;
        Ok(())
    }

    fn start_dns(&mut self) -> Result<()> {
        let mut command = self.servers.command("dnsmasq");
        command.args(["--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--group=root", "--pid-file="]);
        command.args(["--no-resolv", "--no-hosts", "--no-poll", "--log-facility=-", "--bind-interfaces"]);
        for address in [SERVER, SERVER_B, SERVER6, SERVER_B6] {
            command.arg(format!("--listen-address={address}"));
        }
        command.arg(format!("--address=/example.test/{SERVER}")).arg(format!("--address=/example.test/{SERVER6}"));
        self.serve("dns", &mut command)?;
        Ok(())
    }

    fn start_redis(&mut self) -> Result<()> {
        let mut command = self.servers.command("redis-server");
        command.args([
            "--port",
            "6379",
            "--bind",
            "0.0.0.0",
            "::",
            "--protected-mode",
            "no",
            "--save",
            "",
            "--appendonly",
            "no",
        ]);
        command.arg("--dir").arg(self.dir());
        self.serve("redis", &mut command)?;
        Ok(())
    }

    fn start_ssh(&mut self) -> Result<()> {
        // sshd insists on its empty folder, which Debian's service unit makes at each start.
        let empty = PathBuf::from("/run/sshd");
        fs::create_dir_all(&empty).map_err(Error::io("create", &empty))?;
        let config = self.write("sshd_config", &SSHD.replace("LAB", &self.dir().display().to_string()))?;
        for (name, host) in [("sshd", self.servers.clone()), ("sshd-gw", self.gw.clone())] {
            // sshd runs itself anew for each connection, so it wants its own absolute path.
            let mut command = host.command("/usr/sbin/sshd");
            self.serve(name, command.args(["-D", "-e", "-f"]).arg(&config))?;
        }
        Ok(())
    }

    fn wait_for_port(&self, namespace: &Namespace, address: &str, port: u16) -> Result<()> {
        let address: IpAddr =
            address.parse().map_err(|_| Error::io("parse", address)(std::io::ErrorKind::InvalidInput.into()))?;
        let target = SocketAddr::new(address, port);
        namespace
            .enter(|| {
                process::wait_until(&format!("a server on {target}"), START, || {
                    Ok(TcpStream::connect_timeout(&target, Duration::from_secs(1)).is_ok())
                })
            })?
            .map_err(|error| self.with_logs(error))
    }

    /// Adds the last lines of each server's log to an error.
    fn with_logs(&self, error: Error) -> Error {
        let Error::Waited { what, limit, .. } = error else {
            return error;
        };
        let mut detail = String::new();
        for name in ["nginx-servers", "nginx-iot", "nginx-far", "dns", "redis", "sshd", "sshd-gw"] {
            let log = fs::read_to_string(self.log(name)).unwrap_or_default();
            let lines: Vec<&str> = log.lines().rev().take(3).collect();
            lines.iter().rev().for_each(|line| detail.push_str(&format!("\n  {name}: {line}")));
        }
        Error::Waited { what, limit, detail }
    }
}

/// `listen` arguments for a port on every address of both families.
fn everywhere(rest: &str) -> Vec<String> {
    vec![rest.to_owned(), format!("[::]:{rest}")]
}

/// One process, in the foreground; `LISTEN`, `DIR` and `LAB` are replaced.
const NGINX: &str = "\
user root;
daemon off;
master_process off;
pid DIR/pid;
error_log DIR/error.log;
events { worker_connections 4096; }
http {
    access_log off;
    default_type text/plain;
    client_max_body_size 0;
    keepalive_requests 1000000;
    client_body_temp_path DIR/body;
    proxy_temp_path DIR/proxy;
    fastcgi_temp_path DIR/fastcgi;
    scgi_temp_path DIR/scgi;
    uwsgi_temp_path DIR/uwsgi;
    ssl_certificate LAB/tls.crt;
    ssl_certificate_key LAB/tls.key;
    server {
        LISTEN
        root DIR;
        location = /slow { alias DIR/big; limit_rate 1m; }
        # A body is read to its end only on its way to an upstream.
        location = /upload { proxy_pass http://unix:DIR/sink; }
    }
    server {
        listen unix:DIR/sink;
        location / { return 200 \"$http_content_length\\n\"; }
    }
}
";

/// `LAB` is replaced. Nothing of the machine's own SSH set-up is read.
const SSHD: &str = "\
Port 22
HostKey LAB/ssh_host
AuthorizedKeysFile LAB/ssh_user.pub
PidFile none
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
UsePAM yes
UseDNS no
PrintMotd no
";
