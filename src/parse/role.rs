//! Roles: how plays name them, where they are looked for, and what stands in them.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;

use super::document;
use super::files::{Files, tidy};
use super::keys::{Context, first_line};
use super::tasks::{self, Entries};
use super::vars_file::{self, Bare};
use super::vault::Vault;
use super::words::Words;
use super::yaml::{Kind, Node};
use crate::model::mistake::Mistake;
use crate::model::playbook::{Common, Role, RoleMeta, RoleRef, TaskEntry, Written};
use crate::model::source::{Span, Spanned};
use crate::model::value::{Dict, Key, Value, has_jinja};

const META: &[&str] = &["allow_duplicates", "argument_specs", "collections", "dependencies", "galaxy_info"];
/// What a dependency written for ansible-galaxy holds beside the role's name.
const GALAXY: &[&str] = &["scm", "src", "version"];

/// Which file of each kind is read; `main` unless `tasks_from` and the like say otherwise.
#[derive(Clone, Debug, Default)]
pub struct From<'a> {
    pub tasks: Option<&'a str>,
    pub handlers: Option<&'a str>,
    pub vars: Option<&'a str>,
    pub defaults: Option<&'a str>,
}

/// Where roles are looked for.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// The folder of the playbook that was started.
    pub playbook_dir: PathBuf,
    /// `roles_path` of the configuration.
    pub roles_path: Vec<PathBuf>,
    /// The folder in which the role that depends on or includes this one stands.
    pub beside: Option<PathBuf>,
    /// Folders that hold `ansible_collections`.
    pub collections_paths: Vec<PathBuf>,
    /// Collections in which a short name is looked for (`collections:`).
    pub collections: Vec<String>,
}

/// The folder of a role: in `roles/` beside the playbook, on the roles path, beside the role that wants it, beside the
/// playbook; a name with dots in a collection first; at last as a path.
pub fn find(files: &dyn Files, name: &str, places: &Places) -> Result<PathBuf, NotFound> {
    let mut looked: Vec<PathBuf> = Vec::new();
    let parts: Vec<&str> = name.split('.').collect();
    let in_collections: Vec<PathBuf> = match parts.as_slice() {
        [space, collection, rest @ ..] if !rest.is_empty() && !name.contains('/') => {
            vec![Path::new(space).join(collection).join("roles").join(rest.join("/"))]
        }
        _ => {
            let listed = places.collections.iter().filter_map(|c| c.split_once('.'));
            listed.map(|(space, collection)| Path::new(space).join(collection).join("roles").join(name)).collect()
        }
    };
    for root in &places.collections_paths {
        for below in &in_collections {
            looked.push(root.join("ansible_collections").join(below));
        }
    }
    looked.push(places.playbook_dir.join("roles").join(name));
    looked.extend(places.roles_path.iter().chain(&places.beside).map(|p| p.join(name)));
    looked.push(places.playbook_dir.join(name));
    if name.contains('/') {
        looked.push(PathBuf::from(name));
    }
    if let Some(found) = looked.iter().find(|p| files.is_dir(p)) {
        return Ok(tidy(found));
    }
    let mut folders: Vec<String> = Vec::new();
    let mut known: Vec<String> = Vec::new();
    for dir in looked.iter().filter_map(|p| p.parent()) {
        let shown = files.shown(dir);
        if !folders.contains(&shown) {
            folders.push(shown);
            known.extend(files.list(dir).unwrap_or_default().into_iter().filter(|n| files.is_dir(&dir.join(n))));
        }
    }
    Err(NotFound { name: name.to_owned(), folders, known })
}

/// The collection that a folder of a role or of playbooks lies in, `NAMESPACE.NAME`.
pub fn collection_of(dir: &Path) -> Option<String> {
    let dir = std::env::current_dir().ok()?.join(dir);
    let parts: Vec<_> = dir.components().map(|c| c.as_os_str().to_string_lossy()).collect();
    let at = parts.iter().rposition(|p| p == "ansible_collections")?;
    match &parts[at + 1..] {
        [space, collection, kind, ..] if kind == "roles" || kind == "playbooks" => {
            Some(format!("{space}.{collection}"))
        }
        _ => None,
    }
}

/// A role that is in none of the folders.
pub struct NotFound {
    name: String,
    folders: Vec<String>,
    /// What else is there.
    known: Vec<String>,
}

impl NotFound {
    /// The mistake of naming it, `at` a place.
    pub fn mistake(&self, at: &Span) -> Mistake {
        Mistake::at(at, format!("the role `{}` was not found", self.name))
            .suggest(&self.name, self.known.iter().map(String::as_str))
            .help(format!("looked in {}", self.folders.join(", ")))
    }

    /// Ansible's words, with which an include fails.
    pub fn reason(&self) -> String {
        format!("the role '{}' was not found in {}", self.name, self.folders.join(":"))
    }
}

/// Reads a role from its folder. `name` is what it is called in messages and output. None only if `tasks_from` or its
/// like names a file that is not there; every mistake goes to `mistakes`.
#[allow(clippy::too_many_arguments)]
pub fn load(
    files: &dyn Files,
    dir: &Path,
    name: &str,
    from: &From,
    at: &Span,
    words: &dyn Words,
    vault: &Vault,
    mistakes: &mut Vec<Mistake>,
) -> Option<Role> {
    let mut reader = Reading { files, dir, name, at, words, vault, mistakes };
    let meta = reader.meta();
    let tasks = reader.entries("tasks", from.tasks, Entries::Tasks);
    let handlers = reader.entries("handlers", from.handlers, Entries::Handlers);
    let defaults = reader.variables("defaults", from.defaults);
    let vars = reader.variables("vars", from.vars);
    Some(Role {
        name: name.to_owned(),
        dir: dir.to_owned(),
        tasks: tasks?,
        handlers: handlers?,
        defaults: defaults?,
        vars: vars?,
        meta,
    })
}

struct Reading<'a> {
    files: &'a dyn Files,
    dir: &'a Path,
    name: &'a str,
    at: &'a Span,
    words: &'a dyn Words,
    vault: &'a Vault,
    mistakes: &'a mut Vec<Mistake>,
}

impl Reading<'_> {
    /// The files of a kind. None if one was asked for by name and is not there.
    fn found(&mut self, kind: &str, from: Option<&str>, folders: bool) -> Option<Vec<PathBuf>> {
        let dir = self.dir.join(kind);
        let Some(from) = from else { return Some(vars_file::find(self.files, &dir, "main", Bare::Last, folders)) };
        let found = vars_file::find(self.files, &dir, from, Bare::First, folders);
        let inside = found.iter().all(|p| tidy(p).starts_with(tidy(&dir)));
        if found.is_empty() || !inside {
            let (role, shown) = (self.name, self.files.shown(&dir));
            let said = match inside {
                true => format!("the role `{role}` has no {kind} file `{from}`"),
                // Ansible's words: scripts look for them.
                false => {
                    format!(
                        "Failed loading '{from}' for role ({role}) as it is not inside the expected role path: '{shown}'"
                    )
                }
            };
            let names = self.files.list(&dir).unwrap_or_default();
            let stems: Vec<&str> = names.iter().map(|n| n.rsplit_once('.').map_or(n.as_str(), |(s, _)| s)).collect();
            self.mistakes.push(Mistake::at(self.at, said).suggest(from, stems).help(format!("looked in {shown}")));
            return None;
        }
        Some(found)
    }

    fn entries(&mut self, kind: &str, from: Option<&str>, entries: Entries) -> Option<Vec<TaskEntry>> {
        let mut all = Vec::new();
        for path in self.found(kind, from, false)? {
            let read = tasks::load_file(self.files, &path, entries, self.words, self.vault, self.mistakes);
            all.extend(read.map(|r| r.entries).unwrap_or_default());
        }
        Some(all)
    }

    fn variables(&mut self, kind: &str, from: Option<&str>) -> Option<Dict> {
        let mut all = Dict::new();
        for path in self.found(kind, from, true)? {
            all.extend(vars_file::load(self.files, &path, self.vault, self.mistakes).unwrap_or_default());
        }
        Some(all)
    }

    fn meta(&mut self) -> RoleMeta {
        let mut meta = RoleMeta::default();
        let dir = self.dir.join("meta");
        for path in vars_file::find(self.files, &dir, "main", Bare::Last, false) {
            let Some(document) = document::load(self.files, &path, self.vault, self.mistakes) else { continue };
            let mut cx = Context { words: self.words, vault: self.vault, mistakes: self.mistakes };
            if let Some(root) = document.root.filter(|r| !r.is_null()) {
                read_meta(&mut cx, &root, &mut meta);
            }
        }
        // A file of its own wins over what `main` says.
        for path in vars_file::find(self.files, &dir, "argument_specs", Bare::Last, false) {
            let Some(document) = document::load(self.files, &path, self.vault, self.mistakes) else { continue };
            let mut cx = Context { words: self.words, vault: self.vault, mistakes: self.mistakes };
            let Some(root) = document.root.filter(|r| !r.is_null()) else { continue };
            for (key, value) in cx.pairs(&root, "the file of argument specifications") {
                match key.value.as_str() {
                    "argument_specs" => meta.argument_specs = specs(&mut cx, value),
                    _ => cx.unknown(&key, "the file of argument specifications", &[&["argument_specs"]]),
                }
            }
        }
        meta
    }
}

fn read_meta(cx: &mut Context, root: &Node, meta: &mut RoleMeta) {
    let mut ignored = Common::default();
    for (key, value) in cx.pairs(root, "a role's meta file") {
        let name = key.value.as_str();
        match name {
            "allow_duplicates" => {
                let written = cx.boolean(name, value);
                meta.allow_duplicates = written.is_some_and(|w| {
                    matches!(w.value.to_string().to_lowercase().as_str(), "true" | "yes" | "y" | "on" | "1" | "t")
                });
            }
            "dependencies" => meta.dependencies = references(cx, value, "`dependencies`"),
            "argument_specs" => meta.argument_specs = specs(cx, value),
            "collections" => {
                let names = cx.texts(name, value);
                meta.collections = names.iter().filter_map(|w| w.value.as_str().map(str::to_owned)).collect();
            }
            // What ansible-galaxy reads; nothing for a run.
            "galaxy_info" => {}
            // Ansible takes these and never looks at them again.
            _ if cx.common(name, value, "a role's meta file", &mut ignored) => {
                let mut mistake = Mistake::at(&key.span, format!("`{name}` means nothing in a role's meta file"));
                mistake.warning = true;
                cx.mistake(mistake);
            }
            _ => cx.unknown(&key, "a role's meta file", &[META]),
        }
    }
}

fn specs(cx: &mut Context, node: &Node) -> IndexMap<String, Value> {
    if node.is_null() {
        return IndexMap::new();
    }
    let pairs = cx.pairs(node, "`argument_specs`");
    pairs.into_iter().map(|(key, value)| (key.value, cx.value(value))).collect()
}

/// The roles that a play's `roles` or a role's `dependencies` name.
pub(super) fn references(cx: &mut Context, node: &Node, what: &str) -> Vec<RoleRef> {
    match &node.kind {
        Kind::Seq(items) => items.iter().filter_map(|n| reference(cx, n)).collect(),
        _ if node.is_null() => Vec::new(),
        _ => {
            let kind = node.kind_name();
            // The first words are Ansible's: scripts look for them.
            let said =
                format!("A malformed role declaration was encountered. {what} must be a list of roles, this is {kind}");
            cx.mistake(Mistake::at(&first_line(&node.span), said).label("start each role with `- `"));
            Vec::new()
        }
    }
}

fn reference(cx: &mut Context, node: &Node) -> Option<RoleRef> {
    let bare = |role: Written| RoleRef {
        span: node.span.clone(),
        role,
        common: Common::default(),
        when: Vec::new(),
        params: Dict::new(),
        delegate_to: None,
    };
    match &node.kind {
        Kind::Scalar { .. } => role_name(cx, node).map(bare),
        Kind::Map(_) => {
            let mut role = None;
            let mut found = bare(Spanned::new(Value::Null, node.span.clone()));
            let pairs = cx.pairs(node, "a role");
            let galaxy = !pairs.iter().any(|(k, _)| matches!(k.value.as_str(), "role" | "name"));
            for (key, value) in pairs {
                let name = key.value.as_str();
                match name {
                    "role" => role = role_name(cx, value),
                    "name" => {
                        if role.is_none() {
                            role = role_name(cx, value);
                        }
                        found.common.name = cx.scalar(name, value);
                    }
                    "src" if galaxy => role = role_name(cx, value),
                    _ if galaxy && GALAXY.contains(&name) => {}
                    "when" => found.when = cx.conditions(name, value),
                    "delegate_to" => found.delegate_to = cx.scalar(name, value),
                    "delegate_facts" => cx.mistake(
                        Mistake::at(&key.span, "`delegate_facts` on a role is not supported")
                            .help("write it at the tasks that delegate"),
                    ),
                    _ if cx.common(name, value, "a role", &mut found.common) => {}
                    _ => {
                        // Whatever is no keyword is a parameter of the role; a near miss of `when` rarely is meant so.
                        let value = cx.value(value);
                        if cx.variable_name(name, &key.span, true) {
                            found.params.insert(Key::from(name), value);
                        }
                    }
                }
            }
            if role.is_none()
                && !node.as_map().is_some_and(|p| {
                    p.iter().any(|(k, _)| k.text().is_some_and(|k| matches!(k, "role" | "name" | "src")))
                })
            {
                cx.mistake(
                    Mistake::at(&first_line(&node.span), "this does not say which role").label("add `role: NAME`"),
                );
            }
            found.role = role?;
            Some(found)
        }
        Kind::Seq(_) => {
            cx.wrong("role", node, "a role's name, or a mapping with `role: NAME`");
            None
        }
    }
}

fn role_name(cx: &mut Context, node: &Node) -> Option<Written> {
    match node.text() {
        Some(text) if !text.trim().is_empty() && !node.is_null() => {
            if text.contains(',') && !has_jinja(text) {
                cx.mistake(
                    Mistake::at(&node.span, format!("Invalid old style role requirement: {text}"))
                        .help("the old form `source,version,name` is read by ansible-galaxy alone"),
                );
                return None;
            }
            let mut written = cx.written(node);
            // A role called `2024` is still a name.
            if !matches!(written.value, Value::Template(_)) {
                written.value = Value::str(text);
            }
            Some(written)
        }
        _ => {
            cx.mistake(Mistake::at(&first_line(&node.span), "a role needs a name").label("the name of a role"));
            None
        }
    }
}
