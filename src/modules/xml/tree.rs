//! An XML document as a tree that can be changed and written again; what is not changed is written as it was read.

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};

/// A node by its number in the tree.
pub type Id = usize;

#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// The document itself, above everything.
    Document,
    Element {
        name: String,
        attributes: Vec<(String, String)>,
    },
    Text(String),
    Cdata(String),
    Comment(String),
    /// What stands between `<?` and `?>`, the declaration too.
    Instruction(String),
    DocType(String),
}

#[derive(Clone, Debug)]
struct Node {
    parent: Option<Id>,
    kind: Kind,
    children: Vec<Id>,
}

#[derive(Clone, Debug)]
pub struct Tree {
    nodes: Vec<Node>,
}

pub const DOCUMENT: Id = 0;

impl Tree {
    /// Reads a document, or, for new children, a piece of one.
    pub fn parse(text: &str) -> Result<Tree, String> {
        let mut tree = Tree { nodes: vec![Node { parent: None, kind: Kind::Document, children: Vec::new() }] };
        let mut reader = Reader::from_str(text);
        let mut at = DOCUMENT;
        let mut depth = 0;
        loop {
            let event = reader.read_event().map_err(|e| format!("{e} at byte {}", reader.error_position()))?;
            match event {
                Event::Eof => break,
                Event::Start(start) => {
                    depth += 1;
                    // As libxml2: deeper ones are an attack.
                    if depth > 256 {
                        return Err("elements stand in one another more than 256 deep".into());
                    }
                    at = tree.add(at, element(&start)?);
                }
                Event::Empty(start) => drop(tree.add(at, element(&start)?)),
                Event::End(_) => {
                    depth -= 1;
                    at = tree.parent(at).unwrap_or(DOCUMENT);
                }
                Event::Text(text) => tree.add_text(at, &text.xml10_content()),
                Event::GeneralRef(reference) => {
                    let name = reference.xml10_content();
                    match reference.resolve_char_ref().map_err(|e| e.to_string())? {
                        Some(c) => tree.add_text(at, c.encode_utf8(&mut [0; 4])),
                        None => match resolve_predefined_entity(&name) {
                            Some(text) => tree.add_text(at, text),
                            None => return Err(format!("the entity `&{name};` is not known")),
                        },
                    }
                }
                Event::CData(data) => drop(tree.add(at, Kind::Cdata(data.xml10_content().into_owned()))),
                Event::Comment(text) => drop(tree.add(at, Kind::Comment(text.xml10_content().into_owned()))),
                Event::PI(pi) => drop(tree.add(at, Kind::Instruction(pi.into_inner().into_owned()))),
                // It is written anew.
                Event::Decl(_) => {}
                Event::DocType(text) => drop(tree.add(at, Kind::DocType(text.into_inner().into_owned()))),
            }
        }
        if depth > 0 {
            return Err("an element is never closed".into());
        }
        Ok(tree)
    }

    /// The outermost element.
    pub fn root(&self) -> Option<Id> {
        self.nodes[DOCUMENT].children.iter().copied().find(|c| self.name(*c).is_some())
    }

    pub fn parent(&self, id: Id) -> Option<Id> {
        self.nodes[id].parent
    }

    pub fn children(&self, id: Id) -> &[Id] {
        &self.nodes[id].children
    }

    pub fn kind(&self, id: Id) -> &Kind {
        &self.nodes[id].kind
    }

    /// An element's name, as written.
    pub fn name(&self, id: Id) -> Option<&str> {
        match &self.nodes[id].kind {
            Kind::Element { name, .. } => Some(name),
            _ => None,
        }
    }

    pub fn attributes(&self, id: Id) -> &[(String, String)] {
        match &self.nodes[id].kind {
            Kind::Element { attributes, .. } => attributes,
            _ => &[],
        }
    }

    pub fn attribute(&self, id: Id, name: &str) -> Option<&str> {
        self.attributes(id).iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub fn set_attribute(&mut self, id: Id, name: &str, value: &str) {
        if let Kind::Element { attributes, .. } = &mut self.nodes[id].kind {
            match attributes.iter_mut().find(|(n, _)| n == name) {
                Some((_, old)) => value.clone_into(old),
                None => attributes.push((name.to_owned(), value.to_owned())),
            }
        }
    }

    pub fn remove_attribute(&mut self, id: Id, name: &str) {
        if let Kind::Element { attributes, .. } = &mut self.nodes[id].kind {
            attributes.retain(|(n, _)| n != name);
        }
    }

    /// The text before the first child element, as `lxml` has it.
    pub fn text(&self, id: Id) -> String {
        let mut text = String::new();
        for child in self.children(id) {
            match self.kind(*child) {
                Kind::Text(t) | Kind::Cdata(t) => text.push_str(t),
                _ => break,
            }
        }
        text
    }

    /// All text in it and below.
    pub fn content(&self, id: Id) -> String {
        match self.kind(id) {
            Kind::Text(t) | Kind::Cdata(t) => t.clone(),
            _ => self.children(id).iter().map(|c| self.content(*c)).collect(),
        }
    }

    pub fn set_text(&mut self, id: Id, text: &str) {
        let is_text = |tree: &Tree, c: Id| matches!(tree.kind(c), Kind::Text(_) | Kind::Cdata(_));
        while let Some(first) = self.children(id).first().copied().filter(|c| is_text(self, *c)) {
            self.remove(first);
        }
        if !text.is_empty() {
            let node = self.make(Kind::Text(text.to_owned()));
            self.insert(id, 0, node);
        }
    }

    /// A node that stands nowhere yet.
    pub fn make(&mut self, kind: Kind) -> Id {
        self.nodes.push(Node { parent: None, kind, children: Vec::new() });
        self.nodes.len() - 1
    }

    pub fn insert(&mut self, parent: Id, at: usize, node: Id) {
        self.nodes[node].parent = Some(parent);
        let at = at.min(self.nodes[parent].children.len());
        self.nodes[parent].children.insert(at, node);
    }

    pub fn append(&mut self, parent: Id, node: Id) {
        self.insert(parent, usize::MAX, node);
    }

    /// Takes a node out, with all below it.
    pub fn remove(&mut self, node: Id) {
        if let Some(parent) = self.nodes[node].parent.take() {
            self.nodes[parent].children.retain(|c| *c != node);
        }
    }

    pub fn clear(&mut self, id: Id) {
        for child in std::mem::take(&mut self.nodes[id].children) {
            self.nodes[child].parent = None;
        }
    }

    /// A copy of a node of another tree.
    pub fn copy(&mut self, from: &Tree, id: Id) -> Id {
        let new = self.make(from.kind(id).clone());
        for child in from.children(id) {
            let child = self.copy(from, *child);
            self.append(new, child);
        }
        new
    }

    fn add(&mut self, parent: Id, kind: Kind) -> Id {
        let id = self.make(kind);
        self.append(parent, id);
        id
    }

    fn add_text(&mut self, parent: Id, text: &str) {
        if let Some(last) = self.children(parent).last().copied()
            && let Kind::Text(old) = &mut self.nodes[last].kind
        {
            old.push_str(text);
            return;
        }
        self.add(parent, Kind::Text(text.to_owned()));
    }

    /// The whole document, with its declaration.
    pub fn document(&self, pretty: bool) -> String {
        let mut tree = self.clone();
        if pretty && let Some(root) = tree.root() {
            tree.indent(root, 0);
        }
        let mut out = String::from("<?xml version='1.0' encoding='UTF-8'?>\n");
        for child in tree.children(DOCUMENT) {
            // Blanks around the outermost element are not kept, line ends are.
            if !matches!(tree.kind(*child), Kind::Text(_)) {
                tree.write(*child, &mut out);
                out.push('\n');
            }
        }
        out
    }

    /// Puts every element on a line of its own, where there is no text between.
    fn indent(&mut self, id: Id, depth: usize) {
        let blank = |tree: &Tree, c: Id| matches!(tree.kind(c), Kind::Text(t) if t.trim().is_empty());
        let own: Vec<Id> = self.children(id).to_vec();
        let has_elements = own.iter().any(|c| !matches!(self.kind(*c), Kind::Text(_) | Kind::Cdata(_)));
        let mixed = own.iter().any(|c| matches!(self.kind(*c), Kind::Text(_) | Kind::Cdata(_)) && !blank(self, *c));
        if !has_elements || mixed {
            return;
        }
        own.iter().filter(|c| blank(self, **c)).copied().collect::<Vec<_>>().into_iter().for_each(|c| self.remove(c));
        let lines = |depth: usize| format!("\n{}", "  ".repeat(depth));
        for child in self.children(id).to_vec() {
            let at = self.children(id).iter().position(|c| *c == child).unwrap_or(0);
            let gap = self.make(Kind::Text(lines(depth + 1)));
            self.insert(id, at, gap);
            self.indent(child, depth + 1);
        }
        let end = self.make(Kind::Text(lines(depth)));
        self.append(id, end);
    }

    fn write(&self, id: Id, out: &mut String) {
        match self.kind(id) {
            Kind::Document => self.children(id).iter().for_each(|c| self.write(*c, out)),
            Kind::Text(text) => out.push_str(&escaped(text, false)),
            Kind::Cdata(text) => out.push_str(&format!("<![CDATA[{text}]]>")),
            Kind::Comment(text) => out.push_str(&format!("<!--{text}-->")),
            Kind::Instruction(text) => out.push_str(&format!("<?{text}?>")),
            Kind::DocType(text) => out.push_str(&format!("<!DOCTYPE {}>", text.trim_start())),
            Kind::Element { name, attributes } => {
                out.push_str(&format!("<{name}"));
                for (name, value) in attributes {
                    out.push_str(&format!(" {name}=\"{}\"", escaped(value, true)));
                }
                if self.children(id).is_empty() {
                    out.push_str("/>");
                    return;
                }
                out.push('>');
                self.children(id).iter().for_each(|c| self.write(*c, out));
                out.push_str(&format!("</{name}>"));
            }
        }
    }
}

fn element(start: &BytesStart<'_>) -> Result<Kind, String> {
    let name = AsRef::<str>::as_ref(&start.name().into_inner()).to_owned();
    let mut attributes = Vec::new();
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|e| format!("in `<{name}`: {e}"))?;
        let value =
            attribute.normalized_value(quick_xml::XmlVersion::Implicit1_0).map_err(|e| format!("in `<{name}`: {e}"))?;
        attributes.push((AsRef::<str>::as_ref(&attribute.key.into_inner()).to_owned(), value.into_owned()));
    }
    Ok(Kind::Element { name, attributes })
}

fn escaped(text: &str, attribute: bool) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' if attribute => out.push_str("&quot;"),
            '\n' if attribute => out.push_str("&#10;"),
            '\t' if attribute => out.push_str("&#9;"),
            '\r' => out.push_str("&#13;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_changed_stays() {
        let text = "<?xml version='1.0' encoding='UTF-8'?>\n<!-- a -->\n<r x=\"1 &amp; 2\">\n  <b/>t &lt; <![CDATA[<raw>]]><c>é</c>\n</r>\n";
        assert_eq!(Tree::parse(text).unwrap().document(false), text);
    }

    #[test]
    fn made_pretty() {
        let tree = Tree::parse("<r><a>t</a><b><c/></b></r>").unwrap();
        let body = tree.document(true);
        assert!(body.ends_with("<r>\n  <a>t</a>\n  <b>\n    <c/>\n  </b>\n</r>\n"), "{body}");
    }

    #[test]
    fn no_document() {
        assert!(Tree::parse("<a><b></a>").is_err());
        assert!(Tree::parse("<a>").is_err());
        assert!(Tree::parse("<a>&unknown;</a>").is_err());
    }
}
