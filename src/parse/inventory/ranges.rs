//! Host names as inventories write them: with a port, and with ranges (`web[01:10:2]`, `db[a:f]`).

/// More hosts than this from one pattern are a slip of the pen.
const MAX_HOSTS: usize = 100_000;

/// The names that a pattern stands for, and the port behind it. The error is one line for people.
pub(super) fn expand(pattern: &str) -> Result<(Vec<String>, Option<u16>), String> {
    let (name, port) = split_port(pattern)?;
    let mut names = Vec::new();
    unroll(name, &mut names)?;
    Ok((names, port))
}

/// Splits `name:port` and `[address]:port`; a bare IPv6 address has no port.
fn split_port(pattern: &str) -> Result<(&str, Option<u16>), String> {
    let number =
        |text: &str| text.parse::<u16>().map_err(|_| format!("`{text}` is not a port: ports are numbers up to 65535"));
    if let Some((inner, port)) = pattern.strip_prefix('[').and_then(|p| p.rsplit_once("]:"))
        && !port.is_empty()
        && port.bytes().all(|b| b.is_ascii_digit())
        // `[a:c]:22` is not an address in brackets, `[::1]:22` is.
        && !inner.contains(['[', ']'])
    {
        return Ok((inner, Some(number(port)?)));
    }
    // Colons inside of brackets belong to ranges.
    let mut depth = 0usize;
    let mut colons = Vec::new();
    for (at, c) in pattern.char_indices() {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            ':' if depth == 0 => colons.push(at),
            _ => {}
        }
    }
    match colons.as_slice() {
        [at] => {
            let port = &pattern[at + 1..];
            if port.is_empty() {
                return Err("a `:` at the end of a host needs a port behind it".into());
            }
            if port.bytes().all(|b| b.is_ascii_digit()) {
                return Ok((&pattern[..*at], Some(number(port)?)));
            }
            Ok((pattern, None))
        }
        _ => Ok((pattern, None)),
    }
}

fn unroll(pattern: &str, names: &mut Vec<String>) -> Result<(), String> {
    let Some((head, rest)) = pattern.split_once('[') else {
        if names.len() >= MAX_HOSTS {
            return Err(format!("this range gives more than {MAX_HOSTS} hosts"));
        }
        names.push(pattern.to_owned());
        return Ok(());
    };
    let Some((range, tail)) = rest.split_once(']') else { return Err("the `]` of this range is missing".into()) };
    let bounds: Vec<&str> = range.split(':').collect();
    let (from, to, step) = match bounds.as_slice() {
        [from, to] => (*from, *to, 1),
        [from, to, step] => {
            let step = step.parse::<usize>().ok().filter(|s| *s > 0);
            (*from, *to, step.ok_or("the step of a range is a number from 1 up")?)
        }
        _ => return Err(format!("`[{range}]` is no range: write [first:last] or [first:last:step]")),
    };
    let from = if from.is_empty() { "0" } else { from };
    if to.is_empty() {
        return Err("a range needs its last value: [first:last]".into());
    }
    for member in members(from, to, step)? {
        unroll(&format!("{head}{member}{tail}"), names)?;
    }
    Ok(())
}

fn members(from: &str, to: &str, step: usize) -> Result<Vec<String>, String> {
    let letter = |text: &str| match text.as_bytes() {
        // Python's order of letters: small ones first.
        [b @ b'a'..=b'z'] => Some(b - b'a'),
        [b @ b'A'..=b'Z'] => Some(b - b'A' + 26),
        _ => None,
    };
    if let (Some(first), Some(last)) = (letter(from), letter(to)) {
        if first > last {
            return Err(format!("the range [{from}:{to}] runs backwards"));
        }
        let name = |n: u8| char::from(if n < 26 { b'a' + n } else { b'A' + n - 26 }).to_string();
        return Ok((first..=last).step_by(step).map(name).collect());
    }
    let width = if from.len() > 1 && from.starts_with('0') { from.len() } else { 0 };
    if width > 0 && width != to.len() {
        return Err(format!("the bounds of [{from}:{to}] must have the same number of digits"));
    }
    let (Ok(first), Ok(last)) = (from.parse::<u64>(), to.parse::<u64>()) else {
        return Err(format!("[{from}:{to}] is no range: both ends are numbers, or both are one letter"));
    };
    if first > last {
        return Err(format!("the range [{from}:{to}] runs backwards"));
    }
    if (last - first) / step as u64 >= MAX_HOSTS as u64 {
        return Err(format!("this range gives more than {MAX_HOSTS} hosts"));
    }
    Ok((first..=last).step_by(step).map(|n| format!("{n:0width$}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(pattern: &str) -> Vec<String> {
        expand(pattern).unwrap().0
    }

    #[test]
    fn ranges_and_ports() {
        assert_eq!(names("h[01:10:4]"), ["h01", "h05", "h09"]);
        assert_eq!(names("h[8:10]"), ["h8", "h9", "h10"]);
        assert_eq!(names("h[a:c]-[:1]"), ["ha-0", "ha-1", "hb-0", "hb-1", "hc-0", "hc-1"]);
        assert_eq!(expand("h[1:2]:2222").unwrap(), (vec!["h1".into(), "h2".into()], Some(2222)));
        assert_eq!(expand("[fd00::1]:22").unwrap(), (vec!["fd00::1".into()], Some(22)));
        assert_eq!(expand("fd00::1").unwrap(), (vec!["fd00::1".into()], None));
        for wrong in ["h[3:1]", "h[01:100]", "h[1]", "h[1:", "h:", "h:99999", "h[a:9]", "h[0:9999999]", "h[1:2:0]"] {
            assert!(expand(wrong).is_err(), "{wrong}");
        }
    }
}
