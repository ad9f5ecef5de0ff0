//! Python's slices of texts, lists and tuples.

use super::eval::Cx;
use super::val::{Res, Val};
use crate::vars::error::fail;

/// `of[start:stop:step]`.
pub fn slice(cx: &mut Cx<'_>, of: &Val, start: &Val, stop: &Val, step: &Val) -> Res {
    for v in [of, start, stop, step] {
        if let Val::Missing(m) = v {
            return Ok(Val::Missing(m.clone()));
        }
    }
    let number = |v: &Val| match v {
        Val::Null => Ok(None),
        other => match other.as_int() {
            Some(i) => Ok(Some(i)),
            None => fail("slice indices must be integers or None"),
        },
    };
    let (start, stop, step) = (number(start)?, number(stop)?, number(step)?.unwrap_or(1));
    if step == 0 {
        return fail("slice step cannot be zero");
    }
    match of {
        Val::Str(s) => {
            let chars: Vec<char> = s.chars().collect();
            Ok(Val::from(places(chars.len(), start, stop, step).map(|i| chars[i]).collect::<String>()))
        }
        Val::List(_) | Val::Tuple(_) => {
            let items = cx.items(of)?;
            let picked = places(items.len(), start, stop, step).map(|i| items[i].clone()).collect();
            Ok(if matches!(of, Val::List(_)) { Val::list(picked) } else { Val::tuple(picked) })
        }
        Val::Object(_) => {
            let items = cx.items(of)?;
            Ok(Val::list(places(items.len(), start, stop, step).map(|i| items[i].clone()).collect()))
        }
        // Jinja asks for the member first, and a type without slices has none.
        other => Ok(Val::missing(super::val::Missing::new(
            "",
            format!("object of type '{}' cannot be sliced", other.kind()),
        ))),
    }
}

/// The indices that a slice of something `len` long picks.
pub fn places(len: usize, start: Option<i64>, stop: Option<i64>, step: i64) -> impl Iterator<Item = usize> {
    let len = len as i64;
    // Bounds as CPython clamps them: [0, len] forwards, [-1, len - 1] backwards.
    let (low, high) = if step > 0 { (0, len) } else { (-1, len - 1) };
    let clamp = |v: Option<i64>, default: i64| match v {
        None => default,
        Some(v) => (if v < 0 { v.saturating_add(len) } else { v }).clamp(low, high),
    };
    let (from, to) =
        if step > 0 { (clamp(start, low), clamp(stop, high)) } else { (clamp(start, high), clamp(stop, low)) };
    let mut at = from;
    std::iter::from_fn(move || {
        let inside = if step > 0 { at < to } else { at > to };
        let here = inside.then_some(at as usize);
        at = at.saturating_add(step);
        here
    })
}

#[cfg(test)]
mod tests {
    use super::places;

    #[test]
    fn as_python() {
        let p = |a, b, s| places(5, a, b, s).collect::<Vec<_>>();
        assert_eq!(p(None, None, 1), [0, 1, 2, 3, 4]);
        assert_eq!(p(Some(1), Some(-1), 1), [1, 2, 3]);
        assert_eq!(p(None, None, -1), [4, 3, 2, 1, 0]);
        assert_eq!(p(Some(-2), None, -2), [3, 1]);
        assert_eq!(p(Some(9), None, 1), [0usize; 0]);
        assert_eq!(p(Some(9), Some(-9), -3), [4, 1]);
    }
}
