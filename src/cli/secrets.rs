//! Passwords and vault secrets: from files, programs and the terminal, never from the command line itself.

use std::path::Path;

use anyhow::{Context, bail};

use super::args::Secrets;
use super::operator;
use crate::model::secret::{Mask, Secret};
use crate::parse::vault::{Vault, VaultId, VaultSource, read_password};

/// What was given.
pub struct Given {
    pub vault: Vault,
    pub connection: Option<Secret>,
    pub become_: Option<Secret>,
}

/// Reads and asks for all that the options name; every secret is known to `mask` from here on.
pub fn collect(args: &Secrets, mask: &Mask) -> anyhow::Result<Given> {
    let connection = password(args.connection_password_file.as_deref(), args.ask_pass, "SSH password: ")?;
    let mut become_ = password(args.become_password_file.as_deref(), args.ask_become_pass, "BECOME password: ")?;
    // As ansible-playbook: an empty answer takes the login password.
    if become_.as_ref().is_some_and(|p| p.reveal().is_empty()) {
        become_.clone_from(&connection);
    }
    let mut vault = Vault::new(mask.clone());
    let mut ids: Vec<VaultId> = args.vault_id.iter().map(|i| VaultId::parse(i)).collect();
    for file in &args.vault_password_file {
        ids.push(VaultId { id: "default".into(), source: VaultSource::File(file.clone()) });
    }
    if args.ask_vault_password {
        ids.push(VaultId { id: "default".into(), source: VaultSource::Prompt });
    }
    for VaultId { id, source } in ids {
        let secret = match source {
            VaultSource::File(path) => read_password(&path, &id).map_err(anyhow::Error::msg)?,
            VaultSource::Prompt => ask(&format!("Vault password ({id}): "))?,
        };
        mask.learn(&secret);
        vault.add(id, secret);
    }
    connection.iter().chain(&become_).for_each(|s| mask.learn(s));
    Ok(Given { vault, connection, become_ })
}

fn password(file: Option<&Path>, asked: bool, prompt: &str) -> anyhow::Result<Option<Secret>> {
    if let Some(file) = file {
        let text =
            std::fs::read_to_string(file).with_context(|| format!("reading the password file {}", file.display()))?;
        return Ok(Some(Secret::new(text.trim_end_matches(['\n', '\r']))));
    }
    if asked { ask(prompt).map(Some) } else { Ok(None) }
}

fn ask(prompt: &str) -> anyhow::Result<Secret> {
    let Some(asker) = operator::asker(None) else {
        bail!(
            "there is no terminal to ask for a password at; give a file with --become-password-file, --connection-password-file or --vault-password-file"
        );
    };
    Ok(Secret::new(asker.ask(prompt, false)?.unwrap_or_default()))
}
