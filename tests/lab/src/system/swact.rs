//! Activity of a pair of controllers: swact, take-over after a failure, and the replication of their volumes.

use super::time::Event;
use super::{Effect, Refusal, Sync, System};

/// Product seconds from the acceptance of a swact until the services stop, and until they start on the other side.
const SWACT_BEGINS: f64 = 5.0;
const SWACT_DOWN: f64 = 20.0;
/// Product seconds until the API answers once the services run.
const API_WARMS: f64 = 10.0;
/// Product seconds until the standby takes over from a controller that died.
const FAILOVER: f64 = 20.0;
/// Product seconds until a host that is heard again is in service.
const REJOIN: f64 = 60.0;
/// Product seconds until the replication starts after the controller is enabled, and how long it takes.
const SYNC_BEGINS: f64 = 30.0;
const RESYNC: f64 = 30.0;
const FULL_SYNC: f64 = 600.0;

impl System {
    /// Name of the other controller of the pair.
    pub fn mate(&self, host: &str) -> Option<String> {
        self.hosts
            .iter()
            .find(|h| h.personality == "controller" && h.hostname != host && !self.simplex())
            .map(|h| h.hostname.clone())
    }

    /// `host-swact`.
    pub fn host_swact(&mut self, name: &str, force: bool) -> Result<usize, Refusal> {
        let at = self.find(name)?;
        let host = self.hosts[at].hostname.clone();
        if self.simplex() {
            return Err("Swact action not allowed for a simplex system.".into());
        }
        if self.hosts[at].personality != "controller" {
            return Err(format!("Swact action not allowed. {host} is not a controller."));
        }
        if self.hosts[at].administrative == "locked" {
            return Err("Controller is Locked ; No services to Swact".into());
        }
        let mate = self.mate(&host).ok_or("Swact action not allowed. There is no standby controller.")?;
        let to = self.find(&mate)?;
        if self.hosts[to].operational != "enabled" {
            return Err(format!(
                "{mate} is not enabled and has operational state {}.Standby controller must be  operationally enabled.",
                self.hosts[to].operational
            ));
        }
        if !matches!(self.hosts[to].availability.as_str(), "available" | "degraded") {
            return Err(format!(
                "{mate} has availability state {}.Standby controller must be in the available or degraded state.",
                self.hosts[to].availability
            ));
        }
        self.swact_during_upgrade(&host, to, force)?;
        if self.hosts[to].config_target != self.hosts[to].config_applied {
            return Err(format!(
                "{mate} target Config {} not yet applied. Apply target Config via Lock/Unlock prior to Swact",
                self.hosts[to].config_target
            ));
        }
        if self.apps.iter().any(|a| matches!(a.status.as_str(), "applying" | "updating" | "recovering")) {
            return Err(format!(
                "Rejected: Can not swact host {host} while an application is being applied, updated or recovered. Please \
                 try again later."
            ));
        }
        if self.take_fault("swact-refused").is_some() {
            return Err("Swact action not allowed. Services are not enabled on target".into());
        }
        self.set_task(at, Some("Swacting"));
        self.changed(format!("swact-requested {host}"));
        self.due.retain(|due| !matches!(due.what, Event::SwactBegins { .. } | Event::SwactFailed { .. }));
        // Named from the standby one, or with a copy that is not whole, the services cannot move.
        if host != self.active || self.sync != Sync::Synced || self.take_fault("swact-fails").is_some() {
            self.after(SWACT_BEGINS * 4.0, Event::SwactFailed { host });
        } else {
            self.after(SWACT_BEGINS, Event::SwactBegins { to: mate });
        }
        Ok(at)
    }

    fn swact_during_upgrade(&self, from: &str, to: usize, force: bool) -> Result<(), Refusal> {
        let Some(upgrade) = &self.upgrade else { return Ok(()) };
        let (mate, running) = (&self.hosts[to].hostname, &self.hosts[to].running_release);
        match upgrade.state.as_str() {
            "starting" | "started" | "data-migration" => {
                Err("Swact action not allowed. Upgrade state must be data-migration-complete".into())
            }
            "activation-requested" | "activating" if !force => {
                Err("Swact action not allowed. Wait until the upgrade-activate command completes".into())
            }
            "aborting" if *running == upgrade.to_release => Err(format!(
                "Aborting upgrade: {mate} must be using load {} before this operation can proceed. Currently using load \
                 {running}.",
                upgrade.from_release
            )),
            "upgrading-controllers" | "upgrading-hosts"
                if self.all_in_one()
                    && *running == upgrade.from_release
                    && self.find(from).is_ok_and(|at| self.hosts[at].running_release == upgrade.to_release) =>
            {
                Err(format!(
                    "Upgrading: {mate} must be using load {} before this operation can proceed. Currently using load \
                     {running}.",
                    upgrade.to_release
                ))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn swact_failed(&mut self, host: &str) {
        if let Ok(at) = self.find(host) {
            self.set_task(at, Some("Swact: Failed"));
            self.changed(format!("swact-failed {host}"));
        }
    }

    pub(super) fn swact_begins(&mut self, to: &str) {
        let from = self.active.clone();
        self.services_up = false;
        self.changed(format!("swact-begun {from}"));
        let slow = self.take_fault("swact-slow").map_or(0.0, |p| super::upgrade::number(&p, "seconds", 300.0));
        let down_ms = self.clock.real_ms(SWACT_DOWN + slow);
        self.move_activity(Some(from), to, down_ms);
    }

    fn move_activity(&mut self, from: Option<String>, to: &str, down_ms: u64) {
        self.moving_to = Some(to.into());
        self.effects.push(Effect::MoveActivity { from, to: to.into(), down_ms });
    }

    /// The machines report that the services run on a controller.
    pub fn activity_moved(&mut self, to: &str, done: Result<(), String>) {
        self.moving_to = None;
        if let Err(why) = done {
            self.changed(format!("activity-failed {to} {why}"));
            let from = self.active.clone();
            let alive = self.find(&from).is_ok_and(|at| self.hosts[at].powered);
            if from != to && alive {
                // What the other one cannot start goes back to where it ran.
                self.swact_failed(&from);
                self.move_activity(Some(to.into()), &from, 0);
            }
            return;
        }
        let from = std::mem::replace(&mut self.active, to.into());
        self.services_up = true;
        self.api_away_until = self.api_away_until.max(self.clock.now() + API_WARMS);
        for name in [from.as_str(), to] {
            if let Ok(at) = self.find(name)
                && self.hosts[at].task.as_deref().is_some_and(|task| task == "Swacting" || from != to)
            {
                self.set_task(at, Some(""));
            }
        }
        self.changed(format!("active {to}"));
        self.effects.push(Effect::SyncDatabase { host: to.into() });
        if let Some(mate) = self.mate(to)
            && self.find(&mate).is_ok_and(|at| self.hosts[at].operational == "enabled")
        {
            self.controller_enabled(&mate);
        }
        if from != to {
            self.conductor_restarted();
        }
    }

    /// What a restart of the conductor does to whatever it was doing.
    pub fn conductor_restarted(&mut self) {
        if self.set_upgrade_state(&["activation-requested", "activating"], "activation-failed") {
            self.due.retain(|due| !matches!(due.what, Event::Activating | Event::Activated));
        }
        self.kube_interrupted();
        self.apps_interrupted();
        self.changed("conductor-restarted");
    }

    /// A controller went down: who is active then, and what becomes of the replication.
    pub(super) fn controller_down(&mut self, host: &str) {
        if self.simplex() || !host.starts_with("controller-") {
            return;
        }
        let whole = self.sync == Sync::Synced;
        self.disconnected(host);
        if host != self.active {
            return;
        }
        self.services_up = false;
        self.due.retain(|due| !matches!(due.what, Event::SwactBegins { .. } | Event::SwactFailed { .. }));
        let mate = self.mate(host).unwrap_or_default();
        if whole && self.find(&mate).is_ok_and(|at| self.hosts[at].operational == "enabled") {
            self.after(FAILOVER, Event::TakeOver { to: mate });
        }
    }

    pub(super) fn take_over(&mut self, to: &str) {
        let alive = |system: &System, name: &str| system.find(name).is_ok_and(|at| system.hosts[at].powered);
        if self.services_up || self.moving_to.is_some() || !alive(self, to) {
            return;
        }
        let from = Some(self.active.clone()).filter(|name| alive(self, name));
        self.changed(format!("take-over {to}"));
        self.move_activity(from, to, 0);
    }

    /// A controller is up again: the one that was active goes on, if nobody took over.
    pub(super) fn controller_up(&mut self, host: &str) {
        if !self.simplex() && host == self.active && !self.services_up && self.moving_to.is_none() {
            self.move_activity(None, host, 0);
        }
    }

    /// A host's cable was pulled or plugged: after a while nobody counts on a host that is not heard any more.
    pub fn cable(&mut self, host: &str, up: bool) {
        self.changed(format!("cable-{} {host}", if up { "up" } else { "down" }));
        if self.simplex() || self.plain() {
            return;
        }
        self.due.retain(|due| !matches!(&due.what, Event::Isolated { host: h } if h == host));
        if !up {
            return self.after(FAILOVER, Event::Isolated { host: host.into() });
        }
        self.controller_up(host);
        let Ok(at) = self.find(host) else { return };
        if self.hosts[at].powered && self.hosts[at].administrative == "unlocked" && !self.hosts[at].in_service() {
            self.phase(host, "intest", "Enabling");
            self.after(REJOIN, Event::Enabled { host: host.into() });
        }
    }

    /// Nobody hears a host: it is out of service, and the standby takes over from an active controller.
    pub(super) fn isolated(&mut self, host: &str) {
        let Ok(at) = self.find(host) else { return };
        self.changed(format!("isolated {host}"));
        self.controller_down(host);
        if self.hosts[at].administrative == "unlocked" {
            self.states(at, "unlocked", "disabled", "offline");
            self.raise(
                "200.004",
                &format!("host={host}"),
                "critical",
                &format!("{host} experienced a service-affecting failure. Auto-recovery in progress."),
            );
        }
        self.storage_changed(host);
        self.evict(host);
    }

    fn disconnected(&mut self, host: &str) {
        self.sync = Sync::Disconnected;
        self.due.retain(|due| !matches!(due.what, Event::SyncBegins | Event::SyncEnds));
        self.clear("400.001", &service_group(host));
        let survivor = self.mate(host).unwrap_or_default();
        self.raise(
            "400.002",
            &format!("service_domain=controller.service_group=controller-services.host={survivor}"),
            "major",
            "Service group controller-services loss of redundancy; expected 1 standby member but no standby members \
             available",
        );
    }

    /// A controller is enabled: its volumes are brought up to date after a while, which nothing shows at first.
    pub(super) fn controller_enabled(&mut self, host: &str) {
        if self.simplex() || host == self.active || self.sync == Sync::Synced {
            return;
        }
        let begins = self.take_fault("sync-late").map_or(0.0, |p| super::upgrade::number(&p, "seconds", 300.0));
        self.after(SYNC_BEGINS + begins, Event::SyncBegins);
    }

    pub(super) fn sync_begins(&mut self) {
        let Some(mate) = self.mate(&self.active.clone()) else { return };
        let Ok(at) = self.find(&mate) else { return };
        if self.hosts[at].operational != "enabled" {
            return;
        }
        let slow = self.take_fault("sync-slow").map_or(0.0, |p| super::upgrade::number(&p, "seconds", 3600.0));
        let length = if self.hosts[at].fresh_disk { FULL_SYNC } else { RESYNC } + slow;
        let from = self.happening.unwrap_or_else(|| self.clock.now());
        self.sync = Sync::Syncing { from, to: from + length };
        self.hosts[at].availability = "degraded".into();
        self.changed(format!("sync-begun {mate}"));
        for name in [&self.active.clone(), &mate] {
            self.clear("400.002", &format!("service_domain=controller.service_group=controller-services.host={name}"));
        }
        self.raise(
            "400.001",
            &service_group(&mate),
            "minor",
            "Service group controller-services warning; drbd-platform(enabled-standby, data-syncing)",
        );
        self.after(length, Event::SyncEnds);
    }

    pub(super) fn sync_ends(&mut self) {
        let Some(mate) = self.mate(&self.active.clone()) else { return };
        let Ok(at) = self.find(&mate) else { return };
        self.sync = Sync::Synced;
        self.hosts[at].fresh_disk = false;
        if self.hosts[at].availability == "degraded" {
            self.hosts[at].availability = "available".into();
        }
        self.changed(format!("sync-done {mate}"));
        self.clear("400.001", &service_group(&mate));
    }
}

fn service_group(host: &str) -> String {
    format!("service_domain=controller.service_group=controller-services.host={host}")
}
