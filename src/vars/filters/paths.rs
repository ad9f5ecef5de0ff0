//! Filters on paths and URLs; those that look at files look at the control node's.

use std::path::{Path, PathBuf};

use super::super::error::fail;
use super::super::jinja::eval::Cx;
use super::super::jinja::tree::Filter;
use super::super::jinja::val::{Bound, Map, Res, Val};
use super::jinja::quote_url;

#[rustfmt::skip]
pub(super) const ALL: &[Filter] = &[
    Filter { names: &["basename"], params: &[], takes_missing: false, run: |cx, v, _| Ok(Val::str(basename(&cx.text(&v)?))), doc: "The last part of a path." },
    Filter { names: &["dirname"], params: &[], takes_missing: false, run: |cx, v, _| Ok(Val::str(dirname(&cx.text(&v)?))), doc: "A path without its last part." },
    Filter { names: &["expanduser"], params: &[], takes_missing: false, run: |cx, v, _| Ok(expand_user(&cx.text(&v)?).into()), doc: "With `~` as the home folder." },
    Filter { names: &["expandvars"], params: &[], takes_missing: false, run: |cx, v, _| Ok(expand_vars(&cx.text(&v)?).into()), doc: "With `$NAME` from the environment." },
    Filter { names: &["realpath"], params: &[], takes_missing: false, run: real, doc: "With symbolic links resolved." },
    Filter { names: &["relpath"], params: &["start"], takes_missing: false, run: relative, doc: "As seen from another folder." },
    Filter { names: &["normpath"], params: &[], takes_missing: false, run: |cx, v, _| Ok(normal(&cx.text(&v)?).into()), doc: "Without `.`, `..` and doubled slashes." },
    Filter { names: &["commonpath"], params: &[], takes_missing: false, run: common, doc: "The longest folder that all paths share." },
    Filter { names: &["path_join"], params: &[], takes_missing: false, run: join, doc: "Parts joined to a path; an absolute one starts over." },
    Filter { names: &["splitext"], params: &[], takes_missing: false, run: |cx, v, _| { let t = cx.text(&v)?; let (a, b) = split_ext(&t); Ok(Val::tuple(vec![Val::str(a), Val::str(b)])) }, doc: "A path and its extension." },
    Filter { names: &["fileglob"], params: &[], takes_missing: false, run: glob, doc: "The files that a pattern matches." },
    Filter { names: &["win_basename"], params: &[], takes_missing: false, run: |cx, v, _| { let t = cx.text(&v)?; Ok(Val::str(win_split(&t).1)) }, doc: "The last part of a Windows path." },
    Filter { names: &["win_dirname"], params: &[], takes_missing: false, run: |cx, v, _| { let t = cx.text(&v)?; Ok(Val::str(win_split(&t).0)) }, doc: "A Windows path without its last part." },
    Filter { names: &["win_splitdrive"], params: &[], takes_missing: false, run: |cx, v, _| { let t = cx.text(&v)?; let (a, b) = win_drive(&t); Ok(Val::tuple(vec![Val::str(a), Val::str(b)])) }, doc: "The drive of a Windows path, and the rest." },
    Filter { names: &["urlsplit"], params: &["query"], takes_missing: false, run: url_split, doc: "The parts of a URL, or one of them." },
    Filter { names: &["urldecode"], params: &[], takes_missing: false, run: url_decode, doc: "Out of a URL's quoting." },
    Filter { names: &["urlencode"], params: &[], takes_missing: false, run: url_encode, doc: "Quoted for a URL; a dictionary as a query." },
];

/// The part behind the last slash.
pub(in crate::vars) fn basename(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, b)| b)
}

fn dirname(path: &str) -> &str {
    let Some(i) = path.rfind('/') else { return "" };
    let head = &path[..=i];
    // Slashes alone stay.
    match head.trim_end_matches('/') {
        "" => head,
        trimmed => trimmed,
    }
}

fn split_ext(path: &str) -> (&str, &str) {
    let start = path.len() - basename(path).len();
    let leading = path[start..].len() - path[start..].trim_start_matches('.').len();
    match path[start + leading..].rfind('.') {
        Some(i) => path.split_at(start + leading + i),
        None => (path, ""),
    }
}

/// `~` and `~user` at the start of a path.
pub fn expand_user(path: &str) -> String {
    let Some(rest) = path.strip_prefix('~') else { return path.to_owned() };
    let (user, tail) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let home = if user.is_empty() {
        std::env::var("HOME").ok()
    } else {
        // The users of this machine; what a directory service adds is not looked up.
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        passwd.lines().find_map(|l| {
            let fields: Vec<&str> = l.split(':').collect();
            (fields.len() > 5 && fields[0] == user).then(|| fields[5].to_owned())
        })
    };
    home.map_or_else(|| path.to_owned(), |h| format!("{}{tail}", h.trim_end_matches('/')))
}

fn expand_vars(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(i) = rest.find('$') {
        out.push_str(&rest[..i]);
        let tail = &rest[i + 1..];
        let (name, end) = match tail.strip_prefix('{').and_then(|t| t.split_once('}')) {
            Some((name, _)) => (name, name.len() + 2),
            None => {
                let end = tail.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(tail.len());
                (&tail[..end], end)
            }
        };
        match std::env::var(name) {
            Ok(v) if !name.is_empty() => out.push_str(&v),
            _ => out.push_str(&rest[i..i + 1 + end]),
        }
        rest = &tail[end..];
    }
    out + rest
}

fn normal(path: &str) -> String {
    if path.is_empty() {
        return ".".into();
    }
    // POSIX keeps two leading slashes, and no other number of them.
    let root = match path.len() - path.trim_start_matches('/').len() {
        0 => "",
        2 => "//",
        _ => "/",
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if root.is_empty() && parts.last().is_none_or(|p| *p == "..") => parts.push(".."),
            ".." => {
                parts.pop();
            }
            p => parts.push(p),
        }
    }
    match format!("{root}{}", parts.join("/")) {
        p if p.is_empty() => ".".into(),
        p => p,
    }
}

fn absolute(path: &str) -> String {
    if path.starts_with('/') {
        return normal(path);
    }
    let here = std::env::current_dir().unwrap_or_default();
    normal(&format!("{}/{path}", here.display()))
}

fn real(cx: &mut Cx<'_>, v: Val, _: Bound) -> Res {
    let path = absolute(&cx.text(&v)?);
    // What exists of the path is resolved, the rest stays.
    let mut head = PathBuf::from(&path);
    let mut tail: Vec<std::ffi::OsString> = Vec::new();
    loop {
        if let Ok(real) = std::fs::canonicalize(&head) {
            let whole = tail.iter().rev().fold(real, |p, t| p.join(t));
            return Ok(whole.display().to_string().into());
        }
        match (head.file_name().map(ToOwned::to_owned), head.pop()) {
            (Some(name), true) => tail.push(name),
            _ => return Ok(path.into()),
        }
    }
}

fn relative(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let (path, start) = (absolute(&cx.text(&v)?), absolute(&b.text(cx, 0, ".")?));
    fn parts(p: &str) -> Vec<&str> {
        p.split('/').filter(|s| !s.is_empty()).collect()
    }
    let (path, start) = (parts(&path), parts(&start));
    let shared = path.iter().zip(&start).take_while(|(a, b)| a == b).count();
    let mut out: Vec<&str> = vec![".."; start.len() - shared];
    out.extend(&path[shared..]);
    Ok(if out.is_empty() { Val::str(".") } else { out.join("/").into() })
}

fn common(cx: &mut Cx<'_>, v: Val, _: Bound) -> Res {
    if !matches!(v, Val::List(_) | Val::Tuple(_)) {
        return fail(format!("|commonpath expects sequence, not {}", v.described()));
    }
    let mut paths = Vec::new();
    for p in cx.items(&v)? {
        paths.push(cx.text(&p)?);
    }
    let Some(first) = paths.first() else { return fail("commonpath() arg is an empty sequence") };
    if paths.iter().any(|p| p.starts_with('/') != first.starts_with('/')) {
        return fail("Can't mix absolute and relative paths");
    }
    let split: Vec<Vec<&str>> =
        paths.iter().map(|p| p.split('/').filter(|s| !s.is_empty() && *s != ".").collect()).collect();
    let shared =
        (0..).take_while(|i| split.iter().all(|s| s.get(*i).is_some_and(|p| Some(p) == split[0].get(*i)))).count();
    let root = if first.starts_with('/') { "/" } else { "" };
    Ok(format!("{root}{}", split[0][..shared].join("/")).into())
}

fn join(cx: &mut Cx<'_>, v: Val, _: Bound) -> Res {
    let parts = match &v {
        Val::Str(s) => vec![s.to_string()],
        Val::List(_) | Val::Tuple(_) => {
            let items = cx.items(&v)?;
            items.iter().map(|i| cx.text(i)).collect::<Res<_>>()?
        }
        other => return fail(format!("|path_join expects string or sequence, not {}", other.described())),
    };
    let mut out = String::new();
    for part in parts {
        if part.starts_with('/') {
            out = part;
        } else if out.is_empty() || out.ends_with('/') {
            out.push_str(&part);
        } else {
            out.push('/');
            out.push_str(&part);
        }
    }
    Ok(out.into())
}

fn glob(cx: &mut Cx<'_>, v: Val, _: Bound) -> Res {
    let pattern = cx.text(&v)?;
    let found = files_like(&pattern).into_iter().filter(|p| p.is_file());
    Ok(Val::strings(found.map(|p| p.display().to_string())))
}

/// Paths that a shell pattern (`*`, `?`, `[…]` in any part) matches, sorted; hidden files only where the pattern says so.
pub(in crate::vars) fn files_like(pattern: &str) -> Vec<PathBuf> {
    let mut found = vec![if pattern.starts_with('/') { PathBuf::from("/") } else { PathBuf::new() }];
    for part in pattern.split('/').filter(|p| !p.is_empty()) {
        let mut next = Vec::new();
        for base in found {
            if !part.contains(['*', '?', '[']) {
                let path = base.join(part);
                if path.symlink_metadata().is_ok() {
                    next.push(path);
                }
                continue;
            }
            let folder = if base.as_os_str().is_empty() { Path::new(".") } else { &base };
            let mut names: Vec<String> = std::fs::read_dir(folder)
                .into_iter()
                .flatten()
                .flatten()
                .map(|e| e.file_name().to_string_lossy().into_owned())
                .collect();
            names.sort();
            names.retain(|n| (part.starts_with('.') || !n.starts_with('.')) && like(part, n));
            next.extend(names.into_iter().map(|n| base.join(n)));
        }
        found = next;
    }
    found
}

/// Whether a name fits a shell pattern.
pub(in crate::vars) fn like(pattern: &str, name: &str) -> bool {
    let mut regex = String::from("\\A");
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '*' => regex.push_str("(?s:.*)"),
            '?' => regex.push_str("(?s:.)"),
            '[' if chars.clone().skip(1).any(|c| c == ']') => {
                regex.push('[');
                if chars.next_if_eq(&'!').is_some() {
                    regex.push('^');
                }
                let mut first = true;
                for c in chars.by_ref() {
                    if c == ']' && !first {
                        break;
                    }
                    first = false;
                    if "[]\\&~".contains(c) {
                        regex.push('\\');
                    }
                    regex.push(c);
                }
                regex.push(']');
            }
            c => regex.push_str(&super::super::patterns::escape(&c.to_string())),
        }
    }
    regex.push_str("\\z");
    fancy_regex::Regex::new(&regex).is_ok_and(|r| r.is_match(name).unwrap_or(false))
}

fn win_drive(path: &str) -> (&str, &str) {
    let bytes = path.as_bytes();
    if bytes.len() >= 2 && bytes[1] == b':' {
        return path.split_at(2);
    }
    if path.starts_with("\\\\") || path.starts_with("//") {
        // \\server\share
        let mut ends = path[2..].match_indices(['\\', '/']).map(|(i, _)| i + 2);
        if ends.next().is_some() {
            return path.split_at(ends.next().unwrap_or(path.len()));
        }
    }
    ("", path)
}

fn win_split(path: &str) -> (String, &str) {
    let (drive, rest) = win_drive(path);
    let i = rest.rfind(['\\', '/']).map_or(0, |i| i + 1);
    let (head, tail) = rest.split_at(i);
    let trimmed = head.trim_end_matches(['\\', '/']);
    (format!("{drive}{}", if trimmed.is_empty() { head } else { trimmed }), tail)
}

/// The parts of a URL.
pub(in crate::vars) struct UrlParts {
    pub scheme: String,
    pub netloc: String,
    path: String,
    query: String,
    fragment: String,
}

/// Takes a URL apart, as Python's `urlsplit`.
pub(in crate::vars) fn url_parts(url: &str) -> UrlParts {
    let url: String = url.trim_start_matches(|c: char| c <= ' ').chars().filter(|c| !"\t\r\n".contains(*c)).collect();
    let scheme_end = url.find(':').filter(|i| {
        url.starts_with(|c: char| c.is_ascii_alphabetic())
            && url[..*i].chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    });
    let (scheme, rest) = match scheme_end {
        Some(i) => (url[..i].to_lowercase(), &url[i + 1..]),
        None => (String::new(), url.as_str()),
    };
    let (netloc, rest) = match rest.strip_prefix("//") {
        Some(r) => r.split_at(r.find(['/', '?', '#']).unwrap_or(r.len())),
        None => ("", rest),
    };
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    UrlParts { scheme, netloc: netloc.into(), path: path.into(), query: query.into(), fragment: fragment.into() }
}

fn url_split(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let p = url_parts(&cx.text(&v)?);
    let (login, host) = match p.netloc.rsplit_once('@') {
        Some((l, h)) => (Some(l), h),
        None => (None, p.netloc.as_str()),
    };
    let (name, port) = match host.strip_prefix('[').and_then(|h| h.split_once(']')) {
        Some((name, tail)) => (name, tail.strip_prefix(':')),
        None => host.split_once(':').map_or((host, None), |(n, p)| (n, Some(p))),
    };
    let port = match port.filter(|p| !p.is_empty()).map(str::parse::<u16>) {
        Some(Ok(n)) => Val::Int(i64::from(n)),
        Some(Err(_)) => return fail("the port of the URL is not a number"),
        None => Val::Null,
    };
    let maybe = |t: Option<&str>| t.map_or(Val::Null, Val::str);
    let (user, password) = match login {
        Some(l) => l.split_once(':').map_or((Some(l), None), |(u, p)| (Some(u), Some(p))),
        None => (None, None),
    };
    let lower = name.to_lowercase();
    let all: Map = [
        ("fragment", Val::str(&p.fragment)),
        ("hostname", maybe((!name.is_empty()).then_some(lower.as_str()))),
        ("netloc", Val::str(&p.netloc)),
        ("password", maybe(password)),
        ("path", Val::str(&p.path)),
        ("port", port),
        ("query", Val::str(&p.query)),
        ("scheme", Val::str(&p.scheme)),
        ("username", maybe(user)),
    ]
    .into_iter()
    .map(|(k, v)| (k.into(), v))
    .collect();
    match b.text(cx, 0, "")?.as_str() {
        "" => Ok(Val::dict(all)),
        part => match all.get(part) {
            Some(v) => Ok(v.clone()),
            None => fail(format!(
                "unknown URL component '{part}'; there are fragment, hostname, netloc, password, path, port, query, scheme, username"
            )),
        },
    }
}

fn url_decode(cx: &mut Cx<'_>, v: Val, _: Bound) -> Res {
    let text = cx.text(&v)?.replace('+', " ");
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let code = tail.get(..2).and_then(|h| std::str::from_utf8(h).ok()).and_then(|h| u8::from_str_radix(h, 16).ok());
        match (first, code) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            (other, _) => {
                bytes.push(*other);
                rest = tail;
            }
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned().into())
}

fn url_encode(cx: &mut Cx<'_>, v: Val, _: Bound) -> Res {
    let pairs: Vec<(Val, Val)> = match &v {
        Val::Dict(_) => cx.pairs(&v)?.into_iter().map(|(k, v)| (Val::of_key(&k), v)).collect(),
        Val::List(_) | Val::Tuple(_) => {
            let mut pairs = Vec::new();
            for pair in cx.items(&v)? {
                match cx.items(&pair)?.as_slice() {
                    [k, v] => pairs.push((k.clone(), v.clone())),
                    _ => return fail("a list of pairs is needed"),
                }
            }
            pairs
        }
        other => return Ok(quote_url(&cx.text(other)?, "/").into()),
    };
    let mut parts = Vec::new();
    for (k, v) in pairs {
        let (k, v) = (cx.text(&k)?, cx.text(&v)?);
        parts.push(format!("{}={}", quote_url(&k, "").replace("%20", "+"), quote_url(&v, "").replace("%20", "+")));
    }
    Ok(parts.join("&").into())
}
