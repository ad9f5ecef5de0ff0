//! What the run has learned of each host: registered results, set facts, facts, included variables.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::model::value::{Dict, Key, Value};

/// Variables of hosts that a run makes; shared by all steps.
#[derive(Default)]
pub struct Store(RwLock<HashMap<String, HostVars>>);

/// One host's. Clones are cheap, so a step sees one moment.
#[derive(Clone, Default)]
pub struct HostVars {
    /// `set_fact` and `register`, one rank.
    pub set: Arc<Dict>,
    pub included: Arc<Dict>,
    /// `ansible_facts`, under the names that modules give.
    pub facts: Arc<Dict>,
}

impl Store {
    fn change(&self, host: &str, f: impl FnOnce(&mut HostVars)) {
        f(self.0.write().unwrap_or_else(PoisonError::into_inner).entry(host.to_owned()).or_default());
    }

    /// All of a host's as they are now.
    pub fn of(&self, host: &str) -> HostVars {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(host).cloned().unwrap_or_default()
    }

    pub fn register(&self, host: &str, name: &str, result: Value) {
        self.change(host, |h| {
            Arc::make_mut(&mut h.set).insert(Key::from(name), result);
        });
    }

    /// `set_fact`; cacheable ones are facts of the host too.
    pub fn set_facts(&self, host: &str, facts: &Dict, cacheable: bool) {
        self.change(host, |h| {
            let given = || facts.iter().map(|(k, v)| (k.clone(), v.clone()));
            Arc::make_mut(&mut h.set).extend(given());
            if cacheable {
                Arc::make_mut(&mut h.facts).extend(given());
            }
        });
    }

    pub fn include_vars(&self, host: &str, vars: &Dict) {
        self.change(host, |h| Arc::make_mut(&mut h.included).extend(vars.iter().map(|(k, v)| (k.clone(), v.clone()))));
    }

    /// Facts that a module found; a mapping is laid over one of the same name.
    pub fn facts(&self, host: &str, facts: &Dict) {
        self.change(host, |h| {
            let known = Arc::make_mut(&mut h.facts);
            for (k, v) in facts {
                let merged = match (known.get(k), v) {
                    (Some(Value::Dict(old)), Value::Dict(new)) if k.as_str() == Some("ansible_local") => {
                        let mut both = (**old).clone();
                        both.extend(new.iter().map(|(k, v)| (k.clone(), v.clone())));
                        Value::dict(both)
                    }
                    _ => v.clone(),
                };
                known.insert(k.clone(), merged);
            }
        });
    }

    /// Whether facts were gathered from a host.
    pub fn has_facts(&self, host: &str) -> bool {
        self.of(host).facts.keys().any(|k| k.as_str().is_some_and(|k| k != "ansible_local"))
    }

    pub fn clear_facts(&self, host: &str) {
        self.change(host, |h| h.facts = Arc::default());
    }
}
