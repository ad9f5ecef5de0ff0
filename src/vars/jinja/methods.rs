//! Python's methods of texts, lists, dictionaries and numbers, as far as templates use them.

use super::eval::Cx;
use super::val::{Args, Bound, Map, Res, Val};
use crate::model::value::Key;
use crate::vars::error::fail;

const OF_STR: &[&str] = &[
    "capitalize",
    "casefold",
    "center",
    "count",
    "encode",
    "endswith",
    "expandtabs",
    "find",
    "format",
    "index",
    "isalnum",
    "isalpha",
    "isascii",
    "isdecimal",
    "isdigit",
    "isidentifier",
    "islower",
    "isnumeric",
    "isprintable",
    "isspace",
    "istitle",
    "isupper",
    "join",
    "ljust",
    "lower",
    "lstrip",
    "partition",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rindex",
    "rjust",
    "rpartition",
    "rsplit",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "swapcase",
    "title",
    "translate",
    "upper",
    "zfill",
];
const OF_LIST: &[&str] =
    &["append", "clear", "copy", "count", "extend", "index", "insert", "pop", "remove", "reverse", "sort"];
const OF_DICT: &[&str] =
    &["clear", "copy", "get", "items", "keys", "pop", "popitem", "setdefault", "update", "values", "fromkeys"];
const OF_NUMBER: &[&str] = &["bit_length", "is_integer", "__and__", "__or__", "__xor__", "__lshift__", "__rshift__"];

/// Whether a dictionary has a method of this name: `d.items` is it, whatever keys there are.
pub fn of_dict(name: &str) -> bool {
    OF_DICT.contains(&name)
}

/// Whether a value has a method of this name.
pub fn known(of: &Val, name: &str) -> bool {
    match of {
        Val::Str(_) => OF_STR.contains(&name),
        Val::List(_) => OF_LIST.contains(&name),
        Val::Tuple(_) => matches!(name, "count" | "index"),
        Val::Dict(_) => of_dict(name),
        Val::Int(_) | Val::Float(_) | Val::Bool(_) => OF_NUMBER.contains(&name),
        _ => false,
    }
}

/// Calls a method; none if the value has no such method.
pub fn call(cx: &mut Cx<'_>, of: &Val, name: &str, args: &Args) -> Res<Option<Val>> {
    match of {
        Val::Later(_) => {
            let of = cx.settle(of)?;
            call(cx, &of, name, args)
        }
        Val::Object(o) => o.clone().method(cx, name, args),
        of if !known(of, name) => Ok(None),
        Val::Str(s) => text(cx, s, name, args.clone()).map(Some),
        Val::List(_) | Val::Tuple(_) => list(cx, of, name, args.clone()).map(Some),
        Val::Dict(_) => dict(cx, of, name, args.clone()).map(Some),
        _ => number(of, name, args).map(Some),
    }
}

fn number(of: &Val, name: &str, args: &Args) -> Res {
    if name == "is_integer" {
        return Ok(Val::Bool(of.as_number().is_some_and(|x| x.fract() == 0.0)));
    }
    let Some(x) = of.as_int() else { return fail(format!("'{}' object has no method '{name}'", of.kind())) };
    if name == "bit_length" {
        return Ok(Val::Int(i64::from(64 - x.unsigned_abs().leading_zeros())));
    }
    let Some(y) = args.pos.first().and_then(Val::as_int) else { return fail(format!("{name}() needs a whole number")) };
    let shift = u32::try_from(y).ok();
    let result = match name {
        "__and__" => Some(x & y),
        "__or__" => Some(x | y),
        "__xor__" => Some(x ^ y),
        "__lshift__" => shift.and_then(|s| x.checked_shl(s)).filter(|r| r >> shift.unwrap_or(0) == x),
        _ => shift.map(|s| x >> s.min(63)),
    };
    result
        .map_or_else(|| fail("the result is beyond 64-bit whole numbers, which are not supported"), |i| Ok(Val::Int(i)))
}

/// One text or several, of `startswith` and `endswith`.
fn texts(cx: &mut Cx<'_>, v: &Val, name: &str) -> Res<Vec<String>> {
    match v {
        Val::Str(s) => Ok(vec![s.to_string()]),
        Val::Tuple(_) => {
            let items = cx.items(v)?;
            items.iter().map(|i| cx.text(i)).collect()
        }
        other => fail(format!("{name}() needs a string or a tuple of strings, not {}", other.described())),
    }
}

fn needed<'b>(b: &'b Bound, name: &str) -> Res<&'b str> {
    match b.get(0) {
        Some(Val::Str(s)) => Ok(s),
        Some(other) => fail(format!("{name}() needs a string, not {}", other.described())),
        None => fail(format!("{name}() needs an argument")),
    }
}

/// The part of a text that `start` and `end` leave, with its first character's place.
fn window(b: &Bound, s: &str, first: usize) -> Res<(String, usize)> {
    let chars: Vec<char> = s.chars().collect();
    let (start, end) = (b.int(first, "start")?, b.int(first + 1, "end")?);
    let places: Vec<usize> = super::slices::places(chars.len(), start, end, 1).collect();
    let from = places.first().copied().unwrap_or(chars.len());
    Ok((places.iter().map(|i| chars[*i]).collect(), from))
}

fn text(cx: &mut Cx<'_>, s: &str, name: &str, args: Args) -> Res {
    if name == "format" {
        return super::format::braces(cx, s, &args).map(Val::from);
    }
    if name == "join" {
        let Some(items) = args.pos.first() else { return fail("join() needs a list") };
        let mut parts = Vec::new();
        for i in cx.items(items)? {
            match i {
                Val::Str(t) => parts.push(t.to_string()),
                Val::Missing(m) => return Err(m.fail()),
                other => {
                    return fail(format!(
                        "join() needs strings, but an item is {}; add | map('string')",
                        other.described()
                    ));
                }
            }
        }
        return Ok(Val::from(parts.join(s)));
    }
    let params: &[&'static str] = match name {
        "split" | "rsplit" => &["sep", "maxsplit"],
        "splitlines" => &["keepends"],
        "replace" => &["old", "new", "count"],
        "expandtabs" => &["tabsize"],
        "encode" => &["encoding", "errors"],
        _ => &["0", "1", "2"],
    };
    let b = args.bind(&format!("{name}()"), params)?;
    let all = |f: fn(char) -> bool| Val::Bool(!s.is_empty() && s.chars().all(f));
    let width = |b: &Bound| b.int(0, "width").map(|w| usize::try_from(w.unwrap_or(0)).unwrap_or(0));
    Ok(match name {
        "lower" | "casefold" => Val::from(s.to_lowercase()),
        "upper" => Val::from(s.to_uppercase()),
        "capitalize" => Val::from(capitalize(s)),
        "title" => Val::from(title(s)),
        "swapcase" => Val::from(
            s.chars()
                .map(|c| if c.is_uppercase() { c.to_lowercase().to_string() } else { c.to_uppercase().to_string() })
                .collect::<String>(),
        ),
        "strip" | "lstrip" | "rstrip" => {
            let chars = b.some(0).map(|v| cx.text(v)).transpose()?;
            let cut = |c: char| chars.as_ref().map_or(c.is_whitespace(), |set| set.contains(c));
            Val::str(match name {
                "strip" => s.trim_matches(cut),
                "lstrip" => s.trim_start_matches(cut),
                _ => s.trim_end_matches(cut),
            })
        }
        "split" | "rsplit" => {
            let sep = b.some(0).map(|v| cx.text(v)).transpose()?;
            let most = b.int(1, "maxsplit")?.and_then(|m| usize::try_from(m).ok());
            if sep.as_deref() == Some("") {
                return fail("empty separator");
            }
            Val::strings(split(s, sep.as_deref(), most, name == "rsplit"))
        }
        "splitlines" => Val::strings(lines(s, b.flag(cx, 0, false)?)),
        "partition" | "rpartition" => {
            let sep = needed(&b, name)?;
            let found = if name == "partition" { s.split_once(sep) } else { s.rsplit_once(sep) };
            Val::tuple(match found {
                Some((head, tail)) => vec![Val::str(head), Val::str(sep), Val::str(tail)],
                None if name == "partition" => vec![Val::str(s), Val::str(""), Val::str("")],
                None => vec![Val::str(""), Val::str(""), Val::str(s)],
            })
        }
        "startswith" | "endswith" => {
            let Some(v) = b.get(0) else { return fail(format!("{name}() needs an argument")) };
            let parts = texts(cx, v, name)?;
            let (window, _) = window(&b, s, 1)?;
            Val::Bool(
                parts.iter().any(|p| if name == "startswith" { window.starts_with(p) } else { window.ends_with(p) }),
            )
        }
        "removeprefix" => Val::str(s.strip_prefix(needed(&b, name)?).unwrap_or(s)),
        "removesuffix" => Val::str(s.strip_suffix(needed(&b, name)?).unwrap_or(s)),
        "replace" => {
            let (Some(old), Some(new)) = (b.get(0), b.get(1)) else { return fail("replace() needs two strings") };
            let (old, new) = (cx.text(old)?, cx.text(new)?);
            match b.int(2, "count")?.and_then(|n| usize::try_from(n).ok()) {
                Some(n) => Val::from(s.replacen(&old, &new, n)),
                None => Val::from(s.replace(&old, &new)),
            }
        }
        "count" => {
            let part = needed(&b, name)?;
            let (window, _) = window(&b, s, 1)?;
            Val::from(if part.is_empty() { window.chars().count() + 1 } else { window.matches(part).count() })
        }
        "find" | "rfind" | "index" | "rindex" => {
            let part = needed(&b, name)?;
            let (window, from) = window(&b, s, 1)?;
            let at = if name.starts_with('r') { window.rfind(part) } else { window.find(part) };
            match at {
                Some(i) => Val::from(window[..i].chars().count() + from),
                None if name.ends_with("find") => Val::Int(-1),
                None => return fail("substring not found"),
            }
        }
        "center" | "ljust" | "rjust" => {
            let fill = b.text(cx, 1, " ")?;
            let (width, len) = (width(&b)?, s.chars().count());
            cx.bounded_text(width)?;
            let pad = width.saturating_sub(len);
            let left = match name {
                "ljust" => 0,
                "rjust" => pad,
                // Python puts the odd one left only if the width is odd too.
                _ => pad / 2 + (pad & width & 1),
            };
            Val::from(format!("{}{s}{}", fill.repeat(left), fill.repeat(pad - left)))
        }
        "zfill" => {
            let (width, len) = (width(&b)?, s.chars().count());
            cx.bounded_text(width)?;
            let zeros = "0".repeat(width.saturating_sub(len));
            match s.strip_prefix(['-', '+']) {
                Some(rest) => Val::from(format!("{}{zeros}{rest}", &s[..1])),
                None => Val::from(format!("{zeros}{s}")),
            }
        }
        "expandtabs" => {
            let size = b.int(0, "tabsize")?.unwrap_or(8).clamp(0, 1000) as usize;
            let (mut out, mut column) = (String::new(), 0);
            for c in s.chars() {
                match c {
                    '\t' if size > 0 => {
                        let n = size - column % size;
                        out.push_str(&" ".repeat(n));
                        column += n;
                    }
                    '\t' => {}
                    '\n' | '\r' => {
                        out.push(c);
                        column = 0;
                    }
                    c => {
                        out.push(c);
                        column += 1;
                    }
                }
            }
            Val::from(out)
        }
        "isdigit" | "isdecimal" | "isnumeric" => all(char::is_numeric),
        "isalpha" => all(char::is_alphabetic),
        "isalnum" => all(char::is_alphanumeric),
        "isspace" => all(char::is_whitespace),
        "isascii" => Val::Bool(s.is_ascii()),
        "isprintable" => Val::Bool(!s.chars().any(char::is_control)),
        "islower" => Val::Bool(s.chars().any(char::is_lowercase) && !s.chars().any(char::is_uppercase)),
        "isupper" => Val::Bool(s.chars().any(char::is_uppercase) && !s.chars().any(char::is_lowercase)),
        "istitle" => Val::Bool(s.chars().any(char::is_alphabetic) && title(s) == s),
        "isidentifier" => Val::Bool(
            s.chars().enumerate().all(|(i, c)| c == '_' || c.is_alphabetic() || (i > 0 && c.is_alphanumeric()))
                && !s.is_empty(),
        ),
        // Text is text here; bytes do not exist.
        "encode" => Val::str(s),
        _ => return fail(format!("the method '{name}()' of a string is not supported")),
    })
}

/// First letter large, the others small.
pub fn capitalize(s: &str) -> String {
    let mut chars = s.chars();
    match chars.next() {
        Some(c) => c.to_uppercase().chain(chars.flat_map(char::to_lowercase)).collect(),
        None => String::new(),
    }
}

/// Every word's first letter large; a word ends at what is no letter.
fn title(s: &str) -> String {
    let mut out = String::with_capacity(s.len());
    let mut inside = false;
    for c in s.chars() {
        if inside {
            out.extend(c.to_lowercase());
        } else {
            out.extend(c.to_uppercase());
        }
        inside = c.is_alphabetic();
    }
    out
}

/// Python's `split` and `rsplit`; without a separator at runs of white space.
pub fn split(s: &str, sep: Option<&str>, most: Option<usize>, from_right: bool) -> Vec<String> {
    let mut parts: Vec<String> = match (sep, most, from_right) {
        (Some(sep), None, _) => return s.split(sep).map(str::to_owned).collect(),
        (Some(sep), Some(n), false) => return s.splitn(n + 1, sep).map(str::to_owned).collect(),
        (Some(sep), Some(n), true) => s.rsplitn(n + 1, sep).map(str::to_owned).collect(),
        (None, None, _) => return s.split_whitespace().map(str::to_owned).collect(),
        (None, Some(n), false) => {
            let (mut out, mut rest) = (Vec::new(), s.trim_start());
            while !rest.is_empty() {
                match rest.find(char::is_whitespace) {
                    Some(i) if out.len() < n => {
                        out.push(rest[..i].to_owned());
                        rest = rest[i..].trim_start();
                    }
                    _ => {
                        out.push(if out.len() < n { rest } else { rest.trim_end() }.to_owned());
                        break;
                    }
                }
            }
            return out;
        }
        (None, Some(n), true) => {
            let (mut out, mut rest) = (Vec::new(), s.trim_end());
            while !rest.is_empty() {
                match rest.rfind(char::is_whitespace) {
                    Some(i) if out.len() < n => {
                        let width = rest[i..].chars().next().map_or(1, char::len_utf8);
                        out.push(rest[i + width..].to_owned());
                        rest = rest[..i].trim_end();
                    }
                    _ => {
                        out.push(rest.trim_start().to_owned());
                        break;
                    }
                }
            }
            out
        }
    };
    parts.reverse();
    parts
}

/// Python's `splitlines`: at line feeds, carriage returns and the other line ends of Unicode.
pub fn lines(s: &str, keep_ends: bool) -> Vec<String> {
    let mut out = Vec::new();
    let mut line = String::new();
    let mut chars = s.chars().peekable();
    while let Some(c) = chars.next() {
        if !matches!(c, '\n' | '\r' | '\x0b' | '\x0c' | '\x1c'..='\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}') {
            line.push(c);
            continue;
        }
        if keep_ends {
            line.push(c);
        }
        if c == '\r' && chars.peek() == Some(&'\n') {
            chars.next();
            if keep_ends {
                line.push('\n');
            }
        }
        out.push(std::mem::take(&mut line));
    }
    if !line.is_empty() {
        out.push(line);
    }
    out
}

fn list(cx: &mut Cx<'_>, of: &Val, name: &str, args: Args) -> Res {
    let b = args.bind(&format!("{name}()"), if name == "sort" { &["key", "reverse"] } else { &["0", "1", "2"] })?;
    let first = |b: &Bound| b.need(0, &format!("{name}()"), "item").cloned();
    match name {
        "count" => {
            let item = first(&b)?;
            let mut n = 0i64;
            for v in cx.items(of)? {
                n += i64::from(cx.equal(&v, &item)?);
            }
            return Ok(Val::Int(n));
        }
        "index" => {
            let item = first(&b)?;
            let items = cx.items(of)?;
            for i in super::slices::places(items.len(), b.int(1, "start")?, b.int(2, "stop")?, 1) {
                if cx.equal(&items[i], &item)? {
                    return Ok(Val::from(i));
                }
            }
            let shown = cx.text(&item)?;
            return fail(format!("{shown} is not in the list"));
        }
        _ => {}
    }
    let Val::List(cell) = of else { return fail(format!("a tuple has no method '{name}'")) };
    // What is added may be undefined: it is an error only when it is used.
    match name {
        "copy" => return Ok(Val::list(cell.borrow().clone())),
        "append" => {
            let item = first(&b)?;
            cx.fits(cell.borrow().len())?;
            cell.borrow_mut().push(item);
        }
        "extend" => {
            let more = cx.items(&first(&b)?)?;
            cx.fits(cell.borrow().len() + more.len())?;
            cx.bounded(more.len())?;
            cell.borrow_mut().extend(more);
        }
        "insert" => {
            let Some(at) = b.int(0, "index")? else { return fail("insert() needs an index") };
            let item = b.need(1, "insert()", "item")?.clone();
            let len = cell.borrow().len() as i64;
            let at = (if at < 0 { at + len } else { at }).clamp(0, len) as usize;
            cell.borrow_mut().insert(at, item);
        }
        "pop" => {
            let len = cell.borrow().len() as i64;
            let at = b.int(0, "index")?.unwrap_or(-1);
            let at = if at < 0 { at + len } else { at };
            if !(0..len).contains(&at) {
                return fail(if len == 0 { "pop from empty list" } else { "pop index out of range" });
            }
            let item = cell.borrow_mut().remove(at as usize);
            return cx.settle(&item);
        }
        "remove" => {
            let item = first(&b)?;
            let items = cx.items(of)?;
            for (i, v) in items.iter().enumerate() {
                if cx.equal(v, &item)? {
                    cell.borrow_mut().remove(i);
                    return Ok(Val::Null);
                }
            }
            return fail("list.remove(x): x not in list");
        }
        "reverse" => cell.borrow_mut().reverse(),
        "clear" => cell.borrow_mut().clear(),
        "sort" => {
            let reverse = b.flag(cx, 1, false)?;
            let mut items = cx.items(of)?;
            cx.sort(&mut items, reverse, |_, v| Ok(v.clone()))?;
            *cell.borrow_mut() = items;
        }
        _ => return fail(format!("the method '{name}()' of a list is not supported")),
    }
    Ok(Val::Null)
}

fn dict(cx: &mut Cx<'_>, of: &Val, name: &str, args: Args) -> Res {
    let Val::Dict(cell) = of else { return fail("not a dictionary") };
    if name == "update" {
        let mut new = match args.pos.first() {
            Some(d @ (Val::Dict(_) | Val::Object(_))) => cx.map(d)?,
            Some(Val::Missing(m)) => return Err(m.fail()),
            Some(pairs) => {
                let mut map = Map::new();
                for pair in cx.items(pairs)? {
                    let pair = cx.items(&pair)?;
                    let [k, v] = pair.as_slice() else { return fail("update() needs a dictionary or pairs") };
                    map.insert(cx.key(k)?, v.clone());
                }
                map
            }
            None => Map::new(),
        };
        new.extend(args.named.into_iter().map(|(k, v)| (Key::Str(k), v)));
        cell.borrow_mut().extend(new);
        return Ok(Val::Null);
    }
    let b = args.bind(&format!("{name}()"), &["key", "default"])?;
    match name {
        "keys" => Ok(Val::list(cell.borrow().keys().map(Val::of_key).collect())),
        "values" => Ok(Val::list(cx.pairs(of)?.into_iter().map(|(_, v)| v).collect())),
        "items" => {
            let pairs = cx.pairs(of)?;
            Ok(Val::list(pairs.into_iter().map(|(k, v)| Val::tuple(vec![Val::of_key(&k), v])).collect()))
        }
        "copy" => Ok(Val::dict(cell.borrow().clone())),
        "clear" => {
            cell.borrow_mut().clear();
            Ok(Val::Null)
        }
        "popitem" => {
            let last = cell.borrow_mut().pop();
            match last {
                Some((k, v)) => Ok(Val::tuple(vec![Val::of_key(&k), cx.settle(&v)?])),
                None => fail("popitem(): dictionary is empty"),
            }
        }
        _ => {
            let key = cx.key(b.need(0, &format!("{name}()"), "key")?)?;
            let found = cx.find(of, &Val::of_key(&key))?;
            match (name, found) {
                ("get", Some(v)) | ("setdefault", Some(v)) => Ok(v),
                ("get", None) => Ok(b.or_null(1)),
                ("setdefault", None) => {
                    cell.borrow_mut().insert(key, b.or_null(1));
                    Ok(b.or_null(1))
                }
                ("pop", Some(v)) => {
                    cell.borrow_mut().shift_remove(&key);
                    Ok(v)
                }
                ("pop", None) => match b.get(1) {
                    Some(v) => Ok(v.clone()),
                    None => fail(format!("pop(): there is no key '{key}'")),
                },
                _ => fail(format!("the method '{name}()' of a dictionary is not supported")),
            }
        }
    }
}
