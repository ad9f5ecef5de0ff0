//! `get_url`: a file from a server.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::copy::not_written;
use super::digest::Algorithm;
use super::file_args::{BeforeAfter, FileArgs, describe};
use super::file_content::{backup, put, random_name};
use super::paths;
use super::web_args::{WebArgs, file_name, http_date};
use crate::action::args::FromArg;
use crate::action::host::{Act, FileKind, HostError};
use crate::action::module::{Failure, Module};
use crate::arguments;
use crate::http::{self, Request};
use crate::model::outcome::{Outcome, Status};
use crate::model::value::Value;

arguments! {
    pub struct Args {
        /// The address: `http://`, `https://`, or `file://` of the host.
        url []: String,
        /// The file, or a directory to put it into under the name that the server gives it.
        dest []: PathBuf,
        /// Digest that it must have, as `sha256:DIGEST`, or `sha256:URL` of a list of digests.
        checksum []: String = "",
        /// Get it even if a file is there already.
        force []: bool = false,
        /// Keep a copy of what was there.
        backup []: bool = false,
        /// Seconds to wait for the server, each time it says nothing.
        timeout []: u64 = 10u64,
        /// Directory on the host to keep it in until it is whole.
        tmp_dest []: Option<PathBuf>,
        ..web: WebArgs,
        ..file: FileArgs,
    }
}

/// The module `get_url`.
pub struct GetUrl;

impl Module for GetUrl {
    const NAMES: &'static [&'static str] = &["get_url", "ansible.builtin.get_url", "ansible.legacy.get_url"];
    const DOC: &'static str = "Gets a file from a server to the host. A file that is there already is asked for only if it has changed since.\n\
        A check run gets it too, to know whether it differs, and leaves it out.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[
        ("dest", "Where it lies"),
        ("url", "Where it came from"),
        ("status_code", "What the server answered"),
        ("checksum_src", "SHA-1 of what was got"),
        ("checksum_dest", "SHA-1 of what was there"),
        ("md5sum", "MD5 of the file"),
        ("backup_file", "The copy that was kept"),
        ("elapsed", "Seconds it took"),
        ("mode", "Its permissions, with `owner`, `group`, `uid`, `gid`, `size` and `state`"),
    ];
    const EXAMPLE: &'static str = "- get_url:\n    url: https://example.com/path/file.conf\n    dest: /etc/foo.conf\n    checksum: sha256:b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c\n";
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let begun = Instant::now();
        let dest = paths::expand(host.as_look(), &args.dest)?;
        let there = host.stat(&dest, true)?;
        let is_dir = there.as_ref().is_some_and(|s| s.kind == FileKind::Directory);
        let get = Get { args: &args, begun };
        let wanted = get.wanted(host)?;
        let mut since = None;
        if let (Some(stat), false) = (&there, is_dir) {
            since = (!args.force).then_some(stat.modified);
            if let (Some((algorithm, digest)), false) = (&wanted, args.force) {
                if algorithm.of_file(host.as_look(), &dest)? == *digest {
                    let changed = args.file.apply_following(host, &dest, &mut BeforeAfter::default())?;
                    let msg =
                        if changed { "file already exists but file attributes changed" } else { "file already exists" };
                    let outcome = get.about(Outcome::changed(changed).msg(msg), &dest);
                    return Ok(describe(host.as_look(), &dest, outcome)?);
                }
                // What is there is another file, however new.
                since = None;
            }
        }
        let dir = match &args.tmp_dest {
            Some(dir) => paths::expand(host.as_look(), dir)?,
            None => host.scratch()?,
        };
        if !dir.is_dir() {
            return Err(Failure::new(format!("tmp_dest {} is no directory of the host", dir.display())));
        }
        // No part of the host that a check run would only record.
        let temp = dir.join(format!(".get-url-{}", random_name(8)));
        let done = get.run(host, &dest, is_dir, since, wanted, &temp);
        let _ = std::fs::remove_file(&temp);
        done
    }
}

struct Get<'a> {
    args: &'a Args,
    begun: Instant,
}

impl Get<'_> {
    fn about(&self, outcome: Outcome, dest: &Path) -> Outcome {
        outcome
            .with("url", http::credentials::without_password(&self.args.url))
            .with("dest", dest.display().to_string())
            .with("elapsed", self.begun.elapsed().as_secs())
    }

    fn request(&self, url: &str, host: &mut dyn Act) -> Result<Request, Failure> {
        self.args.web.request(url, self.args.timeout, host)
    }

    /// The digest that is asked for, read from a list on a server if it stands there.
    fn wanted(&self, host: &mut dyn Act) -> Result<Option<(Algorithm, String)>, Failure> {
        let text = self.args.checksum.trim();
        if text.is_empty() {
            return Ok(None);
        }
        let (algorithm, digest) = text
            .split_once(':')
            .ok_or_else(|| Failure::new("The checksum parameter has to be in format <algorithm>:<checksum>"))?;
        let algorithm = Algorithm::from_arg(&Value::str(algorithm.trim().to_lowercase()))
            .map_err(|why| Failure::new(format!("checksum: the algorithm {why}")))?;
        let mut digest = digest.trim().to_owned();
        if ["http://", "https://", "file://"].iter().any(|s| digest.starts_with(s)) {
            let mut list = String::new();
            let mut answer = self.answer(&digest, None, host)?;
            if answer.status != 200 {
                return Err(Failure::new(format!(
                    "Unable to read the checksums at {digest}: HTTP Error {}",
                    answer.status
                )));
            }
            let body = (&mut answer.body).take(16 << 20).read_to_string(&mut list);
            body.map_err(|e| Failure::new(format!("Unable to read the checksums at {digest}: {e}")))?;
            let name = file_name(&self.args.url);
            digest = digest_in(&list, &name)
                .ok_or_else(|| Failure::new(format!("Unable to find a checksum for file '{name}' in '{digest}'")))?;
        }
        let digest: String = digest.chars().filter(|c| c.is_ascii_alphanumeric()).collect::<String>().to_lowercase();
        if digest.is_empty() || !digest.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(Failure::new("The checksum format is invalid"));
        }
        Ok(Some((algorithm, digest)))
    }

    /// What is at an address: of a server, or of the host itself.
    fn answer(&self, url: &str, since: Option<f64>, host: &mut dyn Act) -> Result<http::Answer, Failure> {
        if let Some(path) = url.strip_prefix("file://") {
            let path = PathBuf::from(format!("/{}", path.trim_start_matches("localhost").trim_start_matches('/')));
            let size = host.stat(&path, true)?.map_or(0, |s| s.size);
            let body = host.open(&path).map_err(|e| {
                let outcome = Outcome::failed(format!("Request failed: <urlopen error {e}>")).with("status_code", -1);
                Failure::Failed(Box::new(self.about(outcome, &self.args.dest)))
            })?;
            let headers = vec![("content-length".to_owned(), size.to_string())];
            return Ok(http::Answer {
                status: 200,
                reason: "OK".into(),
                url: url.into(),
                headers,
                cookies: Vec::new(),
                body,
            });
        }
        if !url.starts_with("http://") && !url.starts_with("https://") {
            return Err(Failure::new(format!("{url}: addresses begin with http://, https:// or file://")));
        }
        let mut request = self.request(url, host)?;
        if let Some(since) = since {
            request.headers.push(("If-Modified-Since".into(), http_date(since)));
        }
        if self.args.force {
            request.headers.push(("Cache-Control".into(), "no-cache".into()));
        }
        http::send(&request).map_err(|why| {
            let outcome = Outcome::failed(format!("Request failed: <urlopen error {why}>")).with("status_code", -1);
            Failure::Failed(Box::new(self.about(outcome, &self.args.dest)))
        })
    }

    fn run(
        &self,
        host: &mut dyn Act,
        dest: &Path,
        is_dir: bool,
        since: Option<f64>,
        wanted: Option<(Algorithm, String)>,
        temp: &Path,
    ) -> Result<Outcome, Failure> {
        let args = self.args;
        let mut answer = self.answer(&args.url, since, host)?;
        if answer.status == 304 {
            let changed = args.file.apply_following(host, dest, &mut BeforeAfter::default())?;
            let outcome = self.about(Outcome::changed(changed).msg("HTTP Error 304: Not Modified"), dest);
            return Ok(describe(host.as_look(), dest, outcome.with("status_code", 304))?);
        }
        if answer.status != 200 {
            let response = format!("HTTP Error {}: {}", answer.status, answer.reason);
            let outcome = self.about(Outcome::failed("Request failed"), dest);
            let outcome = outcome.with("status_code", answer.status).with("response", response);
            return Err(Failure::Failed(Box::new(outcome)));
        }
        let broken = |e: std::io::Error| {
            Failure::new(format!("getting {}: {e}", http::credentials::without_password(&args.url)))
        };
        let size = {
            let mut file = File::options().write(true).create_new(true).open(temp).map_err(broken)?;
            let mut watched = Watched { content: &mut *answer.body, host: &mut *host };
            std::io::copy(&mut watched, &mut file).map_err(broken)?
        };
        let dest = if is_dir {
            dest.join(name_given(&answer).unwrap_or_else(|| file_name(&answer.url)))
        } else {
            dest.to_owned()
        };
        if let Some((algorithm, digest)) = &wanted {
            let got = algorithm.of_local(temp).unwrap_or_default();
            if got != *digest {
                let msg = format!("The checksum for {} did not match {digest}; it was {got}.", dest.display());
                return Err(Failure::Failed(Box::new(self.about(Outcome::failed(msg), &dest))));
            }
        }
        let source = Algorithm::Sha1.of_local(temp).unwrap_or_default();
        let before = match host.stat(&dest, true)? {
            Some(s) if s.kind == FileKind::Directory => {
                return Err(Failure::new(format!("Destination {} is a directory", dest.display())));
            }
            Some(_) => Some(Algorithm::Sha1.of_file(host.as_look(), &dest)?),
            None => None,
        };
        let length = answer.header("content-length").map_or_else(|| "unknown".to_owned(), str::to_owned);
        let mut outcome = Outcome::ok()
            .msg(format!("{} ({length} bytes)", answer.reason))
            .with("status_code", answer.status)
            .with("src", temp.display().to_string())
            .with("checksum_src", source.as_str())
            .with("checksum_dest", before.as_deref());
        if before.as_deref() != Some(source.as_str()) {
            if args.backup
                && let Some(saved) = backup(host, &dest)?
            {
                outcome = outcome.with("backup_file", saved.display().to_string());
            }
            let real = paths::real_path(host.as_look(), &dest)?;
            let open = || File::open(temp).map_err(|e| HostError::io("reading what was got", temp, e));
            put(host, &real, &mut |_| Ok(Box::new(open()?)), args.file.unsafe_writes)
                .map_err(|e| not_written(e, &dest))?;
            outcome.changed = true;
        }
        outcome.changed |= args.file.apply_following(host, &dest, &mut BeforeAfter::default())?;
        let md5 = Algorithm::Md5.of_local(temp);
        outcome = self.about(outcome, &dest).with("md5sum", md5);
        outcome.status = Status::Ok;
        let outcome = describe(host.as_look(), &dest, outcome)?;
        Ok(outcome.with("size", size))
    }
}

/// Content that is given up with its call.
struct Watched<'a> {
    content: &'a mut dyn Read,
    host: &'a mut dyn Act,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.host.time_left().is_zero() {
            return Err(std::io::ErrorKind::TimedOut.into());
        }
        self.content.read(buffer)
    }
}

/// The name that the server gives what it sends.
fn name_given(answer: &http::Answer) -> Option<String> {
    let header = answer.header("content-disposition")?;
    let name = header.split(';').find_map(|p| p.trim().strip_prefix("filename="))?.trim_matches('"');
    let name = name.rsplit('/').next().unwrap_or_default();
    (!name.is_empty() && name != "." && name != "..").then(|| name.to_owned())
}

/// The digest of a file in a list as `sha256sum` writes it; of a list with one digest alone, that.
fn digest_in(list: &str, name: &str) -> Option<String> {
    let lines: Vec<Vec<&str>> =
        list.lines().map(|l| l.split_whitespace().collect()).filter(|w: &Vec<_>| !w.is_empty()).collect();
    if let [only] = lines.as_slice()
        && let [digest] = only.as_slice()
    {
        return Some((*digest).to_owned());
    }
    lines.iter().find_map(|words| {
        let listed = words.get(1)?.trim_start_matches('*').trim_start_matches("./");
        (listed == name || listed.ends_with(&format!("/{name}"))).then(|| words[0].to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_in_lists() {
        assert_eq!(digest_in("abc\n", "f").as_deref(), Some("abc"));
        assert_eq!(digest_in("abc  other\ndef *./f\n", "f").as_deref(), Some("def"));
        assert_eq!(digest_in("abc  other\n", "f"), None);
    }
}
