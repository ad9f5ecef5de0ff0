//! `x509_certificate`: a certificate in a file, signed by its own key or by an authority whose key lies on the host.

use std::path::PathBuf;

use x509_parser::prelude::X509Error;

use super::csr::{Private, request};
use super::privatekey::given;
use super::{Made, PASS, State, der, openssl, view};
use crate::action::host::Act;
use crate::action::module::{Failure, Module};
use crate::model::outcome::Outcome;
use crate::model::secret::Secret;
use crate::modules::file_args::{FileArgs, describe};
use crate::modules::file_content::{random_name, read_existing};
use crate::modules::paths;
use crate::{arguments, choices};

choices! { pub enum Provider { OwnCa = "ownca", SelfSigned = "selfsigned" } }

arguments! {
    pub struct Args {
        /// The file.
        path []: PathBuf,
        /// Whether it shall be there.
        state []: State = State::Present,
        /// Who signs it. Others (`acme`, `entrust`) are not supported.
        provider []: Option<Provider>,
        /// File on the host with the request; without one, the certificate has no subject.
        csr_path []: Option<PathBuf>,
        /// The request itself.
        csr_content []: Option<String>,
        /// File on the host with its private key, for `selfsigned`.
        privatekey_path []: Option<PathBuf>,
        /// The private key itself.
        privatekey_content []: Option<Secret>,
        /// Its passphrase.
        privatekey_passphrase []: Option<Secret>,
        /// From when it is valid: `+0s`, `20301231235959Z`.
        selfsigned_not_before ["selfsigned_notBefore"]: String = "+0s",
        /// Until when it is valid.
        selfsigned_not_after ["selfsigned_notAfter"]: String = "+3650d",
        /// The digest that is signed.
        selfsigned_digest []: String = "sha256",
        /// File on the host with the authority's certificate, for `ownca`.
        ownca_path []: Option<PathBuf>,
        /// The authority's certificate itself.
        ownca_content []: Option<String>,
        /// File on the host with the authority's private key.
        ownca_privatekey_path []: Option<PathBuf>,
        /// The authority's private key itself.
        ownca_privatekey_content []: Option<Secret>,
        /// Its passphrase.
        ownca_privatekey_passphrase []: Option<Secret>,
        /// From when it is valid.
        ownca_not_before []: String = "+0s",
        /// Until when it is valid.
        ownca_not_after []: String = "+3650d",
        /// The digest that is signed.
        ownca_digest []: String = "sha256",
        /// Leave a certificate alone whose times alone differ.
        ignore_timestamps []: bool = true,
        /// Make another one in any case.
        force []: bool = false,
        /// Keep a copy of what was there.
        backup []: bool = false,
        /// Give the certificate in `certificate`.
        return_content []: bool = false,
        ..file: FileArgs,
    }
    rules [
        If("state", "present", &["provider"]),
        Exclusive(&["csr_path", "csr_content"]),
        Exclusive(&["privatekey_path", "privatekey_content"]),
        Exclusive(&["ownca_path", "ownca_content"]),
        Exclusive(&["ownca_privatekey_path", "ownca_privatekey_content"]),
    ]
}

/// The module `x509_certificate`.
pub struct Certificate;

impl Module for Certificate {
    const NAMES: &'static [&'static str] = &[
        "x509_certificate",
        "community.crypto.x509_certificate",
        "openssl_certificate",
        "community.crypto.openssl_certificate",
    ];
    const DOC: &'static str = "Makes certificates with the host's own `openssl`: signed by their own key, or by an authority of yours.\n\
        One that fits its request, its key and its authority is left alone.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[
        ("filename", "The file"),
        ("privatekey", "The file with its key"),
        ("csr", "The file with its request"),
        ("notBefore", "From when it is valid, with `notAfter`"),
        ("serial_number", "Its number"),
        ("backup_file", "The copy that was kept"),
        ("certificate", "The certificate, with `return_content`"),
    ];
    const EXAMPLE: &'static str = "- x509_certificate:\n    path: /etc/ssl/crt/ansible.com.crt\n    privatekey_path: /etc/ssl/private/ansible.com.pem\n    csr_path: /etc/ssl/csr/ansible.com.csr\n    provider: selfsigned\n";
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let path = paths::expand(host.as_look(), &args.path)?;
        let made = Made { path: &path, file: &args.file, backup: args.backup, mode: None };
        let shown = |p: &Option<PathBuf>| p.as_ref().map(|p| p.display().to_string());
        let outcome = Outcome::ok()
            .with("filename", path.display().to_string())
            .with("privatekey", shown(&args.privatekey_path))
            .with("csr", shown(&args.csr_path));
        let provider = match (args.state, args.provider) {
            (State::Absent, _) => return made.remove(host, outcome),
            (State::Present, Some(provider)) => provider,
            (State::Present, None) => return Err(Failure::new("`provider` is required: selfsigned or ownca")),
        };
        let order = Order::of(&args, provider, host)?;
        let before = read_existing(host.as_look(), &path)?;
        let same = match &before {
            Some(old) if !args.force => order.fits(old, args.ignore_timestamps)?,
            _ => false,
        };
        let fresh = if same { None } else { Some(order.sign(host)?) };
        let content = fresh.as_ref().or(before.as_ref()).cloned().unwrap_or_default();
        let plain = der(&content)?;
        let made_of = view::certificate(&plain)?;
        let mut outcome = outcome
            .with("notBefore", view::time(made_of.validity().not_before.timestamp()))
            .with("notAfter", view::time(made_of.validity().not_after.timestamp()))
            .with("serial_number", view::number(made_of.raw_serial()));
        outcome = made.put(host, fresh.as_deref(), outcome)?;
        if args.return_content {
            outcome = outcome.with("certificate", String::from_utf8_lossy(&content).into_owned());
        }
        Ok(describe(host.as_look(), &path, outcome)?)
    }
}

/// What is to be signed, and by whom.
struct Order {
    /// The request, in PEM and in DER.
    request: Vec<u8>,
    request_der: Vec<u8>,
    key: Vec<u8>,
    pass: Option<Secret>,
    /// The authority's certificate, in PEM and in DER; none signs itself.
    authority: Option<(Vec<u8>, Vec<u8>)>,
    digest: String,
    from: i64,
    until: i64,
}

impl Order {
    fn of(args: &Args, provider: Provider, host: &mut dyn Act) -> Result<Order, Failure> {
        let read = |host: &mut dyn Act,
                    path: &Option<PathBuf>,
                    content: &Option<String>|
         -> Result<Option<Vec<u8>>, Failure> {
            Ok(match (path, content) {
                (_, Some(text)) => Some(text.clone().into_bytes()),
                (Some(path), None) => {
                    let path = paths::expand(host.as_look(), path)?;
                    Some(host.read(&path)?)
                }
                (None, None) => None,
            })
        };
        let own = provider == Provider::SelfSigned;
        let (path, content, pass, what) = match own {
            true => (&args.privatekey_path, &args.privatekey_content, &args.privatekey_passphrase, "privatekey"),
            false => (
                &args.ownca_privatekey_path,
                &args.ownca_privatekey_content,
                &args.ownca_privatekey_passphrase,
                "ownca_privatekey",
            ),
        };
        let (key, public) = given(host, path.as_ref(), content.as_ref(), pass.as_ref(), what)?;
        let (digest, from, until) = match own {
            true => (&args.selfsigned_digest, &args.selfsigned_not_before, &args.selfsigned_not_after),
            false => (&args.ownca_digest, &args.ownca_not_before, &args.ownca_not_after),
        };
        if !["sha1", "sha224", "sha256", "sha384", "sha512", "md5"].contains(&digest.as_str()) {
            return Err(Failure::new(format!("`{digest}` is no digest that is known here")));
        }
        let now = jiff::Timestamp::now().as_second();
        let (from, until) = (view::moment(from, now)?, view::moment(until, now)?);
        let request = match read(host, &args.csr_path, &args.csr_content)? {
            Some(request) => request,
            None if own => {
                let config = "[req]\nprompt = no\ndistinguished_name = dn\n[dn]\n";
                request(host, config, &key, pass.as_ref(), digest)?
            }
            None => return Err(Failure::new("csr_path or csr_content is required for the ownca provider")),
        };
        let request_der = der(&request)?;
        let asked = view::request(&request_der)?;
        let authority = match own {
            true => {
                if asked.certification_request_info.subject_pki.raw != public {
                    return Err(Failure::new("the request was made with another key than the one that shall sign it"));
                }
                None
            }
            false => {
                let pem = read(host, &args.ownca_path, &args.ownca_content)?
                    .ok_or_else(|| Failure::new("ownca_path or ownca_content is required for the ownca provider"))?;
                let plain = der(&pem)?;
                if view::certificate(&plain)?.public_key().raw != public {
                    return Err(Failure::new("the authority's certificate and its private key do not belong together"));
                }
                Some((pem, plain))
            }
        };
        Ok(Order { request, request_der, key, pass: pass.clone(), authority, digest: digest.clone(), from, until })
    }

    /// Whether a certificate that is there is what would be made.
    fn fits(&self, old: &[u8], ignore_times: bool) -> Result<bool, Failure> {
        let Ok(plain) = der(old) else { return Ok(false) };
        let Ok(old) = view::certificate(&plain) else { return Ok(false) };
        let asked = view::request(&self.request_der)?;
        let info = &asked.certification_request_info;
        let mut fits =
            old.public_key().raw == info.subject_pki.raw && view::parts(old.subject()) == view::parts(&info.subject);
        let there = view::raw_extensions(old.extensions());
        fits &= view::raw_extensions(view::requested(&asked)).iter().all(|e| there.contains(e));
        let signed = match &self.authority {
            Some((_, plain)) => {
                let authority = view::certificate(plain)?;
                fits &= view::parts(old.issuer()) == view::parts(authority.subject());
                old.verify_signature(Some(authority.public_key()))
            }
            None => old.verify_signature(None),
        };
        // An algorithm that cannot be checked here says nothing against it.
        fits &= matches!(signed, Ok(()) | Err(X509Error::SignatureUnsupportedAlgorithm));
        if !ignore_times {
            let validity = old.validity();
            fits &= validity.not_before.timestamp() == self.from && validity.not_after.timestamp() == self.until;
        }
        Ok(fits)
    }

    /// Makes the certificate. What `openssl ca` needs lies in the agent's own directory meanwhile.
    fn sign(&self, host: &mut dyn Act) -> Result<Vec<u8>, Failure> {
        let dir = Private::new(host.scratch()?.join(format!("certificate-{}", random_name(8))))?;
        dir.write("key", &self.key)?;
        dir.write("csr", &self.request)?;
        dir.write("index", b"")?;
        let policy: String = view::ATTRIBUTES.iter().map(|(_, long, _)| format!("{long} = optional\n")).collect();
        let identifier = if self.authority.is_some() { "authorityKeyIdentifier = keyid\n" } else { "" };
        let place = dir.path().display();
        let config = format!(
            "[ca]\ndefault_ca = c\n[c]\ndatabase = {place}/index\nserial = {place}/serial\nnew_certs_dir = {place}\npolicy = p\npreserve = yes\n\
             copy_extensions = copyall\nunique_subject = no\nemail_in_dn = yes\nx509_extensions = x\nstring_mask = utf8only\n\
             [p]\n{policy}[x]\nsubjectKeyIdentifier = hash\n{identifier}"
        );
        dir.write("config", config.as_bytes())?;
        let (from, until) = (view::time(self.from), view::time(self.until));
        let (config, key, csr, ca) = (dir.shown("config"), dir.shown("key"), dir.shown("csr"), dir.shown("ca"));
        let mut words =
            vec!["ca", "-config", &config, "-batch", "-notext", "-create_serial", "-in", &csr, "-keyfile", &key];
        words.extend(["-md", &self.digest, "-startdate", &from, "-enddate", &until]);
        let pass = format!("env:{PASS}");
        if self.pass.is_some() {
            words.extend(["-passin", &pass]);
        }
        match &self.authority {
            Some((pem, _)) => {
                dir.write("ca", pem)?;
                words.extend(["-cert", &ca]);
            }
            None => words.push("-selfsign"),
        }
        let made = openssl(host, &words, b"", self.pass.as_ref())?;
        if made.is_empty() {
            return Err(Failure::new("openssl ca: it made no certificate"));
        }
        Ok(made)
    }
}
