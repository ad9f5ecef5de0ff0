//! What an archive of images holds: `registry/index.json` with the images, and their manifests and layers as blobs.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::archive::Index;

/// The folder of the archive.
pub const EXPORT: &str = "registry";

/// `index.json` of the archive.
#[derive(Deserialize)]
pub struct Contents {
    pub images: Vec<Image>,
}

#[derive(Deserialize)]
pub struct Image {
    pub name: String,
    pub tag: String,
    pub digest: String,
}

/// What a manifest refers to.
#[derive(Deserialize)]
pub struct Manifest {
    #[serde(rename = "mediaType")]
    pub media_type: Option<String>,
    pub config: Blob,
    pub layers: Vec<Blob>,
}

#[derive(Deserialize)]
pub struct Blob {
    pub digest: String,
}

/// Where a blob lies below the folder; an error for what is no SHA-256 digest.
pub fn blob(digest: &str) -> Result<String, String> {
    let hex = digest.strip_prefix("sha256:").filter(|h| h.len() == 64 && h.bytes().all(|b| b.is_ascii_hexdigit()));
    hex.map(|hex| format!("blobs/sha256/{hex}")).ok_or_else(|| format!("`{digest}` is no SHA-256 digest"))
}

/// What the images of an archive refer to and the archive does not hold, by image: a restore would find it out only when the
/// host is wiped.
pub fn lacking(index: &Index) -> Vec<String> {
    let contents: Contents = match small(index, "index.json") {
        Ok(contents) => contents,
        Err(why) => return vec![why],
    };
    let mut lacking = BTreeSet::new();
    for image in &contents.images {
        let name = format!("{}:{}", image.name, image.tag);
        let manifest = blob(&image.digest).and_then(|path| small::<Manifest>(index, &path));
        let parts = match manifest {
            Ok(manifest) => manifest.layers.into_iter().chain([manifest.config]).collect(),
            Err(why) => {
                lacking.insert(format!("{name}: {why}"));
                Vec::new()
            }
        };
        for part in parts {
            match blob(&part.digest) {
                Ok(path) if index.holds(&format!("{EXPORT}/{path}")) => {}
                Ok(_) => drop(lacking.insert(format!("{name}: {} is not there", part.digest))),
                Err(why) => drop(lacking.insert(format!("{name}: {why}"))),
            }
        }
    }
    lacking.into_iter().collect()
}

fn small<T: DeserializeOwned>(index: &Index, path: &str) -> Result<T, String> {
    let bytes = index.small.get(&format!("{EXPORT}/{path}")).ok_or_else(|| format!("{path} is not there"))?;
    serde_json::from_slice(bytes).map_err(|e| format!("{path} cannot be read: {e}"))
}
