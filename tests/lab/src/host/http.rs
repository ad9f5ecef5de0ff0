//! The little HTTP/1.1 that the lab's registry and Kubernetes API need.

use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

/// Answer requests on an address until the process ends.
pub fn serve(address: &str, answer: impl Fn(&Request) -> Response + Send + Sync + 'static) -> Result<()> {
    let listener = TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"))?;
    let answer = Arc::new(answer);
    for stream in listener.incoming().flatten() {
        let answer = Arc::clone(&answer);
        std::thread::spawn(move || {
            let _ = connection(&stream, &*answer);
        });
    }
    Ok(())
}

/// A request as it came.
pub struct Request {
    pub method: String,
    pub path: String,
    pub query: String,
    pub body: Vec<u8>,
    /// The `Accept` header.
    pub accept: String,
    close: bool,
}

/// What to answer.
pub struct Response {
    status: &'static str,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Response {
    /// A status line's code and phrase, and a body.
    pub fn new(status: &'static str, body: impl Into<Vec<u8>>) -> Response {
        Response { status, headers: Vec::new(), body: body.into() }
    }

    /// The same with a body of JSON.
    pub fn json(status: &'static str, body: &serde_json::Value) -> Response {
        Response::new(status, body.to_string()).with("Content-Type", "application/json")
    }

    /// And a header.
    pub fn with(mut self, name: &str, value: &str) -> Response {
        self.headers.push((name.into(), value.into()));
        self
    }
}

fn connection(stream: &TcpStream, answer: &impl Fn(&Request) -> Response) -> Result<()> {
    let mut reader = BufReader::new(stream);
    while let Some(request) = read(&mut reader)? {
        let response = answer(&request);
        let mut head = format!("HTTP/1.1 {}\r\n", response.status);
        for (name, value) in &response.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("Content-Length: {}\r\n\r\n", response.body.len()));
        let mut out = stream;
        out.write_all(head.as_bytes())?;
        if request.method != "HEAD" {
            out.write_all(&response.body)?;
        }
        out.flush()?;
        if request.close {
            break;
        }
    }
    Ok(())
}

fn read(reader: &mut BufReader<&TcpStream>) -> Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let method = words.next().unwrap_or("").to_string();
    let target = words.next().unwrap_or("/").to_string();
    let mut accept = String::new();
    let (mut length, mut chunked, mut close, mut expect) = (0usize, false, false, false);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let header = header.trim_end();
        if header.is_empty() {
            break;
        }
        let (name, value) = header.split_once(':').unwrap_or((header, ""));
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap_or(0),
            "transfer-encoding" => chunked = value.eq_ignore_ascii_case("chunked"),
            "connection" => close = value.eq_ignore_ascii_case("close"),
            "accept" => accept = value.to_string(),
            "expect" => expect = true,
            _ => {}
        }
    }
    if expect {
        let mut out: &TcpStream = reader.get_ref();
        out.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let mut body = Vec::new();
    if chunked {
        loop {
            let mut size = String::new();
            reader.read_line(&mut size)?;
            let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
            let at = body.len();
            body.resize(at + size, 0);
            reader.read_exact(&mut body[at..])?;
            let mut end = String::new();
            reader.read_line(&mut end)?;
            if size == 0 {
                break;
            }
        }
    } else {
        if length > 1 << 30 {
            bail!("too large");
        }
        body.resize(length, 0);
        reader.read_exact(&mut body)?;
    }
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    Ok(Some(Request { method, path: path.into(), query: query.into(), body, accept, close }))
}
