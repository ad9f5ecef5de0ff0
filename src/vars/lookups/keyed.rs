//! Lookups of a key in a file: `ini` and `csvfile`.

use super::super::error::fail;
use super::super::jinja::eval::Cx;
use super::super::jinja::tree::Lookup;
use super::super::jinja::val::{Args, Res, Val};
use super::super::patterns;
use super::files::{flag, read, read_encoded};
use super::values::named;

#[rustfmt::skip]
pub(super) const ALL: &[Lookup] = &[
    Lookup { names: &["ini"], options: &["type", "file", "section", "default", "re", "encoding", "case_sensitive", "allow_no_value", "allow_none", "interpolation"], run: ini, doc: "Values of INI files." },
    Lookup { names: &["csvfile"], options: &["file", "col", "keycol", "delimiter", "default", "encoding"], run: csv, doc: "A cell of a CSV file, by the first column." },
];

fn option(cx: &mut Cx<'_>, args: &Args, own: &[(String, String)], name: &str, default: &str) -> Res<String> {
    if let Some((_, v)) = own.iter().find(|(n, _)| n == name) {
        return Ok(v.clone());
    }
    match named(args, name) {
        Some(v) => cx.text(&v),
        None => Ok(default.to_owned()),
    }
}

/// A term as Ansible reads it: `name=value` is an option, what is left the key, as it was written.
fn inline(term: &str, known: &[&str]) -> Res<(String, Vec<(String, String)>)> {
    let (mut key, mut own) = (Vec::new(), Vec::new());
    for word in words(term) {
        match word.split_once('=') {
            Some((k, v)) if known.contains(&k) => own.push((k.to_owned(), unquoted(v))),
            Some((k, _)) => return fail(format!("'{k}' is not a valid option")),
            None => key.push(word),
        }
    }
    Ok((key.join(" "), own))
}

/// Words between spaces that stand outside of quotes. The quotes stay: those of a key are part of it.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    let mut before = None;
    for c in text.chars() {
        match (quote, c) {
            (None, ' ' | '\n') => words.push(std::mem::take(&mut word)),
            (_, c) => {
                if matches!(c, '"' | '\'') && before != Some('\\') {
                    quote = match quote {
                        Some(q) if q == c => None,
                        None => Some(c),
                        open => open,
                    };
                }
                word.push(c);
            }
        }
        before = Some(c);
    }
    words.push(word);
    words.retain(|w| !w.is_empty());
    words
}

/// An option's value: without the quotes around it, and with `\t` and its like as the letters they stand for.
fn unquoted(value: &str) -> String {
    let inner = ['"', '\''].iter().find_map(|q| value.strip_prefix(*q)?.strip_suffix(*q)).unwrap_or(value);
    let mut out = String::new();
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.clone().next() {
            Some('t') => out.push('\t'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some(q @ ('\\' | '"' | '\'')) => out.push(q),
            _ => {
                out.push(c);
                continue;
            }
        }
        chars.next();
    }
    out
}

fn ini(cx: &mut Cx<'_>, terms: Vec<Val>, args: Args) -> Res<Vec<Val>> {
    let mut out = Vec::new();
    for t in &terms {
        let term = cx.text(t)?;
        let (key, own) = inline(&term, &["type", "file", "section", "default", "re", "encoding", "case_sensitive"])?;
        let get = |cx: &mut Cx<'_>, name: &str, default: &str| option(cx, &args, &own, name, default);
        let (kind, name, section) =
            (get(cx, "type", "ini")?, get(cx, "file", "ansible.ini")?, get(cx, "section", "global")?);
        if key.is_empty() && !own.is_empty() {
            return fail("No key to look up was provided as first term within string inline options");
        }
        let yes = |t: &str| matches!(t.to_lowercase().as_str(), "true" | "yes" | "1" | "on");
        let (regex, case) = (yes(&get(cx, "re", "false")?), yes(&get(cx, "case_sensitive", "false")?));
        let default = get(cx, "default", "")?;
        let encoding = get(cx, "encoding", "utf-8")?;
        let text = read_encoded(cx, &name, &encoding)?;
        let section = if kind == "properties" { "" } else { &section };
        let mut pairs = ini_section(&text, section, kind == "properties");
        if kind != "properties" {
            let bare = yes(&get(cx, "allow_no_value", "false")?) || yes(&get(cx, "allow_none", "false")?);
            well_formed(&name, &text, section, case, bare)?;
            if flag(cx, &args, "interpolation", true)? {
                interpolate(&mut pairs)?;
            }
            let has_no_value = |l: &str| !l.contains(['=', ':']) && fold_key(l, case) == fold_key(&key, case);
            if bare && section_lines(&text, section).any(has_no_value) {
                continue;
            }
        }
        let fold = |s: &str| if case { s.to_owned() } else { s.to_lowercase() };
        if regex {
            let pattern = patterns::compile(&key, patterns::Flags { ignore_case: !case, multiline: false }, "")?;
            out.extend(
                pairs.iter().filter(|(k, _)| pattern.is_match(k.as_str()).unwrap_or(false)).map(|(_, v)| Val::str(v)),
            );
        } else {
            out.push(match pairs.iter().rev().find(|(k, _)| fold(k) == fold(&key)) {
                Some((_, v)) => Val::str(v),
                None => Val::str(&default),
            });
        }
    }
    Ok(out)
}

/// What Python's reader of INI texts refuses: a key that comes twice, and a section that is not there.
/// `bare`: a line may be a key alone.
fn well_formed(name: &str, text: &str, wanted: &str, case: bool, bare: bool) -> Res<()> {
    let (mut section, mut seen) = (String::new(), std::collections::HashSet::new());
    let mut found = false;
    for line in text.lines().filter(|l| !l.starts_with([' ', '\t'])) {
        let line = line.trim();
        if let Some(header) = line.strip_prefix('[').and_then(|l| l.split(']').next()) {
            section = header.to_owned();
            found |= section == wanted;
        } else if let Some(i) = line.find(['=', ':']).filter(|_| !line.starts_with(['#', ';'])) {
            let key = line[..i].trim();
            let key = if case { key.to_owned() } else { key.to_lowercase() };
            if !seen.insert((section.clone(), key.clone())) {
                return fail(format!(
                    "Duplicate option in '{name}': option '{key}' in section '{section}' already exists"
                ));
            }
        } else if !bare && !line.is_empty() && !line.starts_with(['#', ';']) {
            return fail(format!(
                "Source contains parsing errors: '{name}': '{line}' has no value; see allow_no_value"
            ));
        }
    }
    if found { Ok(()) } else { fail(format!("No section: '{wanted}' in '{name}'")) }
}

/// Puts the values of other keys in for `%(key)s`, as Python's reader does it.
fn interpolate(pairs: &mut [(String, String)]) -> Res<()> {
    let known: Vec<(String, String)> = pairs.iter().map(|(k, v)| (k.to_lowercase(), v.clone())).collect();
    for (_, value) in pairs {
        // What is put in may name others again.
        for _ in 0..10 {
            let Some(start) = value.find("%(") else { break };
            let Some(end) = value[start..].find(")s") else { break };
            let key = value[start + 2..start + end].to_lowercase();
            let Some((_, other)) = known.iter().rev().find(|(k, _)| *k == key) else {
                return fail(format!("there is no key '{key}' to put in for '%({key})s'"));
            };
            value.replace_range(start..start + end + 2, other);
        }
        *value = value.replace("%%", "%");
    }
    Ok(())
}

fn fold_key(key: &str, case: bool) -> String {
    if case { key.to_owned() } else { key.to_lowercase() }
}

/// The lines of a section, without comments.
fn section_lines<'a>(text: &'a str, wanted: &'a str) -> impl Iterator<Item = &'a str> {
    let mut here = false;
    text.lines().map(str::trim).filter(move |line| {
        if let Some(header) = line.strip_prefix('[').and_then(|l| l.split(']').next()) {
            here = header == wanted;
            return false;
        }
        here && !line.is_empty() && !line.starts_with(['#', ';'])
    })
}

/// The pairs of an INI section (those of `DEFAULT` first), with values over several lines joined by line feeds.
fn ini_section(text: &str, wanted: &str, properties: bool) -> Vec<(String, String)> {
    let mut section = String::new();
    let mut pairs: Vec<(bool, String, String)> = Vec::new();
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = trimmed.strip_prefix('[').and_then(|l| l.strip_suffix(']')).filter(|_| !properties) {
            section = name.to_owned();
        } else if line.starts_with([' ', '\t']) && !trimmed.is_empty() && !pairs.is_empty() {
            if let Some((_, _, v)) = pairs.last_mut() {
                v.push('\n');
                v.push_str(trimmed);
            }
        } else if let Some(i) = trimmed.find(['=', ':']) {
            let here = properties || section == wanted || section == "DEFAULT";
            pairs.push((here, trimmed[..i].trim().to_owned(), trimmed[i + 1..].trim().to_owned()));
        }
    }
    pairs.into_iter().filter(|(here, ..)| *here).map(|(_, k, v)| (k, v)).collect()
}

fn csv(cx: &mut Cx<'_>, terms: Vec<Val>, args: Args) -> Res<Vec<Val>> {
    if terms.is_empty() {
        return fail("Search key is required but was not found");
    }
    let mut out = Vec::new();
    for t in &terms {
        let term = cx.text(t)?;
        let (key, own) = inline(&term, &["file", "col", "keycol", "delimiter", "default", "encoding"])?;
        if key.is_empty() {
            return fail("Search key is required but was not found");
        }
        let get = |cx: &mut Cx<'_>, name: &str, default: &str| option(cx, &args, &own, name, default);
        let (name, delimiter) = (get(cx, "file", "ansible.csv")?, get(cx, "delimiter", "TAB")?);
        let delimiter = if delimiter == "TAB" { '\t' } else { delimiter.chars().next().unwrap_or('\t') };
        let (column, key_column) = (get(cx, "col", "1")?, get(cx, "keycol", "0")?);
        let (Ok(column), Ok(key_column)) = (column.parse::<usize>(), key_column.parse::<usize>()) else {
            return fail("'col' or 'keycol' has an invalid value: they must be whole numbers from 0");
        };
        let text = read(cx, &name)?;
        let found = csv_rows(&text, delimiter)
            .into_iter()
            .find(|r| r.get(key_column) == Some(&key))
            .map(|r| r.get(column).cloned());
        match found {
            Some(Some(cell)) => out.push(Val::from(cell)),
            Some(None) => return fail(format!("the row '{key}' has no column {column}")),
            None => {
                if let Some(many @ Val::List(_)) = named(&args, "default") {
                    out.extend(cx.items(&many)?);
                    continue;
                }
                let default = get(cx, "default", "")?;
                if !default.is_empty() || named(&args, "default").is_some() {
                    out.push(Val::from(default));
                }
            }
        }
    }
    Ok(out)
}

/// CSV with quotes: `"a ""b"" c"`.
fn csv_rows(text: &str, delimiter: char) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell) = (Vec::new(), Vec::new(), String::new());
    let (mut quoted, mut any) = (false, false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        any = true;
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                cell.push('"');
            }
            '"' if quoted || cell.is_empty() => quoted = !quoted,
            c if c == delimiter && !quoted => row.push(std::mem::take(&mut cell)),
            '\r' if !quoted => {}
            '\n' if !quoted => {
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
                any = false;
            }
            c => cell.push(c),
        }
    }
    if any {
        row.push(cell);
        rows.push(row);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_quotes_and_ini_sections() {
        assert_eq!(csv_rows("a,\"b \"\"c\"\",d\"\nx,y", ','), [vec!["a", "b \"c\",d"], vec!["x", "y"]]);
        let pairs = ini_section("[a]\nk = 1\n  2\n; c\n[b]\nk: 3\n", "a", false);
        assert_eq!(pairs, [("k".to_owned(), "1\n2".to_owned())]);
    }

    #[test]
    fn quotes_in_a_key_belong_to_it() {
        let (key, own) = inline("\"The Rock\" Johnson file=\"a b.csv\" delimiter=\\t", &["file", "delimiter"]).unwrap();
        assert_eq!(key, "\"The Rock\" Johnson");
        assert_eq!(own, [("file".into(), "a b.csv".into()), ("delimiter".into(), "\t".into())]);
        assert!(inline("a thing=1", &["file"]).is_err());
    }
}
