//! The arguments of the `system` client, and what it says when they are wrong.

/// A sub-command's shape.
pub struct Command {
    pub name: &'static str,
    /// Positional arguments as the usage names them; `a|b` after a colon limits the values.
    pub positional: &'static [&'static str],
    /// Options; `=` at the end means it takes a value, with a metavar after it.
    pub options: &'static [&'static str],
    pub help: &'static str,
}

const fn command(
    name: &'static str,
    positional: &'static [&'static str],
    options: &'static [&'static str],
    help: &'static str,
) -> Command {
    Command { name, positional, options, help }
}

const HOST: &[&str] = &["<hostname or id>"];
const NOWRAP: &[&str] = &["--nowrap"];
const FORCE: &[&str] = &["-f,--force"];
const APP: &[&str] = &["-n,--app-name=APP_NAME", "-v,--app-version=APP_VERSION"];
const FORMATTED: &[&str] = &["--nowrap", "--column=COLUMN", "--format={table,yaml,value}"];

/// The sub-commands this lab has.
pub const COMMANDS: &[Command] = &[
    command("show", &[], &[], "Show system attributes."),
    command("oam-show", &[], &[], "Show the Network Interface attributes."),
    command("host-list", &[], FORMATTED, "List hosts."),
    command("host-show", HOST, &["--column=COLUMN", "--format={table,yaml,value}"], "Show host attributes."),
    command("host-lock", HOST, FORCE, "Lock a host."),
    command("host-unlock", HOST, FORCE, "Unlock a host."),
    command("host-swact", HOST, FORCE, "Switch activity away from this active host."),
    command("host-upgrade", HOST, FORCE, "Perform software upgrade for a host."),
    command("host-downgrade", HOST, FORCE, "Perform software downgrade for the specified host."),
    command("host-upgrade-list", &[], NOWRAP, "List software upgrade info for hosts."),
    command("load-list", &[], NOWRAP, "List all loads."),
    command("load-show", &["<loadid>"], &[], "Show load attributes."),
    command("load-delete", &["<loadid>"], &[], "Delete a load."),
    command(
        "load-import",
        &["<path to iso>", "<path to detached signature>"],
        &["-a,--active", "--local"],
        "Import a load.",
    ),
    command("upgrade-start", &[], FORCE, "Start a software upgrade."),
    command("upgrade-show", &[], &[], "Show software upgrade details and attributes."),
    command("upgrade-abort", &[], &[], "Abort a software upgrade."),
    command("upgrade-abort-complete", &[], &[], "Complete a software upgrade."),
    command("upgrade-activate", &[], &[], "Activate a software upgrade."),
    command("upgrade-complete", &[], &[], "Complete a software upgrade."),
    command("health-query", &[], &[], "Run the Health Check."),
    command("health-query-upgrade", &[], &[], "Run the Health Check for an Upgrade."),
    command("health-query-kube-upgrade", &[], &[], "Run the Health Check for a Kubernetes Upgrade."),
    command("kube-version-list", &[], NOWRAP, "List all kubernetes versions"),
    command("kube-version-show", &["<kubernetes version>"], &[], "Show kubernetes version details"),
    command("kube-upgrade-show", &[], &[], "Show kubernetes upgrade details and attributes."),
    command("kube-upgrade-delete", &[], &[], "Delete a kubernetes upgrade."),
    command("kube-upgrade-start", &["<target kubernetes version>"], FORCE, "Start a kubernetes upgrade."),
    command("kube-upgrade-download-images", &[], &[], "Download kubernetes images."),
    command("kube-upgrade-networking", &[], &[], "Upgrade kubernetes networking."),
    command("kube-upgrade-complete", &[], &[], "Complete a kubernetes upgrade."),
    command("kube-upgrade-failed", &[], &[], "Set kubernetes upgrade status to failed."),
    command(
        "kube-host-upgrade",
        &["<hostname or id>", "<component>:control-plane|kubelet"],
        FORCE,
        "Perform kubernetes upgrade for a host.",
    ),
    command("kube-host-upgrade-list", &[], NOWRAP, "List kubernetes upgrade info for hosts."),
    command("application-list", &[], NOWRAP, "List all containerized applications"),
    command(
        "application-show",
        &["<application name>"],
        &["--column=COLUMN", "--format={table,yaml,value}"],
        "Show application details",
    ),
    command("application-upload", &["<tar file>"], APP, "Upload application Helm chart(s) and manifest."),
    command("application-apply", &["<application name>"], &[], "Apply/reapply the application manifest."),
    command(
        "application-update",
        &["<tar file>"],
        &["-n,--app-name=APP_NAME", "-v,--app-version=APP_VERSION", "--reuse-user-overrides=REUSE_USER_OVERRIDES"],
        "Update the deployed application to a different version.",
    ),
    command("application-abort", &["<application name>"], &[], "Abort the current application operation."),
    command("application-remove", &["<application name>"], FORCE, "Uninstall the application."),
    command("application-delete", &["<application name>"], &[], "Remove the uninstalled application from the system."),
    command("helm-override-show", &["<app name>", "<chart name>", "<namespace>"], &[], "Show overrides for chart."),
    command(
        "helm-override-update",
        &["<app name>", "<chart name>", "<namespace>"],
        &["--set=SET"],
        "Update helm chart user overrides.",
    ),
    command("certificate-list", &[], NOWRAP, "List certificates."),
    command("certificate-show", &["<certificate_uuid>"], &[], "Show Certificate details."),
    command("restore-start", &[], &[], "Start restore procedure."),
    command("restore-show", &[], &[], "Show restore procedure."),
    command("restore-complete", &[], &[], "Complete restore procedure."),
    command("help", &["[<subcommand>]"], &[], "Display help about this program or one of its subcommands."),
];

/// The client's own usage.
pub const PROGRAM: &str = "\
usage: system [--version] [--debug] [-v] [-k] [--cert-file CERT_FILE] [--key-file KEY_FILE] [--ca-file CA_FILE] [--timeout TIMEOUT] [--os-username OS_USERNAME] [--os-password OS_PASSWORD]
              [--os-tenant-id OS_TENANT_ID] [--os-tenant-name OS_TENANT_NAME] [--os-auth-url OS_AUTH_URL] [--os-region-name OS_REGION_NAME] [--os-auth-token OS_AUTH_TOKEN] [--system-url SYSTEM_URL]
              [--system-api-version SYSTEM_API_VERSION] [--os-service-type OS_SERVICE_TYPE] [--os-endpoint-type OS_ENDPOINT_TYPE] [--os-user-domain-id OS_USER_DOMAIN_ID]
              [--os-user-domain-name OS_USER_DOMAIN_NAME] [--os-project-id OS_PROJECT_ID] [--os-project-name OS_PROJECT_NAME] [--os-project-domain-id OS_PROJECT_DOMAIN_ID]
              [--os-project-domain-name OS_PROJECT_DOMAIN_NAME]
              <subcommand> ...
";

/// A parsed command line.
#[derive(Debug, Default, PartialEq)]
pub struct Parsed {
    pub name: String,
    pub positional: Vec<String>,
    pub force: bool,
    pub nowrap: bool,
    pub columns: Vec<String>,
    pub format: Option<String>,
    /// Other options with a value, as typed.
    pub values: Vec<(String, String)>,
    /// `--os-*` given on the command line, as `OS_*`.
    pub os: Vec<(String, String)>,
}

/// What to print instead of running, on standard output (`Ok`) or error (`Err`, exit code 2).
#[derive(Debug)]
pub enum Stop {
    Print(String),
    Usage(String),
}

/// Read the arguments after the program's name.
pub fn parse(argv: &[String]) -> Result<Parsed, Stop> {
    let mut parsed = Parsed::default();
    let mut args = argv.iter().peekable();
    while let Some(arg) = args.peek() {
        if !arg.starts_with('-') {
            break;
        }
        let arg = args.next().map(String::as_str).unwrap_or_default();
        match arg {
            "--version" => return Err(Stop::Print("1.0.0\n".into())),
            "--debug" | "-v" | "-k" => {}
            "-h" | "--help" => return Err(Stop::Print(PROGRAM.into())),
            _ => match option_value(arg, &mut args) {
                Some((name, value))
                    if name.starts_with("--os-")
                        || matches!(
                            name,
                            "--timeout"
                                | "--system-url"
                                | "--ca-file"
                                | "--cert-file"
                                | "--key-file"
                                | "--system-api-version"
                        ) =>
                {
                    parsed.os.push((name.trim_start_matches("--").replace('-', "_").to_uppercase(), value));
                }
                _ => {
                    return Err(Stop::Usage(format!("{PROGRAM}system: error: unrecognized arguments: {arg}\n")));
                }
            },
        }
    }
    let Some(name) = args.next() else {
        return Err(Stop::Print(overview()));
    };
    let Some(shape) = COMMANDS.iter().find(|c| c.name == name) else {
        let choices: Vec<String> = COMMANDS.iter().map(|c| format!("'{}'", c.name)).collect();
        return Err(Stop::Usage(format!(
            "{PROGRAM}system: error: argument <subcommand>: invalid choice: '{}' (choose from {})\n",
            name.trim_end(),
            choices.join(", ")
        )));
    };
    parsed.name.clone_from(name);
    let mut strange: Vec<String> = Vec::new();
    while let Some(arg) = args.next() {
        if arg == "-h" || arg == "--help" {
            return Err(Stop::Print(help(shape)));
        }
        if !arg.starts_with('-') || arg == "-" {
            if parsed.positional.len() < shape.positional.len() {
                parsed.positional.push(arg.clone());
            } else {
                strange.push(arg.clone());
            }
            continue;
        }
        let key = arg.split('=').next().unwrap_or(arg);
        let Some(option) = shape.options.iter().find(|o| o.split('=').next().unwrap_or(o).split(',').any(|s| s == key))
        else {
            strange.push(arg.clone());
            if let Some(next) = args.peek()
                && !next.starts_with('-')
                && parsed.positional.len() == shape.positional.len()
            {
                strange.push(args.next().cloned().unwrap_or_default());
            }
            continue;
        };
        if !option.contains('=') {
            match key {
                "-f" | "--force" => parsed.force = true,
                "--nowrap" => parsed.nowrap = true,
                _ => {}
            }
            continue;
        }
        let Some((_, value)) = option_value(arg, &mut args) else {
            return Err(Stop::Usage(format!(
                "{}system {name}: error: argument {key}: expected one argument\n",
                usage(shape)
            )));
        };
        if key == "--column" {
            parsed.columns.push(value);
        } else if key != "--format" {
            parsed.values.push((key.to_string(), value));
        } else if ["table", "yaml", "value"].contains(&value.as_str()) {
            parsed.format = Some(value);
        } else {
            return Err(Stop::Usage(format!(
                "{}system {name}: error: argument --format: invalid choice: '{value}' (choose from 'table', 'yaml', 'value')\n",
                usage(shape)
            )));
        }
    }
    check_positional(shape, &parsed)?;
    if !strange.is_empty() {
        return Err(Stop::Usage(format!("{PROGRAM}system: error: unrecognized arguments: {}\n", strange.join(" "))));
    }
    if name == "help" {
        return Err(Stop::Print(match parsed.positional.first() {
            None => overview(),
            Some(of) => COMMANDS.iter().find(|c| c.name == of).map_or_else(overview, help),
        }));
    }
    Ok(parsed)
}

fn check_positional(shape: &Command, parsed: &Parsed) -> Result<(), Stop> {
    for (i, metavar) in shape.positional.iter().enumerate() {
        let (metavar, choices) = metavar.split_once(':').unwrap_or((metavar, ""));
        let Some(value) = parsed.positional.get(i) else {
            if metavar.starts_with('[') {
                continue;
            }
            let missing: Vec<&str> = shape.positional[i..].iter().map(|m| m.split(':').next().unwrap_or(m)).collect();
            return Err(Stop::Usage(format!(
                "{}system {}: error: the following arguments are required: {}\n",
                usage(shape),
                shape.name,
                missing.join(", ")
            )));
        };
        if !choices.is_empty() && !choices.split('|').any(|c| c == value) {
            let list: Vec<String> = choices.split('|').map(|c| format!("'{c}'")).collect();
            return Err(Stop::Usage(format!(
                "{}system {}: error: argument {metavar}: invalid choice: '{value}' (choose from {})\n",
                usage(shape),
                shape.name,
                list.join(", ")
            )));
        }
    }
    Ok(())
}

fn option_value<'a>(
    arg: &'a str,
    args: &mut std::iter::Peekable<std::slice::Iter<'_, String>>,
) -> Option<(&'a str, String)> {
    match arg.split_once('=') {
        Some((name, value)) => Some((name, value.to_string())),
        None => args.next().map(|value| (arg, value.clone())),
    }
}

/// `usage: system NAME …` on one line.
pub fn usage(shape: &Command) -> String {
    let mut line = format!("usage: system {}", shape.name);
    for option in shape.options {
        let (flags, metavar) = option.split_once('=').unwrap_or((option, ""));
        let flag = flags.split(',').next().unwrap_or(flags);
        line.push_str(&if metavar.is_empty() { format!(" [{flag}]") } else { format!(" [{flag} {metavar}]") });
    }
    for metavar in shape.positional {
        line.push_str(&format!(" {}", metavar.split(':').next().unwrap_or(metavar)));
    }
    line + "\n"
}

fn help(shape: &Command) -> String {
    format!("{}\n{}\n", usage(shape), shape.help)
}

fn overview() -> String {
    let mut text = format!(
        "{PROGRAM}\nCommand-line interface to the System Inventory (sysinv) API.\n\nPositional arguments:\n  <subcommand>\n"
    );
    for shape in COMMANDS {
        text.push_str(&format!("    {:<28}{}\n", shape.name, shape.help));
    }
    text
}
