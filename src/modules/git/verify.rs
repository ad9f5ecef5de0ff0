//! `git`: signatures of commits and tags, by the host's own GnuPG.

use super::Repository;
use crate::action::host::Act;
use crate::action::module::Failure;
use crate::model::outcome::Outcome;

impl Repository<'_> {
    /// Fails unless the version that is checked out is signed, and by a key that is allowed.
    pub(super) fn verify(&self, host: &mut dyn Act) -> Result<(), Failure> {
        // In a check run the version may not be here.
        if !self.args.verify_commit || host.supposed(&self.fact()).is_some() {
            return Ok(());
        }
        let version = self.args.version.as_str();
        let kind = self.line(host, &["cat-file", "-t", &format!("refs/tags/{version}")])?;
        let verb = if kind.as_deref() == Some("tag") { "verify-tag" } else { "verify-commit" };
        let output = self.ask(host, &[verb, "--raw", version], true)?;
        let said = output.error_text();
        let failed = |msg: String| {
            let outcome = Outcome::failed(msg).with("rc", output.rc).with("stderr", said.as_str());
            Err(Failure::Failed(Box::new(outcome)))
        };
        if !output.success() {
            return failed(format!("Failed to verify GPG signature of commit/tag \"{version}\""));
        }
        let allowed = &self.args.gpg_allowlist;
        let key = fingerprint(&said).unwrap_or_default();
        if !allowed.is_empty() && !allowed.contains(&key) {
            return failed(format!("The gpg_allowlist does not include the public key \"{key}\" for this commit"));
        }
        Ok(())
    }
}

/// The fingerprint of the key that signed: of the whole key, where a part of it did.
fn fingerprint(status: &str) -> Option<String> {
    let words = status.lines().map(|l| l.split_whitespace().collect::<Vec<_>>());
    let valid = words.into_iter().find(|w| w.get(1) == Some(&"VALIDSIG"))?;
    valid.get(11).or_else(|| valid.get(2)).map(|f| (*f).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_key_counts() {
        let with_part = "[GNUPG:] NEWSIG\n[GNUPG:] VALIDSIG PART 2026-01-01 1 0 4 0 22 8 00 WHOLE\n";
        assert_eq!(fingerprint(with_part).as_deref(), Some("WHOLE"));
        assert_eq!(fingerprint("[GNUPG:] VALIDSIG ONLY 2026-01-01 1\n").as_deref(), Some("ONLY"));
        assert_eq!(fingerprint("[GNUPG:] ERRSIG X\n"), None);
    }
}
