//! One simulated StarlingX system: its records, its rules, and what time does to them.
//!
//! Pure: a call changes the records, notes what changed, and lists the effects wanted of the machines (reboot,
//! reinstall, back-up). Who carries those out is no concern of this room.

pub mod alarms;
pub mod apps;
pub mod clock;
pub mod fault_catalogue;
pub mod faults;
pub mod health;
pub mod host_upgrade;
pub mod hosts;
pub mod kube;
pub mod loads;
pub mod pods;
pub mod records;
pub mod restore;
pub mod seed;
pub mod stamp;
pub mod storage;
pub mod swact;
pub mod time;
pub mod upgrade;

pub use records::*;

/// A refusal: the text the platform answers with.
pub type Refusal = String;

/// What the rules want done to the machines.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Run the simplex back-up on the host; report through [`System::backup_done`].
    Backup { host: String },
    /// Restart the host the orderly way after that many real milliseconds.
    Reboot { host: String, after_ms: u64 },
    /// Empty the host's root filesystem and install a release; the install takes that many real milliseconds.
    Reinstall { host: String, release: String, install_ms: u64 },
    /// Remove the archives that `upgrade-start` made.
    RemoveBackup { host: String },
    /// Store the records in the host's own database.
    SyncDatabase { host: String },
    /// Finish the restore on the host: flags.
    UnlockFlags { host: String },
    /// Stop the active controller's services on one host, if it is up, and start them on the other after that many
    /// real milliseconds; report through [`System::activity_moved`].
    MoveActivity { from: Option<String>, to: String, down_ms: u64 },
    /// Prepare the data of a pair for the migration; report through [`System::backup_done`].
    Export { host: String, from: String, to: String },
    /// Migrate a pair's data on the host; report through [`System::migration_done`].
    Migrate { host: String, from: String, to: String },
    /// Leave the mark for etcd's move on the active controller.
    MoveEtcd,
    /// Give up the data of a release of a pair; report through [`System::given_up`].
    GiveUp { release: String, kept: String },
}

impl System {
    /// Take the effects gathered so far.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Take the names of the changes gathered so far.
    pub fn take_changes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.changes)
    }

    /// Note a change of state by name, for the audit log.
    pub fn changed(&mut self, name: impl Into<String>) {
        self.changes.push(name.into());
    }

    /// The host of that name or id.
    pub fn find(&self, name: &str) -> Result<usize, Refusal> {
        self.hosts
            .iter()
            .position(|h| h.hostname == name || h.id.to_string() == name || h.uuid == name)
            .ok_or_else(|| format!("host not found: {name}"))
    }

    /// True on a system with one controller.
    pub fn simplex(&self) -> bool {
        self.info.system_mode == "simplex"
    }

    /// True where there are hosts and no platform.
    pub fn plain(&self) -> bool {
        self.topology == "plain"
    }

    /// True where the controllers are workers as well.
    pub fn all_in_one(&self) -> bool {
        self.info.system_type == "All-in-one"
    }

    /// The imported load, if there is one to upgrade to: the load of an older release is not.
    pub fn imported(&self) -> Option<&Load> {
        self.loads.iter().find(|l| l.state == "imported" && l.compatible == self.info.software_version)
    }

    /// The major/minor release as a number that orders right (21.05 -> 2105).
    pub fn release_number(&self) -> u32 {
        release_number(&self.info.software_version)
    }
}

/// `21.05` -> 2105.
pub fn release_number(release: &str) -> u32 {
    release.chars().filter(char::is_ascii_digit).collect::<String>().parse().unwrap_or(0)
}
