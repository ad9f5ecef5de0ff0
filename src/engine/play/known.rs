//! What is known of a play while it runs: its hosts, and the roles and handlers that dynamic includes add to it.

use std::sync::{Arc, PoisonError};

use super::PlayState;
use crate::engine::run::Run;
use crate::model::outcome::Consequence;
use crate::plan::roles::{Brought, take_handlers};
use crate::plan::{RolePlan, TaskPlan};

impl PlayState {
    /// Hosts of the whole play, and those that its tasks have added to the inventory.
    pub fn all_hosts(&self) -> Vec<String> {
        self.all_hosts.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes in a host that a task adds to the inventory. The play does not run on it, but counts it among its own.
    pub fn host_added(&self, run: &Run, host: &str, consequence: &Consequence) {
        let mut all = self.all_hosts.write().unwrap_or_else(PoisonError::into_inner);
        if run.alters_inventory(host, consequence) && !all.iter().any(|h| h == host) {
            all.push(host.to_owned());
        }
    }

    /// Hosts of the whole play that have not failed, and whose part did not end.
    pub fn remaining(&self, run: &Run) -> Vec<String> {
        let lost = self.with(|s| {
            s.iter().filter(|(_, h)| h.failed || h.unreachable || h.ended).map(|(n, _)| n.clone()).collect::<Vec<_>>()
        });
        self.all_hosts().into_iter().filter(|h| !run.is_out(h) && !lost.contains(h)).collect()
    }

    /// Roles whose defaults and variables the whole play sees.
    pub fn roles(&self) -> Vec<Arc<RolePlan>> {
        let roles = self.roles.read().unwrap_or_else(PoisonError::into_inner);
        roles.iter().filter(|(_, public)| *public).map(|(role, _)| role.clone()).collect()
    }

    /// Every role so far, as often as it is named.
    pub fn named_roles(&self) -> Vec<Arc<RolePlan>> {
        let roles = self.roles.read().unwrap_or_else(PoisonError::into_inner);
        roles.iter().map(|(role, _)| role.clone()).collect()
    }

    pub(super) fn handlers(&self) -> Vec<Arc<TaskPlan>> {
        self.handlers.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes in what a dynamic include brought.
    pub fn brought(&self, brought: Brought, public: bool) {
        let Brought { roles, handlers } = brought;
        let mut known = self.handlers.write().unwrap_or_else(PoisonError::into_inner);
        take_handlers(&mut known, handlers);
        let mut all = self.roles.write().unwrap_or_else(PoisonError::into_inner);
        all.extend(roles.into_iter().map(|role| (role, public)));
    }
}
