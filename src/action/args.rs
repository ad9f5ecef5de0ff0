//! Arguments of modules: one definition gives the typed struct, the checks before any host is touched, and the
//! documentation (`stx-upgrade doc`).
//!
//! ```
//! stx_upgrade::arguments! {
//!     pub struct Args {
//!         /// The file to look at.
//!         path ["dest", "name"]: std::path::PathBuf,
//!         /// Whether to follow a last link.
//!         follow []: bool = false,
//!         /// Owner to give it.
//!         owner []: Option<String>,
//!     }
//! }
//! ```
//! A field without a default that is no `Option` is required; the names in brackets are its aliases.

use std::path::PathBuf;

use crate::model::secret::Secret;
use crate::model::value::{Dict, Value};

/// The arguments of a module, as a type.
pub trait Arguments: Sized {
    /// What each argument is, in the order of the definition.
    fn specs() -> Vec<ArgSpec>;
    /// Rules over several arguments.
    fn rules() -> &'static [Rule] {
        &[]
    }
    /// Takes rendered arguments; unknown names, missing ones and wrong types are told all at once.
    fn from_dict(args: &Dict) -> Result<Self, Vec<ArgMistake>>;
}

/// One argument, for checks and documentation.
#[derive(Clone, Debug)]
pub struct ArgSpec {
    pub name: &'static str,
    pub aliases: &'static [&'static str],
    /// What it means; the doc comment.
    pub doc: &'static str,
    /// Ansible's name of the type: `str`, `int`, `bool`, `path`, `list`, `dict`, `raw`.
    pub kind: &'static str,
    pub required: bool,
    /// What stands where nothing is given, as a playbook would write it; none where there is no default.
    pub default: Option<fn() -> String>,
    /// The only texts it may be; empty for any.
    pub choices: &'static [&'static str],
    /// Never shown.
    pub secret: bool,
    /// Checks one rendered value.
    pub check: fn(&Value) -> Result<(), String>,
}

/// A rule over several arguments, by their names.
#[derive(Clone, Copy, Debug)]
pub enum Rule {
    /// At most one of these.
    Exclusive(&'static [&'static str]),
    /// At least one of these.
    OneOf(&'static [&'static str]),
    /// All of these or none.
    Together(&'static [&'static str]),
    /// If the first has the value, each of these must be there.
    If(&'static str, &'static str, &'static [&'static str]),
}

/// What is wrong with given arguments.
#[derive(Clone, Debug, PartialEq)]
pub enum ArgMistake {
    /// No such argument; the name as given.
    Unknown(String),
    /// Required and not given.
    Missing(&'static str),
    /// Given twice: under its name and an alias, or two aliases.
    Twice(&'static str, String),
    /// Of the wrong type or not among its choices: name as given, and what it should be.
    Wrong(String, String),
    /// Breaks a rule; the sentence.
    Rule(String),
}

impl std::fmt::Display for ArgMistake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ArgMistake::Unknown(name) => write!(f, "unknown parameter `{name}`"),
            ArgMistake::Missing(name) => write!(f, "the parameter `{name}` is required"),
            ArgMistake::Twice(name, other) => write!(f, "`{other}` is another name of `{name}`, which is given too"),
            ArgMistake::Wrong(name, why) => write!(f, "`{name}`: {why}"),
            ArgMistake::Rule(text) => f.write_str(text),
        }
    }
}

/// Checks given arguments against their definition. Values that still hold templates are passed over, so the same
/// check serves before the run and, with everything rendered, at the call. A null counts as not given.
pub fn check(specs: &[ArgSpec], rules: &[Rule], args: &Dict) -> Vec<ArgMistake> {
    let mut mistakes = Vec::new();
    let mut given: Vec<(&'static str, &str, &Value)> = Vec::new();
    for (key, value) in args {
        let name = key.as_str().unwrap_or_default();
        let Some(spec) = specs.iter().find(|s| s.name == name || s.aliases.contains(&name)) else {
            mistakes.push(ArgMistake::Unknown(key.to_string()));
            continue;
        };
        if given.iter().any(|(n, ..)| *n == spec.name) {
            mistakes.push(ArgMistake::Twice(spec.name, name.to_owned()));
        }
        if value.is_null() {
            continue;
        }
        given.push((spec.name, name, value));
        if !value.has_template()
            && let Err(why) = (spec.check)(value)
        {
            mistakes.push(ArgMistake::Wrong(name.to_owned(), why));
        }
    }
    let has = |name: &str| given.iter().any(|(n, ..)| *n == name);
    for spec in specs.iter().filter(|s| s.required && !has(s.name)) {
        mistakes.push(ArgMistake::Missing(spec.name));
    }
    for rule in rules {
        let broken = match rule {
            Rule::Exclusive(names) => {
                let many = names.iter().filter(|n| has(n)).count() > 1;
                many.then(|| format!("parameters are mutually exclusive: {}", names.join("|")))
            }
            Rule::OneOf(names) => (!names.iter().any(|n| has(n)))
                .then(|| format!("one of the following is required: {}", names.join(", "))),
            Rule::Together(names) => {
                let some = names.iter().any(|n| has(n)) && !names.iter().all(|n| has(n));
                some.then(|| format!("parameters are required together: {}", names.join(", ")))
            }
            Rule::If(name, wanted, needs) => {
                let met = given.iter().any(|(n, _, v)| n == name && v.to_string() == *wanted);
                let missing: Vec<&str> = needs.iter().filter(|n| met && !has(n)).copied().collect();
                let words =
                    || format!("{name} is {wanted} but all of the following are missing: {}", missing.join(", "));
                (!missing.is_empty()).then(words)
            }
        };
        mistakes.extend(broken.map(ArgMistake::Rule));
    }
    mistakes
}

/// A type that an argument can have, with Ansible's coercions.
pub trait FromArg: Sized {
    /// Ansible's name of the type.
    const KIND: &'static str;
    const CHOICES: &'static [&'static str] = &[];
    const SECRET: bool = false;
    /// Takes a rendered value; the error says what it should be.
    fn from_arg(value: &Value) -> Result<Self, String>;
    /// The value as a playbook would write it.
    fn written(&self) -> String;
    /// What stands where nothing is given; none makes it required.
    fn absent() -> Option<Self> {
        None
    }
}

impl<T: FromArg> FromArg for Option<T> {
    const KIND: &'static str = T::KIND;
    const CHOICES: &'static [&'static str] = T::CHOICES;
    const SECRET: bool = T::SECRET;
    fn from_arg(value: &Value) -> Result<Self, String> {
        if value.is_null() { Ok(None) } else { T::from_arg(value).map(Some) }
    }
    fn written(&self) -> String {
        self.as_ref().map_or(String::new(), T::written)
    }
    fn absent() -> Option<Self> {
        Some(None)
    }
}

/// Anything else becomes text as Python prints it: Ansible takes a list or a mapping for a text, too.
impl FromArg for String {
    const KIND: &'static str = "str";
    fn from_arg(value: &Value) -> Result<Self, String> {
        Ok(value.to_string())
    }
    fn written(&self) -> String {
        if self.is_empty() { "\"\"".into() } else { self.clone() }
    }
}

impl FromArg for Secret {
    const KIND: &'static str = "str";
    const SECRET: bool = true;
    fn from_arg(value: &Value) -> Result<Self, String> {
        String::from_arg(value).map(Secret::new)
    }
    fn written(&self) -> String {
        self.to_string()
    }
}

/// A path; `~` is for the host to expand.
impl FromArg for PathBuf {
    const KIND: &'static str = "path";
    fn from_arg(value: &Value) -> Result<Self, String> {
        String::from_arg(value).map(PathBuf::from)
    }
    fn written(&self) -> String {
        self.display().to_string()
    }
}

impl FromArg for bool {
    const KIND: &'static str = "bool";
    fn from_arg(value: &Value) -> Result<Self, String> {
        truth(value).ok_or_else(|| format!("must be a boolean (true or false), not {}", shown(value)))
    }
    fn written(&self) -> String {
        self.to_string()
    }
}

/// Ansible's words for true and false, in any case: yes/no, on/off, true/false, y/n, t/f, 1/0.
pub fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(b) => Some(*b),
        Value::Int(1) => Some(true),
        Value::Int(0) => Some(false),
        Value::Float(x) if *x == 1.0 => Some(true),
        Value::Float(x) if *x == 0.0 => Some(false),
        Value::Str(s) => match s.trim().to_ascii_lowercase().as_str() {
            "yes" | "y" | "on" | "true" | "t" | "1" | "1.0" => Some(true),
            "no" | "n" | "off" | "false" | "f" | "0" | "0.0" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

impl FromArg for i64 {
    const KIND: &'static str = "int";
    fn from_arg(value: &Value) -> Result<Self, String> {
        match value {
            Value::Int(i) => Some(*i),
            Value::Float(x) if x.fract() == 0.0 => Some(*x as i64),
            Value::Str(s) => s.trim().parse().ok(),
            _ => None,
        }
        .ok_or_else(|| format!("must be a whole number, not {}", shown(value)))
    }
    fn written(&self) -> String {
        self.to_string()
    }
}

impl FromArg for u64 {
    const KIND: &'static str = "int";
    fn from_arg(value: &Value) -> Result<Self, String> {
        u64::try_from(i64::from_arg(value)?).map_err(|_| format!("must not be negative, and is {}", shown(value)))
    }
    fn written(&self) -> String {
        self.to_string()
    }
}

impl FromArg for f64 {
    const KIND: &'static str = "float";
    fn from_arg(value: &Value) -> Result<Self, String> {
        match value {
            Value::Int(i) => Some(*i as f64),
            Value::Float(x) => Some(*x),
            Value::Str(s) => s.trim().parse().ok(),
            _ => None,
        }
        .ok_or_else(|| format!("must be a number, not {}", shown(value)))
    }
    fn written(&self) -> String {
        self.to_string()
    }
}

/// A list; a text is split at commas, another single value becomes a list of one.
impl<T: FromArg> FromArg for Vec<T> {
    const KIND: &'static str = "list";
    fn from_arg(value: &Value) -> Result<Self, String> {
        match value {
            Value::List(l) => l.iter().map(T::from_arg).collect(),
            Value::Str(s) if s.is_empty() => Ok(Vec::new()),
            Value::Str(s) => s.split(',').map(|p| T::from_arg(&Value::str(p.trim()))).collect(),
            Value::Dict(_) => Err(format!("must be a list, not {}", value.kind())),
            one => Ok(vec![T::from_arg(one)?]),
        }
    }
    fn written(&self) -> String {
        format!("[{}]", self.iter().map(T::written).collect::<Vec<_>>().join(", "))
    }
}

/// A mapping.
impl FromArg for Dict {
    const KIND: &'static str = "dict";
    fn from_arg(value: &Value) -> Result<Self, String> {
        match value {
            Value::Dict(d) => Ok(d.as_ref().clone()),
            Value::Str(s) => match serde_json::from_str(s) {
                Ok(Value::Dict(d)) => Ok(d.as_ref().clone()),
                _ => Err(format!("must be a mapping, not {}", shown(value))),
            },
            _ => Err(format!("must be a mapping, not {}", value.kind())),
        }
    }
    fn written(&self) -> String {
        Value::dict(self.clone()).to_string()
    }
}

/// Anything.
impl FromArg for Value {
    const KIND: &'static str = "raw";
    fn from_arg(value: &Value) -> Result<Self, String> {
        Ok(value.clone())
    }
    fn written(&self) -> String {
        self.to_string()
    }
}

/// How a wrong value is named in a message.
fn shown(value: &Value) -> String {
    match value {
        Value::List(_) | Value::Dict(_) | Value::Null => value.kind().to_owned(),
        other => format!("`{other}`"),
    }
}

/// Reads one field; used by [`arguments!`](crate::arguments).
pub fn field<T: FromArg>(
    name: &'static str,
    aliases: &[&str],
    args: &Dict,
    default: Option<T>,
) -> Result<T, ArgMistake> {
    let found = std::iter::once(&name).chain(aliases).find_map(|n| args.get(*n).map(|v| (*n, v)));
    match found {
        Some((given, value)) if !value.is_null() => {
            T::from_arg(value).map_err(|why| ArgMistake::Wrong(given.to_owned(), why))
        }
        _ => default.or_else(T::absent).ok_or(ArgMistake::Missing(name)),
    }
}

/// Defines a struct of arguments with its checks and documentation; see the module's text. After the fields may follow
/// `flatten { field: Type }` for a shared group of arguments and `rules { … }` with [`Rule`]s.
#[macro_export]
macro_rules! arguments {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident {
            $($(#[doc = $doc:literal])* $field:ident [$($alias:literal),*]: $ty:ty $(= $default:expr)?,)*
            $(..$group:ident: $group_ty:ty,)*
        }
        $(rules [$($rule:expr),* $(,)?])?
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug)]
        $vis struct $name {
            $($(#[doc = $doc])* pub $field: $ty,)*
            $(pub $group: $group_ty,)*
        }

        impl $crate::action::args::Arguments for $name {
            fn specs() -> Vec<$crate::action::args::ArgSpec> {
                #[allow(unused_mut)]
                let mut specs = vec![$(
                    $crate::action::args::ArgSpec {
                        name: $crate::action::args::plain_name(stringify!($field)),
                        aliases: &[$($alias),*],
                        doc: concat!($($doc, "\n",)* ""),
                        kind: <$ty as $crate::action::args::FromArg>::KIND,
                        required: $crate::arguments!(@required $ty $(, $default)?),
                        default: $crate::arguments!(@written $ty $(, $default)?),
                        choices: <$ty as $crate::action::args::FromArg>::CHOICES,
                        secret: <$ty as $crate::action::args::FromArg>::SECRET,
                        check: |v| <$ty as $crate::action::args::FromArg>::from_arg(v).map(|_| ()),
                    },
                )*];
                $(specs.extend(<$group_ty as $crate::action::args::Arguments>::specs());)*
                specs
            }

            fn rules() -> &'static [$crate::action::args::Rule] {
                #[allow(unused_imports)]
                use $crate::action::args::Rule::*;
                &[$($($rule),*)?]
            }

            fn from_dict(args: &$crate::model::value::Dict) -> Result<Self, Vec<$crate::action::args::ArgMistake>> {
                let specs = <Self as $crate::action::args::Arguments>::specs();
                let mistakes = $crate::action::args::check(&specs, <Self as $crate::action::args::Arguments>::rules(), args);
                if !mistakes.is_empty() {
                    return Err(mistakes);
                }
                Self::read(args).map_err(|m| vec![m])
            }
        }

        impl $name {
            /// Reads the fields alone; what else is in `args` is passed over.
            pub fn read(args: &$crate::model::value::Dict) -> Result<Self, $crate::action::args::ArgMistake> {
                // A module may have no arguments at all.
                let _ = args;
                Ok($name {
                    $($field: $crate::action::args::field(
                        $crate::action::args::plain_name(stringify!($field)),
                        &[$($alias),*],
                        args,
                        $crate::arguments!(@default $ty $(, $default)?),
                    )?,)*
                    $($group: <$group_ty>::read(args)?,)*
                })
            }
        }
    };
    (@required $ty:ty) => { <$ty as $crate::action::args::FromArg>::absent().is_none() };
    (@required $ty:ty, $default:expr) => { false };
    (@written $ty:ty) => { None };
    (@written $ty:ty, $default:expr) => {
        Some(|| <$ty as $crate::action::args::FromArg>::written(&<$ty>::from($default)))
    };
    (@default $ty:ty) => { None };
    (@default $ty:ty, $default:expr) => { Some(<$ty>::from($default)) };
}

/// `r#type` is written `type` in a playbook.
pub const fn plain_name(name: &'static str) -> &'static str {
    match name.as_bytes() {
        [b'r', b'#', ..] => name.split_at(2).1,
        _ => name,
    }
}

/// Defines an argument that is one of a few words.
///
/// ```
/// stx_upgrade::choices! {
///     pub enum State { Present = "present", Absent = "absent" }
/// }
/// ```
#[macro_export]
macro_rules! choices {
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $($(#[$vmeta:meta])* $variant:ident = $word:literal),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $vis enum $name { $($(#[$vmeta])* $variant),* }

        impl $name {
            /// The word as playbooks write it.
            #[allow(dead_code)]
            pub fn word(self) -> &'static str {
                match self { $($name::$variant => $word),* }
            }
        }

        impl $crate::action::args::FromArg for $name {
            const KIND: &'static str = "str";
            const CHOICES: &'static [&'static str] = &[$($word),*];
            fn from_arg(value: &$crate::model::value::Value) -> Result<Self, String> {
                // `state: yes` and the like: YAML 1.1 made a boolean of a word.
                let text = match value {
                    $crate::model::value::Value::Bool(b) => {
                        let words: &[&str] = if *b { &["yes", "on", "true"] } else { &["no", "off", "false"] };
                        words.iter().find(|w| Self::CHOICES.contains(w)).copied().unwrap_or(words[2]).to_owned()
                    }
                    other => <String as $crate::action::args::FromArg>::from_arg(other)?,
                };
                match text.as_str() {
                    $($word => Ok($name::$variant),)*
                    _ => Err(format!("must be one of {}, not `{text}`", Self::CHOICES.join(", "))),
                }
            }
            fn written(&self) -> String {
                self.word().to_owned()
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dict;

    choices! { enum State { Present = "present", Absent = "absent" } }

    arguments! {
        struct Args {
            /// The file.
            path ["dest", "name"]: PathBuf,
            /// State.
            state []: State = State::Present,
            mode []: Option<String>,
            r#type []: Option<String>,
            count []: i64 = 3,
        }
        rules [Exclusive(&["mode", "type"])]
    }

    #[test]
    fn typed_with_aliases_and_defaults() {
        let a = Args::from_dict(&dict! {"dest" => "/x", "count" => "7"}).unwrap();
        assert_eq!((a.path, a.state, a.count), (PathBuf::from("/x"), State::Present, 7));
        assert_eq!((a.mode, a.r#type), (None, None));
    }

    #[test]
    fn all_mistakes_at_once() {
        let m = Args::from_dict(&dict! {"pth" => "/x", "state" => "gone", "mode" => 1i64, "type" => "f"}).unwrap_err();
        assert_eq!(m.len(), 4, "{m:?}");
        assert!(m.contains(&ArgMistake::Unknown("pth".into())));
        assert!(m.contains(&ArgMistake::Missing("path")));
    }
}
