//! Ansible's own tests on texts, versions, lists and files.

use std::cmp::Ordering;
use std::path::Path;

use super::super::error::fail;
use super::super::jinja::eval::Cx;
use super::super::jinja::tree::Test;
use super::super::jinja::val::{Bound, Res, Val};
use super::super::patterns::{Flags, How, matches};
use super::super::versions::{self, Scheme};
use crate::model::text::Origin;

#[rustfmt::skip]
pub(super) const ALL: &[Test] = &[
    Test { names: &["match"], params: &["pattern", "ignorecase", "multiline"], takes_missing: false, run: |cx, v, b| pattern(cx, v, b, How::AtStart), doc: "A pattern matches at its start." },
    Test { names: &["search"], params: &["pattern", "ignorecase", "multiline"], takes_missing: false, run: |cx, v, b| pattern(cx, v, b, How::Anywhere), doc: "A pattern matches somewhere in it." },
    Test { names: &["regex"], params: &["pattern", "ignorecase", "multiline", "match_type"], takes_missing: false, run: regex, doc: "A pattern matches; `match_type` says where." },
    Test { names: &["version", "version_compare"], params: &["version", "operator", "strict", "version_type"], takes_missing: false, run: version, doc: "It compares so with a version." },
    Test { names: &["any"], params: &[], takes_missing: false, run: |cx, v, _| { for i in cx.items(&v)? { if cx.truth(&i)? { return Ok(true); } } Ok(false) }, doc: "One of its items is true." },
    Test { names: &["all"], params: &[], takes_missing: false, run: |cx, v, _| { for i in cx.items(&v)? { if !cx.truth(&i)? { return Ok(false); } } Ok(true) }, doc: "All of its items are true." },
    Test { names: &["truthy"], params: &["convert_bool"], takes_missing: false, run: truthy, doc: "It counts as true." },
    Test { names: &["falsy"], params: &["convert_bool"], takes_missing: false, run: |cx, v, b| Ok(!truthy(cx, v, b)?), doc: "It counts as false." },
    Test { names: &["subset", "issubset"], params: &["b"], takes_missing: false, run: |cx, v, b| { let other = b.need(0, "the test 'subset'", "b")?.clone(); all_in(cx, &v, &other) }, doc: "All its items are in another list." },
    Test { names: &["superset", "issuperset"], params: &["b"], takes_missing: false, run: |cx, v, b| { let other = b.need(0, "the test 'superset'", "b")?.clone(); all_in(cx, &other, &v) }, doc: "It has all the items of another list." },
    Test { names: &["contains"], params: &["b"], takes_missing: false, run: |cx, v, b| { let item = b.need(0, "the test 'contains'", "b")?.clone(); cx.contains(&v, &item) }, doc: "It has an item." },
    Test { names: &["isnan", "nan"], params: &[], takes_missing: false, run: |_, v, _| Ok(v.as_number().is_some_and(f64::is_nan)), doc: "It is not a number (NaN)." },
    Test { names: &["vault_encrypted"], params: &[], takes_missing: false, run: vault_encrypted, doc: "It is a text that vault encrypted." },
    Test { names: &["ansible._protomatter.tagged_with"], params: &["tag"], takes_missing: false, run: tagged_with, doc: "Its origin is `TrustedAsTemplate` (the user wrote it) or `VaultedValue`." },
    Test { names: &["vaulted_file"], params: &[], takes_missing: false, run: vaulted_file, doc: "It is a file that vault encrypted." },
    Test { names: &["urn"], params: &[], takes_missing: false, run: |_, v, _| Ok(v.as_str().is_some_and(|t| super::super::filters::url_parts(t).scheme == "urn")), doc: "It is a URN." },
    Test { names: &["uri"], params: &["schemes"], takes_missing: false, run: |cx, v, b| uri(cx, v, b, false), doc: "It is a URI." },
    Test { names: &["url"], params: &["schemes"], takes_missing: false, run: |cx, v, b| uri(cx, v, b, true), doc: "It is a URL: a URI with a host." },
    Test { names: &["file", "is_file"], params: &[], takes_missing: false, run: |cx, v, _| on_file(cx, &v, Path::is_file), doc: "It is a file on the control node." },
    Test { names: &["directory", "is_dir"], params: &[], takes_missing: false, run: |cx, v, _| on_file(cx, &v, Path::is_dir), doc: "It is a folder on the control node." },
    Test { names: &["link", "is_link"], params: &[], takes_missing: false, run: |cx, v, _| on_file(cx, &v, Path::is_symlink), doc: "It is a symbolic link on the control node." },
    Test { names: &["exists"], params: &[], takes_missing: false, run: |cx, v, _| on_file(cx, &v, Path::exists), doc: "It exists on the control node." },
    Test { names: &["link_exists"], params: &[], takes_missing: false, run: |cx, v, _| on_file(cx, &v, |p| p.symlink_metadata().is_ok()), doc: "It exists on the control node, be it as a broken link." },
    Test { names: &["abs", "is_abs"], params: &[], takes_missing: false, run: |cx, v, _| Ok(cx.text(&v)?.starts_with('/')), doc: "It is an absolute path." },
    Test { names: &["same_file", "is_same_file"], params: &["other"], takes_missing: false, run: same_file, doc: "It is the same file as another on the control node." },
    Test { names: &["mount", "is_mount"], params: &[], takes_missing: false, run: |cx, v, _| on_file(cx, &v, is_mount), doc: "A file system is mounted there on the control node." },
];

fn flags(cx: &mut Cx<'_>, b: &Bound) -> Res<Flags> {
    Ok(Flags { ignore_case: b.flag(cx, 1, false)?, multiline: b.flag(cx, 2, false)? })
}

fn pattern(cx: &mut Cx<'_>, v: Val, b: Bound, how: How) -> Res<bool> {
    let text = cx.text(&v)?;
    let pattern = b.text(cx, 0, "")?;
    matches(&pattern, flags(cx, &b)?, &text, how)
}

fn regex(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res<bool> {
    let how = match b.text(cx, 3, "search")?.as_str() {
        "search" => How::Anywhere,
        "match" => How::AtStart,
        "fullmatch" => How::Whole,
        other => return fail(format!("'match_type' must be search, match or fullmatch, not '{other}'")),
    };
    pattern(cx, v, b, how)
}

fn version(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res<bool> {
    let text = cx.text(&v)?;
    let other = cx.text(b.need(0, "the test 'version'", "version")?)?;
    let operator = b.text(cx, 1, "eq")?;
    let strict = b.get(2).map(|v| cx.truth(v)).transpose()?;
    let kind = b.some(3).map(|v| cx.text(v)).transpose()?;
    let scheme = match (strict, kind.as_deref()) {
        (Some(_), Some(_)) => return fail("Cannot specify both 'strict' and 'version_type'"),
        (Some(true), None) | (_, Some("strict")) => Scheme::Strict,
        (_, Some("loose") | None) => Scheme::Loose,
        (_, Some("semver" | "semantic")) => Scheme::Semantic,
        (_, Some("pep440")) => Scheme::Pep440,
        (_, Some(other)) => {
            return fail(format!(
                "invalid version type '{other}': it must be loose, strict, semver, semantic or pep440"
            ));
        }
    };
    // Ansible's words.
    if text.is_empty() {
        return fail("Input version value cannot be empty");
    }
    if other.is_empty() {
        return fail("Version parameter to compare against cannot be empty");
    }
    let order = versions::compare(&text, &other, scheme).or_else(fail)?;
    Ok(match operator.as_str() {
        "==" | "=" | "eq" => order == Ordering::Equal,
        "!=" | "<>" | "ne" => order != Ordering::Equal,
        "<" | "lt" => order == Ordering::Less,
        "<=" | "le" => order != Ordering::Greater,
        ">" | "gt" => order == Ordering::Greater,
        ">=" | "ge" => order != Ordering::Less,
        other => {
            return fail(format!(
                "invalid operator '{other}': it must be one of ==, =, eq, <, lt, <=, le, >, gt, >=, ge, !=, <>, ne"
            ));
        }
    })
}

fn truthy(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res<bool> {
    if b.flag(cx, 0, false)?
        && let Some(yes) = super::super::filters::truth_of(&v)
    {
        return Ok(yes);
    }
    cx.truth(&v)
}

fn all_in(cx: &mut Cx<'_>, part: &Val, whole: &Val) -> Res<bool> {
    for item in cx.items(part)? {
        if !cx.contains(whole, &item)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn on_file(cx: &mut Cx<'_>, v: &Val, f: fn(&Path) -> bool) -> Res<bool> {
    Ok(f(Path::new(&cx.text(v)?)))
}

fn vault_encrypted(cx: &mut Cx<'_>, v: Val, _: Bound) -> Res<bool> {
    match &v {
        Val::Str(text) if text.origin() == Origin::Vaulted => Ok(true),
        other => Ok(cx.text(other)?.starts_with("$ANSIBLE_VAULT;")),
    }
}

fn tagged_with(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res<bool> {
    let tag = b.need(0, "the test 'tagged_with'", "tag")?.clone();
    let origin = match &v {
        Val::Str(text) => text.origin(),
        _ => Origin::Data,
    };
    match cx.text(&tag)?.as_str() {
        "TrustedAsTemplate" => Ok(origin != Origin::Data),
        "VaultedValue" => Ok(origin == Origin::Vaulted),
        other => fail(format!("'{other}' is no tag that is known here; `TrustedAsTemplate` and `VaultedValue` are")),
    }
}

fn vaulted_file(cx: &mut Cx<'_>, v: Val, _: Bound) -> Res<bool> {
    use std::io::Read as _;
    let path = cx.text(&v)?;
    let mut head = [0; 15];
    match std::fs::File::open(&path).and_then(|mut f| f.read(&mut head)) {
        Ok(n) => Ok(head[..n].starts_with(b"$ANSIBLE_VAULT;")),
        Err(e) => fail(format!("cannot read '{path}': {e}")),
    }
}

fn same_file(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res<bool> {
    let (one, other) = (cx.text(&v)?, cx.text(b.need(0, "the test 'same_file'", "other")?)?);
    match (std::fs::canonicalize(&one), std::fs::canonicalize(&other)) {
        (Ok(a), Ok(b)) => Ok(a == b),
        (Err(e), _) => fail(format!("'{one}': {e}")),
        (_, Err(e)) => fail(format!("'{other}': {e}")),
    }
}

fn is_mount(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let Ok(here) = path.symlink_metadata() else { return false };
    match path.join("..").metadata() {
        Ok(above) if !here.is_symlink() => here.dev() != above.dev() || here.ino() == above.ino(),
        _ => false,
    }
}

/// As in Ansible, any text is a URI unless schemes are named; a URL has a host, or is of a file.
fn uri(cx: &mut Cx<'_>, v: Val, b: Bound, is_url: bool) -> Res<bool> {
    let Val::Str(text) = &v else { return Ok(false) };
    let parts = super::super::filters::url_parts(text);
    let mut schemes = Vec::new();
    if let Some(list) = b.some(0) {
        for s in cx.items(list)? {
            schemes.push(cx.text(&s)?);
        }
    }
    let known = schemes.is_empty() || schemes.contains(&parts.scheme);
    Ok(known && (!is_url || !parts.netloc.is_empty() || parts.scheme == "file"))
}
