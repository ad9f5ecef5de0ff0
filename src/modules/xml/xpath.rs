//! The part of XPath 1.0 that playbooks use: paths along children, descendants, parents and attributes, with conditions.
//!
//! Known are `/`, `//`, `.`, `..`, `*`, names (with prefixes), `@name`, `@*`, `text()`, `node()`, `comment()`; in brackets
//! numbers, `last()`, `position()`, comparisons, `and`, `or`, `not()`, `contains()`, `starts-with()`, `count()`,
//! `normalize-space()`, `name()` and `local-name()`. Anything else is refused by name.

use super::tree::{DOCUMENT, Id, Kind, Tree};

/// What a path finds: a node, or an attribute of one.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    Node(Id),
    Attribute(Id, String),
}

#[derive(Clone, Debug, PartialEq)]
enum Axis {
    Child,
    /// The node itself and all below it.
    Below,
    Own,
    Parent,
    Attribute,
}

#[derive(Clone, Debug, PartialEq)]
enum Test {
    Name(String),
    Any,
    Text,
    Comment,
    Node,
}

#[derive(Clone, Debug, PartialEq)]
struct Step {
    axis: Axis,
    test: Test,
    conditions: Vec<Expr>,
}

/// A path: whether it begins at the document, and its steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Path {
    absolute: bool,
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq)]
enum Expr {
    Number(f64),
    Text(String),
    Path(Path),
    Call(String, Vec<Expr>),
    Binary(Box<Expr>, &'static str, Box<Expr>),
}

enum Value {
    Number(f64),
    Text(String),
    Truth(bool),
    Nodes(Vec<String>),
}

const FUNCTIONS: &[&str] =
    &["last", "position", "not", "contains", "starts-with", "count", "normalize-space", "name", "local-name"];

impl Path {
    pub fn parse(text: &str) -> Result<Path, String> {
        let mut parser = Parser { text, at: 0 };
        let path = parser.path()?;
        parser.blanks();
        match parser.rest() {
            "" => Ok(path),
            rest => Err(parser.refused(rest)),
        }
    }

    /// Everything that the path leads to, each once, in the order of the document.
    pub fn find(&self, tree: &Tree, from: Id, namespaces: &Names) -> Vec<Found> {
        let start = if self.absolute { DOCUMENT } else { from };
        let mut found = vec![Found::Node(start)];
        for step in &self.steps {
            let mut next: Vec<Found> = Vec::new();
            for one in &found {
                let Found::Node(id) = one else { continue };
                for hit in step.from(tree, *id, namespaces) {
                    if !next.contains(&hit) {
                        next.push(hit);
                    }
                }
            }
            found = next;
        }
        found
    }

    /// The path without its last step, and what that step makes: for things that are not there yet.
    pub fn split_last(&self) -> Option<(Path, Made)> {
        let (last, rest) = self.steps.split_last()?;
        let made = match (&last.axis, &last.test) {
            (Axis::Child, Test::Name(name)) => Made::Element(name.clone(), last.wanted()?),
            (Axis::Attribute, Test::Name(name)) => Made::Attribute(name.clone()),
            (Axis::Child, Test::Text) => Made::Text,
            _ => return None,
        };
        Some((Path { absolute: self.absolute, steps: rest.to_vec() }, made))
    }

    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}

/// What can be made of the last step of a path.
#[derive(Clone, Debug, PartialEq)]
pub enum Made {
    /// An element with attributes (`@a='v'`) and texts of child elements (`b='v'`) that its conditions name.
    Element(String, Vec<(Wants, String)>),
    Attribute(String),
    Text,
}

/// Where a condition wants a text.
#[derive(Clone, Debug, PartialEq)]
pub enum Wants {
    Attribute(String),
    Child(String),
    Own,
}

/// Prefixes that the caller gives, and the namespaces that they stand for.
pub type Names = Vec<(String, String)>;

/// The namespace that a prefix stands for at an element.
fn namespace<'t>(tree: &'t Tree, mut id: Id, prefix: &str) -> Option<&'t str> {
    let wanted = if prefix.is_empty() { "xmlns".to_owned() } else { format!("xmlns:{prefix}") };
    loop {
        if let Some(uri) = tree.attribute(id, &wanted) {
            return Some(uri);
        }
        id = tree.parent(id)?;
    }
}

fn split(name: &str) -> (&str, &str) {
    name.split_once(':').unwrap_or(("", name))
}

/// Whether a name of the document is the one of a path. A prefix means the namespace that the caller says.
fn is_name(tree: &Tree, at: Id, name: &str, wanted: &str, attribute: bool, names: &Names) -> bool {
    let ((prefix, local), (wanted_prefix, wanted_local)) = (split(name), split(wanted));
    if local != wanted_local {
        return false;
    }
    let uri = if attribute && prefix.is_empty() { None } else { namespace(tree, at, prefix).filter(|u| !u.is_empty()) };
    match names.iter().find(|(p, _)| p == wanted_prefix && !p.is_empty()) {
        Some((_, wanted)) => uri == Some(wanted.as_str()),
        None if wanted_prefix.is_empty() => uri.is_none(),
        None => prefix == wanted_prefix,
    }
}

impl Step {
    fn from(&self, tree: &Tree, id: Id, names: &Names) -> Vec<Found> {
        let mut found: Vec<Found> = match self.axis {
            Axis::Own => vec![Found::Node(id)],
            Axis::Parent => tree.parent(id).map(Found::Node).into_iter().collect(),
            Axis::Child => tree.children(id).iter().copied().map(Found::Node).collect(),
            Axis::Below => {
                let mut all = Vec::new();
                let mut todo = vec![id];
                while let Some(at) = todo.pop() {
                    all.push(Found::Node(at));
                    todo.extend(tree.children(at).iter().rev());
                }
                all
            }
            Axis::Attribute => {
                let all = tree.attributes(id).iter().filter(|(n, _)| n != "xmlns" && !n.starts_with("xmlns:"));
                all.map(|(n, _)| Found::Attribute(id, n.clone())).collect()
            }
        };
        found.retain(|one| match (one, &self.test) {
            (Found::Attribute(..), Test::Any) | (_, Test::Node) => true,
            (Found::Attribute(at, name), Test::Name(wanted)) => is_name(tree, *at, name, wanted, true, names),
            (Found::Attribute(..), _) => false,
            (Found::Node(n), Test::Name(wanted)) => {
                tree.name(*n).is_some_and(|name| is_name(tree, *n, name, wanted, false, names))
            }
            (Found::Node(n), Test::Any) => tree.name(*n).is_some(),
            (Found::Node(n), Test::Text) => matches!(tree.kind(*n), Kind::Text(_) | Kind::Cdata(_)),
            (Found::Node(n), Test::Comment) => matches!(tree.kind(*n), Kind::Comment(_)),
        });
        for condition in &self.conditions {
            let last = found.len();
            let mut place = 0;
            found.retain(|one| {
                place += 1;
                let here = Here { tree, at: one, position: place, last, names };
                match here.value(condition) {
                    Value::Number(n) => n == place as f64,
                    other => truth(&other),
                }
            });
        }
        found
    }

    /// What an element needs so that this step finds it; none if that cannot be told.
    fn wanted(&self) -> Option<Vec<(Wants, String)>> {
        let mut all = Vec::new();
        let mut todo: Vec<&Expr> = self.conditions.iter().collect();
        while let Some(expr) = todo.pop() {
            match expr {
                Expr::Binary(a, "and", b) => todo.extend([&**a, &**b]),
                Expr::Binary(a, "=", b) => {
                    let (Expr::Path(path), Expr::Text(text)) = (&**a, &**b) else { return None };
                    let [only] = path.steps.as_slice() else { return None };
                    let place = match (&only.axis, &only.test) {
                        (Axis::Attribute, Test::Name(n)) => Wants::Attribute(n.clone()),
                        (Axis::Child, Test::Name(n)) => Wants::Child(n.clone()),
                        (Axis::Child, Test::Text) | (Axis::Own, _) => Wants::Own,
                        _ => return None,
                    };
                    all.push((place, text.clone()));
                }
                _ => return None,
            }
        }
        Some(all)
    }
}

struct Here<'a> {
    tree: &'a Tree,
    at: &'a Found,
    position: usize,
    last: usize,
    names: &'a Names,
}

fn truth(value: &Value) -> bool {
    match value {
        Value::Number(n) => *n != 0.0 && !n.is_nan(),
        Value::Text(t) => !t.is_empty(),
        Value::Truth(b) => *b,
        Value::Nodes(n) => !n.is_empty(),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Number(n) => crate::model::value::python_float(*n).trim_end_matches(".0").to_owned(),
        Value::Text(t) => t.clone(),
        Value::Truth(b) => b.to_string(),
        Value::Nodes(n) => n.first().cloned().unwrap_or_default(),
    }
}

/// All that a side of a comparison may stand for: of several nodes, one is enough.
fn each(value: &Value) -> Vec<String> {
    match value {
        Value::Nodes(n) => n.clone(),
        other => vec![text(other)],
    }
}

impl Here<'_> {
    fn value(&self, expr: &Expr) -> Value {
        match expr {
            Expr::Number(n) => Value::Number(*n),
            Expr::Text(t) => Value::Text(t.clone()),
            Expr::Path(path) => {
                let Found::Node(id) = self.at else { return Value::Nodes(Vec::new()) };
                let found = path.find(self.tree, *id, self.names);
                Value::Nodes(found.iter().map(|f| content(self.tree, f)).collect())
            }
            Expr::Call(name, args) => self.call(name, args),
            Expr::Binary(a, "and", b) => Value::Truth(truth(&self.value(a)) && truth(&self.value(b))),
            Expr::Binary(a, "or", b) => Value::Truth(truth(&self.value(a)) || truth(&self.value(b))),
            Expr::Binary(a, operator, b) => {
                let (a, b) = (self.value(a), self.value(b));
                let numeric = matches!((&a, &b), (Value::Number(_), _) | (_, Value::Number(_)))
                    || matches!(*operator, "<" | ">" | "<=" | ">=");
                let number = |t: &str| t.trim().parse::<f64>().unwrap_or(f64::NAN);
                let pair = |x: &str, y: &str| match (*operator, numeric) {
                    ("=", true) => number(x) == number(y),
                    ("=", false) => x == y,
                    ("!=", true) => number(x) != number(y),
                    ("!=", false) => x != y,
                    ("<", _) => number(x) < number(y),
                    (">", _) => number(x) > number(y),
                    ("<=", _) => number(x) <= number(y),
                    _ => number(x) >= number(y),
                };
                let (left, right) = (each(&a), each(&b));
                Value::Truth(left.iter().any(|x| right.iter().any(|y| pair(x, y))))
            }
        }
    }

    fn call(&self, name: &str, args: &[Expr]) -> Value {
        let arg = |i: usize| args.get(i).map(|a| self.value(a));
        let own = || Value::Text(content(self.tree, self.at));
        let string = |i: usize| text(&arg(i).unwrap_or_else(own));
        let own_name = match self.at {
            Found::Node(id) => self.tree.name(*id).unwrap_or_default().to_owned(),
            Found::Attribute(_, name) => name.clone(),
        };
        match name {
            "last" => Value::Number(self.last as f64),
            "position" => Value::Number(self.position as f64),
            "not" => Value::Truth(!arg(0).is_some_and(|v| truth(&v))),
            "contains" => Value::Truth(string(0).contains(&string(1))),
            "starts-with" => Value::Truth(string(0).starts_with(&string(1))),
            "count" => Value::Number(match arg(0) {
                Some(Value::Nodes(n)) => n.len() as f64,
                _ => 0.0,
            }),
            "normalize-space" => Value::Text(string(0).split_whitespace().collect::<Vec<_>>().join(" ")),
            "local-name" => Value::Text(split(&own_name).1.to_owned()),
            _ => Value::Text(own_name),
        }
    }
}

/// The text of what was found.
pub fn content(tree: &Tree, found: &Found) -> String {
    match found {
        Found::Node(id) => tree.content(*id),
        Found::Attribute(id, name) => tree.attribute(*id, name).unwrap_or_default().to_owned(),
    }
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Parser<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn blanks(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn take(&mut self, word: &str) -> bool {
        self.blanks();
        let there = self.rest().starts_with(word);
        self.at += if there { word.len() } else { 0 };
        there
    }

    fn refused(&self, at: &str) -> String {
        format!("`{at}` of the path `{}` is not supported; see `stx-upgrade doc xml` for what is", self.text)
    }

    fn path(&mut self) -> Result<Path, String> {
        self.blanks();
        let absolute = self.rest().starts_with('/');
        let mut steps = Vec::new();
        let below = Step { axis: Axis::Below, test: Test::Node, conditions: Vec::new() };
        if self.take("//") {
            steps.push(below.clone());
        } else if self.take("/") && (self.rest().is_empty() || self.rest().starts_with([']', ')'])) {
            return Ok(Path { absolute, steps });
        }
        loop {
            steps.push(self.step()?);
            if self.take("//") {
                steps.push(below.clone());
            } else if !self.take("/") {
                return Ok(Path { absolute, steps });
            }
        }
    }

    fn step(&mut self) -> Result<Step, String> {
        let plain = |axis| Step { axis, test: Test::Node, conditions: Vec::new() };
        if self.take("..") {
            return Ok(plain(Axis::Parent));
        }
        if self.take(".") {
            return Ok(plain(Axis::Own));
        }
        let axis = if self.take("@") { Axis::Attribute } else { Axis::Child };
        let test = if self.take("*") {
            Test::Any
        } else {
            let name = self.name();
            match name {
                "" => return Err(self.refused(self.rest())),
                "text" if self.take("(") => self.closed(Test::Text)?,
                "node" if self.take("(") => self.closed(Test::Node)?,
                "comment" if self.take("(") => self.closed(Test::Comment)?,
                name if self.rest().starts_with("::") || self.rest().starts_with('(') => return Err(self.refused(name)),
                name => Test::Name(name.to_owned()),
            }
        };
        let mut conditions = Vec::new();
        while self.take("[") {
            conditions.push(self.either()?);
            if !self.take("]") {
                return Err(self.refused(self.rest()));
            }
        }
        Ok(Step { axis, test, conditions })
    }

    fn closed(&mut self, test: Test) -> Result<Test, String> {
        if self.take(")") { Ok(test) } else { Err(self.refused(self.rest())) }
    }

    /// A name with at most one prefix; not the two colons of an axis.
    fn name(&mut self) -> &'t str {
        self.blanks();
        let rest = self.rest();
        let letter = |c: char| c.is_alphanumeric() || "_-.".contains(c);
        let mut end = rest.find(|c| !letter(c)).unwrap_or(rest.len());
        if end > 0
            && rest[end..].starts_with(':')
            && rest[end + 1..].starts_with(|c: char| c.is_alphabetic() || c == '_')
        {
            let more = &rest[end + 1..];
            end += 1 + more.find(|c| !letter(c)).unwrap_or(more.len());
        }
        self.at += end;
        &rest[..end]
    }

    fn either(&mut self) -> Result<Expr, String> {
        let mut left = self.both()?;
        while self.word("or") {
            left = Expr::Binary(Box::new(left), "or", Box::new(self.both()?));
        }
        Ok(left)
    }

    fn both(&mut self) -> Result<Expr, String> {
        let mut left = self.compared()?;
        while self.word("and") {
            left = Expr::Binary(Box::new(left), "and", Box::new(self.compared()?));
        }
        Ok(left)
    }

    fn word(&mut self, word: &str) -> bool {
        self.blanks();
        let after = self.rest().strip_prefix(word);
        let there = after.is_some_and(|a| !a.starts_with(|c: char| c.is_alphanumeric() || "_-.:".contains(c)));
        self.at += if there { word.len() } else { 0 };
        there
    }

    fn compared(&mut self) -> Result<Expr, String> {
        let left = self.operand()?;
        for operator in ["!=", "<=", ">=", "=", "<", ">"] {
            if self.take(operator) {
                return Ok(Expr::Binary(Box::new(left), operator, Box::new(self.operand()?)));
            }
        }
        Ok(left)
    }

    fn operand(&mut self) -> Result<Expr, String> {
        self.blanks();
        let rest = self.rest();
        if let Some(quote) = rest.chars().next().filter(|c| *c == '\'' || *c == '"') {
            let end = rest[1..].find(quote).ok_or_else(|| self.refused(rest))?;
            self.at += end + 2;
            return Ok(Expr::Text(rest[1..=end].to_owned()));
        }
        if rest.starts_with(|c: char| c.is_ascii_digit()) {
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            self.at += end;
            return rest[..end].parse().map(Expr::Number).map_err(|_| self.refused(rest));
        }
        if self.take("(") {
            let inner = self.either()?;
            return if self.take(")") { Ok(inner) } else { Err(self.refused(self.rest())) };
        }
        if let Some(function) =
            FUNCTIONS.iter().find(|f| rest.strip_prefix(**f).is_some_and(|r| r.trim_start().starts_with('(')))
        {
            self.at += function.len();
            self.take("(");
            let mut args = Vec::new();
            while !self.take(")") {
                args.push(self.either()?);
                if !self.take(",") && !self.rest().trim_start().starts_with(')') {
                    return Err(self.refused(self.rest()));
                }
            }
            return Ok(Expr::Call((*function).to_owned(), args));
        }
        self.path().map(Expr::Path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str) -> Vec<String> {
        let text = "<r xmlns:n='urn:n'><a id='1'>x</a><a id='2'><b>y</b><b>z</b></a><n:c t='q'/><d><e>5</e></d></r>";
        let tree = Tree::parse(text).unwrap();
        let names = vec![("m".to_owned(), "urn:n".to_owned())];
        Path::parse(path).unwrap().find(&tree, DOCUMENT, &names).iter().map(|f| content(&tree, f)).collect()
    }

    #[test]
    fn paths() {
        for (path, expected) in [
            ("/r/a/@id", vec!["1", "2"]),
            ("//b", vec!["y", "z"]),
            ("/r/a[2]/b[last()]", vec!["z"]),
            ("/r/a[@id='2']/b[1]/text()", vec!["y"]),
            ("//b[.='z']/../@id", vec!["2"]),
            ("/r/a[b='z' and not(@id='1')]/@id", vec!["2"]),
            ("/r/m:c/@t", vec!["q"]),
            ("/r/n:c/@*", vec!["q"]),
            ("/r/c", vec![]),
            ("/r/*[e > 4 or contains(., 'no')]", vec!["5"]),
            ("//a[starts-with(text(), 'x')]", vec!["x"]),
            ("//*[local-name()='c']/@t", vec!["q"]),
            ("//a[count(b) = 2]/@id", vec!["2"]),
        ] {
            assert_eq!(found(path), expected, "{path}");
        }
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for path in ["/r/following-sibling::a", "/r/a[substring(., 1)]", "/r/a | /r/b", "id('x')", "/r/a[1"] {
            assert!(Path::parse(path).is_err(), "{path}");
        }
    }
}
