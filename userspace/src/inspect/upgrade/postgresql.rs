//! PostgreSQL (its manual, "SSL Session Encryption"): the client asks before anything else, the server answers in one byte.

use super::super::follow::{Change, Step};

const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f];
const GSS_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 0xd2, 0x16, 0x30];

/// A conversation that has not begun yet.
#[derive(Debug, Default)]
pub struct Postgresql {
    asked: Option<Asked>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Asked {
    Tls,
    Gss,
}

impl Postgresql {
    pub const fn has_asked(&self) -> bool {
        self.asked.is_some()
    }

    pub fn step(&mut self, [to_server, to_client]: &mut [Vec<u8>; 2]) -> Step {
        loop {
            let asked = match self.asked {
                Some(asked) => asked,
                None => {
                    let Some(request) = to_server.first_chunk::<8>() else { return Step::More };
                    let asked = match *request {
                        SSL_REQUEST => Asked::Tls,
                        GSS_REQUEST => Asked::Gss,
                        _ => return Step::Over,
                    };
                    to_server.drain(..8);
                    *self.asked.insert(asked)
                }
            };
            let Some(answer) = to_client.first().copied() else { return Step::More };
            match (asked, answer) {
                (Asked::Tls, b'S') => {
                    to_client.remove(0);
                    return Step::Changed(Change::Tls);
                }
                // it may ask for the other, or go on in plain text
                (_, b'N') => {
                    to_client.remove(0);
                    self.asked = None;
                }
                _ => return Step::Over,
            }
        }
    }
}
