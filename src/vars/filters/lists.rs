//! Ansible's filters on lists and dictionaries: `combine`, sets, `dict2items`, `subelements` and their kin.

use super::super::error::fail;
use super::super::jinja::eval::Cx;
use super::super::jinja::tree::Filter;
use super::super::jinja::val::{Bound, Map, Res, Val};
use super::sequences::{folded, path_of};
use crate::model::value::Key;

#[rustfmt::skip]
pub(super) const ALL: &[Filter] = &[
    Filter { names: &["combine"], params: &["*terms", "**kwargs"], takes_missing: false, run: combine, doc: "Dictionaries merged, the last winning; `recursive`, `list_merge`." },
    Filter { names: &["dict2items"], params: &["key_name", "value_name"], takes_missing: false, run: dict_to_items, doc: "A dictionary as a list of `{key, value}`." },
    Filter { names: &["items2dict"], params: &["key_name", "value_name"], takes_missing: false, run: items_to_dict, doc: "A list of `{key, value}` as a dictionary." },
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
    Filter { names: &["rekey_on_member"], params: &["key", "duplicates"], takes_missing: false, run: rekey, doc: "A list of dictionaries as a dictionary by one of their members." },
    Filter { names: &["dict", "community.general.dict"], params: &[], takes_missing: false, run: to_dict, doc: "A list of pairs as a dictionary." },
    Filter { names: &["dict_kv", "community.general.dict_kv"], params: &["key"], takes_missing: false, run: dict_kv, doc: "A dictionary of one key with this value." },
    Filter { names: &["lists_mergeby", "community.general.lists_mergeby"], params: &["*terms", "**kwargs"], takes_missing: false, run: merge_by, doc: "Lists of dictionaries merged by a member." },
    Filter { names: &["remove_keys", "ansible.utils.remove_keys"], params: &["target", "matching_parameter"], takes_missing: false, run: |cx, v, b| keys(cx, v, b, false), doc: "Without some keys, at any depth." },
    Filter { names: &["keep_keys", "ansible.utils.keep_keys"], params: &["target", "matching_parameter"], takes_missing: false, run: |cx, v, b| keys(cx, v, b, true), doc: "With some keys only, at any depth." },
];

#[derive(Clone, Copy, PartialEq)]
enum Merge {
    Replace,
    Keep,
    Append,
    Prepend,
    AppendNew,
    PrependNew,
}

fn named<'b>(b: &'b Bound, name: &str) -> Option<&'b Val> {
    b.named.iter().find(|(n, _)| &**n == name).map(|(_, v)| v)
}

fn only(b: &Bound, known: &[&str]) -> Res<()> {
    match b.named.iter().find(|(n, _)| !known.contains(&&**n)) {
        Some((n, _)) => fail(format!("unknown argument '{n}'; known are {}", known.join(", "))),
        None => Ok(()),
    }
}

fn merging(cx: &mut Cx<'_>, b: &Bound) -> Res<(bool, Merge)> {
    let recursive = match named(b, "recursive") {
        Some(v) => cx.truth(v)?,
        None => false,
    };
    let lists = match named(b, "list_merge") {
        Some(v) => cx.text(v)?,
        None => "replace".into(),
    };
    let lists = match lists.as_str() {
        "replace" => Merge::Replace,
        "keep" => Merge::Keep,
        "append" => Merge::Append,
        "prepend" => Merge::Prepend,
        "append_rp" => Merge::AppendNew,
        "prepend_rp" => Merge::PrependNew,
        _ => return fail("'list_merge' must be replace, keep, append, prepend, append_rp or prepend_rp"),
    };
    Ok((recursive, lists))
}

fn combine(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    if let Some((n, _)) = b.named.iter().find(|(n, _)| !matches!(&**n, "recursive" | "list_merge")) {
        return fail(format!("'recursive' and 'list_merge' are the only valid keyword arguments, not '{n}'"));
    }
    let (recursive, lists) = merging(cx, &b)?;
    // A list of dictionaries counts as its dictionaries, and null as nothing.
    let mut dicts = Vec::new();
    for v in std::iter::once(v).chain(b.rest) {
        match cx.settle(&v)? {
            l @ (Val::List(_) | Val::Tuple(_)) => {
                for item in cx.items(&l)? {
                    dicts.push(cx.settle(&item)?);
                }
            }
            v => dicts.push(v),
        }
    }
    dicts.retain(|d| !d.is_null() && !matches!(d.as_str(), Some("None" | "null")));
    if let Some(Val::Missing(m)) = dicts.iter().find(|d| matches!(d, Val::Missing(_))) {
        return Err(m.fail());
    }
    if dicts.len() == 1 {
        return Ok(dicts.remove(0));
    }
    let mut result = Map::new();
    for d in dicts {
        if !matches!(d, Val::Dict(_) | Val::Object(_)) {
            return fail(format!("failed to combine variables, expected dicts but got {}", d.described()));
        }
        let new = cx.map(&d)?;
        result = merge(cx, result, new, recursive, lists)?;
    }
    Ok(Val::dict(result))
}

fn merge(cx: &mut Cx<'_>, mut into: Map, new: Map, recursive: bool, lists: Merge) -> Res<Map> {
    for (k, v) in new {
        let old = into.get(&k).cloned();
        let merged = match (&old, &v) {
            (Some(o @ (Val::Dict(_) | Val::Later(_))), n @ (Val::Dict(_) | Val::Later(_)))
                if recursive && o.kind() == "dict" && n.kind() == "dict" =>
            {
                let (o, n) = (cx.map(o)?, cx.map(n)?);
                Val::dict(merge(cx, o, n, recursive, lists)?)
            }
            (Some(o), n) if lists != Merge::Replace && o.kind() == "list" && n.kind() == "list" => {
                let (mut o, mut n) = (cx.items(o)?, cx.items(n)?);
                match lists {
                    Merge::Keep => Val::list(o),
                    Merge::Append => {
                        o.extend(n);
                        Val::list(o)
                    }
                    Merge::Prepend => {
                        n.extend(o);
                        Val::list(n)
                    }
                    _ => {
                        let mut kept = Vec::new();
                        for item in o {
                            if !cx.contains(&Val::list(n.clone()), &item)? {
                                kept.push(item);
                            }
                        }
                        if lists == Merge::AppendNew {
                            kept.extend(n);
                            Val::list(kept)
                        } else {
                            n.extend(kept);
                            Val::list(n)
                        }
                    }
                }
            }
            _ => v.clone(),
        };
        into.insert(k, merged);
    }
    Ok(into)
}

fn dict_to_items(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let (key, value): (Key, Key) = (b.text(cx, 0, "key")?.into(), b.text(cx, 1, "value")?.into());
    if !matches!(v, Val::Dict(_) | Val::Object(_)) {
        return fail(format!("dict2items requires a dictionary, not {}", v.described()));
    }
    let pairs = cx.pairs(&v)?.into_iter();
    Ok(Val::list(
        pairs.map(|(k, v)| Val::dict(Map::from([(key.clone(), Val::of_key(&k)), (value.clone(), v)]))).collect(),
    ))
}

fn items_to_dict(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let (key, value) = (b.text(cx, 0, "key")?, b.text(cx, 1, "value")?);
    if !matches!(v, Val::List(_) | Val::Tuple(_)) {
        return fail(format!("items2dict requires a list, not {}", v.described()));
    }
    let mut out = Map::new();
    for item in cx.items(&v)? {
        if !matches!(item, Val::Dict(_) | Val::Object(_)) {
            return fail(format!("items2dict requires a list of dictionaries, not with {} in it", item.described()));
        }
        let (k, val) = (cx.find(&item, &Val::str(&key))?, cx.find(&item, &Val::str(&value))?);
        let (Some(k), Some(val)) = (k, val) else {
            return fail(format!(
                "items2dict requires each dictionary in the list to contain the keys '{key}' and '{value}'"
            ));
        };
        out.insert(cx.key(&k)?, val);
    }
    Ok(Val::dict(out))
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
        Val::Str(s) => Some(Key::Str(s.clone())),
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

fn rekey(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let key = b.need(0, "the filter 'rekey_on_member'", "key")?;
    let key = cx.text(key)?;
    let duplicates = b.text(cx, 1, "error")?;
    if !matches!(duplicates.as_str(), "error" | "overwrite") {
        return fail(format!(
            "duplicates parameter to rekey_on_member has unknown value '{duplicates}'; it is error or overwrite"
        ));
    }
    let items = match &v {
        Val::Dict(_) => cx.pairs(&v)?.into_iter().map(|(_, v)| v).collect(),
        list @ (Val::List(_) | Val::Tuple(_)) => cx.items(list)?,
        other => return fail(format!("Type is not a valid list, set, or dict, but {}", other.described())),
    };
    let mut out = Map::new();
    for item in items {
        if !matches!(item, Val::Dict(_)) {
            return fail(format!("List item is not a valid dict, but {}", item.described()));
        }
        let Some(k) = cx.find(&item, &Val::str(&key))? else {
            return fail(format!("Key '{key}' was not found in an item"));
        };
        let k = cx.key(&k)?;
        if out.insert(k.clone(), item).is_some() && duplicates == "error" {
            return fail(format!("Key '{k}' is not unique, cannot convert to dict"));
        }
    }
    Ok(Val::dict(out))
}

fn to_dict(cx: &mut Cx<'_>, v: Val, _: Bound) -> Res {
    let mut out = Map::new();
    for pair in cx.items(&v)? {
        match cx.items(&pair)?.as_slice() {
            [k, v] => out.insert(cx.key(k)?, v.clone()),
            _ => return fail("dict needs pairs of key and value"),
        };
    }
    Ok(Val::dict(out))
}

fn dict_kv(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let key = cx.key(b.need(0, "the filter 'dict_kv'", "key")?)?;
    Ok(Val::dict(Map::from([(key, v)])))
}

fn merge_by(cx: &mut Cx<'_>, v: Val, mut b: Bound) -> Res {
    only(&b, &["recursive", "list_merge"])?;
    let (recursive, lists) = merging(cx, &b)?;
    let Some(index) = b.rest.pop() else {
        return fail("lists_mergeby needs the name of a member as its last argument");
    };
    let mut groups = indexmap::IndexMap::<Key, Map>::new();
    for list in std::iter::once(v).chain(b.rest) {
        for item in cx.items(&list)? {
            let Some(k) = cx.find(&item, &index)? else { continue };
            let k = cx.key(&k)?;
            let new = cx.map(&item)?;
            let old = groups.shift_remove(&k).unwrap_or_default();
            let merged = merge(cx, old, new, recursive, lists)?;
            groups.insert(k, merged);
        }
    }
    groups.sort_by(|a, _, b, _| a.to_string().cmp(&b.to_string()));
    Ok(Val::list(groups.into_values().map(Val::dict).collect()))
}

fn keys(cx: &mut Cx<'_>, v: Val, b: Bound, keep: bool) -> Res {
    let target = b.need(0, "this filter", "target")?.clone();
    let mut targets = Vec::new();
    match &target {
        Val::Str(s) => targets.push(s.to_string()),
        other => {
            for t in cx.items(other)? {
                targets.push(cx.text(&t)?);
            }
        }
    }
    let how = b.text(cx, 1, "equality")?;
    if !matches!(how.as_str(), "equality" | "starts_with" | "ends_with" | "regex") {
        return fail("'matching_parameter' must be equality, starts_with, ends_with or regex");
    }
    let mut patterns = Vec::new();
    if how == "regex" {
        for t in &targets {
            patterns.push(fancy_regex::Regex::new(t).map_err(|e| {
                super::super::error::TemplateError::new(
                    super::super::error::TemplateErrorKind::Other,
                    format!("'{t}': {e}"),
                )
            })?);
        }
    }
    let hit = |k: &str| match how.as_str() {
        "equality" => targets.iter().any(|t| t == k),
        "starts_with" => targets.iter().any(|t| k.starts_with(t)),
        "ends_with" => targets.iter().any(|t| k.ends_with(t)),
        _ => patterns.iter().any(|p| p.is_match(k).unwrap_or(false)),
    };
    fn go(cx: &mut Cx<'_>, v: &Val, hit: &dyn Fn(&str) -> bool, keep: bool) -> Res<Option<Val>> {
        Ok(match v {
            Val::Dict(_) => {
                let mut out = Map::new();
                for (k, v) in cx.pairs(v)? {
                    let matched = hit(&k.to_string());
                    if keep && matched {
                        out.insert(k, v);
                    } else if !matched && let Some(v) = go(cx, &v, hit, keep)? {
                        out.insert(k, v);
                    }
                }
                (!keep || !out.is_empty()).then(|| Val::dict(out))
            }
            Val::List(_) | Val::Tuple(_) => {
                let mut out = Vec::new();
                for item in cx.items(v)? {
                    out.extend(go(cx, &item, hit, keep)?);
                }
                (!keep || !out.is_empty()).then(|| Val::list(out))
            }
            other => (!keep).then(|| other.clone()),
        })
    }
    Ok(go(cx, &v, &hit, keep)?.unwrap_or_else(|| Val::dict(Map::new())))
}
