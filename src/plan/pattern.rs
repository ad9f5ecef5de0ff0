//! Host patterns: `all`, `a:b`, `a:&b`, `a:!b`, wildcards, `~regex`, `group[0]`, `group[1:3]`.

use fancy_regex::Regex;

use crate::model::inventory::Inventory;

/// What a pattern finds in an inventory.
#[derive(Debug, Default, PartialEq)]
pub struct Matched {
    /// In the order of the inventory's groups, each once.
    pub hosts: Vec<String>,
    /// Parts that matched nothing.
    pub unmatched: Vec<String>,
}

/// A pattern that cannot be read.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("`{pattern}` is not a host pattern: {why}")]
pub struct BadPattern {
    pub pattern: String,
    pub why: String,
}

/// Splits `a,b` and `a:b`; a `:` inside brackets or of an IPv6 address does not split.
fn parts(pattern: &str) -> Vec<String> {
    if pattern.contains(',') {
        return pattern.split(',').map(|p| p.trim().to_owned()).filter(|p| !p.is_empty()).collect();
    }
    if pattern.matches(':').count() > 1 && pattern.parse::<std::net::Ipv6Addr>().is_ok() {
        return vec![pattern.to_owned()];
    }
    let mut parts = vec![String::new()];
    let mut depth = 0;
    let regex = pattern.starts_with('~');
    for c in pattern.chars() {
        match c {
            '[' => depth += 1,
            ']' => depth -= 1,
            ':' if depth == 0 && !regex => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(last) = parts.last_mut() {
            last.push(c);
        }
    }
    parts.into_iter().map(|p| p.trim().to_owned()).filter(|p| !p.is_empty()).collect()
}

/// The hosts that a pattern (or a list of them) names: first what is added, then the intersections, then what is
/// taken out, as Ansible orders them.
pub fn matches(patterns: &[String], inventory: &Inventory) -> Result<Matched, BadPattern> {
    let all: Vec<String> = patterns.iter().flat_map(|p| parts(p)).collect();
    let (mut add, mut keep, mut drop) = (Vec::new(), Vec::new(), Vec::new());
    for part in all {
        if let Some(p) = part.strip_prefix('!') {
            drop.push(p.to_owned());
        } else if let Some(p) = part.strip_prefix('&') {
            keep.push(p.to_owned());
        } else {
            add.push(part);
        }
    }
    if add.is_empty() {
        add.push("all".into());
    }
    let mut matched = Matched::default();
    for part in &add {
        let found = one(part, inventory)?;
        if found.is_empty() && part != "all" {
            matched.unmatched.push(part.clone());
        }
        for host in found {
            if !matched.hosts.contains(&host) {
                matched.hosts.push(host);
            }
        }
    }
    for part in &keep {
        let found = one(part, inventory)?;
        matched.hosts.retain(|h| found.contains(h));
    }
    for part in &drop {
        let found = one(part, inventory)?;
        matched.hosts.retain(|h| !found.contains(h));
    }
    Ok(matched)
}

/// The hosts of one part, without `!` or `&`.
fn one(part: &str, inventory: &Inventory) -> Result<Vec<String>, BadPattern> {
    let (name, slice) = subscript(part);
    let hosts = named(name, inventory)?;
    let Some((from, to)) = slice else { return Ok(hosts) };
    let count = hosts.len() as i64;
    let at = |i: i64| if i < 0 { i + count } else { i };
    let (from, to) = (at(from).max(0), to.map_or(at(from), |t| t.map_or(count - 1, at)));
    Ok(hosts.into_iter().enumerate().filter(|(i, _)| (from..=to).contains(&(*i as i64))).map(|(_, h)| h).collect())
}

/// `name[1]`, `name[1:3]`, `name[1:]`: the subscript as (from, optional to). A glob's `[ab]` is left alone.
type Slice = (i64, Option<Option<i64>>);
fn subscript(part: &str) -> (&str, Option<Slice>) {
    let none = (part, None);
    if part.starts_with('~') {
        return none;
    }
    let Some((name, rest)) = part.split_once('[') else { return none };
    let Some(inner) = rest.strip_suffix(']') else { return none };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let parsed = match inner.split_once([':', '-']).filter(|(a, _)| !a.is_empty()) {
        // The ends of a range are counted from the start: with others it is a wildcard.
        Some((a, b)) if !digits(a) || !digits(b) => None,
        Some((a, b)) => a.parse().ok().and_then(|a| match b {
            "" => Some((a, Some(None))),
            b => b.parse().ok().map(|b| (a, Some(Some(b)))),
        }),
        // `[:2]` is no subscript to Ansible, which takes it for a wildcard.
        None => inner.parse().ok().map(|a| (a, None)),
    };
    match parsed {
        Some(slice) => (name, Some(slice)),
        None => none,
    }
}

fn named(name: &str, inventory: &Inventory) -> Result<Vec<String>, BadPattern> {
    if name == "all" || name == "*" {
        return Ok(inventory.hosts_of("all").into_iter().map(str::to_owned).collect());
    }
    let bad = |why: String| BadPattern { pattern: name.to_owned(), why };
    let test: Box<dyn Fn(&str) -> bool> = if let Some(regex) = name.strip_prefix('~') {
        let regex = Regex::new(&format!("^(?:{regex})")).map_err(|e| bad(e.to_string()))?;
        Box::new(move |text| regex.is_match(text).unwrap_or(false))
    } else if name.contains(['*', '?', '[']) {
        // A wildcard that means nothing, as a range that runs backwards, matches nothing.
        let regex = Regex::new(&glob(name)).ok();
        Box::new(move |text| regex.as_ref().is_some_and(|r| r.is_match(text).unwrap_or(false)))
    } else {
        Box::new(move |text| text == name)
    };
    let mut hosts: Vec<String> = Vec::new();
    let mut add = |host: &str| {
        if !hosts.iter().any(|h| h == host) {
            hosts.push(host.to_owned());
        }
    };
    for group in inventory.groups.keys().filter(|g| test(g)) {
        inventory.hosts_of(group).into_iter().for_each(&mut add);
    }
    // A group's name wins over a host's of the same name; patterns take both.
    if hosts.is_empty() || name.contains(['*', '?', '[', '~']) {
        let mut add = |host: &str| {
            if !hosts.iter().any(|h| h == host) {
                hosts.push(host.to_owned());
            }
        };
        inventory.hosts.values().filter(|h| test(&h.name)).for_each(|h| add(&h.name));
    }
    Ok(hosts)
}

/// Whether a name is like a shell wildcard.
pub fn is_like(pattern: &str, name: &str) -> bool {
    pattern.contains(['*', '?', '[']) && Regex::new(&glob(pattern)).is_ok_and(|r| r.is_match(name).unwrap_or(false))
}

/// A shell wildcard as a regular expression.
fn glob(pattern: &str) -> String {
    let mut out = String::from("^");
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '*' => out.push_str(".*"),
            '?' => out.push('.'),
            '[' => {
                out.push('[');
                if chars.next_if_eq(&'!').is_some() {
                    out.push('^');
                }
                for c in chars.by_ref() {
                    out.push(c);
                    if c == ']' {
                        break;
                    }
                }
            }
            c => out.push_str(&fancy_regex::escape(&c.to_string())),
        }
    }
    out.push('$');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inventory() -> Inventory {
        let mut inv = Inventory::new();
        for (host, group) in [
            ("controller-0", "controllers"),
            ("controller-1", "controllers"),
            ("worker-0", "workers"),
            ("worker-1", "workers"),
            ("worker-1", "odd"),
            ("controller-1", "odd"),
        ] {
            inv.add_to_group(host, group);
        }
        inv
    }

    fn found(pattern: &str) -> String {
        matches(&[pattern.to_owned()], &inventory()).unwrap().hosts.join(" ")
    }

    #[test]
    fn unions_intersections_differences() {
        assert_eq!(found("all"), "controller-0 controller-1 worker-0 worker-1");
        assert_eq!(found("controllers:workers"), "controller-0 controller-1 worker-0 worker-1");
        assert_eq!(found("workers:&odd"), "worker-1");
        assert_eq!(found("!odd:all"), "controller-0 worker-0");
        assert_eq!(found("workers,controller-0"), "worker-0 worker-1 controller-0");
        assert_eq!(found("!workers"), "controller-0 controller-1");
    }

    #[test]
    fn wildcards_regexes_subscripts() {
        assert_eq!(found("*-1"), "controller-1 worker-1");
        assert_eq!(found("~(worker|controller)-0"), "controller-0 worker-0");
        assert_eq!(found("workers[0]"), "worker-0");
        assert_eq!(found("workers[-1]"), "worker-1");
        assert_eq!(found("all[1:2]"), "controller-1 worker-0");
        assert_eq!(found("all[2:]"), "worker-0 worker-1");
        assert_eq!(found("w*-?"), "worker-0 worker-1");
    }

    #[test]
    fn what_matches_nothing_is_told() {
        let m = matches(&["nobody:workers".into()], &inventory()).unwrap();
        assert_eq!(m.unmatched, ["nobody"]);
        assert!(matches(&["~(".into()], &inventory()).is_err());
    }
}
