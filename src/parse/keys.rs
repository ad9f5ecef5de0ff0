//! The keywords of plays, roles, blocks and tasks: which there are, what shape each takes, and the ones they share.

use super::vault::Vault;
use super::words::Words;
use super::yaml::{Kind, Node, Reader, string_of};
use crate::model::mistake::Mistake;
use crate::model::playbook::{Common, Written};
use crate::model::source::{Span, Spanned};
use crate::model::value::{Dict, Value, has_jinja};

/// Keywords that plays, roles, blocks and tasks share.
pub(super) const COMMON: &[&str] = &[
    "any_errors_fatal",
    "become",
    "become_exe",
    "become_flags",
    "become_method",
    "become_user",
    "check_mode",
    "collections",
    "connection",
    "debugger",
    "diff",
    "environment",
    "ignore_errors",
    "ignore_unreachable",
    "module_defaults",
    "name",
    "no_log",
    "port",
    "remote_user",
    "run_once",
    "tags",
    "throttle",
    "timeout",
    "vars",
];

pub(super) const PLAY: &[&str] = &[
    "fact_path",
    "force_handlers",
    "gather_facts",
    "gather_subset",
    "gather_timeout",
    "handlers",
    "hosts",
    "max_fail_percentage",
    "order",
    "post_tasks",
    "pre_tasks",
    "roles",
    "serial",
    "strategy",
    "tasks",
    "vars_files",
    "vars_prompt",
];

pub(super) const BLOCK: &[&str] = &["always", "block", "delegate_facts", "delegate_to", "notify", "rescue", "when"];

pub(super) const TASK: &[&str] = &[
    "action",
    "args",
    "async",
    "changed_when",
    "delay",
    "delegate_facts",
    "delegate_to",
    "failed_when",
    "local_action",
    "loop",
    "loop_control",
    "notify",
    "poll",
    "register",
    "retries",
    "until",
    "when",
];

/// What a reader of plays and tasks carries: the words, the vault, the mistakes so far.
pub(super) struct Context<'a> {
    pub words: &'a dyn Words,
    pub vault: &'a Vault,
    pub mistakes: &'a mut Vec<Mistake>,
}

impl Context<'_> {
    pub(super) fn mistake(&mut self, mistake: Mistake) {
        self.mistakes.push(mistake);
    }

    fn reader(&mut self) -> Reader<'_> {
        Reader { vault: self.vault, mistakes: self.mistakes }
    }

    pub(super) fn value(&mut self, node: &Node) -> Value {
        self.reader().value(node)
    }

    pub(super) fn written(&mut self, node: &Node) -> Written {
        self.reader().written(node)
    }

    /// The keys of a mapping as text, with their values; a key that is no text is a mistake.
    pub(super) fn pairs<'n>(&mut self, node: &'n Node, what: &str) -> Vec<(Spanned<String>, &'n Node)> {
        let Some(pairs) = node.as_map() else {
            let kind = node.kind_name();
            self.mistake(Mistake::at(&first_line(&node.span), format!("{what} must be a mapping, this is {kind}")));
            return Vec::new();
        };
        let mut found = Vec::with_capacity(pairs.len());
        for (key, value) in pairs {
            match string_of(key).filter(|_| key.is_string()) {
                Some(text) => found.push((text, value)),
                None => {
                    let kind = key.kind_name();
                    self.mistake(
                        Mistake::at(&key.span, format!("{what} has {kind} for a key"))
                            .label("keywords are text")
                            .suggest(key.text().unwrap_or(""), COMMON.iter().copied()),
                    );
                }
            }
        }
        found
    }

    /// An unknown keyword, with the nearest right one.
    pub(super) fn unknown(&mut self, key: &Spanned<String>, what: &str, known: &[&[&str]]) {
        let mistake = Mistake::at(&key.span, format!("unknown keyword `{}` in {what}", key.value))
            .suggest(&key.value, known.iter().flat_map(|k| k.iter().copied()));
        self.mistake(mistake);
    }

    /// Any value, or none if nothing is written.
    pub(super) fn optional(&mut self, node: &Node) -> Option<Written> {
        (!node.is_null()).then(|| self.written(node))
    }

    /// One text, number or boolean; a list or mapping is a mistake.
    pub(super) fn scalar(&mut self, key: &str, node: &Node) -> Option<Written> {
        self.one(key, node, "text")
    }

    fn one(&mut self, key: &str, node: &Node, expected: &str) -> Option<Written> {
        match node.kind {
            Kind::Scalar { .. } => self.optional(node),
            _ => {
                self.wrong(key, node, expected);
                None
            }
        }
    }

    /// A boolean as Ansible takes it: `true`, `yes`, `"on"`, `1`, or a template.
    pub(super) fn boolean(&mut self, key: &str, node: &Node) -> Option<Written> {
        let written = self.one(key, node, "true or false")?;
        let good = match &written.value {
            Value::Bool(_) | Value::Template(_) => true,
            Value::Int(i) => matches!(i, 0 | 1),
            Value::Float(x) => *x == 0.0 || *x == 1.0,
            Value::Str(s) => matches!(
                s.to_lowercase().as_str(),
                "y" | "yes" | "on" | "1" | "true" | "t" | "n" | "no" | "off" | "0" | "false" | "f" | "1.0" | "0.0"
            ),
            _ => false,
        };
        if !good {
            self.wrong(key, node, "true or false");
            return None;
        }
        Some(written)
    }

    /// A whole number, or a template.
    pub(super) fn integer(&mut self, key: &str, node: &Node) -> Option<Written> {
        let written = self.one(key, node, "a whole number")?;
        let good = match &written.value {
            Value::Int(_) | Value::Template(_) | Value::Bool(_) => true,
            Value::Float(x) => x.fract() == 0.0,
            Value::Str(s) => s.trim().parse::<f64>().is_ok_and(|x| x.fract() == 0.0),
            _ => false,
        };
        if !good {
            self.wrong(key, node, "a whole number");
            return None;
        }
        Some(written)
    }

    /// A number, or a template.
    pub(super) fn number(&mut self, key: &str, node: &Node) -> Option<Written> {
        let written = self.one(key, node, "a number")?;
        let good = match &written.value {
            Value::Int(_) | Value::Float(_) | Value::Template(_) | Value::Bool(_) => true,
            Value::Str(s) => s.trim().trim_end_matches('%').parse::<f64>().is_ok(),
            _ => false,
        };
        if !good {
            self.wrong(key, node, "a number");
            return None;
        }
        Some(written)
    }

    /// A list, or one thing that stands for a list of one; nothing for nothing.
    pub(super) fn list(&mut self, node: &Node) -> Vec<Written> {
        match &node.kind {
            Kind::Seq(items) => items.iter().map(|n| self.written(n)).collect(),
            _ => self.optional(node).into_iter().collect(),
        }
    }

    /// Texts, numbers and templates, one or a list of them.
    pub(super) fn texts(&mut self, key: &str, node: &Node) -> Vec<Written> {
        let items = match &node.kind {
            Kind::Seq(items) => items.as_slice(),
            _ => std::slice::from_ref(node),
        };
        let mut found = Vec::new();
        for item in items {
            match item.kind {
                Kind::Scalar { .. } => found.extend(self.optional(item)),
                _ => self.wrong(key, item, "text, or a list of texts"),
            }
        }
        found
    }

    /// Conditions: one or a list of them, each an expression or a boolean.
    pub(super) fn conditions(&mut self, key: &str, node: &Node) -> Vec<Written> {
        let items = match &node.kind {
            Kind::Seq(items) => items.as_slice(),
            _ => std::slice::from_ref(node),
        };
        let mut found = Vec::new();
        for item in items {
            match item.kind {
                // An empty `when:` is no condition.
                Kind::Scalar { .. } => found.extend(self.optional(item)),
                _ => self.wrong(key, item, "an expression, or a list of expressions"),
            }
        }
        found
    }

    /// Tags: texts and numbers, in a list or between commas.
    pub(super) fn tags(&mut self, node: &Node) -> Vec<Written> {
        let mut found = Vec::new();
        for tag in self.texts("tags", node) {
            match &tag.value {
                Value::Str(text) if text.contains(',') && node.as_seq().is_none() => {
                    let mut at = 0;
                    for part in text.split(',') {
                        let name = part.trim();
                        let from = at + part.len() - part.trim_start().len();
                        at += part.len() + 1;
                        let content = if node.text() == Some(text) { node.content_span() } else { tag.span.clone() };
                        let span = content.decoded_part(text, from, from + name.len());
                        found.push(Spanned::new(Value::str(name), span));
                    }
                }
                _ => found.push(tag),
            }
        }
        found
    }

    /// A mapping of variables whose names Ansible allows.
    pub(super) fn vars(&mut self, node: &Node, what: &str) -> Dict {
        if let Some(pairs) = node.as_map() {
            for (key, _) in pairs {
                self.variable_name(key.text().unwrap_or(""), &key.span, key.is_string());
            }
        } else if matches!(node.text(), Some(t) if has_jinja(t)) {
            self.mistake(
                Mistake::at(&node.span, format!("{what} must be a mapping; the mapping itself cannot be a template"))
                    .help("its values can: one `name: \"{{ … }}\"` per line"),
            );
            return Dict::new();
        }
        self.reader().dict(node, what)
    }

    /// Says so if a name cannot be a variable's.
    pub(super) fn variable_name(&mut self, name: &str, span: &Span, is_string: bool) -> bool {
        let good = is_string && is_variable_name(name);
        if !good {
            let better: String =
                name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect();
            // Ansible's words: scripts look for them.
            let mut mistake = Mistake::at(span, format!("Invalid variable name '{name}'"));
            if is_variable_name(&better) && better != name {
                mistake = mistake.label(format!("perhaps `{better}`?"));
            }
            self.mistake(mistake.help(
                "a name starts with a letter or underscore, and holds letters, digits and underscores; true, false, none and not are taken",
            ));
        }
        good
    }

    /// A value of the wrong kind.
    pub(super) fn wrong(&mut self, key: &str, node: &Node, expected: &str) {
        let kind = node.kind_name();
        self.mistake(Mistake::at(&first_line(&node.span), format!("`{key}` must be {expected}, this is {kind}")));
    }

    /// Takes a shared keyword into `common`; false if it is none of them.
    pub(super) fn common(&mut self, key: &str, node: &Node, what: &str, common: &mut Common) -> bool {
        match key {
            "name" => common.name = self.scalar(key, node),
            "vars" => common.vars = self.vars(node, &format!("the `vars` of {what}")),
            "tags" => common.tags = self.tags(node),
            "become" => common.become_ = self.boolean(key, node),
            "become_user" => common.become_user = self.scalar(key, node),
            "become_method" => common.become_method = self.scalar(key, node),
            "become_flags" => common.become_flags = self.scalar(key, node),
            "become_exe" => common.become_exe = self.scalar(key, node),
            "check_mode" => common.check_mode = self.boolean(key, node),
            "diff" => common.diff = self.boolean(key, node),
            "connection" => common.connection = self.scalar(key, node),
            "port" => common.port = self.integer(key, node),
            "remote_user" => common.remote_user = self.scalar(key, node),
            "environment" => common.environment = self.mappings(key, node),
            "no_log" => common.no_log = self.boolean(key, node),
            "ignore_errors" => common.ignore_errors = self.boolean(key, node),
            "ignore_unreachable" => common.ignore_unreachable = self.boolean(key, node),
            "any_errors_fatal" => common.any_errors_fatal = self.boolean(key, node),
            "run_once" => common.run_once = self.boolean(key, node),
            "throttle" => common.throttle = self.integer(key, node),
            "timeout" => common.timeout = self.integer(key, node),
            "module_defaults" => common.module_defaults = self.mappings(key, node),
            "debugger" => common.debugger = self.scalar(key, node),
            "collections" => common.collections = self.texts(key, node),
            _ => return false,
        }
        true
    }

    /// One mapping or template, or a list of them.
    fn mappings(&mut self, key: &str, node: &Node) -> Vec<Written> {
        let items = match &node.kind {
            Kind::Seq(items) => items.as_slice(),
            _ => std::slice::from_ref(node),
        };
        let mut found = Vec::new();
        for item in items {
            match self.optional(item) {
                Some(written) if matches!(written.value, Value::Dict(_) | Value::Template(_)) => found.push(written),
                Some(_) => self.wrong(key, item, "a mapping, or a list of mappings"),
                None => {}
            }
        }
        found
    }
}

/// Whether Ansible takes a name for a variable: an ASCII identifier that is none of Jinja's constants.
pub fn is_variable_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !matches!(name, "true" | "false" | "none" | "True" | "False" | "None" | "not")
}

/// The first line of a span: what a caret can underline.
pub(super) fn first_line(span: &Span) -> Span {
    let length = span.text().lines().next().map_or(0, |l| l.trim_end().len());
    span.part(0, length as u32)
}
