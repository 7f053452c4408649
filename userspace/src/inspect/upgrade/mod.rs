//! STARTTLS: conversations that change to TLS on their way.
//!
//! A conversation is read until both sides have agreed to change, and what follows has to be TLS; or until it plainly goes on
//! without: a login or a message in plain text, a refusal, or more bytes than are looked into.

mod ldap;
mod lines;
mod mysql;
mod postgresql;

use self::{ldap::Ldap, lines::Lines, postgresql::Postgresql};
use super::follow::Step;
use crate::protocol::{Direction, Protocol};

/// A conversation that may change to TLS.
#[derive(Debug)]
pub(super) enum Upgrade {
    Lines(Lines),
    Ldap(Ldap),
    Postgresql(Postgresql),
    Mysql,
}

impl Upgrade {
    /// Of a protocol that has one.
    pub fn of(protocol: Protocol) -> Option<Self> {
        Some(match protocol {
            Protocol::Smtp => Self::Lines(Lines::new(lines::Dialect::Smtp)),
            Protocol::Ftp => Self::Lines(Lines::new(lines::Dialect::Ftp)),
            Protocol::Pop3 => Self::Lines(Lines::new(lines::Dialect::Pop3)),
            Protocol::Imap => Self::Lines(Lines::new(lines::Dialect::Imap)),
            Protocol::Ldap => Self::Ldap(Ldap::default()),
            Protocol::Postgresql => Self::Postgresql(Postgresql::default()),
            Protocol::Mysql => Self::Mysql,
            _ => return None,
        })
    }

    pub fn step(&mut self, unread: &mut [Vec<u8>; 2]) -> Step {
        match self {
            Self::Lines(lines) => lines.step(unread),
            Self::Ldap(ldap) => ldap.step(unread),
            Self::Postgresql(postgresql) => postgresql.step(unread),
            Self::Mysql => mysql::step(unread),
        }
    }

    /// Whether the client said something of which it is not known yet what it belongs to.
    pub fn is_midway(&self, unread: &[Vec<u8>; 2]) -> bool {
        let asked = match self {
            Self::Lines(lines) => lines.has_asked(),
            Self::Ldap(ldap) => ldap.has_asked(),
            Self::Postgresql(postgresql) => postgresql.has_asked(),
            Self::Mysql => false,
        };
        asked && !unread[Direction::ToServer as usize].is_empty()
    }
}
