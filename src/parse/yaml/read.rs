//! The events of `granit-parser` to a tree of nodes: aliases, merge keys, duplicate keys, limits.

use std::collections::HashMap;
use std::sync::Arc;

use granit_parser::{Event, Options, Parser, ScalarStyle, ScanError, Tag};

use super::patch::Patched;
use super::{Kind, MAX_ALIASED, MAX_DEPTH, MAX_NODES, Node, Style, fix};
use crate::model::mistake::Mistake;
use crate::model::source::{Source, Span};

/// The setting that says what a key that stands twice is: `warn`, `error` or `ignore`.
pub const DUPLICATE_KEY: &str = "duplicate_dict_key";

/// Reads the one document of a text. None if there is nothing in it. Warnings (a key that stands twice) go to
/// `mistakes`; a text that cannot be read gives the mistake.
pub fn read(source: &Arc<Source>, mistakes: &mut Vec<Mistake>) -> Result<Option<Node>, Mistake> {
    read_hidden(source, &source.text, mistakes)
}

/// Like [`read`], but the text to read is not that of the source: an opened vault file, whose source shows stars in the
/// place of the text, so that no message can print it.
pub fn read_hidden(source: &Arc<Source>, text: &str, mistakes: &mut Vec<Mistake>) -> Result<Option<Node>, Mistake> {
    let mut documents = documents(source, text, mistakes)?.into_iter();
    let first = documents.next().map(|(_, node)| node);
    match documents.next() {
        Some((start, _)) => Err(Mistake::at(&start, "a second document starts here, and only one is read")
            .label("this `---`")
            .help("one file is one document: move what follows into a file of its own")),
        None => Ok(first),
    }
}

/// Reads all documents of a text.
pub fn read_all(source: &Arc<Source>, mistakes: &mut Vec<Mistake>) -> Result<Vec<Node>, Mistake> {
    Ok(documents(source, &source.text, mistakes)?.into_iter().map(|(_, node)| node).collect())
}

/// The documents of a text, each with the place of its start.
fn documents(source: &Arc<Source>, text: &str, mistakes: &mut Vec<Mistake>) -> Result<Vec<(Span, Node)>, Mistake> {
    if u32::try_from(text.len()).is_err() {
        return Err(Mistake::plain(format!("{}: files of 4 GiB and more are not read", source.name)));
    }
    // A byte-order mark is no content.
    let skipped = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    // Ansible tries JSON before YAML; where the two differ (`1e3`, long keys), a text that is JSON is read as such.
    let json = text[skipped..].trim_start().starts_with(['{', '['])
        && serde_json::from_str::<serde::de::IgnoredAny>(&text[skipped..]).is_ok();
    let mut options = granit_parser::options! {
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
        simple_key_max_lookahead: if json { usize::MAX } else { 1024 },
    };
    options.set_emit_comments(false);
    let mut patched = Patched::new(text, skipped);
    loop {
        let warned = mistakes.len();
        match events(source, &patched, options.clone(), json, mistakes) {
            Ok(documents) => return Ok(documents),
            Err(Failure::Meaning(mistake)) => return Err(mistake),
            Err(Failure::Text(error)) => {
                mistakes.truncate(warned);
                if !patched.bridge(&error) {
                    let at = error.marker().byte_offset().map_or(skipped, |b| patched.origin(b));
                    return Err(fix::mistake(source, text, at, &error));
                }
            }
        }
    }
}

/// Why no tree came of the events.
enum Failure {
    /// The parser gave up.
    Text(ScanError),
    /// The parser read it, but it cannot mean anything.
    Meaning(Mistake),
}

impl From<Mistake> for Failure {
    fn from(mistake: Mistake) -> Failure {
        Failure::Meaning(mistake)
    }
}

fn events(
    source: &Arc<Source>,
    patched: &Patched,
    options: Options,
    json: bool,
    mistakes: &mut Vec<Mistake>,
) -> Result<Vec<(Span, Node)>, Failure> {
    let mut builder =
        Builder { source, patched, json, open: Vec::new(), anchors: HashMap::new(), nodes: 0, aliased: 0, mistakes };
    let mut documents = Vec::new();
    let mut start = Span::new(source, 0, 0);
    for event in Parser::new_from_str_with_options(&patched.text, options) {
        let (event, place) = event.map_err(Failure::Text)?;
        let span = builder.span(&place);
        let (anchor, node) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                (anchor, builder.scalar(text.into(), style, tag.as_deref(), span))
            }
            Event::SequenceStart(_, anchor, tag) => {
                builder.start(Open::Seq(Vec::new()), anchor, tag.as_deref(), span)?;
                continue;
            }
            Event::MappingStart(_, anchor, tag) => {
                builder.start(Open::Map(Vec::new(), None), anchor, tag.as_deref(), span)?;
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => builder.end(span)?,
            Event::Alias(id) => (0, builder.alias(id, &span)?),
            Event::DocumentStart(..) => {
                start = span;
                continue;
            }
            _ => continue,
        };
        if let Some(root) = builder.add(node, anchor)? {
            documents.push((start.clone(), root));
        }
    }
    Ok(documents)
}

/// A list or mapping whose end has not been met.
struct Frame {
    open: Open,
    anchor: usize,
    tag: Option<Box<str>>,
    span: Span,
}

enum Open {
    Seq(Vec<Node>),
    /// The pairs, and a key that waits for its value.
    Map(Vec<(Node, Node)>, Option<Node>),
}

struct Builder<'a> {
    source: &'a Arc<Source>,
    patched: &'a Patched<'a>,
    json: bool,
    open: Vec<Frame>,
    /// Anchored nodes with their size and depth.
    anchors: HashMap<usize, (Node, usize, usize)>,
    nodes: usize,
    aliased: usize,
    mistakes: &'a mut Vec<Mistake>,
}

impl Builder<'_> {
    fn span(&self, place: &granit_parser::Span) -> Span {
        let range = place.byte_range().unwrap_or(0..0);
        Span::new(self.source, self.patched.origin(range.start) as u32, self.patched.origin(range.end) as u32)
    }

    fn scalar(&self, mut text: Box<str>, style: ScalarStyle, tag: Option<&Tag>, mut span: Span) -> Node {
        let style = match style {
            ScalarStyle::Plain => Style::Plain,
            ScalarStyle::SingleQuoted => Style::Single,
            ScalarStyle::DoubleQuoted => Style::Double,
            ScalarStyle::Literal => Style::Literal,
            ScalarStyle::Folded => Style::Folded,
        };
        let mut tag = tag.map(full_tag);
        if matches!(style, Style::Literal | Style::Folded) {
            // The parser's span reaches to the next token.
            let whole = &self.patched.text;
            let last = self.patched.origin(whole.len()) as u32 <= span.end;
            let tail = &whole[whole.trim_end().len()..];
            if last && !tail.contains('\n') && text.ends_with('\n') {
                // A file that ends without a line feed ends its last block of text so, too.
                text = text[..text.len() - 1].into();
            }
            span.end = span.start + span.text().trim_end().len() as u32;
        } else if span.start == span.end && style == Style::Plain {
            return Node { span, tag, kind: Kind::Scalar { text: "".into(), style } };
        }
        if self.json && style == Style::Plain && text.contains(['e', 'E']) && text.parse::<f64>().is_ok() {
            tag = Some("tag:yaml.org,2002:float".into());
        }
        Node { span, tag, kind: Kind::Scalar { text, style } }
    }

    fn start(&mut self, open: Open, anchor: usize, tag: Option<&Tag>, span: Span) -> Result<(), Mistake> {
        if self.open.len() >= MAX_DEPTH {
            return Err(too_deep(&span));
        }
        self.open.push(Frame { open, anchor, tag: tag.map(full_tag), span });
        Ok(())
    }

    fn end(&mut self, end: Span) -> Result<(usize, Node), Mistake> {
        let Some(Frame { open, anchor, tag, mut span }) = self.open.pop() else {
            return Err(Mistake::at(&end, "a list or mapping ends that was not begun"));
        };
        let last = match &open {
            Open::Seq(items) => items.last().map(|n| n.span.end),
            Open::Map(pairs, _) => pairs.last().map(|(_, v)| v.span.end),
        };
        // A flow collection has an end of its own; a block one ends with its last child.
        span.end = if end.start < end.end { end.end } else { last.unwrap_or(span.end).max(span.end) };
        let kind = match open {
            Open::Seq(items) => Kind::Seq(items),
            Open::Map(pairs, _) => Kind::Map(self.tidy(pairs)?),
        };
        Ok((anchor, Node { span, tag, kind }))
    }

    /// Puts a finished node where it belongs; gives it back if it is the document.
    fn add(&mut self, node: Node, anchor: usize) -> Result<Option<Node>, Mistake> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(Mistake::at(&node.span, format!("the file goes on behind {MAX_NODES} nodes"))
                .label("here")
                .help("split it into several files"));
        }
        if anchor > 0 {
            let (size, depth) = measure(&node);
            self.anchors.insert(anchor, (node.clone(), size, depth));
        }
        match self.open.last_mut().map(|f| &mut f.open) {
            None => return Ok(Some(node)),
            Some(Open::Seq(items)) => items.push(node),
            Some(Open::Map(pairs, waiting)) => match waiting.take() {
                Some(key) => {
                    // What is not written has no place of its own: the key's is where people look.
                    let span = if node.span.start == node.span.end { key.span.clone() } else { node.span };
                    pairs.push((key, Node { span, ..node }));
                }
                None => {
                    check_key(&node)?;
                    *waiting = Some(node);
                }
            },
        }
        Ok(None)
    }

    fn alias(&mut self, id: usize, span: &Span) -> Result<Node, Mistake> {
        let Some((node, size, depth)) = self.anchors.get(&id) else {
            return Err(Mistake::at(span, format!("{} stands inside of what it names", span.text()))
                .help("a node cannot contain itself"));
        };
        self.aliased += size;
        if self.aliased > MAX_ALIASED {
            return Err(Mistake::at(span, format!("aliases blow this file up to more than {MAX_ALIASED} nodes"))
                .help("write out what is meant, or move it into a variable"));
        }
        if self.open.len() + depth > MAX_DEPTH {
            return Err(too_deep(span));
        }
        Ok(node.clone())
    }

    /// Resolves merge keys, and of a key that stands twice keeps the last, as Ansible does, with a warning.
    fn tidy(&mut self, pairs: Vec<(Node, Node)>) -> Result<Vec<(Node, Node)>, Mistake> {
        let merges = |key: &Node| matches!(&key.kind, Kind::Scalar { text, style: Style::Plain } if &**text == "<<");
        let mut merged: Vec<(Node, Node)> = Vec::new();
        let mut own: Vec<(Node, Node)> = Vec::with_capacity(pairs.len());
        let mut seen: HashMap<(bool, Box<str>), usize> = HashMap::new();
        let many = pairs.len() > 8;
        for (key, value) in pairs {
            if merges(&key) && key.tag.is_none() {
                merged.extend(merge(&key, value)?);
                continue;
            }
            let earlier = if many {
                let name = (key.is_string(), key.text().unwrap_or("").into());
                seen.insert(name, own.len())
            } else {
                own.iter().position(|(k, _)| same_key(k, &key))
            };
            match earlier {
                Some(at) => {
                    let first = own[at].0.span.place();
                    let text = key.text().unwrap_or("");
                    let mut mistake = Mistake::at(&key.span, format!("Found duplicate mapping key '{text}'"))
                        .label(format!("first on line {}", first.line))
                        .help("remove one of the two; the last one counts");
                    mistake.warning = true;
                    mistake.setting = Some(DUPLICATE_KEY);
                    self.mistakes.push(mistake);
                    own[at] = (key.clone(), value);
                    seen.insert((key.is_string(), key.text().unwrap_or("").into()), at);
                }
                None => own.push((key, value)),
            }
        }
        if merged.is_empty() {
            return Ok(own);
        }
        // Merged keys stand first, own ones replace them in their place, as in a Python dictionary.
        let mut all: Vec<(Node, Node)> = Vec::with_capacity(merged.len() + own.len());
        for (key, value) in merged.into_iter().chain(own) {
            match all.iter().position(|(k, _)| same_key(k, &key)) {
                Some(at) => all[at] = (key, value),
                None => all.push((key, value)),
            }
        }
        Ok(all)
    }
}

fn same_key(a: &Node, b: &Node) -> bool {
    a.text() == b.text() && a.is_string() == b.is_string()
}

/// The pairs that `<<: value` brings; in a list the earlier mapping wins.
fn merge(key: &Node, value: Node) -> Result<Vec<(Node, Node)>, Mistake> {
    let span = value.span.clone();
    let wrong = || {
        Mistake::at(&span, "`<<` merges a mapping or a list of mappings")
            .label("neither")
            .help(format!("point it at an anchored mapping, or quote the key: \"{}\"", key.text().unwrap_or("<<")))
    };
    match value.kind {
        Kind::Map(pairs) => Ok(pairs),
        Kind::Seq(items) => {
            let mut all = Vec::new();
            for item in items.into_iter().rev() {
                let Kind::Map(pairs) = item.kind else { return Err(wrong()) };
                all.extend(pairs);
            }
            Ok(all)
        }
        Kind::Scalar { .. } => Err(wrong()),
    }
}

/// Lists and mappings cannot be keys; nearly always that is an unquoted `{{ variable }}`.
fn check_key(key: &Node) -> Result<(), Mistake> {
    match &key.kind {
        Kind::Scalar { .. } => Ok(()),
        Kind::Map(_) if key.span.source.text[..key.span.start as usize].ends_with('{') => {
            Err(fix::unquoted_braces(&key.span))
        }
        _ => Err(Mistake::at(&key.span, format!("{} cannot be a key", key.kind_name()))
            .label("keys are text or numbers")
            .help("quote it if it is meant as text")),
    }
}

fn too_deep(span: &Span) -> Mistake {
    Mistake::at(span, format!("nested deeper than {MAX_DEPTH} levels")).help("split it into several files or variables")
}

/// Number of nodes, and depth.
fn measure(node: &Node) -> (usize, usize) {
    let add = |(size, depth): (usize, usize), node: &Node| {
        let (s, d) = measure(node);
        (size + s, depth.max(d + 1))
    };
    match &node.kind {
        Kind::Scalar { .. } => (1, 1),
        Kind::Seq(items) => items.iter().fold((1, 1), add),
        Kind::Map(pairs) => pairs.iter().flat_map(|(k, v)| [k, v]).fold((1, 1), add),
    }
}

fn full_tag(tag: &Tag) -> Box<str> {
    format!("{}{}", tag.handle(), tag.suffix()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::value::Value;
    use crate::parse::vault::Vault;
    use crate::parse::yaml::Reader;

    fn tree(text: &str) -> Result<Node, Mistake> {
        read(&Source::new("a.yml", text), &mut Vec::new()).map(Option::unwrap)
    }

    fn value(text: &str) -> Value {
        let mut mistakes = Vec::new();
        let value = Reader { vault: &Vault::default(), mistakes: &mut mistakes }.value(&tree(text).unwrap());
        assert_eq!(mistakes, [], "{text}");
        value
    }

    fn refused(text: &str) -> (u32, u32, String) {
        let mistake = tree(text).unwrap_err();
        let place = mistake.span.as_ref().unwrap().place();
        (place.line, place.column, mistake.message)
    }

    #[test]
    fn every_node_knows_its_place() {
        let root = tree("- name: \"a {{ b }}\"\n  run: |\n    one\n    two {{ c }}\n\n- x: é {{ d }}\n").unwrap();
        let items = root.as_seq().unwrap();
        let first = items[0].as_map().unwrap();
        assert_eq!(first[0].1.content_span().text(), "a {{ b }}");
        assert_eq!(first[1].1.span.text(), "one\n    two {{ c }}");
        let decoded = first[1].1.text().unwrap();
        let at = decoded.find("{{ c").unwrap();
        assert_eq!(first[1].1.content_span().decoded_part(decoded, at, at + 7).place().line, 4);
        let last = &items[1].as_map().unwrap()[0].1;
        assert_eq!((last.span.place().line, last.span.place().column, last.span.text()), (6, 6, "é {{ d }}"));
        assert_eq!(items[0].span.text(), "name: \"a {{ b }}\"\n  run: |\n    one\n    two {{ c }}");
    }

    #[test]
    fn merge_keys_and_aliases() {
        let text = "a: &a {x: 1, y: 2}\nb: &b {y: 3, z: 4}\nc:\n  <<: [*a, *b]\n  x: 9\nd: *a\n";
        assert_eq!(value(text).get("c").unwrap().to_string(), "{'y': 2, 'z': 4, 'x': 9}");
        assert_eq!(value(text).get("c").unwrap().get("y"), Some(&Value::Int(2)));
        assert_eq!(value(text).get("c").unwrap().get("x"), Some(&Value::Int(9)));
        assert_eq!(value(text).get("d").unwrap().to_string(), "{'x': 1, 'y': 2}");
    }

    #[test]
    fn a_key_that_stands_twice_is_a_warning_and_the_last_counts() {
        let mut mistakes = Vec::new();
        let root = read(&Source::new("a.yml", "a: 1\nb: 2\na: 3\n"), &mut mistakes).unwrap().unwrap();
        assert_eq!(root.as_map().unwrap().len(), 2);
        assert!(mistakes[0].warning);
        assert_eq!(mistakes[0].span.as_ref().unwrap().place().line, 3);
    }

    #[test]
    fn what_pyyaml_takes_beyond_yaml_1_2() {
        assert_eq!(value("a:\n  b: \"x\n  y\nz\"\n  c: 1\n").to_string(), "{'a': {'b': 'x y z', 'c': 1}}");
        assert_eq!(
            value("a:\n  - b: 'x\n\ty\n \t z'\n    c: \"x\n\t\n\ty\"").to_string(),
            "{'a': [{'b': 'x y z', 'c': 'x\\ny'}]}"
        );
        let root = tree("a: \"x\"# note\nb: 'c\nd'\ne: {{f}: 1}").unwrap_err();
        assert_eq!(root.span.unwrap().place().line, 4);
        assert!(tree("a: x\n\ty").unwrap_err().message.contains("tab"));
        assert_eq!(value("a: \"x\"# note\nb: 'c\nd'\ne: 1").to_string(), "{'a': 'x', 'b': 'c d', 'e': 1}");
    }

    #[test]
    fn a_block_at_the_end_of_a_file_without_line_feed() {
        assert_eq!(value("a: |\n  x\n  y").to_string(), "{'a': 'x\\ny'}");
        assert_eq!(value("a: >+\n  x\n  y").to_string(), "{'a': 'x y'}");
        assert_eq!(value("a: |\n  x\nb: |-\n  y").to_string(), "{'a': 'x\\n', 'b': 'y'}");
        assert_eq!(value("a: |\r\n  x\r\nb: 1\r\n").to_string(), "{'a': 'x\\n', 'b': 1}");
    }

    #[test]
    fn bombs_depth_and_circles_are_refused() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for i in 1..10 {
            let refs = vec![format!("*a{}", i - 1); 10].join(", ");
            bomb.push_str(&format!("a{i}: &a{i} [{refs}]\n"));
        }
        assert!(refused(&bomb).2.contains("blow"));
        assert!(refused(&format!("a: {}", "[".repeat(100_000))).2.contains("deeper"));
        let mut nested = String::new();
        for i in 0..5_000 {
            nested.push_str(&format!("{}a:\n", " ".repeat(i)));
        }
        assert!(refused(&nested).2.contains("deeper"));
        assert!(refused("a: &a [*a]").2.contains("inside"));
        let chain: String = (1..50).fold("a0: &a0 [[[[[[[[[[x]]]]]]]]]]\n".to_owned(), |text, i| {
            format!("{text}a{i}: &a{i} [[[[[[[[[[*a{}]]]]]]]]]]\n", i - 1)
        });
        assert!(refused(&chain).2.contains("deeper"));
    }

    #[test]
    fn json_is_read_as_json() {
        assert_eq!(value("{\"a\": 1e3,\n\t\"b\": \"\\/x\"}").to_string(), "{'a': 1000.0, 'b': '/x'}");
        let key = "k".repeat(3000);
        assert!(value(&format!("{{\"{key}\": null}}")).get(&key).unwrap().is_null());
    }

    #[test]
    fn all_documents_of_a_text() {
        let all = read_all(&Source::new("a.yml", "--- 1\n---\n- 2\n...\n---\na: &x 3\n"), &mut Vec::new()).unwrap();
        assert_eq!(all.iter().map(Node::kind_name).collect::<Vec<_>>(), ["an integer", "a list", "a mapping"]);
        assert!(read_all(&Source::new("a.yml", "# nothing"), &mut Vec::new()).unwrap().is_empty());
    }

    #[test]
    fn tags() {
        assert_eq!(value("!unsafe \"{{ x }}\"").to_string(), "{{ x }}");
        assert!(!value("a: !unsafe [\"{{ x }}\", {b: \"{{ y }}\"}]").has_template());
        assert!(value("a: [\"{{ x }}\"]").has_template());
        let json = value("{\"a\": {\"__ansible_unsafe\": \"{{ x }}\"}}");
        assert_eq!(json.get("a").and_then(Value::as_str), Some("{{ x }}"));
        assert_eq!(
            value("[!!str 1, !!int \"2\", !!float 3, !!bool yes, !!null x]").to_string(),
            "['1', 2, 3.0, True, None]"
        );
        assert_eq!(value("!!binary aGVsbG8=").to_string(), "hello");
    }
}
