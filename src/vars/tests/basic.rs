//! Jinja's own tests: kinds, comparisons, `defined`.

use super::super::error::fail;
use super::super::jinja::eval::Cx;
use super::super::jinja::tree::{Compare, Test};
use super::super::jinja::val::{Bound, Res, Val};

#[rustfmt::skip]
pub(super) const ALL: &[Test] = &[
    Test { names: &["defined"], params: &[], takes_missing: true, run: |_, v, _| Ok(!v.is_missing()), doc: "There is such a variable." },
    Test { names: &["undefined"], params: &[], takes_missing: true, run: |_, v, _| Ok(v.is_missing()), doc: "There is no such variable." },
    Test { names: &["none"], params: &[], takes_missing: false, run: |_, v, _| Ok(v.is_null()), doc: "It is null." },
    Test { names: &["boolean"], params: &[], takes_missing: false, run: |_, v, _| Ok(matches!(v, Val::Bool(_))), doc: "It is true or false." },
    Test { names: &["true"], params: &[], takes_missing: false, run: |_, v, _| Ok(matches!(v, Val::Bool(true))), doc: "It is the boolean true." },
    Test { names: &["false"], params: &[], takes_missing: false, run: |_, v, _| Ok(matches!(v, Val::Bool(false))), doc: "It is the boolean false." },
    Test { names: &["integer"], params: &[], takes_missing: false, run: |_, v, _| Ok(matches!(v, Val::Int(_))), doc: "It is a whole number." },
    Test { names: &["float"], params: &[], takes_missing: false, run: |_, v, _| Ok(matches!(v, Val::Float(_))), doc: "It is a number with a fraction." },
    Test { names: &["number"], params: &[], takes_missing: false, run: |_, v, _| Ok(v.as_number().is_some()), doc: "It is a number." },
    Test { names: &["string"], params: &[], takes_missing: false, run: |_, v, _| Ok(v.as_str().is_some()), doc: "It is a text." },
    Test { names: &["mapping"], params: &[], takes_missing: false, run: |_, v, _| Ok(is_mapping(&v)), doc: "It is a dictionary." },
    Test { names: &["sequence"], params: &[], takes_missing: false, run: |_, v, _| Ok(is_iterable(&v)), doc: "It has a length and members: a list, text or dictionary." },
    Test { names: &["iterable"], params: &[], takes_missing: false, run: |_, v, _| Ok(is_iterable(&v)), doc: "One can loop over it." },
    Test { names: &["callable"], params: &[], takes_missing: false, run: |_, v, _| Ok(matches!(&v, Val::Object(o) if matches!(o.kind(), "function" | "Macro" | "method"))), doc: "It can be called." },
    Test { names: &["sameas"], params: &["other"], takes_missing: false, run: same, doc: "It is the very same thing." },
    Test { names: &["escaped"], params: &[], takes_missing: false, run: |_, _, _| Ok(false), doc: "It is marked as safe HTML; nothing is, in Ansible." },
    Test { names: &["lower"], params: &[], takes_missing: false, run: |cx, v, _| { let t = cx.text(&v)?; Ok(t.chars().any(char::is_lowercase) && !t.chars().any(char::is_uppercase)) }, doc: "All its letters are small." },
    Test { names: &["upper"], params: &[], takes_missing: false, run: |cx, v, _| { let t = cx.text(&v)?; Ok(t.chars().any(char::is_uppercase) && !t.chars().any(char::is_lowercase)) }, doc: "All its letters are large." },
    Test { names: &["even"], params: &[], takes_missing: false, run: |_, v, _| Ok(whole(&v)? % 2 == 0), doc: "It is even." },
    Test { names: &["odd"], params: &[], takes_missing: false, run: |_, v, _| Ok(whole(&v)? % 2 != 0), doc: "It is odd." },
    Test { names: &["divisibleby"], params: &["num"], takes_missing: false, run: divisible, doc: "It can be divided by a number." },
    Test { names: &["eq", "equalto", "=="], params: &["other"], takes_missing: false, run: |cx, v, b| against(cx, v, b, Compare::Eq), doc: "It equals another value." },
    Test { names: &["ne", "!="], params: &["other"], takes_missing: false, run: |cx, v, b| against(cx, v, b, Compare::Ne), doc: "It does not equal another value." },
    Test { names: &["lt", "lessthan", "<"], params: &["other"], takes_missing: false, run: |cx, v, b| against(cx, v, b, Compare::Lt), doc: "It is less than another value." },
    Test { names: &["le", "<="], params: &["other"], takes_missing: false, run: |cx, v, b| against(cx, v, b, Compare::Le), doc: "It is not more than another value." },
    Test { names: &["gt", "greaterthan", ">"], params: &["other"], takes_missing: false, run: |cx, v, b| against(cx, v, b, Compare::Gt), doc: "It is more than another value." },
    Test { names: &["ge", ">="], params: &["other"], takes_missing: false, run: |cx, v, b| against(cx, v, b, Compare::Ge), doc: "It is not less than another value." },
    Test { names: &["in"], params: &["seq"], takes_missing: false, run: |cx, v, b| against(cx, v, b, Compare::In), doc: "A list, text or dictionary has it." },
    Test { names: &["filter"], params: &[], takes_missing: false, run: |cx, v, _| { let n = cx.text(&v)?; Ok(super::super::filters::find(&n).is_some()) }, doc: "There is a filter of this name." },
    Test { names: &["test"], params: &[], takes_missing: false, run: |cx, v, _| { let n = cx.text(&v)?; Ok(super::find(&n).is_some()) }, doc: "There is a test of this name." },
];

fn is_mapping(v: &Val) -> bool {
    matches!(v, Val::Dict(_)) || matches!(v, Val::Object(o) if o.is_mapping())
}

fn is_iterable(v: &Val) -> bool {
    match v {
        Val::List(_) | Val::Tuple(_) | Val::Dict(_) | Val::Str(_) => true,
        Val::Object(o) => o.is_mapping() || o.kind() == "range",
        _ => false,
    }
}

fn same(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res<bool> {
    let other = b.need(0, "the test 'sameas'", "other")?;
    Ok(match (&v, other) {
        (Val::List(a), Val::List(b)) => std::rc::Rc::ptr_eq(a, b),
        (Val::Dict(a), Val::Dict(b)) => std::rc::Rc::ptr_eq(a, b),
        (a, b) => a.kind() == b.kind() && cx.equal(a, b)?,
    })
}

fn whole(v: &Val) -> Res<i64> {
    match v.as_int() {
        Some(i) => Ok(i),
        None => match v {
            Val::Float(x) if x.fract() == 0.0 => Ok(*x as i64),
            // A fraction is neither even nor odd; Python says odd.
            Val::Float(_) => Ok(1),
            other => fail(format!("a number is needed, not {}", other.described())),
        },
    }
}

fn divisible(_: &mut Cx<'_>, v: Val, b: Bound) -> Res<bool> {
    let by = whole(b.need(0, "the test 'divisibleby'", "num")?)?;
    match whole(&v)?.checked_rem(by) {
        Some(rest) => Ok(rest == 0),
        None => fail("division by zero"),
    }
}

fn against(cx: &mut Cx<'_>, v: Val, b: Bound, op: Compare) -> Res<bool> {
    let other = b.need(0, "a comparison", "other")?.clone();
    cx.compare(op, &v, &other)
}
