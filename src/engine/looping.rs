//! Loops: what they run over, and the variables that each item brings.

use super::execute;
use super::run::Run;
use super::scope::TaskScope;
use crate::dict;
use crate::model::outcome::Outcome;
use crate::model::playbook::{Loop, LoopControl, Written};
use crate::model::value::{Dict, Value};
use crate::vars::template::{Above, TemplateError};

/// `loop_control`, rendered.
pub struct Control {
    pub var: String,
    pub index_var: Option<String>,
    label: Option<Written>,
    /// Seconds between items.
    pub pause: f64,
    extended: bool,
    all_items: bool,
    pub break_when: Vec<Written>,
}

impl Control {
    pub fn read(run: &Run, written: &LoopControl, scope: &TaskScope) -> Result<Control, Box<TemplateError>> {
        let text = |w: &Option<Written>| match w {
            None => Ok(None),
            Some(w) => run.templar.render(&w.value, scope).map(|v| Some(v.to_string())),
        };
        let yes = |w: &Option<Written>, default: bool| match w {
            None => Ok(default),
            Some(w) => execute::truth(&run.templar, w, scope),
        };
        Ok(Control {
            var: text(&written.loop_var)?.unwrap_or_else(|| "item".into()),
            index_var: text(&written.index_var)?,
            label: written.label.clone(),
            pause: execute::number(&run.templar, written.pause.as_ref(), 0.0, scope)?.max(0.0),
            extended: yes(&written.extended, false)?,
            all_items: yes(&written.extended_allitems, true)?,
            break_when: written.break_when.clone(),
        })
    }
}

/// One item of a loop.
pub struct LoopItem<'a> {
    pub index: usize,
    pub count: usize,
    pub value: &'a Value,
    pub items: &'a [Value],
    pub control: &'a Control,
}

impl LoopItem<'_> {
    /// The item's variables, as tasks see them.
    pub fn vars(&self) -> Dict {
        let control = self.control;
        let mut vars = dict! {
            "ansible_loop_var" => control.var.as_str(),
        };
        vars.insert(control.var.as_str().into(), self.value.clone());
        if let Some(name) = &control.index_var {
            vars.insert(name.as_str().into(), self.index.into());
            vars.insert("ansible_index_var".into(), name.as_str().into());
        }
        if control.extended {
            let mut info = dict! {
                "index" => self.index + 1,
                "index0" => self.index,
                "first" => self.index == 0,
                "last" => self.index + 1 == self.count,
                "length" => self.count,
                "revindex" => self.count - self.index,
                "revindex0" => self.count - self.index - 1,
            };
            if control.all_items {
                info.insert("allitems".into(), Value::list(self.items.to_vec()));
            }
            if let Some(next) = self.items.get(self.index + 1) {
                info.insert("nextitem".into(), next.clone());
            }
            if let Some(previous) = self.index.checked_sub(1).and_then(|i| self.items.get(i)) {
                info.insert("previtem".into(), previous.clone());
            }
            vars.insert("ansible_loop".into(), Value::dict(info));
        }
        vars
    }

    /// The item's variables as results keep them: without all other items in each, which would grow with their number's square.
    pub fn kept(mut vars: Dict) -> Dict {
        if let Some(Value::Dict(info)) = vars.get("ansible_loop") {
            let slim = info.iter().filter(|(k, _)| k.as_str() != Some("allitems"));
            vars.insert("ansible_loop".into(), Value::dict(slim.map(|(k, v)| (k.clone(), v.clone())).collect()));
        }
        vars
    }

    /// What people see of the item.
    pub fn label(&self, run: &Run, scope: &TaskScope) -> Result<Value, Box<TemplateError>> {
        match &self.control.label {
            None => Ok(self.value.clone()),
            Some(label) => run.templar.render(&label.value, scope),
        }
    }
}

/// The items that `with_LOOKUP: TERMS` gives: those of `query(LOOKUP, *TERMS)`.
fn with(run: &Run, lookup: &str, looping: &Loop, scope: &TaskScope) -> Result<Vec<Value>, Box<TemplateError>> {
    let terms = match run.templar.render(&looping.terms.value, scope)? {
        Value::List(list) => Value::List(list),
        Value::Null => Value::list(Vec::new()),
        one => Value::list(vec![one]),
    };
    let own = dict! {"_with_lookup" => lookup, "_with_terms" => terms};
    let all = Above { top: &own, below: scope };
    match run.templar.expression("query(_with_lookup, *_with_terms)", &looping.terms.span, &all)? {
        Value::List(items) => Ok(items.to_vec()),
        one => Ok(vec![one]),
    }
}

/// The items of a task's loop. What cannot be rendered is the failed result of the task.
pub fn items(run: &Run, looping: &Loop, scope: &TaskScope) -> Result<Vec<Value>, Box<Outcome>> {
    let failure = |error: &TemplateError| Box::new(execute::template_failure("", error));
    match &looping.with {
        None => {
            let value = run.templar.render(&looping.terms.value, scope).map_err(|e| failure(&e))?;
            super::judge::items(value).map_err(|why| Box::new(Outcome::failed(why)))
        }
        Some(lookup) => with(run, &lookup.value, looping, scope).map_err(|e| failure(&e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_do_not_hold_all_other_items() {
        let info = dict! {"first" => true, "allitems" => Value::list(vec![1.into(), 2.into()])};
        let kept = LoopItem::kept(dict! {"item" => 1, "ansible_loop" => Value::dict(info)});
        assert_eq!(kept, dict! {"item" => 1, "ansible_loop" => Value::dict(dict! {"first" => true})});
    }
}
