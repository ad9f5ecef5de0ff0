//! Logging in: keys, passwords, host keys, and what a login may do wrong.

use std::time::Duration;

use libtest_mimic::Trial;
use stx_upgrade::connection::{LinkError, Target};
use stx_upgrade::model::secret::Secret;

use crate::calls::stdout;
use crate::lab::{LOUD, Lab, ODD, OPS, PASSWORD, SHUT, processes, sh, soon};
use crate::{trial, with_users};

pub fn trials(lab: &'static Lab) -> Vec<Trial> {
    vec![
        trial("an unknown host key is refused with the way out", lab, unknown_key),
        trial("a changed host key is refused with both keys", lab, changed_key),
        trial("an unknown key can be allowed", lab, unchecked),
        trial("a wrong user key names the methods", lab, wrong_key),
        trial("nobody listens, no such name", lab, unreachable),
        trial("a host that says nothing times out", lab, silent),
        trial("an ssh setting that is none", lab, bad_setting),
        with_users("a password login shows the password to nobody", lab, password),
        with_users("a wrong password is told within seconds", lab, wrong_password),
        with_users("a login that chatters", lab, chatters),
        with_users("a login without a shell is told", lab, no_shell),
        with_users("an upload that is cut, and a login shell that is none of Unix's", lab, upload_cut),
        trial("the ssh master ends with the link", lab, master_ends),
    ]
}

fn with_known(lab: &Lab, known: &str) -> Target {
    let file = lab.dir.join(format!("known-{}", lab.run()));
    std::fs::write(&file, known).unwrap();
    let mut target = lab.target();
    target.ssh_args[3] = format!("UserKnownHostsFile={}", file.display());
    target
}

async fn refused(lab: &Lab, target: &Target) -> LinkError {
    match lab.connector(&lab.run()).open(target).await {
        Ok(_) => panic!("let in"),
        Err(e) => e,
    }
}

async fn unknown_key(lab: &'static Lab) {
    let e = refused(lab, &with_known(lab, "")).await;
    let LinkError::HostKeyUnknown { command, .. } = &e else { panic!("{e:?}") };
    assert!(command.starts_with("ssh -F none") && command.ends_with("127.0.0.1 true"), "{command}");
    assert!(!e.is_passing());
}

async fn changed_key(lab: &'static Lab) {
    let other = std::fs::read_to_string(lab.dir.join("stranger.pub")).unwrap();
    let e = refused(lab, &with_known(lab, &format!("[127.0.0.1]:{} {other}", lab.port))).await;
    let LinkError::HostKeyChanged { offered, known, command, .. } = &e else { panic!("{e:?}") };
    assert!(offered.as_ref().unwrap().starts_with("SHA256:"), "{e}");
    assert!(known.as_ref().unwrap().starts_with("SHA256:"), "{e}");
    assert_ne!(offered, known);
    assert!(command.contains("ssh-keygen") && command.contains(&format!("-R '[127.0.0.1]:{}'", lab.port)), "{command}");
}

async fn unchecked(lab: &'static Lab) {
    let target = Target { host_key_checking: false, ..with_known(lab, "") };
    lab.connector(&lab.run()).open(&target).await.unwrap().bye().await;
}

async fn wrong_key(lab: &'static Lab) {
    let target = Target { key_file: Some(lab.dir.join("stranger")), ..lab.target() };
    let e = refused(lab, &target).await;
    let LinkError::Authentication { methods, user, .. } = &e else { panic!("{e:?}") };
    assert!(methods.contains("publickey"), "{e}");
    assert_eq!(user, &lab.target().user);
}

async fn unreachable(lab: &'static Lab) {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let closed = refused(lab, &Target { port: Some(free), ..lab.target() }).await;
    assert!(matches!(&closed, LinkError::Unreachable { why, .. } if why.contains("refused")), "{closed}");
    let nowhere = refused(lab, &Target { address: "no-such-host.invalid".into(), ..lab.target() }).await;
    assert!(matches!(&nowhere, LinkError::Unreachable { why, .. } if why.contains("resolve")), "{nowhere}");
}

async fn silent(lab: &'static Lab) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let e = refused(lab, &Target { port: Some(port), connect_timeout: Duration::from_secs(1), ..lab.target() }).await;
    assert!(matches!(&e, LinkError::TimedOut { .. }), "{e:?}");
}

async fn bad_setting(lab: &'static Lab) {
    let mut target = lab.target();
    target.ssh_args.extend(["-o".into(), "NoSuchSetting=1".into()]);
    let e = refused(lab, &target).await;
    assert!(matches!(&e, LinkError::Broken { why, .. } if why.to_lowercase().contains("nosuchsetting")), "{e:?}");
}

fn by_password(lab: &Lab, password: &str) -> Target {
    let mut target = Target { key_file: None, password: Some(Secret::new(password)), ..lab.target_as(OPS) };
    target.ssh_args.extend(["-o".into(), "PubkeyAuthentication=no".into()]);
    target
}

/// Watches all processes for the password in their command lines and environments until told to stop.
fn watch(stop: std::sync::mpsc::Receiver<()>) -> Vec<String> {
    let mut seen = Vec::new();
    while stop.try_recv().is_err() {
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            for file in ["cmdline", "environ"] {
                let text = std::fs::read(entry.path().join(file)).unwrap_or_default();
                if String::from_utf8_lossy(&text).contains(PASSWORD) {
                    seen.push(format!("{}/{file}", entry.path().display()));
                }
            }
        }
    }
    seen
}

async fn password(lab: &'static Lab) {
    let (stop, stopped) = std::sync::mpsc::channel();
    let watcher = std::thread::spawn(move || watch(stopped));
    let link = lab.connector(&lab.run()).open(&by_password(lab, PASSWORD)).await.unwrap();
    link.password("root", &Secret::new(PASSWORD));
    let done = link.call(1, &crate::lab::becoming(sh("id -un"), "root"), None).await.unwrap();
    assert_eq!(stdout(&done.outcome), "root\n");
    link.bye().await;
    stop.send(()).unwrap();
    assert_eq!(watcher.join().unwrap(), Vec::<String>::new());
}

async fn wrong_password(lab: &'static Lab) {
    let start = std::time::Instant::now();
    let e = refused(lab, &by_password(lab, "not the password")).await;
    assert!(matches!(&e, LinkError::Authentication { why, .. } if why.contains("password is wrong")), "{e:?}");
    assert!(start.elapsed() < Duration::from_secs(10));
}

async fn chatters(lab: &'static Lab) {
    let link = lab.connector(&lab.run()).open(&lab.target_as(LOUD)).await.unwrap();
    assert_eq!(stdout(&link.call(1, &sh("id -un"), None).await.unwrap().outcome), format!("{LOUD}\n"));
    link.bye().await;
}

async fn no_shell(lab: &'static Lab) {
    let e = refused(lab, &lab.target_as(SHUT)).await;
    assert!(
        matches!(&e, LinkError::Broken { why, .. } if why.contains("the login shell does not run commands")),
        "{e:?}"
    );
}

/// A login shell that is none of Unix's, over a connection that ends in the middle of the upload.
async fn upload_cut(lab: &'static Lab) {
    let cut = lab.dir.join("was-cut");
    let exe = std::env::current_exe().unwrap();
    let proxy = format!("ProxyCommand={} leaky {} {}", exe.display(), lab.port, cut.display());
    let mut target = lab.target_as(ODD);
    target.ssh_args.extend(["-o".into(), proxy]);
    let connector = lab.connector(&lab.run());
    let e = connector.open(&target).await.err().unwrap();
    assert!(e.is_passing() && cut.exists(), "{e:?}");
    let link = connector.open(&target).await.unwrap();
    let digest = crate::calls::digest(&std::fs::read(&exe).unwrap());
    let dir = lab.dir.join("home").join(ODD).join(".cache/stx-upgrade").join(digest);
    let names = || std::fs::read_dir(&dir).unwrap().map(|e| e.unwrap().file_name()).collect::<Vec<_>>();
    soon("the end of the first upload", || names() == ["stx-upgrade"]).await;
    link.bye().await;
}

/// A way to sshd that ends once, in the middle of what is sent up.
pub fn leaky(args: &[std::ffi::OsString]) -> std::process::ExitCode {
    use std::io::{Read, Write};
    let [port, cut] = [0, 1].map(|i| args[i].to_str().unwrap().to_owned());
    let mut up = std::net::TcpStream::connect(("127.0.0.1", port.parse().unwrap())).unwrap();
    let mut down = up.try_clone().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 16 << 10];
        while let Ok(n @ 1..) = down.read(&mut buffer) {
            let mut out = std::io::stdout();
            if out.write_all(&buffer[..n]).and_then(|()| out.flush()).is_err() {
                break;
            }
        }
        std::process::exit(0);
    });
    let mut left = if std::path::Path::new(&cut).exists() { usize::MAX } else { 1 << 20 };
    let mut buffer = [0; 16 << 10];
    while let Ok(n @ 1..) = std::io::stdin().read(&mut buffer) {
        if n > left {
            std::fs::write(cut, "").unwrap();
            return std::process::ExitCode::FAILURE;
        }
        left -= n;
        if up.write_all(&buffer[..n]).is_err() {
            break;
        }
    }
    std::process::ExitCode::SUCCESS
}

async fn master_ends(lab: &'static Lab) {
    let (target, mark) = lab.marked_target();
    let link = lab.connector(&lab.run()).open(&target).await.unwrap();
    assert_eq!(processes(&["ssh", &mark]).len(), 1);
    link.bye().await;
    soon("the end of the master", || processes(&["ssh", &mark]).is_empty()).await;
}
