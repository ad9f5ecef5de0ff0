//! The modules that run on a host, one file each, and the table that names them.

pub mod accounts;
pub mod acl;
pub mod actions;
pub mod apt_key;
pub mod apt_repository;
pub mod archive;
pub mod assemble;
pub mod async_status;
pub mod authorized_key;
pub mod blockinfile;
pub mod command;
pub mod copy;
pub mod cron;
pub mod deb822_repository;
pub mod debconf;
pub mod digest;
pub mod docker_login;
pub mod dpkg_selections;
pub mod expect;
pub mod file;
pub mod file_args;
pub mod file_content;
pub mod find;
pub mod get_url;
pub mod getent;
pub mod git;
pub mod group;
pub mod host;
pub mod hostname;
pub mod ini_file;
pub mod iptables;
pub mod known_hosts;
pub mod lineinfile;
pub mod mount;
pub mod mount_facts;
mod multipart;
pub mod openssl;
pub mod own;
pub mod package;
pub mod package_facts;
pub mod paths;
pub mod ping;
pub mod pip;
pub mod postgresql;
pub mod postgresql_privs;
pub mod python_regex;
pub mod replace;
pub mod rpm_key;
pub mod script;
pub mod service;
pub mod service_facts;
pub mod setup;
pub mod shell_words;
pub mod slurp;
pub mod stat;
pub mod subversion;
pub mod sysctl;
pub mod systemd;
pub mod tempfile;
pub mod unarchive;
pub mod uri;
pub mod user;
pub mod wait_for;
pub mod web_args;
pub mod xml;
pub mod yum_repository;

use crate::action::module::Entry;

/// Every module, by its file's name. A module that is not here is refused before any host is touched.
pub const ALL: &[Entry] = &[
    Entry::of::<acl::Acl>(),
    Entry::of::<apt_key::AptKey>(),
    Entry::of::<apt_repository::AptRepository>(),
    Entry::of::<archive::Archive>(),
    Entry::of::<assemble::Assemble>(),
    Entry::of::<async_status::AsyncStatus>(),
    Entry::of::<authorized_key::AuthorizedKey>(),
    Entry::of::<blockinfile::BlockInFile>(),
    Entry::of::<command::Command>(),
    Entry::of::<command::Shell>(),
    Entry::of::<copy::Copy>(),
    Entry::of::<cron::Cron>(),
    Entry::of::<deb822_repository::Deb822Repository>(),
    Entry::of::<debconf::Debconf>(),
    Entry::of::<docker_login::DockerLogin>(),
    Entry::of::<dpkg_selections::DpkgSelections>(),
    Entry::of::<expect::Expect>(),
    Entry::of::<file::File>(),
    Entry::of::<find::Find>(),
    Entry::of::<get_url::GetUrl>(),
    Entry::of::<getent::Getent>(),
    Entry::of::<git::Git>(),
    Entry::of::<group::Group>(),
    Entry::of::<hostname::Hostname>(),
    Entry::of::<ini_file::IniFile>(),
    Entry::of::<iptables::Iptables>(),
    Entry::of::<known_hosts::KnownHosts>(),
    Entry::of::<lineinfile::LineInFile>(),
    Entry::of::<mount::Mount>(),
    Entry::of::<mount_facts::MountFacts>(),
    Entry::of::<openssl::certificate::Certificate>(),
    Entry::of::<openssl::csr::Csr>(),
    Entry::of::<openssl::info::CertificateInfo>(),
    Entry::of::<openssl::info::CsrInfo>(),
    Entry::of::<openssl::info::KeyInfo>(),
    Entry::of::<openssl::privatekey::PrivateKey>(),
    Entry::of::<own::Own>(),
    Entry::of::<package::Apt>(),
    Entry::of::<package::Dnf>(),
    Entry::of::<package::Package>(),
    Entry::of::<package_facts::PackageFacts>(),
    Entry::of::<ping::Ping>(),
    Entry::of::<pip::Pip>(),
    Entry::of::<postgresql::Db>(),
    Entry::of::<postgresql_privs::Privs>(),
    Entry::of::<postgresql::User>(),
    Entry::of::<replace::Replace>(),
    Entry::of::<rpm_key::RpmKey>(),
    Entry::of::<script::Script>(),
    Entry::of::<service::Service>(),
    Entry::of::<service_facts::ServiceFacts>(),
    Entry::of::<setup::Setup>(),
    Entry::of::<slurp::Slurp>(),
    Entry::of::<stat::Stat>(),
    Entry::of::<subversion::Subversion>(),
    Entry::of::<sysctl::Sysctl>(),
    Entry::of::<systemd::Systemd>(),
    Entry::of::<tempfile::TempFile>(),
    Entry::of::<unarchive::Unarchive>(),
    Entry::of::<uri::Uri>(),
    Entry::of::<user::User>(),
    Entry::of::<wait_for::WaitFor>(),
    Entry::of::<xml::Xml>(),
    Entry::of::<yum_repository::YumRepository>(),
];

/// The module of a name, short or full.
pub fn find(name: &str) -> Option<&'static Entry> {
    ALL.iter().find(|e| e.names.contains(&name))
}
