//! Ansible's filters on dictionaries: `combine`, `dict2items`, `keep_keys` and their kin. Those on lists are in `lists`.

use super::super::error::fail;
use super::super::jinja::eval::Cx;
use super::super::jinja::tree::Filter;
use super::super::jinja::val::{Bound, Map, Res, Val};
use super::lists::{named, only};
use crate::model::value::Key;

#[rustfmt::skip]
pub(super) const ALL: &[Filter] = &[
    Filter { names: &["combine"], params: &["*terms", "**kwargs"], takes_missing: false, run: combine, doc: "Dictionaries merged, the last winning; `recursive`, `list_merge`." },
    Filter { names: &["dict2items"], params: &["key_name", "value_name"], takes_missing: false, run: dict_to_items, doc: "A dictionary as a list of `{key, value}`." },
    Filter { names: &["items2dict"], params: &["key_name", "value_name"], takes_missing: false, run: items_to_dict, doc: "A list of `{key, value}` as a dictionary." },
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
