//! What the run has learned of each host: registered results, set facts, facts, included variables.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::fact_cache::FactCache;
use crate::model::value::{Dict, Key, Value};

/// Variables of hosts that a run makes; shared by all steps.
#[derive(Default)]
pub struct Store {
    hosts: RwLock<HashMap<String, HostVars>>,
    /// Where facts are kept for later runs, and come from.
    cache: Option<FactCache>,
}

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
    pub fn new(cache: Option<FactCache>) -> Store {
        Store { cache, ..Store::default() }
    }

    /// Changes what is known of a host, and gives its facts as they are then.
    fn change(&self, host: &str, f: impl FnOnce(&mut HostVars)) -> Arc<Dict> {
        let mut hosts = self.hosts.write().unwrap_or_else(PoisonError::into_inner);
        let known = hosts.entry(host.to_owned()).or_insert_with(|| self.kept(host));
        f(known);
        known.facts.clone()
    }

    /// What earlier runs kept of a host.
    fn kept(&self, host: &str) -> HostVars {
        let facts = self.cache.as_ref().map(|c| c.load(host)).unwrap_or_default();
        HostVars { facts: Arc::new(facts), ..HostVars::default() }
    }

    fn keep(&self, host: &str, facts: &Dict) {
        if let Some(cache) = &self.cache {
            cache.save(host, facts);
        }
    }

    /// All of a host's as they are now.
    pub fn of(&self, host: &str) -> HostVars {
        let known = self.hosts.read().unwrap_or_else(PoisonError::into_inner).get(host).cloned();
        match (known, &self.cache) {
            (Some(known), _) => known,
            (None, None) => HostVars::default(),
            (None, Some(_)) => {
                let mut hosts = self.hosts.write().unwrap_or_else(PoisonError::into_inner);
                hosts.entry(host.to_owned()).or_insert_with(|| self.kept(host)).clone()
            }
        }
    }

    pub fn register(&self, host: &str, name: &str, result: Value) {
        self.change(host, |h| {
            Arc::make_mut(&mut h.set).insert(Key::from(name), result);
        });
    }

    /// `set_fact`; cacheable ones are facts of the host too.
    pub fn set_facts(&self, host: &str, facts: &Dict, cacheable: bool) {
        let known = self.change(host, |h| {
            let given = || facts.iter().map(|(k, v)| (k.clone(), v.clone()));
            Arc::make_mut(&mut h.set).extend(given());
            if cacheable {
                Arc::make_mut(&mut h.facts).extend(given());
            }
        });
        if cacheable {
            self.keep(host, &known);
        }
    }

    pub fn include_vars(&self, host: &str, vars: &Dict) {
        self.change(host, |h| Arc::make_mut(&mut h.included).extend(vars.iter().map(|(k, v)| (k.clone(), v.clone()))));
    }

    /// Facts that a module found; a mapping is laid over one of the same name.
    pub fn facts(&self, host: &str, facts: &Dict) {
        let known = self.change(host, |h| {
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
        self.keep(host, &known);
    }

    /// Whether facts were gathered from a host.
    pub fn has_facts(&self, host: &str) -> bool {
        self.of(host).facts.contains_key("module_setup")
    }

    pub fn clear_facts(&self, host: &str) {
        self.change(host, |h| h.facts = Arc::default());
        if let Some(cache) = &self.cache {
            cache.forget(host);
        }
    }
}
