//! Announcements of a private load: see [`dropgate_abi::related`].

use aya::maps::HashMap;
use dropgate_abi::{
    related::{Related, RelatedKey},
    walk::Walk,
};

use super::Bench;
use crate::datapath::{ObjectError, Raw};

/// `RELATED`, of a private load or of a gateway.
pub struct Announcements(HashMap<aya::maps::MapData, Raw<RelatedKey>, Raw<Related>>);

impl Announcements {
    /// The map of this name and kind.
    ///
    /// # Errors
    /// When it is no hash of announcements.
    pub fn new(map: aya::maps::Map) -> Result<Self, ObjectError> {
        let fault = |source| ObjectError::Map { name: "RELATED".to_owned(), source: Box::new(source) };
        Ok(Self(HashMap::try_from(map).map_err(fault)?))
    }

    /// What was announced about the flow of a packet, whichever end sent it; with its key.
    pub fn of(&self, walk: &Walk) -> Option<(RelatedKey, Related)> {
        let (protocol, family) = (walk.protocol, walk.family);
        let there = RelatedKey { src: walk.src, dst: walk.dst, port: walk.dport, protocol, family, _pad: 0 };
        let back = RelatedKey { src: walk.dst, dst: walk.src, port: walk.sport, ..there };
        [there, back].into_iter().find_map(|key| Some((key, self.0.get(&Raw(key), 0).ok()?.0)))
    }

    /// Makes the same known here.
    ///
    /// # Errors
    /// When the kernel does not take it.
    pub fn put(&mut self, (key, value): (RelatedKey, Related)) -> Result<(), ObjectError> {
        let fault = |source| ObjectError::Map { name: "RELATED".to_owned(), source: Box::new(source) };
        self.0.insert(Raw(key), Raw(value), 0).map_err(fault)
    }
}

impl Bench {
    /// What was announced here.
    ///
    /// # Errors
    /// When the map cannot be shared.
    pub fn announced(&self) -> Result<Announcements, ObjectError> {
        Announcements::new(self.object.share("RELATED")?)
    }
}
