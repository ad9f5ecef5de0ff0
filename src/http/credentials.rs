//! Users and passwords for servers: in addresses, in a `.netrc`, and as a header.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::model::secret::Secret;

/// An address without user and password, and these.
pub fn split_url(url: &str) -> (String, Option<(String, Secret)>) {
    let Some((scheme, rest)) = url.split_once("://") else { return (url.to_owned(), None) };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let Some((login, host)) = rest[..end].rsplit_once('@') else { return (url.to_owned(), None) };
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let plain = format!("{scheme}://{host}{}", &rest[end..]);
    (plain, Some((decoded(user), Secret::new(decoded(password)))))
}

/// An address fit to be shown.
pub fn without_password(url: &str) -> String {
    split_url(url).0
}

/// The header of basic authentication.
pub fn basic(user: &str, password: &Secret) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.reveal())))
}

/// Percent signs decoded.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(b) = rest.next() {
        let ahead = rest.clone();
        let digits: String = ahead.take(2).map(char::from).collect();
        match u8::from_str_radix(&digits, 16) {
            Ok(byte) if b == b'%' && digits.len() == 2 => {
                bytes.push(byte);
                rest.nth(1);
            }
            _ => bytes.push(b),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What a `.netrc` says about a host: its own entry, else the default one.
pub fn netrc(text: &str, host: &str) -> Option<(String, Secret)> {
    let mut words = text.lines().filter(|l| !l.trim_start().starts_with('#')).flat_map(str::split_whitespace);
    let (mut ours, mut user, mut password) = (false, None, None);
    while let Some(word) = words.next() {
        match word {
            "machine" | "default" => {
                if ours && user.is_some() {
                    break;
                }
                ours = word == "default" || words.next() == Some(host);
                (user, password) = (None, None);
            }
            "login" => user = words.next(),
            "password" => password = words.next(),
            "account" => drop(words.next()),
            _ => {}
        }
    }
    ours.then(|| user.map(|u| (u.to_owned(), Secret::new(password.unwrap_or_default())))).flatten()
}

/// The host of an address, without its port.
pub fn host_of(url: &str) -> String {
    let (plain, _) = split_url(url);
    let rest = plain.split_once("://").map_or(plain.as_str(), |(_, r)| r);
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    match authority.strip_prefix('[').and_then(|a| a.split_once(']')) {
        Some((v6, _)) => v6.to_owned(),
        None => authority.split(':').next().unwrap_or_default().to_owned(),
    }
}
