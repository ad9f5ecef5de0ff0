//! Filters on numbers, sizes, dates and chance.

use super::super::chance::Chance;
use super::super::dates::{self, Moment};
use super::super::error::fail;
use super::super::jinja::eval::Cx;
use super::super::jinja::functions::Range;
use super::super::jinja::tree::Filter;
use super::super::jinja::val::{Bound, Res, Val};

#[rustfmt::skip]
pub(super) const ALL: &[Filter] = &[
    Filter { names: &["log"], params: &["base"], takes_missing: false, run: log, doc: "The logarithm, natural or to a base." },
    Filter { names: &["pow"], params: &["y"], takes_missing: false, run: pow, doc: "A power." },
    Filter { names: &["root"], params: &["base"], takes_missing: false, run: root, doc: "The square root, or another." },
    Filter { names: &["human_readable"], params: &["isbits", "unit"], takes_missing: false, run: human_readable, doc: "A size for people: `1.00 KB`." },
    Filter { names: &["human_to_bytes"], params: &["default_unit", "isbits"], takes_missing: false, run: human_to_bytes, doc: "A size written for people as a number." },
    Filter { names: &["strftime"], params: &["second", "utc"], takes_missing: false, run: strftime, doc: "A time (now, or given in seconds) in this format." },
    Filter { names: &["to_datetime"], params: &["format"], takes_missing: false, run: to_datetime, doc: "A text as a date and time." },
    Filter { names: &["random"], params: &["start", "step", "seed"], takes_missing: false, run: random, doc: "A random item, or a number below this one; `seed` repeats it." },
    Filter { names: &["shuffle"], params: &["seed"], takes_missing: false, run: shuffle, doc: "In random order; `seed` repeats it." },
];

/// What `log`, `pow` and `root` work on; their words are Ansible's, which plays look for.
fn number(v: &Val, filter: &str) -> Res<f64> {
    match v.as_number() {
        Some(x) => Ok(x),
        None => fail(format!("{filter}() can only be used on numbers, not on {}", v.described())),
    }
}

fn pow(_: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    Ok(Val::Float(number(&v, "pow")?.powf(number(b.need(0, "the filter 'pow'", "y")?, "pow")?)))
}

fn log(_: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let x = number(&v, "log")?;
    if x <= 0.0 {
        return fail("math domain error: the logarithm needs a number above 0");
    }
    Ok(Val::Float(match b.some(0) {
        Some(base) => match number(base, "log")? {
            10.0 => x.log10(),
            2.0 => x.log2(),
            base => x.ln() / base.ln(),
        },
        None => x.ln(),
    }))
}

fn root(_: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let x = number(&v, "root")?;
    let base = b.some(0).map(|n| number(n, "root")).transpose()?.unwrap_or(2.0);
    if x < 0.0 {
        return fail("math domain error: the root of a negative number");
    }
    Ok(Val::Float(if base == 2.0 { x.sqrt() } else { x.powf(1.0 / base) }))
}

const UNITS: &[(char, f64)] = &[
    ('Y', (1u128 << 80) as f64),
    ('Z', (1u128 << 70) as f64),
    ('E', (1u128 << 60) as f64),
    ('P', (1u128 << 50) as f64),
    ('T', (1u128 << 40) as f64),
    ('G', (1u128 << 30) as f64),
    ('M', (1u128 << 20) as f64),
    ('K', (1u128 << 10) as f64),
    ('B', 1.0),
];

fn human_readable(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let bits = b.flag(cx, 0, false)?;
    let unit =
        b.some(1).map(|u| cx.text(u)).transpose()?.and_then(|u| u.chars().next()).map(|c| c.to_ascii_uppercase());
    let size = match super::jinja::to_float(cx, &v)? {
        Some(x) => x,
        None => return fail(format!("human_readable() failed on bad input: {}", cx.text(&v)?)),
    };
    let base = if bits { "bits" } else { "Bytes" };
    let (mut suffix, mut limit) = (base.to_owned(), 1.0);
    for (letter, l) in UNITS {
        if (unit.is_none() && size >= *l) || unit == Some(*letter) {
            limit = *l;
            suffix = if *letter == 'B' { base.to_owned() } else { format!("{letter}{}", &base[..1]) };
            break;
        }
    }
    Ok(format!("{:.2} {suffix}", size / limit).into())
}

fn human_to_bytes(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let text = cx.text(&v)?;
    let default = b.some(0).map(|u| cx.text(u)).transpose()?;
    let bits = b.flag(cx, 1, false)?;
    match size_of(&text, default.as_deref().unwrap_or_default(), bits) {
        Ok(n) => Ok(Val::Int(n)),
        Err(why) => fail(format!("human_to_bytes() can't interpret the following string: {text}{why}")),
    }
}

/// A size written for people (`1.5 MB`, or `1.5 Mb` if bits are meant) as a number.
pub fn bytes_of(text: &str, bits: bool) -> Result<i64, String> {
    size_of(text, "", bits)
}

fn size_of(text: &str, default: &str, bits: bool) -> Result<i64, String> {
    let t = text.trim();
    let end = t.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '-').unwrap_or(t.len());
    let n: f64 = t[..end].parse().map_err(|_| String::new())?;
    if n < 0.0 {
        return Err(String::new());
    }
    let written = t[end..].trim();
    let unit = if written.is_empty() { default } else { written };
    let Some(letter) = unit.chars().next().map(|c| c.to_ascii_uppercase()) else {
        return Ok(n.round_ties_even() as i64);
    };
    let Some((_, limit)) = UNITS.iter().find(|(l, _)| *l == letter) else {
        return Err("; the suffix must be one of Y, Z, E, P, T, G, M, K, B".into());
    };
    // The small b means bits, the large one bytes; the long name may be written in any way.
    let (short, class) = if bits { ('b', "bit") } else { ('B', "byte") };
    const NAMES: [&str; 8] = ["kilo", "mega", "giga", "tera", "peta", "exa", "zeta", "yotta"];
    let (long, exact) = match letter {
        'B' => (class.to_owned(), short.to_string()),
        c => {
            let name = NAMES.iter().find(|n| n.starts_with(c.to_ascii_lowercase())).unwrap_or(&"");
            (format!("{name}{class}"), format!("{c}{short}"))
        }
    };
    if unit.chars().count() > 1 && unit.to_lowercase() != long && unit != exact {
        return Err(format!("; '{unit}' is not a unit of {class}s (write {exact} or {long})"));
    }
    Ok((n * limit).round_ties_even() as i64)
}

fn strftime(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let format = cx.text(&v)?;
    let utc = b.flag(cx, 1, false)?;
    let moment = match b.some(0) {
        Some(second) => match super::jinja::to_float(cx, second)? {
            Some(x) => dates::at(x, utc)?,
            None => return fail(format!("Invalid value for epoch value ({})", cx.text(second)?)),
        },
        None => dates::now(utc),
    };
    moment.format(&format).map(Val::from)
}

fn to_datetime(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let (text, format) = (cx.text(&v)?, b.text(cx, 0, "%Y-%m-%d %H:%M:%S")?);
    Moment::parse(&text, &format).map(Val::object)
}

/// Where random numbers come from: the seed, or another place each time.
fn chance(cx: &mut Cx<'_>, seed: Option<&Val>) -> Res<Chance> {
    Ok(match seed {
        None | Some(Val::Null) => Chance::unseeded(),
        Some(Val::Int(i)) => Chance::of_number(*i),
        Some(seed) => Chance::of_text(&cx.text(seed)?),
    })
}

fn random(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let mut chance = chance(cx, b.some(2))?;
    if let Some(end) = v.as_int() {
        let start = b.int(0, "start")?.unwrap_or(0);
        let step = b.int(1, "step")?.unwrap_or(1);
        let n = if step == 0 {
            0
        } else {
            (i128::from(end) - i128::from(start) + i128::from(step) - i128::from(step.signum())) / i128::from(step)
        };
        return match u64::try_from(n) {
            Ok(n) if n > 0 => Ok(Val::Int(start + chance.below(n) as i64 * step)),
            _ => fail("random needs a range that is not empty"),
        };
    }
    if b.some(0).is_some() || b.some(1).is_some() {
        return fail("start and step can only be used with integer values");
    }
    if let Val::Object(o) = &v
        && let Some(range) = o.as_any().downcast_ref::<Range>()
    {
        let (start, step, n) = range.shape();
        return if n == 0 {
            fail("random needs a range that is not empty")
        } else {
            Ok(Val::Int(start + chance.below(n as u64) as i64 * step))
        };
    }
    if !matches!(v, Val::List(_) | Val::Tuple(_) | Val::Str(_)) {
        return fail(format!("random can only be used on sequences and integers, not on {}", v.described()));
    }
    let items = cx.items(&v)?;
    match items.len() {
        0 => fail("random needs a list that is not empty"),
        n => Ok(items[chance.below(n as u64) as usize].clone()),
    }
}

fn shuffle(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let mut chance = chance(cx, b.some(0))?;
    // What has no items stays as it is, as in Ansible.
    let Ok(mut items) = cx.items(&v) else { return Ok(v) };
    for i in (1..items.len()).rev() {
        items.swap(i, chance.below(i as u64 + 1) as usize);
    }
    Ok(Val::list(items))
}
