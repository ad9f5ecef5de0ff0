//! Lookups of files and programs on the control node.

use std::path::{Path, PathBuf};

use super::super::chance::Chance;
use super::super::error::{TemplateError, TemplateErrorKind, fail};
use super::super::filters::{expand_user, files_like, hash_password, random_letters, shell_words};
use super::super::jinja::eval::Cx;
use super::super::jinja::tree::Lookup;
use super::super::jinja::val::{Args, Res, Val};
use super::super::template::TextOptions;
use super::super::template_vars;
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
pub(super) fn read_encoded(cx: &mut Cx<'_>, name: &str, encoding: &str) -> Res<String> {
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

pub(super) fn read(cx: &mut Cx<'_>, name: &str) -> Res<String> {
    let path = locate(cx, "files", name)?;
    read_path(cx, &path)
}

pub(super) fn flag(cx: &mut Cx<'_>, args: &Args, name: &str, default: bool) -> Res<bool> {
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
        let mut own = template_vars::of(&path, None);
        if cx.scope.get("ansible_managed").is_none() {
            own.insert("ansible_managed".into(), template_vars::MANAGED.into());
        }
        for (name, v) in &args.named {
            match &**name {
                // What a template gives is text; Ansible reads it as data no more.
                "convert_data" | "jinja2_native" => {}
                "template_vars" => {
                    if let Some(d) = cx.value(v)?.as_dict() {
                        own.extend(d.iter().map(|(k, v)| (k.clone(), v.clone())));
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
        let rendered = cx.with_scope(&scope, |_| engine.render_text(&text, &options, &scope))?;
        out.push(rendered.map_or(Val::Null, Val::from));
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
    let kind = cx.control("a lookup of files")?.kind();
    for name in &candidates {
        if let Ok(path) = locate(cx, kind, name)
            && path.exists()
        {
            return Ok(vec![Val::from(path.display().to_string())]);
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
            fail(format!("the command '{command}' returned {code}: {}", String::from_utf8_lossy(&err).trim()))
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
