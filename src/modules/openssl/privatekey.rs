//! `openssl_privatekey`: a private key in a file.

use std::path::PathBuf;

use super::{Made, PASS, State, openssl, public_of, view};
use crate::action::host::Act;
use crate::action::module::{Failure, Module};
use crate::model::outcome::Outcome;
use crate::model::secret::Secret;
use crate::modules::file_args::{FileArgs, describe};
use crate::modules::file_content::read_existing;
use crate::modules::paths;
use crate::{arguments, choices};

choices! {
    pub enum Type {
        Dsa = "DSA",
        Ecc = "ECC",
        Ed25519 = "Ed25519",
        Ed448 = "Ed448",
        Rsa = "RSA",
        X25519 = "X25519",
        X448 = "X448",
    }
}

choices! { pub enum Form { Auto = "auto", AutoIgnore = "auto_ignore", Pkcs1 = "pkcs1", Pkcs8 = "pkcs8" } }

choices! {
    pub enum Regenerate {
        Always = "always",
        Fail = "fail",
        Full = "full_idempotence",
        Never = "never",
        Partial = "partial_idempotence",
    }
}

choices! { pub enum Cipher { Auto = "auto", Aes256 = "aes256" } }

arguments! {
    pub struct Args {
        /// The file.
        path []: PathBuf,
        /// Whether it shall be there.
        state []: State = State::Present,
        /// The kind of key.
        r#type []: Type = Type::Rsa,
        /// Bits of an RSA or DSA key.
        size []: u64 = 4096u64,
        /// The curve of an ECC key.
        curve []: Option<String>,
        /// Passphrase that protects it.
        passphrase []: Option<Secret>,
        /// How it is protected then.
        cipher []: Option<Cipher>,
        /// How it is written: `pkcs1` is the old form of each kind, `auto_ignore` takes that where there is one.
        format []: Form = Form::AutoIgnore,
        /// When to make another key in place of one that is there.
        regenerate []: Regenerate = Regenerate::Full,
        /// Make another key in any case.
        force []: bool = false,
        /// Keep a copy of what was there.
        backup []: bool = false,
        /// Give the key in `privatekey`; use `no_log` with it.
        return_content []: bool = false,
        ..file: FileArgs,
    }
    rules [If("type", "ECC", &["curve"])]
}

/// The module `openssl_privatekey`.
pub struct PrivateKey;

impl Module for PrivateKey {
    const NAMES: &'static [&'static str] = &["openssl_privatekey", "community.crypto.openssl_privatekey"];
    const DOC: &'static str =
        "Makes private keys with the host's own `openssl`. A key that is as it shall be is left alone.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[
        ("filename", "The file"),
        ("type", "The kind of key"),
        ("size", "Bits of an RSA or DSA key"),
        ("curve", "The curve of an ECC key"),
        ("fingerprint", "Digests of its public key"),
        ("backup_file", "The copy that was kept"),
        ("privatekey", "The key, with `return_content`"),
    ];
    const EXAMPLE: &'static str = "- openssl_privatekey:\n    path: /etc/ssl/private/ansible.com.pem\n    size: 2048\n";
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let path = paths::expand(host.as_look(), &args.path)?;
        let made = Made { path: &path, file: &args.file, backup: args.backup, mode: Some(0o600) };
        let shown = path.display().to_string();
        let outcome = Outcome::ok().with("filename", shown).with("type", args.r#type.word());
        if args.state == State::Absent {
            return made.remove(host, outcome);
        }
        let before = read_existing(host.as_look(), &path)?;
        let fresh = match &before {
            Some(key) if !args.force && args.regenerate != Regenerate::Always => {
                if fits(&args, host, key)? {
                    None
                } else {
                    Some(generate(&args, host)?)
                }
            }
            _ => Some(generate(&args, host)?),
        };
        let key = fresh.as_ref().or(before.as_ref()).cloned().unwrap_or_default();
        let public = public_of(host, &key, args.passphrase.as_ref())?;
        let kind = view::kind(&view::public_key(&public)?);
        let mut outcome = outcome.with("fingerprint", view::fingerprints(&public));
        if matches!(args.r#type, Type::Rsa | Type::Dsa) {
            outcome = outcome.with("size", kind.size);
        }
        if args.r#type == Type::Ecc {
            outcome = outcome.with("curve", kind.curve);
        }
        if args.return_content {
            outcome = outcome.with("privatekey", String::from_utf8_lossy(&key).into_owned());
        }
        let outcome = made.put(host, fresh.as_deref(), outcome)?;
        let size = outcome.data.get("size").cloned();
        let mut outcome = describe(host.as_look(), &path, outcome)?;
        // The key's size is meant, not the file's.
        match size {
            Some(size) => outcome = outcome.with("size", size),
            None => drop(outcome.data.shift_remove("size")),
        }
        Ok(outcome)
    }
}

/// Whether the key that is there is the one wanted; a failure where it must not be replaced.
fn fits(args: &Args, host: &mut dyn Act, key: &[u8]) -> Result<bool, Failure> {
    let pass = args.passphrase.as_ref();
    let text = String::from_utf8_lossy(key);
    let protected = text.contains("ENCRYPTED");
    let public = match public_of(host, key, pass) {
        Ok(public) if protected == pass.is_some() => public,
        _ if args.regenerate == Regenerate::Full => return Ok(false),
        _ => {
            return Err(Failure::new(
                "Unable to read the key. The key is protected with a another passphrase / no passphrase or broken. \
                 Will not proceed. To force regeneration, call the module with `regenerate` set to `full_idempotence` or \
                 `always`, or with `force=true`.",
            ));
        }
    };
    let now = view::kind(&view::public_key(&public)?);
    let same = now.name == args.r#type.word()
        && (!matches!(args.r#type, Type::Rsa | Type::Dsa) || now.size == args.size as i64)
        && (args.r#type != Type::Ecc || now.curve.as_deref() == args.curve.as_deref());
    let old_form = ["RSA PRIVATE", "EC PRIVATE", "DSA PRIVATE"].iter().any(|l| text.contains(l));
    let form = match args.format {
        Form::Auto | Form::AutoIgnore => true,
        Form::Pkcs1 => old_form,
        Form::Pkcs8 => !old_form,
    };
    match (same && form, args.regenerate) {
        (true, _) | (false, Regenerate::Never) => Ok(true),
        (false, Regenerate::Fail) => Err(Failure::new(
            "Key has wrong type and/or size. Will not proceed. To force regeneration, call the module with `regenerate` set \
             to `partial_idempotence`, `full_idempotence` or `always`, or with `force=true`.",
        )),
        (false, _) => Ok(false),
    }
}

fn generate(args: &Args, host: &mut dyn Act) -> Result<Vec<u8>, Failure> {
    let (algorithm, options): (&str, Vec<String>) = match args.r#type {
        Type::Rsa => ("RSA", vec![format!("rsa_keygen_bits:{}", args.size)]),
        Type::Ecc => {
            let curve = args.curve.as_deref().unwrap_or_default();
            // openssl knows this one by its older name alone.
            let curve = match curve {
                "secp256r1" => "prime256v1",
                "secp192r1" => "prime192v1",
                other => other,
            };
            ("EC", vec![format!("ec_paramgen_curve:{curve}"), "ec_param_enc:named_curve".into()])
        }
        Type::Dsa => return dsa(args, host),
        Type::Ed25519 => ("ED25519", Vec::new()),
        Type::Ed448 => ("ED448", Vec::new()),
        Type::X25519 => ("X25519", Vec::new()),
        Type::X448 => ("X448", Vec::new()),
    };
    let mut words = vec!["genpkey", "-quiet", "-algorithm", algorithm];
    words.extend(options.iter().flat_map(|o| ["-pkeyopt", o.as_str()]));
    let key = match openssl(host, &words, b"", None) {
        // Older ones do not know the word, and are loud on standard error alone.
        Err(_) => {
            words.retain(|w| *w != "-quiet");
            openssl(host, &words, b"", None)?
        }
        Ok(key) => key,
    };
    written(args, host, &key)
}

fn dsa(args: &Args, host: &mut dyn Act) -> Result<Vec<u8>, Failure> {
    let size = args.size.to_string();
    let parameters = openssl(host, &["dsaparam", &size], b"", None)?;
    let key = openssl(host, &["gendsa", "/dev/stdin"], &parameters, None)?;
    written(args, host, &key)
}

/// The key in the form that is wanted, protected if there is a passphrase.
fn written(args: &Args, host: &mut dyn Act, key: &[u8]) -> Result<Vec<u8>, Failure> {
    let old = matches!(args.r#type, Type::Rsa | Type::Ecc | Type::Dsa);
    let out = format!("env:{PASS}");
    let mut words = vec!["pkey"];
    if old && matches!(args.format, Form::Auto | Form::AutoIgnore | Form::Pkcs1) {
        words.push("-traditional");
    } else if args.format == Form::Pkcs1 {
        return Err(Failure::new(format!("a key of type {} has no form pkcs1", args.r#type.word())));
    }
    if args.passphrase.is_some() {
        words.extend(["-aes256", "-passout", &out]);
    }
    openssl(host, &words, key, args.passphrase.as_ref())
}

/// For certificates and requests: the public key of a private key that is given by its place or as text.
pub(super) fn given(
    host: &mut dyn Act,
    path: Option<&PathBuf>,
    content: Option<&Secret>,
    pass: Option<&Secret>,
    what: &str,
) -> Result<(Vec<u8>, Vec<u8>), Failure> {
    let key = match (path, content) {
        (_, Some(text)) => text.reveal().as_bytes().to_vec(),
        (Some(path), None) => {
            let path = paths::expand(host.as_look(), path)?;
            let missing =
                |_| Failure::new(format!("The private key {} does not exist or cannot be read", path.display()));
            host.read(&path).map_err(missing)?
        }
        (None, None) => {
            return Err(Failure::new(format!("a private key is required: give `{what}_path` or `{what}_content`")));
        }
    };
    let public = public_of(host, &key, pass)?;
    Ok((key, public))
}
