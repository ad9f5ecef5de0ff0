//! Links that are lost, runs that are killed, agents that are gone: nothing is run twice, and what happened is known.

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use libtest_mimic::Trial;
use stx_upgrade::action::wire::{Frame, FromAgent, ToAgent, VERSION};
use stx_upgrade::connection::{Connector, Done, Kind, Known, Link, LinkError, Reattached, Target};

use crate::calls::stdout;
use crate::lab::{FREE, LOUD, Lab, PLAIN, agent, call, kill, of_run, parent, processes, sh, soon};
use crate::{trial, with_users};
use tokio::io::AsyncWriteExt;

pub fn trials(lab: &'static Lab) -> Vec<Trial> {
    vec![
        trial("a cut link comes back, and the work went on", lab, cut),
        trial("the same when ssh dies here", lab, master_killed),
        trial("a killed run's attempts are known to the next", lab, run_killed),
        trial("a killed agent is known to be gone", lab, agent_killed),
        trial("an agent that is killed while it writes leaves nothing in the folder", lab, killed_while_writing),
        trial("the later of two engines is served", lab, two_engines),
        trial("another version and another run are refused", lab, refused),
        trial("content that was asked for is sent after a cut", lab, content_after_cut),
        trial("what a killed agent left is swept", lab, swept),
        with_users("another user is refused", lab, other_user),
        with_users("another user's agent is not spoken to", lab, impostor),
    ]
}

/// The process of sshd that serves a run's link.
fn session_of(run: &str) -> u32 {
    parent(processes(&[&format!("agent attach {} ", agent(run))])[0])
}

/// A line that says in a file that it began, and ends once the other is there; the files are in `/tmp`.
struct Gate {
    begun: PathBuf,
    end: PathBuf,
}

impl Gate {
    fn new(lab: &Lab) -> Gate {
        let name = lab.run();
        Gate { begun: format!("/tmp/stx-link-{name}").into(), end: format!("/tmp/stx-link-{name}-end").into() }
    }

    fn line(&self) -> String {
        let (begun, end) = (self.begun.display(), self.end.display());
        format!("echo ran >>{begun}; while [ ! -e {end} ]; do sleep 0.05; done; echo done; cat {begun}; rm {begun}")
    }

    async fn begun(&self) {
        soon("the start of the command", || self.begun.exists()).await;
    }

    /// Lets the line end. What it says then shows that it ran once.
    fn open(&self) -> &'static str {
        std::fs::write(&self.end, "").unwrap();
        "done\nran\n"
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.end);
    }
}

fn start(link: &Link, attempt: u64, line: &str) -> tokio::task::JoinHandle<Result<Done, LinkError>> {
    let (link, line) = (link.clone(), sh(line));
    tokio::spawn(async move { link.call(attempt, &line, None).await })
}

async fn cut(lab: &'static Lab) {
    let run = lab.run();
    let link = lab.connector(&run).open(&lab.target()).await.unwrap();
    let gate = Gate::new(lab);
    let calling = start(&link, 5, &gate.line());
    gate.begun().await;
    kill(session_of(&run));
    let lost = calling.await.unwrap();
    assert!(matches!(lost, Err(LinkError::Lost { sent: true, .. })), "{lost:?}");
    let not_sent = link.call(6, &sh("true"), None).await;
    assert!(matches!(not_sent, Err(LinkError::Lost { sent: false, .. })), "{not_sent:?}");

    assert_eq!(link.reattach(Duration::from_secs(20)).await.unwrap(), Reattached::SameAgent);
    assert_eq!(link.ask(6).await.unwrap(), Known::NeverSeen);
    assert_eq!(link.ask(5).await.unwrap(), Known::Running);
    let said = gate.open();
    assert_eq!(stdout(&link.follow(5, None).await.unwrap().outcome), said);
    link.bye().await;
}

async fn master_killed(lab: &'static Lab) {
    let (target, mark) = lab.marked_target();
    let link = lab.connector(&lab.run()).open(&target).await.unwrap();
    let gate = Gate::new(lab);
    let calling = start(&link, 1, &gate.line());
    gate.begun().await;
    let masters = processes(&["ssh", &mark]);
    assert_eq!(masters.len(), 1);
    kill(masters[0]);
    assert!(calling.await.unwrap().is_err());
    assert_eq!(link.reattach(Duration::from_secs(20)).await.unwrap(), Reattached::SameAgent);
    let said = gate.open();
    assert_eq!(stdout(&link.follow(1, None).await.unwrap().outcome), said);
    link.bye().await;
}

/// The run that is killed: starts a call over a link of the kind and says so.
pub fn runner(args: &[std::ffi::OsString]) -> ExitCode {
    let [run, known, key, port, user, line] = [0, 1, 2, 3, 4, 5].map(|i| args[i].to_str().unwrap().to_owned());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let target = if user.is_empty() {
            Target { kind: Kind::Local, ..Target::new("localhost") }
        } else {
            Target {
                address: "127.0.0.1".into(),
                port: port.parse().ok(),
                user: Some(user),
                key_file: Some(key.into()),
                ssh_args: ["-F", "none", "-o", &known].map(str::to_owned).to_vec(),
                ..Target::new("c0")
            }
        };
        let link =
            Connector::with_program(run, Arc::new(()), std::env::current_exe().unwrap(), Duration::from_secs(60))
                .open(&target)
                .await
                .unwrap();
        let _ = link.call(1, &sh(&line), None).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
    });
    ExitCode::FAILURE
}

async fn run_killed(lab: &'static Lab) {
    for target in [lab.target(), Target { kind: Kind::Local, ..Target::new("localhost") }] {
        let run = lab.run();
        let gate = Gate::new(lab);
        let mut first = Command::new(std::env::current_exe().unwrap())
            .arg("runner")
            .args([&run, &lab.target().ssh_args[3]])
            .arg(lab.dir.join("user"))
            .args([lab.port.to_string(), target.user.clone().unwrap_or_default(), gate.line()])
            .spawn()
            .unwrap();
        gate.begun().await;
        first.kill().unwrap();
        first.wait().unwrap();

        let link = lab.connector(&run).open(&target).await.unwrap();
        assert_eq!(link.ask(1).await.unwrap(), Known::Running);
        let said = gate.open();
        let done = link.follow(1, None).await.unwrap();
        assert_eq!(stdout(&done.outcome), said);
        assert_eq!(link.ask(1).await.unwrap(), Known::Done(done));
        link.bye().await;
        soon("the end of its agent", || of_run(&run).is_empty()).await;
    }
}

async fn agent_killed(lab: &'static Lab) {
    let run = lab.run();
    let link = lab.connector(&run).open(&lab.target()).await.unwrap();
    let calling = {
        let l = link.clone();
        tokio::spawn(async move { l.call(1, &sh("sleep 3"), None).await })
    };
    tokio::time::sleep(Duration::from_millis(200)).await;
    kill(link.welcome().pid);
    assert!(matches!(calling.await.unwrap(), Err(LinkError::Lost { sent: true, .. })));
    assert_eq!(link.reattach(Duration::from_secs(20)).await.unwrap(), Reattached::NewAgent);
    assert_eq!(link.ask(1).await.unwrap(), Known::NeverSeen);
    link.bye().await;
}

async fn killed_while_writing(lab: &'static Lab) {
    let link = lab.link().await;
    let folder = PathBuf::from(format!("/var/tmp/stx-link-{}", lab.run()));
    let make = sh(&format!("mkdir {0}; echo old >{0}/f; mkfifo {0}/from; ls {0}", folder.display()));
    assert_eq!(stdout(&link.call(1, &make, None).await.unwrap().outcome), "f\nfrom\n");
    let (from, dest) = (folder.join("from"), folder.join("f"));
    let calling = {
        let l = link.clone();
        let put = call(
            "put",
            stx_upgrade::dict! {"from" => from.display().to_string(), "dest" => dest.display().to_string()},
        );
        tokio::spawn(async move { l.call(2, &put, None).await })
    };
    // A pipe holds 64 KiB, so once a megabyte is in it the agent has written most of that; it never sees the end.
    let mut pipe = tokio::fs::OpenOptions::new().write(true).open(&from).await.unwrap();
    pipe.write_all(&vec![b'x'; 1 << 20]).await.unwrap();
    kill(link.welcome().pid);
    assert!(calling.await.unwrap().is_err());
    assert_eq!(link.reattach(Duration::from_secs(20)).await.unwrap(), Reattached::NewAgent);
    let left = link.call(3, &sh(&format!("cd {0}; ls -A; cat f; rm -r {0}", folder.display())), None).await.unwrap();
    assert_eq!(stdout(&left.outcome), "f\nfrom\nold\n");
    link.bye().await;
}

async fn two_engines(lab: &'static Lab) {
    let run = lab.run();
    let first = lab.connector(&run).open(&lab.target()).await.unwrap();
    first.call(1, &sh("echo one"), None).await.unwrap();
    let second = lab.connector(&run).open(&lab.target()).await.unwrap();
    assert_eq!(first.welcome(), second.welcome());
    assert!(matches!(second.ask(1).await.unwrap(), Known::Done(_)));
    soon("the first link's end", || !first.is_up()).await;
    assert!(first.call(2, &sh("true"), None).await.is_err());
    first.close().await;
    assert!(second.call(2, &sh("true"), None).await.is_ok());
    second.bye().await;
}

/// Says something to a run's socket and gives the answer.
fn say(lab: &Lab, run: &str, message: &ToAgent) -> Option<FromAgent> {
    let mut stream = std::os::unix::net::UnixStream::connect(lab.run_dir(run).join("socket")).unwrap();
    std::io::Write::write_all(&mut stream, &Frame::message(message).unwrap().encode()).unwrap();
    Frame::read(&mut stream).ok().flatten().and_then(|f| f.parse().ok())
}

async fn refused(lab: &'static Lab) {
    let run = lab.run();
    let link = lab.connector(&run).open(&lab.target()).await.unwrap();
    let hello = |version, run: &str| ToAgent::Hello { version, run: run.to_owned() };
    let Some(FromAgent::Refused { why }) = say(lab, &run, &hello(VERSION + 1, &run)) else { panic!() };
    assert!(why.contains(&format!("version {}", VERSION + 1)), "{why}");
    assert!(matches!(say(lab, &run, &hello(VERSION, "another")), Some(FromAgent::Refused { .. })));
    assert!(matches!(say(lab, &run, &ToAgent::Bye), Some(FromAgent::Refused { .. })));
    assert!(link.call(1, &sh("true"), None).await.is_ok(), "the engine that is served is not disturbed");
    link.bye().await;
}

async fn content_after_cut(lab: &'static Lab) {
    // The content comes only after the link was cut once.
    struct Late(Vec<u8>, AtomicBool, AtomicBool);
    impl stx_upgrade::connection::Blobs for Late {
        fn find(&self, _: &str) -> Option<stx_upgrade::connection::Content> {
            use stx_upgrade::connection::Content;
            let late = self.1.load(Ordering::SeqCst);
            self.2.store(true, Ordering::SeqCst);
            if !late {
                // The runtime must go on meanwhile, or it would not see the cut.
                tokio::task::block_in_place(|| {
                    while !self.1.load(Ordering::SeqCst) {
                        std::thread::sleep(Duration::from_millis(20));
                    }
                });
            }
            Some(Content::Bytes(self.0.clone().into()))
        }
    }
    let blobs = Arc::new(Late(b"late".to_vec(), AtomicBool::default(), AtomicBool::default()));
    let run = lab.run();
    let link = lab.connector_with(&run, blobs.clone(), Duration::from_secs(60)).open(&lab.target()).await.unwrap();
    let dest = format!("/var/tmp/stx-link-{run}");
    let put = call("put", stx_upgrade::dict! {"sha256" => crate::calls::digest(b"late"), "dest" => dest.as_str()});
    let calling = {
        let l = link.clone();
        tokio::spawn(async move { l.call(1, &put, None).await })
    };
    soon("that it is asked for", || blobs.2.load(Ordering::SeqCst)).await;
    kill(session_of(&run));
    assert!(calling.await.unwrap().is_err());
    blobs.1.store(true, Ordering::SeqCst);
    link.reattach(Duration::from_secs(20)).await.unwrap();
    let done = link.follow(1, None).await.unwrap();
    assert!(done.outcome.changed, "{done:?}");
    link.call(2, &sh(&format!("rm {dest}")), None).await.unwrap();
    link.bye().await;
}

async fn swept(lab: &'static Lab) {
    let run = lab.run();
    let link = lab.connector(&run).open(&lab.target()).await.unwrap();
    // Told before the kill: behind it, the agent of a trial beside this one may sweep first.
    assert!(lab.run_dir(&run).exists());
    kill(link.welcome().pid);
    soon("the link's end", || !link.is_up()).await;
    link.close().await;
    let next = lab.link().await;
    assert!(!lab.run_dir(&run).exists());
    next.bye().await;
}

async fn other_user(lab: &'static Lab) {
    let run = lab.run();
    let link = lab.connector(&run).open(&lab.target()).await.unwrap();
    // The directories do not let another user near the socket; the agent itself is asked with them opened.
    let stranger = lab.connector(&lab.run()).open(&lab.target_as(FREE)).await.unwrap();
    let look = sh(&format!("ls {}", lab.run_dir(&run).display()));
    let denied = stranger.call(1, &look, None).await.unwrap();
    assert!(denied.outcome.data.get("stderr").unwrap().as_str().unwrap().contains("denied"), "{denied:?}");
    stranger.bye().await;

    let open = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    };
    let socket = lab.run_dir(&run).join("socket");
    let mode = |path: &std::path::Path| std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(path).unwrap()) & 0o777;
    assert_eq!((mode(&lab.run_dir(&run)), mode(&socket)), (0o700, 0o600));
    for dir in socket.ancestors().skip(1).take_while(|d| d.starts_with(&lab.dir)) {
        open(dir, 0o755);
    }
    open(&socket, 0o777);
    let uid = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(lab.dir.join("home").join(PLAIN)).unwrap());
    let program = lab.dir.join(format!("stranger-{run}"));
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let out =
        std::os::unix::process::CommandExt::uid(Command::new(&program).arg("stranger").arg(&socket).arg(&run), uid)
            .output()
            .unwrap();
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(said.contains("serves user"), "{said} {out:?}");
    assert!(link.call(1, &sh("true"), None).await.is_ok());
    link.bye().await;
}

async fn impostor(lab: &'static Lab) {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
    use std::os::unix::process::CommandExt;
    let uid = |user: &str| std::fs::metadata(lab.dir.join("home").join(user)).unwrap().uid();
    let run = lab.run();
    // Where the login's agent would be if its home were of no use: made by the other user, with a socket for all.
    let root = PathBuf::from(format!("/var/tmp/stx-upgrade-{}", uid(LOUD)));
    let dir = root.join("run").join(agent(&run));
    std::fs::create_dir_all(&dir).unwrap();
    chown(&dir, Some(uid(PLAIN)), None).unwrap();
    let program = lab.dir.join(format!("impostor-{run}"));
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let mut other = Command::new(&program).arg("impostor").current_dir(&dir).uid(uid(PLAIN)).spawn().unwrap();
    soon("its socket", || dir.join("said").exists()).await;
    let link = lab.connector(&run).open(&lab.target_as(LOUD)).await;
    let who = match &link {
        Ok(link) => link.call(1, &sh("id -un"), None).await.map(|done| stdout(&done.outcome).to_owned()),
        Err(e) => Err(e.clone()),
    };
    let said = std::fs::read_to_string(dir.join("said")).unwrap();
    other.kill().unwrap();
    other.wait().unwrap();
    std::fs::remove_dir_all(&root).unwrap();
    assert_eq!((who, said.as_str()), (Ok(format!("{LOUD}\n")), ""));
    link.unwrap().bye().await;
}

/// The other user's agent: takes down what is said to it.
pub fn impersonate() -> ExitCode {
    let listener = std::os::unix::net::UnixListener::bind("socket").unwrap();
    std::fs::set_permissions("socket", std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let mut said = std::fs::File::create("said").unwrap();
    for mut stream in listener.incoming().flatten() {
        let _ = std::io::copy(&mut stream, &mut said);
    }
    ExitCode::SUCCESS
}

/// The other user: says hello to a socket and prints the answer.
pub fn stranger(args: &[std::ffi::OsString]) -> ExitCode {
    let mut stream = std::os::unix::net::UnixStream::connect(&args[0]).unwrap();
    let hello = ToAgent::Hello { version: VERSION, run: args[1].to_str().unwrap().to_owned() };
    // It may be refused, and the stream closed, before it has said anything.
    let _ = std::io::Write::write_all(&mut stream, &Frame::message(&hello).unwrap().encode());
    if let Some(FromAgent::Refused { why }) = Frame::read(&mut stream).unwrap().and_then(|f| f.parse().ok()) {
        println!("{why}");
    }
    ExitCode::SUCCESS
}
