//! Actions that wait for a host to come back: `wait_for_connection`, `reboot`, `stx_reinstalled`.
//!
//! A reboot is proved by a changed boot id; a probe that fails proves nothing.

use std::time::{Duration, Instant};

use crate::action::engine_side::{Action, Context};
use crate::action::module::Failure;
use crate::dict;
use crate::model::event;
use crate::model::outcome::{Consequence, Outcome};
use crate::model::value::{Dict, Value};

pub struct WaitForConnection;

crate::arguments! {
    pub struct WaitArgs {
        /// Seconds to wait before the first try.
        delay []: u64 = 0u64,
        /// Seconds between tries.
        sleep []: u64 = 1u64,
        /// Seconds until it is given up.
        timeout []: u64 = 600u64,
        /// Seconds for one try.
        connect_timeout []: u64 = 5u64,
    }
}

impl Action for WaitForConnection {
    const NAMES: &'static [&'static str] = &["wait_for_connection", "ansible.builtin.wait_for_connection"];
    const DOC: &'static str = "Waits until the host can be reached and used.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[("elapsed", "seconds it took")];
    const EXAMPLE: &'static str = "- wait_for_connection:\n    timeout: 900";
    const MAY_CHANGE: bool = false;
    type Args = WaitArgs;

    async fn run(args: WaitArgs, _: Dict, ctx: &mut dyn Context) -> Result<Outcome, Failure> {
        if ctx.check() {
            return Ok(Outcome::ok().with("elapsed", 0i64));
        }
        let start = Instant::now();
        ctx.sleep(Duration::from_secs(args.delay)).await?;
        let wait = Waiting {
            reason: format!("{} can be reached", ctx.host()),
            usual: None,
            budget: Duration::from_secs(args.timeout),
            one_try: Some(Duration::from_secs(args.connect_timeout)),
            most: Duration::from_secs(args.sleep.max(1)),
            release: None,
            advice: &[],
        };
        wait.for_host(ctx, false, |_| true).await?;
        Ok(Outcome::ok().with("elapsed", start.elapsed().as_secs()))
    }
}

pub struct Reboot;

crate::arguments! {
    pub struct RebootArgs {
        /// Seconds to wait before the command.
        pre_reboot_delay []: u64 = 0u64,
        /// Seconds to wait once the host is back.
        post_reboot_delay []: u64 = 0u64,
        /// Seconds until the host must be back.
        reboot_timeout []: u64 = 600u64,
        /// Seconds for one try to connect.
        connect_timeout []: Option<u64>,
        /// A command that must succeed before the host counts as back.
        test_command []: Option<String>,
        /// What users of the host are told.
        msg []: String = "Reboot initiated by Ansible",
        /// The command to reboot with.
        reboot_command []: Option<String>,
        /// Folders to look for `shutdown` in, before those of the host's own search path.
        search_paths []: Option<Vec<String>>,
    }
}

impl Action for Reboot {
    const NAMES: &'static [&'static str] = &["reboot", "ansible.builtin.reboot"];
    const DOC: &'static str = "Reboots the host and waits until it is back with another boot id.";
    const RETURNS: &'static [(&'static str, &'static str)] =
        &[("rebooted", "true if it was"), ("elapsed", "seconds it took")];
    const EXAMPLE: &'static str = "- reboot:\n    reboot_timeout: 1200";
    type Args = RebootArgs;

    async fn run(args: RebootArgs, _: Dict, ctx: &mut dyn Context) -> Result<Outcome, Failure> {
        if ctx.check() {
            return Ok(Outcome::changed(true).with("rebooted", true).with("elapsed", 0i64));
        }
        let start = Instant::now();
        let before = ctx.boot_id().await?;
        ctx.sleep(Duration::from_secs(args.pre_reboot_delay)).await?;
        let command =
            args.reboot_command.unwrap_or_else(|| format!("shutdown -r now \"{}\"", args.msg.replace('"', "'")));
        // The answer may be cut off by the reboot itself; the boot id decides.
        let command = match &args.search_paths {
            Some(paths) => format!("PATH={}:$PATH {command}", paths.join(":")),
            None => command,
        };
        let said = ctx.call("shell", dict! {"cmd" => command}).await;
        if let Ok(outcome) = &said
            && outcome.is_failed()
            && outcome.data.get("rc").is_some_and(|rc| rc.as_int().is_some_and(|rc| rc != 255 && rc < 128))
        {
            return Ok(outcome.clone());
        }
        let budget = Duration::from_secs(args.reboot_timeout);
        let wait = Waiting {
            reason: format!("{} back with a new boot id", ctx.host()),
            usual: None,
            budget,
            one_try: args.connect_timeout.map(Duration::from_secs),
            most: Duration::from_secs(5),
            release: None,
            advice: &[],
        };
        let boot_id = wait.for_host(ctx, false, |id| id != before).await?;
        ctx.consequence(Consequence::Reborn { boot_id, new_host_key: false });
        if let Some(test) = args.test_command {
            let outcome = ctx.call("command", dict! {"cmd" => test}).await?;
            if outcome.is_failed() {
                return Ok(outcome);
            }
        }
        ctx.sleep(Duration::from_secs(args.post_reboot_delay)).await?;
        Ok(Outcome::changed(true).with("rebooted", true).with("elapsed", start.elapsed().as_secs()))
    }
}

pub struct StxReinstalled;

crate::arguments! {
    pub struct ReinstalledArgs {
        /// What is waited for, for the operator's eyes.
        reason []: String = "the host is back, reinstalled",
        /// The boot id before it went, as `stx_facts` or an earlier step saw it; a host that still has it is not back yet.
        boot_id []: Option<String>,
        /// The release that /etc/build.info must name: a host that merely rebooted is not back yet.
        release []: Option<String>,
        /// Seconds it takes as a rule.
        usual []: u64 = 1500u64,
        /// Seconds until it is given up.
        timeout []: u64 = 3600u64,
        /// Whether the host is expected to answer with a new host key: taken for this run only, and said.
        new_host_key []: bool = true,
    }
}

impl Action for StxReinstalled {
    const NAMES: &'static [&'static str] = &["stx_reinstalled"];
    const DOC: &'static str = "Waits until a host that is being reinstalled or rebooted by the platform answers again, with another boot id. \
        A reinstalled host has a new host key: with `new_host_key` it is taken knowingly, for this run, and named in the result.";
    const RETURNS: &'static [(&'static str, &'static str)] =
        &[("boot_id", "the boot id it came back with"), ("elapsed", "seconds it took")];
    const EXAMPLE: &'static str =
        "- stx_reinstalled:\n    reason: controller-0 reinstalled with 21.12\n    timeout: 3600";
    const MAY_CHANGE: bool = false;
    type Args = ReinstalledArgs;

    async fn run(args: ReinstalledArgs, _: Dict, ctx: &mut dyn Context) -> Result<Outcome, Failure> {
        if ctx.check() {
            return Ok(Outcome::ok().with("elapsed", 0i64));
        }
        let start = Instant::now();
        let before = args.boot_id;
        let wait = Waiting {
            reason: args.reason,
            usual: Some(Duration::from_secs(args.usual)),
            budget: Duration::from_secs(args.timeout),
            one_try: None,
            most: Duration::from_secs(5),
            release: args.release,
            advice: &[
                ("Cause", "the installation has not ended or failed, or the host does not get its address back"),
                (
                    "Safe now",
                    "the host is out of service until it is installed; the archives that were copied off it are whole",
                ),
                (
                    "Next",
                    "its console shows where the installation stands; once ssh answers there, `stx-upgrade resume`",
                ),
            ],
        };
        let boot_id =
            wait.for_host(ctx, args.new_host_key, |id| !before.as_deref().is_some_and(|b| is_same_boot(id, b))).await?;
        ctx.consequence(Consequence::Reborn { boot_id: boot_id.clone(), new_host_key: args.new_host_key });
        Ok(Outcome::ok().with("boot_id", boot_id).with("elapsed", start.elapsed().as_secs()))
    }
}

/// Whether a boot that an agent reported is the one that is meant: by the agent's own words, or by the kernel's id alone,
/// which the agent's begins with.
fn is_same_boot(reported: &str, meant: &str) -> bool {
    !meant.is_empty() && reported.starts_with(meant)
}

/// A wait for a host that is away.
struct Waiting {
    reason: String,
    usual: Option<Duration>,
    budget: Duration,
    /// For one try, where it is not left to the connection's own settings.
    one_try: Option<Duration>,
    /// The longest pause between tries.
    most: Duration,
    /// What must be installed there.
    release: Option<String>,
    /// Headings and texts that go with a failure.
    advice: &'static [(&'static str, &'static str)],
}

impl Waiting {
    /// Whether the wanted release is installed; else what is there instead.
    async fn installed(&self, ctx: &mut dyn Context) -> Result<(), String> {
        let Some(wanted) = &self.release else { return Ok(()) };
        let said = ctx.raw("cat /etc/build.info").await.map_err(|e| e.to_string())?;
        let text = said.data.get("stdout").map(Value::to_string).unwrap_or_default();
        let found = text.lines().find_map(|l| l.trim().strip_prefix("SW_VERSION=")).map(|v| v.trim_matches('"'));
        match found {
            Some(found) if found == wanted => Ok(()),
            Some(found) => Err(format!("it answers, with {found}")),
            None if said.msg.is_empty() => Err("it answers, and names no release".into()),
            None => Err(said.msg),
        }
    }

    /// Tries to connect until the boot id found is the wanted one.
    async fn for_host(
        &self,
        ctx: &mut dyn Context,
        new_host_key: bool,
        wanted: impl Fn(&str) -> bool + Send,
    ) -> Result<String, Failure> {
        let start = Instant::now();
        let mut pause = Duration::from_millis(300);
        loop {
            let tried = match self.one_try {
                None => ctx.reconnect(new_host_key).await,
                Some(limit) => tokio::time::timeout(limit, ctx.reconnect(new_host_key)).await.unwrap_or_else(|_| {
                    Err(Failure::new(format!("no answer within {}", crate::action::wait::human(limit))))
                }),
            };
            let seen = match tried {
                Ok(id) if wanted(&id) => match self.installed(ctx).await {
                    Ok(()) => return Ok(id),
                    Err(instead) => instead,
                },
                Ok(_) => "the host still runs as before".to_owned(),
                Err(failure) => failure.to_string(),
            };
            let elapsed = start.elapsed();
            if elapsed >= self.budget {
                let budget = crate::action::wait::human(self.budget);
                let said = format!("{}: not seen within {budget}; last seen: {seen}", self.reason);
                let row =
                    |(heading, text): &(&str, &str)| [Value::str(*heading), Value::str(*text)].into_iter().collect();
                let advice: Vec<Value> = self.advice.iter().map(row).collect();
                let outcome = Outcome::failed(said);
                return Err(Failure::Failed(Box::new(match advice.is_empty() {
                    true => outcome,
                    false => outcome.with("advice", Value::list(advice)),
                })));
            }
            ctx.heartbeat(event::Wait {
                reason: self.reason.clone(),
                elapsed: elapsed.as_millis() as u64,
                usual: self.usual.map(|u| u.as_millis() as u64),
                budget: self.budget.as_millis() as u64,
                seen,
            });
            ctx.sleep(pause).await?;
            pause = (pause * 5 / 4).min(self.most);
        }
    }
}
