//! What a key, a request or a certificate says, as values: under the names and in the forms that Ansible gives them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use x509_parser::prelude::{
    FromDer, GeneralName, ParsedExtension, X509Certificate, X509CertificationRequest, X509Extension, X509Name,
};
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::action::module::Failure;
use crate::dict;
use crate::model::value::{Dict, Key, Value};
use crate::modules::digest::Algorithm;

/// Names of what stands in subjects: the short one, the long one, and the object's number.
pub const ATTRIBUTES: &[(&str, &str, &str)] = &[
    ("CN", "commonName", "2.5.4.3"),
    ("SN", "surname", "2.5.4.4"),
    ("serialNumber", "serialNumber", "2.5.4.5"),
    ("C", "countryName", "2.5.4.6"),
    ("L", "localityName", "2.5.4.7"),
    ("ST", "stateOrProvinceName", "2.5.4.8"),
    ("street", "streetAddress", "2.5.4.9"),
    ("O", "organizationName", "2.5.4.10"),
    ("OU", "organizationalUnitName", "2.5.4.11"),
    ("title", "title", "2.5.4.12"),
    ("businessCategory", "businessCategory", "2.5.4.15"),
    ("postalCode", "postalCode", "2.5.4.17"),
    ("name", "name", "2.5.4.41"),
    ("GN", "givenName", "2.5.4.42"),
    ("initials", "initials", "2.5.4.43"),
    ("dnQualifier", "dnQualifier", "2.5.4.46"),
    ("pseudonym", "pseudonym", "2.5.4.65"),
    ("emailAddress", "emailAddress", "1.2.840.113549.1.9.1"),
    ("DC", "domainComponent", "0.9.2342.19200300.100.1.25"),
    ("UID", "userId", "0.9.2342.19200300.100.1.1"),
];

const CURVES: &[(&str, &str, i64)] = &[
    ("1.2.840.10045.3.1.1", "secp192r1", 192),
    ("1.2.840.10045.3.1.7", "secp256r1", 256),
    ("1.3.132.0.10", "secp256k1", 256),
    ("1.3.132.0.33", "secp224r1", 224),
    ("1.3.132.0.34", "secp384r1", 384),
    ("1.3.132.0.35", "secp521r1", 521),
    ("1.3.36.3.3.2.8.1.1.7", "brainpoolP256r1", 256),
    ("1.3.36.3.3.2.8.1.1.11", "brainpoolP384r1", 384),
    ("1.3.36.3.3.2.8.1.1.13", "brainpoolP512r1", 512),
];

const SIGNATURES: &[(&str, &str)] = &[
    ("1.2.840.113549.1.1.4", "md5WithRSAEncryption"),
    ("1.2.840.113549.1.1.5", "sha1WithRSAEncryption"),
    ("1.2.840.113549.1.1.10", "rsassaPss"),
    ("1.2.840.113549.1.1.11", "sha256WithRSAEncryption"),
    ("1.2.840.113549.1.1.12", "sha384WithRSAEncryption"),
    ("1.2.840.113549.1.1.13", "sha512WithRSAEncryption"),
    ("1.2.840.113549.1.1.14", "sha224WithRSAEncryption"),
    ("1.2.840.10045.4.1", "ecdsa-with-SHA1"),
    ("1.2.840.10045.4.3.1", "ecdsa-with-SHA224"),
    ("1.2.840.10045.4.3.2", "ecdsa-with-SHA256"),
    ("1.2.840.10045.4.3.3", "ecdsa-with-SHA384"),
    ("1.2.840.10045.4.3.4", "ecdsa-with-SHA512"),
    ("1.3.101.112", "ED25519"),
    ("1.3.101.113", "ED448"),
];

const PURPOSES: &[(&str, &str)] = &[
    ("1.3.6.1.5.5.7.3.1", "TLS Web Server Authentication"),
    ("1.3.6.1.5.5.7.3.2", "TLS Web Client Authentication"),
    ("1.3.6.1.5.5.7.3.3", "Code Signing"),
    ("1.3.6.1.5.5.7.3.4", "E-mail Protection"),
    ("1.3.6.1.5.5.7.3.8", "Time Stamping"),
    ("1.3.6.1.5.5.7.3.9", "OCSP Signing"),
    ("2.5.29.37.0", "Any Extended Key Usage"),
];

fn unreadable(what: &str) -> Failure {
    Failure::new(format!("the {what} cannot be read: it is neither PEM nor DER of one"))
}

pub fn certificate(der: &[u8]) -> Result<X509Certificate<'_>, Failure> {
    X509Certificate::from_der(der).map(|(_, c)| c).map_err(|_| unreadable("certificate"))
}

pub fn request(der: &[u8]) -> Result<X509CertificationRequest<'_>, Failure> {
    X509CertificationRequest::from_der(der).map(|(_, r)| r).map_err(|_| unreadable("certificate signing request"))
}

pub fn public_key(der: &[u8]) -> Result<SubjectPublicKeyInfo<'_>, Failure> {
    SubjectPublicKeyInfo::from_der(der).map(|(_, k)| k).map_err(|_| unreadable("public key"))
}

/// A name's parts in order: long names and values.
pub fn parts(name: &X509Name<'_>) -> Vec<(String, String)> {
    let one = |a: &x509_parser::x509::AttributeTypeAndValue<'_>| {
        let id = a.attr_type().to_id_string();
        let long = ATTRIBUTES.iter().find(|(.., oid)| *oid == id).map_or(id, |(_, long, _)| (*long).to_owned());
        let text = a.as_str().map(str::to_owned);
        (long, text.unwrap_or_else(|_| String::from_utf8_lossy(a.as_slice()).into_owned()))
    };
    name.iter_attributes().map(one).collect()
}

/// `subject` and `subject_ordered`, or the same of another name.
pub fn named(out: &mut Dict, key: &str, name: &X509Name<'_>) {
    let parts = parts(name);
    let plain: Dict = parts.iter().map(|(n, v)| (Key::from(n.as_str()), Value::str(v))).collect();
    let ordered: Value = parts.iter().map(|(n, v)| [n.as_str(), v.as_str()].into_iter().collect::<Value>()).collect();
    out.insert(Key::from(key), Value::dict(plain));
    out.insert(Key::from(format!("{key}_ordered")), ordered);
}

/// Bytes as `aa:bb:cc`.
pub fn colons(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(":")
}

/// Digests of bytes by every algorithm.
pub fn fingerprints(bytes: &[u8]) -> Value {
    use crate::action::args::FromArg;
    let of = |name: &&str| {
        let algorithm = Algorithm::from_arg(&Value::str(name)).ok()?;
        let digest = algorithm.of(&mut &*bytes).ok()?;
        let pairs: Vec<&str> = digest.as_bytes().chunks(2).filter_map(|c| std::str::from_utf8(c).ok()).collect();
        Some((Key::from(*name), Value::str(pairs.join(":"))))
    };
    Value::dict(Algorithm::CHOICES.iter().filter_map(of).collect())
}

/// Type, size and curve of a key.
pub struct KeyKind {
    pub name: &'static str,
    pub size: i64,
    pub curve: Option<String>,
}

pub fn kind(key: &SubjectPublicKeyInfo<'_>) -> KeyKind {
    let id = key.algorithm.algorithm.to_id_string();
    let plain = |name| KeyKind { name, size: 0, curve: None };
    match id.as_str() {
        "1.3.101.110" => plain("X25519"),
        "1.3.101.111" => plain("X448"),
        "1.3.101.112" => plain("Ed25519"),
        "1.3.101.113" => plain("Ed448"),
        "1.2.840.10040.4.1" => KeyKind { size: dsa_size(key), ..plain("DSA") },
        "1.2.840.10045.2.1" => {
            let oid = key.algorithm.parameters.as_ref().and_then(|p| p.as_oid().ok()).map(|o| o.to_id_string());
            let known = CURVES.iter().find(|(id, ..)| Some(*id) == oid.as_deref());
            KeyKind {
                name: "ECC",
                size: known.map_or(0, |(.., size)| *size),
                curve: known.map(|(_, name, _)| (*name).to_owned()).or(oid),
            }
        }
        _ => match key.parsed() {
            Ok(PublicKey::RSA(rsa)) => KeyKind { size: bits(rsa.modulus), ..plain("RSA") },
            _ => plain("unknown"),
        },
    }
}

/// The bits of a number in big-endian bytes.
fn bits(number: &[u8]) -> i64 {
    let significant: Vec<u8> = number.iter().copied().skip_while(|b| *b == 0).collect();
    significant.first().map_or(0, |first| (significant.len() as i64) * 8 - i64::from(first.leading_zeros()))
}

fn dsa_size(key: &SubjectPublicKeyInfo<'_>) -> i64 {
    use x509_parser::asn1_rs::Sequence;
    let parameters = key.algorithm.parameters.as_ref().and_then(|p| p.clone().sequence().ok());
    let prime = parameters.and_then(|s: Sequence<'_>| {
        let (_, p) = x509_parser::asn1_rs::Integer::from_der(&s.content).ok()?;
        Some(bits(p.as_ref()))
    });
    prime.unwrap_or(0)
}

/// `public_key` and what is known of it.
pub fn describe_key(out: &mut Dict, prefix: &str, key: &SubjectPublicKeyInfo<'_>) {
    let kind = kind(key);
    let mut data = dict! {"size" => kind.size};
    if let Ok(PublicKey::RSA(rsa)) = key.parsed() {
        data.insert("modulus".into(), number(rsa.modulus));
        data.insert("exponent".into(), number(rsa.exponent));
    }
    if let Some(curve) = &kind.curve {
        data = dict! {"curve" => curve.as_str(), "exponent_size" => kind.size};
        if let Ok(PublicKey::EC(point)) = key.parsed()
            && let [4, rest @ ..] = point.data()
        {
            data.insert("x".into(), number(&rest[..rest.len() / 2]));
            data.insert("y".into(), number(&rest[rest.len() / 2..]));
        }
    }
    out.insert("public_key".into(), super::pem("PUBLIC KEY", key.raw).into());
    out.insert("public_key_fingerprints".into(), fingerprints(key.raw));
    out.insert(Key::from(format!("{prefix}type")), kind.name.into());
    out.insert(if prefix.is_empty() { "public_data".into() } else { "public_key_data".into() }, Value::dict(data));
}

/// A number in big-endian bytes; as text where it is too large for a number here.
pub fn number(bytes: &[u8]) -> Value {
    if bits(bytes) < 63 {
        return Value::Int(bytes.iter().fold(0, |n, b| n << 8 | i64::from(*b)));
    }
    // Decimal digits, the last one first.
    let mut digits = vec![0u8];
    for byte in bytes {
        let mut carry = u32::from(*byte);
        for digit in &mut digits {
            let n = u32::from(*digit) * 256 + carry;
            *digit = (n % 10) as u8;
            carry = n / 10;
        }
        while carry > 0 {
            digits.push((carry % 10) as u8);
            carry /= 10;
        }
    }
    Value::str(digits.iter().rev().map(|d| char::from(b'0' + d)).collect::<String>())
}

pub fn signature(oid: &str) -> String {
    SIGNATURES.iter().find(|(id, _)| *id == oid).map_or(oid, |(_, name)| *name).to_owned()
}

fn general(name: &GeneralName<'_>) -> String {
    match name {
        GeneralName::DNSName(n) => format!("DNS:{n}"),
        GeneralName::RFC822Name(n) => format!("email:{n}"),
        GeneralName::URI(n) => format!("URI:{n}"),
        GeneralName::IPAddress(bytes) => match <[u8; 4]>::try_from(*bytes) {
            Ok(four) => format!("IP:{}", std::net::Ipv4Addr::from(four)),
            Err(_) => match <[u8; 16]>::try_from(*bytes) {
                Ok(sixteen) => format!("IP:{}", std::net::Ipv6Addr::from(sixteen)),
                Err(_) => format!("IP:{}", colons(bytes)),
            },
        },
        GeneralName::RegisteredID(id) => format!("RID:{}", id.to_id_string()),
        GeneralName::DirectoryName(n) => {
            let parts: Vec<String> = parts(n).iter().map(|(n, v)| format!("{n}={v}")).collect();
            format!("dirName:{}", parts.join(","))
        }
        other => format!("{other:?}"),
    }
}

/// What extensions say; what is not there is null.
pub fn extensions(out: &mut Dict, all: &[X509Extension<'_>]) {
    for name in ["subject_alt_name", "key_usage", "extended_key_usage", "basic_constraints"] {
        out.insert(name.into(), Value::Null);
        out.insert(Key::from(format!("{name}_critical")), false.into());
    }
    for name in
        ["subject_key_identifier", "authority_key_identifier", "authority_cert_issuer", "authority_cert_serial_number"]
    {
        out.insert(name.into(), Value::Null);
    }
    out.insert("ocsp_must_staple".into(), Value::Null);
    out.insert("ocsp_must_staple_critical".into(), false.into());
    let mut by_oid = Dict::new();
    for extension in all {
        let oid = extension.oid.to_id_string();
        let raw = dict! {"critical" => extension.critical, "value" => STANDARD.encode(extension.value)};
        by_oid.insert(Key::from(oid.as_str()), Value::dict(raw));
        let mut put = |name: &str, value: Value| {
            out.insert(Key::from(name), value);
            if out.contains_key(&Key::from(format!("{name}_critical"))) {
                out.insert(Key::from(format!("{name}_critical")), extension.critical.into());
            }
        };
        match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(names) => {
                put("subject_alt_name", names.general_names.iter().map(general).collect());
            }
            ParsedExtension::KeyUsage(usage) => put("key_usage", usages(usage).into_iter().collect()),
            ParsedExtension::ExtendedKeyUsage(usage) => {
                let mut ids = Vec::new();
                for (is, id) in [
                    (usage.server_auth, 0),
                    (usage.client_auth, 1),
                    (usage.code_signing, 2),
                    (usage.email_protection, 3),
                    (usage.time_stamping, 4),
                    (usage.ocsp_signing, 5),
                    (usage.any, 6),
                ] {
                    ids.extend(is.then(|| PURPOSES[id].1.to_owned()));
                }
                ids.extend(usage.other.iter().map(|o| o.to_id_string()));
                ids.sort();
                put("extended_key_usage", ids.into_iter().collect());
            }
            ParsedExtension::BasicConstraints(basic) => {
                let mut words = vec![format!("CA:{}", if basic.ca { "TRUE" } else { "FALSE" })];
                words.extend(basic.path_len_constraint.map(|n| format!("pathlen:{n}")));
                put("basic_constraints", words.into_iter().collect());
            }
            ParsedExtension::SubjectKeyIdentifier(id) => put("subject_key_identifier", colons(id.0).into()),
            ParsedExtension::AuthorityKeyIdentifier(id) => {
                put("authority_key_identifier", id.key_identifier.as_ref().map(|k| colons(k.0)).into());
                let issuer = id.authority_cert_issuer.as_ref();
                put("authority_cert_issuer", issuer.map(|n| n.iter().map(general).collect::<Value>()).into());
                put("authority_cert_serial_number", id.authority_cert_serial.map(number).into());
            }
            _ if oid == "1.3.6.1.5.5.7.1.24" => put("ocsp_must_staple", true.into()),
            _ => {}
        }
    }
    out.insert("extensions_by_oid".into(), Value::dict(by_oid));
}

fn usages(usage: &x509_parser::extensions::KeyUsage) -> Vec<String> {
    let all = [
        (usage.digital_signature(), "Digital Signature"),
        (usage.non_repudiation(), "Non Repudiation"),
        (usage.key_encipherment(), "Key Encipherment"),
        (usage.data_encipherment(), "Data Encipherment"),
        (usage.key_agreement(), "Key Agreement"),
        (usage.key_cert_sign(), "Certificate Sign"),
        (usage.crl_sign(), "CRL Sign"),
        (usage.encipher_only(), "Encipher Only"),
        (usage.decipher_only(), "Decipher Only"),
    ];
    let mut words: Vec<String> = all.into_iter().filter(|(is, _)| *is).map(|(_, word)| word.to_owned()).collect();
    words.sort();
    words
}

/// Extensions as they are written, in the order of their numbers: for comparing.
pub fn raw_extensions(all: &[X509Extension<'_>]) -> Vec<(String, bool, Vec<u8>)> {
    let mut raw: Vec<_> = all.iter().map(|e| (e.oid.to_id_string(), e.critical, e.value.to_vec())).collect();
    raw.sort();
    raw
}

/// The extensions that a request asks for.
pub fn requested<'a>(request: &'a X509CertificationRequest<'a>) -> &'a [X509Extension<'a>] {
    use x509_parser::cri_attributes::ParsedCriAttribute;
    let found = request.certification_request_info.iter_attributes().find_map(|a| match a.parsed_attribute() {
        ParsedCriAttribute::ExtensionRequest(wanted) => Some(wanted.extensions.as_slice()),
        _ => None,
    });
    found.unwrap_or_default()
}

/// A time in seconds since 1970 as `20190413202428Z`.
pub fn time(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).unwrap_or_default().strftime("%Y%m%d%H%M%SZ").to_string()
}

/// A time as these modules take it: `+32w1d2h` from now on, or `20190413202428Z`; seconds since 1970.
pub fn moment(text: &str, now: i64) -> Result<i64, Failure> {
    let wrong = || Failure::new(format!("`{text}` is no time: give one like +365d, +1h30m or 20301231235959Z"));
    let sign = match text.as_bytes().first() {
        Some(b'+') => 1,
        Some(b'-') => -1,
        _ => {
            let plain = text.strip_suffix('Z').unwrap_or(text);
            let full = if plain.len() == 12 { format!("20{plain}") } else { plain.to_owned() };
            let time = jiff::civil::DateTime::strptime("%Y%m%d%H%M%S", &full).map_err(|_| wrong())?;
            let zoned = time.to_zoned(jiff::tz::TimeZone::UTC).map_err(|_| wrong())?;
            return Ok(zoned.timestamp().as_second());
        }
    };
    let (mut total, mut digits) = (0i64, String::new());
    for c in text[1..].chars() {
        let unit = match c {
            '0'..='9' => {
                digits.push(c);
                continue;
            }
            'w' | 'W' => 7 * 86_400,
            'd' | 'D' => 86_400,
            'h' | 'H' => 3600,
            'm' | 'M' => 60,
            's' | 'S' => 1,
            _ => return Err(wrong()),
        };
        total += std::mem::take(&mut digits).parse::<i64>().map_err(|_| wrong())? * unit;
    }
    if digits.is_empty() { Ok(now + sign * total) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_numbers() {
        assert_eq!(moment("+1d2h", 100).unwrap(), 100 + 93_600);
        assert_eq!(moment("20000101000000Z", 0).unwrap(), 946_684_800);
        assert_eq!(time(946_684_800), "20000101000000Z");
        assert!(moment("tomorrow", 0).is_err() && moment("+5", 0).is_err());
        assert_eq!(number(&[1, 0]), Value::Int(256));
        assert_eq!(number(&[1, 0, 0, 0, 0, 0, 0, 0, 0]).to_string(), "18446744073709551616");
    }
}
