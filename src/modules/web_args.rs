//! The parameters that `get_url` and `uri` share, and the request that they make.

use std::path::PathBuf;
use std::time::Duration;

use super::file_content::random_name;
use super::paths;
use crate::action::args::Arguments;
use crate::action::host::{Act, HostError};
use crate::action::module::Failure;
use crate::arguments;
use crate::http::{self, Answer, Follow, Request, Trust, credentials, proxy_for};
use crate::model::secret::Secret;
use crate::model::value::{Dict, Value};

arguments! {
    /// How a server is asked.
    pub struct WebArgs {
        /// Headers to send.
        headers []: Option<Dict>,
        /// User to log in as.
        url_username ["user", "username"]: Option<String>,
        /// The user's password.
        url_password ["password"]: Option<Secret>,
        /// Send user and password before the server asks for them.
        force_basic_auth []: bool = false,
        /// Take user and password for a host from `~/.netrc`.
        use_netrc []: bool = true,
        /// Whether the server's certificate must be valid.
        validate_certs []: bool = true,
        /// File on the host with the authorities to trust.
        ca_path []: Option<PathBuf>,
        /// File on the host with this side's certificate, and its key if `client_key` is not given.
        client_cert []: Option<PathBuf>,
        /// File on the host with the key of that certificate.
        client_key []: Option<PathBuf>,
        /// What this side says it is.
        http_agent []: String = "ansible-httpget",
        /// Go through the proxy that the environment names.
        use_proxy []: bool = true,
        /// Headers not to send again where a redirection leads.
        unredirected_headers []: Vec<String> = Vec::new(),
        /// Unpack what the server has packed.
        decompress []: bool = true,
    }
}

impl WebArgs {
    /// A GET of this address.
    pub fn request(&self, url: &str, timeout: u64, host: &mut dyn Act) -> Result<Request, Failure> {
        let read = |host: &mut dyn Act, path: &Option<PathBuf>| -> Result<Option<Vec<u8>>, Failure> {
            let Some(path) = path else { return Ok(None) };
            let path = paths::expand(host.as_look(), path)?;
            Ok(Some(host.read(&path)?))
        };
        let key = read(host, &self.client_key)?.map(|k| Secret::new(String::from_utf8_lossy(&k).into_owned()));
        let trust = Trust {
            verify: self.validate_certs,
            authorities: read(host, &self.ca_path)?,
            own: read(host, &self.client_cert)?.map(|cert| (cert, key)),
        };
        let mut login =
            self.url_username.clone().map(|user| (user, self.url_password.clone().unwrap_or_else(|| Secret::new(""))));
        if login.is_none() && self.use_netrc {
            login = netrc(url, host)?;
        }
        let proxy = if self.use_proxy { proxy_for(url, &|name| host.env(name)) } else { None };
        let headers = self.headers.iter().flatten().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        Ok(Request {
            headers,
            unredirected: self.unredirected_headers.clone(),
            timeout: Duration::from_secs(timeout).min(host.time_left()),
            follow: Follow::Urllib,
            login,
            login_at_once: self.force_basic_auth,
            trust,
            proxy,
            agent: self.http_agent.clone(),
            unpack: self.decompress,
            ..Request::get(url)
        })
    }
}

fn netrc(url: &str, host: &mut dyn Act) -> Result<Option<(String, Secret)>, Failure> {
    let path = match host.env("NETRC").filter(|p| !p.is_empty()) {
        Some(path) => PathBuf::from(path),
        None => paths::expand(host.as_look(), "~/.netrc".as_ref())?,
    };
    match host.read(&path) {
        Ok(text) => Ok(credentials::netrc(&String::from_utf8_lossy(&text), &credentials::host_of(url))),
        Err(HostError::NotFound(_) | HostError::Denied { .. }) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// A file of what an address holds, in the agent's own folder, where a check run may write too; its user removes it.
pub fn download(url: &str, validate_certs: bool, host: &mut dyn Act) -> Result<PathBuf, Failure> {
    let named = http::credentials::without_password(url);
    let mut body: Box<dyn std::io::Read + Send> = if let Some(path) = url.strip_prefix("file://") {
        host.open(path.as_ref())?
    } else {
        match get(url, validate_certs, host)? {
            Ok(answer) => Box::new(answer.body),
            Err(why) => return Err(Failure::new(format!("{named}: {why}"))),
        }
    };
    let file = host.scratch()?.join(format!("{}-{}", random_name(8), file_name(url)));
    let written = std::fs::File::create_new(&file).and_then(|mut to| std::io::copy(&mut body, &mut to));
    match written {
        Ok(_) => Ok(file),
        Err(e) => {
            let _ = std::fs::remove_file(&file);
            Err(Failure::new(format!("fetching {named}: {e}")))
        }
    }
}

/// What an address holds, as a key does; the inner error says why it cannot be had.
pub fn fetch(url: &str, validate_certs: bool, host: &mut dyn Act) -> Result<Result<Vec<u8>, String>, Failure> {
    Ok(get(url, validate_certs, host)?.and_then(|answer| {
        let mut bytes = Vec::new();
        let read = std::io::Read::read_to_end(&mut std::io::Read::take(answer.body, 4 << 20), &mut bytes);
        read.map(|_| bytes).map_err(|e| e.to_string())
    }))
}

/// A plain GET that is answered with 200; the inner error says why it is not.
fn get(url: &str, validate_certs: bool, host: &mut dyn Act) -> Result<Result<Answer, String>, Failure> {
    let given: Dict = crate::dict! {"validate_certs" => validate_certs};
    let web = WebArgs::from_dict(&given).map_err(|_| Failure::new("validate_certs"))?;
    let request = web.request(url, 30, host)?;
    Ok(match http::send(&request) {
        Ok(answer) if answer.status == 200 => Ok(answer),
        Ok(answer) => Err(format!("HTTP Error {}: {}", answer.status, answer.reason)),
        Err(e) => Err(e.to_string()),
    })
}

/// A list of numbers that may be written as one, or as texts.
pub fn numbers(values: &[Value]) -> Result<Vec<u16>, Failure> {
    let number = |v: &Value| v.to_string().trim().parse().map_err(|_| Failure::new(format!("`{v}` is no status code")));
    values.iter().map(number).collect()
}

/// The last part of an address's path, for a name of a file; `index.html` where there is none.
pub fn file_name(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, r)| r);
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    match path.split_once('/').map(|(_, p)| p.rsplit('/').next().unwrap_or_default()) {
        Some(name) if !name.is_empty() => name.to_owned(),
        _ => "index.html".into(),
    }
}

/// A time in seconds since 1970 as HTTP writes it.
pub fn http_date(seconds: f64) -> String {
    let time = jiff::Timestamp::from_second(seconds as i64).unwrap_or_default();
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}
