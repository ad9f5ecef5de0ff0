//! The lookups, a file for each family. They run on the control node, through [`super::template::Control`].

mod files;
mod keyed;
mod values;
mod web;

use super::error::{TemplateError, TemplateErrorKind, fail};
use super::jinja::eval::Cx;
use super::jinja::tree::Lookup;
use super::jinja::val::{Args, Res, Val};

const FAMILIES: &[&[Lookup]] = &[values::ALL, files::ALL, keyed::ALL, web::ALL];

/// A lookup by its short or full name.
pub(super) fn find(name: &str) -> Option<&'static Lookup> {
    let bare = name.strip_prefix("ansible.builtin.").or_else(|| name.strip_prefix("ansible.legacy.")).unwrap_or(name);
    FAMILIES.iter().copied().flatten().find(|l| l.names.contains(&bare))
}

/// All names, for suggestions.
pub fn names() -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().copied().flatten().flat_map(|l| l.names.iter().copied())
}

/// Every lookup once, with its names and what it does, for the documentation.
pub fn documented() -> impl Iterator<Item = (&'static [&'static str], &'static str)> {
    FAMILIES.iter().copied().flatten().map(|f| (f.names, f.doc))
}

/// `lookup('name', terms…)`; `query` always gives a list.
pub(super) fn call(cx: &mut Cx<'_>, query: bool, mut args: Args) -> Res {
    if args.pos.is_empty() {
        return fail("a lookup needs a name");
    }
    let name = args.pos.remove(0);
    let name = cx.text(&name)?;
    let Some(lookup) = find(&name) else {
        let error = TemplateError::new(TemplateErrorKind::Syntax, format!("there is no lookup '{name}'"));
        return Err(match crate::model::mistake::nearest(&name, names()) {
            Some(near) => error.help(format!("did you mean '{near}'?")),
            None => error,
        });
    };
    let mut take = |key: &str| match args.named.iter().position(|(n, _)| &**n == key) {
        Some(i) => Some(args.named.remove(i).1),
        None => None,
    };
    let (wants_list, errors) = (take("wantlist"), take("errors"));
    let wants_list = query
        || match wants_list {
            Some(v) => cx.truth(&v)?,
            None => false,
        };
    let errors = match errors {
        Some(v) => cx.text(&v)?,
        None => "strict".into(),
    };
    if !matches!(errors.as_str(), "strict" | "warn" | "ignore") {
        return fail("'errors' must be strict, warn or ignore");
    }
    let takes_missing = matches!(lookup.names[0], "vars" | "first_found" | "env");
    if !takes_missing && let Some(m) = args.missing() {
        return Ok(Val::Missing(m.clone()));
    }
    if let Some((n, _)) =
        args.named.iter().find(|(n, _)| !lookup.options.contains(&&**n) && !lookup.options.contains(&"**"))
    {
        return fail(format!("the lookup '{name}' has no option '{n}'"));
    }
    let terms = std::mem::take(&mut args.pos);
    let found = match (lookup.run)(cx, terms, args) {
        Ok(found) => found,
        Err(e) if errors != "strict" && e.kind == TemplateErrorKind::Other => {
            return Ok(if wants_list { Val::list(Vec::new()) } else { Val::Null });
        }
        Err(mut e) => {
            if e.kind == TemplateErrorKind::Other && e.span.is_none() && !e.message.starts_with("the lookup") {
                e.message = format!("the lookup '{name}' failed: {}", e.message);
            }
            return Err(e);
        }
    };
    if wants_list {
        return Ok(Val::list(found));
    }
    // Not asked for a list: one item is itself, texts are joined by commas, anything else stays a list.
    Ok(match found.as_slice() {
        [one] => one.clone(),
        many if !many.is_empty() && many.iter().all(|v| v.as_str().is_some()) => {
            Val::from(many.iter().filter_map(Val::as_str).collect::<Vec<_>>().join(","))
        }
        _ => Val::list(found),
    })
}
