//! `docker-distribution`: a small registry that speaks enough of the Registry V2 API, on plain files.
//!
//! `blobs/sha256/<digest>` holds layers, configs and manifests; `repositories/<name>/tags/<tag>` the digest of the
//! tag's manifest; `uploads/<id>` what is being pushed.

use super::http::{self, Request, Response};
use crate::system::stamp;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// A tagged image.
pub struct Image {
    pub name: String,
    pub tag: String,
    /// `sha256:…` of its manifest.
    pub digest: String,
}

/// Every tagged image of a store, sorted.
pub fn images(store: &Path) -> Result<Vec<Image>> {
    let mut found = Vec::new();
    walk(&store.join("repositories"), "", &mut found)?;
    found.sort_by(|a, b| (&a.name, &a.tag).cmp(&(&b.name, &b.tag)));
    Ok(found)
}

fn walk(dir: &Path, name: &str, found: &mut Vec<Image>) -> Result<()> {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return Ok(());
    };
    for entry in entries {
        let entry = entry?;
        let file = entry.file_name().to_string_lossy().into_owned();
        if file == "tags" {
            for tag in std::fs::read_dir(entry.path())? {
                let tag = tag?;
                found.push(Image {
                    name: name.into(),
                    tag: tag.file_name().to_string_lossy().into_owned(),
                    digest: std::fs::read_to_string(tag.path())?.trim().to_string(),
                });
            }
        } else {
            let below = if name.is_empty() { file.clone() } else { format!("{name}/{file}") };
            walk(&entry.path(), &below, found)?;
        }
    }
    Ok(())
}

/// Serve a store until the process ends.
pub fn main(store: &str, address: &str) -> Result<()> {
    let store = PathBuf::from(store);
    http::serve(address, move |request| {
        answer(&store, request)
            .unwrap_or_else(|why| error("500 Internal Server Error", "UNKNOWN", &format!("{why:#}")))
            .with("Docker-Distribution-Api-Version", "registry/2.0")
    })
}

fn error(status: &'static str, code: &str, message: &str) -> Response {
    Response::json(status, &serde_json::json!({"errors": [{"code": code, "message": message}]}))
}

fn answer(store: &Path, request: &Request) -> Result<Response> {
    let path = request.path.trim_start_matches('/');
    let Some(rest) = path.strip_prefix("v2") else {
        return Ok(error("404 Not Found", "UNSUPPORTED", "not the registry API"));
    };
    let rest = rest.trim_matches('/');
    if rest.split('/').any(|part| part == "..") {
        return Ok(error("400 Bad Request", "NAME_INVALID", "a name must not climb"));
    }
    if rest.is_empty() {
        return Ok(Response::json("200 OK", &serde_json::json!({})));
    }
    if rest == "_catalog" {
        let mut names: Vec<String> = images(store)?.into_iter().map(|image| image.name).collect();
        names.dedup();
        return Ok(Response::json("200 OK", &serde_json::json!({ "repositories": names })));
    }
    if let Some(name) = rest.strip_suffix("/tags/list") {
        let tags: Vec<String> = images(store)?.into_iter().filter(|i| i.name == name).map(|i| i.tag).collect();
        if tags.is_empty() {
            return Ok(error("404 Not Found", "NAME_UNKNOWN", "repository name not known to registry"));
        }
        return Ok(Response::json("200 OK", &serde_json::json!({"name": name, "tags": tags})));
    }
    if let Some((name, reference)) = rest.split_once("/manifests/") {
        return manifest(store, request, name, reference);
    }
    if let Some((name, upload)) = rest.split_once("/blobs/uploads") {
        return push(store, request, name, upload.trim_matches('/'));
    }
    if let Some((_, digest)) = rest.split_once("/blobs/") {
        return blob(store, digest);
    }
    Ok(error("404 Not Found", "UNSUPPORTED", "no such resource"))
}

fn blob_path(store: &Path, digest: &str) -> Option<PathBuf> {
    let hex = digest.strip_prefix("sha256:")?;
    (hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit())).then(|| store.join("blobs/sha256").join(hex))
}

fn blob(store: &Path, digest: &str) -> Result<Response> {
    match blob_path(store, digest).and_then(|path| std::fs::read(path).ok()) {
        Some(bytes) => Ok(Response::new("200 OK", bytes)
            .with("Content-Type", "application/octet-stream")
            .with("Docker-Content-Digest", digest)),
        None => Ok(error("404 Not Found", "BLOB_UNKNOWN", "blob unknown to registry")),
    }
}

fn manifest(store: &Path, request: &Request, name: &str, reference: &str) -> Result<Response> {
    let tag = store.join("repositories").join(name).join("tags").join(reference);
    if request.method == "PUT" {
        let Ok(parsed) = serde_json::from_slice::<serde_json::Value>(&request.body) else {
            return Ok(error("400 Bad Request", "MANIFEST_INVALID", "manifest is not JSON"));
        };
        let layers = parsed["layers"].as_array().cloned().unwrap_or_default();
        for part in layers.iter().chain([&parsed["config"]]) {
            let digest = part["digest"].as_str().unwrap_or("");
            if !blob_path(store, digest).is_some_and(|path| path.exists()) {
                return Ok(error("404 Not Found", "MANIFEST_BLOB_UNKNOWN", &format!("blob unknown: {digest}")));
            }
        }
        let digest = format!("sha256:{}", stamp::digest(&request.body));
        save(store, &digest, &request.body)?;
        if !reference.starts_with("sha256:") {
            std::fs::create_dir_all(tag.parent().context("no directory")?)?;
            std::fs::write(&tag, format!("{digest}\n"))?;
        }
        return Ok(Response::new("201 Created", "").with("Docker-Content-Digest", &digest));
    }
    let digest = if reference.starts_with("sha256:") {
        reference.to_string()
    } else {
        std::fs::read_to_string(&tag).unwrap_or_default().trim().to_string()
    };
    match blob_path(store, &digest).and_then(|path| std::fs::read(path).ok()) {
        Some(bytes) => {
            Ok(Response::new("200 OK", bytes).with("Content-Type", MANIFEST).with("Docker-Content-Digest", &digest))
        }
        None => Ok(error("404 Not Found", "MANIFEST_UNKNOWN", "manifest unknown")),
    }
}

fn push(store: &Path, request: &Request, name: &str, upload: &str) -> Result<Response> {
    let uploads = store.join("uploads");
    std::fs::create_dir_all(&uploads)?;
    let digest = request.query.split('&').find_map(|pair| pair.strip_prefix("digest=")).map(|d| d.replace("%3A", ":"));
    if request.method == "POST" {
        if let Some(digest) = digest {
            return finish(store, name, &digest, &request.body);
        }
        let id = stamp::uuid();
        std::fs::write(uploads.join(&id), "")?;
        return Ok(Response::new("202 Accepted", "")
            .with("Location", &format!("/v2/{name}/blobs/uploads/{id}"))
            .with("Range", "0-0")
            .with("Docker-Upload-UUID", &id));
    }
    let file = uploads.join(upload);
    let Ok(mut bytes) = std::fs::read(&file) else {
        return Ok(error("404 Not Found", "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry"));
    };
    bytes.extend_from_slice(&request.body);
    if request.method == "PATCH" {
        std::fs::write(&file, &bytes)?;
        return Ok(Response::new("202 Accepted", "")
            .with("Location", &format!("/v2/{name}/blobs/uploads/{upload}"))
            .with("Range", &format!("0-{}", bytes.len().saturating_sub(1))));
    }
    std::fs::remove_file(&file)?;
    finish(store, name, &digest.unwrap_or_default(), &bytes)
}

fn finish(store: &Path, name: &str, digest: &str, bytes: &[u8]) -> Result<Response> {
    if format!("sha256:{}", stamp::digest(bytes)) != digest {
        return Ok(error("400 Bad Request", "DIGEST_INVALID", "provided digest did not match uploaded content"));
    }
    save(store, digest, bytes)?;
    Ok(Response::new("201 Created", "")
        .with("Location", &format!("/v2/{name}/blobs/{digest}"))
        .with("Docker-Content-Digest", digest))
}

fn save(store: &Path, digest: &str, bytes: &[u8]) -> Result<()> {
    let path = blob_path(store, digest).context("not a digest")?;
    std::fs::create_dir_all(path.parent().context("no directory")?)?;
    let partial = path.with_extension(stamp::uuid());
    std::fs::write(&partial, bytes)?;
    std::fs::rename(&partial, &path)?;
    Ok(())
}
