//! Facts that the host's administrator put into `*.fact` files: JSON, INI, or programs that print either.

use super::{Args, Facts};
use crate::action::command::Command;
use crate::action::host::{FileKind, HostError, Look};
use crate::model::value::{Dict, Key, Value};
use crate::modules::paths;

pub(super) fn collect(host: &mut dyn Look, args: &Args, facts: &mut Facts) -> Result<(), HostError> {
    let dir = paths::expand(host, &args.fact_path)?;
    let mut local = Dict::new();
    if matches!(host.stat(&dir, true)?, Some(s) if s.kind == FileKind::Directory) {
        for name in host.list(&dir)? {
            let Some(key) = name.strip_suffix(".fact") else { continue };
            let path = dir.join(&name);
            let fact = match read(host, &path, args)? {
                Ok(fact) => fact,
                Err(why) => {
                    facts.warnings.push(why.clone());
                    why.into()
                }
            };
            local.insert(Key::from(key), fact);
        }
    }
    facts.put("local", local);
    Ok(())
}

/// One file's fact, or what is wrong with it.
fn read(host: &mut dyn Look, path: &std::path::Path, args: &Args) -> Result<Result<Value, String>, HostError> {
    let shown = path.display();
    let Some(stat) = host.stat(path, true)? else {
        return Ok(Err(format!("Could not stat fact ({shown}): it does not exist")));
    };
    let bytes = if stat.mode & 0o100 != 0 {
        match host.query(&args.asking(Command::new([shown.to_string()]))) {
            Ok(output) if output.success() => output.stdout,
            Ok(output) => {
                let (rc, err) = (output.rc, output.error_text());
                return Ok(Err(format!("Failure executing fact script ({shown}), rc: {rc}, err: {err}")));
            }
            Err(e @ (HostError::Cancelled | HostError::NotKnowable(_))) => return Err(e),
            // Where programs have a time of their own, the others may still answer in theirs.
            Err(e @ HostError::Deadline { .. }) if args.gather_timeout.is_none() => return Err(e),
            Err(e) => return Ok(Err(format!("Could not execute fact script ({shown}): {e}"))),
        }
    } else {
        host.read(path).unwrap_or_default()
    };
    let Ok(text) = String::from_utf8(bytes) else {
        return Ok(Err(format!("error loading fact - output of running \"{shown}\" was not utf-8")));
    };
    if let Ok(value) = serde_json::from_str(&text) {
        return Ok(Ok(value));
    }
    let broken = || format!("error loading facts as JSON or ini - please check content: {shown}");
    let Some(sections) = ini(&text) else { return Ok(Err(broken())) };
    // Python's reader puts other values in for `%(name)s`; a lone percent sign is a mistake to it.
    let odd = |v: &Value| {
        let text = v.to_string().replace("%%", "");
        text.match_indices('%').any(|(i, _)| !text[i + 1..].starts_with('('))
    };
    let mut values = sections.as_dict().into_iter().flatten().flat_map(|(_, s)| s.as_dict().into_iter().flatten());
    if values.any(|(_, v)| odd(v)) {
        return Ok(Err(format!("error loading facts as ini - please check content: {shown}")));
    }
    Ok(Ok(sections))
}

/// Sections of an INI text as Python's `configparser` reads them; none if it is no such text.
pub fn ini(text: &str) -> Option<Value> {
    let mut sections: Vec<(String, Dict)> = Vec::new();
    let mut defaults = Dict::new();
    let mut last: Option<Key> = None;
    let mut in_defaults = false;
    for line in text.lines() {
        let bare = line.trim();
        if bare.is_empty() || bare.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = bare.strip_prefix('[') {
            let name = name.split(']').next()?.to_owned();
            in_defaults = name == "DEFAULT";
            if !in_defaults {
                if sections.iter().any(|(n, _)| *n == name) {
                    return None;
                }
                sections.push((name, Dict::new()));
            }
            last = None;
            continue;
        }
        let target = if in_defaults { &mut defaults } else { &mut sections.last_mut()?.1 };
        if line.starts_with([' ', '\t'])
            && let Some(key) = &last
        {
            let so_far = target.get(key).map(Value::to_string).unwrap_or_default();
            target.insert(key.clone(), format!("{so_far}\n{bare}").into());
            continue;
        }
        let at = bare.find(['=', ':'])?;
        let key = Key::from(bare[..at].trim().to_lowercase());
        target.insert(key.clone(), bare[at + 1..].trim().into());
        last = Some(key);
    }
    let with_defaults = |mut own: Dict| {
        for (k, v) in &defaults {
            own.entry(k.clone()).or_insert_with(|| v.clone());
        }
        Value::dict(own)
    };
    Some(Value::dict(sections.into_iter().map(|(n, d)| (Key::from(n), with_defaults(d))).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ini_as_configparser_reads_it() {
        let v = ini("[a]\nKey = 1\nlong: x\n  y\n# no\n[DEFAULT]\nd=2\n[b]\n").unwrap();
        assert_eq!(v.to_string(), r"{'a': {'key': '1', 'long': 'x\ny', 'd': '2'}, 'b': {'d': '2'}}");
        assert!(ini("no section = 1").is_none());
        assert!(ini("[a]\njust words").is_none());
    }
}
