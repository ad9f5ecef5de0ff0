//! Calls, content and files over a link that holds.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use sha2::{Digest, Sha256};
use stx_upgrade::action::command::Output;
use stx_upgrade::action::module::{Become, Call};
use stx_upgrade::connection::{Blobs, Content, Kind, Known, LinkError, Target, Tidings};
use stx_upgrade::dict;
use stx_upgrade::model::outcome::{Outcome, Status};
use stx_upgrade::model::secret::Secret;

use crate::lab::{BARE, Lab, PLAIN, call, of_run, processes, sh, soon};
use crate::{trial, with_users};

pub fn trials(lab: &'static Lab) -> Vec<Trial> {
    vec![
        trial("a call over ssh and its outcome", lab, a_call),
        trial("the same on this machine", lab, on_this_machine),
        trial("an attempt is run once", lab, once),
        trial("many calls at once, answered as they end", lab, many_at_once),
        trial("a hung command ends at its deadline with its group", lab, deadline),
        trial("a cancelled call ends at once", lab, cancelled),
        trial("output is bounded and told", lab, chatty),
        trial("a panic is a failed outcome", lab, panics),
        trial("content comes when asked for, once", lab, content),
        trial("a file is fetched whole", lab, fetched),
        trial("a check run sees what it would have done", lab, check_run),
        trial("nothing stays after bye", lab, bye),
        trial("an agent without an engine leaves", lab, idle),
        trial("uploaded once, older ones removed", lab, uploaded),
        trial("a shell without an agent", lab, shell),
        with_users("a shell as other users", lab, shell_as_others),
        with_users("links in shared directories are not followed", lab, planted),
    ]
}

pub fn stdout(outcome: &Outcome) -> &str {
    outcome.data.get("stdout").and_then(|v| v.as_str()).unwrap_or_else(|| panic!("{outcome:?}"))
}

async fn a_call(lab: &'static Lab) {
    let link = lab.link().await;
    let done = link.call(1, &sh("id -un; umask; pwd; echo $X"), None).await.unwrap();
    let user = lab.target().user.unwrap();
    assert!(stdout(&done.outcome).starts_with(&format!("{user}\n0022\n")), "{done:?}");
    assert_eq!(link.welcome().user, user);
    let env = Call { env: vec![("X".into(), "it's".into())], ..sh("echo $X") };
    assert_eq!(stdout(&link.call(2, &env, None).await.unwrap().outcome), "it's\n");
    let unknown = link.call(3, &call("nope", dict! {}), None).await.unwrap();
    assert!(unknown.outcome.msg.contains("`nope`"));
    link.bye().await;
}

async fn on_this_machine(lab: &'static Lab) {
    let target = Target { kind: Kind::Local, ..Target::new("localhost") };
    let link = lab.connector(&lab.run()).open(&target).await.unwrap();
    let done = link.call(1, &sh("echo here"), None).await.unwrap();
    assert_eq!(stdout(&done.outcome), "here\n");
    assert_eq!(
        link.welcome().pid,
        processes(&["agent serve", &format!("t{}-", std::process::id())])
            .into_iter()
            .find(|p| *p == link.welcome().pid)
            .unwrap()
    );
    link.bye().await;
    let gone = link.call(2, &sh("true"), None).await;
    assert!(matches!(gone, Err(LinkError::Lost { sent: false, .. })), "{gone:?}");
}

async fn once(lab: &'static Lab) {
    let link = lab.link().await;
    let file = lab.dir.join(format!("once-{}", lab.run()));
    std::fs::write(&file, "").unwrap();
    let chmod = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    std::fs::set_permissions(&file, chmod).unwrap();
    let line = sh(&format!("echo x >>{}; echo ran", file.display()));
    assert_eq!(link.ask(7).await.unwrap(), Known::NeverSeen);
    let first = link.call(7, &line, None).await.unwrap();
    assert_eq!(link.call(7, &line, None).await.unwrap(), first);
    assert_eq!(link.ask(7).await.unwrap(), Known::Done(first));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "x\n");
    link.acknowledge(7);
    // Travels ahead of the question.
    assert_eq!(link.ask(7).await.unwrap(), Known::NeverSeen);
    link.bye().await;
}

async fn many_at_once(lab: &'static Lab) {
    let link = lab.link().await;
    let start = Instant::now();
    let slow = {
        let l = link.clone();
        tokio::spawn(async move { l.call(1, &sh("sleep 1; echo slow"), None).await })
    };
    let mut quick = tokio::task::JoinSet::new();
    for n in 2..40 {
        let l = link.clone();
        quick.spawn(async move { (n, l.call(n, &sh(&format!("echo {n}")), None).await.unwrap()) });
    }
    while let Some(done) = quick.join_next().await {
        let (n, done) = done.unwrap();
        assert_eq!(stdout(&done.outcome), format!("{n}\n"));
    }
    assert!(!slow.is_finished());
    assert_eq!(stdout(&slow.await.unwrap().unwrap().outcome), "slow\n");
    assert!(start.elapsed() < Duration::from_secs(5));
    link.bye().await;
}

async fn deadline(lab: &'static Lab) {
    let link = lab.link().await;
    let start = Instant::now();
    // The child and its own child must both be gone.
    let hung = Call { deadline: 1, ..sh("sleep 4242.5 & sleep 4242.5") };
    let done = link.call(1, &hung, None).await.unwrap();
    assert_eq!(done.outcome.status, Status::Failed);
    assert!(done.outcome.msg.contains("Timed out after 1"), "{done:?}");
    assert!(start.elapsed() < Duration::from_secs(6));
    soon("the end of the group", || processes(&["sleep 4242.5"]).is_empty()).await;
    link.bye().await;
}

async fn cancelled(lab: &'static Lab) {
    let link = lab.link().await;
    let start = Instant::now();
    let long = {
        let l = link.clone();
        tokio::spawn(async move { l.call(1, &sh("sleep 4343.5"), None).await })
    };
    soon("its process", || !processes(&["sleep 4343.5"]).is_empty()).await;
    link.cancel(1);
    let done = long.await.unwrap().unwrap();
    assert!(done.outcome.msg.contains("cancelled"), "{done:?}");
    assert!(start.elapsed() < Duration::from_secs(5));
    assert!(processes(&["sleep 4343.5"]).is_empty());
    link.bye().await;
}

async fn chatty(lab: &'static Lab) {
    let link = lab.link().await;
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let line = sh("echo first; yes '\u{1}binary \\377' | head -c 60000000; sleep 0.4; echo last");
    let done = link.call(1, &line, Some(tell)).await.unwrap();
    assert_eq!(done.outcome.data.get("cut").and_then(|v| v.as_bool()), Some(true), "cut is told");
    assert!(stdout(&done.outcome).len() <= 20 << 20);
    let mut lines = 0;
    while let Ok(tidings) = told.try_recv() {
        let Tidings::Output(line) = tidings else { panic!("{tidings:?}") };
        assert!(line.len() < 4096);
        lines += 1;
    }
    assert!((1..60).contains(&lines), "{lines} lines");
    let status = std::fs::read_to_string(format!("/proc/{}/status", link.welcome().pid)).unwrap();
    let peak = status.lines().find(|l| l.starts_with("VmHWM")).unwrap();
    let kb: u64 = peak.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(kb < 300 << 10, "{peak}");
    link.bye().await;
}

async fn panics(lab: &'static Lab) {
    let link = lab.link().await;
    let done = link.call(1, &call("panics", dict! {"why" => "a bug"}), None).await.unwrap();
    assert!(done.outcome.is_failed() && done.outcome.msg.contains("a bug"), "{done:?}");
    assert!(!link.call(2, &sh("true"), None).await.unwrap().outcome.is_failed());
    link.bye().await;
}

/// Content by digest, and how often it was asked for.
#[derive(Default)]
pub struct Store(pub HashMap<String, Content>, pub std::sync::Mutex<Vec<String>>);

impl Blobs for Store {
    fn find(&self, sha256: &str) -> Option<Content> {
        self.1.lock().unwrap().push(sha256.to_owned());
        self.0.get(sha256).cloned()
    }
}

pub fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

async fn content(lab: &'static Lab) {
    let big: Vec<u8> = (0..3_000_000u32).map(|i| (i.wrapping_mul(2654435761) >> 24) as u8).collect();
    let path = lab.dir.join(format!("big-{}", lab.run()));
    std::fs::write(&path, &big).unwrap();
    let small: Arc<[u8]> = (*b"small").into();
    let mut store = Store::default();
    store.0.insert(digest(&big), Content::Path(path.clone()));
    store.0.insert(digest(&small), Content::Bytes(small.clone()));
    store.0.insert(digest(b"lie"), Content::Path(path.clone()));
    store.0.insert(digest(b""), Content::Bytes(Arc::new([])));
    let store = Arc::new(store);
    let link =
        lab.connector_with(&lab.run(), store.clone(), Duration::from_secs(60)).open(&lab.target()).await.unwrap();
    let home = stdout(&link.call(1, &sh("echo -n $HOME"), None).await.unwrap().outcome).to_owned();
    let put = |sha256: String, name: &str| call("put", dict! {"sha256" => sha256, "dest" => format!("{home}/{name}")});

    let (a, b) = tokio::join!(async { link.call(2, &put(digest(&big), "big1"), None).await.unwrap() }, async {
        link.call(3, &put(digest(&big), "big2"), None).await.unwrap()
    },);
    assert!(a.outcome.changed && b.outcome.changed, "{a:?} {b:?}");
    let sums = link.call(4, &sh("sha256sum <$HOME/big1; sha256sum <$HOME/big2"), None).await.unwrap();
    assert_eq!(stdout(&sums.outcome).matches(&digest(&big)).count(), 2);
    assert!(link.call(5, &put(digest(b""), "empty"), None).await.unwrap().outcome.changed);

    let asked = store.1.lock().unwrap().len();
    link.send_ahead(&digest(&small));
    assert!(link.call(6, &put(digest(&small), "small"), None).await.unwrap().outcome.changed);
    assert_eq!(store.1.lock().unwrap().len(), asked + 1, "sent ahead, and not asked for again");

    let lie = link.call(7, &put(digest(b"lie"), "lie"), None).await.unwrap();
    assert!(lie.outcome.msg.contains("changed on the control node"), "{lie:?}");
    let none = link.call(8, &put(digest(b"none"), "none"), None).await.unwrap();
    assert!(none.outcome.is_failed(), "{none:?}");
    link.bye().await;
}

async fn fetched(lab: &'static Lab) {
    let link = lab.link().await;
    link.call(
        1,
        &sh("head -c 5000000 /dev/urandom >$HOME/f; chmod 640 $HOME/f; sha256sum <$HOME/f; mkfifo $HOME/p"),
        None,
    )
    .await
    .unwrap();
    let out = link.call(2, &sh("sha256sum <$HOME/f; echo -n $HOME"), None).await.unwrap();
    let (sum, home) = stdout(&out.outcome).split_once('\n').unwrap();
    let to = lab.dir.join(format!("fetched-{}", lab.run()));
    let got = link.fetch(3, &format!("{home}/f"), None, &to).await.unwrap();
    assert_eq!((got.size, got.mode), (5_000_000, 0o640));
    assert_eq!(got.sha256, sum.split_whitespace().next().unwrap());
    assert_eq!(digest(&std::fs::read(&to).unwrap()), got.sha256);
    for (n, bad) in ["nothing", "p", ""].iter().enumerate() {
        let e = link.fetch(10 + n as u64, &format!("{home}/{bad}"), None, &to).await.unwrap_err();
        assert!(matches!(&e, LinkError::File { .. }), "{e:?}");
    }
    assert!(!link.call(4, &sh("rm $HOME/p"), None).await.unwrap().outcome.is_failed());
    link.bye().await;
}

async fn check_run(lab: &'static Lab) {
    let link = lab.link().await;
    let check = |c: Call| Call { check: true, ..c };
    let path = "/var/tmp/stx-link-never-written";
    let put = check(call("put", dict! {"content" => "would be", "dest" => path}));
    assert!(link.call(1, &put, None).await.unwrap().outcome.changed);
    let cat = call("cat", dict! {"path" => path});
    let seen = link.call(2, &check(cat.clone()), None).await.unwrap();
    assert_eq!(seen.outcome.data.get("text").and_then(|v| v.as_str()), Some("would be"));
    assert!(link.call(3, &cat, None).await.unwrap().outcome.is_failed(), "the real host has no such file");
    link.bye().await;
}

async fn bye(lab: &'static Lab) {
    let run = lab.run();
    let link = lab.connector(&run).open(&lab.target()).await.unwrap();
    assert!(lab.run_dir(&run).join("socket").exists());
    let mode =
        |p: std::path::PathBuf| std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(p).unwrap().permissions());
    assert_eq!(mode(lab.run_dir(&run)) & 0o777, 0o700);
    assert_eq!(mode(lab.run_dir(&run).join("socket")) & 0o777, 0o600);
    link.bye().await;
    assert!(!lab.run_dir(&run).exists());
    soon("the end of its processes", || of_run(&run).is_empty()).await;
}

async fn idle(lab: &'static Lab) {
    let run = lab.run();
    let link = lab.connector_with(&run, Arc::new(()), Duration::from_secs(1)).open(&lab.target()).await.unwrap();
    link.call(1, &sh("true"), None).await.unwrap();
    link.acknowledge(1);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(of_run(&run).len(), 2, "it stays while an engine is there");
    link.close().await;
    soon("the end of the agent", || of_run(&run).is_empty()).await;
    assert!(!lab.run_dir(&run).exists());
}

async fn uploaded(lab: &'static Lab) {
    let link = lab.link().await;
    link.bye().await;
    let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    let there = lab.cache().join(digest(&program)).join("stx-upgrade");
    let before = std::fs::metadata(&there).unwrap().modified().unwrap();
    lab.link().await.bye().await;
    assert_eq!(std::fs::metadata(&there).unwrap().modified().unwrap(), before, "not uploaded again");
}

async fn shell(lab: &'static Lab) {
    let connector = lab.connector(&lab.run());
    for target in [lab.target(), Target { kind: Kind::Local, ..Target::new("localhost") }] {
        let shell = connector.shell(&target).await.unwrap();
        let limit = Duration::from_secs(10);
        let out = shell.run("cat; echo err >&2; exit 3", b"input", limit).await.unwrap();
        assert_eq!((out.rc, out.text().as_str(), out.error_text().as_str()), (3, "input", "err\n"));
        assert_eq!(shell.run("/no/such/program", b"", limit).await.unwrap().rc, 127);
        assert_eq!(shell.run("exit 255", b"", limit).await.unwrap().rc, 255);
        let late = shell.run("sleep 5", b"", Duration::from_millis(300)).await;
        assert!(matches!(late, Err(LinkError::TimedOut { .. })), "{late:?}");
        shell.close().await;
    }
}

async fn shell_as_others(lab: &'static Lab) {
    use crate::lab::{FREE, OPS, PASSWORD, sudo};
    let limit = Duration::from_secs(30);
    let connector = lab.connector(&lab.run());
    let open = async |user| connector.shell(&lab.target_as(user)).await.unwrap();
    let (wrong, right) = (Secret::new("wrong"), Secret::new(PASSWORD));
    let refusal = |refused: Result<Output, LinkError>| match refused {
        Err(LinkError::Refused { why, .. }) => why,
        other => panic!("{other:?}"),
    };

    let free = open(FREE).await;
    // What it reads ends at once; what it prints is all that is kept.
    let out = free.run_as(&sudo(PLAIN), None, "cat; id -un; echo err >&2; exit 3", limit).await.unwrap();
    assert_eq!((out.rc, out.text(), out.error_text()), (3, format!("{PLAIN}\n"), "err\n".into()));
    let there = Become { chdir: Some("/usr".into()), ..sudo(PLAIN) };
    assert_eq!(free.run_as(&there, None, "pwd", limit).await.unwrap().text(), "/usr\n");
    let nowhere = Become { chdir: Some("/no/such".into()), ..sudo(PLAIN) };
    assert!(refusal(free.run_as(&nowhere, None, "pwd", limit).await).contains("/no/such"));
    assert_eq!(free.run_as(&sudo(FREE), None, "id -un", limit).await.unwrap().text(), format!("{FREE}\n"));
    free.close().await;

    let asked = open(OPS).await;
    let su = Become { method: "su".into(), ..sudo(PLAIN) };
    for how in [sudo(PLAIN), su] {
        let out = asked.run_as(&how, Some(&right), "cat; id -un", limit).await.unwrap();
        assert_eq!((out.text(), out.error_text()), (format!("{PLAIN}\n"), String::new()), "{how:?}");
        assert!(refusal(asked.run_as(&how, Some(&wrong), "id", limit).await).starts_with("Incorrect "));
        assert!(refusal(asked.run_as(&how, None, "id", limit).await).contains("ansible_become_password"));
    }
    asked.close().await;
}

/// Another user makes links where the agent would work, to a directory that is the login's own.
async fn planted(lab: &'static Lab) {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};
    let uid = |user: &str| {
        let passwd = std::fs::read_to_string(lab.dir.join("etc/passwd")).unwrap();
        let line = passwd.lines().find(|l| l.starts_with(&format!("{user}:"))).unwrap().to_owned();
        line.split(':').nth(2).unwrap().parse::<u32>().unwrap()
    };
    let (login, other) = (uid(BARE), uid(PLAIN));
    let own = lab.dir.join("its-own");
    std::fs::create_dir(&own).unwrap();
    std::fs::set_permissions(&own, PermissionsExt::from_mode(0o755)).unwrap();
    chown(&own, Some(login), Some(login)).unwrap();
    let Planted(links) = &Planted(["/var/tmp", "/tmp", "/dev/shm"].map(|d| format!("{d}/stx-upgrade-{login}")));
    for link in links {
        symlink(&own, link).unwrap();
        lchown(link, Some(other), Some(other)).unwrap();
    }
    let connector = lab.connector(&lab.run());
    let refused = connector.open(&lab.target_as(BARE)).await.err();
    assert!(matches!(&refused, Some(LinkError::Upload { why, .. }) if why.contains("is not ours")), "{refused:?}");
    assert_eq!(std::fs::read_dir(&own).unwrap().count(), 0);
    assert_eq!(std::fs::metadata(&own).unwrap().mode() & 0o777, 0o755);
    // A directory of somebody else's is as little used.
    std::fs::remove_file(&links[0]).unwrap();
    std::fs::create_dir(&links[0]).unwrap();
    chown(&links[0], Some(other), Some(other)).unwrap();
    std::fs::set_permissions(&links[0], PermissionsExt::from_mode(0o777)).unwrap();
    std::fs::remove_file(&links[2]).unwrap();
    let link = connector.open(&lab.target_as(BARE)).await.unwrap();
    assert_eq!(std::fs::read_dir(&links[0]).unwrap().count(), 0);
    assert!(std::fs::symlink_metadata(&links[2]).unwrap().is_dir());
    link.bye().await;
}

/// What a test puts into directories that all share; gone with it.
struct Planted([String; 3]);

impl Drop for Planted {
    fn drop(&mut self) {
        for path in &self.0 {
            let _ = std::fs::remove_file(path).or_else(|_| std::fs::remove_dir_all(path));
        }
    }
}
