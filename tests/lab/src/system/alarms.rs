//! Raising and clearing alarms.

use super::{Alarm, System, stamp};

impl System {
    /// Raise an alarm unless the same one stands; management affecting as the fault catalogue says.
    pub fn raise(&mut self, id: &str, entity: &str, severity: &str, reason: &str) {
        if self.alarms.iter().any(|a| a.id == id && a.entity == entity) {
            return;
        }
        self.alarms.push(Alarm {
            uuid: stamp::uuid(),
            id: id.into(),
            reason: reason.into(),
            entity: entity.into(),
            severity: severity.into(),
            stamp: stamp::now(),
            mgmt_affecting: management_affecting(id, severity),
            degrade_affecting: matches!(id, "400.001" | "400.002" | "800.001"),
            suppressed: false,
            by_fault: false,
        });
        self.changed(format!("alarm-raised {id} {entity}"));
    }

    /// Clear an alarm if it stands.
    pub fn clear(&mut self, id: &str, entity: &str) {
        let before = self.alarms.len();
        self.alarms.retain(|a| !(a.id == id && a.entity == entity));
        if self.alarms.len() != before {
            self.changed(format!("alarm-cleared {id} {entity}"));
        }
    }
}

/// The rule of the fault catalogue for the alarms this lab knows.
pub fn management_affecting(id: &str, severity: &str) -> bool {
    match id {
        "100.103" | "100.114" | "280.001" | "280.002" | "750.006" => false,
        "100.101" => matches!(severity, "critical" | "major"),
        "400.003" => severity == "critical",
        _ => true,
    }
}
