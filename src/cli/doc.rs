//! `doc`: what a module takes and gives, from the definition that checks its arguments.

use super::args::Doc;
use super::exit_code::Exit;
use super::wire;
use crate::action::args::ArgSpec;
use crate::model::mistake::nearest;

pub fn run(args: &Doc) -> anyhow::Result<Exit> {
    let names = wire::names();
    if args.modules.is_empty() || args.list {
        for name in names.names() {
            let doc =
                names.action(name).map(|a| a.doc).or_else(|| names.module(name).map(|m| m.doc)).unwrap_or_default();
            println!("{name:<28} {}", first_sentence(doc));
        }
        return Ok(Exit::Ok);
    }
    for name in &args.modules {
        let action = names.action(name).map(|a| (a.names, a.doc, a.returns, a.example, a.free_form, (a.args)()));
        let module = names.module(name).map(|m| (m.names, m.doc, m.returns, m.example, m.free_form, (m.args)()));
        // Where an action works on both sides, its definition is the one that playbooks are checked against.
        let Some((all, doc, returns, example, free_form, specs)) = action.or(module) else {
            let hint = nearest(name, names.names()).map_or(String::new(), |n| format!("; did you mean `{n}`?"));
            anyhow::bail!("there is no module `{name}`{hint} (`stx-upgrade doc` lists all)");
        };
        println!("{}\n\n  {}\n", all.join(", "), one_line(doc));
        println!("PARAMETERS");
        specs.iter().filter(|s| !s.name.starts_with('_')).for_each(parameter);
        if let Some(free) = free_form {
            println!("\n  Free text is `{free}`.");
        }
        println!("\nRETURNS");
        println!("  changed, failed, msg");
        returns.iter().for_each(|(name, what)| println!("  {name:<20} {}", one_line(what)));
        println!("\nEXAMPLE\n");
        example.lines().for_each(|l| println!("  {l}"));
    }
    Ok(Exit::Ok)
}

fn parameter(spec: &ArgSpec) {
    let mut about = vec![spec.kind.to_owned()];
    if spec.required {
        about.push("required".into());
    }
    if !spec.choices.is_empty() {
        about.push(spec.choices.join("|"));
    }
    if let Some(default) = spec.default {
        about.push(format!("default {}", default()));
    }
    if !spec.aliases.is_empty() {
        about.push(format!("or {}", spec.aliases.join(", ")));
    }
    println!("  {:<20} {} ({})", spec.name, one_line(spec.doc), about.join("; "));
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn first_sentence(text: &str) -> String {
    let line = one_line(text);
    line.split_once(". ").map_or(line.clone(), |(first, _)| format!("{first}."))
}
