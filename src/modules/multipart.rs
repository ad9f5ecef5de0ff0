//! Bodies of forms in several parts, as `uri` sends them.

use std::io::Read;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::file_content::random_name;
use super::paths;
use crate::action::host::Act;
use crate::action::module::Failure;
use crate::model::value::{Dict, Value};

/// The body, and its content type. Files come from the host unless their content was sent (`blobs`, by file name).
pub fn write(fields: &Dict, blobs: Option<&Dict>, host: &mut dyn Act) -> Result<(Vec<u8>, String), Failure> {
    let boundary = format!("==============={}==", random_name(24));
    let mut out = Vec::new();
    for (name, value) in fields {
        out.extend(format!("--{boundary}\r\n").into_bytes());
        part(&name.to_string(), value, blobs, host, &mut out)?;
        out.extend(b"\r\n");
    }
    out.extend(format!("--{boundary}--\r\n").into_bytes());
    Ok((out, format!("multipart/form-data; boundary=\"{boundary}\"")))
}

fn part(name: &str, value: &Value, blobs: Option<&Dict>, host: &mut dyn Act, out: &mut Vec<u8>) -> Result<(), Failure> {
    let text = |key: &str| value.get(key).filter(|v| !v.is_null()).map(Value::to_string);
    let quoted = |t: &str| t.replace('\\', "\\\\").replace('"', "\\\"").replace(['\r', '\n'], " ");
    if let Value::Dict(given) = value {
        let known = ["filename", "content", "mime_type", "multipart_encoding"];
        if let Some((other, _)) = given.iter().find(|(k, _)| !known.contains(&k.to_string().as_str())) {
            return Err(Failure::new(format!("body: the field `{name}` has an unknown key `{other}`")));
        }
    } else {
        out.extend(format!("Content-Disposition: form-data; name=\"{}\"\r\n", quoted(name)).into_bytes());
        out.extend(b"Content-Type: text/plain\r\n\r\n");
        out.extend(value.to_string().into_bytes());
        return Ok(());
    }
    let (file, content) = (text("filename"), text("content"));
    let mut header = format!("Content-Disposition: form-data; name=\"{}\"", quoted(name));
    if let Some(file) = &file {
        let base = file.rsplit('/').next().unwrap_or(file);
        header.push_str(&format!("; filename=\"{}\"", quoted(base)));
    }
    let kind = text("mime_type")
        .unwrap_or_else(|| if file.is_some() { "application/octet-stream" } else { "text/plain" }.into());
    out.extend(format!("{header}\r\nContent-Type: {}\r\n", quoted(&kind)).into_bytes());
    match (content, file) {
        (Some(content), _) => {
            out.extend(b"\r\n");
            out.extend(content.into_bytes());
        }
        (None, Some(file)) => {
            let failed = |e: std::io::Error| Failure::new(format!("body: reading {file}: {e}"));
            let mut bytes = Vec::new();
            let mut open = match blobs.and_then(|b| b.get(file.as_str())) {
                Some(blob) => host.blob(&blob.to_string())?,
                None => {
                    let path = paths::expand(host.as_look(), &PathBuf::from(&file))?;
                    host.open(&path)?
                }
            };
            open.read_to_end(&mut bytes).map_err(failed)?;
            match text("multipart_encoding").as_deref() {
                None | Some("base64") => {
                    out.extend(b"Content-Transfer-Encoding: base64\r\n\r\n");
                    let packed = STANDARD.encode(&bytes);
                    for line in packed.as_bytes().chunks(76) {
                        out.extend(line);
                        out.extend(b"\r\n");
                    }
                }
                Some("7or8bit") => {
                    out.extend(b"\r\n");
                    out.extend(bytes);
                }
                Some(other) => {
                    return Err(Failure::new(format!(
                        "body: multipart_encoding must be base64 or 7or8bit, not `{other}`"
                    )));
                }
            }
        }
        (None, None) => return Err(Failure::new(format!("body: the field `{name}` needs `filename` or `content`"))),
    }
    Ok(())
}
