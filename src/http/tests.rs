use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;

use super::*;

/// A server that gives these answers one after another, and tells what it was asked.
fn server(answers: Vec<String>) -> (String, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = format!("http://{}", listener.local_addr().unwrap());
    let handle = std::thread::spawn(move || {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap() > 0 {}
            let length = head
                .to_lowercase()
                .split("content-length: ")
                .nth(1)
                .map(|r| r.lines().next().unwrap().parse().unwrap());
            let mut body = vec![0; length.unwrap_or(0)];
            reader.read_exact(&mut body).unwrap();
            asked.push(format!("{head}{}", String::from_utf8_lossy(&body)));
            stream.write_all(answer.as_bytes()).unwrap();
        }
        asked
    });
    (at, handle)
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len())
}

fn text(mut answer: Answer) -> String {
    let mut text = String::new();
    answer.body.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_redirection_is_followed_by_the_rules() {
    let (at, asked) =
        server(vec![answer("302 Found", "Location: there?x=1\r\n", ""), answer("200 OK", "X-A: 1\r\n", "hi")]);
    let mut request = Request::get(format!("{at}/a/here"));
    request.follow = Follow::All;
    request.method = "POST".into();
    request.body = Some(b"data".to_vec());
    request.headers = vec![("X-Once".into(), "1".into()), ("Content-Type".into(), "text/plain".into())];
    request.unredirected = vec!["x-once".into()];
    let got = send(&request).unwrap();
    assert_eq!((got.status, got.url.clone(), got.header("x-a")), (200, format!("{at}/a/there?x=1"), Some("1")));
    assert_eq!(text(got), "hi");
    let asked = asked.join().unwrap();
    assert!(
        asked[0].starts_with("POST /a/here ") && asked[0].ends_with("data") && asked[0].contains("x-once"),
        "{asked:?}"
    );
    assert!(
        asked[1].starts_with("GET /a/there?x=1 ") && !asked[1].contains("x-once") && !asked[1].contains("data"),
        "{asked:?}"
    );
}

#[test]
fn not_followed_where_it_must_not() {
    let (at, _) = server(vec![answer("302 Found", "Location: /x\r\n", "")]);
    let got = send(&Request { method: "POST".into(), follow: Follow::Safe, ..Request::get(at) }).unwrap();
    assert_eq!(got.status, 302);
}

#[test]
fn logs_in_when_asked() {
    let (at, asked) =
        server(vec![answer("401 No", "WWW-Authenticate: Basic realm=x\r\n", ""), answer("200 OK", "", "in")]);
    let request = Request::get(at.replace("http://", "http://me:se%20cret@"));
    assert_eq!(text(send(&request).unwrap()), "in");
    let asked = asked.join().unwrap();
    assert!(!asked[0].to_lowercase().contains("authorization"), "{asked:?}");
    assert!(asked[1].contains("Basic bWU6c2UgY3JldA=="), "{asked:?}");
}

#[test]
fn nobody_there() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    assert!(send(&Request::get(at)).err().unwrap().to_string().contains("refused"));
}

#[test]
fn references_as_seen_from_an_address() {
    let base = "http://h:1/a/b?q";
    let cases = [("c", "http://h:1/a/c"), ("../c", "http://h:1/c"), ("/c#f", "http://h:1/c"), ("//o/c", "http://o/c")];
    for (to, whole) in
        cases.into_iter().chain([("https://o", "https://o"), ("?x=http://y", "http://h:1/a/b?x=http://y")])
    {
        assert_eq!(join(base, to), whole);
    }
}

#[test]
fn proxies_and_netrc() {
    let env = |n: &str| match n {
        "http_proxy" => Some("http://p:3128".to_owned()),
        "NO_PROXY" => Some("localhost,.example.com".to_owned()),
        _ => None,
    };
    assert_eq!(proxy_for("http://other/x", &env).as_deref(), Some("http://p:3128"));
    assert_eq!(proxy_for("http://a.example.com:80/x", &env), None);
    assert_eq!(proxy_for("https://other/x", &env), None);
    let text = "machine a login x password y\nmachine b\n login u\n password v\ndefault login d password e\n";
    let found = |h: &str| credentials::netrc(text, h).map(|(u, p)| format!("{u}:{}", p.reveal()));
    assert_eq!((found("b").as_deref(), found("c").as_deref()), (Some("u:v"), Some("d:e")));
}
