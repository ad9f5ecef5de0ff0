//! Filters with Python's regular expressions.

use super::super::error::{TemplateError, TemplateErrorKind, fail};
use super::super::jinja::eval::Cx;
use super::super::jinja::tree::Filter;
use super::super::jinja::val::{Bound, Res, Val};
use super::super::patterns::{self, Flags, gave_up};

#[rustfmt::skip]
pub(super) const ALL: &[Filter] = &[
    Filter { names: &["regex_replace"], params: &["pattern", "replacement", "ignorecase", "multiline", "count", "mandatory_count"], takes_missing: false, run: replace, doc: "What matches replaced; `\\1` and `\\g<name>` stand for groups." },
    Filter { names: &["regex_search"], params: &["regex", "*args", "**kwargs"], takes_missing: false, run: search, doc: "The first match, or groups of it; null where there is none." },
    Filter { names: &["regex_findall"], params: &["regex", "multiline", "ignorecase"], takes_missing: false, run: find_all, doc: "All matches." },
    Filter { names: &["regex_escape"], params: &["re_type"], takes_missing: false, run: escape, doc: "As a pattern that matches just this." },
];

fn text_of(cx: &mut Cx<'_>, v: &Val) -> Res<String> {
    cx.text(v)
}

fn replace(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let text = text_of(cx, &v)?;
    let (pattern, replacement) = (b.text(cx, 0, "")?, b.text(cx, 1, "")?);
    let flags = Flags { ignore_case: b.flag(cx, 2, false)?, multiline: b.flag(cx, 3, false)? };
    let most = b.int(4, "count")?.and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0).unwrap_or(usize::MAX);
    let least = b.int(5, "mandatory_count")?.unwrap_or(0);
    let regex = patterns::compile(&pattern, flags, &text)?;
    let (mut out, mut last, mut n) = (String::with_capacity(text.len()), 0, 0i64);
    for found in regex.captures_iter(text.as_str()).take(most) {
        let found = found.map_err(|e| gave_up(&e))?;
        let Some(whole) = found.get(0) else { continue };
        out.push_str(&text[last..whole.start()]);
        patterns::fill(&replacement, &found, &mut out)?;
        last = whole.end();
        n += 1;
        cx.fits_text(out.len())?;
    }
    out.push_str(&text[last..]);
    cx.bounded_text(out.len())?;
    if least > 0 && n != least {
        return fail(format!("'{pattern}' should match {least} times, but matches {n} times in '{text}'"));
    }
    Ok(out.into())
}

fn search(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let text = text_of(cx, &v)?;
    let pattern = b.text(cx, 0, "")?;
    let mut flags = Flags::default();
    for (name, v) in &b.named {
        match &**name {
            "ignorecase" => flags.ignore_case = cx.truth(v)?,
            "multiline" => flags.multiline = cx.truth(v)?,
            _ => return fail(format!("unknown argument '{name}'; known are ignorecase, multiline")),
        }
    }
    let mut groups = Vec::new();
    for arg in &b.rest {
        let arg = cx.text(arg)?;
        let name = arg.strip_prefix("\\g<").and_then(|a| a.strip_suffix('>')).or_else(|| arg.strip_prefix('\\'));
        match name {
            Some(name) => groups.push(name.to_owned()),
            None => return fail(format!("Unknown argument '{arg}': a group is written '\\\\1' or '\\\\g<name>'")),
        }
    }
    let regex = patterns::compile(&pattern, flags, &text)?;
    let Some(found) = regex.captures(text.as_str()).map_err(|e| gave_up(&e))? else { return Ok(Val::Null) };
    if groups.is_empty() {
        return Ok(found.get(0).map_or(Val::Null, |m| Val::str(m.as_str())));
    }
    let mut out = Vec::new();
    for name in &groups {
        let m = match name.parse::<usize>() {
            Ok(i) if i < found.len() => found.get(i),
            Err(_) if regex.capture_names().flatten().any(|n| n == name) => found.name(name),
            _ => return Err(TemplateError::new(TemplateErrorKind::Other, format!("no such group '{name}'"))),
        };
        out.push(m.map_or(Val::Null, |m| Val::str(m.as_str())));
    }
    Ok(Val::list(out))
}

fn find_all(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let text = text_of(cx, &v)?;
    let pattern = b.text(cx, 0, "")?;
    let flags = Flags { multiline: b.flag(cx, 1, false)?, ignore_case: b.flag(cx, 2, false)? };
    let regex = patterns::compile(&pattern, flags, &text)?;
    let mut out = Vec::new();
    for found in regex.captures_iter(text.as_str()) {
        let found = found.map_err(|e| gave_up(&e))?;
        let group = |i: usize| Val::str(found.get(i).map_or("", |m| m.as_str()));
        out.push(match found.len() {
            1 => group(0),
            2 => group(1),
            n => Val::tuple((1..n).map(group).collect()),
        });
    }
    Ok(Val::list(out))
}

fn escape(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let text = text_of(cx, &v)?;
    match b.text(cx, 0, "python")?.as_str() {
        "python" => Ok(patterns::escape(&text).into()),
        "posix_basic" => {
            let escaped: String =
                text.chars().flat_map(|c| ("].[^$*\\".contains(c)).then_some('\\').into_iter().chain([c])).collect();
            Ok(escaped.into())
        }
        "posix_extended" => fail("Regex type (posix_extended) not yet implemented; use python or posix_basic"),
        other => fail(format!("Invalid regex type ({other}); use python or posix_basic")),
    }
}
