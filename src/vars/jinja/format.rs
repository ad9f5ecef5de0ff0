//! Python's text formatting: `'%s' % x` and `'{}'.format(x)`.

use super::eval::Cx;
use super::ops::quoted;
use super::val::{Args, Res, Val};
use crate::vars::error::fail;

/// How one field is to be laid out.
#[derive(Default)]
struct Layout {
    fill: Option<char>,
    align: Option<char>,
    sign: Option<char>,
    alternate: bool,
    zero: bool,
    width: usize,
    grouping: Option<char>,
    precision: Option<usize>,
    kind: Option<char>,
}

const WIDEST: usize = 1 << 20;

/// `'%s and %d' % (a, b)`, also with names: `'%(a)s' % {'a': 1}`.
pub fn percent(cx: &mut Cx<'_>, format: &str, values: &Val) -> Res<String> {
    let positional: Vec<Val> = match values {
        Val::Tuple(t) => t.to_vec(),
        other => vec![other.clone()],
    };
    let mut next = positional.iter();
    let mut named = matches!(values, Val::Dict(_));
    let mut out = String::new();
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut layout = Layout::default();
        let mut value = None;
        if chars.peek() == Some(&'(') {
            chars.next();
            let name: String = chars.by_ref().take_while(|c| *c != ')').collect();
            let member = cx.member(values, &Val::str(&name))?;
            if let Val::Missing(m) = &member {
                return Err(m.fail());
            }
            value = Some(member);
            named = true;
        }
        while let Some(flag) = chars.next_if(|c| matches!(c, '-' | '+' | ' ' | '#' | '0')) {
            match flag {
                '-' => layout.align = Some('<'),
                '+' => layout.sign = Some('+'),
                ' ' => layout.sign = layout.sign.or(Some(' ')),
                '#' => layout.alternate = true,
                _ => layout.zero = true,
            }
        }
        let mut number = |chars: &mut std::iter::Peekable<std::str::Chars<'_>>| -> Res<Option<usize>> {
            if chars.next_if_eq(&'*').is_some() {
                return match next.next().and_then(Val::as_int).and_then(|i| usize::try_from(i).ok()) {
                    Some(n) => Ok(Some(n.min(WIDEST))),
                    None => fail("* wants int"),
                };
            }
            Ok(digits(chars))
        };
        layout.width = number(&mut chars)?.unwrap_or(0);
        if chars.next_if_eq(&'.').is_some() {
            layout.precision = Some(number(&mut chars)?.unwrap_or(0));
        }
        let Some(kind) = chars.next() else { return fail("incomplete format") };
        if kind == '%' {
            out.push('%');
            continue;
        }
        let value = match value {
            Some(v) => v,
            None => match next.next() {
                Some(v) => v.clone(),
                None => return fail("not enough arguments for format string"),
            },
        };
        let value = cx.settle(&value)?;
        match kind {
            's' | 'r' | 'a' => {
                let text = if kind == 's' { cx.text(&value)? } else { repr(cx, &value)? };
                layout.kind = Some('s');
                layout.align = layout.align.or(Some('>'));
                layout.zero = false;
                out.push_str(&lay_text(&layout, &text));
            }
            'c' => match &value {
                Val::Int(i) => out.extend(u32::try_from(*i).ok().and_then(char::from_u32)),
                other => out.push_str(&cx.text(other)?),
            },
            'd' | 'i' | 'u' => {
                let Some(x) = value.as_number() else {
                    return fail(format!("%d format: a real number is required, not {}", value.kind()));
                };
                layout.kind = Some('d');
                let whole = value.as_int().unwrap_or(x.trunc() as i64);
                out.push_str(&lay_number(&layout, &Val::Int(whole))?);
            }
            'x' | 'X' | 'o' => {
                let Some(_) = value.as_int() else {
                    return fail(format!("%{kind} format: an integer is required, not {}", value.kind()));
                };
                layout.kind = Some(kind);
                out.push_str(&lay_number(&layout, &value)?);
            }
            'e' | 'E' | 'f' | 'F' | 'g' | 'G' => {
                let Some(x) = value.as_number() else {
                    return fail(format!("must be real number, not {}", value.kind()));
                };
                layout.kind = Some(kind);
                out.push_str(&lay_number(&layout, &Val::Float(x))?);
            }
            other => return fail(format!("unsupported format character '{other}'")),
        }
    }
    if !named && next.next().is_some() {
        return fail("not all arguments converted during string formatting");
    }
    Ok(out)
}

fn digits(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<usize> {
    let mut n: Option<usize> = None;
    while let Some(d) = chars.peek().and_then(|c| c.to_digit(10)) {
        chars.next();
        n = Some((n.unwrap_or(0) * 10 + d as usize).min(WIDEST));
    }
    n
}

fn repr(cx: &mut Cx<'_>, v: &Val) -> Res<String> {
    match v {
        Val::Str(s) => Ok(quoted(s)),
        other => cx.text(other),
    }
}

/// `'{} {name:>8}'.format(…)`.
pub fn braces(cx: &mut Cx<'_>, format: &str, args: &Args) -> Res<String> {
    let mut auto = 0;
    fields(cx, format, args, &mut auto, 0)
}

fn fields(cx: &mut Cx<'_>, format: &str, args: &Args, auto: &mut usize, depth: u32) -> Res<String> {
    if depth > 2 {
        return fail("Max string recursion exceeded");
    }
    let mut out = String::new();
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '{' if chars.next_if_eq(&'{').is_some() => out.push('{'),
            '}' if chars.next_if_eq(&'}').is_some() => out.push('}'),
            '}' => return fail("Single '}' encountered in format string"),
            '{' => {
                let mut field = String::new();
                let mut level = 1;
                for c in chars.by_ref() {
                    match c {
                        '{' => level += 1,
                        '}' => level -= 1,
                        _ => {}
                    }
                    if level == 0 {
                        break;
                    }
                    field.push(c);
                }
                if level > 0 {
                    return fail("Single '{' encountered in format string");
                }
                // The layout begins at the first colon outside of brackets.
                let mut inside = false;
                let colon = field.char_indices().find(|(_, c)| {
                    match c {
                        '[' => inside = true,
                        ']' => inside = false,
                        _ => {}
                    }
                    *c == ':' && !inside
                });
                let (name, spec) = match colon {
                    Some((i, _)) => (&field[..i], &field[i + 1..]),
                    None => (field.as_str(), ""),
                };
                let (name, conversion) = match name.rsplit_once('!') {
                    Some((n, c)) => (n, Some(c)),
                    None => (name, None),
                };
                let value = argument(cx, name, args, auto)?;
                let value = match conversion {
                    None => value,
                    Some("r" | "a") => Val::from(repr(cx, &value)?),
                    Some("s") => Val::from(cx.text(&value)?),
                    Some(other) => return fail(format!("Unknown conversion specifier '{other}'")),
                };
                let spec = if spec.contains('{') { fields(cx, spec, args, auto, depth + 1)? } else { spec.to_owned() };
                out.push_str(&lay(cx, &value, &spec)?);
            }
            c => out.push(c),
        }
    }
    Ok(out)
}

fn argument(cx: &mut Cx<'_>, name: &str, args: &Args, auto: &mut usize) -> Res {
    let end = name.find(['.', '[']).unwrap_or(name.len());
    let (head, mut rest) = name.split_at(end);
    let mut value = if head.is_empty() {
        *auto += 1;
        args.pos.get(*auto - 1).cloned()
    } else if let Ok(i) = head.parse::<usize>() {
        args.pos.get(i).cloned()
    } else {
        args.named.iter().find(|(n, _)| &**n == head).map(|(_, v)| v.clone())
    };
    let Some(mut v) = value.take() else {
        return fail(format!("format() has no argument for '{{{head}}}'"));
    };
    while !rest.is_empty() {
        let key = if let Some(r) = rest.strip_prefix('[') {
            let Some((key, r)) = r.split_once(']') else { return fail("Missing ']' in format string") };
            rest = r;
            key.parse::<i64>().map_or_else(|_| Val::str(key), Val::Int)
        } else {
            let r = rest.strip_prefix('.').unwrap_or(rest);
            let end = r.find(['.', '[']).unwrap_or(r.len());
            let key = Val::str(&r[..end]);
            rest = &r[end..];
            if !matches!(v, Val::Object(_)) {
                return fail(format!(
                    "'{}' object has no attribute '{}'; a key is written [{}]",
                    v.kind(),
                    &r[..end],
                    &r[..end]
                ));
            }
            key
        };
        v = cx.member(&v, &key)?;
        if let Val::Missing(m) = &v {
            return Err(m.fail());
        }
    }
    cx.settle(&v)
}

/// One value laid out by a format specification, as Python's `format()`.
pub fn lay(cx: &mut Cx<'_>, value: &Val, spec: &str) -> Res<String> {
    if let Val::Object(o) = value
        && let Some(date) = o.as_any().downcast_ref::<crate::vars::dates::Moment>()
        && !spec.is_empty()
    {
        return date.format(spec);
    }
    if spec.is_empty() {
        return cx.text(value);
    }
    let mut l = Layout::default();
    let all: Vec<char> = spec.chars().collect();
    let mut rest = all.as_slice();
    if let [fill, align @ ('<' | '>' | '=' | '^'), tail @ ..] = rest {
        (l.fill, l.align, rest) = (Some(*fill), Some(*align), tail);
    } else if let [align @ ('<' | '>' | '=' | '^'), tail @ ..] = rest {
        (l.align, rest) = (Some(*align), tail);
    }
    if let [sign @ ('+' | '-' | ' '), tail @ ..] = rest {
        (l.sign, rest) = (Some(*sign), tail);
    }
    if let ['#', tail @ ..] = rest {
        (l.alternate, rest) = (true, tail);
    }
    if let ['0', tail @ ..] = rest {
        (l.zero, rest) = (true, tail);
    }
    let tail: String = rest.iter().collect();
    let mut chars = tail.chars().peekable();
    l.width = digits(&mut chars).unwrap_or(0);
    l.grouping = chars.next_if(|c| matches!(c, ',' | '_'));
    if chars.next_if_eq(&'.').is_some() {
        match digits(&mut chars) {
            Some(n) => l.precision = Some(n),
            None => return fail("Format specifier missing precision"),
        }
    }
    l.kind = chars.next();
    if chars.next().is_some() {
        return fail(format!("Invalid format specifier '{spec}'"));
    }
    match value {
        Val::Str(s) if matches!(l.kind, None | Some('s')) => Ok(lay_text(&l, s)),
        Val::Int(_) | Val::Float(_) | Val::Bool(_) => lay_number(&l, value),
        other => fail(format!("unsupported format string passed to {}.__format__", other.kind())),
    }
}

fn lay_text(l: &Layout, text: &str) -> String {
    let text: String = match l.precision {
        Some(p) => text.chars().take(p).collect(),
        None => text.to_owned(),
    };
    pad(l, "", &text, '<')
}

/// Fills to the width; a sign stays in front of `=` padding.
fn pad(l: &Layout, sign: &str, body: &str, default: char) -> String {
    let n = l.width.saturating_sub(sign.chars().count() + body.chars().count());
    let fill = l.fill.unwrap_or(if l.zero && l.align.is_none() { '0' } else { ' ' });
    let align = l.align.unwrap_or(if l.zero { '=' } else { default });
    let fill = |n: usize| std::iter::repeat_n(fill, n).collect::<String>();
    match align {
        '<' => format!("{sign}{body}{}", fill(n)),
        '^' => format!("{}{sign}{body}{}", fill(n / 2), fill(n - n / 2)),
        '=' => format!("{sign}{}{body}", fill(n)),
        _ => format!("{}{sign}{body}", fill(n)),
    }
}

fn lay_number(l: &Layout, value: &Val) -> Res<String> {
    let kind = l.kind.unwrap_or(if matches!(value, Val::Float(_)) { 'r' } else { 'd' });
    let (negative, mut body) = match (kind, value.as_int(), value.as_number()) {
        ('d' | 'n' | 'b' | 'o' | 'x' | 'X' | 'c', Some(i), _) => {
            let size = i.unsigned_abs();
            let body = match kind {
                'b' => format!("{size:b}"),
                'o' => format!("{size:o}"),
                'x' => format!("{size:x}"),
                'X' => format!("{size:X}"),
                'c' => u32::try_from(size).ok().and_then(char::from_u32).map(String::from).unwrap_or_default(),
                _ => size.to_string(),
            };
            let body = match l.precision.filter(|p| *p > body.len()) {
                Some(p) => format!("{}{body}", "0".repeat(p - body.len())),
                None => body,
            };
            (i < 0, body)
        }
        (_, _, Some(x)) => {
            let size = x.abs();
            let body = if !x.is_finite() {
                if x.is_nan() { "nan".to_owned() } else { "inf".to_owned() }
            } else {
                match kind {
                    'e' | 'E' => scientific(size, l.precision.unwrap_or(6)),
                    'f' | 'F' => format!("{size:.*}", l.precision.unwrap_or(6)),
                    '%' => format!("{:.*}%", l.precision.unwrap_or(6), size * 100.0),
                    'g' | 'G' | 'n' => general(size, l.precision.unwrap_or(6), l.alternate),
                    'r' => match l.precision {
                        Some(p) => general(size, p, false),
                        None => crate::model::value::python_float(size),
                    },
                    other => {
                        return fail(format!("Unknown format code '{other}' for object of type '{}'", value.kind()));
                    }
                }
            };
            (x.is_sign_negative() && !x.is_nan(), if kind.is_uppercase() { body.to_uppercase() } else { body })
        }
        _ => return fail(format!("Unknown format code '{kind}' for object of type '{}'", value.kind())),
    };
    if let Some(g) = l.grouping {
        let end = body.find(|c: char| !c.is_ascii_digit()).unwrap_or(body.len());
        let mut whole = String::new();
        for (i, c) in body[..end].chars().enumerate() {
            if i > 0 && (end - i) % 3 == 0 {
                whole.push(g);
            }
            whole.push(c);
        }
        body = format!("{whole}{}", &body[end..]);
    }
    let mut sign = match (negative, l.sign) {
        (true, _) => "-".to_owned(),
        (false, Some('+')) => "+".to_owned(),
        (false, Some(' ')) => " ".to_owned(),
        _ => String::new(),
    };
    if l.alternate && matches!(kind, 'b' | 'o' | 'x' | 'X') {
        sign.push('0');
        sign.push(kind);
    }
    Ok(pad(l, &sign, &body, '>'))
}

fn scientific(x: f64, precision: usize) -> String {
    let text = format!("{x:.precision$e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |d| ('-', d));
    format!("{mantissa}e{sign}{digits:0>2}")
}

fn general(x: f64, precision: usize, keep_zeros: bool) -> String {
    let precision = precision.max(1);
    let exponent = if x == 0.0 {
        0
    } else {
        scientific(x, precision - 1).rsplit('e').next().and_then(|e| e.parse().ok()).unwrap_or(0)
    };
    let text = if (-4..precision as i32).contains(&exponent) {
        format!("{x:.*}", (precision as i32 - 1 - exponent).max(0) as usize)
    } else {
        scientific(x, precision - 1)
    };
    if keep_zeros || !text.contains('.') {
        return text;
    }
    match text.split_once('e') {
        Some((m, e)) => format!("{}e{e}", m.trim_end_matches('0').trim_end_matches('.')),
        None => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
    }
}
