//! `uri`: asks a web server something, and looks at the answer.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::command::not_needed;
use super::copy::not_written;
use super::digest::sha1;
use super::file_args::{BeforeAfter, FileArgs, describe};
use super::file_content::put;
use super::multipart;
use super::paths;
use super::web_args::{WebArgs, file_name, http_date, numbers};
use crate::action::host::{Act, FileKind};
use crate::action::module::{Failure, Module, Recovery};
use crate::http::{self, Answer, Follow, Request};
use crate::model::outcome::{Outcome, Status};
use crate::model::value::{Dict, Key, Value};
use crate::{arguments, choices};

choices! {
    pub enum Format { Raw = "raw", Json = "json", Form = "form-urlencoded", Multipart = "form-multipart" }
}

choices! {
    pub enum Redirects {
        All = "all",
        No = "no",
        Nowhere = "none",
        Safe = "safe",
        Urllib = "urllib2",
        Yes = "yes",
    }
}

arguments! {
    pub struct Args {
        /// The address.
        url []: String,
        /// The HTTP method.
        method []: String = "GET",
        /// What is sent: a text, or for `body_format` a mapping or list.
        body []: Option<Value>,
        /// How `body` is written.
        body_format []: Format = Format::Raw,
        /// File whose content is sent instead of `body`.
        src []: Option<PathBuf>,
        /// `src` and the files of a multipart body are on the host.
        remote_src []: bool = false,
        /// File or directory on the host to put the answer into.
        dest []: Option<PathBuf>,
        /// Whether the answer is given in `content`.
        return_content []: bool = false,
        /// Status codes that are a success.
        status_code []: Option<Vec<Value>>,
        /// Which redirections are followed; `safe` follows those of GET and HEAD.
        follow_redirects []: Redirects = Redirects::Safe,
        /// A path or pattern; where it exists, nothing is asked.
        creates []: Option<PathBuf>,
        /// A path or pattern; where it does not exist, nothing is asked.
        removes []: Option<PathBuf>,
        /// Get `dest` even if it has not changed since.
        force []: bool = false,
        /// Seconds to wait for the server, each time it says nothing.
        timeout []: u64 = 30u64,
        /// SHA-256 of the content of `src`; set by the action.
        _blob []: Option<String>,
        /// SHA-256 of the content of each file of a multipart body; set by the action.
        _blobs []: Option<Dict>,
        ..web: WebArgs,
        ..file: FileArgs,
    }
    rules [Exclusive(&["body", "src"])]
}

/// An answer that becomes a value is no longer.
const MOST_CONTENT: u64 = 64 << 20;

/// The module `uri`.
pub struct Uri;

impl Module for Uri {
    const NAMES: &'static [&'static str] = &["uri", "ansible.builtin.uri", "ansible.legacy.uri"];
    const DOC: &'static str = "Asks a web server something from the host, and looks at the answer.\n\
        A check run asks with GET, HEAD and OPTIONS; what other methods would do is not knowable.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[
        ("status", "The status code, -1 without an answer"),
        ("url", "Where the answer came from"),
        ("content", "The answer, with `return_content` or after a failure"),
        ("json", "The same as a value, where it is JSON"),
        ("redirected", "Whether it was led elsewhere"),
        ("cookies", "Cookies by their name, with `cookies_string`"),
        ("path", "The file that was written"),
        ("elapsed", "Seconds it took"),
        ("content_type", "This and every other header, in small letters and with `_`"),
    ];
    const EXAMPLE: &'static str = "- uri:\n    url: https://controller:5000/v3\n    return_content: true\n  register: answer\n  until: answer.status == 200\n";
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        if let Some((_, said)) = not_needed(args.creates.as_deref(), args.removes.as_deref(), None, host.as_look())? {
            return Ok(Outcome::ok().with("stdout", said));
        }
        let begun = Instant::now();
        let codes = args.status_code.as_deref().map_or(Ok(vec![200]), numbers)?;
        let dest = args.dest.as_deref().map(|d| paths::expand(host.as_look(), d)).transpose()?;
        let request = request(&args, dest.as_deref(), host)?;
        if !matches!(request.method.as_str(), "GET" | "HEAD" | "OPTIONS") {
            host.outside(&format!(
                "what the {} of {} would do",
                request.method,
                http::credentials::without_password(&args.url)
            ))?;
        }
        let took = |outcome: Outcome| outcome.with("elapsed", begun.elapsed().as_secs());
        let mut answer = match http::send(&request) {
            Ok(answer) => answer,
            Err(why) => {
                let listed = list(&codes);
                let msg = format!("Status code was -1 and not {listed}: Request failed: <urlopen error {why}>");
                let outcome = Outcome::failed(msg).with("status", -1).with("redirected", false);
                let outcome = outcome.with("url", http::credentials::without_password(&args.url));
                return Err(Failure::Failed(Box::new(took(outcome))));
            }
        };
        let mut content = Vec::new();
        let read =
            (&mut answer.body).take(if dest.is_some() { u64::MAX } else { MOST_CONTENT }).read_to_end(&mut content);
        read.map_err(|e| Failure::new(format!("reading the answer of {}: {e}", answer.url)))?;
        let fine = codes.contains(&answer.status);
        let mut outcome = took(described(&request, &answer));
        if let (Some(dest), true) = (&dest, answer.status != 304 && fine) {
            outcome = written(&args, dest, &answer, &content, host, outcome)?;
        }
        if args.return_content || !fine {
            let text = text(&answer, &content);
            if is_json(&answer)
                && let Ok(json) = serde_json::from_str::<Value>(&text)
            {
                outcome = outcome.with("json", json);
            }
            if args.return_content {
                outcome = outcome.with("content", text);
            }
        }
        if !fine {
            let said = std::mem::take(&mut outcome.msg);
            outcome = outcome.msg(format!("Status code was {} and not {}: {said}", answer.status, list(&codes)));
            outcome.status = Status::Failed;
            return Err(Failure::Failed(Box::new(outcome)));
        }
        Ok(outcome)
    }

    fn recovery(args: &Args) -> Recovery {
        let asks = matches!(args.method.to_ascii_uppercase().as_str(), "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE");
        if asks || args.creates.is_some() || args.removes.is_some() { Recovery::Again } else { Recovery::Ask }
    }
}

fn list(codes: &[u16]) -> String {
    format!("[{}]", codes.iter().map(u16::to_string).collect::<Vec<_>>().join(", "))
}

fn request(args: &Args, dest: Option<&Path>, host: &mut dyn Act) -> Result<Request, Failure> {
    let mut request = args.web.request(&args.url, args.timeout, host)?;
    request.method = args.method.to_ascii_uppercase();
    if request.method.is_empty() || !request.method.bytes().all(|b| b.is_ascii_uppercase()) {
        return Err(Failure::new("Parameter 'method' needs to be a single word in uppercase, like GET or POST."));
    }
    request.follow = match args.follow_redirects {
        Redirects::All | Redirects::Yes => Follow::All,
        Redirects::No | Redirects::Nowhere => Follow::None,
        Redirects::Safe => Follow::Safe,
        Redirects::Urllib => Follow::Urllib,
    };
    if let Some(dest) = dest.filter(|_| !args.force)
        && let Some(stat) = host.stat(dest, true)?.filter(|s| s.kind != FileKind::Directory)
    {
        request.headers.push(("If-Modified-Since".into(), http_date(stat.modified)));
    }
    let (bytes, kind) = body(args, host)?;
    request.body = bytes;
    if let Some(kind) = kind
        && !request.headers.iter().any(|(n, _)| n.eq_ignore_ascii_case("content-type"))
    {
        request.headers.push(("Content-Type".into(), kind));
    }
    Ok(request)
}

/// What is sent, and the content type that it has.
fn body(args: &Args, host: &mut dyn Act) -> Result<(Option<Vec<u8>>, Option<String>), Failure> {
    if let Some(src) = &args.src {
        let mut bytes = Vec::new();
        let mut content = match &args._blob {
            Some(blob) => host.blob(blob)?,
            None => {
                let path = paths::expand(host.as_look(), src)?;
                host.open(&path)?
            }
        };
        content.read_to_end(&mut bytes).map_err(|e| Failure::new(format!("reading {}: {e}", src.display())))?;
        return Ok((Some(bytes), None));
    }
    let Some(body) = args.body.as_ref().filter(|b| !b.is_null()) else { return Ok((None, None)) };
    Ok(match args.body_format {
        Format::Raw => (Some(body.to_string().into_bytes()), None),
        Format::Json => {
            let text = match body {
                Value::Str(text) => text.to_string(),
                other => serde_json::to_string(other).unwrap_or_default(),
            };
            (Some(text.into_bytes()), Some("application/json".into()))
        }
        Format::Form => (Some(form(body)?.into_bytes()), Some("application/x-www-form-urlencoded".into())),
        Format::Multipart => {
            let Value::Dict(fields) = body else {
                return Err(Failure::new("failed to parse body as form-multipart: it must be a mapping"));
            };
            let (bytes, kind) = multipart::write(fields, args._blobs.as_ref(), host)?;
            (Some(bytes), Some(kind))
        }
    })
}

/// Fields as a form sends them; a list gives its field several times.
fn form(body: &Value) -> Result<String, Failure> {
    let wrong =
        || Failure::new("failed to parse body as form_urlencoded: it must be a mapping, a list of pairs or a text");
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut add = |name: String, value: &Value| match value {
        Value::List(several) => pairs.extend(several.iter().map(|v| (name.clone(), v.to_string()))),
        one => pairs.push((name, one.to_string())),
    };
    match body {
        Value::Str(text) => return Ok(text.to_string()),
        Value::Dict(fields) => fields.iter().for_each(|(k, v)| add(k.to_string(), v)),
        Value::List(list) => {
            for pair in list.iter() {
                match pair.as_list() {
                    Some([name, value]) => add(name.to_string(), value),
                    _ => return Err(wrong()),
                }
            }
        }
        _ => return Err(wrong()),
    }
    Ok(pairs.iter().map(|(n, v)| format!("{}={}", quoted(n), quoted(v))).collect::<Vec<_>>().join("&"))
}

/// A text as forms write it: blanks as `+`, what is no letter by its number.
fn quoted(text: &str) -> String {
    let mut out = String::new();
    for b in text.bytes() {
        match b {
            b' ' => out.push('+'),
            b if b.is_ascii_alphanumeric() || b"_.-~".contains(&b) => out.push(char::from(b)),
            b => out.push_str(&format!("%{b:02X}")),
        }
    }
    out
}

/// What the answer says beside its content.
fn described(request: &Request, answer: &Answer) -> Outcome {
    let mut outcome = Outcome::ok();
    for (name, value) in &answer.headers {
        let mut value = value.clone();
        if name == "location" {
            value = http::join(&answer.url, &value);
        }
        outcome = outcome.with(&name.replace('-', "_"), value);
    }
    let pairs: Vec<(&str, &str)> =
        answer.cookies.iter().filter_map(|c| c.split(';').next()?.trim().split_once('=')).collect();
    let cookies: Dict = pairs.iter().map(|(n, v)| (Key::from(*n), Value::str(v))).collect();
    let written: Vec<String> = pairs.iter().map(|(n, v)| format!("{n}={v}")).collect();
    let length = answer.header("content-length").unwrap_or("unknown");
    let msg = match answer.status {
        200..300 => format!("OK ({length} bytes)"),
        status => format!("HTTP Error {status}: {}", answer.reason),
    };
    let (asked, _) = http::credentials::split_url(&request.url);
    outcome
        .msg(msg)
        .with("status", answer.status)
        .with("url", answer.url.as_str())
        .with("redirected", answer.url != asked)
        .with("cookies", Value::dict(cookies))
        .with("cookies_string", written.join("; "))
}

fn is_json(answer: &Answer) -> bool {
    let kind = answer.header("content-type").unwrap_or_default().split(';').next().unwrap_or_default();
    kind.split_once('/')
        .is_some_and(|(_, sub)| ["json", "javascript"].iter().any(|j| sub.to_ascii_lowercase().contains(j)))
}

/// The answer as text, by the character set that it names; what cannot be read is replaced.
fn text(answer: &Answer, content: &[u8]) -> String {
    let kind = answer.header("content-type").unwrap_or_default().to_ascii_lowercase();
    let set = kind.split("charset=").nth(1).map(|s| s.trim_matches(['"', ' ']).to_owned());
    match set.as_deref() {
        Some("iso-8859-1" | "latin-1" | "latin1") => content.iter().map(|b| char::from(*b)).collect(),
        _ => String::from_utf8_lossy(content).into_owned(),
    }
}

fn written(
    args: &Args,
    dest: &Path,
    answer: &Answer,
    content: &[u8],
    host: &mut dyn Act,
    mut outcome: Outcome,
) -> Result<Outcome, Failure> {
    let is_dir = host.stat(dest, true)?.is_some_and(|s| s.kind == FileKind::Directory);
    let dest = if is_dir { dest.join(file_name(&answer.url)) } else { dest.to_owned() };
    let there = super::file_content::read_existing(host.as_look(), &dest)?.map(|b| sha1(&b));
    if there != Some(sha1(content)) {
        let bytes = content.to_vec();
        put(host, &dest, &mut |_| Ok(Box::new(std::io::Cursor::new(bytes.clone()))), args.file.unsafe_writes)
            .map_err(|e| not_written(e, &dest))?;
        outcome.changed = true;
    }
    outcome.changed |= args.file.apply_following(host, &dest, &mut BeforeAfter::default())?;
    let outcome = outcome.with("path", dest.display().to_string());
    Ok(describe(host.as_look(), &dest, outcome)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dict;

    #[test]
    fn forms() {
        let body = Value::dict(
            dict! {"a b" => "c&d", "l" => vec![Value::Int(1), Value::Int(2)].into_iter().collect::<Value>()},
        );
        assert_eq!(form(&body).unwrap(), "a+b=c%26d&l=1&l=2");
        assert_eq!(form(&"a=b".into()).unwrap(), "a=b");
        assert!(form(&Value::Int(1)).is_err());
    }
}
