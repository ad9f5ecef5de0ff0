//! Ansible's filters on texts: splitting, comments, digests, password hashes, queries.

use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use super::super::error::{TemplateError, TemplateErrorKind, fail};
use super::super::jinja::eval::Cx;
use super::super::jinja::methods;
use super::super::jinja::tree::Filter;
use super::super::jinja::val::{Bound, Res, Val};
use crate::model::value::Value;

#[rustfmt::skip]
pub(super) const ALL: &[Filter] = &[
    Filter { names: &["split"], params: &["sep", "maxsplit"], takes_missing: false, run: split, doc: "In parts, at white space or a separator." },
    Filter { names: &["comment"], params: &["style", "newline", "beginning", "prefix", "prefix_count", "decoration", "postfix", "postfix_count", "end"], takes_missing: false, run: comment, doc: "As a comment: plain, erlang, c, cblock, xml." },
    Filter { names: &["hash"], params: &["hashtype"], takes_missing: false, run: |cx, v, b| { let kind = b.text(cx, 0, "sha1")?; digest(cx, &v, &kind) }, doc: "A digest: sha1, md5, sha256, …" },
    Filter { names: &["checksum", "sha1"], params: &[], takes_missing: false, run: |cx, v, _| digest(cx, &v, "sha1"), doc: "The SHA-1 digest." },
    Filter { names: &["md5"], params: &[], takes_missing: false, run: |cx, v, _| digest(cx, &v, "md5"), doc: "The MD5 digest." },
    Filter { names: &["to_uuid"], params: &["namespace"], takes_missing: false, run: uuid, doc: "A UUID (version 5) of a name." },
    Filter { names: &["password_hash"], params: &["hashtype", "salt", "salt_size", "rounds", "ident"], takes_missing: false, run: password_hash, doc: "A password's hash for /etc/shadow." },
    Filter { names: &["json_query", "community.general.json_query"], params: &["expr"], takes_missing: false, run: json_query, doc: "What a JMESPath expression picks." },
    Filter { names: &["to_prettytable", "community.general.to_prettytable"], params: &["*column_order", "**kwargs"], takes_missing: false, run: pretty_table, doc: "A list of dictionaries as a table of text." },
];

fn split(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let Val::Str(text) = &v else { return fail(format!("split needs a string, not {}", v.described())) };
    if let Some(odd) = b.some(0).filter(|s| s.as_str().is_none()) {
        return fail(format!("the separator must be a string, not {}", odd.described()));
    }
    let sep = b.some(0).map(|s| cx.text(s)).transpose()?;
    if sep.as_deref() == Some("") {
        return fail("empty separator");
    }
    let most = b.int(1, "maxsplit")?.and_then(|n| usize::try_from(n).ok());
    Ok(Val::strings(methods::split(text, sep.as_deref(), most, false)))
}

fn comment(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let text = cx.text(&v)?;
    let style = b.text(cx, 0, "plain")?;
    // Decoration, beginning, end.
    let (decoration, beginning, end) = match style.as_str() {
        "plain" => ("# ", "", ""),
        "erlang" => ("% ", "", ""),
        "c" => ("// ", "", ""),
        "cblock" => (" * ", "/*", " */"),
        "xml" => (" - ", "<!--", "-->"),
        other => return fail(format!("Invalid style '{other}'; known are plain, erlang, c, cblock, xml")),
    };
    let newline = b.text(cx, 1, "\n")?;
    let beginning = b.text(cx, 2, beginning)?;
    let decoration = b.text(cx, 5, decoration)?;
    // What comes before and after the text is the decoration, unless it is given.
    let bare = decoration.trim_end().to_owned();
    let prefix = b.text(cx, 3, &bare)?;
    let postfix = b.text(cx, 6, &bare)?;
    let times = |b: &Bound, i| b.int(i, "count").map(|n| usize::try_from(n.unwrap_or(1)).unwrap_or(0).min(10_000));
    let (before, after) = (times(&b, 4)?, times(&b, 7)?);
    let end = b.text(cx, 8, end)?;
    let mut out = String::new();
    if !beginning.is_empty() {
        out.push_str(&format!("{beginning}{newline}"));
    }
    if prefix == newline {
        out.push_str(&newline.repeat(before));
    } else if !prefix.is_empty() {
        out.push_str(&format!("{prefix}{newline}").repeat(before));
    }
    let body = format!("{decoration}{}", text.replace(&newline, &format!("{newline}{decoration}")));
    let body = body.replace(&format!("{decoration}{newline}"), &format!("{}{newline}", decoration.trim_end()));
    out.push_str(&body);
    out.push_str(&format!("{newline}{postfix}").repeat(after));
    if !end.is_empty() {
        out.push_str(&format!("{newline}{end}"));
    }
    Ok(out.into())
}

fn digest(cx: &mut Cx<'_>, v: &Val, kind: &str) -> Res {
    let text = cx.text(v)?;
    fn hex_of<D: Digest>(text: &str) -> String {
        hex::encode(D::digest(text.as_bytes()))
    }
    Ok(Val::from(match kind.to_lowercase().as_str() {
        "md5" => hex_of::<Md5>(&text),
        "sha1" => hex_of::<Sha1>(&text),
        "sha224" => hex_of::<Sha224>(&text),
        "sha256" => hex_of::<Sha256>(&text),
        "sha384" => hex_of::<Sha384>(&text),
        "sha512" => hex_of::<Sha512>(&text),
        other => {
            return fail(format!("unsupported hash type {other}; known are md5, sha1, sha224, sha256, sha384, sha512"));
        }
    }))
}

fn uuid(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    // Ansible's own name space.
    let space = b.text(cx, 0, "361E6D51-FAEC-444A-9079-341386DA8E2E")?;
    let Ok(space_bytes) = hex::decode(space.replace('-', "")) else {
        return fail(format!("Invalid value '{space}' for 'namespace'"));
    };
    if space_bytes.len() != 16 {
        return fail(format!("Invalid value '{space}' for 'namespace'"));
    }
    let mut id: [u8; 20] =
        Sha1::new().chain_update(&space_bytes).chain_update(cx.text(&v)?.as_bytes()).finalize().into();
    id[6] = (id[6] & 0x0f) | 0x50;
    id[8] = (id[8] & 0x3f) | 0x80;
    let h = hex::encode(&id[..16]);
    Ok(format!("{}-{}-{}-{}-{}", &h[..8], &h[8..12], &h[12..16], &h[16..20], &h[20..]).into())
}

/// A digest function of `sha-crypt`, by which it writes a hash.
fn password_hash(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let Some(password) = v.as_str() else { return fail(format!("a password must be a string, not {}", v.described())) };
    let kind = b.text(cx, 0, "sha512")?;
    let rounds = b.int(3, "rounds")?;
    let salt = b.some(1).map(|s| cx.text(s)).transpose()?;
    let size = b
        .int(2, "salt_size")
        .or_else(|e| fail(format!("salt_size must be an integer: {}", e.message)))?
        .and_then(|n| usize::try_from(n).ok());
    hash_password(password, &kind, salt.as_deref(), size, rounds, b.some(4).and_then(Val::as_str)).map(Val::from)
}

/// Letters that a salt is made of, in the order of crypt's base64.
const SALT: &[u8] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The algorithms of `hash_password`, by all their names.
pub const HASHES: [&str; 6] = ["sha512_crypt", "sha256_crypt", "bcrypt", "sha512", "sha256", "blowfish"];

/// A password's hash in crypt's form, with this salt or one made by chance.
pub fn hash_password(
    password: &str,
    kind: &str,
    salt: Option<&str>,
    size: Option<usize>,
    rounds: Option<i64>,
    ident: Option<&str>,
) -> Res<String> {
    let blowfish = matches!(kind, "blowfish" | "bcrypt");
    let salt = match salt {
        Some(s) => s.to_owned(),
        None => random_letters(if blowfish { 22 } else { size.unwrap_or(16).clamp(1, 16) }, SALT)?,
    };
    if salt.is_empty() || salt.bytes().any(|c| !SALT.contains(&c)) {
        return fail("Could not hash the secret: a salt may hold letters, digits, '.' and '/' only");
    }
    let wrong = |e: String| TemplateError::new(TemplateErrorKind::Other, e);
    if blowfish {
        return bcrypt_hash(password, &salt, rounds.unwrap_or(12), ident.unwrap_or("2b"));
    }
    let (prefix, default) = match kind {
        "sha512" | "sha512_crypt" => ("6", 656_000),
        "sha256" | "sha256_crypt" => ("5", 535_000),
        other => {
            return fail(format!(
                "{other} is not in the list of supported passlib algorithms: sha512, sha256, blowfish"
            ));
        }
    };
    if salt.len() > 16 {
        return fail(format!("a salt for {kind} has at most 16 characters"));
    }
    let rounds = rounds.unwrap_or(default);
    let Some(n) = u32::try_from(rounds).ok().filter(|n| (1000..=999_999_999).contains(n)) else {
        return fail("Could not hash the secret: 'rounds' must be between 1000 and 999999999");
    };
    let params = sha_crypt::Params::new(n).map_err(|e| wrong(e.to_string()))?;
    let body = if prefix == "6" {
        let bytes = sha_crypt::sha512_crypt(password.as_bytes(), salt.as_bytes(), params);
        crypt_base64(&bytes, SHA512_ORDER)
    } else {
        let bytes = sha_crypt::sha256_crypt(password.as_bytes(), salt.as_bytes(), params);
        crypt_base64(&bytes, SHA256_ORDER)
    };
    // 5000 rounds are crypt's own default and not written.
    let shown = if n == 5000 { String::new() } else { format!("rounds={n}$") };
    Ok(format!("${prefix}${shown}{salt}${body}"))
}

/// The order in which crypt writes the bytes of a digest, three a group, the last group shorter.
const SHA512_ORDER: &[[usize; 3]] = &[
    [0, 21, 42],
    [22, 43, 1],
    [44, 2, 23],
    [3, 24, 45],
    [25, 46, 4],
    [47, 5, 26],
    [6, 27, 48],
    [28, 49, 7],
    [50, 8, 29],
    [9, 30, 51],
    [31, 52, 10],
    [53, 11, 32],
    [12, 33, 54],
    [34, 55, 13],
    [56, 14, 35],
    [15, 36, 57],
    [37, 58, 16],
    [59, 17, 38],
    [18, 39, 60],
    [40, 61, 19],
    [62, 20, 41],
    [usize::MAX, usize::MAX, 63],
];
const SHA256_ORDER: &[[usize; 3]] = &[
    [0, 10, 20],
    [21, 1, 11],
    [12, 22, 2],
    [3, 13, 23],
    [24, 4, 14],
    [15, 25, 5],
    [6, 16, 26],
    [27, 7, 17],
    [18, 28, 8],
    [9, 19, 29],
    [usize::MAX, 31, 30],
];

fn crypt_base64(bytes: &[u8], order: &[[usize; 3]]) -> String {
    let mut out = String::new();
    for group in order {
        let byte = |i: usize| u32::from(bytes.get(i).copied().unwrap_or(0));
        let mut word = byte(group[0]) << 16 | byte(group[1]) << 8 | byte(group[2]);
        let letters = 4 - group.iter().filter(|i| **i == usize::MAX).count();
        for _ in 0..letters {
            out.push(char::from(SALT[(word & 0x3f) as usize]));
            word >>= 6;
        }
    }
    out
}

fn bcrypt_hash(password: &str, salt: &str, rounds: i64, ident: &str) -> Res<String> {
    // bcrypt has its own alphabet for base64.
    const LETTERS: &[u8] = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    if salt.len() != 22 {
        return fail("a salt for blowfish has 22 characters");
    }
    let mut bits: u128 = 0;
    for (i, c) in salt.bytes().enumerate() {
        let Some(n) = LETTERS.iter().position(|l| *l == c) else { return fail("the salt is not of bcrypt's letters") };
        // 22 letters hold 132 bits; the last four are not used.
        let n = n as u128;
        bits = if i == 21 { bits << 2 | n >> 4 } else { bits << 6 | n };
    }
    let version = match ident {
        "2a" => bcrypt::Version::TwoA,
        "2y" => bcrypt::Version::TwoY,
        "2b" => bcrypt::Version::TwoB,
        other => return fail(format!("the bcrypt variant '{other}' is not supported; known are 2a, 2b, 2y")),
    };
    let Some(cost) = u32::try_from(rounds).ok().filter(|c| (4..=31).contains(c)) else {
        return fail("Could not hash the secret: 'rounds' must be between 4 and 31 for blowfish");
    };
    match bcrypt::hash_with_salt(password, cost, bits.to_be_bytes()) {
        Ok(parts) => Ok(parts.format_for_version(version)),
        Err(e) => fail(e.to_string()),
    }
}

/// Letters drawn at random from the system, each as likely.
pub(in crate::vars) fn random_letters(n: usize, letters: &[u8]) -> Res<String> {
    use std::io::Read as _;
    let fair = 256 - 256 % letters.len().clamp(1, 256);
    let mut out = String::new();
    let mut source = match std::fs::File::open("/dev/urandom") {
        Ok(f) => f,
        Err(e) => return fail(format!("no random numbers: /dev/urandom: {e}")),
    };
    let mut buffer = [0u8; 64];
    while out.len() < n {
        if let Err(e) = source.read_exact(&mut buffer) {
            return fail(format!("no random numbers: /dev/urandom: {e}"));
        }
        let usable = buffer.iter().filter(|b| usize::from(**b) < fair);
        out.extend(usable.map(|b| char::from(letters[usize::from(*b) % letters.len()])).take(n - out.len()));
    }
    Ok(out)
}

/// A text's words as a shell would split it: quotes hold words together.
pub(in crate::vars) fn shell_words(text: &str) -> Vec<String> {
    let (mut out, mut word, mut open, mut quote) = (Vec::new(), String::new(), false, None);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                open = true;
            }
            (None | Some('"'), '\\') => {
                word.extend(chars.next());
                open = true;
            }
            (None, c) if c.is_whitespace() => {
                if open {
                    out.push(std::mem::take(&mut word));
                    open = false;
                }
            }
            (_, c) => {
                word.push(c);
                open = true;
            }
        }
    }
    if open {
        out.push(word);
    }
    out
}

fn json_query(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let expression = cx.text(b.need(0, "the filter 'json_query'", "expr")?)?;
    let value = cx.value(&v)?;
    let compiled = match jmespath::compile(&expression) {
        Ok(c) => c,
        Err(e) => return fail(format!("'{expression}' is not a JMESPath expression: {}", e.reason)),
    };
    let data = match jmespath::Variable::from_serializable(&value) {
        Ok(d) => d,
        Err(e) => return fail(format!("the data cannot be queried: {e}")),
    };
    match compiled.search(data).map(|found| serde_json::to_value(&*found)) {
        Ok(Ok(found)) => match serde_json::from_value::<Value>(found) {
            Ok(found) => cx.settle(&Val::of(&found)),
            Err(e) => fail(e.to_string()),
        },
        Ok(Err(e)) => fail(e.to_string()),
        Err(e) => fail(format!("JMESPath: {}", e.reason)),
    }
}

fn pretty_table(cx: &mut Cx<'_>, v: Val, b: Bound) -> Res {
    let mut columns = Vec::new();
    for c in &b.rest {
        columns.push(cx.text(c)?);
    }
    let (mut headers, mut aligns) = (Vec::new(), Vec::new());
    for (name, given) in &b.named {
        match &**name {
            "column_order" => {
                for c in cx.items(given)? {
                    columns.push(cx.text(&c)?);
                }
            }
            "header_names" => {
                for h in cx.items(given)? {
                    headers.push(cx.text(&h)?);
                }
            }
            "column_alignments" => aligns = cx.pairs(given)?,
            other => return fail(format!("to_prettytable has no argument '{other}'")),
        }
    }
    let rows = cx.items(&v)?;
    if rows.iter().any(|r| !matches!(r, Val::Dict(_))) {
        return fail("to_prettytable needs a list of dictionaries");
    }
    if columns.is_empty() {
        let first = rows.first().map(|r| cx.items(r)).transpose()?.unwrap_or_default();
        columns = first.iter().map(|k| cx.text(k)).collect::<Res<_>>()?;
    }
    if headers.is_empty() {
        headers.clone_from(&columns);
    }
    if headers.len() != columns.len() {
        return fail("'header_names' must name as many columns as 'column_order'");
    }
    let mut table = vec![headers];
    for row in &rows {
        let mut line = Vec::new();
        for c in &columns {
            line.push(match cx.find(row, &Val::str(c))? {
                Some(v) => cx.text(&v)?,
                None => String::new(),
            });
        }
        table.push(line);
    }
    let width = |s: &str| unicode_width::UnicodeWidthStr::width(s);
    let widths: Vec<usize> =
        (0..columns.len()).map(|i| table.iter().map(|r| width(&r[i])).max().unwrap_or(0)).collect();
    let mut sides = Vec::new();
    for c in &columns {
        let side = aligns.iter().find(|(k, _)| k.as_str() == Some(c)).map(|(_, v)| cx.text(v)).transpose()?;
        sides.push(match side.as_deref() {
            Some("left" | "l") => 'l',
            Some("right" | "r") => 'r',
            Some("center" | "c") | None => 'c',
            Some(other) => return fail(format!("unknown alignment '{other}'; use left, center or right")),
        });
    }
    let rule: String = widths.iter().map(|w| format!("+{}", "-".repeat(w + 2))).collect::<String>() + "+";
    let mut out = vec![rule.clone()];
    for (i, row) in table.iter().enumerate() {
        let cells = row.iter().zip(&widths).zip(&sides).map(|((cell, w), side)| {
            let gap = w - width(cell);
            let left = match side {
                'l' => 0,
                'r' => gap,
                _ => gap / 2 + (gap % 2) * (width(cell) % 2),
            };
            format!("| {}{cell}{} ", " ".repeat(left), " ".repeat(gap - left))
        });
        out.push(cells.collect::<String>() + "|");
        if i == 0 {
            out.push(rule.clone());
        }
    }
    out.push(rule);
    Ok(out.join("\n").into())
}
