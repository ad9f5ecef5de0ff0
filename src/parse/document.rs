//! One YAML file: read, opened if it is a vault text, parsed.

use std::path::Path;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::files::Files;
use super::vault::{Vault, is_vault};
use super::yaml::{self, Kind, Node};
use crate::model::mistake::Mistake;
use crate::model::secret::{Mask, Secret};
use crate::model::source::Source;

/// A file that was read: its source for messages, and its root; none if nothing stands in it.
pub(super) struct Document {
    pub source: Arc<Source>,
    pub root: Option<Node>,
}

/// Reads a YAML file; what goes wrong goes to `mistakes`.
pub(super) fn load(files: &dyn Files, path: &Path, vault: &Vault, mistakes: &mut Vec<Mistake>) -> Option<Document> {
    match read(files, path, vault, mistakes) {
        Ok(document) => Some(document),
        Err(mistake) => {
            mistakes.push(mistake);
            None
        }
    }
}

/// Like [`load`], for those who want the mistake.
pub(super) fn read(
    files: &dyn Files,
    path: &Path,
    vault: &Vault,
    mistakes: &mut Vec<Mistake>,
) -> Result<Document, Mistake> {
    let name = files.shown(path);
    let text = read_text(files, path, vault)?;
    match text {
        Text::Plain(text) => {
            let source = Source::new(name, text);
            let root = yaml::read(&source, mistakes)?;
            Ok(Document { source, root })
        }
        Text::Opened(text) => {
            // Messages show the source's text; that of a vault file must not be shown.
            let stars: String = text.bytes().map(|b| if b == b'\n' { '\n' } else { '*' }).collect();
            let source = Source::new(name, stars);
            let root = yaml::read_hidden(&source, &text, mistakes)?;
            root.iter().for_each(|node| learn(node, vault.mask()));
            Ok(Document { source, root })
        }
    }
}

/// A file's text, opened if need be.
pub(super) enum Text {
    Plain(String),
    Opened(Zeroizing<String>),
}

/// Reads a file as UTF-8, opening it if it is a vault text.
pub(super) fn read_text(files: &dyn Files, path: &Path, vault: &Vault) -> Result<Text, Mistake> {
    let name = files.shown(path);
    let bytes = files.read(path).map_err(|e| Mistake::plain(format!("{name} cannot be read: {e}")))?;
    let utf8 = |at: usize| {
        Mistake::plain(format!("{name} is not UTF-8 text: byte {} cannot be read", at + 1))
            .help("save it as UTF-8, or check that it is the file you mean")
    };
    if is_vault(&bytes) {
        let text = String::from_utf8(bytes).map_err(|e| utf8(e.utf8_error().valid_up_to()))?;
        let opened = vault.decrypt(&text).map_err(|e| {
            Mistake::plain(format!("{name} cannot be opened: {e}"))
                .help("give the password with --ask-vault-pass, --vault-password-file or --vault-id")
        })?;
        let text = String::from_utf8(opened.to_vec()).map_err(|_| utf8(0))?;
        return Ok(Text::Opened(Zeroizing::new(text)));
    }
    String::from_utf8(bytes).map(Text::Plain).map_err(|e| utf8(e.utf8_error().valid_up_to()))
}

/// Takes every value of an encrypted file in as a secret.
fn learn(node: &Node, mask: &Mask) {
    match &node.kind {
        Kind::Scalar { text, .. } if node.is_string() => mask.learn(&Secret::new(&**text)),
        Kind::Scalar { .. } => {}
        Kind::Seq(items) => items.iter().for_each(|n| learn(n, mask)),
        Kind::Map(pairs) => pairs.iter().for_each(|(_, v)| learn(v, mask)),
    }
}
