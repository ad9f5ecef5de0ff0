//! `vault`: files and texts encrypted as ansible-vault does it.

use std::io::Read;

use anyhow::{Context, anyhow, bail};

use super::args::{Vault as Args, VaultAction};
use super::exit_code::Exit;
use super::secrets;
use crate::model::secret::Mask;
use crate::modules::host::part::Part;
use crate::parse::vault::{Vault, is_vault};

pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let mut secrets = args.secrets.clone();
    super::settings::Settings::read()?.fill_secrets(&mut secrets);
    let vault = secrets::collect(&secrets, &Mask::default())?.vault;
    if vault.is_empty() {
        bail!("no vault password: give one with --vault-password-file, --vault-id or --ask-vault-password");
    }
    let id = args.encrypt_vault_id.as_deref();
    match &args.action {
        VaultAction::Encrypt { files } => each(files, |text| {
            if is_vault(text) {
                bail!("is encrypted already");
            }
            encrypt(&vault, text, id).map(String::into_bytes)
        }),
        VaultAction::Decrypt { files } => each(files, |text| Ok(decrypt(&vault, text)?.to_vec())),
        VaultAction::View { files } => {
            for file in files {
                let text = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
                let plain = decrypt(&vault, &text).with_context(|| file.display().to_string())?;
                print!("{}", String::from_utf8_lossy(&plain));
            }
            Ok(Exit::Ok)
        }
        VaultAction::EncryptString { name } => {
            let mut text = Vec::new();
            std::io::stdin().read_to_end(&mut text)?;
            let sealed = encrypt(&vault, &text, id)?;
            if let Some(name) = name {
                print!("{name}: ");
            }
            println!("!vault |");
            sealed.lines().for_each(|l| println!("          {l}"));
            Ok(Exit::Ok)
        }
    }
}

fn encrypt(vault: &Vault, plain: &[u8], id: Option<&str>) -> anyhow::Result<String> {
    vault.encrypt(plain, id).ok_or_else(|| match id {
        Some(id) => anyhow!("there is no vault password for the id `{id}`"),
        None => anyhow!("there is no vault password to encrypt with"),
    })
}

fn decrypt(vault: &Vault, text: &[u8]) -> anyhow::Result<zeroize::Zeroizing<Vec<u8>>> {
    if !is_vault(text) {
        bail!("is not encrypted by ansible-vault");
    }
    Ok(vault.decrypt(std::str::from_utf8(text)?)?)
}

/// Changes files in place, each as a whole.
fn each(files: &[std::path::PathBuf], change: impl Fn(&[u8]) -> anyhow::Result<Vec<u8>>) -> anyhow::Result<Exit> {
    if files.is_empty() {
        bail!("no file was named");
    }
    for file in files {
        let text = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
        let changed = change(&text).with_context(|| file.display().to_string())?;
        let written = Part::of(file).and_then(|mut part| {
            std::io::Write::write_all(&mut part.file, &changed)?;
            part.put()
        });
        written.with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(Exit::Ok)
}
