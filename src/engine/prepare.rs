//! What a play needs before its first task: its hosts, their batches, answers to its prompts, variables from its files.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use super::options::{Gathering, Mismatch};
use super::play::PlayState;
use super::run::{Halt, Run};
use super::scope::TaskScope;
use crate::model::inventory::Inventory;
use crate::model::secret::Secret;
use crate::model::source::Span;
use crate::model::value::{Dict, Key, Value};
use crate::parse;
use crate::plan::{Node, PlayPlan, pattern};
use crate::vars::hash_password;

impl Run {
    /// The play's hosts, its pattern within `--limit`: as the inventory orders them, and as the play does.
    pub(super) fn play_hosts(self: &Arc<Run>, plan: &PlayPlan) -> Result<(Vec<String>, Vec<String>), Halt> {
        let scope = self.play_scope(plan);
        let written = self.templar.render(&plan.play.hosts.value, &scope).map_err(|e| Halt::Refused(e.to_string()))?;
        let patterns: Vec<String> = match written {
            Value::List(list) => list.iter().map(Value::to_string).collect(),
            one => vec![one.to_string()],
        };
        let order = plan.play.order.as_ref().map(|w| self.templar.render(&w.value, &scope)).transpose();
        let order = order.map_err(|e| Halt::Refused(e.to_string()))?.filter(|o| !o.is_null());
        let mut inventory = self.inventory.write().unwrap_or_else(PoisonError::into_inner);
        if implicit_localhost(&patterns, &mut inventory) {
            let (files, vault, mut mistakes) = (&*self.compiler.files, &self.compiler.vault, Vec::new());
            parse::inventory::load_playbook_vars(&mut inventory, files, &plan.dir, vault, &mut mistakes);
        }
        let find = |p: &[String], i: &Inventory| pattern::matches(p, i).map_err(|e| Halt::Refused(e.to_string()));
        let found = find(&patterns, &inventory)?;
        for part in &found.unmatched {
            match self.options.mismatch {
                Mismatch::Warning => self.warn(&format!("Could not match supplied host pattern, ignoring: {part}")),
                Mismatch::Error => {
                    return Err(Halt::Refused(format!("Could not match supplied host pattern: {part}")));
                }
                Mismatch::Ignore => {}
            }
        }
        let mut hosts = found.hosts;
        if let Some(limit) = &self.options.limit {
            let within = find(std::slice::from_ref(limit), &inventory)?.hosts;
            hosts.retain(|h| within.contains(h));
        }
        let inventory_order = hosts.clone();
        match order.map(|o| o.to_string()).as_deref() {
            None | Some("inventory") => {}
            Some("sorted") => hosts.sort(),
            Some("reverse_sorted") => {
                hosts.sort();
                hosts.reverse();
            }
            Some("reverse_inventory") => hosts.reverse(),
            Some("shuffle") => {
                hosts.sort_by_key(|h| crate::plan::identity::short_digest(format!("{}{h}", self.id).as_bytes()))
            }
            Some(other) => {
                return Err(Halt::Refused(format!(
                    "Invalid 'order' specified for inventory hosts: {other}; inventory, reverse_inventory, sorted, \
                     reverse_sorted and shuffle are"
                )));
            }
        }
        Ok((inventory_order, hosts))
    }

    /// What the keywords of a play itself may use: extra variables, its own and those of its imports, `groups` and `hostvars`.
    pub(super) fn play_scope(self: &Arc<Run>, plan: &PlayPlan) -> TaskScope {
        let mut scope = TaskScope::of_host(self, None, "");
        for (name, value) in
            std::iter::once(&plan.play.common.vars).chain(plan.import_vars.iter().map(|v| &**v)).flatten()
        {
            if let (Some(text), false) = (name.as_str(), self.compiler.extra.contains_key(name)) {
                scope.set(text, value.clone());
            }
        }
        scope
    }

    /// A play's name; of one without, its hosts as its variables give them.
    pub(super) fn play_title(self: &Arc<Run>, plan: &PlayPlan) -> String {
        let written = plan.play.common.name.as_ref().unwrap_or(&plan.play.hosts);
        let rendered = self.templar.render(&written.value, &self.play_scope(plan));
        match rendered.unwrap_or_else(|_| written.value.clone()) {
            Value::List(hosts) => hosts.iter().map(Value::to_string).collect::<Vec<_>>().join(","),
            one => one.to_string(),
        }
    }

    /// The play's tasks, with the gathering of facts before them if it is wanted.
    pub(super) fn with_facts(self: &Arc<Run>, plan: &PlayPlan, hosts: &[String]) -> Vec<Node> {
        let usual = self.options.gathering != Gathering::Explicit;
        let wanted = match &plan.play.gather_facts {
            Some(w) => {
                let value = self.templar.render(&w.value, &self.play_scope(plan)).unwrap_or_else(|_| w.value.clone());
                crate::action::args::truth(&value).unwrap_or(usual)
            }
            None => usual,
        };
        let known = |h: &String| self.options.gathering == Gathering::Smart && self.vars.has_facts(h);
        let wanted = wanted && !hosts.iter().all(known);
        let mut nodes = plan.nodes.clone();
        if wanted {
            nodes.insert(0, Node::Task(Arc::new(self.compiler.gathering(plan))));
        }
        nodes
    }

    /// Sizes of the batches that `serial` asks for.
    pub(super) fn batches(self: &Arc<Run>, plan: &PlayPlan, hosts: usize) -> Result<Vec<usize>, Halt> {
        let mut sizes = Vec::new();
        for written in &plan.play.serial {
            let rendered = self.templar.render_or_omit(&written.value, &self.play_scope(plan));
            let Some(value) = rendered.map_err(|e| Halt::Refused(e.to_string()))? else { continue };
            let each = match value {
                Value::List(list) => list.to_vec(),
                one => vec![one],
            };
            for size in each {
                let text = size.to_string();
                let number = match text.trim().strip_suffix('%') {
                    Some(percent) => percent.parse::<f64>().ok().map(|p| ((p / 100.0 * hosts as f64) as usize).max(1)),
                    None => text.trim().parse::<usize>().ok(),
                };
                let Some(number) = number else {
                    return Err(Halt::Refused(format!(
                        "{}: `serial` must be numbers or percentages, not `{text}`",
                        written.span.place()
                    )));
                };
                sizes.push(number);
            }
        }
        let mut left = hosts;
        let mut batches = Vec::new();
        let mut at = 0;
        while left > 0 {
            let size = sizes.get(at).or(sizes.last()).copied().filter(|s| *s > 0).unwrap_or(left).min(left);
            batches.push(size);
            left -= size;
            at += 1;
        }
        Ok(batches)
    }

    /// Asks for `vars_prompt`, unless extra variables or an earlier part of the run have the answer.
    pub(super) async fn prompts(&self, index: u32, plan: &PlayPlan) -> Result<Dict, Halt> {
        let mut answers = Dict::new();
        for prompt in &plan.play.vars_prompt {
            if self.compiler.extra.contains_key(prompt.name.as_str()) {
                continue;
            }
            let what = format!("prompt:{index}:{}", prompt.name);
            if let Some(value) = self.record.decided(&what) {
                if prompt.private {
                    self.out.mask.learn(&Secret::new(value.to_string()));
                }
                answers.insert(Key::from(prompt.name.as_str()), value);
                continue;
            }
            let text = |w: &Option<crate::model::playbook::Written>| w.as_ref().map(|w| w.value.to_string());
            let default = text(&prompt.default);
            let asked = text(&prompt.prompt).unwrap_or_else(|| prompt.name.clone());
            let shown = default.as_ref().map_or_else(|| asked.clone(), |d| format!("{asked} [{d}]"));
            let typed = loop {
                let Some(first) = self.ask(&format!("{shown}: "), !prompt.private).await? else { break None };
                if prompt.confirm
                    && self.ask(&format!("confirm {shown}: "), !prompt.private).await?.as_deref()
                        != Some(first.as_str())
                {
                    self.warn("***** VALUES ENTERED DO NOT MATCH ****");
                    continue;
                }
                break Some(first);
            };
            let mut answer = typed.filter(|t| !t.is_empty()).or(default).unwrap_or_default();
            if prompt.private {
                self.out.mask.learn(&Secret::new(answer.clone()));
            }
            if let Some(algorithm) = text(&prompt.encrypt) {
                let size =
                    prompt.salt_size.as_ref().and_then(|w| w.value.as_int()).and_then(|n| usize::try_from(n).ok());
                answer = hash_password(&answer, &algorithm, text(&prompt.salt).as_deref(), size, None, None)
                    .map_err(|e| Halt::Refused(format!("{}: {}", prompt.span.place(), e.message)))?;
            }
            let value = Value::str(&answer);
            self.record.decide(&what, value.clone(), prompt.private).await?;
            answers.insert(Key::from(prompt.name.as_str()), value);
        }
        Ok(answers)
    }

    /// `vars_files` of a play, for each host: names may use its variables.
    pub(super) fn file_vars(
        self: &Arc<Run>,
        plan: &Arc<PlayPlan>,
        prompted: &Arc<Dict>,
        hosts: &[String],
    ) -> Result<HashMap<String, Arc<Dict>>, Halt> {
        let mut all = HashMap::new();
        if plan.play.vars_files.is_empty() {
            return Ok(all);
        }
        for host in hosts {
            let names = (vec![host.clone()], hosts.to_vec());
            let bare = PlayState::new(plan.clone(), names, prompted.clone(), HashMap::new(), Arc::default());
            let scope = TaskScope::of_host(self, Some(&Arc::new(bare)), host);
            let mut vars = Dict::new();
            for written in &plan.play.vars_files {
                let refused = |e: String| Halt::Refused(format!("{}: {e}", written.span.place()));
                let choices = match self.templar.render(&written.value, &scope) {
                    Ok(Value::List(list)) => list.to_vec(),
                    Ok(one) => vec![one],
                    Err(error) => return Err(refused(error.to_string())),
                };
                let search = [plan.dir.clone()];
                let found = choices.iter().find_map(|c| self.compiler.find("vars", &c.to_string(), &search));
                let Some(path) = found else {
                    let names: Vec<String> = choices.iter().map(Value::to_string).collect();
                    return Err(refused(format!("vars file {} was not found", names.join(" or "))));
                };
                let read = parse::vars_file::vars_file(&*self.compiler.files, &path, &self.compiler.vault);
                vars.extend(read.map_err(|m| refused(m.message))?);
            }
            all.insert(host.clone(), Arc::new(vars));
        }
        Ok(all)
    }
}

/// `localhost` may be named without standing in the inventory.
/// True if it was added.
fn implicit_localhost(patterns: &[String], inventory: &mut Inventory) -> bool {
    let mut added = false;
    let names = ["localhost", "127.0.0.1", "::1"];
    for name in names {
        let named = patterns.iter().flat_map(|p| p.split([',', ':'])).any(|p| p.trim() == name)
            || patterns.iter().any(|p| p == name);
        if named && !inventory.hosts.contains_key(name) {
            added = true;
            let host = inventory.host_mut(name);
            host.implicit = true;
            host.vars.insert("ansible_connection".into(), "local".into());
            let python = Value::written("{{ ansible_playbook_python }}", &Span::of_text("localhost", ""));
            host.vars.insert("ansible_python_interpreter".into(), python);
        }
    }
    added
}
