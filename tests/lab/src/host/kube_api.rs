//! `kube-apiserver` of the active controller: hands each request to the state server, which knows the cluster.

use super::client::{self, Message, Said};
use super::http::{self, Response};
use anyhow::Result;
use std::time::Duration;

/// Serve the API until the process ends.
pub fn main(address: &str) -> Result<()> {
    http::serve(address, |request| {
        if request.query.contains("watch=true") || request.query.contains("watch=1") {
            // A watch that ends: clients list again.
            std::thread::sleep(Duration::from_secs(1));
            return Response::new("200 OK", "").with("Content-Type", "application/json");
        }
        let asked = Message::Kube {
            method: request.method.clone(),
            path: request.path.clone(),
            query: request.query.clone(),
            table: request.accept.contains("as=Table"),
            body: String::from_utf8_lossy(&request.body).into_owned(),
        };
        match client::tell(&asked) {
            Ok(Said::Http { status, body }) => {
                let kind = if body.starts_with('{') { "application/json" } else { "text/plain" };
                Response::new(phrase(status), body).with("Content-Type", kind)
            }
            _ => Response::new("503 Service Unavailable", ""),
        }
    })
}

fn phrase(status: u16) -> &'static str {
    match status {
        200 => "200 OK",
        201 => "201 Created",
        404 => "404 Not Found",
        405 => "405 Method Not Allowed",
        422 => "422 Unprocessable Entity",
        429 => "429 Too Many Requests",
        _ => "400 Bad Request",
    }
}
