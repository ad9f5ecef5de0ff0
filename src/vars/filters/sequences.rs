//! Jinja's own filters on lists: `map`, `select`, `sort`, `groupby` and their kin.

use std::cmp::Ordering;
use std::sync::Arc;

use super::super::error::{TemplateError, TemplateErrorKind, fail};
use super::super::jinja::eval::Cx;
use super::super::jinja::tree::Filter;
use super::super::jinja::val::{Args, Bound, Res, Val};

#[rustfmt::skip]
pub(super) const ALL: &[Filter] = &[
    Filter { names: &["attr"], params: &["name"], takes_missing: false, run: attr, doc: "A member by name, never a key." },
    Filter { names: &["batch"], params: &["linecount", "fill_with"], takes_missing: false, run: batch, doc: "In lists of a length." },
    Filter { names: &["dictsort"], params: &["case_sensitive", "by", "reverse"], takes_missing: false, run: dict_sort, doc: "The pairs of a dictionary, sorted by key or value." },
    Filter { names: &["first"], params: &[], takes_missing: false, run: first, doc: "The first item." },
    Filter { names: &["groupby"], params: &["attribute", "default", "case_sensitive"], takes_missing: false, run: group_by, doc: "Pairs of a member's value and the items that have it." },
    Filter { names: &["items"], params: &[], takes_missing: true, run: items, doc: "The pairs of a dictionary." },
    Filter { names: &["join"], params: &["d", "attribute"], takes_missing: false, run: join, doc: "The items as one text, with a separator." },
    Filter { names: &["last"], params: &[], takes_missing: false, run: last, doc: "The last item." },
    Filter { names: &["length", "count"], params: &[], takes_missing: false, run: |cx, v, _| Ok(cx.length(&v)?.into()), doc: "How many items, characters or keys." },
    Filter { names: &["list"], params: &[], takes_missing: false, run: |cx, v, _| Ok(Val::list(cx.items(&v)?)), doc: "As a list." },
    Filter { names: &["map"], params: &["*args", "**kwargs"], takes_missing: false, run: map, doc: "A filter, or a member, of each item." },
    Filter { names: &["reject"], params: &["*args", "**kwargs"], takes_missing: false, run: |cx, v, b| pick(cx, v, b, false, false), doc: "The items that fail a test." },
    Filter { names: &["rejectattr"], params: &["*args", "**kwargs"], takes_missing: false, run: |cx, v, b| pick(cx, v, b, true, false), doc: "The items whose member fails a test." },
    Filter { names: &["select"], params: &["*args", "**kwargs"], takes_missing: false, run: |cx, v, b| pick(cx, v, b, false, true), doc: "The items that pass a test." },
    Filter { names: &["selectattr"], params: &["*args", "**kwargs"], takes_missing: false, run: |cx, v, b| pick(cx, v, b, true, true), doc: "The items whose member passes a test." },
    Filter { names: &["reverse"], params: &[], takes_missing: false, run: reverse, doc: "Backwards." },
    Filter { names: &["slice"], params: &["slices", "fill_with"], takes_missing: false, run: slice, doc: "In a number of lists." },
    Filter { names: &["sort"], params: &["reverse", "case_sensitive", "attribute"], takes_missing: false, run: sort, doc: "Sorted, by a member if one is named." },
    Filter { names: &["sum"], params: &["attribute", "start"], takes_missing: false, run: sum, doc: "All items added." },
    Filter { names: &["tojson"], params: &["indent"], takes_missing: false, run: to_json, doc: "As JSON that is safe in HTML." },
];

/// The member that a dotted name of a filter's argument means: `a.b`, `0`; more of them by commas.
pub(super) fn path_of(cx: &mut Cx<'_>, item: &Val, path: &Val, default: Option<&Val>) -> Res {
    let steps: Vec<Val> = match path {
        Val::Str(s) => s
            .split('.')
            .map(|p| p.parse::<i64>().ok().filter(|i| *i >= 0).map_or_else(|| Val::str(p), Val::Int))
            .collect(),
        other => vec![other.clone()],
    };
    let mut v = item.clone();
    for step in &steps {
        v = cx.member(&v, step)?;
        if v.is_missing()
            && let Some(d) = default
        {
            v = d.clone();
        }
    }
    Ok(v)
}

impl Cx<'_> {
    /// Sorts by a key, keeping the order of equals; kinds without an order are an error.
    pub fn sort(
        &mut self,
        items: &mut Vec<Val>,
        reverse: bool,
        mut key: impl FnMut(&mut Self, &Val) -> Res,
    ) -> Res<()> {
        let mut keyed = Vec::with_capacity(items.len());
        for item in items.drain(..) {
            keyed.push((key(self, &item)?, item));
        }
        let mut problem = None;
        keyed.sort_by(|(a, _), (b, _)| {
            if problem.is_some() {
                return Ordering::Equal;
            }
            match self.order(a, b, "<") {
                Ok(order) => {
                    let order = order.unwrap_or(Ordering::Equal);
                    if reverse { order.reverse() } else { order }
                }
                Err(e) => {
                    problem = Some(e);
                    Ordering::Equal
                }
            }
        });
        items.extend(keyed.into_iter().map(|(_, v)| v));
        problem.map_or(Ok(()), Err)
    }
}

/// What small and large letters do not tell apart.
pub(super) fn folded(v: Val) -> Val {
    match v {
        Val::Str(s) => Val::from(s.to_lowercase()),
        other => other,
    }
}

fn attr(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let name = b.need(0, "the filter 'attr'", "name")?.clone();
    match &v {
        Val::Object(_) => cx.member(&v, &name),
        // Jinja's `attr` never looks at keys; data has no other members.
        other => {
            let name = cx.text(&name)?;
            let message = format!("object of type '{}' has no attribute '{name}'", other.kind());
            let error = TemplateError::new(TemplateErrorKind::Undefined(name.clone()), message);
            Err(error.help(format!("for a key write ['{name}']")))
        }
    }
}

fn batch(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let n = b.int(0, "linecount")?.filter(|n| *n > 0);
    let Some(n) = n.and_then(|n| usize::try_from(n).ok()) else { return fail("linecount must be a positive number") };
    let items = cx.items(&v)?;
    let fill = b.some(1).cloned();
    let rows = items.chunks(n).map(|row| {
        let mut row = row.to_vec();
        if let Some(fill) = &fill {
            row.resize(n.min(1 << 20), fill.clone());
        }
        Val::list(row)
    });
    Ok(Val::list(rows.collect()))
}

fn dict_sort(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let case = b.flag(cx, 0, false)?;
    let by = b.text(cx, 1, "key")?;
    let reverse = b.flag(cx, 2, false)?;
    let place = match by.as_str() {
        "key" => 0,
        "value" => 1,
        _ => return fail("you can only sort by either 'key' or 'value'"),
    };
    let mut items: Vec<Val> = cx.pairs(&v)?.into_iter().map(|(k, v)| Val::tuple(vec![Val::of_key(&k), v])).collect();
    cx.sort(&mut items, reverse, |cx, pair| {
        let v = cx.member(pair, &Val::Int(place))?;
        Ok(if case { v } else { folded(v) })
    })?;
    Ok(Val::list(items))
}

fn first(cx: &mut Cx<'_>, v: Val, _: Bound) -> Res {
    match &v {
        Val::List(_) | Val::Tuple(_) | Val::Str(_) => match cx.find(&v, &Val::Int(0))? {
            Some(v) => Ok(v),
            None => nothing("first"),
        },
        other => match cx.items(other)?.into_iter().next() {
            Some(v) => Ok(v),
            None => nothing("first"),
        },
    }
}

fn last(cx: &mut Cx<'_>, v: Val, _: Bound) -> Res {
    match &v {
        Val::List(_) | Val::Tuple(_) | Val::Str(_) => match cx.find(&v, &Val::Int(-1))? {
            Some(v) => Ok(v),
            None => nothing("last"),
        },
        other => match cx.items(other)?.pop() {
            Some(v) => Ok(v),
            None => nothing("last"),
        },
    }
}

fn nothing(which: &str) -> Res {
    let message = format!("No {which} item, sequence was empty.");
    Ok(Val::missing(super::super::jinja::val::Missing::new("", message)))
}

fn group_by(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let path = b.need(0, "the filter 'groupby'", "attribute")?.clone();
    let case = b.flag(cx, 2, false)?;
    let default = b.some(1).cloned();
    let mut items = cx.items(&v)?;
    let mut key = |cx: &mut Cx<'_>, item: &Val| -> Res {
        let v = path_of(cx, item, &path, default.as_ref())?;
        Ok(if case { v } else { folded(v) })
    };
    cx.sort(&mut items, false, &mut key)?;
    let mut groups: Vec<(Val, Val, Vec<Val>)> = Vec::new();
    for item in items {
        let k = key(cx, &item)?;
        match groups.last_mut() {
            Some((last, _, group)) if cx.equal(last, &k)? => group.push(item),
            _ => {
                let shown = path_of(cx, &item, &path, default.as_ref())?;
                groups.push((k, shown, vec![item]));
            }
        }
    }
    Ok(Val::list(
        groups.into_iter().map(|(_, k, group)| Val::object(Group { grouper: k, list: Val::list(group) })).collect(),
    ))
}

/// A pair that also has the names `grouper` and `list`.
struct Group {
    grouper: Val,
    list: Val,
}

impl crate::vars::jinja::val::Object for Group {
    fn kind(&self) -> &'static str {
        "_GroupTuple"
    }
    fn member(&self, _cx: &mut Cx<'_>, key: &Val) -> Res<Option<Val>> {
        Ok(match (key.as_str(), key.as_int()) {
            (Some("grouper"), _) | (_, Some(0 | -2)) => Some(self.grouper.clone()),
            (Some("list"), _) | (_, Some(1 | -1)) => Some(self.list.clone()),
            _ => None,
        })
    }
    fn items(&self, _cx: &mut Cx<'_>) -> Res<Option<Vec<Val>>> {
        Ok(Some(vec![self.grouper.clone(), self.list.clone()]))
    }
    fn text(&self, cx: &mut Cx<'_>) -> Res<String> {
        cx.text(&Val::tuple(vec![self.grouper.clone(), self.list.clone()]))
    }
    fn value(&self, cx: &mut Cx<'_>) -> Res<crate::model::value::Value> {
        cx.value(&Val::tuple(vec![self.grouper.clone(), self.list.clone()]))
    }
    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

fn items(cx: &mut Cx<'_>, v: Val, _: Bound) -> Res {
    match &v {
        Val::Missing(_) => Ok(Val::list(Vec::new())),
        Val::Dict(_) | Val::Object(_) => {
            let pairs = cx.pairs(&v)?;
            Ok(Val::list(pairs.into_iter().map(|(k, v)| Val::tuple(vec![Val::of_key(&k), v])).collect()))
        }
        _ => fail("Can only get item pairs from a mapping."),
    }
}

fn join(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let sep = b.text(cx, 0, "")?;
    let attribute = b.some(1).cloned();
    let mut out = String::new();
    for (i, item) in cx.items(&v)?.iter().enumerate() {
        if i > 0 {
            out.push_str(&sep);
        }
        let item = match &attribute {
            Some(path) => path_of(cx, item, path, None)?,
            None => item.clone(),
        };
        out.push_str(&cx.text(&item)?);
        cx.fits_text(out.len())?;
    }
    cx.bounded_text(out.len())?;
    Ok(out.into())
}

fn map(cx: &mut Cx<'_>, v: Val, mut b: Bound) -> Res {
    let named = |b: &Bound, name: &str| b.named.iter().find(|(n, _)| &**n == name).map(|(_, v)| v.clone());
    let items = cx.items(&v)?;
    let mut out = Vec::with_capacity(items.len());
    if b.rest.is_empty()
        && let Some(path) = named(&b, "attribute")
    {
        let default = named(&b, "default");
        if let Some((n, _)) = b.named.iter().find(|(n, _)| !matches!(&**n, "attribute" | "default")) {
            return fail(format!("unexpected keyword argument '{n}'"));
        }
        for item in items {
            out.push(path_of(cx, &item, &path, default.as_ref())?);
        }
        return Ok(Val::list(out));
    }
    if b.rest.is_empty() {
        return fail("map requires a filter argument");
    }
    let name = b.rest.remove(0);
    let name = cx.text(&name)?;
    let Some(filter) = super::find(&name) else {
        return Err(TemplateError::new(TemplateErrorKind::Syntax, format!("there is no filter '{name}'")));
    };
    let args = Args { pos: b.rest, named: b.named };
    for item in items {
        cx.step()?;
        out.push(cx.filter(filter, &name, item, args.clone())?);
    }
    Ok(Val::list(out))
}

fn pick(cx: &mut Cx<'_>, v: Val, mut b: Bound, by_attribute: bool, keep: bool) -> Res {
    let path = if by_attribute {
        if b.rest.is_empty() {
            return fail("Missing parameter for attribute name");
        }
        Some(b.rest.remove(0))
    } else {
        None
    };
    let test: Option<(Arc<str>, _)> = if b.rest.is_empty() {
        None
    } else {
        let name = b.rest.remove(0);
        let name = cx.text(&name)?;
        match super::super::tests::find(&name) {
            Some(t) => Some((name.into(), t)),
            None => return Err(TemplateError::new(TemplateErrorKind::Syntax, format!("there is no test '{name}'"))),
        }
    };
    let args = Args { pos: b.rest, named: b.named };
    let mut out = Vec::new();
    for item in cx.items(&v)? {
        cx.step()?;
        let subject = match &path {
            Some(p) => path_of(cx, &item, p, None)?,
            None => item.clone(),
        };
        let passed = match &test {
            Some((name, test)) => {
                let result = cx.test(test, name, subject, args.clone())?;
                cx.truth(&result)?
            }
            None => cx.truth(&subject)?,
        };
        if passed == keep {
            out.push(item);
        }
    }
    Ok(Val::list(out))
}

fn reverse(cx: &mut Cx<'_>, v: Val, _: Bound) -> Res {
    if let Val::Str(s) = &v {
        return Ok(s.chars().rev().collect::<String>().into());
    }
    let mut items = cx.items(&v)?;
    items.reverse();
    Ok(Val::list(items))
}

fn slice(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let Some(n) = b.int(0, "slices")?.filter(|n| (1..1_000_000).contains(n)).map(|n| n as usize) else {
        return fail("slices must be a positive number");
    };
    let items = cx.items(&v)?;
    let (per, extra) = (items.len() / n, items.len() % n);
    let mut out = Vec::new();
    let mut at = 0;
    for i in 0..n {
        let size = per + usize::from(i < extra);
        let mut row = items[at..at + size].to_vec();
        at += size;
        if let Some(fill) = b.some(1)
            && i >= extra
        {
            row.push(fill.clone());
        }
        out.push(Val::list(row));
    }
    Ok(Val::list(out))
}

fn sort(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let (reverse, case) = (b.flag(cx, 0, false)?, b.flag(cx, 1, false)?);
    let paths: Option<Vec<Val>> = match b.some(2) {
        Some(Val::Str(s)) => Some(s.split(',').map(Val::str).collect()),
        Some(other) => Some(vec![other.clone()]),
        None => None,
    };
    let mut items = cx.items(&v)?;
    cx.sort(&mut items, reverse, |cx, item| {
        let fold = |v: Val| if case { v } else { folded(v) };
        Ok(match &paths {
            None => fold(item.clone()),
            Some(paths) => {
                let mut keys = Vec::new();
                for p in paths {
                    keys.push(fold(path_of(cx, item, p, None)?));
                }
                Val::list(keys)
            }
        })
    })?;
    Ok(Val::list(items))
}

fn sum(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let mut total = b.get(1).cloned().unwrap_or(Val::Int(0));
    for item in cx.items(&v)? {
        let item = match b.some(0) {
            Some(p) => path_of(cx, &item, p, None)?,
            None => item,
        };
        total = cx.math(super::super::jinja::tree::Math::Add, &total, &item)?;
    }
    Ok(total)
}

fn to_json(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let value = cx.value(&v)?;
    let indent = b.int(0, "indent")?;
    let text = super::data::json(&value, indent.and_then(|n| usize::try_from(n).ok()), true);
    let safe = text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026").replace('\'', "\\u0027");
    Ok(safe.into())
}
