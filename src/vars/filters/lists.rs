//! Ansible's filters on lists: sets, `zip`, `flatten`, `subelements` and their kin. Those on dictionaries are in `dicts`.

use super::super::error::fail;
use super::super::jinja::eval::Cx;
use super::super::jinja::tree::Filter;
use super::super::jinja::val::{Bound, Res, Val};
use super::sequences::{folded, path_of};
use crate::model::value::Key;

#[rustfmt::skip]
pub(super) const ALL: &[Filter] = &[
    Filter { names: &["union"], params: &["b"], takes_missing: false, run: union, doc: "What either list has." },
    Filter { names: &["intersect"], params: &["b"], takes_missing: false, run: |cx, v, b| set(cx, v, b, |a, b| a && b), doc: "What both lists have." },
    Filter { names: &["difference"], params: &["b"], takes_missing: false, run: |cx, v, b| set(cx, v, b, |a, b| a && !b), doc: "What only the first list has." },
    Filter { names: &["symmetric_difference"], params: &["b"], takes_missing: false, run: symmetric, doc: "What only one of two lists has." },
    Filter { names: &["unique"], params: &["case_sensitive", "attribute"], takes_missing: false, run: unique, doc: "Each value once." },
    Filter { names: &["min"], params: &["case_sensitive", "attribute"], takes_missing: false, run: |cx, v, b| extreme(cx, v, b, false), doc: "The least item." },
    Filter { names: &["max"], params: &["case_sensitive", "attribute"], takes_missing: false, run: |cx, v, b| extreme(cx, v, b, true), doc: "The greatest item." },
    Filter { names: &["flatten"], params: &["levels", "skip_nulls"], takes_missing: false, run: flatten, doc: "Lists in lists as one list; without nulls." },
    Filter { names: &["zip"], params: &["*args", "**kwargs"], takes_missing: false, run: |cx, v, b| zip(cx, v, b, false), doc: "The items of several lists side by side." },
    Filter { names: &["zip_longest"], params: &["*args", "**kwargs"], takes_missing: false, run: |cx, v, b| zip(cx, v, b, true), doc: "As zip, to the end of the longest list; `fillvalue`." },
    Filter { names: &["product"], params: &["*args", "**kwargs"], takes_missing: false, run: product, doc: "Every item of one list with every item of the others." },
    Filter { names: &["permutations"], params: &["n"], takes_missing: false, run: permutations, doc: "Every order of the items." },
    Filter { names: &["combinations"], params: &["n"], takes_missing: false, run: combinations, doc: "Every choice of a number of items." },
    Filter { names: &["subelements"], params: &["subelements", "skip_missing"], takes_missing: false, run: subelements, doc: "Each item with each item of a list that it holds." },
    Filter { names: &["extract"], params: &["container", "morekeys"], takes_missing: false, run: extract, doc: "The member of a container that this key names." },
];

pub(super) fn named<'b>(b: &'b Bound, name: &str) -> Option<&'b Val> {
    b.named.iter().find(|(n, _)| &**n == name).map(|(_, v)| v)
}

pub(super) fn only(b: &Bound, known: &[&str]) -> Res<()> {
    match b.named.iter().find(|(n, _)| !known.contains(&&**n)) {
        Some((n, _)) => fail(format!("unknown argument '{n}'; known are {}", known.join(", "))),
        None => Ok(()),
    }
}

/// Lists of hashable values are compared by key; others one by one.
struct Known {
    keys: std::collections::HashSet<Key>,
    others: Vec<Val>,
}

impl Known {
    fn new() -> Known {
        Known { keys: std::collections::HashSet::new(), others: Vec::new() }
    }
    fn has(&self, cx: &mut Cx<'_>, v: &Val) -> Res<bool> {
        match plain(v) {
            Some(k) => Ok(self.keys.contains(&k)),
            None => {
                for o in &self.others {
                    if cx.equal(o, v)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
        }
    }
    /// Takes a value in; false if it was there.
    fn add(&mut self, cx: &mut Cx<'_>, v: &Val) -> Res<bool> {
        if self.has(cx, v)? {
            return Ok(false);
        }
        match plain(v) {
            Some(k) => {
                self.keys.insert(k);
            }
            None => self.others.push(v.clone()),
        }
        Ok(true)
    }
    fn of(cx: &mut Cx<'_>, items: &[Val]) -> Res<Known> {
        let mut known = Known::new();
        for i in items {
            known.add(cx, i)?;
        }
        Ok(known)
    }
}

fn plain(v: &Val) -> Option<Key> {
    match v {
        Val::Null => Some(Key::Null),
        Val::Bool(b) => Some(Key::Bool(*b)),
        Val::Int(i) => Some(Key::Int(*i)),
        Val::Float(x) => Some(Key::Float(*x)),
        Val::Str(s) => Some(Key::Str(s.shared().clone())),
        _ => None,
    }
}

fn defined(v: &Val) -> Res<()> {
    match v {
        Val::Missing(m) => Err(m.fail()),
        _ => Ok(()),
    }
}

fn two(cx: &mut Cx<'_>, v: &Val, b: &Bound, what: &str) -> Res<(Vec<Val>, Vec<Val>)> {
    let other = b.need(0, &format!("the filter '{what}'"), "b")?.clone();
    let (a, b) = (cx.items(v)?, cx.items(&other)?);
    a.iter().chain(&b).try_for_each(defined)?;
    Ok((a, b))
}

fn set(cx: &mut Cx<'_>, v: Val, b: Bound, keep: fn(bool, bool) -> bool) -> Res {
    let (a, b) = two(cx, &v, &b, "intersect' or 'difference")?;
    let others = Known::of(cx, &b)?;
    let mut seen = Known::new();
    let mut out = Vec::new();
    for item in a {
        let there = others.has(cx, &item)?;
        if keep(true, there) && seen.add(cx, &item)? {
            out.push(item);
        }
    }
    Ok(Val::list(out))
}

fn union(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let (a, b) = two(cx, &v, &b, "union")?;
    let mut seen = Known::new();
    let mut out = Vec::new();
    for item in a.into_iter().chain(b) {
        if seen.add(cx, &item)? {
            out.push(item);
        }
    }
    Ok(Val::list(out))
}

fn symmetric(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let (a, b) = two(cx, &v, &b, "symmetric_difference")?;
    let (in_a, in_b) = (Known::of(cx, &a)?, Known::of(cx, &b)?);
    let mut seen = Known::new();
    let mut out = Vec::new();
    for item in a.into_iter().chain(b) {
        if in_a.has(cx, &item)? != in_b.has(cx, &item)? && seen.add(cx, &item)? {
            out.push(item);
        }
    }
    Ok(Val::list(out))
}

fn unique(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let case = b.flag(cx, 0, false)?;
    // Options are Jinja's, which takes only what can be a key of a dictionary.
    let plain = b.some(1).is_some() || (b.some(0).is_some() && !case);
    let mut seen = Known::new();
    let mut out = Vec::new();
    for item in cx.items(&v)? {
        defined(&item)?;
        let key = match b.some(1) {
            Some(path) => path_of(cx, &item, path, None)?,
            None => item.clone(),
        };
        if plain && matches!(key, Val::List(_) | Val::Dict(_)) {
            let kind = key.kind();
            return fail(format!(
                "unhashable type: '{kind}'; unique cannot fall back to comparing: with case_sensitive or attribute, unique takes texts and numbers"
            ));
        }
        if seen.add(cx, &if case { key } else { folded(key) })? {
            out.push(item);
        }
    }
    Ok(Val::list(out))
}

fn extreme(cx: &mut Cx<'_>, v: Val, b: Bound, greatest: bool) -> Res {
    let case = b.flag(cx, 0, false)?;
    let mut best: Option<(Val, Val)> = None;
    for item in cx.items(&v)? {
        defined(&item)?;
        let key = match b.some(1) {
            Some(path) => path_of(cx, &item, path, None)?,
            None => item.clone(),
        };
        let key = if case { key } else { folded(key) };
        let better = match &best {
            None => true,
            Some((k, _)) if greatest => cx.order(&key, k, ">")? == Some(std::cmp::Ordering::Greater),
            Some((k, _)) => cx.order(&key, k, "<")? == Some(std::cmp::Ordering::Less),
        };
        if better {
            best = Some((key, item));
        }
    }
    match best {
        Some((_, item)) => Ok(item),
        None => Ok(Val::missing(super::super::jinja::val::Missing::new("", "No aggregated item, sequence was empty."))),
    }
}

fn flatten(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    fn go(cx: &mut Cx<'_>, v: &Val, levels: Option<i64>, skip: bool, out: &mut Vec<Val>) -> Res<()> {
        for item in cx.items(v)? {
            let null = item.is_null() || matches!(item.as_str(), Some("None" | "null"));
            match &item {
                _ if null && skip => {}
                Val::List(_) | Val::Tuple(_) if levels.is_none_or(|n| n >= 1) => {
                    cx.deeper(|cx| go(cx, &item, levels.map(|n| n - 1), skip, out))?;
                }
                _ => out.push(item),
            }
        }
        Ok(())
    }
    let (levels, skip) = (b.int(0, "levels")?, b.flag(cx, 1, true)?);
    let mut out = Vec::new();
    go(cx, &v, levels, skip, &mut out)?;
    Ok(Val::list(out))
}

fn zip(cx: &mut Cx<'_>, v: Val, b: Bound, longest: bool) -> Res {
    only(&b, if longest { &["fillvalue"] } else { &[] })?;
    let fill = named(&b, "fillvalue").cloned().unwrap_or(Val::Null);
    let mut lists = vec![cx.items(&v)?];
    for other in &b.rest {
        lists.push(cx.items(other)?);
    }
    let lengths = lists.iter().map(Vec::len);
    let n = if longest { lengths.max() } else { lengths.min() }.unwrap_or(0);
    let row = |i: usize| Val::tuple(lists.iter().map(|l| l.get(i).unwrap_or(&fill).clone()).collect());
    Ok(Val::list((0..n).map(row).collect()))
}

fn product(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    only(&b, &["repeat"])?;
    let mut lists = vec![cx.items(&v)?];
    for other in &b.rest {
        lists.push(cx.items(other)?);
    }
    let repeat = named(&b, "repeat").and_then(Val::as_int).unwrap_or(1).clamp(0, 64) as usize;
    let lists: Vec<_> = lists.iter().cycle().take(lists.len() * repeat).collect();
    let mut rows: Vec<Vec<Val>> = vec![Vec::new()];
    for list in lists {
        cx.bounded(rows.len().saturating_mul(list.len()))?;
        rows = rows
            .iter()
            .flat_map(|r| list.iter().map(move |i| r.iter().cloned().chain([i.clone()]).collect()))
            .collect();
    }
    Ok(Val::list(rows.into_iter().map(Val::tuple).collect()))
}

fn permutations(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let items = cx.items(&v)?;
    let n = b.int(0, "n")?.map_or(items.len(), |n| n.max(0) as usize);
    choose(cx, &items, n, false)
}

fn combinations(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let items = cx.items(&v)?;
    let n = b.int(0, "n")?.map_or(items.len(), |n| n.max(0) as usize);
    choose(cx, &items, n, true)
}

/// Rows of `n` different places, in ascending order only for combinations.
fn choose(cx: &mut Cx<'_>, items: &[Val], n: usize, ascending: bool) -> Res {
    let mut rows: Vec<Vec<usize>> = vec![Vec::new()];
    for _ in 0..n {
        let mut longer = Vec::new();
        for row in &rows {
            let from = if ascending { row.last().map_or(0, |i| i + 1) } else { 0 };
            longer.extend((from..items.len()).filter(|i| !row.contains(i)).map(|i| {
                let mut r = row.clone();
                r.push(i);
                r
            }));
            cx.fits(longer.len())?;
        }
        rows = longer;
    }
    Ok(Val::list(rows.into_iter().map(|r| Val::tuple(r.into_iter().map(|i| items[i].clone()).collect())).collect()))
}

fn subelements(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let items = match &v {
        Val::Dict(_) => cx.pairs(&v)?.into_iter().map(|(_, v)| v).collect(),
        Val::List(_) | Val::Tuple(_) => cx.items(&v)?,
        _ => return fail("obj must be a list of dicts or a nested dict"),
    };
    let path: Vec<String> = match b.need(0, "the filter 'subelements'", "subelements")? {
        Val::Str(s) => s.split('.').map(str::to_owned).collect(),
        l @ (Val::List(_) | Val::Tuple(_)) => {
            let parts = cx.items(l)?;
            parts.iter().map(|p| cx.text(p)).collect::<Res<_>>()?
        }
        _ => return fail("subelements must be a list or a string"),
    };
    let skip = b.flag(cx, 1, false)?;
    let mut out = Vec::new();
    'items: for item in items {
        let mut v = item.clone();
        for step in &path {
            if !matches!(v, Val::Dict(_)) {
                return fail(format!("the key '{step}' should point to a dictionary"));
            }
            v = match cx.find(&v, &Val::str(step))? {
                Some(v) => v,
                None if skip => continue 'items,
                None => return fail(format!("could not find '{step}' key in iterated item {}", cx.text(&v)?)),
            };
        }
        if !matches!(v, Val::List(_)) {
            return fail(format!("the key '{}' should point to a list", path.join(".")));
        }
        for element in cx.items(&v)? {
            out.push(Val::tuple(vec![item.clone(), element]));
        }
    }
    Ok(Val::list(out))
}

fn extract(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let mut container = b.need(0, "the filter 'extract'", "container")?.clone();
    let mut keys = vec![v];
    match b.some(1) {
        Some(l @ (Val::List(_) | Val::Tuple(_))) => keys.extend(cx.items(l)?),
        Some(k) => keys.push(k.clone()),
        None => {}
    }
    for k in keys {
        container = cx.member(&container, &k)?;
    }
    Ok(container)
}
