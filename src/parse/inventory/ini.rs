//! INI inventories: hosts with their variables, `[group]`, `[group:vars]`, `[group:children]`.

use std::sync::Arc;

use indexmap::IndexMap;

use super::{Builder, literal, ranges};
use crate::model::mistake::Mistake;
use crate::model::source::{Source, Span};

#[derive(Clone, Copy, PartialEq)]
enum Section {
    Hosts,
    Vars,
    Children,
}

/// Reads an INI inventory into `into`.
pub(super) fn read(source: &Arc<Source>, into: &mut Builder) {
    let mut group = "ungrouped".to_owned();
    let mut section = Section::Hosts;
    // Groups that were spoken of before they were declared, with the place; they must be declared in this file.
    let mut pending: IndexMap<String, (Section, Span)> = IndexMap::new();
    let mut start = 0;
    for whole in source.text.split_inclusive('\n') {
        let at = start;
        start += whole.len();
        let line = whole.trim();
        let from = at + (whole.len() - whole.trim_start().len());
        let span = Span::new(source, from as u32, (from + line.len()) as u32);
        if line.is_empty() || line.starts_with([';', '#']) {
            continue;
        }
        if line == "---" {
            into.mistakes.push(
                Mistake::at(&span, "this looks like YAML, but is read as an INI inventory")
                    .help("give the file the ending .yml"),
            );
            return;
        }
        if line.starts_with('[') {
            match header(line) {
                Some((name, kind)) => {
                    section = match kind {
                        None | Some("hosts") => Section::Hosts,
                        Some("vars") => Section::Vars,
                        Some("children") => Section::Children,
                        Some(other) => {
                            into.mistakes.push(
                                Mistake::at(&span, format!("a section cannot be of the kind `{other}`"))
                                    .suggest(other, ["hosts", "vars", "children"])
                                    .help("there are [group], [group:vars] and [group:children]"),
                            );
                            Section::Vars
                        }
                    };
                    let name = &*into.safe(name);
                    group = name.to_owned();
                    if section == Section::Vars {
                        if !into.inventory.groups.contains_key(name) && !pending.contains_key(name) {
                            pending.insert(group.clone(), (section, span));
                        }
                    } else {
                        pending.shift_remove(name);
                    }
                    into.group(name);
                    continue;
                }
                // `[::1]:22 …` and `[1:3]` are hosts.
                None if line.ends_with(']') => {
                    into.mistakes.push(
                        Mistake::at(&span, "this section's name cannot be read")
                            .label("no spaces and no `:` in a name")
                            .help("there are [group], [group:vars] and [group:children]"),
                    );
                    continue;
                }
                None => {}
            }
        }
        match section {
            Section::Hosts => host(line, &span, &group, into),
            Section::Vars => variable(line, &span, &group, into),
            Section::Children => {
                let name = line.split_once('#').map_or(line, |(n, _)| n).trim();
                if name.contains([' ', '\t', ':', ']']) || name.is_empty() {
                    into.mistakes.push(
                        Mistake::at(&span, "the name of a group is expected here")
                            .label(format!("[{group}:children] lists one group per line")),
                    );
                    continue;
                }
                if !into.inventory.groups.contains_key(name) {
                    pending.entry(name.to_owned()).or_insert((section, span.part(0, name.len() as u32)));
                }
                into.child(&group, name, &span);
            }
        }
    }
    let known: Vec<String> = into.inventory.groups.keys().filter(|g| !pending.contains_key(*g)).cloned().collect();
    for (name, (section, span)) in pending {
        let what = if section == Section::Vars { "has variables, but" } else { "is named as a child, but" };
        into.mistakes.push(
            Mistake::at(&span, format!("the group `{name}` {what} is not declared in this file"))
                .suggest(&name, known.iter().map(String::as_str))
                .help(format!("add a section [{name}] with its hosts; it may be empty")),
        );
    }
}

/// Name and kind of `[name:kind]`, with a comment behind it allowed.
fn header(line: &str) -> Option<(&str, Option<&str>)> {
    let (inner, after) = line.strip_prefix('[')?.split_once(']')?;
    if !(after.trim().is_empty() || after.trim_start().starts_with('#')) {
        return None;
    }
    let (name, kind) = inner.split_once(':').map_or((inner, None), |(n, k)| (n, Some(k)));
    let word = |t: &str| !t.is_empty() && t.chars().all(|c| c.is_alphanumeric() || c == '_');
    let good = !name.is_empty() && !name.contains(char::is_whitespace) && kind.is_none_or(word);
    good.then_some((name, kind))
}

/// `name:port key=value …`: words as the shell splits them.
fn host(line: &str, span: &Span, group: &str, into: &mut Builder) {
    let words = match shell_words(line) {
        Ok(words) => words,
        Err(at) => {
            into.mistakes.push(
                Mistake::at(&span.part(at as u32, line.len() as u32), "a quote in this line is never closed")
                    .label("opened here"),
            );
            return;
        }
    };
    let mut words = words.into_iter();
    let Some((pattern, start, end)) = words.next() else { return };
    let place = span.part(start as u32, end as u32);
    let (names, port) = match ranges::expand(&pattern) {
        Ok(found) => found,
        Err(why) => {
            into.mistakes.push(Mistake::at(&place, why));
            return;
        }
    };
    let mut vars = Vec::new();
    for (word, start, end) in words {
        let place = span.part(start as u32, end as u32);
        let Some((key, value)) = word.split_once('=') else {
            into.mistakes.push(
                Mistake::at(&place, format!("`{word}` is no variable of a host"))
                    .label("write name=value")
                    .help("hosts stand one per line; a value with spaces needs quotes"),
            );
            continue;
        };
        vars.push((key.to_owned(), literal::value(value, &place)));
    }
    for name in names {
        into.host(&name, group, port);
        for (key, value) in &vars {
            into.host_var(&name, key, value.clone());
        }
    }
}

fn variable(line: &str, span: &Span, group: &str, into: &mut Builder) {
    let Some((key, value)) = line.split_once('=') else {
        into.mistakes.push(Mistake::at(span, "a variable is expected here").label("write name=value"));
        return;
    };
    let from = line.len() - value.trim_start().len();
    let value = literal::value(value.trim(), &span.part(from as u32, line.len() as u32));
    into.group_var(group, key.trim(), value, span);
}

/// Words with quotes and backslashes as in a shell, and the bytes they cover; `#` starts a comment, within a word too.
/// The error is the place of the quote that is not closed.
fn shell_words(line: &str) -> Result<Vec<(String, usize, usize)>, usize> {
    let mut words = Vec::new();
    let mut word: Option<(String, usize)> = None;
    let mut chars = line.char_indices().peekable();
    let mut end = line.len();
    while let Some((at, c)) = chars.next() {
        match c {
            ' ' | '\t' | '\r' => {
                if let Some((text, start)) = word.take() {
                    words.push((text, start, at));
                }
            }
            '#' => {
                end = at;
                break;
            }
            '\\' => {
                let next = chars.next().ok_or(at)?.1;
                word.get_or_insert_with(|| (String::new(), at)).0.push(next);
            }
            '\'' | '"' => {
                let text = &mut word.get_or_insert_with(|| (String::new(), at)).0;
                loop {
                    let (_, inner) = chars.next().ok_or(at)?;
                    match inner {
                        _ if inner == c => break,
                        '\\' if c == '"' && chars.peek().is_some_and(|(_, n)| matches!(n, '"' | '\\')) => {
                            text.extend(chars.next().map(|(_, n)| n));
                        }
                        _ => text.push(inner),
                    }
                }
            }
            _ => word.get_or_insert_with(|| (String::new(), at)).0.push(c),
        }
    }
    if let Some((text, start)) = word {
        words.push((text, start, end));
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_as_a_shell_splits_them() {
        let words = |l: &str| shell_words(l).unwrap().into_iter().map(|(w, ..)| w).collect::<Vec<_>>();
        assert_eq!(words("h a=1 b='x y' c=\"it's \\\" \\n\" # rest"), ["h", "a=1", "b=x y", "c=it's \" \\n"]);
        assert_eq!(words("h a=b#c d=e"), ["h", "a=b"]);
        assert_eq!(shell_words("h a='x"), Err(4));
    }
}
