//! Lookups of files and programs on the control node.

use std::path::{Path, PathBuf};

use super::super::chance::Chance;
use super::super::error::{TemplateError, TemplateErrorKind, fail};
use super::super::filters::{expand_user, files_like, hash_password, random_letters, shell_words};
use super::super::jinja::eval::Cx;
use super::super::jinja::tree::Lookup;
use super::super::jinja::val::{Args, Res, Val};
use super::super::patterns;
use super::super::template::TextOptions;
use super::values::named;

#[rustfmt::skip]
pub(super) const ALL: &[Lookup] = &[
    Lookup { names: &["file"], options: &["rstrip", "lstrip"], run: file, doc: "The text of files." },
    Lookup { names: &["unvault"], options: &[], run: |cx, t, _| t.iter().map(|t| { let n = cx.text(t)?; read(cx, &n).map(Val::from) }).collect(), doc: "The text of files, decrypted." },
    Lookup { names: &["template"], options: &["convert_data", "variable_start_string", "variable_end_string", "comment_start_string", "comment_end_string", "trim_blocks", "template_vars", "jinja2_native"], run: template, doc: "Template files, rendered." },
    Lookup { names: &["fileglob"], options: &[], run: fileglob, doc: "The files that patterns match, not in folders below." },
    Lookup { names: &["first_found"], options: &["files", "paths", "skip"], run: first_found, doc: "The first of several files that exists." },
    Lookup { names: &["pipe"], options: &[], run: pipe, doc: "What a command prints." },
    Lookup { names: &["lines"], options: &[], run: lines, doc: "What a command prints, by lines." },
    Lookup { names: &["password"], options: &["length", "chars", "encrypt", "seed", "ident"], run: password, doc: "A password kept in a file, made if it is new." },
    Lookup { names: &["ini"], options: &["type", "file", "section", "default", "re", "encoding", "case_sensitive", "allow_no_value", "allow_none", "interpolation"], run: ini, doc: "Values of INI files." },
    Lookup { names: &["csvfile"], options: &["file", "col", "keycol", "delimiter", "default", "encoding"], run: csv, doc: "A cell of a CSV file, by the first column." },
];

/// A relative name's place: the folders of the role and play, with the kind's own folder first.
fn locate(cx: &mut Cx<'_>, kind: &str, name: &str) -> Res<PathBuf> {
    let name = expand_user(name);
    if name.starts_with('/') {
        return Ok(PathBuf::from(name));
    }
    let folders = cx.control("a lookup of files")?.search();
    let mut candidates = folders.iter().flat_map(|f| [f.join(kind).join(&name), f.join(&name)]);
    match candidates.find(|p| p.exists()) {
        Some(p) => Ok(p),
        None => {
            let dirs: Vec<String> = folders.iter().map(|f| f.display().to_string()).collect();
            Err(TemplateError::new(
                TemplateErrorKind::Other,
                format!("No such file or directory: '{name}'; looked in {}", dirs.join(", ")),
            ))
        }
    }
}

fn read_path(cx: &mut Cx<'_>, path: &Path) -> Res<String> {
    let bytes = match cx.control("a lookup of files")?.read(path) {
        Ok(b) => b,
        Err(e) => return fail(format!("cannot read '{}': {e}", path.display())),
    };
    String::from_utf8(bytes).or_else(|_| fail(format!("'{}' is not UTF-8 text", path.display())))
}

/// A file in one of the encodings that are met beside UTF-8.
fn read_encoded(cx: &mut Cx<'_>, name: &str, encoding: &str) -> Res<String> {
    let path = locate(cx, "files", name)?;
    let kind = encoding.to_lowercase().replace('_', "-");
    let changed: &[(u8, char)] = match kind.as_str() {
        "utf-8" | "utf8" | "ascii" | "us-ascii" => return read_path(cx, &path),
        "latin-1" | "latin1" | "iso-8859-1" | "iso8859-1" => &[],
        "latin-9" | "iso-8859-15" | "iso8859-15" => {
            &[(0xa4, '€'), (0xa6, 'Š'), (0xa8, 'š'), (0xb4, 'Ž'), (0xb8, 'ž'), (0xbc, 'Œ'), (0xbd, 'œ'), (0xbe, 'Ÿ')]
        }
        _ => return fail(format!("the encoding '{encoding}' is not known; utf-8, iso-8859-1 and iso-8859-15 are")),
    };
    let bytes = match cx.control("a lookup of files")?.read(&path) {
        Ok(bytes) => bytes,
        Err(e) => return fail(format!("cannot read '{}': {e}", path.display())),
    };
    let letter = |b: &u8| changed.iter().find(|(c, _)| c == b).map_or(char::from(*b), |(_, c)| *c);
    Ok(bytes.iter().map(letter).collect())
}

fn read(cx: &mut Cx<'_>, name: &str) -> Res<String> {
    let path = locate(cx, "files", name)?;
    read_path(cx, &path)
}

fn flag(cx: &mut Cx<'_>, args: &Args, name: &str, default: bool) -> Res<bool> {
    match named(args, name) {
        Some(v) => cx.truth(&v),
        None => Ok(default),
    }
}

fn file(cx: &mut Cx<'_>, terms: Vec<Val>, args: Args) -> Res<Vec<Val>> {
    let (right, left) = (flag(cx, &args, "rstrip", true)?, flag(cx, &args, "lstrip", false)?);
    let mut out = Vec::new();
    for t in &terms {
        let name = cx.text(t)?;
        let text = read(cx, &name)?;
        let text = if left { text.trim_start() } else { &text };
        out.push(Val::str(if right { text.trim_end() } else { text }));
    }
    Ok(out)
}

fn template(cx: &mut Cx<'_>, terms: Vec<Val>, args: Args) -> Res<Vec<Val>> {
    let mut out = Vec::new();
    for t in &terms {
        let name = cx.text(t)?;
        let path = locate(cx, "templates", &name)?;
        let text = read_path(cx, &path)?;
        let mut options = TextOptions { name: path.display().to_string(), ..TextOptions::default() };
        options.search.extend(path.parent().map(Path::to_owned));
        let mut own = crate::model::value::Dict::new();
        for (name, v) in &args.named {
            match &**name {
                // What a template gives is text; Ansible reads it as data no more.
                "convert_data" | "jinja2_native" => {}
                "template_vars" => {
                    if let Some(d) = cx.value(v)?.as_dict() {
                        own = d.clone();
                    }
                }
                name => {
                    let v = cx.value(v)?;
                    options.set(name, &v)?;
                }
            }
        }
        let scope = super::super::template::Above { top: &own, below: cx.scope };
        let engine = cx.engine;
        out.push(Val::from(cx.with_scope(&scope, |_| engine.render_text(&text, &options, &scope))?));
    }
    Ok(out)
}

fn fileglob(cx: &mut Cx<'_>, terms: Vec<Val>, _: Args) -> Res<Vec<Val>> {
    let mut out = Vec::new();
    for t in &terms {
        let pattern = expand_user(&cx.text(t)?);
        let folders = if pattern.starts_with('/') {
            vec![PathBuf::new()]
        } else {
            let search = cx.control("the lookup 'fileglob'")?.search();
            search.iter().flat_map(|f| [f.join("files"), f.clone()]).collect()
        };
        // The first folder that has a match.
        let found =
            folders.iter().map(|f| files_like(&f.join(&pattern).display().to_string())).find(|found| !found.is_empty());
        let files = found.unwrap_or_default();
        out.extend(files.iter().filter(|p| p.is_file()).map(|p| Val::from(p.display().to_string())));
    }
    Ok(out)
}

fn texts(cx: &mut Cx<'_>, v: &Val, separators: &[char]) -> Res<Vec<String>> {
    match v {
        Val::Str(s) => Ok(s.split(separators).map(str::trim).filter(|s| !s.is_empty()).map(str::to_owned).collect()),
        Val::Null => Ok(Vec::new()),
        other => {
            let mut out = Vec::new();
            for item in cx.items(other)? {
                // A name that is not defined is no candidate.
                if !item.is_missing() {
                    out.push(cx.text(&item)?);
                }
            }
            Ok(out)
        }
    }
}

fn first_found(cx: &mut Cx<'_>, terms: Vec<Val>, args: Args) -> Res<Vec<Val>> {
    let mut skip = flag(cx, &args, "skip", false)?;
    let mut candidates = Vec::new();
    let search = |files: Vec<String>, paths: Vec<String>| -> Vec<String> {
        if paths.is_empty() {
            return files;
        }
        let join = |p: &String, f: &String| format!("{}/{f}", p.trim_end_matches('/'));
        if files.is_empty() {
            paths
        } else {
            paths.iter().flat_map(|p| files.iter().map(move |f| join(p, f))).collect()
        }
    };
    const SEPARATORS: &[char] = &[',', ';'];
    let (files, paths) = (named(&args, "files").unwrap_or(Val::Null), named(&args, "paths").unwrap_or(Val::Null));
    let (files, paths) = (texts(cx, &files, SEPARATORS)?, texts(cx, &paths, &[',', ';', ':'])?);
    candidates.extend(search(files, paths.clone()));
    let mut queue: Vec<Val> = terms.into_iter().rev().collect();
    while let Some(t) = queue.pop() {
        match &t {
            Val::Missing(_) => {}
            Val::List(_) | Val::Tuple(_) => queue.extend(cx.items(&t)?.into_iter().rev()),
            Val::Dict(_) => {
                let get = |cx: &mut Cx<'_>, k: &str| cx.find(&t, &Val::str(k)).map(|v| v.unwrap_or(Val::Null));
                let (files, paths) = (get(cx, "files")?, get(cx, "paths")?);
                let (files, paths) = (texts(cx, &files, SEPARATORS)?, texts(cx, &paths, &[',', ';', ':'])?);
                candidates.extend(search(files, paths));
                let skips = get(cx, "skip")?;
                skip = skip || cx.truth(&skips)?;
            }
            other => {
                let name = cx.text(other)?;
                candidates.extend(search(vec![name], paths.clone()));
            }
        }
    }
    for name in &candidates {
        for kind in ["files", "templates", "vars", "tasks"] {
            if let Ok(path) = locate(cx, kind, name)
                && path.exists()
            {
                return Ok(vec![Val::from(path.display().to_string())]);
            }
        }
    }
    if skip {
        return Ok(Vec::new());
    }
    fail(format!("no file was found of '{}'", candidates.join("', '")))
}

fn shell(cx: &mut Cx<'_>, command: &str) -> Res<String> {
    match cx.control("running a command on the control node")?.run(command) {
        Ok((0, out, _)) => Ok(String::from_utf8_lossy(&out).into_owned()),
        Ok((code, _, err)) => {
            fail(format!("the command '{command}' ended with {code}: {}", String::from_utf8_lossy(&err).trim()))
        }
        Err(e) => fail(format!("the command '{command}' did not run: {e}")),
    }
}

fn pipe(cx: &mut Cx<'_>, terms: Vec<Val>, _: Args) -> Res<Vec<Val>> {
    let mut out = Vec::new();
    for t in &terms {
        let command = cx.text(t)?;
        out.push(Val::str(shell(cx, &command)?.trim_end()));
    }
    Ok(out)
}

fn lines(cx: &mut Cx<'_>, terms: Vec<Val>, _: Args) -> Res<Vec<Val>> {
    let mut out = Vec::new();
    for t in &terms {
        let command = cx.text(t)?;
        out.extend(shell(cx, &command)?.lines().map(Val::str));
    }
    Ok(out)
}

/// Letters that a password is made of, from Ansible's names of sets.
fn letters(sets: &[String]) -> String {
    const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
    const PUNCTUATION: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";
    let mut out = String::new();
    for set in sets {
        let upper = LOWER.to_uppercase();
        out.push_str(&match set.as_str() {
            "ascii_letters" => format!("{LOWER}{upper}"),
            "ascii_lowercase" => LOWER.to_owned(),
            "ascii_uppercase" => upper,
            "digits" => "0123456789".to_owned(),
            "hexdigits" => "0123456789abcdefABCDEF".to_owned(),
            "octdigits" => "01234567".to_owned(),
            "punctuation" => PUNCTUATION.to_owned(),
            other => other.to_owned(),
        });
    }
    let mut seen = std::collections::HashSet::new();
    out.retain(|c| c.is_ascii() && c != '"' && c != '\'' && seen.insert(c));
    out
}

fn password(cx: &mut Cx<'_>, terms: Vec<Val>, args: Args) -> Res<Vec<Val>> {
    let mut out = Vec::new();
    for t in &terms {
        let term = cx.text(t)?;
        let words = shell_words(&term);
        let (mut path, mut options) = (Vec::new(), std::collections::HashMap::new());
        for word in &words {
            match word.split_once('=') {
                Some((k, v)) if ["length", "chars", "encrypt", "seed", "ident"].contains(&k) => {
                    options.insert(k.to_owned(), v.to_owned());
                }
                _ => path.push(word.clone()),
            }
        }
        let mut sets: Vec<String> = match options.get("chars") {
            // Two commas are a comma.
            Some(c) => {
                let has_comma = c.contains(",,");
                let mut sets: Vec<String> =
                    c.replace(",,", ",").split(',').filter(|s| !s.is_empty()).map(str::to_owned).collect();
                if has_comma {
                    sets.push(",".into());
                }
                sets
            }
            None => ["ascii_letters", "digits", ".,:-_"].map(str::to_owned).into(),
        };
        for (name, v) in &args.named {
            if &**name == "chars" {
                sets = texts(cx, v, &[','])?;
            } else {
                let v = cx.text(v)?;
                options.insert(name.to_string(), v);
            }
        }
        let length: usize = match options.get("length").map_or(Ok(20), |l| l.parse()) {
            Ok(n) if n <= 10_000 => n,
            _ => return fail("'length' must be a whole number"),
        };
        let path = path.join(" ");
        let alphabet = letters(&sets);
        if alphabet.is_empty() {
            return fail("'chars' leaves no characters to choose from");
        }
        let encrypt = options.get("encrypt").filter(|e| !matches!(e.as_str(), "" | "None")).cloned();
        // Where the name is /dev/null, nothing is kept.
        let place = if path == "/dev/null" { None } else { Some(place_of(cx, &path)?) };
        let kept = place.as_deref().and_then(|p| std::fs::read_to_string(p).ok());
        let (secret, salt) = match &kept {
            Some(text) => {
                let text = text.trim_end();
                let (secret, salt) = text.rsplit_once(" salt=").map_or((text, None), |(s, salt)| (s, Some(salt)));
                (secret.to_owned(), salt.map(str::to_owned))
            }
            None => match options.get("seed") {
                Some(seed) => {
                    let (mut chance, letters) = (Chance::of_text(seed), alphabet.as_bytes());
                    let letter = |_| char::from(letters[chance.below(letters.len() as u64) as usize]);
                    ((0..length).map(letter).collect(), None)
                }
                None => (random_letters(length, alphabet.as_bytes())?, None),
            },
        };
        let salt = match (&encrypt, salt) {
            (Some(_), None) => Some(random_letters(
                if matches!(encrypt.as_deref(), Some("bcrypt" | "blowfish")) { 22 } else { 8 },
                b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789./",
            )?),
            (_, salt) => salt,
        };
        let content = match &salt {
            Some(s) => format!("{secret} salt={s}\n"),
            None => format!("{secret}\n"),
        };
        if let Some(place) = &place
            && kept.as_deref() != Some(&content)
        {
            keep(place, &content)?;
        }
        out.push(match encrypt {
            Some(kind) => {
                let kind = kind.trim_end_matches("_crypt");
                let ident = options.get("ident").map(String::as_str);
                Val::from(hash_password(&secret, kind, salt.as_deref(), None, None, ident)?)
            }
            None => Val::from(secret),
        });
    }
    Ok(out)
}

/// Where a password is kept: beside the playbook, unless the name says otherwise.
fn place_of(cx: &mut Cx<'_>, name: &str) -> Res<PathBuf> {
    let name = expand_user(name);
    if name.starts_with('/') {
        return Ok(PathBuf::from(name));
    }
    let base = match cx.variable(&"playbook_dir".into())? {
        Some(Val::Str(s)) => PathBuf::from(&*s),
        _ => cx.control("the lookup 'password'")?.search().pop().unwrap_or_default(),
    };
    Ok(base.join(name))
}

/// Writes a password's file, for its owner only.
fn keep(place: &Path, content: &str) -> Res<()> {
    use std::io::Write as _;
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
    let written = (|| {
        if let Some(folder) = place.parent() {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(place)?;
        file.write_all(content.as_bytes())
    })();
    written.or_else(|e| fail(format!("cannot keep the password in '{}': {e}", place.display())))
}

fn option(cx: &mut Cx<'_>, args: &Args, own: &[(String, String)], name: &str, default: &str) -> Res<String> {
    if let Some((_, v)) = own.iter().find(|(n, _)| n == name) {
        return Ok(v.clone());
    }
    match named(args, name) {
        Some(v) => cx.text(&v),
        None => Ok(default.to_owned()),
    }
}

/// The key of a term, and the options that stand in it as `name=value`.
fn inline(term: &str, known: &[&str]) -> (String, Vec<(String, String)>) {
    let (mut key, mut own) = (Vec::new(), Vec::new());
    for word in shell_words(term) {
        match word.split_once('=') {
            Some((k, v)) if known.contains(&k) => own.push((k.to_owned(), v.to_owned())),
            _ => key.push(word),
        }
    }
    (key.join(" "), own)
}

fn ini(cx: &mut Cx<'_>, terms: Vec<Val>, args: Args) -> Res<Vec<Val>> {
    let mut out = Vec::new();
    for t in &terms {
        let term = cx.text(t)?;
        let (key, own) = inline(&term, &["type", "file", "section", "default", "re", "encoding", "case_sensitive"]);
        let get = |cx: &mut Cx<'_>, name: &str, default: &str| option(cx, &args, &own, name, default);
        let (kind, name, section) =
            (get(cx, "type", "ini")?, get(cx, "file", "ansible.ini")?, get(cx, "section", "global")?);
        if key.is_empty() && !own.is_empty() {
            return fail("No key to look up was provided as first term within string inline options");
        }
        if let Some(odd) = key.split_whitespace().find(|w| w.contains('=')) {
            return fail(format!("'{odd}' is not a valid option"));
        }
        let yes = |t: &str| matches!(t.to_lowercase().as_str(), "true" | "yes" | "1" | "on");
        let (regex, case) = (yes(&get(cx, "re", "false")?), yes(&get(cx, "case_sensitive", "false")?));
        let default = get(cx, "default", "")?;
        let encoding = get(cx, "encoding", "utf-8")?;
        let text = read_encoded(cx, &name, &encoding)?;
        let section = if kind == "properties" { "" } else { &section };
        let mut pairs = ini_section(&text, section, kind == "properties");
        if kind != "properties" {
            let bare = yes(&get(cx, "allow_no_value", "false")?) || yes(&get(cx, "allow_none", "false")?);
            well_formed(&name, &text, section, case, bare)?;
            if flag(cx, &args, "interpolation", true)? {
                interpolate(&mut pairs)?;
            }
            let has_no_value = |l: &str| !l.contains(['=', ':']) && fold_key(l, case) == fold_key(&key, case);
            if bare && section_lines(&text, section).any(has_no_value) {
                continue;
            }
        }
        let fold = |s: &str| if case { s.to_owned() } else { s.to_lowercase() };
        if regex {
            let pattern = patterns::compile(&key, patterns::Flags { ignore_case: !case, multiline: false }, "")?;
            out.extend(
                pairs.iter().filter(|(k, _)| pattern.is_match(k.as_str()).unwrap_or(false)).map(|(_, v)| Val::str(v)),
            );
        } else {
            out.push(match pairs.iter().rev().find(|(k, _)| fold(k) == fold(&key)) {
                Some((_, v)) => Val::str(v),
                None => Val::str(&default),
            });
        }
    }
    Ok(out)
}

/// What Python's reader of INI texts refuses: a key that comes twice, and a section that is not there.
/// `bare`: a line may be a key alone.
fn well_formed(name: &str, text: &str, wanted: &str, case: bool, bare: bool) -> Res<()> {
    let (mut section, mut seen) = (String::new(), std::collections::HashSet::new());
    let mut found = false;
    for line in text.lines().filter(|l| !l.starts_with([' ', '\t'])) {
        let line = line.trim();
        if let Some(header) = line.strip_prefix('[').and_then(|l| l.split(']').next()) {
            section = header.to_owned();
            found |= section == wanted;
        } else if let Some(i) = line.find(['=', ':']).filter(|_| !line.starts_with(['#', ';'])) {
            let key = line[..i].trim();
            let key = if case { key.to_owned() } else { key.to_lowercase() };
            if !seen.insert((section.clone(), key.clone())) {
                return fail(format!(
                    "Duplicate option in '{name}': option '{key}' in section '{section}' already exists"
                ));
            }
        } else if !bare && !line.is_empty() && !line.starts_with(['#', ';']) {
            return fail(format!(
                "Source contains parsing errors: '{name}': '{line}' has no value; see allow_no_value"
            ));
        }
    }
    if found { Ok(()) } else { fail(format!("No section: '{wanted}' in '{name}'")) }
}

/// Puts the values of other keys in for `%(key)s`, as Python's reader does it.
fn interpolate(pairs: &mut [(String, String)]) -> Res<()> {
    let known: Vec<(String, String)> = pairs.iter().map(|(k, v)| (k.to_lowercase(), v.clone())).collect();
    for (_, value) in pairs {
        // What is put in may name others again.
        for _ in 0..10 {
            let Some(start) = value.find("%(") else { break };
            let Some(end) = value[start..].find(")s") else { break };
            let key = value[start + 2..start + end].to_lowercase();
            let Some((_, other)) = known.iter().rev().find(|(k, _)| *k == key) else {
                return fail(format!("there is no key '{key}' to put in for '%({key})s'"));
            };
            value.replace_range(start..start + end + 2, other);
        }
        *value = value.replace("%%", "%");
    }
    Ok(())
}

fn fold_key(key: &str, case: bool) -> String {
    if case { key.to_owned() } else { key.to_lowercase() }
}

/// The lines of a section, without comments.
fn section_lines<'a>(text: &'a str, wanted: &'a str) -> impl Iterator<Item = &'a str> {
    let mut here = false;
    text.lines().map(str::trim).filter(move |line| {
        if let Some(header) = line.strip_prefix('[').and_then(|l| l.split(']').next()) {
            here = header == wanted;
            return false;
        }
        here && !line.is_empty() && !line.starts_with(['#', ';'])
    })
}

/// The pairs of an INI section (those of `DEFAULT` first), with values over several lines joined by line feeds.
fn ini_section(text: &str, wanted: &str, properties: bool) -> Vec<(String, String)> {
    let mut section = String::new();
    let mut pairs: Vec<(bool, String, String)> = Vec::new();
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = trimmed.strip_prefix('[').and_then(|l| l.strip_suffix(']')).filter(|_| !properties) {
            section = name.to_owned();
        } else if line.starts_with([' ', '\t']) && !trimmed.is_empty() && !pairs.is_empty() {
            if let Some((_, _, v)) = pairs.last_mut() {
                v.push('\n');
                v.push_str(trimmed);
            }
        } else if let Some(i) = trimmed.find(['=', ':']) {
            let here = properties || section == wanted || section == "DEFAULT";
            pairs.push((here, trimmed[..i].trim().to_owned(), trimmed[i + 1..].trim().to_owned()));
        }
    }
    pairs.into_iter().filter(|(here, ..)| *here).map(|(_, k, v)| (k, v)).collect()
}

fn csv(cx: &mut Cx<'_>, terms: Vec<Val>, args: Args) -> Res<Vec<Val>> {
    if terms.is_empty() {
        return fail("Search key is required but was not found");
    }
    let mut out = Vec::new();
    for t in &terms {
        let term = cx.text(t)?;
        let (key, own) = inline(&term, &["file", "col", "keycol", "delimiter", "default", "encoding"]);
        if key.is_empty() {
            return fail("Search key is required but was not found");
        }
        if let Some(odd) = key.split_whitespace().find(|w| w.contains('=')) {
            return fail(format!("'{odd}' is not a valid option"));
        }
        let get = |cx: &mut Cx<'_>, name: &str, default: &str| option(cx, &args, &own, name, default);
        let (name, delimiter) = (get(cx, "file", "ansible.csv")?, get(cx, "delimiter", "TAB")?);
        let delimiter =
            if delimiter == "TAB" || delimiter == "t" { '\t' } else { delimiter.chars().next().unwrap_or('\t') };
        let (column, key_column) = (get(cx, "col", "1")?, get(cx, "keycol", "0")?);
        let (Ok(column), Ok(key_column)) = (column.parse::<usize>(), key_column.parse::<usize>()) else {
            return fail("'col' or 'keycol' has an invalid value: they must be whole numbers from 0");
        };
        let text = read(cx, &name)?;
        let found = csv_rows(&text, delimiter)
            .into_iter()
            .find(|r| r.get(key_column) == Some(&key))
            .map(|r| r.get(column).cloned());
        match found {
            Some(Some(cell)) => out.push(Val::from(cell)),
            Some(None) => return fail(format!("the row '{key}' has no column {column}")),
            None => {
                if let Some(many @ Val::List(_)) = named(&args, "default") {
                    out.extend(cx.items(&many)?);
                    continue;
                }
                let default = get(cx, "default", "")?;
                if !default.is_empty() || named(&args, "default").is_some() {
                    out.push(Val::from(default));
                }
            }
        }
    }
    Ok(out)
}

/// CSV with quotes: `"a ""b"" c"`.
fn csv_rows(text: &str, delimiter: char) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell) = (Vec::new(), Vec::new(), String::new());
    let (mut quoted, mut any) = (false, false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        any = true;
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                cell.push('"');
            }
            '"' if quoted || cell.is_empty() => quoted = !quoted,
            c if c == delimiter && !quoted => row.push(std::mem::take(&mut cell)),
            '\r' if !quoted => {}
            '\n' if !quoted => {
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
                any = false;
            }
            c => cell.push(c),
        }
    }
    if any {
        row.push(cell);
        rows.push(row);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_quotes_and_ini_sections() {
        assert_eq!(csv_rows("a,\"b \"\"c\"\",d\"\nx,y", ','), [vec!["a", "b \"c\",d"], vec!["x", "y"]]);
        let pairs = ini_section("[a]\nk = 1\n  2\n; c\n[b]\nk: 3\n", "a", false);
        assert_eq!(pairs, [("k".to_owned(), "1\n2".to_owned())]);
    }
}
