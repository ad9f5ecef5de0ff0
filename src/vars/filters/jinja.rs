//! Jinja's own filters on single values and texts. Those on lists are in `sequences`.

use super::super::error::fail;
use super::super::jinja::eval::Cx;
use super::super::jinja::methods::{capitalize, lines};
use super::super::jinja::tree::Filter;
use super::super::jinja::val::{Bound, Res, Val};

#[rustfmt::skip]
pub(super) const ALL: &[Filter] = &[
    Filter { names: &["default", "d"], params: &["default_value", "boolean"], takes_missing: true, run: default, doc: "Another value where it is undefined, or also where it is false." },
    Filter { names: &["abs"], params: &[], takes_missing: false, run: abs, doc: "The absolute value of a number." },
    Filter { names: &["capitalize"], params: &[], takes_missing: false, run: |cx, v, _| Ok(capitalize(&cx.text(&v)?).into()), doc: "First letter large, the others small." },
    Filter { names: &["center"], params: &["width"], takes_missing: false, run: center, doc: "Centered in a width of 80 or as given." },
    Filter { names: &["escape", "e", "forceescape"], params: &[], takes_missing: false, run: |cx, v, _| Ok(escape(&cx.text(&v)?).into()), doc: "With HTML's special characters escaped." },
    Filter { names: &["filesizeformat"], params: &["binary"], takes_missing: false, run: file_size, doc: "A number of bytes for people: `13 kB`." },
    Filter { names: &["float"], params: &["default"], takes_missing: false, run: float, doc: "As a number; the default (0.0) where it is none." },
    Filter { names: &["format"], params: &["*args", "**kwargs"], takes_missing: false, run: format, doc: "A `%s` format with its values." },
    Filter { names: &["indent"], params: &["width", "first", "blank"], takes_missing: false, run: indent, doc: "Every line but the first indented by 4 or as given." },
    Filter { names: &["int"], params: &["default", "base"], takes_missing: false, run: int, doc: "As a whole number; the default (0) where it is none." },
    Filter { names: &["lower"], params: &[], takes_missing: false, run: |cx, v, _| Ok(cx.text(&v)?.to_lowercase().into()), doc: "In small letters." },
    Filter { names: &["upper"], params: &[], takes_missing: false, run: |cx, v, _| Ok(cx.text(&v)?.to_uppercase().into()), doc: "In large letters." },
    Filter { names: &["pprint"], params: &[], takes_missing: false, run: |cx, v, _| { let v = Val::list(vec![v]); let t = cx.text(&v)?; Ok(Val::str(&t[1..t.len() - 1])) }, doc: "As Python prints it, for debugging." },
    Filter { names: &["replace"], params: &["old", "new", "count"], takes_missing: false, run: replace, doc: "With one text replaced by another." },
    Filter { names: &["round"], params: &["precision", "method"], takes_missing: false, run: round, doc: "Rounded: `common`, `ceil` or `floor`." },
    Filter { names: &["safe"], params: &[], takes_missing: false, run: |_, v, _| Ok(v), doc: "As it is; Ansible escapes nothing." },
    Filter { names: &["string"], params: &[], takes_missing: false, run: |cx, v, _| Ok(cx.text(&v)?.into()), doc: "As text." },
    Filter { names: &["striptags"], params: &[], takes_missing: false, run: strip_tags, doc: "Without SGML tags, white space as one blank." },
    Filter { names: &["title"], params: &[], takes_missing: false, run: |cx, v, _| Ok(title(&cx.text(&v)?).into()), doc: "Every word's first letter large." },
    Filter { names: &["trim"], params: &["chars"], takes_missing: false, run: trim, doc: "Without white space, or other characters, at both ends." },
    Filter { names: &["truncate"], params: &["length", "killwords", "end", "leeway"], takes_missing: false, run: truncate, doc: "Cut to a length, 255 or as given." },
    Filter { names: &["urlize"], params: &["trim_url_limit", "nofollow", "target", "rel", "extra_schemes"], takes_missing: false, run: urlize, doc: "With web addresses as links." },
    Filter { names: &["wordcount"], params: &[], takes_missing: false, run: word_count, doc: "How many words." },
    Filter { names: &["wordwrap"], params: &["width", "break_long_words", "wrapstring", "break_on_hyphens"], takes_missing: false, run: word_wrap, doc: "Lines wrapped at a width, 79 or as given." },
    Filter { names: &["xmlattr"], params: &["autospace"], takes_missing: false, run: xml_attr, doc: "A dictionary as attributes of a tag." },
];

fn default(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let other = || b.get(0).cloned().unwrap_or(Val::str(""));
    if v.is_missing() {
        return Ok(other());
    }
    let also_false = b.flag(cx, 1, false)?;
    Ok(if also_false && !cx.truth(&v)? { other() } else { v })
}

fn abs(_: &mut Cx<'_>, v: Val, _: Bound) -> Res {
    match &v {
        Val::Float(x) => Ok(Val::Float(x.abs())),
        other => match other.as_int().and_then(i64::checked_abs) {
            Some(i) => Ok(Val::Int(i)),
            None => fail(format!("bad operand type for abs(): '{}'", v.kind())),
        },
    }
}

fn center(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let (text, width) = (cx.text(&v)?, b.int(0, "width")?.unwrap_or(80).clamp(0, 1 << 20) as usize);
    let pad = width.saturating_sub(text.chars().count());
    let left = pad / 2 + (pad & width & 1);
    Ok(format!("{}{text}{}", " ".repeat(left), " ".repeat(pad - left)).into())
}

pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&#39;"),
            '"' => out.push_str("&#34;"),
            c => out.push(c),
        }
    }
    out
}

fn file_size(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let v = to_float(cx, &v)?.unwrap_or(0.0);
    let binary = b.flag(cx, 0, false)?;
    let base: f64 = if binary { 1024.0 } else { 1000.0 };
    const SHORT: [&str; 8] = ["kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"];
    const LONG: [&str; 8] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"];
    if v == 1.0 {
        return Ok(Val::str("1 Byte"));
    }
    if v < base {
        return Ok(format!("{} Bytes", v.trunc()).into());
    }
    let mut i = 0;
    while i < 7 && v >= base.powi(i as i32 + 2) {
        i += 1;
    }
    let unit = if binary { LONG[i] } else { SHORT[i] };
    Ok(format!("{:.1} {unit}", v / base.powi(i as i32 + 1)).into())
}

/// Python's `float()` of a text or number; none where it is neither.
pub(super) fn to_float(cx: &mut Cx<'_>, v: &Val) -> Res<Option<f64>> {
    if let Val::Missing(m) = v {
        return Err(m.fail());
    }
    let _ = cx;
    Ok(match v {
        Val::Str(s) => {
            let t = s.trim().replace('_', "");
            match t.to_ascii_lowercase().as_str() {
                "infinity" | "inf" | "+inf" => Some(f64::INFINITY),
                "-infinity" | "-inf" => Some(f64::NEG_INFINITY),
                "nan" => Some(f64::NAN),
                lower if lower.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) => lower.parse().ok(),
                _ => None,
            }
        }
        other => other.as_number(),
    })
}

fn float(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    Ok(match to_float(cx, &v)? {
        Some(x) => Val::Float(x),
        None => b.get(0).cloned().unwrap_or(Val::Float(0.0)),
    })
}

/// Python's `int()` of a text in a base; none where it is not such a number.
pub(super) fn parse_int(text: &str, base: u32) -> Option<i64> {
    let t = text.trim().replace('_', "");
    let (sign, digits) = match t.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, t.strip_prefix('+').unwrap_or(&t)),
    };
    let lower = digits.to_ascii_lowercase();
    let (base, digits) = match (base, lower.get(..2)) {
        (16 | 0, Some("0x")) => (16, &lower[2..]),
        (8 | 0, Some("0o")) => (8, &lower[2..]),
        (2 | 0, Some("0b")) => (2, &lower[2..]),
        (0, _) => (10, lower.as_str()),
        (base, _) => (base, lower.as_str()),
    };
    if !(2..=36).contains(&base) || digits.starts_with(['+', '-']) {
        return None;
    }
    i64::from_str_radix(digits, base).ok().map(|i| i * sign)
}

fn int(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let base = b.int(1, "base")?.and_then(|i| u32::try_from(i).ok()).unwrap_or(10);
    let default = || b.get(0).cloned().unwrap_or(Val::Int(0));
    let whole = |x: f64| (x.is_finite() && x.abs() < 9.2e18).then(|| Val::Int(x.trunc() as i64));
    Ok(match &v {
        Val::Str(s) => match parse_int(s, base) {
            Some(i) => Val::Int(i),
            None => to_float(cx, &v)?.and_then(whole).unwrap_or_else(default),
        },
        other => match other.as_int() {
            Some(i) => Val::Int(i),
            None => other.as_number().and_then(whole).unwrap_or_else(default),
        },
    })
}

fn format(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let text = cx.text(&v)?;
    let values = if b.named.is_empty() {
        Val::tuple(b.rest)
    } else {
        Val::dict(b.named.into_iter().map(|(k, v)| (crate::model::value::Key::Str(k), v)).collect())
    };
    crate::vars::jinja::format::percent(cx, &text, &values).map(Val::from)
}

fn indent(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let pad = match b.some(0) {
        Some(Val::Str(s)) => s.to_string(),
        Some(_) => " ".repeat(b.int(0, "width")?.unwrap_or(4).clamp(0, 10_000) as usize),
        None => " ".repeat(4),
    };
    let (first, blank) = (b.flag(cx, 1, false)?, b.flag(cx, 2, false)?);
    // The line end that Jinja adds keeps the last line's own end.
    let text = cx.text(&v)? + "\n";
    let all = lines(&text, false);
    let mut out = String::new();
    for (i, line) in all.iter().enumerate() {
        if i > 0 {
            out.push('\n');
        }
        if (i > 0 || first) && (blank || !line.is_empty()) {
            out.push_str(&pad);
        }
        out.push_str(line);
    }
    Ok(out.into())
}

fn replace(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let text = cx.text(&v)?;
    let old = cx.text(b.need(0, "the filter 'replace'", "old")?)?;
    let new = cx.text(b.need(1, "the filter 'replace'", "new")?)?;
    Ok(match b.int(2, "count")?.and_then(|n| usize::try_from(n).ok()) {
        Some(n) => text.replacen(&old, &new, n).into(),
        None => text.replace(&old, &new).into(),
    })
}

fn round(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let Some(x) = v.as_number() else { return fail(format!("a number is needed, not {}", v.described())) };
    let precision = b.int(0, "precision")?.unwrap_or(0).clamp(-300, 300) as i32;
    let method = b.text(cx, 1, "common")?;
    let scale = 10f64.powi(precision);
    if let (Val::Int(_), "common", 0..) = (&v, method.as_str(), precision) {
        return Ok(v);
    }
    Ok(Val::Float(match method.as_str() {
        "ceil" => (x * scale).ceil() / scale,
        "floor" => (x * scale).floor() / scale,
        // Python rounds what is written, half to even: formatting does the same.
        "common" if precision >= 0 => format!("{x:.*}", precision as usize).parse().unwrap_or(x),
        "common" => (x * scale).round_ties_even() / scale,
        _ => return fail("method must be common, ceil or floor"),
    }))
}

fn strip_tags(cx: &mut Cx<'_>, v: Val, _: Bound) -> Res {
    let text = cx.text(&v)?;
    let mut out = String::new();
    let mut rest = text.as_str();
    while let Some(i) = rest.find('<') {
        out.push_str(&rest[..i]);
        let end = if rest[i..].starts_with("<!--") {
            rest[i..].find("-->").map(|e| e + 3)
        } else {
            rest[i..].find('>').map(|e| e + 1)
        };
        match end {
            Some(e) => rest = &rest[i + e..],
            None => {
                out.push('<');
                rest = &rest[i + 1..];
            }
        }
    }
    out.push_str(rest);
    let plain = out.split_whitespace().collect::<Vec<_>>().join(" ");
    let plain = plain
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&#39;", "'")
        .replace("&#34;", "\"")
        .replace("&quot;", "\"");
    Ok(plain.replace("&amp;", "&").into())
}

fn title(text: &str) -> String {
    // A word begins behind white space, a dash or an opening bracket.
    let mut out = String::new();
    let mut begins = true;
    for c in text.chars() {
        if begins {
            out.extend(c.to_uppercase());
        } else {
            out.extend(c.to_lowercase());
        }
        begins = c.is_whitespace() || "-({[<".contains(c);
    }
    out
}

fn trim(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let text = cx.text(&v)?;
    let set = b.some(0).map(|c| cx.text(c)).transpose()?;
    Ok(Val::str(text.trim_matches(|c: char| set.as_ref().map_or(c.is_whitespace(), |s| s.contains(c)))))
}

fn truncate(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let text = cx.text(&v)?;
    let length = b.int(0, "length")?.unwrap_or(255).max(0) as usize;
    let (kill, end) = (b.flag(cx, 1, false)?, b.text(cx, 2, "...")?);
    let leeway = b.int(3, "leeway")?.unwrap_or(5).max(0) as usize;
    if end.chars().count() > length {
        return fail(format!("expected length >= {}, got {length}", end.chars().count()));
    }
    if text.chars().count() <= length + leeway {
        return Ok(text.into());
    }
    let cut: String = text.chars().take(length - end.chars().count()).collect();
    let cut = if kill { cut.as_str() } else { cut.rsplit_once(' ').map_or(cut.as_str(), |(head, _)| head) };
    Ok(format!("{cut}{end}").into())
}

/// Text quoted for a URL; `keep` stays as it is.
pub(super) fn quote_url(text: &str, keep: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        let c = char::from(byte);
        if byte.is_ascii_alphanumeric() || "_.-~".contains(c) || (byte.is_ascii() && keep.contains(c)) {
            out.push(c);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn urlize(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let text = cx.text(&v)?;
    let limit = b.int(0, "trim_url_limit")?.and_then(|n| usize::try_from(n).ok());
    let mut rel: Vec<String> = b.text(cx, 3, "")?.split_whitespace().map(str::to_owned).collect();
    if b.flag(cx, 1, false)? {
        rel.push("nofollow".into());
    }
    rel.push("noopener".into());
    rel.sort();
    rel.dedup();
    let target = b.text(cx, 2, "")?;
    let target = if target.is_empty() { String::new() } else { format!(" target=\"{}\"", escape(&target)) };
    let link = |word: &str| {
        let (body, tail) = word.split_at(word.trim_end_matches(['.', ',', '!', '?', ')', '>', ':']).len());
        let href = if body.starts_with("http://") || body.starts_with("https://") {
            body.to_owned()
        } else if body.starts_with("www.") {
            format!("https://{body}")
        } else {
            return escape(word);
        };
        let shown: String = match limit {
            Some(n) if body.chars().count() > n => body.chars().take(n).chain("...".chars()).collect(),
            _ => body.to_owned(),
        };
        format!(
            "<a href=\"{}\" rel=\"{}\"{target}>{}</a>{}",
            escape(&href),
            rel.join(" "),
            escape(&shown),
            escape(tail)
        )
    };
    let words: Vec<String> = text.split(' ').map(link).collect();
    Ok(words.join(" ").into())
}

fn word_count(cx: &mut Cx<'_>, v: Val, _: Bound) -> Res {
    let text = cx.text(&v)?;
    Ok(text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| !w.is_empty()).count().into())
}

fn word_wrap(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let text = cx.text(&v)?;
    let width = b.int(0, "width")?.unwrap_or(79).max(1) as usize;
    let break_long = b.flag(cx, 1, true)?;
    let end = b.text(cx, 2, "\n")?;
    let out: Vec<String> = lines(&text, false).iter().map(|l| wrap(l, width, break_long, &end)).collect();
    Ok(out.join(&end).into())
}

/// One line wrapped at blanks, as Python's `textwrap` without touching other white space.
fn wrap(line: &str, width: usize, break_long: bool, end: &str) -> String {
    let mut chunks: Vec<String> = Vec::new();
    for c in line.chars() {
        match chunks.last_mut() {
            Some(last) if last.ends_with(char::is_whitespace) == c.is_whitespace() && !last.ends_with('-') => {
                last.push(c)
            }
            _ => chunks.push(c.to_string()),
        }
    }
    let (mut rows, mut row): (Vec<String>, String) = (Vec::new(), String::new());
    let size = |s: &str| s.chars().count();
    let mut queue: std::collections::VecDeque<String> = chunks.into();
    while let Some(chunk) = queue.pop_front() {
        if row.is_empty() && !rows.is_empty() && chunk.trim().is_empty() {
            continue;
        }
        if size(&row) + size(&chunk) <= width {
            row.push_str(&chunk);
        } else if size(&chunk) > width && (break_long || row.is_empty()) {
            let take = if break_long { width - size(&row) } else { size(&chunk) };
            row.extend(chunk.chars().take(take));
            let rest: String = chunk.chars().skip(take).collect();
            if !rest.is_empty() {
                queue.push_front(rest);
            }
            rows.push(std::mem::take(&mut row));
        } else {
            rows.push(std::mem::take(&mut row));
            queue.push_front(chunk);
        }
    }
    if !row.is_empty() {
        rows.push(row);
    }
    rows.iter().map(|r| r.trim_end()).collect::<Vec<_>>().join(end)
}

fn xml_attr(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let mut out = Vec::new();
    for (k, v) in cx.pairs(&v)? {
        if v.is_null() || v.is_missing() {
            continue;
        }
        let key = k.to_string();
        if key.contains(|c: char| c.is_whitespace() || "/>=".contains(c)) {
            return fail(format!("invalid character in attribute name: '{key}'"));
        }
        out.push(format!("{}=\"{}\"", escape(&key), escape(&cx.text(&v)?)));
    }
    let text = out.join(" ");
    Ok(if b.flag(cx, 0, true)? && !text.is_empty() { format!(" {text}") } else { text }.into())
}
