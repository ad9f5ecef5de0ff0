//! Vault texts that the real ansible-vault (ansible-core 2.19) wrote are opened, and ours are written the same way.

use std::path::{Path, PathBuf};

use stx_upgrade::model::secret::{Mask, Secret};
use stx_upgrade::model::value::Value;
use stx_upgrade::parse::files::Disk;
use stx_upgrade::parse::vars_file::{self, vars_file};
use stx_upgrade::parse::vault::{self, Vault, VaultError, VaultId, VaultSource};

const FILES: &str = "tests/inputs/vault";

fn path(name: &str) -> PathBuf {
    Path::new(FILES).join(name)
}

fn vault(ids: &[(&str, &str)]) -> Vault {
    let mut vault = Vault::new(Mask::default());
    for (id, file) in ids {
        vault.add(*id, vault::read_password(&path(file), id).unwrap());
    }
    vault
}

#[test]
fn files_of_ansible_vault_open() {
    for (name, id) in [("default.yml", "default"), ("labelled.yml", "lab")] {
        let vault = vault(&[(id, "password.txt")]);
        let vars = vars_file(&Disk, &path(name), &vault).unwrap();
        assert_eq!(vars.get("admin_password").unwrap().as_str(), Some("p-ä-7731"));
        assert!(vars.get("live").unwrap().has_template());
        let mask = vault.mask();
        assert!(mask.hides("it was p-ä-7731") && mask.hides("first-secret") && mask.hides("correct horse"));
    }
    let opened = vault(&[("default", "password.txt")]).decrypt(&std::fs::read_to_string(path("empty.vault")).unwrap());
    assert_eq!(opened.unwrap().as_slice(), b"");
}

#[test]
fn strings_open_with_the_secret_of_their_label_and_fail_only_when_used() {
    let both = vault(&[("default", "password.txt"), ("prod", "other.txt")]);
    let vars = vars_file(&Disk, &path("strings.yml"), &both).unwrap();
    assert_eq!(vars.get("prod").unwrap().as_str(), Some("only-prod"));
    assert_eq!(vars.get("list").unwrap().to_string(), "['three']");
    // Jinja in an encrypted text is live, as in Ansible.
    assert!(matches!(vars.get("inline").unwrap(), Value::Template(t) if t.text == "in-line {{ not_secret }}"));

    let one = vault(&[("default", "password.txt")]);
    let vars = vars_file(&Disk, &path("strings.yml"), &one).unwrap();
    assert_eq!(vars.get("plain"), Some(&Value::Int(1)));
    let Value::Template(closed) = vars.get("prod").unwrap() else { panic!("a template that fails") };
    assert!(closed.text.contains("strings.yml:10:") && closed.text.contains("`prod`"), "{}", closed.text);
}

#[test]
fn a_wrong_or_missing_password_is_named() {
    let text = std::fs::read_to_string(path("labelled.yml")).unwrap();
    let label = Some("lab".to_owned());
    assert_eq!(Vault::default().decrypt(&text).unwrap_err(), VaultError::NoSecret(label.clone()));
    let wrong = vault(&[("default", "other.txt")]).decrypt(&text).unwrap_err();
    assert_eq!(wrong, VaultError::WrongSecret { label, tried: "default".into() });
    let mut damaged = text.clone().into_bytes();
    let at = damaged.len() - 30;
    damaged[at] = if damaged[at] == b'3' { b'6' } else { b'3' };
    assert!(vault(&[("lab", "password.txt")]).decrypt(&String::from_utf8(damaged).unwrap()).is_err());
    for broken in ["", "$ANSIBLE_VAULT;1.1;AES256\n", "$ANSIBLE_VAULT;1.1;AES256\nzz", "$ANSIBLE_VAULT;9;X\n00", "abc"]
    {
        assert!(matches!(Vault::default().decrypt(broken), Err(VaultError::Format(_))), "{broken}");
    }
    let mut mistakes = Vec::new();
    assert!(vars_file::load(&Disk, &path("default.yml"), &Vault::default(), &mut mistakes).is_none());
    assert!(mistakes[0].message.contains("no vault password"), "{mistakes:?}");
}

#[test]
fn what_is_encrypted_here_opens_again() {
    let vault = vault(&[("default", "password.txt"), ("prod", "other.txt")]);
    for (text, id, header) in [
        (&b"abc"[..], None, "$ANSIBLE_VAULT;1.1;AES256"),
        (b"", Some("prod"), "$ANSIBLE_VAULT;1.2;AES256;prod"),
        (&[7u8; 64], Some("default"), "$ANSIBLE_VAULT;1.1;AES256"),
    ] {
        let sealed = vault.encrypt(text, id).unwrap();
        assert_eq!(sealed.lines().next(), Some(header));
        assert!(sealed.lines().skip(1).all(|l| l.len() <= 80) && sealed.ends_with('\n'));
        assert_eq!(vault.decrypt(&sealed).unwrap().as_slice(), text);
        assert_ne!(vault.encrypt(text, id).unwrap(), sealed, "the salt is new each time");
    }
    assert!(vault.encrypt(b"x", Some("nobody")).is_none());
}

#[test]
fn vault_ids_and_password_scripts() {
    let id = |id: &str, source| VaultId { id: id.into(), source };
    assert_eq!(VaultId::parse("prod@key"), id("prod", VaultSource::File("key".into())));
    assert_eq!(VaultId::parse("prod@prompt"), id("prod", VaultSource::Prompt));
    assert_eq!(VaultId::parse("key"), id("default", VaultSource::File("key".into())));
    assert_eq!(vault::read_password(&path("key-client.sh"), "prod").unwrap(), Secret::new("other secret"));
    assert!(vault::read_password(&path("key-client.sh"), "lab").unwrap_err().contains("failed"));
    // Only names that end with -client are told the id.
    assert_eq!(vault::read_password(&path("client.sh"), "prod").unwrap(), Secret::new("not for"));
    assert!(vault::read_password(&path("default.yml"), "x").unwrap_err().contains("encrypted"));
    assert!(vault::read_password(&path("no-such-file"), "x").unwrap_err().contains("no-such-file"));
}
