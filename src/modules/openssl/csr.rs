//! `openssl_csr`: a request for a certificate in a file.

use std::path::{Path, PathBuf};

use super::privatekey::given;
use super::{Made, State, der, openssl, pass_in, view};
use crate::action::host::Act;
use crate::action::module::{Failure, Module};
use crate::arguments;
use crate::choices;
use crate::model::outcome::Outcome;
use crate::model::secret::Secret;
use crate::model::value::{Dict, Value};
use crate::modules::file_args::{FileArgs, describe};
use crate::modules::file_content::{random_name, read_existing};
use crate::modules::paths;

choices! { pub enum Digest { Sha224 = "sha224", Sha256 = "sha256", Sha384 = "sha384", Sha512 = "sha512", Sha1 = "sha1" } }

arguments! {
    pub struct Args {
        /// The file.
        path []: PathBuf,
        /// Whether it shall be there.
        state []: State = State::Present,
        /// File on the host with the private key.
        privatekey_path []: Option<PathBuf>,
        /// The private key itself.
        privatekey_content []: Option<Secret>,
        /// Its passphrase.
        privatekey_passphrase []: Option<Secret>,
        /// The digest that is signed.
        digest []: Digest = Digest::Sha256,
        /// Parts of the subject by their names, short or long; a list gives one several times.
        subject []: Option<Dict>,
        /// The same in a given order: a list of mappings of one part each.
        subject_ordered []: Option<Vec<Dict>>,
        /// Part of the subject.
        country_name ["C", "countryName"]: Option<String>,
        /// Part of the subject.
        state_or_province_name ["ST", "stateOrProvinceName"]: Option<String>,
        /// Part of the subject.
        locality_name ["L", "localityName"]: Option<String>,
        /// Part of the subject.
        organization_name ["O", "organizationName"]: Option<String>,
        /// Part of the subject.
        organizational_unit_name ["OU", "organizationalUnitName"]: Option<String>,
        /// Part of the subject.
        common_name ["CN", "commonName"]: Option<String>,
        /// Part of the subject.
        email_address ["E", "emailAddress"]: Option<String>,
        /// Other names: `DNS:name`, `IP:1.2.3.4`, `email:a@b.c`, `URI:…`, `RID:…`.
        subject_alt_name ["subjectAltName"]: Option<Vec<String>>,
        /// Who does not understand them shall refuse it.
        subject_alt_name_critical ["subjectAltName_critical"]: bool = false,
        /// Take the common name as another name if none is given.
        use_common_name_for_san ["useCommonNameForSAN"]: bool = true,
        /// What the key is for: `digitalSignature`, `keyEncipherment`, …
        key_usage ["keyUsage"]: Option<Vec<String>>,
        /// Who does not understand that shall refuse it.
        key_usage_critical ["keyUsage_critical"]: bool = false,
        /// What it is for beyond that: `serverAuth`, `clientAuth`, …
        extended_key_usage ["extKeyUsage", "extendedKeyUsage"]: Option<Vec<String>>,
        /// Who does not understand that shall refuse it.
        extended_key_usage_critical ["extKeyUsage_critical", "extendedKeyUsage_critical"]: bool = false,
        /// Whether it is an authority: `CA:TRUE`, `pathlen:0`.
        basic_constraints ["basicConstraints"]: Option<Vec<String>>,
        /// Who does not understand that shall refuse it.
        basic_constraints_critical ["basicConstraints_critical"]: bool = false,
        /// Servers must send proof that it was not revoked.
        ocsp_must_staple ["ocspMustStaple"]: bool = false,
        /// Who does not understand that shall refuse it.
        ocsp_must_staple_critical ["ocspMustStaple_critical"]: bool = false,
        /// Put the digest of the key in, by which certificates name their issuer.
        create_subject_key_identifier []: bool = false,
        /// Make another one in any case.
        force []: bool = false,
        /// Keep a copy of what was there.
        backup []: bool = false,
        /// Give the request in `csr`.
        return_content []: bool = false,
        ..file: FileArgs,
    }
    rules [Exclusive(&["privatekey_path", "privatekey_content"]), Exclusive(&["subject", "subject_ordered"])]
}

/// The module `openssl_csr`.
pub struct Csr;

impl Module for Csr {
    const NAMES: &'static [&'static str] = &["openssl_csr", "community.crypto.openssl_csr"];
    const DOC: &'static str =
        "Makes requests for certificates with the host's own `openssl`. One that asks for the same is left alone.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[
        ("filename", "The file"),
        ("privatekey", "The file with its key"),
        ("subject", "The subject, a list of names and values"),
        ("subjectAltName", "Other names"),
        ("keyUsage", "With `extendedKeyUsage`, `basicConstraints` and `ocspMustStaple`"),
        ("backup_file", "The copy that was kept"),
        ("csr", "The request, with `return_content`"),
    ];
    const EXAMPLE: &'static str = "- openssl_csr:\n    path: /etc/ssl/csr/www.ansible.com.csr\n    privatekey_path: /etc/ssl/private/ansible.com.pem\n    common_name: www.ansible.com\n";
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let path = paths::expand(host.as_look(), &args.path)?;
        let made = Made { path: &path, file: &args.file, backup: args.backup, mode: None };
        let subject = subject(&args)?;
        let list =
            |words: &Option<Vec<String>>| words.as_ref().map(|w| w.iter().map(String::as_str).collect::<Value>());
        let pairs = subject.iter().map(|(n, v)| [n.as_str(), v.as_str()].into_iter().collect::<Value>());
        let outcome = Outcome::ok()
            .with("filename", path.display().to_string())
            .with("privatekey", args.privatekey_path.as_ref().map(|p| p.display().to_string()))
            .with("subject", pairs.collect::<Value>())
            .with("subjectAltName", other_names(&args, &subject).map(|n| n.into_iter().collect::<Value>()))
            .with("keyUsage", list(&args.key_usage))
            .with("extendedKeyUsage", list(&args.extended_key_usage))
            .with("basicConstraints", list(&args.basic_constraints))
            .with("ocspMustStaple", args.ocsp_must_staple);
        if args.state == State::Absent {
            return made.remove(host, outcome);
        }
        let pass = args.privatekey_passphrase.as_ref();
        let (key, public) =
            given(host, args.privatekey_path.as_ref(), args.privatekey_content.as_ref(), pass, "privatekey")?;
        let fresh = request(host, &config(&args, &subject)?, &key, pass, args.digest.word())?;
        let before = read_existing(host.as_look(), &path)?;
        let same = match &before {
            Some(old) if !args.force => alike(old, &fresh, &public),
            _ => false,
        };
        let fresh = (!same).then_some(fresh);
        let content = fresh.as_ref().or(before.as_ref()).cloned().unwrap_or_default();
        let mut outcome = made.put(host, fresh.as_deref(), outcome)?;
        if args.return_content {
            outcome = outcome.with("csr", String::from_utf8_lossy(&content).into_owned());
        }
        Ok(describe(host.as_look(), &path, outcome)?)
    }
}

/// Makes a request. Key and configuration lie in the agent's own directory meanwhile.
pub(super) fn request(
    host: &mut dyn Act,
    config: &str,
    key: &[u8],
    pass: Option<&Secret>,
    digest: &str,
) -> Result<Vec<u8>, Failure> {
    let dir = Private::new(host.scratch()?.join(format!("csr-{}", random_name(8))))?;
    dir.write("key", key)?;
    dir.write("config", config.as_bytes())?;
    let (key, config) = (dir.shown("key"), dir.shown("config"));
    let digest = format!("-{digest}");
    let pass_words = pass_in(pass);
    let mut words = vec!["req", "-new", "-batch", "-config", &config, "-key", &key, &digest];
    words.extend(pass_words.iter().map(String::as_str));
    openssl(host, &words, b"", pass)
}

/// A directory of the agent's own, gone with this value.
pub(super) struct Private(PathBuf);

impl Private {
    pub fn new(path: PathBuf) -> Result<Private, Failure> {
        use std::os::unix::fs::DirBuilderExt;
        let made = std::fs::DirBuilder::new().mode(0o700).create(&path);
        made.map(|()| Private(path.clone())).map_err(|e| Failure::new(format!("making {}: {e}", path.display())))
    }

    pub fn write(&self, name: &str, content: &[u8]) -> Result<(), Failure> {
        use std::io::Write;
        use std::os::unix::fs::OpenOptionsExt;
        let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(self.0.join(name));
        let written = file.and_then(|mut f| f.write_all(content));
        written.map_err(|e| Failure::new(format!("writing {}: {e}", self.0.join(name).display())))
    }

    pub fn shown(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        // It ends with the agent in any case.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Whether a request that is there asks for the same, with the same key.
fn alike(old: &[u8], new: &[u8], public: &[u8]) -> bool {
    let (Ok(old), Ok(new)) = (der(old), der(new)) else { return false };
    let (Ok(old), Ok(new)) = (view::request(&old), view::request(&new)) else { return false };
    let (a, b) = (&old.certification_request_info, &new.certification_request_info);
    a.subject_pki.raw == public
        && view::parts(&a.subject) == view::parts(&b.subject)
        && view::raw_extensions(view::requested(&old)) == view::raw_extensions(view::requested(&new))
        && old.signature_algorithm.algorithm == new.signature_algorithm.algorithm
}

/// The subject's parts in order, by long names.
fn subject(args: &Args) -> Result<Vec<(String, String)>, Failure> {
    let long = |name: &str| {
        let known = view::ATTRIBUTES.iter().find(|(s, l, oid)| name == *s || name == *l || name == *oid);
        let known =
            known.map(|(_, long, _)| (*long).to_owned()).or_else(|| (name == "E").then(|| "emailAddress".into()));
        known.ok_or_else(|| Failure::new(format!("subject: `{name}` is no part of a name that is known here")))
    };
    let mut parts = Vec::new();
    for (name, value) in [
        ("countryName", &args.country_name),
        ("stateOrProvinceName", &args.state_or_province_name),
        ("localityName", &args.locality_name),
        ("organizationName", &args.organization_name),
        ("organizationalUnitName", &args.organizational_unit_name),
        ("commonName", &args.common_name),
        ("emailAddress", &args.email_address),
    ] {
        parts.extend(value.as_ref().map(|v| (name.to_owned(), v.clone())));
    }
    let given = args.subject.iter().flatten().chain(args.subject_ordered.iter().flatten().flatten());
    for (name, value) in given {
        let name = long(&name.to_string())?;
        match value {
            Value::List(several) => parts.extend(several.iter().map(|v| (name.clone(), v.to_string()))),
            one => parts.push((name, one.to_string())),
        }
    }
    Ok(parts)
}

fn other_names(args: &Args, subject: &[(String, String)]) -> Option<Vec<String>> {
    if args.subject_alt_name.is_some() || !args.use_common_name_for_san {
        return args.subject_alt_name.clone().filter(|n| !n.is_empty());
    }
    let name = subject.iter().find(|(n, _)| n == "commonName")?;
    Some(vec![format!("DNS:{}", name.1)])
}

/// A value as openssl's configuration takes it.
fn quoted(value: &str) -> Result<String, Failure> {
    if value.contains(['\n', '\r', '\0']) {
        return Err(Failure::new(format!("`{}` has more than one line", value.escape_debug())));
    }
    let mut out = String::new();
    for c in value.chars() {
        if "\\\"'$#".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    Ok(out)
}

fn config(args: &Args, subject: &[(String, String)]) -> Result<String, Failure> {
    let mut out = String::from("[req]\nprompt = no\nutf8 = yes\nstring_mask = utf8only\ndistinguished_name = dn\n");
    let mut extensions = Vec::new();
    let critical = |is: bool| if is { "critical," } else { "" };
    let words = |list: &Option<Vec<String>>| list.as_ref().filter(|l| !l.is_empty()).map(|l| l.join(","));
    let plain = |what: &str, text: String| {
        let fine = text.chars().all(|c| c.is_ascii_alphanumeric() || " ,.:-".contains(c));
        if fine {
            Ok(text)
        } else {
            Err(Failure::new(format!("{what}: `{text}` has letters that do not belong there")))
        }
    };
    if let Some(usage) = words(&args.key_usage) {
        let usage = plain("key_usage", usage)?
            .replace("contentCommitment", "nonRepudiation")
            .replace("Content Commitment", "Non Repudiation");
        extensions.push(format!("keyUsage = {}{usage}", critical(args.key_usage_critical)));
    }
    if let Some(usage) = words(&args.extended_key_usage) {
        let usage = plain("extended_key_usage", usage)?;
        extensions.push(format!("extendedKeyUsage = {}{usage}", critical(args.extended_key_usage_critical)));
    }
    if let Some(basic) = words(&args.basic_constraints) {
        let basic = plain("basic_constraints", basic)?;
        extensions.push(format!("basicConstraints = {}{basic}", critical(args.basic_constraints_critical)));
    }
    if args.ocsp_must_staple {
        extensions.push(format!("tlsfeature = {}status_request", critical(args.ocsp_must_staple_critical)));
    }
    if args.create_subject_key_identifier {
        extensions.push("subjectKeyIdentifier = hash".into());
    }
    let mut names = String::new();
    if let Some(others) = other_names(args, subject) {
        extensions.push(format!("subjectAltName = {}@names", critical(args.subject_alt_name_critical)));
        for (i, name) in others.iter().enumerate() {
            let (kind, value) = name.split_once(':').unwrap_or(("", ""));
            if !["DNS", "IP", "email", "URI", "RID"].contains(&kind) {
                return Err(Failure::new(format!(
                    "subject_alt_name: `{name}` begins with none of DNS:, IP:, email:, URI:, RID:, which are supported"
                )));
            }
            names += &format!("{kind}.{i} = {}\n", quoted(value)?);
        }
    }
    if !extensions.is_empty() {
        out += &format!("req_extensions = x\n[x]\n{}\n[names]\n{names}", extensions.join("\n"));
    }
    out += "[dn]\n";
    for (i, (name, value)) in subject.iter().enumerate() {
        // The number before the dot lets a part come again.
        out += &format!("{i}.{name} = {}\n", quoted(value)?);
    }
    Ok(out)
}
