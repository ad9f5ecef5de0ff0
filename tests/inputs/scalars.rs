//! Plain scalars mean what PyYAML takes them for; the table was made with PyYAML 6.0.3.

use proptest::prelude::*;
use stx_upgrade::model::source::Source;
use stx_upgrade::model::value::Value;
use stx_upgrade::parse::vault::Vault;
use stx_upgrade::parse::yaml::scalar::{self, Plain};
use stx_upgrade::parse::yaml::{self, Reader};

#[test]
fn every_scalar_of_the_table() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in include_str!("scalars.tsv").lines().filter(|l| !l.starts_with('#')) {
        let [text, meaning, value] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        let found = scalar::resolve(text);
        let same = match (&found, meaning) {
            (Plain::Null, "null") | (Plain::Str, "str" | "nodate") => true,
            (Plain::Reserved, "reserved") | (Plain::Huge, "huge") => true,
            (Plain::Bool(b), "bool") => b.to_string() == value,
            (Plain::Int(i), "int") => i.to_string() == value,
            (Plain::Float(x), "float") => value.parse::<f64>().is_ok_and(|v| v == *x || v.is_nan() && x.is_nan()),
            (Plain::Date(iso), "date") => iso == value,
            _ => false,
        };
        if !same {
            wrong.push(format!("{text:?} is {meaning} {value}, not {found:?}"));
        }
        count += 1;
    }
    assert!(count > 1000, "the table was read: {count}");
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
}

fn read(text: &str) -> Value {
    let mut mistakes = Vec::new();
    let root = yaml::read(&Source::new("p.yml", text), &mut mistakes).unwrap().unwrap();
    Reader { vault: &Vault::default(), mistakes: &mut mistakes }.value(&root)
}

proptest! {
    /// Whatever text stands in quotes comes back as that text, with its place.
    #[test]
    fn quoted_text_comes_back(text in "[ -~äöü€\n]{0,60}") {
        let single = format!("k: '{}'", text.replace('\'', "''").replace('\n', "\n\n"));
        if !text.contains('\n') {
            let value = read(&single);
            let found = value.get("k").unwrap();
            prop_assert_eq!(match found { Value::Template(t) => t.text.clone(), v => v.to_string() }, text.clone());
        }
        let json = serde_json::to_string(&text).unwrap();
        let value = read(&format!("k: {json}"));
        let found = value.get("k").unwrap();
        prop_assert_eq!(match found { Value::Template(t) => t.text.clone(), v => v.to_string() }, text);
    }

    /// JSON is YAML: the same values come of it.
    #[test]
    fn json_comes_back(value in json_value()) {
        let text = serde_json::to_string(&value).unwrap();
        let wanted: Value = serde_json::from_value(value).unwrap();
        let found = read(&format!("k: {text}"));
        prop_assert_eq!(found.get("k").unwrap(), &wanted);
        prop_assert_eq!(read(&serde_json::to_string_pretty(&serde_json::json!([wanted])).unwrap()), Value::list(vec![wanted]));
    }

    /// Nothing that is typed makes the reader panic, and every mistake has its place.
    #[test]
    fn no_text_is_too_wrong(text in "[-:{}\\[\\]#&*!|>'\"%@`, \n\ta-c1-3<]{0,80}") {
        let source = Source::new("p.yml", text.as_str());
        let mut mistakes = Vec::new();
        match yaml::read(&source, &mut mistakes) {
            Ok(Some(root)) => drop(Reader { vault: &Vault::default(), mistakes: &mut mistakes }.value(&root)),
            Ok(None) => {}
            Err(mistake) => {
                let span = mistake.span.expect("a place");
                prop_assert!(span.end as usize <= text.len());
                prop_assert!(text.is_char_boundary(span.start as usize) && text.is_char_boundary(span.end as usize));
            }
        }
    }
}

fn json_value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        "[ -z]{0,12}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(serde_json::Value::from),
            prop::collection::btree_map("[a-z]{1,5}", inner, 0..5)
                .prop_map(|m| serde_json::Value::Object(m.into_iter().collect())),
        ]
    })
}
