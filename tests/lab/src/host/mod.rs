//! What runs inside a simulated host under the platform's names.

pub mod activity;
pub mod backup;
pub mod client;
pub mod credentials;
pub mod hiera;
pub mod http;
pub mod kube_api;
pub mod migrate;
pub mod puppet;
pub mod registry;
pub mod unit_control;

/// Which part plays a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The state server answers.
    Platform,
    Systemctl,
    Power,
    Keyring,
    Licence,
    Puppet,
    DatabaseSync,
}

/// The simulated programs and where they lie in a host.
pub const PROGRAMS: &[(&str, Part)] = &[
    ("/usr/bin/system", Part::Platform),
    ("/usr/bin/fm", Part::Platform),
    ("/usr/sbin/sw-patch", Part::Platform),
    ("/usr/bin/sm-dump", Part::Platform),
    ("/usr/bin/sm-query", Part::Platform),
    ("/usr/bin/sm-restart", Part::Platform),
    ("/usr/bin/sm-manage", Part::Platform),
    ("/usr/bin/sm-unmanage", Part::Platform),
    ("/usr/sbin/drbd-overview", Part::Platform),
    ("/usr/bin/ceph", Part::Platform),
    ("/usr/bin/systemctl", Part::Systemctl),
    ("/usr/sbin/reboot", Part::Power),
    ("/usr/sbin/shutdown", Part::Power),
    ("/usr/sbin/poweroff", Part::Power),
    ("/usr/bin/keyring", Part::Keyring),
    ("/usr/local/bin/query_license", Part::Licence),
    ("/usr/local/bin/puppet-manifest-apply.sh", Part::Puppet),
    ("/usr/bin/sysinv-dbsync", Part::DatabaseSync),
];

/// The part that a program's name calls for, if it is one of the host's.
pub fn part(program: &str) -> Option<Part> {
    let name = program.rsplit('/').next()?;
    PROGRAMS.iter().find(|(path, _)| path.rsplit('/').next() == Some(name)).map(|(_, part)| *part)
}

/// Be that program. Returns its exit code.
pub fn run(part: Part, argv: &[String]) -> i32 {
    if part == Part::Platform {
        return client::run(argv);
    }
    let (rc, changes) = match part {
        Part::Systemctl => unit_control::systemctl(argv),
        Part::Power => unit_control::power(argv),
        Part::Keyring => credentials::keyring(argv),
        Part::Licence => credentials::query_license(argv),
        Part::Puppet => puppet::run(argv),
        Part::DatabaseSync => migrate::run(argv),
        Part::Platform => (0, Vec::new()),
    };
    client::note(argv, rc, changes);
    rc
}
