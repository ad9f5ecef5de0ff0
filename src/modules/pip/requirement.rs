//! What `name` of the module `pip` asks for: PEP 508's names with versions, as far as a comparison with what is installed
//! needs them. All else goes to pip as it is written.

use std::cmp::Ordering;

use crate::vars::versions::{Scheme, compare};

/// One package that is asked for.
#[derive(Clone, Debug)]
pub struct Requirement {
    /// As pip gets it.
    text: String,
    /// Name and versions; none for a path or an address.
    plain: Option<(String, Vec<(&'static str, String)>)>,
}

const OPERATORS: [&str; 8] = ["===", "==", "~=", "!=", "<=", ">=", "<", ">"];

/// Names that were split at the commas of their versions, put together again.
pub fn whole(names: &[String]) -> impl Iterator<Item = String> {
    let mut found: Vec<String> = Vec::new();
    let mut in_brackets = false;
    for part in names.iter().flat_map(|n| n.split(',')) {
        let version = OPERATORS.iter().any(|o| part.trim_start().starts_with(o));
        match found.last_mut() {
            Some(last) if version || in_brackets => *last += &format!(",{part}"),
            _ => found.push(part.to_owned()),
        }
        in_brackets = (in_brackets || part.contains('[')) && !part.contains(']');
    }
    found.into_iter()
}

/// PEP 503: how names are compared.
fn canonical(name: &str) -> String {
    let words: Vec<&str> = name.split(['-', '_', '.']).collect();
    let mut kept: Vec<&str> = Vec::new();
    for (at, word) in words.iter().enumerate() {
        if !word.is_empty() || at == 0 || at + 1 == words.len() {
            kept.push(word);
        }
    }
    kept.join("-").to_lowercase()
}

impl Requirement {
    pub fn parse(text: &str) -> Requirement {
        let raw = || Requirement { text: text.to_owned(), plain: None };
        let (body, marker) = text.split_once(';').map_or((text, None), |(b, m)| (b, Some(m.trim())));
        let body = body.trim();
        let end = body.find(|c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c)).unwrap_or(body.len());
        let (name, mut rest) = (&body[..end], body[end..].trim());
        if !name.starts_with(|c: char| c.is_ascii_alphanumeric())
            || !name.ends_with(|c: char| c.is_ascii_alphanumeric())
        {
            return raw();
        }
        let mut written = name.to_owned();
        if let Some(inner) = rest.strip_prefix('[') {
            let Some((extras, after)) = inner.split_once(']') else { return raw() };
            let mut extras: Vec<&str> = extras.split(',').map(str::trim).filter(|e| !e.is_empty()).collect();
            extras.sort_unstable();
            if !extras.is_empty() {
                written += &format!("[{}]", extras.join(","));
            }
            rest = after.trim();
        }
        let rest = rest.strip_prefix('(').and_then(|r| r.strip_suffix(')')).unwrap_or(rest);
        let mut versions = Vec::new();
        for part in rest.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let Some(operator) = OPERATORS.iter().find(|o| part.starts_with(**o)) else { return raw() };
            let version = part[operator.len()..].trim();
            if version.is_empty() || version.contains(char::is_whitespace) {
                return raw();
            }
            versions.push((*operator, version.to_owned()));
        }
        let mut shown: Vec<String> =
            versions.iter().map(|(operator, version)| format!("{operator}{version}")).collect();
        shown.sort_unstable();
        written += &shown.join(",");
        if let Some(marker) = marker {
            written += &format!("; {marker}");
        }
        Requirement { text: written, plain: Some((canonical(name), versions)) }
    }

    /// The name as names are compared; the whole text for a path or an address.
    pub fn name(&self) -> &str {
        self.plain.as_ref().map_or(&self.text, |(name, _)| name)
    }

    pub fn has_version(&self) -> bool {
        self.plain.as_ref().is_some_and(|(_, versions)| !versions.is_empty())
    }

    /// Whether it is an address of a version control.
    pub fn is_repository(&self) -> bool {
        ["svn+", "git+", "hg+", "bzr+"].iter().any(|kind| self.text.starts_with(kind))
    }

    /// Whether an installed package is what is asked for.
    pub fn is_met_by(&self, name: &str, version: &str) -> bool {
        let Some((own, versions)) = &self.plain else { return false };
        canonical(name.trim()) == *own && versions.iter().all(|(o, wanted)| holds(version.trim(), o, wanted))
    }
}

impl std::fmt::Display for Requirement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

fn holds(version: &str, operator: &str, wanted: &str) -> bool {
    // What a packager put after `+` counts only where it is asked for.
    let public = version.split('+').next().unwrap_or_default();
    let version = if wanted.contains('+') { version } else { public };
    let begins = |with: &str| {
        let parts: Vec<&str> = with.split('.').collect();
        let own: Vec<&str> = version.split('.').chain(std::iter::repeat("0")).take(parts.len()).collect();
        parts.iter().zip(own).all(|(a, b)| compare(b, a, Scheme::Pep440) == Ok(Ordering::Equal))
    };
    let order = |o: &[Ordering]| compare(version, wanted, Scheme::Pep440).is_ok_and(|found| o.contains(&found));
    match (operator, wanted.strip_suffix(".*")) {
        ("==", Some(start)) => begins(start),
        ("!=", Some(start)) => !begins(start),
        ("==", None) => order(&[Ordering::Equal]),
        ("!=", None) => order(&[Ordering::Less, Ordering::Greater]),
        ("<=", _) => order(&[Ordering::Less, Ordering::Equal]),
        (">=", _) => order(&[Ordering::Greater, Ordering::Equal]),
        ("<", _) => order(&[Ordering::Less]),
        (">", _) => order(&[Ordering::Greater]),
        ("~=", _) => {
            order(&[Ordering::Greater, Ordering::Equal])
                && wanted.rsplit_once('.').is_some_and(|(start, _)| begins(start))
        }
        _ => version == wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_split_at_commas_are_put_together() {
        let found: Vec<String> =
            whole(&["django>1.11.1".into(), "<1.11.3".into(), "a[x,y]>1,b".into(), "c".into()]).collect();
        assert_eq!(found, ["django>1.11.1,<1.11.3", "a[x,y]>1", "b", "c"]);
    }

    #[test]
    fn met_or_not() {
        for (asked, name, version, met) in [
            ("Foo_bar", "foo.bar", "1", true),
            ("foo>1,<2", "foo", "1.5", true),
            ("foo>1,<2", "foo", "2.0", false),
            ("foo==1.2.*", "foo", "1.2.9", true),
            ("foo==1.2.*", "foo", "1.20", false),
            ("foo~=1.4.2", "foo", "1.4.9", true),
            ("foo~=1.4.2", "foo", "1.5", false),
            ("foo==1.0", "foo", "1.0.0+local", true),
            ("foo[extra]!=1", "foo", "1.0", false),
            ("foo; python_version > '3'", "foo", "1.0", true),
            ("/a/path", "path", "1", false),
        ] {
            assert_eq!(Requirement::parse(asked).is_met_by(name, version), met, "{asked} by {name} {version}");
        }
    }

    #[test]
    fn as_pip_gets_it() {
        for (given, written) in [
            ("django>1.11.0, <1.12.0", "django<1.12.0,>1.11.0"),
            ("a[ y,x ] (>=1)", "a[x,y]>=1"),
            ("git+http://x/a@main", "git+http://x/a@main"),
            ("./folder", "./folder"),
            ("/a/folder", "/a/folder"),
        ] {
            assert_eq!(Requirement::parse(given).to_string(), written);
        }
    }
}
