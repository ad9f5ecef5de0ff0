//! For a person at a terminal: the same lines as `plain`, and below them the live part, redrawn in place on standard error
//! and gone at the end.

use std::io::{Stderr, Stdout};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Reporter;
use super::lines::{Lines, Options};
use super::live::{Live, Room};
use super::plain::Sink;
use super::style::Paint;
use crate::model::event::{Event, Stamped};

/// How often the live part is drawn anew.
const TICK: Duration = Duration::from_millis(250);

/// The reporter of a run at a terminal.
pub struct Terminal {
    lines: Lines,
    screen: Screen,
    ticker: Option<thread::JoinHandle<()>>,
    out: Sink<Stdout>,
    aside: Sink<Stderr>,
}

/// The terminal's live part; others that write to it or ask there take it away for so long.
#[derive(Clone)]
pub struct Screen(Arc<Shared>);

struct Shared {
    live: Mutex<Live>,
    bar: ProgressBar,
    paint: Paint,
    done: AtomicBool,
    /// How many others have the terminal now. Lines still come while they do: a run goes on while one host waits for an
    /// answer.
    taken: AtomicUsize,
}

impl Terminal {
    /// Shows on this process's terminal; see that both outputs are one, and that it is not dumb.
    pub fn new(options: Options) -> Terminal {
        let paint = Paint::new(options.color);
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template("{msg}") {
            bar.set_style(style);
        }
        let shared =
            Shared { live: Mutex::default(), bar, paint, done: AtomicBool::new(false), taken: AtomicUsize::new(0) };
        let screen = Screen(Arc::new(shared));
        let drawn = screen.clone();
        // Without the thread the live part stands still; the lines come all the same.
        let ticker = thread::Builder::new().name("display".into()).spawn(move || drawn.tick()).ok();
        let (out, aside) = (Sink(Some(std::io::stdout())), Sink(Some(std::io::stderr())));
        Terminal { lines: Lines::new(options), screen, ticker, out, aside }
    }

    /// For whoever asks the person at this terminal.
    pub fn screen(&self) -> Screen {
        self.screen.clone()
    }
}

impl Screen {
    /// Does `f` with the live part taken away: questions, passwords.
    pub fn without<T>(&self, f: impl FnOnce() -> T) -> T {
        self.0.taken.fetch_add(1, Ordering::SeqCst);
        self.hide();
        let result = f();
        self.0.taken.fetch_sub(1, Ordering::SeqCst);
        result
    }

    fn tick(&self) {
        while !self.0.done.load(Ordering::Relaxed) {
            self.draw();
            thread::park_timeout(TICK);
        }
    }

    fn draw(&self) {
        if self.0.taken.load(Ordering::SeqCst) > 0 {
            return;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64);
        let (columns, rows) = crossterm::terminal::size().unwrap_or((80, 24));
        let room = Room { columns: columns.into(), rows: rows.into() };
        let lines = self.0.live.lock().map(|live| live.lines(now, room, self.0.paint)).unwrap_or_default();
        if lines.is_empty() {
            self.hide();
            return;
        }
        if self.0.bar.is_hidden() {
            self.0.bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        }
        self.0.bar.set_message(lines.join("\n"));
        self.0.bar.tick();
    }

    /// Takes the live part away and leaves nothing behind.
    fn hide(&self) {
        if !self.0.bar.is_hidden() {
            self.0.bar.set_message("");
            self.0.bar.suspend(|| {});
            self.0.bar.set_draw_target(ProgressDrawTarget::hidden());
        }
    }
}

impl Reporter for Terminal {
    fn event(&mut self, e: &Stamped) {
        if let Ok(mut live) = self.screen.0.live.lock() {
            live.take(e);
        }
        if matches!(e.event, Event::GateOpened { .. } | Event::RunDone { .. }) {
            self.screen.hide();
        }
        // What is waited for stands in the live part.
        if matches!(e.event, Event::Waiting { .. }) {
            return;
        }
        let lines = self.lines.of(e);
        if lines.is_empty() {
            return;
        }
        let (out, aside) = (&mut self.out, &mut self.aside);
        self.screen.0.bar.suspend(|| {
            for line in &lines {
                if line.aside { aside.write(&line.text) } else { out.write(&line.text) }
            }
            out.flush();
        });
    }

    fn finish(&mut self) {
        self.screen.0.done.store(true, Ordering::Relaxed);
        if let Some(ticker) = self.ticker.take() {
            ticker.thread().unpark();
            let _ = ticker.join();
        }
        self.screen.hide();
        self.screen.0.bar.finish_and_clear();
        self.out.flush();
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if self.ticker.is_some() {
            self.finish();
        }
    }
}
