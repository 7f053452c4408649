//! Transfers that were asked for on control channels of FTP, for whoever reads the data connections: those are flows of their own,
//! and maybe another worker's.

use std::{
    collections::VecDeque,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::app::ftp::Transfer;

/// Transfers that two hosts may have under way; a control channel has one at a time.
const MOST_OF_PAIR: usize = 8;
/// Of all hosts. Beyond it those that were asked for first are forgotten.
const MOST: usize = 4096;

/// Transfers that were asked for, and whose connection was not seen yet.
#[derive(Debug, Default)]
pub struct Transfers(Mutex<VecDeque<Awaited>>);

#[derive(Debug)]
struct Awaited {
    initiator: IpAddr,
    responder: IpAddr,
    transfer: Transfer,
}

impl Transfers {
    fn all(&self) -> MutexGuard<'_, VecDeque<Awaited>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client has asked a server for it.
    pub fn expect(&self, client: IpAddr, server: IpAddr, transfer: Transfer) {
        let (initiator, responder) = if transfer.active { (server, client) } else { (client, server) };
        let mut all = self.all();
        let of_pair = |awaited: &Awaited| (awaited.initiator, awaited.responder) == (initiator, responder);
        all.retain(|awaited| !of_pair(awaited) || awaited.transfer.port != transfer.port);
        if all.iter().filter(|awaited| of_pair(awaited)).count() >= MOST_OF_PAIR
            && let Some(first) = all.iter().position(of_pair)
        {
            all.remove(first);
        }
        if all.len() >= MOST {
            all.pop_front();
        }
        all.push_back(Awaited { initiator, responder, transfer });
    }

    /// What a connection between these transfers, if it was asked for. It is for one connection.
    pub fn take(&self, initiator: IpAddr, responder: IpAddr, port: u16) -> Option<Transfer> {
        let mut all = self.all();
        let at = all.iter().position(|awaited| {
            (awaited.initiator, awaited.responder, awaited.transfer.port) == (initiator, responder, port)
        })?;
        all.remove(at).map(|awaited| awaited.transfer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transfer(port: u16, active: bool, name: &str) -> Transfer {
        Transfer { port, active, command: b"RETR".to_vec(), name: name.as_bytes().to_vec() }
    }

    fn host(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn whoever_waits_is_the_responder() {
        let transfers = Transfers::default();
        transfers.expect(host(1), host(2), transfer(5000, false, "passive"));
        transfers.expect(host(1), host(2), transfer(6000, true, "active"));
        assert_eq!(transfers.take(host(2), host(1), 5000), None);
        let name = |taken: Option<Transfer>| taken.map(|transfer| String::from_utf8(transfer.name).unwrap());
        assert_eq!(name(transfers.take(host(1), host(2), 5000)).as_deref(), Some("passive"));
        assert_eq!(name(transfers.take(host(2), host(1), 6000)).as_deref(), Some("active"));
        assert_eq!(transfers.take(host(2), host(1), 6000), None, "it is for one connection");
    }

    #[test]
    fn the_latest_are_remembered() {
        let transfers = Transfers::default();
        for port in 0..20 {
            transfers.expect(host(1), host(2), transfer(5000 + port, false, "a"));
        }
        assert_eq!(transfers.take(host(1), host(2), 5000), None);
        assert!(transfers.take(host(1), host(2), 5019).is_some());
        transfers.expect(host(1), host(2), transfer(5018, false, "again"));
        assert_eq!(transfers.take(host(1), host(2), 5018).unwrap().name, b"again");
        assert_eq!(transfers.take(host(1), host(2), 5018), None);
        for pair in 0..=u8::MAX {
            for port in 0..20 {
                transfers.expect(host(pair), host(pair), transfer(port, false, "a"));
            }
        }
        assert!(transfers.all().len() <= MOST);
    }
}
