//! The map of flows that others have announced: see [`dropgate_abi::related`].

use aya::maps::{HashMap, Map, MapData};
use dropgate_abi::{
    related::{Related, RelatedKey},
    tuple::realm,
    walk::Walk,
};

use super::{ObjectError, Raw};

/// `RELATED`, of a private load or of a gateway.
pub struct RelatedMap(HashMap<MapData, Raw<RelatedKey>, Raw<Related>>);

impl RelatedMap {
    /// The map of this name and kind.
    ///
    /// # Errors
    /// When it is no hash of announcements.
    pub fn new(map: Map) -> Result<Self, ObjectError> {
        HashMap::try_from(map).map(Self).map_err(fault)
    }

    /// What was announced about a flow.
    pub fn get(&self, key: &RelatedKey) -> Option<Related> {
        Some(self.0.get(&Raw(*key), 0).ok()?.0)
    }

    /// What was announced about the flow of a packet, whichever end sent it; with its key.
    pub fn of(&self, walk: &Walk) -> Option<(RelatedKey, Related)> {
        let (protocol, family) = (walk.protocol, walk.family);
        let realm = realm::of_tunnel(walk.realm);
        let there = RelatedKey { src: walk.src, dst: walk.dst, port: walk.dport, protocol, family, realm, _pad: 0 };
        let back = RelatedKey { src: walk.dst, dst: walk.src, port: walk.sport, ..there };
        [there, back].into_iter().find_map(|key| Some((key, self.get(&key)?)))
    }

    /// Makes a flow known.
    ///
    /// # Errors
    /// When the kernel does not take it.
    pub fn put(&mut self, key: RelatedKey, value: Related) -> Result<(), ObjectError> {
        self.0.insert(Raw(key), Raw(value), 0).map_err(fault)
    }
}

fn fault(source: aya::maps::MapError) -> ObjectError {
    ObjectError::Map { name: "RELATED".to_owned(), source: Box::new(source) }
}
