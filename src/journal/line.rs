//! Records as lines, and the chain that binds each line to those before it.
//!
//! A line is `{"sum":"<64 hexadecimal digits>","body":<the record>}` and a newline. The sum is the SHA-256 of the line
//! before's sum (32 zero bytes for the first) and the bytes of the body as they stand. It finds every accident and every
//! edit of what stands before a line that is known to be right; it is no signature, and nothing can tell that whole lines
//! were cut off the end.

use sha2::{Digest, Sha256};

use super::exact;
use super::record::{Answer, Body, Decided, Finished};
use super::seal::{Kept, Sealer};
use crate::model::event::Item;
use crate::model::outcome::{Consequence, Outcome};
use crate::model::secret::Mask;
use crate::model::value::Dict;

const BEFORE_SUM: &[u8] = b"{\"sum\":\"";
const BEFORE_BODY: &[u8] = b"\",\"body\":";
const AFTER_BODY: &[u8] = b"}";
/// Bytes of a line that are not its body.
const FRAME: usize = BEFORE_SUM.len() + 64 + BEFORE_BODY.len() + AFTER_BODY.len();

/// The sum of the last line so far.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Chain([u8; 32]);

/// What is wrong with a line; where is for the reader to say.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("it does not have the shape of a record")]
    Shape,
    #[error("it does not match its sum: it was altered, or a record before it was cut out")]
    Sum,
    #[error("it says nothing that this format knows ({0})")]
    Content(String),
    #[error("it is longer than any record")]
    TooLong,
    #[error("the first record is no header")]
    NoHeader,
    #[error("a header stands in the middle")]
    SecondHeader,
}

impl Chain {
    /// Before the first line.
    pub fn start() -> Chain {
        Chain([0; 32])
    }

    fn next(self, body: &[u8]) -> Chain {
        Chain(Sha256::new().chain_update(self.0).chain_update(body).finalize().into())
    }

    /// Writes a body as the next line onto `out`.
    pub fn write(&mut self, body: &Body, out: &mut Vec<u8>) -> serde_json::Result<()> {
        let body = serde_json::to_vec(body)?;
        *self = self.next(&body);
        out.extend_from_slice(BEFORE_SUM);
        out.extend_from_slice(hex::encode(self.0).as_bytes());
        out.extend_from_slice(BEFORE_BODY);
        out.extend_from_slice(&body);
        out.extend_from_slice(AFTER_BODY);
        out.push(b'\n');
        Ok(())
    }

    /// The bytes of the body in a line (without its newline), once its sum is found right.
    pub fn check<'a>(&mut self, line: &'a [u8]) -> Result<&'a [u8], Fault> {
        let (sum, body) = split(line).ok_or(Fault::Shape)?;
        let next = self.next(body);
        // Compared as text: of the many ways to write a number in hexadecimal only one is ours.
        if hex::encode(next.0).as_bytes() != sum {
            return Err(Fault::Sum);
        }
        *self = next;
        Ok(body)
    }
}

fn split(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = line.strip_prefix(BEFORE_SUM)?;
    let (sum, rest) = rest.split_at_checked(64)?;
    let body = rest.strip_prefix(BEFORE_BODY)?.strip_suffix(AFTER_BODY)?;
    (line.len() > FRAME).then_some((sum, body))
}

/// Whether a first line, whole or cut off, could be ours.
pub fn begins(line: &[u8]) -> bool {
    let length = line.len().min(BEFORE_SUM.len());
    line[..length] == BEFORE_SUM[..length] || line.iter().all(|b| *b == 0)
}

/// The bytes of the body in a line whose sum was checked before.
pub fn body_of(line: &[u8]) -> Result<&[u8], Fault> {
    split(line).map(|(_, body)| body).ok_or(Fault::Shape)
}

/// The name under which a decision is sealed.
pub fn decided_name(d: &Decided) -> String {
    format!("{}\n{}", d.key, d.what)
}

/// A body as this program reads it; encoded values are decoded.
pub fn parse(body: &[u8]) -> Result<Body, Fault> {
    let mut body: Body = serde_json::from_slice(body).map_err(|e| Fault::Content(e.to_string()))?;
    match &mut body {
        Body::Finished(f) => {
            if let Kept::Clear(answer) = &f.answer {
                f.answer = Kept::Clear(coded(answer, false));
            }
        }
        Body::Decided(d) => {
            if let Kept::Clear(value) = &d.value {
                d.value = Kept::Clear(exact::decode(value));
            }
        }
        _ => {}
    }
    Ok(body)
}

/// An answer with its values encoded for JSON, or decoded.
pub fn coded(answer: &Answer, encoding: bool) -> Answer {
    Answer {
        outcome: exact::outcome(&answer.outcome, encoding),
        consequences: answer.consequences.iter().map(|c| exact::consequence(c, encoding)).collect(),
        notified: answer.notified.clone(),
    }
}

/// A body as it may be written: known secrets masked in what is for people, and what a resume needs of them sealed.
pub fn guarded(body: &Body, mask: &Mask, sealer: &Sealer) -> Body {
    match body {
        Body::Finished(f) => Body::Finished(Box::new(guarded_result(f, mask, sealer))),
        Body::Decided(d) => {
            let mut d = d.clone();
            let name = decided_name(&d);
            d.value = match d.value {
                Kept::Clear(v) | Kept::Private(v) if exact::depth(&v) > exact::DEEPEST => too_deep(),
                Kept::Private(v) => sealer.seal(&name, &exact::encode(&v)),
                Kept::Clear(v) if mask.hides_in(&v) => sealer.seal(&name, &exact::encode(&v)),
                Kept::Clear(v) => Kept::Clear(exact::encode(&v)),
                kept => kept,
            };
            Body::Decided(d)
        }
        _ if mask.is_empty() => body.clone(),
        Body::Header(h) => {
            let mut h = h.clone();
            h.options = mask.dict(&h.options);
            h.part.argv.iter_mut().for_each(|a| *a = mask.text(a));
            Body::Header(h)
        }
        Body::Part(p) => {
            let mut p = p.clone();
            p.argv.iter_mut().for_each(|a| *a = mask.text(a));
            Body::Part(p)
        }
        Body::Started(s) => {
            let mut s = s.clone();
            s.step.name = mask.text(&s.step.name);
            Body::Started(s)
        }
        Body::Event(e) => Body::Event(Box::new(e.masked(mask))),
        Body::Gate(g) => {
            let mut g = g.clone();
            g.step.name = mask.text(&g.step.name);
            g.gate = g.gate.masked(mask);
            g.answer = mask.text(&g.answer);
            Body::Gate(g)
        }
        Body::Verdict(v) => {
            let mut v = v.clone();
            v.text = mask.text(&v.text);
            Body::Verdict(v)
        }
        Body::Accepted(_) | Body::End(_) | Body::Unknown => body.clone(),
    }
}

fn guarded_result(f: &Finished, mask: &Mask, sealer: &Sealer) -> Finished {
    let answer = match &f.answer {
        Kept::Clear(a) | Kept::Private(a) if !shallow(a) => too_deep(),
        Kept::Private(a) => sealer.seal(f.key.as_str(), &coded(a, true)),
        Kept::Clear(a) if hides(a, mask) => sealer.seal(f.key.as_str(), &coded(a, true)),
        Kept::Clear(a) => Kept::Clear(coded(a, true)),
        kept => kept.clone(),
    };
    let mut shown = f.shown.clone();
    if let Some(item) = &mut shown.item {
        item.label = if shown.censored { Item::hidden() } else { mask.value(&item.label) };
    }
    let status = Outcome { status: f.status.clone(), ..Outcome::default() }.masked(mask).status;
    Finished {
        key: f.key.clone(),
        attempt: f.attempt,
        fingerprint: f.fingerprint.clone(),
        at: f.at,
        status,
        changed: f.changed,
        looked: f.looked,
        shown,
        answer,
    }
}

fn too_deep<T>() -> Kept<T> {
    Kept::LeftOut(format!("it is more than {} levels deep", exact::DEEPEST))
}

/// Whether every value can be read back.
fn shallow(a: &Answer) -> bool {
    dicts(a).iter().all(|d| d.values().all(|v| exact::depth(v) < exact::DEEPEST))
}

/// Whether it holds a known secret: its outcome then differs from itself masked.
fn hides(a: &Answer, mask: &Mask) -> bool {
    let in_names = |c: &Consequence| match c {
        Consequence::AddHost { name, groups, .. } => mask.hides(name) || groups.iter().any(|g| mask.hides(g)),
        Consequence::GroupBy { group, parents } => mask.hides(group) || parents.iter().any(|g| mask.hides(g)),
        _ => false,
    };
    !mask.is_empty()
        && (a.outcome.masked(mask) != a.outcome
            || dicts(a).iter().any(|d| mask.dict(d) != **d)
            || a.consequences.iter().any(in_names)
            || a.notified.iter().any(|n| mask.hides(n)))
}

/// All dictionaries that an answer holds.
fn dicts(a: &Answer) -> Vec<&Dict> {
    let mut dicts = vec![&a.outcome.data, &a.outcome.facts];
    for c in &a.consequences {
        match c {
            Consequence::SetFacts { facts: dict, .. }
            | Consequence::IncludeVars { vars: dict }
            | Consequence::Stats { data: dict, .. }
            | Consequence::AddHost { vars: dict, .. } => dicts.push(dict),
            Consequence::Include { includes } => dicts.extend(includes.iter().map(|i| &i.vars)),
            Consequence::GroupBy { .. } | Consequence::Flow { .. } | Consequence::Reborn { .. } => {}
        }
    }
    dicts
}
