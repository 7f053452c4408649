//! What `replay` and `explain --policy` judge by: a policy file, compiled away from any gateway.

use super::{
    explain::PolicyText,
    ports::{Ports, Prefix, ZonePort},
};
use crate::{
    events::{Names, ServiceName},
    inspect::Rules,
    policy::{
        self, Diagnostic, Environment, Ids, Image, Policy,
        compile::PrefixEntry,
        model::Kind,
        source::{self, MAX_POLICY_BYTES, ReadError},
    },
};
use dropgate_abi::{
    policy::{PortKey, PrefixKey, ZONE_OUTSIDE, ZONE_SELF, side, table, zone},
    tuple::{V4, V6},
};
use std::{path::Path, sync::Arc};

/// A compiled policy with what is needed to place packets and to name what is found.
#[derive(Clone, Debug)]
pub struct Subject {
    pub image: Image,
    pub ports: Ports,
    pub names: Names,
    pub text: PolicyText,
    /// What is inspected, if anything is.
    pub rules: Option<Rules>,
    /// Warnings of the compiler.
    pub warnings: Vec<Diagnostic>,
}

/// Why a policy file is no subject.
#[derive(Debug, thiserror::Error)]
pub enum SubjectError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("`{file}` is no valid policy: {}", policy::summary(errors))]
    Invalid {
        file: String,
        /// Warnings are among them.
        errors: Vec<Diagnostic>,
    },
    #[error("`--initiator-inside` puts initiators into the first zone, and the policy has none")]
    NoZone,
    #[error("`--initiator-inside` needs a first zone away from the outside; `{0}` lies on an outside interface")]
    ZoneOutside(String),
}

impl Subject {
    /// Reads and compiles a policy file. Interfaces are made up; `"auto"` follows nothing.
    ///
    /// # Errors
    /// When the file cannot be read, or is no valid policy.
    pub fn load(path: &Path) -> Result<Self, SubjectError> {
        let name = path.display().to_string();
        let source = source::read(path, &name, MAX_POLICY_BYTES)?;
        let text = PolicyText { path: name.clone(), text: source.text.clone() };
        let directory = path.parent().unwrap_or(Path::new("."));
        let (policy, mut diagnostics) = policy::parse(source, directory);
        let Some(policy) = policy else { return Err(SubjectError::Invalid { file: name, errors: diagnostics }) };
        let environment = Environment::synthetic(&policy);
        let image = policy::compile(&policy, &environment, &mut Ids::default())
            .map_err(|errors| SubjectError::Invalid { file: name, errors })?;
        diagnostics.extend(image.warnings.iter().cloned());
        let rules = Rules::of(&policy, &image, &Arc::default());
        Ok(Self {
            ports: ports(&policy, &environment, &image),
            names: names(&image),
            image,
            text,
            rules,
            warnings: diagnostics,
        })
    }

    /// Whether flows of the first zone may be seen in one direction only.
    pub fn first_is_loose(&self) -> bool {
        let named = |number: &u16| {
            let first = self.ports.zones.first().map(|zone| zone.name.as_str());
            first.is_some() && self.names.zones.get(number).map(|name| &**name) == first
        };
        self.image.zones.iter().any(|(number, of)| named(number) && of.flags & zone::LOOSE != 0)
    }

    /// Makes the first zone hold every source and leaves every destination outside: for captures whose addresses lie in
    /// no zone, replayed with the initiator of each flow inside. The gateway then has no addresses of its own.
    ///
    /// # Errors
    /// When there is no zone, or the first one lies on an outside interface, where nothing would be outside any more.
    pub fn initiator_inside(&mut self) -> Result<(), SubjectError> {
        let zone = self.ports.zones.first().ok_or(SubjectError::NoZone)?;
        let number = self
            .names
            .zones
            .iter()
            .find(|(_, name)| ***name == zone.name)
            .map(|(number, _)| *number)
            .ok_or(SubjectError::NoZone)?;
        let port = PortKey { ifindex: zone.ifindex, outer: zone.tags[0], inner: zone.tags[1] };
        let place = self.image.sides.iter().find(|(key, _)| *key == port).ok_or(SubjectError::NoZone)?.1;
        if place.kind == side::OUTSIDE {
            return Err(SubjectError::ZoneOutside(zone.name.clone()));
        }
        let all = |family| PrefixEntry {
            // the scope's bits alone
            length: 32,
            key: PrefixKey::new(place.scope, family, [0; 4]),
            value: number.into(),
        };
        let mut sources = vec![all(V4), all(V6)];
        // link-local servers answer from the outside
        let outside = self.image.sides.iter().filter(|(_, at)| at.kind == side::OUTSIDE);
        sources.extend(outside.map(|(_, at)| PrefixEntry {
            length: 32 + 10,
            key: PrefixKey::new(at.scope, V6, [0xfe80_0000u32.to_be(), 0, 0, 0]),
            value: ZONE_OUTSIDE.into(),
        }));
        self.image.prefixes[table::SOURCES as usize] = sources;
        self.image.prefixes[table::PEERS as usize].clear();
        self.ports.own.clear();
        Ok(())
    }
}

/// Names of everything in an image.
pub fn names(image: &Image) -> Names {
    let services = image.names.services.iter().map(|(counter, service)| {
        let name = ServiceName {
            zone: service.owner.as_str().into(),
            name: service.name.as_str().into(),
            line: service.line,
            expect: service.expect.clone(),
        };
        (*counter, name)
    });
    Names {
        zones: image.names.zones.iter().map(|(number, name)| (*number, name.as_str().into())).collect(),
        services: services.collect(),
        interfaces: image.interfaces.iter().map(|at| (at.index, at.name.as_str().into())).collect(),
        tells: image.tells,
    }
}

/// The gateway's ports. Zones stand in file order.
pub fn ports(policy: &Policy, environment: &Environment, image: &Image) -> Ports {
    let index = |name: &str| environment.interfaces.get(name).map_or(0, |interface| interface.index);
    let zones = policy.zones.iter().map(|zone| {
        let mut prefixes: Vec<Prefix> = zone
            .prefixes
            .iter()
            .map(|(prefix, _)| Prefix { address: prefix.network(), length: prefix.length() })
            .collect();
        if zone.auto_prefixes {
            let device = environment.addressed(&zone.interface.name, zone.vlan);
            let followed = device.into_iter().flat_map(|device| &device.addresses);
            prefixes.extend(followed.map(|(address, length)| Prefix { address: *address, length: *length }));
        }
        ZonePort { name: zone.name.clone(), ifindex: index(&zone.interface.name), tags: zone.vlan, prefixes }
    });
    let own = image.prefixes[table::PEERS as usize].iter().filter(|entry| entry.value == u32::from(ZONE_SELF));
    Ports {
        masquerade: policy.gateway.kind == Kind::Masquerade,
        zones: zones.collect(),
        outside: policy.gateway.outside.iter().map(|at| index(&at.name)).filter(|index| *index != 0).collect(),
        own: own.filter_map(|entry| super::text::ip(family(entry), entry.key.address)).collect(),
        peers: image.interfaces.iter().filter_map(|at| Some((at.index, at.peer?))).collect(),
    }
}

fn family(entry: &PrefixEntry) -> u8 {
    if u32::from_be(entry.key.scope_be) & 1 == 1 { V6 } else { V4 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = r#"
[gateway]
kind = "masquerade"
outside = "wan0"
addresses = ["203.0.113.1", "2001:db8::1"]

[zone.office]
interface = "lan0"
vlan = 10
prefixes = ["10.10.0.0/24"]

[[zone.office.egress]]
name = "web"
tcp = [80]
"#;

    fn load(text: &str) -> Result<Subject, SubjectError> {
        static TURN: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let turn = TURN.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("dropgate-subject-{}-{turn}.toml", std::process::id()));
        std::fs::write(&path, text).unwrap();
        let subject = Subject::load(&path);
        std::fs::remove_file(path).unwrap();
        subject
    }

    #[test]
    fn ports_and_names_follow_the_policy() {
        let subject = load(POLICY).unwrap();
        assert!(subject.ports.masquerade);
        let zone = &subject.ports.zones[0];
        assert_eq!((zone.name.as_str(), zone.tags), ("office", [10, 0]));
        assert_eq!(subject.names.interface(zone.ifindex).as_deref(), Some("lan0"));
        assert_eq!(subject.ports.own.len(), 2);
        assert!(subject.names.services.values().any(|service| &*service.name == "web" && &*service.zone == "office"));
    }

    #[test]
    fn initiators_move_into_the_first_zone() {
        let mut subject = load(POLICY).unwrap();
        subject.initiator_inside().unwrap();
        assert_eq!(subject.image.prefixes[table::SOURCES as usize].len(), 3);
        assert!(subject.image.prefixes[table::PEERS as usize].is_empty());
        let mut none = load("[gateway]\nkind = \"route\"\noutside = \"wan0\"\n").unwrap();
        assert!(matches!(none.initiator_inside(), Err(SubjectError::NoZone)));
    }

    #[test]
    fn mistakes_are_handed_back() {
        assert!(matches!(load("[gateway]\nkind = 5\n"), Err(SubjectError::Invalid { .. })));
        assert!(matches!(Subject::load(Path::new("/nowhere.toml")), Err(SubjectError::Read(_))));
    }
}
