//! `iptables`: rules of the host's packet filter, by its own `iptables`.

use crate::action::command::{Command, Output};
use crate::action::host::{Act, Effect, HostError};
use crate::action::module::{Failure, Module};
use crate::model::outcome::Outcome;
use crate::model::value::Dict;
use crate::{arguments, choices};

choices! { pub enum State { Present = "present", Absent = "absent" } }
choices! { pub enum Action { Append = "append", Insert = "insert" } }
choices! { pub enum Ip { V4 = "ipv4", V6 = "ipv6", Both = "both" } }
choices! { pub enum Syn { Ignore = "ignore", Match = "match", Negate = "negate" } }
choices! { pub enum Policy { Accept = "ACCEPT", Drop = "DROP", Queue = "QUEUE", Return = "RETURN" } }

arguments! {
    pub struct Args {
        /// The table.
        table []: String = "filter",
        /// The chain.
        chain []: Option<String>,
        /// Whether the rule shall be there.
        state []: State = State::Present,
        /// Where a new rule goes.
        action []: Action = Action::Append,
        /// Insert it as the rule of this number.
        rule_num []: Option<String>,
        /// Which of the two filters.
        ip_version []: Ip = Ip::V4,
        /// The protocol; `!` before it negates, as in the following.
        protocol []: Option<String>,
        /// Where packets come from.
        source []: Option<String>,
        /// Where packets go to.
        destination []: Option<String>,
        /// TCP flags: `flags` to look at, `flags_set` of them that are set.
        tcp_flags []: Option<Dict>,
        /// Extensions to load.
        r#match []: Vec<String> = Vec::new(),
        /// What becomes of a packet.
        jump []: Option<String>,
        /// For the target TEE: where the copy goes.
        gateway []: Option<String>,
        /// For the target LOG: what stands before.
        log_prefix []: Option<String>,
        /// For the target LOG: how grave it is.
        log_level []: Option<String>,
        /// The chain to go on in, without return.
        goto []: Option<String>,
        /// The interface by which packets come.
        in_interface []: Option<String>,
        /// The interface by which packets leave.
        out_interface []: Option<String>,
        /// Second and further fragments only.
        fragment []: Option<String>,
        /// Counters to set.
        set_counters []: Option<String>,
        /// Port or range `first:last` of the source.
        source_port []: Option<String>,
        /// Port or range of the destination.
        destination_port []: Option<String>,
        /// Ports or ranges of the destination.
        destination_ports []: Vec<String> = Vec::new(),
        /// For REDIRECT and MASQUERADE: ports to use.
        to_ports []: Option<String>,
        /// For DNAT: the new destination.
        to_destination []: Option<String>,
        /// For SNAT: the new source.
        to_source []: Option<String>,
        /// Packets that open a TCP connection.
        syn []: Syn = Syn::Ignore,
        /// For DSCP: the mark.
        set_dscp_mark []: Option<String>,
        /// For DSCP: the class.
        set_dscp_mark_class []: Option<String>,
        /// A note.
        comment []: Option<String>,
        /// States of the connection.
        ctstate []: Vec<String> = Vec::new(),
        /// Range of addresses of the source.
        src_range []: Option<String>,
        /// Range of addresses of the destination.
        dst_range []: Option<String>,
        /// A set of addresses by its name; needs `match_set_flags`.
        match_set []: Option<String>,
        /// Whether source or destination is looked for in the set: `src`, `dst`, `src,dst` …
        match_set_flags []: Option<String>,
        /// How often it matches at most: `5/minute`.
        limit []: Option<String>,
        /// How often before the limit counts.
        limit_burst []: Option<String>,
        /// User whose packets they are.
        uid_owner []: Option<String>,
        /// Group whose packets they are.
        gid_owner []: Option<String>,
        /// For REJECT: what is answered.
        reject_with []: Option<String>,
        /// The kind of ICMP packet.
        icmp_type []: Option<String>,
        /// Remove all rules of the chain, or of the table without one.
        flush []: bool = false,
        /// What becomes of packets that no rule of the chain decides.
        policy []: Option<Policy>,
        /// Seconds to wait for the filter's lock.
        wait []: Option<String>,
        /// Make or remove the chain itself, where no rule is given.
        chain_management []: bool = false,
        /// Without effect: names are never looked up when listing.
        numeric []: bool = false,
    }
    rules [Exclusive(&["set_dscp_mark", "set_dscp_mark_class"]), Exclusive(&["flush", "policy"])]
}

/// The module `iptables`.
pub struct Iptables;

impl Module for Iptables {
    const NAMES: &'static [&'static str] = &["iptables", "ansible.builtin.iptables", "ansible.legacy.iptables"];
    const DOC: &'static str =
        "Adds rules to the host's packet filter and takes them out. They last until the next boot.";
    const RETURNS: &'static [(&'static str, &'static str)] =
        &[("rule", "The rule, as `iptables` takes it"), ("chain", "The chain"), ("table", "The table")];
    const EXAMPLE: &'static str = "- iptables:\n    chain: INPUT\n    protocol: tcp\n    destination_port: 8443\n    ctstate: NEW\n    jump: ACCEPT\n    comment: REST API\n";
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let rule = rule(&args)?;
        let mut outcome = Outcome::ok()
            .with("table", args.table.as_str())
            .with("chain", args.chain.as_deref())
            .with("flush", args.flush)
            .with("state", args.state.word())
            .with("ip_version", args.ip_version.word())
            .with("rule", rule.join(" "))
            .with("chain_management", args.chain_management);
        if args.chain.is_none() && !args.flush {
            return Err(Failure::new("Either chain or flush parameter must be specified."));
        }
        let programs: &[&str] = match args.ip_version {
            Ip::V4 => &["iptables"],
            Ip::V6 => &["ip6tables"],
            Ip::Both => &["iptables", "ip6tables"],
        };
        for program in programs {
            let filter = Filter { args: &args, program };
            outcome.changed |= filter.settle(&rule, host)?;
        }
        Ok(outcome)
    }
}

struct Filter<'a> {
    args: &'a Args,
    program: &'a str,
}

impl Filter<'_> {
    fn command(&self, words: &[&str], rule: &[String]) -> Command {
        let mut argv = vec![self.program.to_owned()];
        if let Some(wait) = &self.args.wait {
            argv.extend(["-w".into(), wait.clone()]);
        }
        argv.extend(["-t".into(), self.args.table.clone()]);
        argv.extend(words.iter().map(|w| (*w).to_owned()));
        argv.extend(rule.iter().cloned());
        Command::new(argv)
    }

    /// What an earlier step of a check run would have made of something: a rule, a chain, a policy.
    fn fact(&self, what: &str) -> String {
        format!("{}/{}/{}/{what}", self.program, self.args.table, self.args.chain.as_deref().unwrap_or_default())
    }

    fn ask(&self, host: &mut dyn Act, words: &[&str], rule: &[String]) -> Result<Output, Failure> {
        host.query(&self.command(words, rule)).map_err(missing)
    }

    fn act(&self, host: &mut dyn Act, words: &[&str], rule: &[String], fact: &str, now: &str) -> Result<(), Failure> {
        let command = self.command(words, rule);
        let output = host.run_expecting(&command, &[Effect::Suppose(self.fact(fact), now.into())]).map_err(missing)?;
        if output.success() {
            return Ok(());
        }
        Err(Failure::new(format!("{}: {}", command.argv.join(" "), output.error_text().trim())))
    }

    fn settle(&self, rule: &[String], host: &mut dyn Act) -> Result<bool, Failure> {
        let args = self.args;
        let chain = args.chain.as_deref().unwrap_or_default();
        if args.flush {
            let words: Vec<&str> = ["-F"].into_iter().chain(args.chain.as_deref()).collect();
            self.act(host, &words, &[], "flushed", "yes")?;
            return Ok(true);
        }
        if let Some(policy) = args.policy {
            let now = match host.supposed(&self.fact("policy")) {
                Some(now) => now.to_string(),
                None => {
                    let output = self.ask(host, &["-L", chain, "-n"], &[])?;
                    let text = output.text();
                    let policy = text.split("(policy ").nth(1).and_then(|t| t.split([')', ' ']).next());
                    policy.map(str::to_owned).ok_or_else(|| {
                        Failure::new(format!("the chain {chain} has no policy: {}", output.error_text().trim()))
                    })?
                }
            };
            if now == policy.word() {
                return Ok(false);
            }
            self.act(host, &["-P", chain, policy.word()], &[], "policy", policy.word())?;
            return Ok(true);
        }
        let there =
            |host: &mut dyn Act, what: &str, words: &[&str], rule: &[String]| match host.supposed(&self.fact(what)) {
                Some(known) => Ok(known.as_str() == Some("yes")),
                None => self.ask(host, words, rule).map(|o| o.success()),
            };
        let mut changed = false;
        if args.chain_management {
            let is_there = there(host, "chain", &["-L", chain, "-n"], &[])?;
            match (args.state, is_there, rule.is_empty()) {
                (State::Present, false, _) => {
                    self.act(host, &["-N", chain], &[], "chain", "yes")?;
                    changed = true;
                }
                (State::Absent, true, true) => {
                    self.act(host, &["-X", chain], &[], "chain", "no")?;
                    return Ok(true);
                }
                _ => {}
            }
            if rule.is_empty() {
                return Ok(changed);
            }
        }
        let fact = format!("rule {}", rule.join(" "));
        let is_there = there(host, &fact, &["-C", chain], rule)?;
        match (args.state, is_there) {
            (State::Present, false) => {
                let number = args.rule_num.as_deref();
                let words: Vec<&str> = match args.action {
                    Action::Append => vec!["-A", chain],
                    Action::Insert => ["-I", chain].into_iter().chain(number).collect(),
                };
                self.act(host, &words, rule, &fact, "yes")?;
                changed = true;
            }
            (State::Absent, true) => {
                self.act(host, &["-D", chain], rule, &fact, "no")?;
                changed = true;
            }
            _ => {}
        }
        Ok(changed)
    }
}

fn missing(error: HostError) -> Failure {
    match error {
        HostError::NoProgram(name) => Failure::new(format!("the host has no `{name}`, with which this module works")),
        other => other.into(),
    }
}

/// The words of a rule that is being made.
struct Rule(Vec<String>);

impl Rule {
    /// An option with its value, if there is one; a `!` before a value goes before its option.
    fn option(&mut self, option: &str, value: Option<&str>) {
        let Some(value) = value else { return };
        let plain = value.strip_prefix('!');
        self.0.extend(plain.map(|_| "!".to_owned()));
        self.0.extend([option.to_owned(), plain.unwrap_or(value).trim_start().to_owned()]);
    }
}

/// The words of a rule, in the order in which `iptables` wants them.
fn rule(args: &Args) -> Result<Vec<String>, Failure> {
    let mut rule = Rule(Vec::new());
    rule.option("-p", args.protocol.as_deref());
    rule.option("-s", args.source.as_deref());
    rule.option("-d", args.destination.as_deref());
    for module in &args.r#match {
        rule.option("-m", Some(module));
    }
    if let Some(flags) = &args.tcp_flags {
        let list = |key: &str| {
            flags.get(key).map(|v| {
                v.as_list()
                    .map_or_else(|| v.to_string(), |l| l.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
            })
        };
        let (Some(of), Some(set)) = (list("flags"), list("flags_set")) else {
            return Err(Failure::new("tcp_flags needs `flags` and `flags_set`"));
        };
        rule.0.extend(["--tcp-flags".to_owned(), of, set]);
    }
    let given = |module: &str| args.r#match.iter().any(|m| m == module);
    rule.option("-j", args.jump.as_deref());
    if args.jump.as_deref().is_some_and(|j| j.eq_ignore_ascii_case("tee")) {
        rule.option("--gateway", args.gateway.as_deref());
    }
    rule.option("--log-prefix", args.log_prefix.as_deref());
    rule.option("--log-level", args.log_level.as_deref());
    rule.option("--to-destination", args.to_destination.as_deref());
    if !args.destination_ports.is_empty() {
        if !given("multiport") {
            rule.option("-m", Some("multiport"));
        }
        rule.option("--dports", Some(&args.destination_ports.join(",")));
    }
    rule.option("--to-source", args.to_source.as_deref());
    rule.option("-g", args.goto.as_deref());
    rule.option("-i", args.in_interface.as_deref());
    rule.option("-o", args.out_interface.as_deref());
    rule.option("-f", args.fragment.as_deref());
    rule.option("-c", args.set_counters.as_deref());
    rule.option("--source-port", args.source_port.as_deref());
    rule.option("--destination-port", args.destination_port.as_deref());
    rule.option("--to-ports", args.to_ports.as_deref());
    rule.option("--set-dscp", args.set_dscp_mark.as_deref());
    rule.option("--set-dscp-class", args.set_dscp_mark_class.as_deref());
    match args.syn {
        Syn::Ignore => {}
        Syn::Match => rule.0.push("--syn".into()),
        Syn::Negate => rule.0.extend(["!".to_owned(), "--syn".into()]),
    }
    if !args.ctstate.is_empty() {
        let states = args.ctstate.join(",");
        match (given("conntrack"), given("state")) {
            (true, _) => rule.option("--ctstate", Some(&states)),
            (_, true) => rule.option("--state", Some(&states)),
            _ => {
                rule.option("-m", Some("conntrack"));
                rule.option("--ctstate", Some(&states));
            }
        }
    }
    if (args.src_range.is_some() || args.dst_range.is_some()) && !given("iprange") {
        rule.option("-m", Some("iprange"));
    }
    rule.option("--src-range", args.src_range.as_deref());
    rule.option("--dst-range", args.dst_range.as_deref());
    if let Some(set) = &args.match_set {
        let flags = args.match_set_flags.as_deref().ok_or_else(|| Failure::new("match_set needs match_set_flags"))?;
        if !given("set") {
            rule.option("-m", Some("set"));
        }
        rule.option("--match-set", Some(set));
        rule.0.push(flags.to_owned());
    }
    if args.limit.is_some() || args.limit_burst.is_some() {
        rule.option("-m", Some("limit"));
    }
    rule.option("--limit", args.limit.as_deref());
    rule.option("--limit-burst", args.limit_burst.as_deref());
    if args.uid_owner.is_some() || args.gid_owner.is_some() {
        rule.option("-m", Some("owner"));
    }
    rule.option("--uid-owner", args.uid_owner.as_deref());
    rule.option("--gid-owner", args.gid_owner.as_deref());
    if args.reject_with.is_some() && args.jump.is_none() {
        rule.option("-j", Some("REJECT"));
    }
    rule.option("--reject-with", args.reject_with.as_deref());
    let icmp = if args.ip_version == Ip::V6 { "--icmpv6-type" } else { "--icmp-type" };
    rule.option(icmp, args.icmp_type.as_deref());
    if args.comment.is_some() && !given("comment") {
        rule.option("-m", Some("comment"));
    }
    if let Some(comment) = &args.comment {
        rule.0.extend(["--comment".to_owned(), comment.clone()]);
    }
    Ok(rule.0)
}
