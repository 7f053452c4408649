//! The list of diagnostic codes of a policy. `docs/policy.md` carries a table generated from it. A code is never reused.

pub use dropgate_signatures::diagnostic::{Code, Severity};

dropgate_signatures::diagnostic_codes! {
    READ = "DG001" Error "a file cannot be read, is too large or is not UTF-8";
    SYNTAX = "DG002" Error "the file is not TOML";
    UNKNOWN_KEY = "DG003" Error "a key that has no meaning here";
    WRONG_TYPE = "DG004" Error "a value of the wrong type";
    MISSING_KEY = "DG005" Error "a required key is missing";
    NAME = "DG006" Error "a name with wrong letters, too long or reserved";
    CHOICE = "DG007" Error "a word that is not among the known ones";
    RANGE = "DG008" Error "a number out of range";
    DURATION = "DG009" Error "not a duration";
    PORT = "DG010" Error "not a port or a range of ports";
    ADDRESS = "DG011" Error "not an address or prefix, or host bits that are not zero";
    UNKNOWN_LIST = "DG012" Error "a list that `[lists]` does not name";
    UNKNOWN_ZONE = "DG013" Error "a zone that the file does not have";
    VLAN = "DG014" Error "not a VLAN identifier, or too many tags";
    NOTHING_MATCHED = "DG015" Error "a service or published line that names no protocol or port";
    DUPLICATE_NAME = "DG016" Error "a name that is used twice";
    SAME_PREFIX = "DG017" Error "two zones on one side hold the same prefix";
    OUTSIDE_PREFIXES = "DG018" Error "a zone on an outside interface without prefixes of its own";
    PUBLISH_ROUTE = "DG019" Error "a published line where nothing is translated";
    PUBLISH_TRANSPORT = "DG020" Error "a published line with more than one transport";
    TARGET = "DG021" Error "a destination that has no meaning for this allowlist";
    TOO_MANY = "DG022" Error "more zones, services or entries than fit";
    INTERFACE = "DG023" Warning "an interface that this machine does not have: it is guarded once it is there";
    PUBLISHED_HOST = "DG024" Error "a published host that no zone holds";
    UNINSPECTED = "DG025" Error "signatures where nothing is inspected";
    PAIRS = "DG026" Error "an interface of a bridge that is not in one pair";
    PAIR_MTU = "DG027" Error "two sides of a bridge that take packets of different length";
    FAST_FORWARD = "DG028" Error "forwarding without the kernel where the kernel does not only route";
    TCX = "DG032" Error "an interface for tcx that is no side of the policy";
    TRUNCATED = "DG049" Error "too many mistakes; the rest is not shown";
    SHARED_PREFIX = "DG050" Warning "zones on different sides hold the same prefix";
    DUPLICATE_SERVICE = "DG051" Warning "two services of a zone match the same packets";
    SHADOWED = "DG052" Warning "a service that earlier ones leave no packet to";
    TUNNEL = "DG053" Warning "a tunnel: its inner packets are not judged";
    LOCKOUT = "DG054" Warning "no line lets an administrator reach the gateway";
    NO_EGRESS = "DG055" Warning "a zone that may reach nothing";
    INSIDE_DESTINATION = "DG056" Warning "a destination that lies within a zone which the line does not name";
    FOREIGN_DESTINATION = "DG057" Warning "a destination in a zone that does not hold it";
    UNUSED_LIST = "DG058" Warning "a list that no line uses";
    PUBLISH_ADDRESS = "DG059" Warning "a published address that is not the gateway's";
    EMPTY_ZONE = "DG060" Warning "a zone that holds no address";
    VLAN_DEVICE = "DG061" Warning "a VLAN device named as an interface beside the one it lies on";
    UNINSPECTED_FRAGMENTS = "DG062" Warning "fragments that pass where their packets are to be inspected";
    DEAD = "DG063" Warning "a line that no packet can match";
    CONTRADICTION = "DG064" Warning "two lines that hold the same packets and contradict each other";
    NOT_ANALYSED = "DG065" Warning "lines that overlap in more ways than are looked at";
    EMPTY_EXCEPTION = "DG066" Warning "an exception from destinations that its line does not have";
    EMPTY_PREFIX = "DG067" Warning "a prefix of a zone that narrower ones leave nothing of";
    TUNNEL_UNASKED = "DG070" Warning "a tunnel that is dropped: its line does not say what becomes of the packets inside";
}

/// The list as a Markdown table, as it stands in `docs/policy.md`.
pub fn markdown() -> String {
    dropgate_signatures::diagnostic::markdown(ALL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_ascend() {
        assert!(ALL.windows(2).all(|pair| pair[0].id < pair[1].id));
    }
}
