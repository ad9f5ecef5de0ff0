//! The lookup of what a web server says.

use std::io::Read;
use std::time::Duration;

use super::super::error::fail;
use super::super::jinja::eval::Cx;
use super::super::jinja::tree::Lookup;
use super::super::jinja::val::{Args, Res, Val};
use super::values::named;
use crate::http::{self, Follow, Request, Trust, proxy_for};
use crate::model::secret::Secret;

const OPTIONS: &[&str] = &[
    "validate_certs",
    "split_lines",
    "use_proxy",
    "username",
    "password",
    "headers",
    "timeout",
    "http_agent",
    "force_basic_auth",
    "follow_redirects",
    "ca_path",
    "unredirected_headers",
];

#[rustfmt::skip]
pub(super) const ALL: &[Lookup] = &[
    Lookup { names: &["url"], options: OPTIONS, run: url, doc: "What a web server answers, line by line or as it is." },
];

/// More than this is no value.
const MOST: u64 = 64 << 20;

fn url(cx: &mut Cx<'_>, terms: Vec<Val>, args: Args) -> Res<Vec<Val>> {
    let truth = |cx: &mut Cx<'_>, name: &str, default: bool| match named(&args, name) {
        Some(value) => cx.truth(&value),
        None => Ok(default),
    };
    let text = |cx: &mut Cx<'_>, name: &str| match named(&args, name) {
        Some(value) => cx.text(&value).map(Some),
        None => Ok(None),
    };
    let split = truth(cx, "split_lines", true)?;
    let use_proxy = truth(cx, "use_proxy", true)?;
    let verify = truth(cx, "validate_certs", true)?;
    let timeout = text(cx, "timeout")?.map_or(Ok(10.0), |t| t.parse::<f64>());
    let Ok(timeout) = timeout else { return fail("'timeout' must be a number of seconds") };
    let follow = match text(cx, "follow_redirects")?.as_deref() {
        None | Some("urllib2") => Follow::Urllib,
        Some("all" | "yes" | "True") => Follow::All,
        Some("none" | "no" | "False") => Follow::None,
        Some("safe") => Follow::Safe,
        Some(other) => return fail(format!("'follow_redirects' must be all, none, safe or urllib2, not '{other}'")),
    };
    let password = text(cx, "password")?.unwrap_or_default();
    let login = text(cx, "username")?.map(|user| (user, Secret::new(password)));
    let authorities = match text(cx, "ca_path")? {
        Some(path) => match std::fs::read(&path) {
            Ok(pem) => Some(pem),
            Err(e) => return fail(format!("reading {path}: {e}")),
        },
        None => None,
    };
    let mut headers = Vec::new();
    match named(&args, "headers") {
        Some(Val::Dict(given)) => {
            for (name, value) in given.borrow().iter() {
                headers.push((name.to_string(), cx.text(value)?));
            }
        }
        Some(_) => return fail("'headers' must be a dictionary"),
        None => {}
    }
    let mut unredirected = Vec::new();
    match named(&args, "unredirected_headers") {
        Some(Val::List(names)) => {
            for name in names.borrow().iter() {
                unredirected.push(cx.text(name)?);
            }
        }
        Some(_) => return fail("'unredirected_headers' must be a list"),
        None => {}
    }
    let agent = text(cx, "http_agent")?.unwrap_or_else(|| "ansible-httpget".into());
    let login_at_once = truth(cx, "force_basic_auth", false)?;
    let mut out = Vec::new();
    for term in &terms {
        let url = cx.text(term)?;
        let shown = http::credentials::without_password(&url);
        let request = Request {
            headers: headers.clone(),
            unredirected: unredirected.clone(),
            timeout: Duration::from_secs_f64(timeout.clamp(0.0, 86_400.0)),
            follow,
            login: login.clone(),
            login_at_once,
            trust: Trust { verify, authorities: authorities.clone(), own: None },
            proxy: if use_proxy { proxy_for(&url, &|name| std::env::var(name).ok()) } else { None },
            agent: agent.clone(),
            ..Request::get(&url)
        };
        let mut answer = match http::send(&request) {
            Ok(answer) => answer,
            Err(why) => return fail(format!("Failed lookup url for {shown}: {why}")),
        };
        if answer.status >= 300 {
            let (status, reason) = (answer.status, &answer.reason);
            return fail(format!("Received HTTP error for {shown}: HTTP Error {status}: {reason}"));
        }
        let mut bytes = Vec::new();
        if let Err(e) = (&mut answer.body).take(MOST).read_to_end(&mut bytes) {
            return fail(format!("Failed lookup url for {shown}: {e}"));
        }
        let text = String::from_utf8_lossy(&bytes);
        match split {
            true => out.extend(text.lines().map(Val::str)),
            false => out.push(Val::str(&*text)),
        }
    }
    Ok(out)
}
