//! The list of diagnostic codes of rules. `docs/rules.md` carries a table generated from it. A code is never reused.

crate::diagnostic_codes! {
    READ = "DG200" Error "a file that cannot be read";
    SHAPE = "DG201" Error "not the shape of a rule: a word of the header, a bracket or a semicolon is missing";
    ACTION = "DG202" Error "an action that is unknown or not supported";
    PROTOCOL = "DG203" Error "a protocol that is unknown or not supported";
    ADDRESS = "DG204" Error "not an address, a prefix, a range or a list of them; or one that leaves no address";
    PORT = "DG205" Error "not a port, a range or a list of them; or one that leaves no port";
    VARIABLE = "DG206" Error "a variable that the policy does not define, or that leads back to itself";
    DIRECTION = "DG207" Error "not a direction";
    UNKNOWN_KEYWORD = "DG208" Error "a keyword that does not exist";
    UNSUPPORTED = "DG209" Error "a keyword, or a part of what it says, that is not supported";
    ARGUMENT = "DG210" Error "a value that is missing, not expected, or not quoted as it must be";
    VALUE = "DG211" Error "a value that the keyword does not take";
    CONTENT = "DG212" Error "a content with a wrong escape, or hexadecimal digits that are not pairs";
    NO_CONTENT = "DG213" Error "a modifier without a content before it";
    CONFLICT = "DG214" Error "two keywords that exclude each other, or one that is given twice";
    IMPOSSIBLE = "DG215" Error "a condition that nothing can meet";
    PCRE = "DG216" Error "a regular expression that does not compile, or a modifier that is unknown or misplaced";
    BYTE_VARIABLE = "DG217" Error "a variable of `byte_extract` or `byte_math` that is not defined before, or one too many";
    BUFFER = "DG218" Error "a buffer of another protocol or direction than the rest of the rule, or one without any condition";
    NO_SID = "DG219" Error "a rule without a `sid`";
    DUPLICATE = "DG220" Error "a `sid` that an earlier rule has";
    TOO_LONG = "DG222" Error "a rule that is too long, or has too many conditions";
    SET = "DG223" Error "a dataset or a list of digests that is not in order";
    CONFIGURATION = "DG230" Error "a line of `classification.config`, `reference.config` or `threshold.config` that has no meaning";
    MORE_ERRORS = "DG249" Error "too many mistakes; the rest is not shown";
    NEVER = "DG250" Warning "a rule that can never match: nothing here reads what it asks for";
    NO_FAST_PATTERN = "DG251" Warning "a rule without a content to look for first: all of its traffic is verified";
    SHORT_FAST_PATTERN = "DG252" Warning "a fast pattern of one or two bytes: most traffic has it somewhere";
    PCRE_ALONE = "DG253" Warning "a regular expression without a content in the same large buffer";
    UNBOUNDED = "DG254" Warning "a regular expression with unbounded repetitions within each other";
    CLASS = "DG255" Warning "a `classtype` that no classification defines";
    REVISION = "DG256" Warning "a rule that takes the place of an older revision of it";
    RATE_FILTER = "DG257" Warning "a line of `threshold.config` that is not supported";
    UNUSED_THRESHOLD = "DG258" Warning "a line of `threshold.config` for a rule that there is not";
    EVENT = "DG259" Warning "an event that no list has: it never happens";
    MORE_WARNINGS = "DG299" Warning "too many warnings; the rest is not shown";
}

#[cfg(test)]
mod tests {
    #[test]
    fn codes_ascend() {
        assert!(super::ALL.windows(2).all(|pair| pair[0].id < pair[1].id));
    }
}
