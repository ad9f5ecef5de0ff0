//! Templates and conditions of a run: what the engine and the modules call. The language itself is in [`super::jinja`].

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use super::check;
pub use super::error::{Fail, Link, TemplateError, TemplateErrorKind};
use super::jinja::eval::{Cx, Frame};
use super::jinja::lower::{Reading, compile};
use super::jinja::places::{place, with_line_ends};
use super::jinja::tree::Program;
use super::jinja::val::{Res, Val};
pub use super::options::TextOptions;
use crate::model::mistake::Mistake;
use crate::model::source::{Span, Spanned};
use crate::model::text::Text;
use crate::model::value::{Dict, Template, Value};

/// Whether a text is all template, as far as its ends tell: what a condition like that renders to is the condition.
pub fn is_whole(text: &str) -> bool {
    let text = text.trim();
    ["{{", "{%", "{#"].iter().any(|d| text.starts_with(d)) && ["}}", "%}", "#}"].iter().any(|d| text.ends_with(d))
}

/// Why an expression that is no part of the user's own files is not evaluated.
pub const UNTRUSTED: &str = "Encountered untrusted template or expression: only what stands in a playbook, a vars file, the inventory or \
                             on the command line is evaluated, not what a host, a program or a filter gave.";

/// The variables that a template sees. Values may hold templates: they are rendered when they are used.
pub trait Scope: Send + Sync {
    /// A variable as it was written.
    fn get(&self, name: &str) -> Option<Value>;
    /// The names of all variables.
    fn names(&self) -> Vec<Arc<str>>;
    /// Another host's variables, for `hostvars`.
    fn host(&self, _name: &str) -> Option<Arc<dyn Scope>> {
        None
    }
    /// The hosts that `hostvars` has; none where there is no inventory.
    fn hosts(&self) -> Vec<Arc<str>> {
        Vec::new()
    }
    /// A variable was rendered: where its name says so, its text is a secret from here on.
    fn told(&self, _name: &str, _text: &str) {}
    /// The control node, for lookups and included templates; none where templates must not reach it.
    fn control(&self) -> Option<&dyn Control> {
        None
    }
}

/// What lookups need of the control node. Only rendering calls it, never a load-time check.
pub trait Control: Send + Sync {
    /// The folders in which a relative file is looked for: role and play folders, the nearest first.
    fn search(&self) -> Vec<PathBuf>;
    /// The folder in each of those that `first_found` looks into first; none unless it is the loop of a task.
    fn kind(&self) -> &'static str {
        ""
    }
    /// A file's bytes, decrypted if it is a vault.
    fn read(&self, path: &Path) -> Result<Vec<u8>, String>;
    /// Runs a shell command here and gives its exit code, output and errors.
    fn run(&self, command: &str) -> Result<(i32, Vec<u8>, Vec<u8>), String>;
    /// The hosts that a pattern picks, in the order of the inventory.
    fn matching(&self, pattern: &str) -> Result<Vec<String>, String>;
    /// A setting by its name in Ansible's configuration.
    fn setting(&self, name: &str) -> Option<Value>;
}

impl Scope for Dict {
    fn get(&self, name: &str) -> Option<Value> {
        self.get(name).cloned()
    }
    fn names(&self) -> Vec<Arc<str>> {
        self.keys().filter_map(|k| k.as_str().map(Arc::from)).collect()
    }
}

/// Some variables before others: loop variables, say, before a host's view.
pub struct Above<'a> {
    pub top: &'a Dict,
    pub below: &'a dyn Scope,
}

impl Scope for Above<'_> {
    fn get(&self, name: &str) -> Option<Value> {
        self.top.get(name).cloned().or_else(|| self.below.get(name))
    }
    fn names(&self) -> Vec<Arc<str>> {
        let mut names = Scope::names(self.top);
        let more = self.below.names();
        names.extend(more.into_iter().filter(|n| !self.top.contains_key(&**n)));
        names
    }
    fn host(&self, name: &str) -> Option<Arc<dyn Scope>> {
        self.below.host(name)
    }
    fn hosts(&self) -> Vec<Arc<str>> {
        self.below.hosts()
    }
    fn told(&self, name: &str, text: &str) {
        self.below.told(name, text);
    }
    fn control(&self) -> Option<&dyn Control> {
        self.below.control()
    }
}

/// Whether a text is a template (with delimiters) or an expression (a condition, `var:` of debug).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    Expression,
}

/// Reads YAML for `from_yaml`: all documents of a text, or what is wrong with it.
pub type ReadYaml = fn(&str) -> Result<Vec<Value>, String>;

type Compiled = Result<Arc<Program>, Fail>;

/// Compiled templates, and what the language needs from outside.
pub struct Engine {
    templates: RwLock<HashMap<String, Compiled>>,
    expressions: RwLock<HashMap<String, Compiled>>,
    conditions: RwLock<HashMap<String, Compiled>>,
    files: RwLock<HashMap<(String, String), Compiled>>,
    pub yaml: ReadYaml,
    /// Steps after which a template counts as endless.
    pub most_steps: u64,
}

fn cached<K: std::hash::Hash + Eq>(
    map: &RwLock<HashMap<K, Compiled>>,
    key: K,
    make: impl FnOnce(&K) -> Compiled,
) -> Compiled {
    if let Ok(m) = map.read()
        && let Some(found) = m.get(&key)
    {
        return found.clone();
    }
    // Reading deep nesting needs stack; worker threads have little.
    let made = stacker::maybe_grow(1 << 20, 4 << 20, || make(&key));
    if let Ok(mut m) = map.write() {
        m.insert(key, made.clone());
    }
    made
}

impl Engine {
    fn reading(expression: bool, keep_backslashes: bool) -> Reading {
        let syntax = TextOptions::default().syntax().unwrap_or_default();
        Reading { expression, keep_backslashes, syntax, newline: None }
    }

    /// A template in a playbook.
    pub(super) fn template(&self, text: &str) -> Compiled {
        if let Ok(m) = self.templates.read()
            && let Some(found) = m.get(text)
        {
            return found.clone();
        }
        cached(&self.templates, text.to_owned(), |t| compile(t, "", &Engine::reading(false, true)).map(Arc::new))
    }

    fn expression(&self, text: &str) -> Compiled {
        cached(&self.expressions, text.to_owned(), |t| compile(t, "", &Engine::reading(true, true)).map(Arc::new))
    }

    /// A condition is read as a statement is: its backslashes are escapes.
    fn condition(&self, text: &str) -> Compiled {
        cached(&self.conditions, text.to_owned(), |t| compile(t, "", &Engine::reading(true, false)).map(Arc::new))
    }

    fn text(&self, text: &str, options: &TextOptions) -> Compiled {
        // The search path does not matter to what a text compiles to.
        let shape = format!("{:?}", TextOptions { search: Vec::new(), ..options.clone() });
        cached(&self.files, (shape, text.to_owned()), |(_, t)| {
            let newline = Some(&options.newline_sequence).filter(|n| *n != "\n").map(|n| Arc::from(n.as_str()));
            let reading = Reading { expression: false, keep_backslashes: false, syntax: options.syntax()?, newline };
            compile(t, &options.name, &reading).map(Arc::new).map_err(|mut e| {
                place(&mut e, &options.name, t, None);
                e
            })
        })
    }

    /// A template file that another template names; none if there is none.
    pub(super) fn file(
        &self,
        name: &str,
        options: Option<&TextOptions>,
        scope: &dyn Scope,
    ) -> Res<Option<Arc<Program>>> {
        let default = TextOptions::default();
        let options = options.unwrap_or(&default);
        let mut folders: Vec<PathBuf> = Vec::new();
        for f in options.search.iter().cloned().chain(scope.control().map(|c| c.search()).unwrap_or_default()) {
            folders.push(f.join("templates"));
            folders.push(f);
        }
        let candidates = if Path::new(name).is_absolute() {
            vec![PathBuf::from(name)]
        } else {
            folders.iter().map(|f| f.join(name)).collect()
        };
        let Some(path) = candidates.into_iter().find(|p| p.is_file()) else { return Ok(None) };
        let bytes = match scope.control() {
            Some(c) => c.read(&path),
            None => std::fs::read(&path).map_err(|e| e.to_string()),
        };
        let text = bytes.and_then(|b| String::from_utf8(b).map_err(|_| "it is not UTF-8 text".to_owned()));
        match text {
            Ok(text) => {
                let options = TextOptions { name: path.display().to_string(), ..options.clone() };
                self.text(&text, &options).map(Some)
            }
            Err(e) => super::error::fail(format!("cannot read the template {}: {e}", path.display())),
        }
    }

    /// Renders the text of a template file; none if there was nothing to render but comments.
    pub(super) fn render_text(&self, text: &str, options: &TextOptions, scope: &dyn Scope) -> Res<Option<String>> {
        let mut options = options.clone();
        let body = options.header(text)?;
        let program = self.text(body, &options)?;
        let mut cx = Cx::new(self, scope);
        cx.options = Some(&options);
        let result = cx.run(&program, &Frame::root(true)).and_then(|v| match v {
            Val::Null => Ok(None),
            Val::Str(s) => Ok(Some(s.to_string())),
            Val::Missing(m) => Err(m.fail()),
            v => cx.value(&v).map(|v| Some(v.to_string())),
        });
        match result {
            Ok(result) => Ok(result.map(|text| with_line_ends(body, &text, &options.newline_sequence))),
            Err(mut e) => {
                place(&mut e, &options.name, body, None);
                Err(e)
            }
        }
    }
}

/// Renders templates and decides conditions. One per run; share it behind an `Arc`.
pub struct Templar {
    engine: Engine,
    broken_conditions: bool,
}

impl Templar {
    /// `yaml` reads the texts given to `from_yaml`.
    pub fn new(yaml: ReadYaml) -> Templar {
        Templar {
            engine: Engine {
                templates: RwLock::default(),
                expressions: RwLock::default(),
                conditions: RwLock::default(),
                files: RwLock::default(),
                yaml,
                most_steps: 20_000_000,
            },
            broken_conditions: false,
        }
    }

    /// Whether a condition may give anything, which counts by whether it is empty; it must be true or false unless set.
    pub fn allow_broken_conditions(mut self, allowed: bool) -> Templar {
        self.broken_conditions = allowed;
        self
    }

    /// Sets after how many steps (expressions, statements, turns of loops) a template counts as endless; 20 million
    /// unless set.
    pub fn limit_steps(mut self, steps: u64) -> Templar {
        self.engine.most_steps = steps;
        self
    }

    /// Renders every template in a value. One that is exactly `{{ … }}` gives the value itself, of any kind; `omit`
    /// drops the item or key that holds it, and is an error where nothing holds it (see [`Templar::render_or_omit`]).
    pub fn render(&self, value: &Value, scope: &dyn Scope) -> Result<Value, Fail> {
        if !value.has_template() {
            return Ok(value.clone());
        }
        self.value(value, scope).map_err(|e| match e.kind {
            TemplateErrorKind::Omitted => e.help("`omit` works for a parameter that may be left out"),
            _ => e,
        })
    }

    /// As [`Templar::render`]; none where the value as a whole is `omit`.
    pub fn render_or_omit(&self, value: &Value, scope: &dyn Scope) -> Result<Option<Value>, Fail> {
        match self.value(value, scope) {
            Ok(v) => Ok(Some(v)),
            Err(e) if e.kind == TemplateErrorKind::Omitted => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn value(&self, value: &Value, scope: &dyn Scope) -> Result<Value, Fail> {
        let mut cx = Cx::new(&self.engine, scope);
        let v = cx.settle(&Val::of(value))?;
        cx.value(&v)
    }

    /// The value of an expression without delimiters. `span` is where it was written.
    pub fn expression(&self, text: &str, span: &Span, scope: &dyn Scope) -> Result<Value, Fail> {
        let mut cx = Cx::new(&self.engine, scope);
        self.evaluate(&mut cx, self.engine.expression(text), text, span)
    }

    fn evaluate(&self, cx: &mut Cx<'_>, program: Compiled, text: &str, span: &Span) -> Result<Value, Fail> {
        let result = program.and_then(|p| {
            let v = cx.run(&p, &Frame::root(true))?;
            cx.value(&v)
        });
        result.map_err(|mut e| {
            place(&mut e, "", text, Some(span));
            e
        })
    }

    /// Decides a condition: a boolean, or an expression that must give one. A condition that is all `{{ … }}` is
    /// rendered first; the text it gives is the expression, if the user wrote it: what a host printed is never evaluated.
    pub fn condition(&self, written: &Spanned<Value>, scope: &dyn Scope) -> Result<bool, Fail> {
        let wrong = |message: String| {
            let mut e = TemplateError::new(TemplateErrorKind::Other, message);
            e.span = Some(written.span.clone());
            e
        };
        let trusted = |text: &Text| match text.is_trusted() {
            true => Ok(text.to_string()),
            false => Err(wrong(UNTRUSTED.into())),
        };
        let mut given = false;
        let (text, span) = match &written.value {
            Value::Bool(b) => return Ok(*b),
            Value::Str(s) => (trusted(s)?, written.span.clone()),
            Value::Template(t) => {
                let trimmed = t.text.trim();
                if !is_whole(trimmed) {
                    (t.text.clone(), t.span.clone())
                } else {
                    let inner = Arc::new(Template { text: trimmed.to_owned(), span: t.span.clone() });
                    match self.value(&Value::Template(inner), scope)? {
                        Value::Str(s) => {
                            given = true;
                            (trusted(&s)?, t.span.clone())
                        }
                        Value::Bool(b) => return Ok(b),
                        other if self.broken_conditions => return Cx::new(&self.engine, scope).truth(&Val::of(&other)),
                        other => return Err(not_boolean(&other, trimmed, &wrong)),
                    }
                }
            }
            Value::Null => (String::new(), written.span.clone()),
            other => return Err(wrong(format!("a condition must be an expression, not {}", other.kind()))),
        };
        let text = text.trim();
        if text.is_empty() {
            return Err(wrong("the condition is empty".into()).help("write true, or remove it"));
        }
        let mut cx = Cx::new(&self.engine, scope);
        cx.renders_constants = !given;
        match self.evaluate(&mut cx, self.engine.condition(text), text, &span)? {
            Value::Bool(b) => Ok(b),
            other if self.broken_conditions => cx.truth(&Val::of(&other)),
            other => Err(not_boolean(&other, text, &wrong)),
        }
    }

    /// Renders the text of a template file, as the `template` module does.
    pub fn render_text(&self, text: &str, options: &TextOptions, scope: &dyn Scope) -> Result<String, Fail> {
        self.engine.render_text(text, options, scope).map(Option::unwrap_or_default)
    }

    /// What can be said about a text without running it: syntax errors, unknown filters, tests, lookups and their
    /// arguments, each with its place.
    pub fn check(&self, text: &str, span: &Span, kind: Kind) -> Vec<Mistake> {
        let program = match kind {
            Kind::Text => self.engine.template(text),
            Kind::Expression => self.engine.condition(text.trim()),
        };
        let shown = if kind == Kind::Text { text } else { text.trim() };
        match program {
            Ok(program) => check::mistakes(&program, shown, span),
            Err(mut e) => {
                place(&mut e, "", shown, Some(span));
                vec![e.to_mistake()]
            }
        }
    }

    /// As [`Templar::check`], for the text of a template file.
    pub fn check_text(&self, text: &str, options: &TextOptions) -> Vec<Mistake> {
        let mut options = options.clone();
        let program = options.header(text).and_then(|body| self.engine.text(body, &options).map(|p| (p, body)));
        match program {
            Ok((program, body)) => check::mistakes(&program, body, &Span::of_text(&options.name, body)),
            Err(e) => vec![e.to_mistake()],
        }
    }

    /// The variables of the play that a text uses; none if it is not valid.
    pub fn names(&self, text: &str, kind: Kind) -> Vec<String> {
        let program = match kind {
            Kind::Text => self.engine.template(text),
            Kind::Expression => self.engine.condition(text.trim()),
        };
        program.map(|p| check::names(&p)).unwrap_or_default()
    }
}

fn not_boolean(value: &Value, text: &str, wrong: &dyn Fn(String) -> Fail) -> Fail {
    let e = wrong(format!("the condition gives {}, not true or false", value.kind()));
    let simple = text.chars().all(|c| c.is_alphanumeric() || "_.[]'\"".contains(c));
    let shown = if simple { text.to_owned() } else { format!("({text})") };
    match value {
        Value::Str(_) | Value::List(_) | Value::Dict(_) => e
            .help(format!("to test whether it is empty: {shown} | length > 0"))
            .help(format!("to read a yes or no in it: {shown} | bool")),
        Value::Int(_) | Value::Float(_) => e.help(format!("compare it: {shown} != 0")),
        _ => e.help(format!("test for null: {shown} is not none")),
    }
}
