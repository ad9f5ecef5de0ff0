//! Becoming other users through real sudo and su: done, or told within seconds what stands in the way.

use std::sync::Arc;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use stx_upgrade::action::module::{Become, Call};
use stx_upgrade::connection::{Content, Link};
use stx_upgrade::dict;
use stx_upgrade::model::outcome::Outcome;
use stx_upgrade::model::secret::Secret;

use crate::calls::{Store, digest, stdout};
use crate::lab::{FREE, Lab, OLD, OPS, PASSWORD, PLAIN, TTY, becoming, call, kill, of_run, processes, sh, soon, sudo};
use crate::with_users;

pub fn trials(lab: &'static Lab) -> Vec<Trial> {
    vec![
        with_users("sudo with a password, and one worker per user", lab, by_password),
        with_users("sudo without a password, to an unprivileged user", lab, unprivileged),
        with_users("no password given", lab, none_given),
        with_users("a wrong sudo password is told once and not tried again", lab, wrong),
        with_users("a password that is refused is given to sudo once", lab, tried_once),
        with_users("not in the sudoers", lab, not_allowed),
        with_users("requiretty", lab, requires_tty),
        with_users("an expired password", lab, expired),
        with_users("no such user, no such program, no such method", lab, no_such),
        with_users("a question that cannot be answered", lab, question),
        with_users("su with its password", lab, su),
        with_users("deadline and cancel reach the worker", lab, ended),
        with_users("content and files pass through the worker", lab, transfers),
        with_users("one check run for all users", lab, check_run),
        with_users("a user that was become can be removed", lab, removed),
        with_users("a killed worker fails its call and is replaced", lab, worker_killed),
    ]
}

async fn link_as(lab: &Lab, user: &str) -> Link {
    lab.connector(&lab.run()).open(&lab.target_as(user)).await.unwrap()
}

async fn outcome(link: &Link, attempt: u64, call: Call) -> Outcome {
    link.call(attempt, &call, None).await.unwrap().outcome
}

async fn by_password(lab: &'static Lab) {
    let link = lab.link().await;
    link.password("root", &Secret::new(PASSWORD));
    let who = sh("id -un; echo $HOME; umask; ps -o ppid= $$");
    let first = outcome(&link, 1, becoming(who.clone(), "root")).await;
    assert!(stdout(&first).starts_with("root\n/root\n0022\n"), "{first:?}");
    // The same parent: the worker was started once.
    assert_eq!(outcome(&link, 2, becoming(who, "root")).await.data, first.data);
    assert_eq!(stdout(&outcome(&link, 3, sh("id -un")).await), format!("{OPS}\n"));
    assert_eq!(stdout(&outcome(&link, 4, becoming(sh("id -un"), OPS)).await), format!("{OPS}\n"));
    let run = link.welcome();
    link.bye().await;
    soon("the end of the worker", || !std::path::Path::new(&format!("/proc/{}", run.pid)).exists()).await;
}

/// `userdel` refuses a user that has a process.
async fn removed(lab: &'static Lab) {
    let link = link_as(lab, FREE).await;
    let user = |state: &str| {
        let made = call("user", dict! {"name" => "stx-gone", "state" => state});
        Call { env: vec![("PATH".into(), "/usr/sbin:/usr/bin:/sbin:/bin".into())], ..becoming(made, "root") }
    };
    let made = outcome(&link, 1, user("present")).await;
    assert!(made.changed, "{made:?}");
    assert_eq!(stdout(&outcome(&link, 2, becoming(sh("id -un"), "stx-gone")).await), "stx-gone\n");
    let gone = outcome(&link, 3, user("absent")).await;
    assert!(gone.changed && !gone.is_failed(), "{gone:?}");
    link.bye().await;
}

async fn unprivileged(lab: &'static Lab) {
    let run = lab.run();
    let link = lab.connector(&run).open(&lab.target_as(FREE)).await.unwrap();
    let who = outcome(&link, 1, becoming(sh("id -un; cat /proc/$PPID/cmdline | tr '\\0' ' '"), PLAIN)).await;
    assert!(stdout(&who).starts_with(&format!("{PLAIN}\n")), "{who:?}");
    let lent = stdout(&who).lines().nth(1).unwrap().split(' ').next().unwrap().to_owned();
    assert!(std::path::Path::new(&lent).exists(), "{lent}");
    assert_eq!(stdout(&outcome(&link, 2, becoming(sh("id -un"), "root")).await), "root\n");
    link.bye().await;
    assert!(!std::path::Path::new(&lent).exists(), "the lent copy goes with the agent");
    soon("the end of the workers", || of_run(&run).is_empty()).await;
}

async fn failing(lab: &Lab, user: &str, password: Option<&str>, what: &str) {
    let link = link_as(lab, user).await;
    if let Some(password) = password {
        link.password("root", &Secret::new(password));
    }
    let start = Instant::now();
    let failed = outcome(&link, 1, becoming(sh("true"), "root")).await;
    assert!(failed.is_failed() && failed.msg.contains(what), "{failed:?}");
    assert!(start.elapsed() < Duration::from_secs(12), "{:?}", start.elapsed());
    assert!(!failed.msg.contains(PASSWORD));
    assert!(!outcome(&link, 2, sh("true")).await.is_failed(), "the agent goes on");
    link.bye().await;
}

async fn none_given(lab: &'static Lab) {
    failing(lab, OPS, None, "ansible_become_password").await;
}

async fn wrong(lab: &'static Lab) {
    failing(lab, OPS, Some("wrong"), "Incorrect ").await;
    let link = lab.link().await;
    link.password("root", &Secret::new("wrong"));
    assert!(outcome(&link, 1, becoming(sh("true"), "root")).await.is_failed());
    let start = Instant::now();
    assert!(outcome(&link, 2, becoming(sh("true"), "root")).await.msg.contains("Incorrect "));
    assert!(start.elapsed() < Duration::from_millis(300), "it was tried again");
    link.password("root", &Secret::new(PASSWORD));
    assert!(!outcome(&link, 3, becoming(sh("true"), "root")).await.is_failed(), "a new one is tried");
    link.bye().await;
}

async fn tried_once(lab: &'static Lab) {
    // A sudo that asks again, as it does three times: each would count towards the account's being locked.
    let (asks, tries) = (lab.dir.join("asks-again"), lab.dir.join("tries"));
    let ask = "printf 'stx-upgrade asks for the password:' >&2; read -r p && echo tried >>$t";
    std::fs::write(&asks, format!("#!/bin/sh\nt={}\n{ask}; {ask}; {ask}\n", tries.display())).unwrap();
    std::fs::set_permissions(&asks, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::write(&tries, "").unwrap();
    std::fs::set_permissions(&tries, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    let link = lab.link().await;
    link.password("root", &Secret::new(PASSWORD));
    let exe = Become { exe: Some(asks.to_str().unwrap().into()), ..sudo("root") };
    let failed = outcome(&link, 1, Call { become_: Some(exe), ..sh("true") }).await;
    assert!(failed.msg.contains("Incorrect "), "{failed:?}");
    link.bye().await;
    soon("the end of sudo", || processes(&[asks.to_str().unwrap()]).is_empty()).await;
    assert_eq!(std::fs::read_to_string(&tries).unwrap(), "tried\n");
}

async fn not_allowed(lab: &'static Lab) {
    failing(lab, PLAIN, Some(PASSWORD), "sudoers does not let").await;
}

async fn requires_tty(lab: &'static Lab) {
    failing(lab, TTY, None, "requiretty").await;
}

async fn expired(lab: &'static Lab) {
    // sshd does not let such a user in at all, so the way is through another.
    let link = link_as(lab, FREE).await;
    link.password("root", &Secret::new(PASSWORD));
    let su = Become { method: "su".into(), user: OLD.into(), exe: None, flags: None, chdir: None };
    link.password(OLD, &Secret::new(PASSWORD));
    let start = Instant::now();
    let failed = outcome(&link, 1, Call { become_: Some(su), ..sh("true") }).await;
    assert!(failed.is_failed(), "{failed:?}");
    assert!(failed.msg.contains("expired") || failed.msg.contains("asks something"), "{failed:?}");
    assert!(start.elapsed() < Duration::from_secs(12));
    link.bye().await;
}

async fn no_such(lab: &'static Lab) {
    let link = link_as(lab, FREE).await;
    let no_user = outcome(&link, 1, becoming(sh("true"), "nosuchuser")).await;
    assert!(no_user.msg.contains("nosuchuser"), "{no_user:?}");
    let exe = Become { exe: Some("/opt/no/sudo".into()), ..sudo("root") };
    let no_exe = outcome(&link, 2, Call { become_: Some(exe), ..sh("true") }).await;
    assert!(no_exe.msg.contains("/opt/no/sudo") && no_exe.msg.contains("not on the host"), "{no_exe:?}");
    let doas = Become { method: "doas".into(), ..sudo("root") };
    let no_method = outcome(&link, 3, Call { become_: Some(doas), ..sh("true") }).await;
    assert!(no_method.msg.contains("`doas` is not supported"), "{no_method:?}");
    link.bye().await;
}

async fn question(lab: &'static Lab) {
    // A sudo that asks for a second factor after the password.
    let asks = lab.dir.join("asks");
    std::fs::write(&asks, "#!/bin/sh\nprintf 'stx-upgrade asks for the password:' >&2; read -r p; printf '\\nToken code: ' >&2; read -r t\n")
        .unwrap();
    std::fs::set_permissions(&asks, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let link = lab.link().await;
    link.password("root", &Secret::new(PASSWORD));
    let exe = Become { exe: Some(asks.to_str().unwrap().into()), ..sudo("root") };
    let start = Instant::now();
    let failed = outcome(&link, 1, Call { become_: Some(exe), ..sh("true") }).await;
    assert!(failed.msg.contains("Token code"), "{failed:?}");
    assert!(start.elapsed() < Duration::from_secs(8));
    link.bye().await;
}

async fn su(lab: &'static Lab) {
    let link = lab.link().await;
    let su = |user: &str| Some(Become { method: "su".into(), user: user.into(), exe: None, flags: None, chdir: None });
    link.password(PLAIN, &Secret::new(PASSWORD));
    let done = outcome(&link, 1, Call { become_: su(PLAIN), ..sh("id -un") }).await;
    assert_eq!(stdout(&done), format!("{PLAIN}\n"));
    link.password(FREE, &Secret::new("wrong"));
    let failed = outcome(&link, 2, Call { become_: su(FREE), ..sh("id -un") }).await;
    assert!(failed.msg.contains("Incorrect "), "{failed:?}");
    link.bye().await;
}

async fn ended(lab: &'static Lab) {
    let link = link_as(lab, FREE).await;
    let hung = Call { deadline: 1, ..becoming(sh("sleep 4444.5 & sleep 4444.5"), "root") };
    let late = outcome(&link, 1, hung).await;
    assert!(late.msg.contains("Timed out"), "{late:?}");
    soon("the end of the group", || processes(&["sleep 4444.5"]).is_empty()).await;
    let long = becoming(sh("sleep 4545.5"), "root");
    let calling = {
        let l = link.clone();
        tokio::spawn(async move { l.call(2, &long, None).await })
    };
    soon("its start", || !processes(&["sleep 4545.5"]).is_empty()).await;
    link.cancel(2);
    assert!(calling.await.unwrap().unwrap().outcome.msg.contains("cancelled"));
    soon("its end", || processes(&["sleep 4545.5"]).is_empty()).await;
    link.bye().await;
}

async fn transfers(lab: &'static Lab) {
    let bytes: Vec<u8> = (0..2_000_000u32).map(|i| (i.wrapping_mul(2654435761) >> 24) as u8).collect();
    let mut store = Store::default();
    store.0.insert(digest(&bytes), Content::Bytes(bytes.clone().into()));
    let run = lab.run();
    let link =
        lab.connector_with(&run, Arc::new(store), Duration::from_secs(60)).open(&lab.target_as(FREE)).await.unwrap();
    let dest = format!("/var/tmp/stx-link-{run}");
    let put = call("put", dict! {"sha256" => digest(&bytes), "dest" => dest.as_str()});
    let done = outcome(&link, 1, becoming(put, "root")).await;
    assert!(done.changed, "{done:?}");
    outcome(&link, 2, becoming(sh(&format!("chmod 600 {dest}")), "root")).await;
    let to = lab.dir.join(format!("fetched-{run}"));
    let denied = link.fetch(3, &dest, None, &to).await.unwrap_err();
    assert!(denied.to_string().contains("denied"), "{denied}");
    let got = link.fetch(4, &dest, Some(&sudo("root")), &to).await.unwrap();
    assert_eq!((got.size, got.mode, got.sha256), (2_000_000, 0o600, digest(&bytes)));
    outcome(&link, 5, becoming(sh(&format!("rm {dest}")), "root")).await;
    link.bye().await;
}

async fn check_run(lab: &'static Lab) {
    let link = link_as(lab, FREE).await;
    let check = |c: Call| Call { check: true, ..c };
    let path = format!("/var/tmp/stx-link-check-{}", lab.run());
    let put = |text: &str| check(call("put", dict! {"content" => text, "dest" => path.as_str()}));
    let cat = check(call("cat", dict! {"path" => path.as_str()}));
    let text = |o: Outcome| o.data.get("text").map(ToString::to_string).unwrap_or(o.msg);
    outcome(&link, 1, put("mine")).await;
    assert_eq!(text(outcome(&link, 2, becoming(cat.clone(), "root")).await), "mine");
    outcome(&link, 3, becoming(put("root's"), "root")).await;
    assert_eq!(text(outcome(&link, 4, becoming(cat.clone(), PLAIN)).await), "root's");
    assert_eq!(text(outcome(&link, 5, cat.clone()).await), "root's");
    outcome(&link, 6, becoming(cat.clone(), "root")).await;
    // Without its record the check run must not go on as if nothing had been recorded.
    kill(processes(&["agent worker"]).into_iter().find(|p| is_worker_of(*p, link.welcome().pid, 0)).unwrap());
    soon("that it is gone", || true).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let lost = outcome(&link, 7, cat).await;
    assert!(lost.is_failed() && lost.msg.contains("start the check again"), "{lost:?}");
    assert!(!std::path::Path::new(&path).exists());
    link.bye().await;
}

/// Whether a process descends from an agent and runs as a user.
fn is_worker_of(pid: u32, agent: u32, uid: u32) -> bool {
    let mut at = pid;
    let owner =
        std::fs::metadata(format!("/proc/{pid}/task")).map(|m| std::os::unix::fs::MetadataExt::uid(&m)).unwrap_or(1);
    let exe = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    while at > 1 {
        if at == agent {
            return owner == uid && !exe.starts_with(b"sudo");
        }
        at = crate::lab::parent(at);
    }
    false
}

async fn worker_killed(lab: &'static Lab) {
    let link = link_as(lab, FREE).await;
    outcome(&link, 1, becoming(sh("true"), "root")).await;
    let long = becoming(sh("sleep 5"), "root");
    let calling = {
        let l = link.clone();
        tokio::spawn(async move { l.call(2, &long, None).await })
    };
    tokio::time::sleep(Duration::from_millis(200)).await;
    kill(processes(&["agent worker"]).into_iter().find(|p| is_worker_of(*p, link.welcome().pid, 0)).unwrap());
    let failed = calling.await.unwrap().unwrap().outcome;
    assert!(failed.msg.contains("what it did is not known"), "{failed:?}");
    assert!(!outcome(&link, 3, becoming(sh("true"), "root")).await.is_failed());
    link.bye().await;
}
