//! `xml`: looks at parts of an XML file of the host, and changes them.

mod tree;
mod xpath;

use std::path::PathBuf;

use self::tree::{DOCUMENT, Id, Kind, Tree};
use self::xpath::{Found, Made, Names, Path, Wants};
use super::file_args::{BeforeAfter, FileArgs, describe};
use super::file_content::Edit;
use super::paths;
use crate::action::host::Act;
use crate::action::module::{Failure, Module};
use crate::dict;
use crate::model::outcome::Outcome;
use crate::model::value::{Dict, Key, Value};
use crate::{arguments, choices};

choices! { pub enum State { Present = "present", Absent = "absent" } }
choices! { pub enum Content { Attribute = "attribute", Text = "text" } }
choices! { pub enum Input { Xml = "xml", Yaml = "yaml" } }

arguments! {
    pub struct Args {
        /// The file.
        path ["dest", "file"]: Option<PathBuf>,
        /// The document itself, instead of a file; the result has the changed one.
        xmlstring []: Option<String>,
        /// What it is about, as an XPath.
        xpath []: Option<String>,
        /// Prefixes in `xpath`, and the namespaces that they stand for.
        namespaces []: Option<Dict>,
        /// Whether it shall be there.
        state ["ensure"]: State = State::Present,
        /// The attribute of the elements that are found.
        attribute []: Option<String>,
        /// The text, or the attribute's value, that they shall have.
        value []: Option<String>,
        /// Children to add: names, or mappings of a name to a text, or to attributes with `_` for children.
        add_children []: Option<Vec<Value>>,
        /// Children to have instead of those that are there.
        set_children []: Option<Vec<Value>>,
        /// Give the number of what is found in `count`.
        count []: bool = false,
        /// Give the paths of what is found in `matches`.
        print_match []: bool = false,
        /// Give the `text` or the `attribute`s of what is found in `matches`.
        content []: Option<Content>,
        /// Write each element on a line of its own.
        pretty_print []: bool = false,
        /// Whether children are given as XML texts.
        input_type []: Input = Input::Yaml,
        /// Keep a copy of what was there.
        backup []: bool = false,
        /// Add children before the first that `xpath` finds, beside it.
        insertbefore []: bool = false,
        /// Add children after the last that `xpath` finds, beside it.
        insertafter []: bool = false,
        ..file: FileArgs,
    }
    rules [
        OneOf(&["path", "xmlstring"]),
        Exclusive(&["path", "xmlstring"]),
        Exclusive(&["add_children", "content", "count", "print_match", "set_children", "value"]),
        Exclusive(&["insertbefore", "insertafter"]),
    ]
}

/// The module `xml`.
pub struct Xml;

impl Module for Xml {
    const NAMES: &'static [&'static str] = &["xml", "community.general.xml"];
    const DOC: &'static str = "Looks at parts of an XML file, and changes them. What is not changed is written as it was.\n\
        Of XPath it knows paths with `/`, `//`, `.`, `..`, `*`, `@`, `text()`, `node()`, `comment()`, and in brackets numbers, \
        comparisons, `and`, `or`, `last()`, `position()`, `not()`, `contains()`, `starts-with()`, `count()`, \
        `normalize-space()`, `name()`, `local-name()`; other parts are refused.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[
        ("count", "How many were found"),
        ("matches", "What was found, for `content` and `print_match`"),
        ("actions", "What was asked for: `xpath`, `state`, `namespaces`"),
        ("backup_file", "The copy that was kept"),
        ("xmlstring", "The document, if it was given as a text"),
    ];
    const EXAMPLE: &'static str = "- xml:\n    path: /foo/bar.xml\n    xpath: /business/website\n    content: text\n  register: site\n- xml:\n    path: /foo/bar.xml\n    xpath: /business/rating\n    value: '11'\n";
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let path = args.path.as_deref().map(|p| paths::expand(host.as_look(), p)).transpose()?;
        let bytes = match (&path, &args.xmlstring) {
            (Some(path), _) => {
                let missing = |_| Failure::new(format!("The target XML source '{}' does not exist.", path.display()));
                host.read(path).map_err(missing)?
            }
            (None, text) => text.clone().unwrap_or_default().into_bytes(),
        };
        let text = std::str::from_utf8(&bytes).map_err(|_| Failure::new("the document is not in UTF-8"))?;
        let wrong = |e: String| Failure::new(format!("Error while parsing document: {} ({e})", shown(&path)));
        let mut tree = Tree::parse(text).map_err(wrong)?;
        if tree.root().is_none() {
            return Err(wrong("there is no element in it".into()));
        }
        let before = tree.document(false);
        let outcome = settle(&args, &mut tree)?;
        let after = tree.document(args.pretty_print);
        let pretty = args.pretty_print && !args.count && args.content.is_none() && !args.print_match && after != text;
        if !pretty && before == tree.document(false) {
            return finish(&args, host, path.as_deref(), outcome, None);
        }
        let edit = path.as_deref().map(|path| (path, bytes.as_slice(), after.as_bytes()));
        let outcome = Outcome { changed: true, ..outcome };
        match edit {
            Some((path, before, after)) => {
                let edit =
                    Edit { path, before: Some(before), after, backup: args.backup, validate: None, args: &args.file };
                finish(&args, host, Some(path), outcome.diff(edit.diff()), Some(edit))
            }
            None => Ok(outcome.with("xmlstring", after)),
        }
    }
}

fn shown(path: &Option<PathBuf>) -> String {
    path.as_ref().map_or_else(|| "xmlstring".into(), |p| p.display().to_string())
}

fn finish(
    args: &Args,
    host: &mut dyn Act,
    path: Option<&std::path::Path>,
    mut outcome: Outcome,
    edit: Option<Edit<'_>>,
) -> Result<Outcome, Failure> {
    if let Some(edit) = edit
        && let Some(saved) = edit.put(host)?
    {
        outcome = outcome.with("backup_file", saved.display().to_string());
    }
    let Some(path) = path else {
        return Ok(match &args.xmlstring {
            Some(text) if !args.count && args.content.is_none() => outcome.with("xmlstring", text.as_str()),
            _ => outcome,
        });
    };
    outcome.changed |= args.file.apply_following(host, path, &mut BeforeAfter::default())?;
    Ok(describe(host.as_look(), path, outcome)?)
}

/// Does what is asked to the tree; what was found.
fn settle(args: &Args, tree: &mut Tree) -> Result<Outcome, Failure> {
    let names: Names = args.namespaces.iter().flatten().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    let asked = dict! {
        "xpath" => args.xpath.as_deref(),
        "namespaces" => Value::dict(args.namespaces.clone().unwrap_or_default()),
        "state" => args.state.word(),
    };
    let outcome = Outcome::ok().with("actions", asked);
    let Some(written) = &args.xpath else {
        if args.pretty_print {
            return Ok(outcome);
        }
        return Err(Failure::new("`xpath` is required, unless the document shall only be made pretty"));
    };
    let path = Path::parse(written).map_err(Failure::new)?;
    let found = path.find(tree, DOCUMENT, &names);
    let outcome = outcome.with("count", found.len());
    if args.count {
        return Ok(outcome);
    }
    if args.print_match {
        let places: Value = found.iter().map(|f| place(tree, f)).collect();
        return Ok(outcome.with("msg", format!("selector '{written}' match: {places}")).with("matches", places));
    }
    if let Some(content) = args.content {
        if found.is_empty() {
            return Err(Failure::new(format!("Xpath {written} does not reference a node!")));
        }
        return Ok(outcome.with("matches", found.iter().filter_map(|f| matched(tree, f, content)).collect::<Value>()));
    }
    if args.state == State::Absent {
        for one in &found {
            match (one, &args.attribute) {
                (Found::Node(id), Some(name)) => tree.remove_attribute(*id, name),
                (Found::Node(id), None) => tree.remove(*id),
                (Found::Attribute(id, name), _) => tree.remove_attribute(*id, name),
            }
        }
        return Ok(outcome);
    }
    if let Some(children) = &args.set_children {
        for id in nodes(&found) {
            let wanted = made(args, tree, children)?;
            let same = elements(tree, id).len() == wanted.len()
                && elements(tree, id).iter().zip(&wanted).all(|(a, b)| alike(tree, *a, *b));
            if !same {
                tree.clear(id);
                wanted.into_iter().for_each(|child| tree.append(id, child));
            }
        }
        return Ok(outcome);
    }
    if let Some(children) = &args.add_children {
        add(args, tree, &found, children, written)?;
        return Ok(outcome);
    }
    if let Some(name) = &args.attribute {
        let value = args.value.as_deref().ok_or_else(|| Failure::new("`value` is required with `attribute`"))?;
        let targets = if found.is_empty() { make(tree, &path, &names)? } else { found };
        nodes(&targets).into_iter().for_each(|id| tree.set_attribute(id, name, value));
        return Ok(outcome);
    }
    let targets = if found.is_empty() { make(tree, &path, &names)? } else { found };
    if let Some(value) = &args.value {
        for one in &targets {
            match one {
                Found::Attribute(id, name) => tree.set_attribute(*id, name, value),
                Found::Node(id) => match tree.kind(*id) {
                    Kind::Text(_) | Kind::Cdata(_) => {
                        if let Some(parent) = tree.parent(*id) {
                            tree.set_text(parent, value);
                        }
                    }
                    _ if tree.text(*id) != *value => tree.set_text(*id, value),
                    _ => {}
                },
            }
        }
    }
    Ok(outcome)
}

fn nodes(found: &[Found]) -> Vec<Id> {
    found.iter().filter_map(|f| if let Found::Node(id) = f { Some(*id) } else { None }).collect()
}

fn elements(tree: &Tree, id: Id) -> Vec<Id> {
    tree.children(id).iter().copied().filter(|c| tree.name(*c).is_some()).collect()
}

/// Whether two elements are the same but for blanks around their texts.
fn alike(tree: &Tree, a: Id, b: Id) -> bool {
    let sorted = |id: Id| {
        let mut all = tree.attributes(id).to_vec();
        all.sort();
        all
    };
    let (below_a, below_b) = (elements(tree, a), elements(tree, b));
    tree.name(a) == tree.name(b)
        && sorted(a) == sorted(b)
        && tree.text(a).trim() == tree.text(b).trim()
        && below_a.len() == below_b.len()
        && below_a.iter().zip(&below_b).all(|(a, b)| alike(tree, *a, *b))
}

/// Where something stands, as a path.
fn place(tree: &Tree, found: &Found) -> String {
    let (id, suffix) = match found {
        Found::Node(id) => (*id, String::new()),
        Found::Attribute(id, name) => (*id, format!("/@{name}")),
    };
    let mut parts = Vec::new();
    let mut at = Some(id);
    while let Some(id) = at.filter(|id| *id != DOCUMENT) {
        let parent = tree.parent(id).unwrap_or(DOCUMENT);
        let twins: Vec<Id> = tree
            .children(parent)
            .iter()
            .copied()
            .filter(|c| tree.name(*c).is_some() && tree.name(*c) == tree.name(id))
            .collect();
        let number = twins
            .iter()
            .position(|t| *t == id)
            .filter(|_| twins.len() > 1)
            .map_or_else(String::new, |i| format!("[{}]", i + 1));
        parts.push(format!("/{}{number}", tree.name(id).unwrap_or("text()")));
        at = Some(parent);
    }
    parts.reverse();
    format!("{}{suffix}", parts.concat())
}

fn matched(tree: &Tree, found: &Found, content: Content) -> Option<Value> {
    let Found::Node(id) = found else { return Some(xpath::content(tree, found).into()) };
    let Some(name) = tree.name(*id) else { return Some(tree.content(*id).into()) };
    let inner = match content {
        Content::Attribute => {
            Value::dict(tree.attributes(*id).iter().map(|(n, v)| (Key::from(n.as_str()), Value::str(v))).collect())
        }
        Content::Text => match tree.text(*id) {
            text if text.is_empty() => Value::Null,
            text => text.into(),
        },
    };
    Some(Value::dict(std::iter::once((Key::from(name), inner)).collect()))
}

/// Makes what a path names and is not there, with all above it that is missing.
fn make(tree: &mut Tree, path: &Path, names: &Names) -> Result<Vec<Found>, Failure> {
    let cannot = || {
        Failure::new(
            "the path leads to nothing, and cannot be made: only elements by name, with conditions like [@a='v'], and attributes can",
        )
    };
    let (above, last) = path.split_last().ok_or_else(cannot)?;
    let mut parents = above.find(tree, DOCUMENT, names);
    if parents.is_empty() {
        if above.is_empty() {
            return Err(cannot());
        }
        parents = make(tree, &above, names)?;
    }
    let mut all = Vec::new();
    for parent in nodes(&parents) {
        if parent == DOCUMENT {
            return Err(Failure::new("a document has one outermost element, and the path names another"));
        }
        match &last {
            Made::Attribute(name) => all.push(Found::Attribute(parent, name.clone())),
            Made::Text => {
                all.push(Found::Node(parent));
            }
            Made::Element(name, wanted) => {
                let id = tree.make(Kind::Element { name: name.clone(), attributes: Vec::new() });
                for (place, text) in wanted.iter().rev() {
                    match place {
                        Wants::Attribute(name) => tree.set_attribute(id, name, text),
                        Wants::Own => tree.set_text(id, text),
                        Wants::Child(name) => {
                            let child = tree.make(Kind::Element { name: name.clone(), attributes: Vec::new() });
                            tree.set_text(child, text);
                            tree.append(id, child);
                        }
                    }
                }
                tree.append(parent, id);
                all.push(Found::Node(id));
            }
        }
    }
    Ok(all)
}

fn add(args: &Args, tree: &mut Tree, found: &[Found], children: &[Value], written: &str) -> Result<(), Failure> {
    let ids = nodes(found);
    let at = match (args.insertbefore, args.insertafter) {
        (true, _) => ids.first().copied(),
        (_, true) => ids.last().copied(),
        _ => None,
    };
    if args.insertbefore || args.insertafter {
        let Some(at) = at else { return Err(Failure::new(format!("Xpath {written} does not reference a node!"))) };
        let parent = tree
            .parent(at)
            .filter(|p| *p != DOCUMENT)
            .ok_or_else(|| Failure::new("nothing can stand beside the outermost element"))?;
        let place = tree.children(parent).iter().position(|c| *c == at).unwrap_or(0) + usize::from(args.insertafter);
        for (i, child) in made(args, tree, children)?.into_iter().enumerate() {
            tree.insert(parent, place + i, child);
        }
        return Ok(());
    }
    for id in ids {
        for child in made(args, tree, children)? {
            tree.append(id, child);
        }
    }
    Ok(())
}

/// Elements as a playbook writes them.
fn made(args: &Args, tree: &mut Tree, children: &[Value]) -> Result<Vec<Id>, Failure> {
    let mut all = Vec::new();
    for child in children {
        if args.input_type == Input::Xml {
            let piece = Tree::parse(&child.to_string())
                .map_err(|e| Failure::new(format!("Error while parsing child element: {e}")))?;
            let root = piece.root().ok_or_else(|| Failure::new("a child must be an element"))?;
            all.push(tree.copy(&piece, root));
        } else {
            all.push(one(tree, child)?);
        }
    }
    Ok(all)
}

fn one(tree: &mut Tree, child: &Value) -> Result<Id, Failure> {
    let element = |name: &str| Kind::Element { name: name.to_owned(), attributes: Vec::new() };
    let Value::Dict(dict) = child else {
        return Ok(tree.make(element(&child.to_string())));
    };
    let (Some((name, inner)), 1) = (dict.first(), dict.len()) else {
        return Err(Failure::new("a child is a name, or a mapping of one name"));
    };
    let id = tree.make(element(&name.to_string()));
    match inner {
        Value::Dict(attributes) => {
            for (name, value) in attributes.iter() {
                match (name.to_string().as_str(), value) {
                    ("_", Value::List(below)) => {
                        for child in below.iter() {
                            let child = one(tree, child)?;
                            tree.append(id, child);
                        }
                    }
                    ("_", text) => tree.set_text(id, &text.to_string()),
                    (name, value) => tree.set_attribute(id, name, &value.to_string()),
                }
            }
        }
        Value::Null => {}
        text => tree.set_text(id, &text.to_string()),
    }
    Ok(id)
}
