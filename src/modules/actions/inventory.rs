//! `add_host` and `group_by`: hosts and groups made while the run goes on.

use crate::action::engine_side::{Action, Context};
use crate::action::module::Failure;
use crate::dict;
use crate::model::outcome::{Consequence, Outcome};
use crate::model::value::{Dict, Value};

pub struct AddHost;

crate::arguments! {
    pub struct AddHostArgs {
        /// The host's name, with a port if it has another than 22: `worker-9:2222`.
        name ["host", "hostname"]: String,
        /// Groups to put it into; made if they are new.
        groups ["group", "groupname"]: Option<Vec<String>>,
    }
}

impl Action for AddHost {
    const NAMES: &'static [&'static str] = &["add_host", "ansible.builtin.add_host"];
    const DOC: &'static str =
        "Adds a host, with variables and groups, to the inventory of this run. Any other name is a variable.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[("add_host", "host_name, groups, host_vars")];
    const EXAMPLE: &'static str = "- add_host:\n    name: worker-9\n    groups: workers\n    ansible_host: 10.0.0.9";
    const MAY_CHANGE: bool = false;
    const OPEN: bool = true;
    type Args = AddHostArgs;

    async fn run(args: AddHostArgs, mut vars: Dict, ctx: &mut dyn Context) -> Result<Outcome, Failure> {
        let mut name = args.name.trim().to_owned();
        if let Some((host, port)) = name.clone().rsplit_once(':')
            && let Ok(port) = port.parse::<u16>()
            && (!host.contains(':') || host.starts_with('[') && host.ends_with(']'))
        {
            name = host.trim_start_matches('[').trim_end_matches(']').to_owned();
            vars.insert("ansible_ssh_port".into(), i64::from(port).into());
        }
        let groups: Vec<String> = args
            .groups
            .unwrap_or_default()
            .into_iter()
            .map(|g| g.trim().to_owned())
            .filter(|g| !g.is_empty())
            .collect();
        let shown = dict! {
            "host_name" => name.as_str(),
            "groups" => groups.iter().map(String::as_str).collect::<Value>(),
            "host_vars" => Value::dict(vars.clone()),
        };
        ctx.consequence(Consequence::AddHost { name, groups, vars });
        Ok(Outcome::changed(true).with("add_host", Value::dict(shown)))
    }
}

pub struct GroupBy;

crate::arguments! {
    pub struct GroupByArgs {
        /// The group to put the host into; made if it is new.
        key []: String,
        /// Groups above it.
        parents []: Vec<String> = vec!["all".to_owned()],
    }
}

impl Action for GroupBy {
    const NAMES: &'static [&'static str] = &["group_by", "ansible.builtin.group_by"];
    const DOC: &'static str = "Puts the host into a group named by a fact or variable.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[("add_group", "the group")];
    const EXAMPLE: &'static str = "- group_by:\n    key: \"release_{{ release }}\"";
    const MAY_CHANGE: bool = false;
    type Args = GroupByArgs;

    async fn run(args: GroupByArgs, _: Dict, ctx: &mut dyn Context) -> Result<Outcome, Failure> {
        let group = args.key.replace(' ', "-");
        let parents: Vec<String> = args.parents.iter().map(|p| p.replace(' ', "-")).collect();
        let shown: Value = parents.iter().map(String::as_str).collect();
        ctx.consequence(Consequence::GroupBy { group: group.clone(), parents });
        Ok(Outcome::ok().with("add_group", group).with("parent_groups", shown))
    }
}
