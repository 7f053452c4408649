//! Protocols whose messages stand by themselves and are read by a function each.

mod dhcp;
mod kerberos;
mod ldap;
mod ntp;
mod sdp;
mod sip;
mod snmp;
#[cfg(test)]
mod tests;
mod tftp;

use dropgate_signatures::{protocol::App, words::words};

use super::messages::{Length, Protocol};

/// How a protocol is read, if it is one of these.
pub fn protocol(app: App) -> Option<Protocol> {
    let usual = |read| Protocol { app, read, names: words, measure: |_, _| Length::Never };
    Some(match app {
        App::Dhcp => usual(dhcp::read),
        App::Krb5 => Protocol { names: kerberos::names, measure: kerberos::measure, ..usual(kerberos::read) },
        App::Ldap => Protocol { measure: ldap::measure, ..usual(ldap::read) },
        App::Ntp => usual(ntp::read),
        App::Sip => Protocol { measure: sip::measure, ..usual(sip::read) },
        App::Snmp => usual(snmp::read),
        App::Tftp => usual(tftp::read),
        _ => return None,
    })
}
