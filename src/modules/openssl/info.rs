//! `openssl_privatekey_info`, `openssl_csr_info` and `x509_certificate_info`: what keys, requests and certificates say.

use std::path::PathBuf;

use super::view;
use super::{der, openssl, pass_in, public_of};
use crate::action::host::Act;
use crate::action::module::{Failure, Module};
use crate::arguments;
use crate::dict;
use crate::model::outcome::{Outcome, Status};
use crate::model::secret::Secret;
use crate::model::value::{Dict, Key, Value};
use crate::modules::paths;

arguments! {
    /// Where to read from.
    pub struct Source {
        /// The file on the host.
        path []: Option<PathBuf>,
        /// The text itself.
        content []: Option<Secret>,
    }
}

impl Source {
    fn bytes(&self, host: &mut dyn Act) -> Result<Vec<u8>, Failure> {
        match (&self.path, &self.content) {
            (Some(path), _) => {
                let path = paths::expand(host.as_look(), path)?;
                host.read(&path).map_err(|e| Failure::new(format!("Error while reading {}: {e}", path.display())))
            }
            (None, Some(text)) => Ok(text.reveal().as_bytes().to_vec()),
            (None, None) => Err(Failure::new("one of `path` and `content` is required")),
        }
    }
}

arguments! {
    pub struct KeyArgs {
        /// The key's passphrase.
        passphrase []: Option<Secret>,
        ..source: Source,
    }
    rules [OneOf(&["path", "content"]), Exclusive(&["path", "content"])]
}

/// The module `openssl_privatekey_info`.
pub struct KeyInfo;

impl Module for KeyInfo {
    const NAMES: &'static [&'static str] = &["openssl_privatekey_info", "community.crypto.openssl_privatekey_info"];
    const DOC: &'static str = "Tells what a private key is. What is secret of it is not told.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[
        ("can_load_key", "Whether it is there"),
        ("can_parse_key", "Whether it can be read"),
        ("public_key", "Its public key, with `public_key_fingerprints` and `public_data`"),
        ("type", "Its type: `RSA`, `ECC`, `Ed25519`, …"),
        ("key_is_consistent", "Whether openssl finds it sound"),
    ];
    const EXAMPLE: &'static str =
        "- openssl_privatekey_info:\n    path: /etc/ssl/private/ansible.com.pem\n  register: key\n";
    type Args = KeyArgs;

    fn run(args: KeyArgs, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let broken = |failure: Failure, loaded: bool| {
            let outcome = failure.into_outcome().with("can_load_key", loaded).with("can_parse_key", false);
            Failure::Failed(Box::new(outcome.with("key_is_consistent", Value::Null)))
        };
        let key = args.source.bytes(host).map_err(|f| broken(f, false))?;
        let pass = args.passphrase.as_ref();
        let public = public_of(host, &key, pass).map_err(|f| broken(f, true))?;
        let mut out = dict! {"can_load_key" => true, "can_parse_key" => true};
        view::describe_key(&mut out, "", &view::public_key(&public)?);
        let words = pass_in(pass);
        let mut check = vec!["pkey", "-check", "-noout"];
        check.extend(words.iter().map(String::as_str));
        out.insert("key_is_consistent".into(), openssl(host, &check, &key, pass).is_ok().into());
        Ok(Outcome { data: out, ..Outcome::ok() })
    }
}

arguments! {
    pub struct CsrArgs {
        ..source: Source,
    }
    rules [OneOf(&["path", "content"]), Exclusive(&["path", "content"])]
}

/// The module `openssl_csr_info`.
pub struct CsrInfo;

impl Module for CsrInfo {
    const NAMES: &'static [&'static str] = &["openssl_csr_info", "community.crypto.openssl_csr_info"];
    const DOC: &'static str = "Tells what a certificate signing request asks for.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[
        ("subject", "By long names, with `subject_ordered`"),
        ("subject_alt_name", "Other names, as `DNS:name`"),
        ("key_usage", "What the key is for, with `extended_key_usage` and `basic_constraints`"),
        ("public_key", "The public key, with `public_key_type` and more"),
        ("signature_valid", "Whether it is signed by that key"),
        ("extensions_by_oid", "All extensions as they are written, in Base64"),
    ];
    const EXAMPLE: &'static str =
        "- openssl_csr_info:\n    path: /etc/ssl/csr/www.ansible.com.csr\n  register: request\n";
    type Args = CsrArgs;

    fn run(args: CsrArgs, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let content = args.source.bytes(host)?;
        let der = der(&content)?;
        let request = view::request(&der)?;
        let mut out = Dict::new();
        view::named(&mut out, "subject", &request.certification_request_info.subject);
        view::extensions(&mut out, view::requested(&request));
        view::describe_key(&mut out, "public_key_", &request.certification_request_info.subject_pki);
        let valid = openssl(host, &["req", "-verify", "-noout", "-inform", "DER"], &der, None).is_ok();
        let mut outcome = Outcome { data: out, ..Outcome::ok() }.with("signature_valid", valid);
        if !valid {
            outcome.status = Status::Failed;
            return Err(Failure::Failed(Box::new(outcome.msg("CSR signature is invalid!"))));
        }
        Ok(outcome)
    }
}

arguments! {
    pub struct CertificateArgs {
        /// Times, each by a name of yours, at which it is to be looked whether it is valid: `+1d`, `20301231235959Z`.
        valid_at []: Option<Dict>,
        ..source: Source,
    }
    rules [OneOf(&["path", "content"]), Exclusive(&["path", "content"])]
}

/// The module `x509_certificate_info`.
pub struct CertificateInfo;

impl Module for CertificateInfo {
    const NAMES: &'static [&'static str] = &[
        "x509_certificate_info",
        "community.crypto.x509_certificate_info",
        "openssl_certificate_info",
        "community.crypto.openssl_certificate_info",
    ];
    const DOC: &'static str = "Tells what a certificate says.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[
        ("subject", "By long names, with `subject_ordered`; the same of `issuer`"),
        ("not_before", "From when it is valid, as `20190413202428Z`"),
        ("not_after", "Until when it is valid"),
        ("expired", "Whether that time is over"),
        ("valid_at", "Whether it is valid at the times that were asked for"),
        ("serial_number", "Its number; a text where it is too long for one"),
        ("subject_alt_name", "Other names, as `DNS:name`"),
        ("key_usage", "What the key is for, with `extended_key_usage` and `basic_constraints`"),
        ("subject_key_identifier", "With `authority_key_identifier`, as `aa:bb`"),
        ("fingerprints", "Its digests, as `aa:bb`"),
        ("public_key", "The public key, with `public_key_type` and more"),
        ("signature_algorithm", "How it is signed"),
        ("version", "1 or 3"),
        ("extensions_by_oid", "All extensions as they are written, in Base64"),
    ];
    const EXAMPLE: &'static str = "- x509_certificate_info:\n    path: /etc/ssl/crt/ansible.com.crt\n    valid_at:\n      next_week: +1w\n  register: certificate\n- assert:\n    that: certificate.valid_at.next_week\n";
    type Args = CertificateArgs;

    fn run(args: CertificateArgs, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let content = args.source.bytes(host)?;
        let der = der(&content)?;
        let certificate = view::certificate(&der)?;
        let now = jiff::Timestamp::now().as_second();
        let validity = certificate.validity();
        let (from, until) = (validity.not_before.timestamp(), validity.not_after.timestamp());
        let mut at = Dict::new();
        for (name, when) in args.valid_at.iter().flatten() {
            let time = view::moment(&when.to_string(), now)?;
            at.insert(name.clone(), (from <= time && time <= until).into());
        }
        let mut out = Dict::new();
        view::named(&mut out, "subject", certificate.subject());
        view::named(&mut out, "issuer", certificate.issuer());
        view::extensions(&mut out, certificate.extensions());
        view::describe_key(&mut out, "public_key_", certificate.public_key());
        for (name, value) in [
            ("signature_algorithm", view::signature(&certificate.signature_algorithm.algorithm.to_id_string()).into()),
            ("version", (i64::from(certificate.version.0) + 1).into()),
            ("serial_number", view::number(certificate.raw_serial())),
            ("not_before", view::time(from).into()),
            ("not_after", view::time(until).into()),
            ("expired", (until < now).into()),
            ("valid_at", Value::dict(at)),
            ("fingerprints", view::fingerprints(&der)),
            ("ocsp_uri", access(&certificate, "1.3.6.1.5.5.7.48.1")),
            ("issuer_uri", access(&certificate, "1.3.6.1.5.5.7.48.2")),
        ] {
            out.insert(Key::from(name), value);
        }
        Ok(Outcome { data: out, ..Outcome::ok() })
    }
}

/// An address that the certificate names for a purpose.
fn access(certificate: &x509_parser::certificate::X509Certificate<'_>, method: &str) -> Value {
    use x509_parser::prelude::{GeneralName, ParsedExtension};
    let found = certificate.extensions().iter().find_map(|e| match e.parsed_extension() {
        ParsedExtension::AuthorityInfoAccess(info) => info.accessdescs.iter().find_map(|d| match &d.access_location {
            GeneralName::URI(uri) if d.access_method.to_id_string() == method => Some((*uri).to_owned()),
            _ => None,
        }),
        _ => None,
    });
    found.into()
}
