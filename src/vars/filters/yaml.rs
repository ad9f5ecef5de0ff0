//! `to_yaml` and `to_nice_yaml`.

use crate::model::yaml::{self, Options, Style};
use crate::vars::error::fail;
use crate::vars::jinja::eval::Cx;
use crate::vars::jinja::tree::Filter;
use crate::vars::jinja::val::{Bound, Res, Val};

const PARAMS: &[&str] = &[
    "default_flow_style",
    "indent",
    "width",
    "sort_keys",
    "allow_unicode",
    "explicit_start",
    "explicit_end",
    "default_style",
    "line_break",
    "canonical",
];

#[rustfmt::skip]
pub(super) const ALL: &[Filter] = &[
    Filter { names: &["to_yaml"], params: PARAMS, takes_missing: false, run: |cx, v, b| dump(cx, v, b, None, 2), doc: "As YAML; innermost lists and dictionaries on one line." },
    Filter { names: &["to_nice_yaml"], params: &["indent", "default_flow_style", "width", "sort_keys", "allow_unicode", "explicit_start", "explicit_end", "default_style", "line_break", "canonical"], takes_missing: false, run: nice, doc: "As YAML, every item on its own line, indented by 4." },
];

fn nice(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    // The same but for the first two parameters, which are the other way round.
    dump(cx, v, b, Some(false), 4)
}

fn dump(cx: &mut Cx<'_>, v: Val, b: Bound, flow: Option<bool>, indent: usize) -> Res {
    let (flow_at, indent_at) = if flow.is_none() { (0, 1) } else { (1, 0) };
    let style = match b.some(7).map(|s| cx.text(s)).transpose()?.as_deref() {
        None | Some("") => Style::Plain,
        Some("'") => Style::Single,
        Some("\"") => Style::Double,
        Some("|") => Style::Literal,
        Some(">") => Style::Folded,
        Some(odd) => return fail(format!("'default_style' must be one of ' \" | >, not {odd}")),
    };
    let line_break = match b.some(8).map(|s| cx.text(s)).transpose()?.as_deref() {
        Some("\r") => "\r",
        Some("\r\n") => "\r\n",
        _ => "\n",
    };
    let value = cx.value(&v)?;
    let flow = match b.get(flow_at) {
        None => flow,
        Some(Val::Null) => None,
        Some(v) => Some(cx.truth(v)?),
    };
    let indent = b.int(indent_at, "indent")?.and_then(|n| usize::try_from(n).ok()).unwrap_or(indent);
    let width = match b.int(2, "width")? {
        // A negative or very large width never folds.
        Some(n) => usize::try_from(n).unwrap_or(usize::MAX),
        None => 80,
    };
    let options = Options {
        indent: if (2..10).contains(&indent) { indent } else { 2 },
        width: if width > indent * 2 { width } else { 80 },
        flow,
        sort: b.flag(cx, 3, true)?,
        unicode: b.flag(cx, 4, true)?,
        style,
        line_break,
        canonical: b.flag(cx, 9, false)?,
        start: b.flag(cx, 5, false)?,
        end: b.flag(cx, 6, false)?,
        ..Options::default()
    };
    Ok(yaml::write(&value, options).into())
}
