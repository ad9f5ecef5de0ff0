//! Tests on registered results: failed, changed, skipped and their kin.

use super::super::error::fail;
use super::super::jinja::eval::Cx;
use super::super::jinja::tree::Test;
use super::super::jinja::val::{Bound, Res, Val};

#[rustfmt::skip]
pub(super) const ALL: &[Test] = &[
    Test { names: &["failed", "failure"], params: &[], takes_missing: false, run: |cx, v, _| failed(cx, &v), doc: "The task failed." },
    Test { names: &["succeeded", "success", "successful"], params: &[], takes_missing: false, run: |cx, v, _| Ok(!failed(cx, &v)?), doc: "The task did not fail." },
    Test { names: &["changed", "change"], params: &[], takes_missing: false, run: |cx, v, _| changed(cx, &v), doc: "The task changed something." },
    Test { names: &["skipped", "skip"], params: &[], takes_missing: false, run: |cx, v, _| member(cx, &v, "skipped"), doc: "The task was skipped." },
    Test { names: &["unreachable"], params: &[], takes_missing: false, run: |cx, v, _| member(cx, &v, "unreachable"), doc: "The host did not answer." },
    Test { names: &["reachable"], params: &[], takes_missing: false, run: |cx, v, _| Ok(!member(cx, &v, "unreachable")?), doc: "The host answered." },
    Test { names: &["timedout"], params: &[], takes_missing: false, run: timed_out, doc: "The task ran out of its time." },
    Test { names: &["started"], params: &[], takes_missing: false, run: |cx, v, _| job(cx, &v, "started", true), doc: "The asynchronous job has started." },
    Test { names: &["finished"], params: &[], takes_missing: false, run: |cx, v, _| job(cx, &v, "finished", true), doc: "The asynchronous job has ended." },
];

/// Whether a member of a result is there and true.
fn member(cx: &mut Cx<'_>, v: &Val, name: &str) -> Res<bool> {
    dictionary(v, name)?;
    match cx.find(v, &Val::str(name))? {
        Some(m) => cx.truth(&m),
        None => Ok(false),
    }
}

fn dictionary(v: &Val, what: &str) -> Res<()> {
    match v {
        Val::Dict(_) | Val::Object(_) => Ok(()),
        other => fail(format!("'{what}' needs a registered result (a dictionary), not {}", other.described())),
    }
}

fn failed(cx: &mut Cx<'_>, v: &Val) -> Res<bool> {
    member(cx, v, "failed")
}

fn changed(cx: &mut Cx<'_>, v: &Val) -> Res<bool> {
    dictionary(v, "changed")?;
    if cx.find(v, &Val::str("changed"))?.is_some() {
        return member(cx, v, "changed");
    }
    // The result of a loop counts as changed if one item was.
    if let Some(results @ Val::List(_)) = cx.find(v, &Val::str("results"))? {
        for r in cx.items(&results)? {
            if matches!(r, Val::Dict(_)) && member(cx, &r, "changed")? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn timed_out(cx: &mut Cx<'_>, v: Val, _: Bound) -> Res<bool> {
    dictionary(&v, "timedout")?;
    match cx.find(&v, &Val::str("timedout"))? {
        Some(t @ Val::Dict(_)) => member(cx, &t, "period"),
        _ => Ok(false),
    }
}

fn job(cx: &mut Cx<'_>, v: &Val, name: &str, otherwise: bool) -> Res<bool> {
    dictionary(v, name)?;
    match cx.find(v, &Val::str(name))? {
        Some(m) => cx.truth(&m),
        // A result that is not of an asynchronous job.
        None => Ok(otherwise),
    }
}
