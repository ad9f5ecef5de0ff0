//! The states that StarlingX knows, as types, and the moves between them. Pure: reading them is `platform`'s.

use std::fmt;

/// Defines an enum of words with a variant for words of a release that is newer than this table.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($variant:ident = $word:literal),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum $name { $($variant,)* Other(String) }

        impl $name {
            /// Takes the platform's word.
            pub fn of(word: &str) -> $name {
                match word {
                    $($word => $name::$variant,)*
                    other => $name::Other(other.to_owned()),
                }
            }

            /// The platform's word.
            pub fn word(&self) -> &str {
                match self {
                    $($name::$variant => $word,)*
                    $name::Other(word) => word,
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.word())
            }
        }
    };
}

words! {
    /// State of a platform upgrade (`system upgrade-show`).
    UpgradeState {
        Starting = "starting",
        Started = "started",
        DataMigration = "data-migration",
        DataMigrationComplete = "data-migration-complete",
        DataMigrationFailed = "data-migration-failed",
        UpgradingControllers = "upgrading-controllers",
        UpgradingHosts = "upgrading-hosts",
        ActivationRequested = "activation-requested",
        Activating = "activating",
        ActivatingHosts = "activating-hosts",
        ActivationComplete = "activation-complete",
        ActivationFailed = "activation-failed",
        Completing = "completing",
        Completed = "completed",
        Aborting = "aborting",
        AbortCompleting = "abort-completing",
        AbortingReinstall = "aborting-reinstall",
    }
}

words! {
    /// State of a load (`system load-list`).
    LoadState {
        Importing = "importing",
        Imported = "imported",
        ImportedMetadata = "imported-metadata",
        Active = "active",
        Deleting = "deleting",
        Error = "error",
    }
}

words! {
    Administrative { Locked = "locked", Unlocked = "unlocked" }
}

words! {
    Operational { Enabled = "enabled", Disabled = "disabled" }
}

words! {
    Availability {
        Available = "available",
        Degraded = "degraded",
        Online = "online",
        Offline = "offline",
        InTest = "intest",
        Failed = "failed",
        PowerOff = "power-off",
        OffDuty = "offduty",
    }
}

impl UpgradeState {
    /// How far along the way to the new release; `None` on the way back, after a failed migration, and for unknown words.
    pub fn progress(&self) -> Option<u8> {
        use UpgradeState::*;
        Some(match self {
            Starting => 1,
            Started => 2,
            DataMigration => 3,
            DataMigrationComplete => 4,
            UpgradingControllers => 5,
            UpgradingHosts => 6,
            ActivationRequested => 7,
            // A failed activation is repeated from the same place.
            ActivationFailed => 7,
            Activating => 8,
            ActivatingHosts => 9,
            ActivationComplete => 10,
            Completing => 11,
            Completed => 12,
            DataMigrationFailed | Aborting | AbortCompleting | AbortingReinstall | Other(_) => return None,
        })
    }

    /// Whether it is at `other` or past it on the way to the new release.
    pub fn reached(&self, other: &UpgradeState) -> bool {
        matches!((self.progress(), other.progress()), (Some(a), Some(b)) if a >= b)
    }

    /// Whether the platform goes on by itself from here; the others wait for the operator.
    pub fn moves_by_itself(&self) -> bool {
        use UpgradeState::*;
        match self {
            Starting | DataMigration | ActivationRequested | Activating | ActivatingHosts | Completing
            | AbortCompleting => true,
            // Moves on once the host it waits for reports the new release.
            DataMigrationComplete | UpgradingControllers => true,
            Started | DataMigrationFailed | UpgradingHosts | ActivationComplete | ActivationFailed | Completed
            | Aborting | AbortingReinstall | Other(_) => false,
        }
    }

    /// On the way back to the old release.
    pub fn aborting(&self) -> bool {
        matches!(self, UpgradeState::Aborting | UpgradeState::AbortCompleting | UpgradeState::AbortingReinstall)
    }
}

/// What a host is doing, by the text of its `task`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    None,
    Locking,
    /// The lock was accepted and then refused; the platform's words.
    LockRejected(String),
    Unlocking,
    /// Between an unlock and being in service: booting, testing, enabling.
    ComingUp(String),
    Reinstalling,
    ReinstallFailed(String),
    Swacting,
    Other(String),
}

impl Task {
    /// Reads the text of `host-show`'s `task`. What succeeded is no task any more.
    pub fn of(text: Option<&str>) -> Task {
        let Some(text) = text.map(str::trim).filter(|t| !t.is_empty() && *t != "None") else { return Task::None };
        let starts = |start: &str| text.starts_with(start);
        if starts("Lock Rejected") || starts("Lock Failed") || starts("Locking Failed") || starts("Force Lock Failed") {
            Task::LockRejected(text.to_owned())
        } else if starts("Locking") || starts("Force Locking") {
            Task::Locking
        } else if starts("Unlocking") {
            Task::Unlocking
        } else if starts("Booting")
            || starts("Testing")
            || starts("Initializing")
            || starts("Enabling")
            || starts("Rebooting")
        {
            Task::ComingUp(text.to_owned())
        } else if starts("Reinstall Succeeded") {
            Task::None
        } else if starts("Reinstall Failed") {
            Task::ReinstallFailed(text.to_owned())
        } else if starts("Reinstalling") {
            Task::Reinstalling
        } else if starts("Swact: Complete") {
            Task::None
        } else if starts("Swact: Failed") || starts("Swact: Timeout") {
            // Stands until the next one: nothing is under way.
            Task::Other(text.to_owned())
        } else if starts("Swact") {
            Task::Swacting
        } else {
            Task::Other(text.to_owned())
        }
    }
}

/// Which of the platform's ways of upgrading a release speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// stx 4 and 5 (20.06, 21.05): Kubernetes networking after the first control plane, kubelet status `None`.
    LegacyA,
    /// stx 6 to 9 (21.12 to 23.09).
    LegacyB,
    /// stx 10 on (24.09): `software deploy`.
    Usm,
}

impl Dialect {
    /// By the software version, `YY.MM`; `None` if it is no such text.
    pub fn of(version: &str) -> Option<Dialect> {
        let (year, month) = version.split_once('.')?;
        let at = (year.parse::<u32>().ok()?, month.parse::<u32>().ok()?);
        Some(match at {
            at if at <= (21, 5) => Dialect::LegacyA,
            at if at <= (23, 12) => Dialect::LegacyB,
            _ => Dialect::Usm,
        })
    }

    pub fn word(self) -> &'static str {
        match self {
            Dialect::LegacyA => "legacy-a",
            Dialect::LegacyB => "legacy-b",
            Dialect::Usm => "usm",
        }
    }
}

/// Severity of an alarm, from least to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Warning,
    Minor,
    Major,
    Critical,
}

impl Severity {
    /// Takes fm's word; an unknown one counts as the worst, never as harmless.
    pub fn of(word: &str) -> Severity {
        match word {
            "warning" => Severity::Warning,
            "minor" => Severity::Minor,
            "major" => Severity::Major,
            _ => Severity::Critical,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_know_what_lies_behind_them() {
        use UpgradeState::*;
        assert!(UpgradingHosts.reached(&Started));
        assert!(!Starting.reached(&Started));
        assert!(!Aborting.reached(&Started) && !Started.reached(&Aborting));
        assert!(!UpgradeState::of("imagined").reached(&Starting));
        assert_eq!(UpgradeState::of("activation-failed").word(), "activation-failed");
        assert!(Activating.moves_by_itself() && !ActivationFailed.moves_by_itself());
    }

    #[test]
    fn tasks_by_their_text() {
        assert_eq!(Task::of(Some("None")), Task::None);
        assert_eq!(Task::of(Some("Locking")), Task::Locking);
        assert!(matches!(Task::of(Some("Lock Rejected: Incomplete Migration")), Task::LockRejected(_)));
        assert_eq!(Task::of(Some("Unlocking, please stand-by while the system gracefully reboots")), Task::Unlocking);
        assert!(matches!(Task::of(Some("Reinstall Failed, retrying")), Task::ReinstallFailed(_)));
        assert_eq!(Task::of(Some("Reinstall Succeeded")), Task::None);
        assert_eq!(Task::of(Some("Swact: In-Progress")), Task::Swacting);
        assert!(matches!(Task::of(Some("Swact: Failed")), Task::Other(_)));
    }

    #[test]
    fn dialects_by_release() {
        for (version, dialect) in [
            ("20.06", Dialect::LegacyA),
            ("21.05", Dialect::LegacyA),
            ("21.12", Dialect::LegacyB),
            ("23.09", Dialect::LegacyB),
            ("24.09", Dialect::Usm),
        ] {
            assert_eq!(Dialect::of(version), Some(dialect), "{version}");
        }
        assert_eq!(Dialect::of("nonsense"), None);
    }
}
