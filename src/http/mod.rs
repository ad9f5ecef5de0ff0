//! Requests to web servers as Ansible makes them: redirects, credentials, proxies and certificates by its rules. What is
//! asked and what is made of the answer is the callers'.

use std::io::Read;
use std::time::Duration;

use ureq::http;

pub mod credentials;
mod trust;

pub use trust::Trust;

use crate::model::secret::Secret;

/// How a redirection is followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Follow {
    None,
    /// Only where the request changes nothing: GET and HEAD.
    #[default]
    Safe,
    All,
    /// As Python's own client: GET and HEAD, and a POST that becomes a GET.
    Urllib,
}

/// At most so many redirections, one after another.
const MOST_REDIRECTS: u32 = 10;

/// No header of an answer is longer than this, all together.
const HEADER_LIMIT: usize = 256 << 10;

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub url: String,
    /// Names and values as given; a later one of a name goes before an earlier one.
    pub headers: Vec<(String, String)>,
    /// Names of headers that are not sent again where a redirection leads.
    pub unredirected: Vec<String>,
    pub body: Option<Vec<u8>>,
    /// For each step of the connection, and for each time nothing comes.
    pub timeout: Duration,
    pub follow: Follow,
    /// User and password.
    pub login: Option<(String, Secret)>,
    /// Send them before the server asks.
    pub login_at_once: bool,
    pub trust: Trust,
    /// The proxy's address; none for a direct connection.
    pub proxy: Option<String>,
    pub agent: String,
    /// Whether a packed answer is unpacked.
    pub unpack: bool,
}

impl Request {
    /// A GET with nothing special.
    pub fn get(url: impl Into<String>) -> Request {
        Request {
            method: "GET".into(),
            url: url.into(),
            headers: Vec::new(),
            unredirected: Vec::new(),
            body: None,
            timeout: Duration::from_secs(10),
            follow: Follow::Urllib,
            login: None,
            login_at_once: false,
            trust: Trust::default(),
            proxy: None,
            agent: "ansible-httpget".into(),
            unpack: true,
        }
    }
}

/// What a server said.
pub struct Answer {
    pub status: u16,
    /// The status in words: `OK`, `Not Found`.
    pub reason: String,
    /// Where the answer came from, after all redirections.
    pub url: String,
    /// Names in small letters; a name that comes again has its values joined by `, `.
    pub headers: Vec<(String, String)>,
    /// `Set-Cookie` lines, each by itself.
    pub cookies: Vec<String>,
    pub body: Box<dyn Read + Send>,
}

impl Answer {
    /// A header's value by its name in small letters.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// Why there is no answer: nobody there, no trust, an address that is none.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NoAnswer(pub String);

/// Sends a request, follows where it is led, and logs in where it is asked to.
pub fn send(request: &Request) -> Result<Answer, NoAnswer> {
    let agent = agent(request)?;
    let (mut url, own) = credentials::split_url(&request.url);
    let login = request.login.clone().or(own);
    let mut method = request.method.to_ascii_uppercase();
    let mut body = request.body.clone();
    let mut headers: Vec<(String, String)> = request.headers.clone();
    let start = url.clone();
    let mut may_login = login.is_some();
    let mut logged_in = request.login_at_once && may_login;
    let mut led = 0;
    loop {
        let mut sent = headers.clone();
        let here = origin(&url) == origin(&start);
        if let (true, true, Some((user, password))) = (logged_in, here, &login) {
            sent.retain(|(n, _)| !n.eq_ignore_ascii_case("authorization"));
            sent.push(("Authorization".into(), credentials::basic(user, password)));
        }
        let answer = once(&agent, &method, &url, &sent, body.clone(), &request.agent)?;
        if answer.status == 401 && may_login && !logged_in && here {
            let asked = answer.header("www-authenticate").unwrap_or_default().to_ascii_lowercase();
            may_login = false;
            if asked.contains("basic") {
                logged_in = true;
                continue;
            }
            if asked.contains("digest") {
                return Err(NoAnswer(
                    "the server asks for digest authentication, which is not supported; basic is".into(),
                ));
            }
        }
        let Some((to, as_get)) = redirection(&answer, &method, &url, request.follow) else {
            return Ok(unpacked(answer, request.unpack));
        };
        led += 1;
        if led > MOST_REDIRECTS {
            return Err(NoAnswer(format!("{} leads from one place to another without end", request.url)));
        }
        if as_get {
            method = if method == "HEAD" { method } else { "GET".into() };
            body = None;
            headers.retain(|(n, _)| {
                !["content-length", "content-type", "transfer-encoding"].contains(&n.to_ascii_lowercase().as_str())
            });
        }
        headers.retain(|(n, _)| !request.unredirected.iter().any(|u| u.eq_ignore_ascii_case(n)));
        if origin(&to) != origin(&url) {
            // What proves who one is is not for another server.
            headers.retain(|(n, _)| !n.eq_ignore_ascii_case("authorization") && !n.eq_ignore_ascii_case("cookie"));
        }
        url = to;
    }
}

fn agent(request: &Request) -> Result<ureq::Agent, NoAnswer> {
    let proxy = match &request.proxy {
        Some(address) => {
            let failed = |e| NoAnswer(format!("the proxy `{}`: {e}", credentials::without_password(address)));
            Some(ureq::Proxy::new(address).map_err(failed)?)
        }
        None => None,
    };
    let time = Some(request.timeout);
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .allow_non_standard_methods(true)
        .max_response_header_size(HEADER_LIMIT)
        .timeout_resolve(time)
        .timeout_connect(time)
        .timeout_per_read(time)
        .timeout_per_write(time)
        .accept("")
        .accept_encoding("identity")
        .user_agent("")
        .proxy(proxy)
        .tls_config(trust::config(&request.trust).map_err(NoAnswer)?)
        .build();
    Ok(config.into())
}

/// One request and its answer.
fn once(
    agent: &ureq::Agent,
    method: &str,
    url: &str,
    headers: &[(String, String)],
    body: Option<Vec<u8>>,
    name: &str,
) -> Result<Answer, NoAnswer> {
    let wrong = |e: http::Error| {
        NoAnswer(format!("the request for {} cannot be made: {e}", credentials::without_password(url)))
    };
    let mut builder = http::Request::builder().method(method).uri(url);
    let given = |name: &str| headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
    if !given("user-agent") {
        builder = builder.header("User-Agent", name);
    }
    let mut seen: Vec<String> = Vec::new();
    // The last of a name counts.
    for (n, v) in headers.iter().rev() {
        let low = n.to_ascii_lowercase();
        if !seen.contains(&low) {
            builder = builder.header(n, v);
            seen.push(low);
        }
    }
    let unanswered = |e| NoAnswer(why(e));
    let response = match body {
        Some(bytes) => agent.run(builder.body(bytes).map_err(wrong)?).map_err(unanswered)?,
        None => agent.run(builder.body(()).map_err(wrong)?).map_err(unanswered)?,
    };
    let (parts, body) = response.into_parts();
    let mut headers: Vec<(String, String)> = Vec::new();
    let mut cookies = Vec::new();
    for (n, v) in &parts.headers {
        let value = String::from_utf8_lossy(v.as_bytes()).into_owned();
        if n == "set-cookie" {
            cookies.push(value.clone());
        }
        match headers.iter_mut().find(|(known, _)| known == n.as_str()) {
            Some((_, values)) => values.push_str(&format!(", {value}")),
            None => headers.push((n.as_str().to_owned(), value)),
        }
    }
    Ok(Answer {
        status: parts.status.as_u16(),
        reason: parts.status.canonical_reason().unwrap_or_default().to_owned(),
        url: url.to_owned(),
        headers,
        cookies,
        body: Box::new(body.into_with_config().limit(u64::MAX).reader()),
    })
}

/// What went wrong, in words.
fn why(error: ureq::Error) -> String {
    match error {
        ureq::Error::HostNotFound => "Name or service not known".into(),
        ureq::Error::ConnectionFailed => "Connection refused".into(),
        ureq::Error::Timeout(_) => "The read operation timed out".into(),
        ureq::Error::Rustls(e) => format!("certificate verify failed: {e}"),
        ureq::Error::Io(e) => e.to_string(),
        other => other.to_string(),
    }
}

/// Where an answer leads, and whether the next request is a GET whatever this one was.
fn redirection(answer: &Answer, method: &str, url: &str, follow: Follow) -> Option<(String, bool)> {
    let to = answer.header("location")?;
    let safe = matches!(method, "GET" | "HEAD");
    let may = match follow {
        Follow::None => false,
        Follow::Safe => safe,
        Follow::All => true,
        Follow::Urllib => safe || (method == "POST" && matches!(answer.status, 301..=303)),
    };
    let as_get = match answer.status {
        301 => method == "POST" || safe,
        302 | 303 => true,
        307 | 308 => false,
        _ => return None,
    };
    may.then(|| (join(url, to), as_get))
}

/// Scheme and authority.
fn origin(url: &str) -> &str {
    let after = url.find("://").map_or(0, |i| i + 3);
    &url[..url[after..].find(['/', '?', '#']).map_or(url.len(), |i| after + i)]
}

/// A reference as seen from an address.
pub fn join(base: &str, to: &str) -> String {
    let to = to.split('#').next().unwrap_or_default();
    let scheme_of =
        |u: &str| u.find("://").filter(|i| u[..*i].chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c)));
    if scheme_of(to).is_some() {
        return to.to_owned();
    }
    if let Some(rest) = to.strip_prefix("//") {
        return format!("{}//{rest}", &base[..base.find("//").unwrap_or(0)]);
    }
    let origin = origin(base);
    if to.starts_with('/') {
        return format!("{origin}{}", tidy(to));
    }
    let path = base[origin.len()..].split(['?', '#']).next().unwrap_or_default();
    if to.starts_with('?') {
        return format!("{origin}{path}{to}");
    }
    let dir = &path[..path.rfind('/').map_or(0, |i| i + 1)];
    let dir = if dir.is_empty() { "/" } else { dir };
    format!("{origin}{}", tidy(&format!("{dir}{to}")))
}

/// A path without `.` and `..`.
fn tidy(path: &str) -> String {
    let (path, query) = path.find('?').map_or((path, ""), |i| path.split_at(i));
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/').skip(1) {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    if path.ends_with("/.") || path.ends_with("/..") {
        parts.push("");
    }
    format!("/{}{query}", parts.join("/"))
}

fn unpacked(mut answer: Answer, unpack: bool) -> Answer {
    if unpack && answer.header("content-encoding").is_some_and(|e| e.eq_ignore_ascii_case("gzip")) {
        answer.body = Box::new(flate2::read::MultiGzDecoder::new(answer.body));
    }
    answer
}

/// The proxy for an address, by the environment: `http_proxy`, `https_proxy`, `no_proxy`, in small letters or capitals.
pub fn proxy_for(url: &str, env: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let get = |name: &str| env(name).or_else(|| env(&name.to_ascii_uppercase())).filter(|v| !v.is_empty());
    let (url, _) = credentials::split_url(url);
    let scheme = url.split("://").next()?.to_ascii_lowercase();
    let proxy = get(&format!("{scheme}_proxy")).or_else(|| get("all_proxy"))?;
    let authority = origin(&url).split("://").nth(1)?;
    let host = authority.rsplit_once(':').map_or(authority, |(h, _)| h).to_ascii_lowercase();
    let spared = get("no_proxy").is_some_and(|list| {
        list.split(',')
            .map(|p| p.trim().trim_start_matches('.').to_ascii_lowercase())
            .any(|p| p == "*" || p == host || p == authority || (!p.is_empty() && host.ends_with(&format!(".{p}"))))
    });
    (!spared).then_some(proxy)
}

#[cfg(test)]
mod tests;
