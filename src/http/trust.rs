//! Whom a TLS connection trusts, and how this side proves who it is.

use std::path::Path;
use std::sync::Arc;

use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

/// What a connection trusts. Certificates and keys are PEM texts.
#[derive(Clone, Debug)]
pub struct Trust {
    /// Whether the server must prove who it is.
    pub verify: bool,
    /// Authorities to trust instead of the machine's.
    pub authorities: Option<Vec<u8>>,
    /// This side's certificate, and its key if that is not in the same text.
    pub own: Option<(Vec<u8>, Option<crate::model::secret::Secret>)>,
}

impl Default for Trust {
    fn default() -> Trust {
        Trust { verify: true, authorities: None, own: None }
    }
}

/// Where distributions keep the authorities that a machine trusts.
const BUNDLES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

pub(super) fn config(trust: &Trust) -> Result<TlsConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = TlsConfig::builder().unversioned_rustls_crypto_provider(provider);
    let own = trust.own.as_ref().map(client).transpose()?;
    let builder = builder.client_cert(own);
    if !trust.verify {
        return Ok(builder.disable_verification(true).root_certs(RootCerts::Specific(Arc::default())).build());
    }
    let certificates = match &trust.authorities {
        Some(pem) => certificates(pem)?,
        None => machine(),
    };
    Ok(builder.root_certs(RootCerts::Specific(Arc::new(certificates))).build())
}

/// The authorities that this machine trusts; none if it has no list of them.
fn machine() -> Vec<Certificate<'static>> {
    let set = std::env::var("SSL_CERT_FILE").ok().filter(|f| !f.is_empty());
    let files = set.iter().map(String::as_str).chain(BUNDLES.iter().copied());
    let found = files.filter(|f| Path::new(f).is_file()).find_map(|f| std::fs::read(f).ok());
    found.map(|pem| readable(&pem).collect()).unwrap_or_default()
}

/// Certificates of a text; what is none is passed over, as other programs do with such lists.
fn readable(pem: &[u8]) -> impl Iterator<Item = Certificate<'static>> {
    parse_pem(pem).filter_map(|item| match item {
        Ok(PemItem::Certificate(c)) => Some(c),
        _ => None,
    })
}

fn certificates(pem: &[u8]) -> Result<Vec<Certificate<'static>>, String> {
    let found: Vec<_> = readable(pem).collect();
    if found.is_empty() { Err("there is no certificate in the file of authorities".into()) } else { Ok(found) }
}

fn client((pem, key): &(Vec<u8>, Option<crate::model::secret::Secret>)) -> Result<ClientCert, String> {
    let certs = certificates(pem).map_err(|_| "there is no certificate in the client's file".to_owned())?;
    let key = key.as_ref().map_or(pem.as_slice(), |k| k.reveal().as_bytes());
    let key = PrivateKey::from_pem(key).map_err(|_| "there is no private key in the client's file".to_owned())?;
    Ok(ClientCert::new_with_certs(&certs, key))
}
