//! Proxies (M1030, T1090): what a client asks one for is held to the allowlist of the client's own zone, and what then passes
//! through it is another conversation.

pub(super) mod http;
mod message;
pub(super) mod socks;
pub mod target;

pub use self::target::{Host, Target};

/// How a proxy was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Request {
    /// HTTP CONNECT (RFC 9110 section 9.3.6).
    Connect,
    /// A request with a whole URI (RFC 9112 section 3.2.2).
    Absolute,
    Socks4,
    Socks5,
}

impl Request {
    /// Name in events.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "http-connect",
            Self::Absolute => "http-absolute",
            Self::Socks4 => "socks4",
            Self::Socks5 => "socks5",
        }
    }
}

/// What a proxy is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asked {
    pub request: Request,
    pub target: Target,
}

/// What the allowlist says of a flow to a target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// The counter of the service that allows it, and whether its flows are inspected.
    Allowed {
        service: u32,
        inspected: bool,
    },
    Denied,
    Blocked,
}

/// Who knows the allowlist.
pub trait Targets: std::fmt::Debug + Send + Sync {
    /// Whether hosts of a zone may start a TCP flow to a target.
    fn access(&self, zone: u16, target: &Target) -> Access;
}
