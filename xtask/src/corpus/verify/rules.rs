//! What a test's rules are about, without their meaning: the scope of a test must not depend on what Dropgate understands.

/// A rule that is switched on.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Rule {
    pub action: String,
    /// Before a colon; what is behind it is a hook.
    pub protocol: String,
    pub hook: Option<String>,
    /// Keyword and argument.
    pub options: Vec<(String, String)>,
}

impl Rule {}

/// Every rule of a file.
pub fn read(text: &str) -> Vec<Rule> {
    let text = text.replace("\r\n", "\n").replace("\\\n", " ");
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).filter_map(rule).collect()
}

fn rule(line: &str) -> Option<Rule> {
    let mut words = line.split_whitespace();
    let action = words.next()?.to_owned();
    let header = words.next()?.to_ascii_lowercase();
    let (protocol, hook) = match header.split_once(':') {
        Some((protocol, hook)) => (protocol.to_owned(), Some(hook.to_owned())),
        None => (header, None),
    };
    let (_, options) = line.split_once('(')?;
    let options = options.rsplit_once(')').map_or(options, |(options, _)| options);
    Some(Rule { action, protocol, hook, options: split(options) })
}

/// Options end at a semicolon that is neither quoted nor escaped.
fn split(text: &str) -> Vec<(String, String)> {
    let (mut options, mut option, mut quoted, mut escaped) = (Vec::new(), String::new(), false, false);
    for letter in text.chars().chain([';']) {
        match letter {
            ';' if !quoted && !escaped => {
                let (name, argument) = option.split_once(':').unwrap_or((&option, ""));
                let (name, argument) = (name.trim().to_owned(), argument.trim().to_owned());
                if !name.is_empty() {
                    options.push((name, argument));
                }
                option.clear();
                continue;
            }
            '"' if !escaped => quoted = !quoted,
            _ => {}
        }
        escaped = letter == '\\' && !escaped;
        option.push(letter);
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_of_a_file() {
        let text = "# alert tcp any any -> any any (sid:9;)\r\n\
            alert http:request_line any any -> any any (msg:\"a;b\\\"(c)\"; content:\"x\\;\"; \\\r\n  nocase; sid:7; )\n\
            drop tcp any any -> any any (content:\"|3b|\";sid:8)\n";
        let rules = read(text);
        assert_eq!(rules.len(), 2);
        assert_eq!((rules[0].protocol.as_str(), rules[0].hook.as_deref()), ("http", Some("request_line")));
        let names: Vec<&str> = rules[0].options.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["msg", "content", "nocase", "sid"]);
        assert_eq!(rules[0].options[0].1, "\"a;b\\\"(c)\"");
        assert_eq!(rules[1].action, "drop");
    }
}
