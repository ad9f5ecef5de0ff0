//! Somebody who uses the system while it is upgraded: asks a service behind the floating address every 100 ms.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_millis(100);

/// One that goes on asking until it is stopped.
pub struct Client {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<(Instant, bool)>>,
}

impl Client {
    /// Asks the Kubernetes API at the floating address; `command` makes a `stx-lab` for the lab.
    pub fn start(command: impl Fn() -> Command + Send + Sync + 'static) -> Client {
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let command = Arc::new(command);
        let thread = spawn(move || {
            let mut asked = Vec::new();
            while !told.load(Ordering::Relaxed) {
                let at = Instant::now();
                let command = command.clone();
                // Each by itself: one that hangs is no reason not to ask again.
                asked.push((at, spawn(move || answered(command()))));
                sleep(EVERY.saturating_sub(at.elapsed()));
            }
            asked.into_iter().map(|(at, answer)| (at, answer.join().unwrap())).collect()
        });
        Client { stop, thread }
    }

    /// The times without an answer, each from the first question in vain to the next that was answered.
    pub fn outages(self) -> Vec<Duration> {
        self.stop.store(true, Ordering::Relaxed);
        let asked = self.thread.join().unwrap();
        assert!(asked.len() > 20, "asked {} times only", asked.len());
        let mut outages = Vec::new();
        let mut since = None;
        for (at, answered) in asked {
            match (answered, since) {
                (false, None) => since = Some(at),
                (true, Some(start)) => {
                    outages.push(at - start);
                    since = None;
                }
                _ => {}
            }
        }
        assert!(since.is_none(), "the service did not come back");
        outages
    }
}

fn answered(mut command: Command) -> bool {
    let mut child = command
        .args(["connect", "192.168.206.1", "6443"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let _ = stdin.write_all(b"GET /version HTTP/1.1\r\nHost: controller\r\nConnection: close\r\n\r\n");
    let mut stdout = child.stdout.take().unwrap();
    let reader = spawn(move || {
        let mut answer = [0; 12];
        stdout.read_exact(&mut answer).is_ok() && answer == *b"HTTP/1.1 200"
    });
    let end = Instant::now() + Duration::from_secs(1);
    while !reader.is_finished() && Instant::now() < end {
        sleep(Duration::from_millis(5));
    }
    let _ = child.kill();
    let _ = child.wait();
    drop(stdin);
    reader.join().unwrap()
}
