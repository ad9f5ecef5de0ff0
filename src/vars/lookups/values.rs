//! Lookups of variables and of the environment.

use super::super::error::fail;
use super::super::jinja::eval::Cx;
use super::super::jinja::tree::Lookup;
use super::super::jinja::val::{Args, Missing, Res, Val};

pub(super) const ALL: &[Lookup] = &[
    Lookup { names: &["vars"], options: &["default"], run: vars, doc: "Variables by name." },
    Lookup { names: &["env"], options: &["default"], run: env, doc: "Variables of the control node's environment." },
    Lookup { names: &["varnames"], options: &[], run: var_names, doc: "The names of variables that match a pattern." },
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
                other => fail(format!("a variable's name must be a string, not {}", other.described())),
            };
        };
        out.push(match cx.variable(name)? {
            Some(v) if !(v.is_missing() && named(&args, "default").is_some()) => v,
            _ => match named(&args, "default") {
                Some(d) => d,
                None => Val::missing(Missing::new(&**name, format!("No variable named '{name}' was found."))),
            },
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
        let pattern = cx.text(t)?;
        let Ok(regex) = fancy_regex::Regex::new(&pattern) else { return fail(format!("'{pattern}' is not a pattern")) };
        out.extend(
            cx.scope.names().iter().filter(|n| regex.is_match(&***n).unwrap_or(false)).map(|n| Val::Str(n.clone())),
        );
    }
    Ok(out)
}
