//! Lookups of variables, of the environment, and of lists to loop over.

use super::super::error::fail;
use super::super::jinja::eval::Cx;
use super::super::jinja::tree::Lookup;
use super::super::jinja::val::{Args, Map, Missing, Res, Val};

#[rustfmt::skip]
pub(super) const ALL: &[Lookup] = &[
    Lookup { names: &["vars"], options: &["default"], run: vars, doc: "Variables by name." },
    Lookup { names: &["env"], options: &["default"], run: env, doc: "Variables of the control node's environment." },
    Lookup { names: &["varnames"], options: &[], run: var_names, doc: "The names of variables that match a pattern." },
    Lookup { names: &["config"], options: &["on_missing", "plugin_type", "plugin_name", "show_origin"], run: config, doc: "Settings by name." },
    Lookup { names: &["inventory_hostnames"], options: &[], run: hostnames, doc: "The hosts that a pattern picks." },
    Lookup { names: &["items"], options: &[], run: items, doc: "All items, lists taken apart once." },
    Lookup { names: &["list"], options: &[], run: |_, terms, _| Ok(terms), doc: "The items as they are." },
    Lookup { names: &["dict"], options: &[], run: dict, doc: "A dictionary as a list of `{key, value}`." },
    Lookup { names: &["flattened"], options: &[], run: flattened, doc: "All items, lists in lists taken apart." },
    Lookup { names: &["indexed_items"], options: &[], run: indexed, doc: "Pairs of a number and an item." },
    Lookup { names: &["nested", "cartesian", "community.general.cartesian"], options: &[], run: nested, doc: "Every item of one list with every item of the others." },
    Lookup { names: &["together"], options: &[], run: together, doc: "The items of several lists side by side." },
    Lookup { names: &["subelements"], options: &[], run: subelements, doc: "Each item with each item of a list that it holds." },
    Lookup { names: &["sequence"], options: &["start", "end", "stride", "count", "format"], run: sequence, doc: "Numbers in a row, as texts." },
    Lookup { names: &["random_choice"], options: &[], run: random_choice, doc: "One item at random." },
];

pub(super) fn named(args: &Args, name: &str) -> Option<Val> {
    args.named.iter().find(|(n, _)| &**n == name).map(|(_, v)| v.clone())
}

fn vars(cx: &mut Cx<'_>, terms: Vec<Val>, args: Args) -> Res<Vec<Val>> {
    let mut out = Vec::new();
    for t in &terms {
        let Val::Str(name) = t else {
            return match t {
                Val::Missing(m) => Err(m.fail()),
                other => fail(format!("Variable name must be 'str' not '{}'.", other.kind())),
            };
        };
        let default = named(&args, "default");
        out.push(match (cx.variable(name.shared())?, default) {
            (Some(Val::Missing(_)), Some(d)) => d,
            (Some(v), _) => v,
            (None, Some(d)) => d,
            (None, None) => Val::missing(Missing::new(&**name, format!("No variable named '{name}' was found."))),
        });
    }
    Ok(out)
}

fn env(cx: &mut Cx<'_>, terms: Vec<Val>, args: Args) -> Res<Vec<Val>> {
    let mut out = Vec::new();
    for t in &terms {
        let text = cx.text(t)?;
        let name = text.split_whitespace().next().unwrap_or("");
        out.push(match (std::env::var(name), named(&args, "default")) {
            (Ok(v), _) => Val::from(v),
            (Err(_), Some(d)) => d,
            (Err(_), None) => Val::str(""),
        });
    }
    Ok(out)
}

fn var_names(cx: &mut Cx<'_>, terms: Vec<Val>, _: Args) -> Res<Vec<Val>> {
    let mut out = Vec::new();
    for t in &terms {
        let Val::Str(pattern) = t else {
            return fail(format!("Invalid setting identifier, {} is not a string", t.described()));
        };
        let regex = super::super::patterns::compile(pattern, Default::default(), "").map_err(|mut e| {
            let why = e.message.replace("Target of repeat operator is invalid", "nothing to repeat");
            e.message = format!("Unable to use \"{pattern}\" as a search parameter: {why}");
            e
        })?;
        let names = cx.scope.names();
        out.extend(names.iter().filter(|n| regex.is_match(&***n).unwrap_or(false)).map(|n| Val::Str(n.clone().into())));
    }
    Ok(out)
}

fn config(cx: &mut Cx<'_>, terms: Vec<Val>, args: Args) -> Res<Vec<Val>> {
    let plugin = (named(&args, "plugin_type"), named(&args, "plugin_name"));
    if let (Some(kind), Some(name)) = plugin {
        let (kind, name) = (cx.text(&kind)?, cx.text(&name)?);
        let option = |t: &Val| -> Option<Val> {
            match (kind.as_str(), name.as_str(), t.as_str()?) {
                ("become", "sudo", "become_flags") => Some("-H -S -n".into()),
                ("become", "su", "become_flags") => Some("".into()),
                ("become", "sudo" | "su", "become_exe") => Some(name.as_str().into()),
                ("become", "sudo" | "su", "become_user") => Some("root".into()),
                _ => None,
            }
        };
        let found: Option<Vec<Val>> = terms.iter().map(option).collect();
        return found.map_or_else(|| fail(format!("the {kind} plugin '{name}' has no such option here")), Ok);
    }
    let on_missing = match named(&args, "on_missing") {
        Some(v) => cx.text(&v)?,
        None => "error".into(),
    };
    let control = cx.control("the lookup 'config'")?;
    let mut out = Vec::new();
    for t in &terms {
        let name = cx.text(t)?;
        match (control.setting(&name), on_missing.as_str()) {
            (Some(v), _) => out.push(Val::of(&v)),
            (None, "skip" | "warn") => {}
            (None, _) => return fail(format!("there is no setting '{name}'")),
        }
    }
    Ok(out)
}

fn hostnames(cx: &mut Cx<'_>, terms: Vec<Val>, _: Args) -> Res<Vec<Val>> {
    let control = cx.control("the lookup 'inventory_hostnames'")?;
    let mut patterns = Vec::new();
    for t in &terms {
        match t {
            Val::List(_) | Val::Tuple(_) => {
                for p in cx.items(t)? {
                    patterns.push(cx.text(&p)?);
                }
            }
            other => patterns.push(cx.text(other)?),
        }
    }
    // A pattern that means nothing picks no host, as in Ansible.
    Ok(control.matching(&patterns.join(",")).unwrap_or_default().iter().map(Val::str).collect())
}

/// The items of a term that may be a list.
fn listed(cx: &mut Cx<'_>, term: &Val) -> Res<Vec<Val>> {
    match term {
        Val::List(_) | Val::Tuple(_) | Val::Object(_) => cx.items(term),
        Val::Later(_) => {
            let term = cx.settle(term)?;
            listed(cx, &term)
        }
        other => Ok(vec![other.clone()]),
    }
}

fn items(cx: &mut Cx<'_>, terms: Vec<Val>, _: Args) -> Res<Vec<Val>> {
    let mut out = Vec::new();
    for t in &terms {
        out.extend(listed(cx, t)?);
    }
    Ok(out)
}

fn dict(cx: &mut Cx<'_>, terms: Vec<Val>, _: Args) -> Res<Vec<Val>> {
    let mut out = Vec::new();
    let mut queue: Vec<Val> = Vec::new();
    for t in &terms {
        queue.extend(listed(cx, t)?);
    }
    for d in queue {
        if !matches!(d, Val::Dict(_) | Val::Object(_)) {
            return fail(format!("the 'dict' lookup plugin expects a dictionary, not {}", d.described()));
        }
        for (k, v) in cx.pairs(&d)? {
            out.push(Val::dict(Map::from([("key".into(), Val::of_key(&k)), ("value".into(), v)])));
        }
    }
    Ok(out)
}

fn flattened(cx: &mut Cx<'_>, terms: Vec<Val>, _: Args) -> Res<Vec<Val>> {
    fn go(cx: &mut Cx<'_>, items: Vec<Val>, out: &mut Vec<Val>) -> Res<()> {
        for item in items {
            match item {
                Val::Null => return Ok(()),
                Val::Str(s) if matches!(&*s, "None" | "null") => return Ok(()),
                Val::List(_) | Val::Tuple(_) => {
                    let inner = cx.items(&item)?;
                    go(cx, inner, out)?;
                }
                other => out.push(other),
            }
        }
        Ok(())
    }
    let mut out = Vec::new();
    go(cx, terms, &mut out)?;
    Ok(out)
}

fn indexed(cx: &mut Cx<'_>, terms: Vec<Val>, args: Args) -> Res<Vec<Val>> {
    let all = items(cx, terms, args)?;
    Ok(all.into_iter().enumerate().map(|(i, v)| Val::tuple(vec![i.into(), v])).collect())
}

fn nested(cx: &mut Cx<'_>, terms: Vec<Val>, _: Args) -> Res<Vec<Val>> {
    if terms.is_empty() {
        return fail("nested needs at least one list");
    }
    let mut rows: Vec<Vec<Val>> = vec![Vec::new()];
    for t in &terms {
        let list = listed(cx, t)?;
        cx.bounded(rows.len().saturating_mul(list.len()))?;
        rows = rows
            .iter()
            .flat_map(|r| list.iter().map(move |i| r.iter().cloned().chain([i.clone()]).collect()))
            .collect();
    }
    Ok(rows.into_iter().map(Val::list).collect())
}

fn together(cx: &mut Cx<'_>, terms: Vec<Val>, _: Args) -> Res<Vec<Val>> {
    if terms.is_empty() {
        return fail("with_together requires at least one element in each list");
    }
    let lists = terms.iter().map(|t| listed(cx, t)).collect::<Res<Vec<_>>>()?;
    let n = lists.iter().map(Vec::len).max().unwrap_or(0);
    let row = |i: usize| Val::list(lists.iter().map(|l| l.get(i).cloned().unwrap_or(Val::Null)).collect());
    Ok((0..n).map(row).collect())
}

fn subelements(cx: &mut Cx<'_>, terms: Vec<Val>, _: Args) -> Res<Vec<Val>> {
    let (list, path, flags) = match terms.as_slice() {
        [l, p] => (l, p, None),
        [l, p, f] => (l, p, Some(f)),
        _ => return fail("subelements lookup expects a list of two or three items"),
    };
    if !matches!(list, Val::List(_) | Val::Dict(_)) || !matches!(path, Val::Str(_)) {
        return fail("subelements lookup expects first a dict or a list, second a string pointing to the subkey");
    }
    if flags.is_some_and(|f| !matches!(f, Val::Dict(_))) {
        return fail("subelements lookup: the optional third item must be a dict with the flag skip_missing");
    }
    let skip = match flags {
        Some(f) => match cx.find(f, &Val::str("skip_missing"))? {
            Some(v) => cx.truth(&v)?,
            None => false,
        },
        None => false,
    };
    let path = cx.text(path)?;
    if let (Val::Dict(_), Some(skipped)) = (list, cx.find(list, &Val::str("skipped"))?)
        && cx.truth(&skipped)?
    {
        return Ok(Vec::new());
    }
    let elements = match list {
        Val::Dict(_) => cx.pairs(list)?.into_iter().map(|(_, v)| v).collect(),
        other => cx.items(other)?,
    };
    let steps: Vec<&str> = path.split('.').collect();
    let mut out = Vec::new();
    'items: for item in elements {
        if !matches!(item, Val::Dict(_)) {
            return fail(format!("subelements lookup expects a dictionary, got {}", item.described()));
        }
        if let Some(skipped) = cx.find(&item, &Val::str("skipped"))?
            && cx.truth(&skipped)?
        {
            continue;
        }
        let mut v = item.clone();
        for (i, step) in steps.iter().enumerate() {
            v = match cx.find(&v, &Val::str(step))? {
                Some(v) => v,
                None if skip => continue 'items,
                None => return fail(format!("could not find '{step}' key in iterated item")),
            };
            let last = i + 1 == steps.len();
            if !last && !matches!(v, Val::Dict(_)) {
                if skip {
                    continue 'items;
                }
                return fail(format!("the key {step} should point to a dictionary, got {}", v.described()));
            }
        }
        if !matches!(v, Val::List(_)) {
            return fail(format!("the key {path} should point to a list, got {}", v.described()));
        }
        // What is looped over stands apart; the item comes without it.
        let mut rest = cx.map(&item)?;
        if steps.len() == 1 {
            rest.shift_remove(steps[0]);
        }
        let rest = Val::dict(rest);
        for element in cx.items(&v)? {
            out.push(Val::tuple(vec![rest.clone(), element]));
        }
    }
    Ok(out)
}

/// What a sequence runs over.
#[derive(Clone, Default)]
struct Range {
    start: Option<i64>,
    end: Option<i64>,
    count: Option<i64>,
    stride: Option<i64>,
    format: Option<String>,
}

fn whole(name: &str, text: &str) -> Res<i64> {
    let digits = text.trim();
    let parsed = match digits.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16).ok(),
        None if digits.len() > 1 && digits.starts_with('0') => {
            i64::from_str_radix(digits.trim_start_matches("0o"), 8).ok()
        }
        None => digits.parse().ok(),
    };
    match parsed {
        Some(n) => Ok(n),
        None => fail(format!("`{name}` of the sequence has an invalid value: '{text}' is no whole number")),
    }
}

fn sequence(cx: &mut Cx<'_>, terms: Vec<Val>, args: Args) -> Res<Vec<Val>> {
    let mut ranges = Vec::new();
    let fill = |range: &mut Range, key: &str, text: &str| -> Res<()> {
        match key {
            "format" => range.format = Some(text.to_owned()),
            "start" => range.start = Some(whole(key, text)?),
            "end" => range.end = Some(whole(key, text)?),
            "count" => range.count = Some(whole(key, text)?),
            "stride" => range.stride = Some(whole(key, text)?),
            other => return fail(format!("unrecognized arguments to with_sequence: '{other}'")),
        }
        Ok(())
    };
    // What is named holds for each term that does not say otherwise.
    let mut named = Range::default();
    for (key, v) in &args.named {
        let text = cx.text(v)?;
        fill(&mut named, key, &text)?;
    }
    for t in &terms {
        let text = cx.text(t)?;
        let mut range = named.clone();
        if text.contains('=') {
            for pair in crate::vars::filters::shell_words(&text) {
                let Some((key, value)) = pair.split_once('=') else {
                    return fail(format!("can't parse '{pair}' of with_sequence"));
                };
                fill(&mut range, key, value)?;
            }
        } else {
            // [start-]end[/stride][:format]
            let (numbers, format) = text.split_once(':').map_or((text.as_str(), None), |(n, f)| (n, Some(f)));
            range.format = format.map(str::to_owned).or(range.format);
            let (numbers, stride) = numbers.split_once('/').map_or((numbers, None), |(n, s)| (n, Some(s)));
            range.stride = stride.map(|s| whole("stride", s)).transpose()?.or(range.stride);
            let (start, end) = numbers.split_once('-').map_or((None, numbers), |(s, e)| (Some(s), e));
            range.start = start.map(|s| whole("start", s)).transpose()?.or(range.start);
            range.end = Some(whole("end", end)?);
        }
        ranges.push(range);
    }
    if terms.is_empty() && !args.named.is_empty() {
        ranges.push(named);
    }
    let mut out = Vec::new();
    for r in ranges {
        let start = r.start.unwrap_or(1);
        let end = match (r.count, r.end) {
            (Some(_), Some(_)) => return fail("can't specify both count and end in with_sequence"),
            (None, None) => return fail("must specify count or end in with_sequence"),
            (Some(0), None) => continue,
            // Backwards it is two more, as in Ansible.
            (Some(n), None) => start + n * r.stride.unwrap_or(1) - 1,
            (None, Some(end)) => end,
        };
        let stride = r.stride.unwrap_or(1);
        if stride == 0 {
            continue;
        }
        if stride > 0 && end < start && r.count.is_none() {
            return fail("to count backwards make stride negative");
        }
        if stride < 0 && end > start {
            return fail("to count forward don't make stride negative");
        }
        let format = r.format.unwrap_or_else(|| "%d".into());
        let mut i = start;
        while (stride > 0 && i <= end) || (stride < 0 && i >= end) {
            cx.step()?;
            let text = super::super::jinja::format::percent(cx, &format, &Val::Int(i));
            let Ok(text) = text else { return fail(format!("bad formatting string: {format}")) };
            out.push(Val::from(text));
            cx.fits(out.len())?;
            i += stride;
        }
    }
    Ok(out)
}

fn random_choice(cx: &mut Cx<'_>, terms: Vec<Val>, _: Args) -> Res<Vec<Val>> {
    if terms.is_empty() {
        return Ok(terms);
    }
    let n = terms.len() as u64;
    let pick = std::hash::BuildHasher::hash_one(&std::collections::hash_map::RandomState::new(), 0u8) % n;
    let _ = cx;
    Ok(terms.get(pick as usize).cloned().into_iter().collect())
}
