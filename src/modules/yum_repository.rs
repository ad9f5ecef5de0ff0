//! `yum_repository`: sections of the `.repo` files of yum and dnf. A file is written anew as Python's `configparser`
//! writes it: comments go, as with Ansible.

use std::path::PathBuf;

use super::file_args::{BeforeAfter, FileArgs};
use super::file_content::{Edit, read_existing};
use super::{paths, python_regex};
use crate::action::args::plain_name;
use crate::action::host::{Act, FileKind};
use crate::action::module::{Failure, Module};
use crate::model::outcome::{Diff, Outcome};
use crate::model::secret::{Mask, Secret};
use crate::{arguments, choices};

choices! { pub enum State { Present = "present", Absent = "absent" } }
choices! { pub enum Failover { RoundRobin = "roundrobin", Priority = "priority" } }
choices! { pub enum HttpCaching { All = "all", Packages = "packages", None = "none" } }
choices! { pub enum IpResolve { Four = "4", Six = "6", IPv4 = "IPv4", IPv6 = "IPv6", Whatever = "whatever" } }
choices! { pub enum KeepCache { No = "0", Yes = "1" } }
choices! {
    pub enum ExpireFilter {
        Never = "never",
        Past = "read-only:past",
        Present = "read-only:present",
        Future = "read-only:future",
    }
}

/// How a value stands in a `.repo` file.
trait Setting {
    fn setting(&self) -> String;
}

impl Setting for String {
    fn setting(&self) -> String {
        self.clone()
    }
}

impl Setting for Secret {
    fn setting(&self) -> String {
        self.reveal().to_owned()
    }
}

impl Setting for bool {
    fn setting(&self) -> String {
        u8::from(*self).to_string()
    }
}

impl Setting for Vec<String> {
    fn setting(&self) -> String {
        self.join("\n")
    }
}

/// The arguments that are a section's settings, under the same names.
macro_rules! settings {
    ($($(#[doc = $doc:literal])* $field:ident [$($alias:literal),*]: $ty:ty,)*) => {
        arguments! {
            /// What a section of a `.repo` file may say.
            pub struct Settings { $($(#[doc = $doc])* $field [$($alias),*]: Option<$ty>,)* }
        }

        impl Settings {
            fn given(&self) -> Vec<(&'static str, String)> {
                let all = [$((plain_name(stringify!($field)), self.$field.as_ref().map(Setting::setting))),*];
                all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
            }
        }
    };
}

macro_rules! words {
    ($($choice:ident),*) => {
        $(impl Setting for $choice {
            fn setting(&self) -> String {
                self.word().to_owned()
            }
        })*
    };
}

words!(Failover, HttpCaching, IpResolve, KeepCache, ExpireFilter);

settings! {
    /// Fetch from several mirrors at once; systems of today do not know it.
    r#async []: bool,
    /// Bytes a second that may be used; goes with `throttle`.
    bandwidth []: String,
    /// Addresses of the repository; this, `metalink` or `mirrorlist` is required for one that shall be there.
    baseurl []: Vec<String>,
    /// What it costs to use it, beside others.
    cost []: String,
    /// Let its owner count its users.
    countme []: bool,
    /// Size of delta metadata over which it is not taken; without effect with dnf.
    deltarpm_metadata_percentage []: String,
    /// Size of a delta over which it is not taken; `0` takes none.
    deltarpm_percentage []: String,
    /// Whether it is used.
    enabled []: bool,
    /// Whether its groups of packages are used.
    enablegroups []: bool,
    /// Packages not to take from it.
    exclude ["excludepkgs"]: Vec<String>,
    /// Order in which addresses are tried.
    failovermethod []: Failover,
    /// Address of the authority's key; without effect with dnf.
    gpgcakey []: String,
    /// Whether signatures of packages are checked.
    gpgcheck []: bool,
    /// Addresses of its keys.
    gpgkey []: Vec<String>,
    /// What caches on the way may keep; without effect with dnf.
    http_caching []: HttpCaching,
    /// A file of settings to take in.
    include []: String,
    /// The only packages to take from it.
    includepkgs []: Vec<String>,
    /// Kind of addresses to look up.
    ip_resolve []: IpResolve,
    /// Keep connections open; without effect with dnf.
    keepalive []: bool,
    /// Keep packages that were installed; belongs into the main settings.
    keepcache []: KeepCache,
    /// Age at which its metadata is fetched anew.
    metadata_expire []: String,
    /// Which commands heed that; without effect with dnf.
    metadata_expire_filter []: ExpireFilter,
    /// Address of a list of mirrors, as a metalink.
    metalink []: String,
    /// Address of a list of mirrors.
    mirrorlist []: String,
    /// Age at which that list is fetched anew; without effect with dnf.
    mirrorlist_expire []: String,
    /// Take its packages although a module stream hides them.
    module_hotfixes []: bool,
    /// Password for the repository.
    password []: Secret,
    /// Order among repositories, 1 to 99.
    priority []: String,
    /// Keep its packages from other repositories' updates; without effect with dnf.
    protect []: bool,
    /// Proxy to go through; `_none_` for none.
    proxy []: String,
    /// Password for the proxy.
    proxy_password []: Secret,
    /// User for the proxy.
    proxy_username []: String,
    /// Whether the signature of its metadata is checked.
    repo_gpgcheck []: bool,
    /// How often to try again; `0` is for ever.
    retries []: String,
    /// Whether it lies in S3; needs a plugin.
    s3_enabled []: bool,
    /// Go on without it where it cannot be reached.
    skip_if_unavailable []: bool,
    /// Whether permissions of certificates are looked at; without effect with dnf.
    ssl_check_cert_permissions []: bool,
    /// File with the authorities to trust.
    sslcacert ["ca_cert"]: String,
    /// File with this side's certificate.
    sslclientcert ["client_cert"]: String,
    /// File with that certificate's key.
    sslclientkey ["client_key"]: String,
    /// Whether the server must prove who it is.
    sslverify ["validate_certs"]: bool,
    /// Bytes a second, or a part of `bandwidth`.
    throttle []: String,
    /// Seconds to wait for a connection.
    timeout []: String,
    /// Variables to show with its name; without effect with dnf.
    ui_repoid_vars []: String,
    /// User for the repository.
    username []: String,
}

arguments! {
    pub struct Args {
        /// Id of the repository: the section's name.
        name []: String,
        /// Its name for people; required for one that shall be there.
        description []: Option<String>,
        /// Whether it shall be there.
        state []: State = State::Present,
        /// Name of the file, without `.repo`; the repository's id if not given.
        file []: Option<String>,
        /// Where such files lie.
        reposdir []: PathBuf = "/etc/yum.repos.d",
        ..settings: Settings,
        ..attributes: FileArgs,
    }
}

/// The module `yum_repository`.
pub struct YumRepository;

impl Module for YumRepository {
    const NAMES: &'static [&'static str] =
        &["yum_repository", "ansible.builtin.yum_repository", "ansible.legacy.yum_repository"];
    const DOC: &'static str = "Adds repositories to the files of yum and dnf, and removes them.";
    const RETURNS: &'static [(&'static str, &'static str)] =
        &[("repo", "Id of the repository"), ("state", "Whether it is there")];
    const EXAMPLE: &'static str = "- yum_repository:\n    name: epel\n    description: EPEL\n    baseurl: https://example.com/epel/$releasever/$basearch/\n";
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let given = &args.settings;
        if args.state == State::Present {
            if given.baseurl.is_none() && given.mirrorlist.is_none() && given.metalink.is_none() {
                return Err(Failure::new(
                    "state is present but any of the following are missing: baseurl, mirrorlist, metalink",
                ));
            }
            if args.description.is_none() {
                return Err(Failure::new("state is present but all of the following are missing: description"));
            }
        }
        let dir = paths::expand(host.as_look(), &args.reposdir)?;
        if host.stat(&dir, true)?.is_none_or(|s| s.kind != FileKind::Directory) {
            return Err(Failure::new(format!("Repo directory '{}' does not exist.", dir.display())));
        }
        let path = dir.join(format!("{}.repo", args.file.as_deref().unwrap_or(&args.name)));
        let shown = path.display().to_string();
        let bytes = read_existing(host.as_look(), &path)?;
        let mut file = RepoFile::parse(&python_regex::to_text(bytes.as_deref().unwrap_or_default()))
            .map_err(|why| Failure::new(format!("{shown}: {why}")))?;
        let before = file.sorted();
        file.sections.retain(|(name, _)| *name != args.name);
        if args.state == State::Present {
            file.sections.push((args.name.clone(), section(&args)));
        }
        let after = file.sorted();
        let changed = before != after;
        let mut outcome = Outcome::changed(changed).with("repo", args.name.as_str()).with("state", args.state.word());
        if changed {
            outcome = outcome.diff(Diff::Text { before_name: shown.clone(), after_name: shown, before, after });
            if file.sections.is_empty() {
                host.remove(&path)?;
            } else {
                let after = python_regex::to_bytes(&file.written());
                let before = bytes.as_deref();
                Edit { path: &path, before, after: &after, backup: false, validate: None, args: &args.attributes }
                    .put(host)?;
            }
        }
        if host.stat(&path, true)?.is_some_and(|s| s.kind == FileKind::File) {
            outcome.changed |= args.attributes.apply_following(host, &path, &mut BeforeAfter::default())?;
        }
        // The file must tell them, the difference shown need not.
        let mask = Mask::default();
        given.password.iter().chain(&given.proxy_password).for_each(|secret| mask.learn(secret));
        Ok(outcome.masked(&mask))
    }
}

/// The section that is asked for, its settings in the order of their names.
fn section(args: &Args) -> Vec<(String, String)> {
    let mut settings: Vec<(String, String)> = Vec::new();
    settings.extend(args.description.clone().map(|text| ("name".into(), text)));
    for (name, value) in args.settings.given() {
        let value = if matches!(name, "exclude" | "includepkgs") { value.replace('\n', " ") } else { value };
        settings.push((name.into(), value));
    }
    settings.sort();
    settings
}

/// A file of sections. What stands in `[DEFAULT]` holds for every section.
#[derive(Default)]
struct RepoFile {
    defaults: Vec<(String, String)>,
    sections: Vec<(String, Vec<(String, String)>)>,
}

impl RepoFile {
    /// Reads a file; what Python's `configparser` refuses is refused.
    fn parse(text: &str) -> Result<RepoFile, String> {
        let mut file = RepoFile::default();
        // The settings being read; none before the first section.
        let mut now: Option<&mut Vec<(String, String)>> = None;
        let mut seen: Vec<String> = Vec::new();
        let (mut indent, mut in_value) = (0, false);
        for (number, line) in (1..).zip(text.lines()) {
            let refused = |why: &str| format!("line {number}: {why}: `{line}`");
            let plain = line.trim();
            if plain.starts_with(['#', ';']) {
                continue;
            }
            let open = now.as_mut().and_then(|s| s.last_mut()).filter(|_| in_value);
            let depth = line.len() - line.trim_start().len();
            if let Some((_, value)) = open
                && (plain.is_empty() || depth > indent)
            {
                value.push('\n');
                value.push_str(plain);
                continue;
            }
            if plain.is_empty() {
                continue;
            }
            indent = depth;
            if let Some(name) = plain.strip_prefix('[').and_then(|l| Some(&l[..l.rfind(']').filter(|at| *at > 0)?])) {
                if seen.iter().any(|s| s == name) {
                    return Err(refused("a section is there twice"));
                }
                seen.push(name.to_owned());
                in_value = false;
                now = Some(if name == "DEFAULT" {
                    &mut file.defaults
                } else {
                    file.sections.push((name.to_owned(), Vec::new()));
                    &mut file.sections.last_mut().ok_or("no section")?.1
                });
                continue;
            }
            let Some(settings) = now.as_mut() else { return Err(refused("stands before the first section")) };
            let (name, value) = plain.split_once(['=', ':']).ok_or_else(|| refused("neither section nor setting"))?;
            let name = name.trim_end().to_lowercase();
            if name.is_empty() || settings.iter().any(|(n, _)| *n == name) {
                return Err(refused("a setting without a name, or there twice"));
            }
            settings.push((name, value.trim().to_owned()));
            in_value = true;
        }
        // Empty lines within a value count, those after it do not.
        let all = file.sections.iter_mut().map(|(_, s)| s).chain([&mut file.defaults]);
        for (_, value) in all.flatten() {
            value.truncate(value.trim_end().len());
        }
        Ok(file)
    }

    /// All sections and settings by their names: what is compared, and shown as the difference.
    fn sorted(&self) -> String {
        let mut sections: Vec<_> = self.sections.iter().collect();
        sections.sort();
        let mut out = String::new();
        for (name, own) in sections {
            let inherited = self.defaults.iter().filter(|(name, _)| own.iter().all(|(n, _)| n != name));
            let mut settings: Vec<_> = own.iter().chain(inherited).collect();
            settings.sort();
            out += &format!("[{name}]\n");
            out.extend(settings.iter().map(|(name, value)| format!("{name} = {value}\n")));
            out.push('\n');
        }
        out
    }

    fn written(&self) -> String {
        let defaults = (!self.defaults.is_empty()).then_some(("DEFAULT", &self.defaults));
        let mut out = String::new();
        for (name, settings) in defaults.into_iter().chain(self.sections.iter().map(|(n, s)| (n.as_str(), s))) {
            out += &format!("[{name}]\n");
            out.extend(settings.iter().map(|(name, value)| format!("{name} = {}\n", value.replace('\n', "\n\t"))));
            out.push('\n');
        }
        out
    }
}
