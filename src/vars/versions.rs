//! Comparison of version numbers in the four ways that the `version` test knows.

use std::cmp::Ordering;

/// How a version is read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scheme {
    /// Numbers and words in turn, whatever they are: `1.5.1b2`.
    Loose,
    /// Two or three numbers, and perhaps `a1` or `b1`.
    Strict,
    /// Semantic versioning 2.0.0.
    Semantic,
    /// Python's PEP 440.
    Pep440,
}

/// The order of two versions, or why it cannot be told.
pub fn compare(a: &str, b: &str, scheme: Scheme) -> Result<Ordering, String> {
    match scheme {
        Scheme::Loose => loose(a, b),
        Scheme::Strict => Ok(strict(a)?.cmp(&strict(b)?)),
        Scheme::Semantic => Ok(semantic(a)?.cmp(&semantic(b)?)),
        Scheme::Pep440 => Ok(pep440(a)?.cmp(&pep440(b)?)),
    }
}

/// Runs of digits, runs of small letters, and what else there is between dots.
fn loose(a: &str, b: &str) -> Result<Ordering, String> {
    #[derive(Debug)]
    enum Part {
        Number(u128),
        Word(String),
    }
    fn parts(text: &str) -> Vec<Part> {
        let mut out: Vec<Part> = Vec::new();
        let mut run = String::new();
        let kind = |c: char| {
            if c.is_ascii_digit() {
                0
            } else if c.is_ascii_lowercase() {
                1
            } else if c == '.' {
                2
            } else {
                3
            }
        };
        let mut flush = |run: &mut String| {
            if !run.is_empty() {
                let part = run.parse().map_or_else(|_| Part::Word(run.clone()), Part::Number);
                out.push(part);
                run.clear();
            }
        };
        let mut last = 2;
        for c in text.chars() {
            let k = kind(c);
            if k != last {
                flush(&mut run);
            }
            if k != 2 {
                run.push(c);
            }
            last = k;
        }
        flush(&mut run);
        out
    }
    let (x, y) = (parts(a), parts(b));
    for (p, q) in x.iter().zip(&y) {
        let order = match (p, q) {
            (Part::Number(p), Part::Number(q)) => p.cmp(q),
            (Part::Word(p), Part::Word(q)) => p.cmp(q),
            _ => {
                return Err(format!("'{a}' and '{b}' cannot be compared: one has a number where the other has a word"));
            }
        };
        if order != Ordering::Equal {
            return Ok(order);
        }
    }
    Ok(x.len().cmp(&y.len()))
}

fn number(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Three numbers, whether it is final, and the pre-release.
type Strict = (Vec<u64>, bool, Option<(char, u64)>);

fn strict(text: &str) -> Result<Strict, String> {
    let wrong = || format!("invalid version number '{text}'");
    let (numbers, pre) = match text.find(['a', 'b']) {
        Some(i) => {
            let kind = if text[i..].starts_with('a') { 'a' } else { 'b' };
            (&text[..i], Some((kind, number(&text[i + 1..]).filter(|_| text.len() > i + 1).ok_or_else(wrong)?)))
        }
        None => (text, None),
    };
    let mut parts = numbers
        .split('.')
        .map(|p| number(p).filter(|_| !p.is_empty()))
        .collect::<Option<Vec<_>>>()
        .ok_or_else(wrong)?;
    if !(2..=3).contains(&parts.len()) {
        return Err(wrong());
    }
    parts.resize(3, 0);
    // Without a pre-release comes after with one.
    Ok((parts, pre.is_none(), pre))
}

/// A part of a pre-release: numbers come before words.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Identifier {
    Number(u64),
    Word(String),
}

fn semantic(text: &str) -> Result<([u64; 3], bool, Vec<Identifier>), String> {
    let wrong = || format!("invalid semantic version '{text}'");
    let core = text.split('+').next().unwrap_or("");
    let (core, pre) = match core.split_once('-') {
        Some((c, p)) => (c, Some(p)),
        None => (core, None),
    };
    let parts: Vec<u64> = core
        .split('.')
        .map(|p| number(p).filter(|_| !p.is_empty() && (p == "0" || !p.starts_with('0'))))
        .collect::<Option<_>>()
        .ok_or_else(wrong)?;
    let numbers: [u64; 3] = parts.try_into().map_err(|_| wrong())?;
    let identifiers = pre.map_or(Vec::new(), |p| {
        p.split('.').map(|i| number(i).map_or_else(|| Identifier::Word(i.to_owned()), Identifier::Number)).collect()
    });
    if pre.is_some_and(|p| {
        p.split('.').any(|i| i.is_empty() || i.contains(|c: char| !c.is_ascii_alphanumeric() && c != '-'))
    }) {
        return Err(wrong());
    }
    Ok((numbers, pre.is_none(), identifiers))
}

/// Epoch, release without trailing zeros, then the keys of pre, post, development release and local version.
type Pep440 = (u64, Vec<u64>, (i8, String, u64), (i8, u64), (i8, u64), Vec<Identifier>);

fn pep440(text: &str) -> Result<Pep440, String> {
    let wrong = || format!("invalid version '{text}'");
    let lower = text.trim().to_lowercase();
    let rest = lower.strip_prefix('v').unwrap_or(&lower);
    let (rest, local) = match rest.split_once('+') {
        Some((r, l)) => (r, Some(l)),
        None => (rest, None),
    };
    let (epoch, mut rest) = match rest.split_once('!') {
        Some((e, r)) => (number(e).filter(|_| !e.is_empty()).ok_or_else(wrong)?, r),
        None => (0, rest),
    };
    fn take_number(rest: &mut &str) -> Option<u64> {
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let n = rest[..end].parse().ok()?;
        *rest = &rest[end..];
        Some(n)
    }
    let mut release = vec![take_number(&mut rest).ok_or_else(wrong)?];
    while let Some(r) = rest.strip_prefix('.').filter(|r| r.starts_with(|c: char| c.is_ascii_digit())) {
        rest = r;
        release.push(take_number(&mut rest).ok_or_else(wrong)?);
    }
    while release.len() > 1 && release.last() == Some(&0) {
        release.pop();
    }
    let (mut pre, mut post, mut dev): (Option<(&str, u64)>, Option<u64>, Option<u64>) = (None, None, None);
    while !rest.is_empty() {
        let at = rest.trim_start_matches(['.', '-', '_']);
        let mut word = |names: &[(&str, &'static str)]| -> Option<(&'static str, u64)> {
            let (name, kind) = names.iter().find(|(n, _)| at.starts_with(n))?;
            let mut tail = &at[name.len()..];
            let digits = tail.trim_start_matches(['.', '-', '_']);
            if digits.starts_with(|c: char| c.is_ascii_digit()) {
                tail = digits;
            }
            let n = take_number(&mut tail).unwrap_or(0);
            rest = tail;
            Some((kind, n))
        };
        const PRE: &[(&str, &str)] = &[
            ("alpha", "a"),
            ("beta", "b"),
            ("preview", "rc"),
            ("pre", "rc"),
            ("rc", "rc"),
            ("a", "a"),
            ("b", "b"),
            ("c", "rc"),
        ];
        if let Some(p) = word(PRE) {
            pre = Some(p);
        } else if let Some((_, n)) = word(&[("post", ""), ("rev", ""), ("r", "")]) {
            post = Some(n);
        } else if let Some((_, n)) = word(&[("dev", "")]) {
            dev = Some(n);
        } else if let Some(mut digits) = rest.strip_prefix('-') {
            post = Some(take_number(&mut digits).ok_or_else(wrong)?);
            rest = digits;
        } else {
            return Err(wrong());
        }
    }
    // A development release of a final version comes before its pre-releases.
    let pre_key = match (pre, post, dev) {
        (Some((kind, n)), ..) => (0, kind.to_owned(), n),
        (None, None, Some(_)) => (-1, String::new(), 0),
        _ => (1, String::new(), 0),
    };
    let local = local.map_or(Vec::new(), |l| {
        // Here words come before numbers; the numbers' kind is the greater.
        l.split(['.', '-', '_'])
            .map(|p| {
                number(p)
                    .map_or_else(|| Identifier::Word(p.to_owned()), |n| Identifier::Word(format!("\u{10ffff}{n:020}")))
            })
            .collect()
    });
    Ok((epoch, release, pre_key, post.map_or((-1, 0), |n| (0, n)), dev.map_or((1, 0), |n| (0, n)), local))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_scheme_orders_its_own_way() {
        let less = |a, b, s| assert_eq!(compare(a, b, s), Ok(Ordering::Less), "{a} < {b} {s:?}");
        less("1.5.1", "1.5.1b2", Scheme::Loose);
        less("9", "10", Scheme::Loose);
        less("1.2a1", "1.2", Scheme::Strict);
        less("1.0.0-alpha.1", "1.0.0-alpha.beta", Scheme::Semantic);
        less("1.0.0-rc.1", "1.0.0", Scheme::Semantic);
        for pair in
            ["1.0.dev1", "1.0a1", "1.0a2.dev3", "1.0a2", "1.0b1", "1.0rc1", "1.0", "1.0.post1.dev1", "1.0.post1", "1.1"]
                .windows(2)
        {
            less(pair[0], pair[1], Scheme::Pep440);
        }
        assert_eq!(compare("1.0", "1.0.0", Scheme::Pep440), Ok(Ordering::Equal));
        assert!(compare("1.x", "1.2", Scheme::Loose).is_err());
        assert!(compare("1", "1.2", Scheme::Strict).is_err());
    }
}
