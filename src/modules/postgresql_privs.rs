//! `postgresql_privs`: what roles may do with databases and what is in them, by the host's own `psql`. Whether a statement
//! changes anything is known from trying it in a transaction that is taken back.

use super::postgresql::{Login, name, supposed, text};
use crate::action::host::Act;
use crate::action::module::{Failure, Module};
use crate::model::outcome::Outcome;
use crate::model::value::Value;
use crate::{arguments, choices};

choices! { pub enum State { Present = "present", Absent = "absent" } }

choices! {
    pub enum Type {
        Database = "database",
        DefaultPrivs = "default_privs",
        ForeignDataWrapper = "foreign_data_wrapper",
        ForeignServer = "foreign_server",
        Function = "function",
        Group = "group",
        Language = "language",
        Procedure = "procedure",
        Schema = "schema",
        Sequence = "sequence",
        Table = "table",
        Tablespace = "tablespace",
        Type = "type",
    }
}

arguments! {
    pub struct Args {
        /// The database to log in to; with `type: database`, what it is about if `objs` is not given.
        database ["db", "login_db"]: String,
        /// The roles, `PUBLIC` for all; separated by commas.
        roles ["role"]: Vec<String>,
        /// Whether they shall have these rights.
        state []: State = State::Present,
        /// Rights, separated by commas; not for groups.
        privs ["priv"]: Option<String>,
        /// What the rights are about.
        r#type []: Type = Type::Table,
        /// The objects, separated by commas; `ALL_IN_SCHEMA` for all of a schema, functions with `:` between their types.
        objs ["obj"]: Option<Vec<String>>,
        /// The schema of the objects.
        schema []: Option<String>,
        /// Roles whose new objects default rights are about.
        target_roles []: Option<Vec<String>>,
        /// Whether they may pass the rights on; left as it is if not given.
        grant_option ["admin_option"]: Option<bool>,
        /// Act as this role.
        session_role []: Option<String>,
        /// Whether a role that does not exist is a failure; else it is passed over.
        fail_on_role []: bool = true,
        ..login: Login,
    }
}

/// The module `postgresql_privs`.
pub struct Privs;

impl Module for Privs {
    const NAMES: &'static [&'static str] = &["postgresql_privs", "community.postgresql.postgresql_privs"];
    const DOC: &'static str = "Grants rights to PostgreSQL roles, and takes them back.\n\
        Each statement is first tried in a transaction that is taken back, also in a check run.";
    const RETURNS: &'static [(&'static str, &'static str)] = &[("queries", "The statements that were run")];
    const EXAMPLE: &'static str = "- postgresql_privs:\n    db: library\n    privs: SELECT,INSERT\n    type: table\n    objs: books,authors\n    roles: librarian\n";
    type Args = Args;

    fn run(args: Args, host: &mut dyn Act) -> Result<Outcome, Failure> {
        let made_before =
            |host: &dyn Act, kind: &str, name: &str| supposed(host, &format!("postgresql/{kind}/{name}")) == Some(true);
        let mut roles = Vec::new();
        let mut new = made_before(host, "db", &args.database);
        for role in &args.roles {
            if role.eq_ignore_ascii_case("public") {
                roles.push("PUBLIC".to_owned());
                continue;
            }
            if made_before(host, "role", role) {
                new = true;
            } else if !new {
                let sql = format!("SELECT 1 FROM pg_roles WHERE rolname = {}", text(role));
                if args.login.ask(host, Some(&args.database), &sql)?.is_empty() {
                    if args.fail_on_role {
                        return Err(Failure::new(format!("Role '{role}' does not exist")));
                    }
                    continue;
                }
            }
            roles.push(name(role));
        }
        if roles.is_empty() {
            return Ok(Outcome::ok().with("queries", Value::list(Vec::new())));
        }
        let statements = statements(&args, &roles.join(", "))?;
        let act_as = args.session_role.as_deref().map_or_else(String::new, |r| format!("SET ROLE {};\n", name(r)));
        let all = statements.join(";\n");
        if !new {
            let acl = acl(&args);
            let trial = format!("{act_as}BEGIN;\n{acl};\nSELECT 'and then';\n{all};\n{acl};\nROLLBACK");
            let said = args.login.ask(host, Some(&args.database), &trial)?;
            let (before, after) = said.split_once("and then").unwrap_or((said.as_str(), ""));
            if before.trim() == after.trim() {
                return Ok(Outcome::ok().with("queries", Value::list(Vec::new())));
            }
        }
        args.login.act(host, Some(&args.database), &format!("{act_as}BEGIN;\n{all};\nCOMMIT"), &[])?;
        Ok(Outcome::changed(true).with("queries", statements.iter().map(String::as_str).collect::<Value>()))
    }
}

/// Words of SQL that are no names: they cannot be quoted, so they may hold nothing else.
fn plain(what: &str, words: &str) -> Result<String, Failure> {
    if !words.is_empty() && words.chars().all(|c| c.is_ascii_alphanumeric() || " _,()[].".contains(c)) {
        return Ok(words.to_owned());
    }
    Err(Failure::new(format!("{what}: `{words}` is not what stands there")))
}

/// Parts of a name with dots.
fn dotted(text: &str) -> String {
    text.split('.').map(name).collect::<Vec<_>>().join(".")
}

fn statements(args: &Args, roles: &str) -> Result<Vec<String>, Failure> {
    let default_objects = if args.r#type == Type::Database { Some(vec![args.database.clone()]) } else { None };
    let objects = args.objs.clone().filter(|o| !o.is_empty()).or(default_objects);
    let objects =
        objects.ok_or_else(|| Failure::new(format!("`objs` is required for the type {}", args.r#type.word())))?;
    let schema = args.schema.as_deref().unwrap_or("public");
    if args.r#type == Type::Group {
        let groups = objects.iter().map(|o| name(o)).collect::<Vec<_>>().join(", ");
        return Ok(vec![match (args.state, args.grant_option) {
            (State::Absent, Some(true)) => format!("REVOKE ADMIN OPTION FOR {groups} FROM {roles}"),
            (State::Absent, _) => format!("REVOKE {groups} FROM {roles}"),
            (State::Present, Some(true)) => format!("GRANT {groups} TO {roles} WITH ADMIN OPTION"),
            (State::Present, _) => format!("GRANT {groups} TO {roles}"),
        }]);
    }
    let rights = args.privs.as_deref().ok_or_else(|| Failure::new("`privs` is required unless the type is group"))?;
    let rights = plain("privs", rights)?.to_uppercase();
    let mut prefix = String::new();
    let on = if args.r#type == Type::DefaultPrivs {
        prefix = "ALTER DEFAULT PRIVILEGES ".into();
        if let Some(of) = &args.target_roles {
            prefix += &format!("FOR ROLE {} ", of.iter().map(|r| name(r)).collect::<Vec<_>>().join(", "));
        }
        if let Some(schema) = &args.schema {
            prefix += &format!("IN SCHEMA {} ", name(schema));
        }
        plain("objs", &objects.join(","))?.to_uppercase()
    } else {
        on(args.r#type, &objects, schema)?
    };
    let kinds: Vec<String> = match args.r#type {
        Type::DefaultPrivs if on == "ALL_DEFAULT" => {
            ["TABLES", "SEQUENCES", "TYPES", "FUNCTIONS"].map(String::from).to_vec()
        }
        Type::DefaultPrivs => on.split(',').map(str::to_owned).collect(),
        _ => vec![on],
    };
    let mut all = Vec::new();
    for on in kinds {
        match (args.state, args.grant_option) {
            (State::Present, option) => {
                let with = if option == Some(true) { " WITH GRANT OPTION" } else { "" };
                all.push(format!("{prefix}GRANT {rights} ON {on} TO {roles}{with}"));
                if option == Some(false) {
                    all.push(format!("{prefix}REVOKE GRANT OPTION FOR {rights} ON {on} FROM {roles}"));
                }
            }
            (State::Absent, Some(true)) => {
                all.push(format!("{prefix}REVOKE GRANT OPTION FOR {rights} ON {on} FROM {roles}"))
            }
            (State::Absent, _) => all.push(format!("{prefix}REVOKE {rights} ON {on} FROM {roles}")),
        }
    }
    Ok(all)
}

/// What stands after `ON`.
fn on(kind: Type, objects: &[String], schema: &str) -> Result<String, Failure> {
    let within = |word: &str, objects: &[String]| {
        let names: Vec<String> = objects
            .iter()
            .map(|o| if o.contains('.') { dotted(o) } else { format!("{}.{}", name(schema), name(o)) })
            .collect();
        format!("{word} {}", names.join(", "))
    };
    let global = |word: &str| format!("{word} {}", objects.iter().map(|o| name(o)).collect::<Vec<_>>().join(", "));
    let everything = objects == ["ALL_IN_SCHEMA"];
    Ok(match kind {
        Type::Table if everything => format!("ALL TABLES IN SCHEMA {}", name(schema)),
        Type::Sequence if everything => format!("ALL SEQUENCES IN SCHEMA {}", name(schema)),
        Type::Function if everything => format!("ALL FUNCTIONS IN SCHEMA {}", name(schema)),
        Type::Procedure if everything => format!("ALL PROCEDURES IN SCHEMA {}", name(schema)),
        _ if everything => {
            return Err(Failure::new("ALL_IN_SCHEMA is for tables, sequences, functions and procedures"));
        }
        Type::Table => within("TABLE", objects),
        Type::Sequence => within("SEQUENCE", objects),
        Type::Type => within("TYPE", objects),
        Type::Function | Type::Procedure => {
            let mut all = Vec::new();
            for object in objects {
                let (function, types) = object
                    .split_once('(')
                    .ok_or_else(|| Failure::new(format!("Illegal function signature: \"{object}\".")))?;
                let types = plain("objs", &format!("({}", types.replace(':', ",")))?;
                let function = if function.contains('.') {
                    dotted(function)
                } else {
                    format!("{}.{}", name(schema), name(function))
                };
                all.push(format!("{function}{types}"));
            }
            format!("{} {}", if kind == Type::Function { "FUNCTION" } else { "PROCEDURE" }, all.join(", "))
        }
        Type::Database => global("DATABASE"),
        Type::Schema => global("SCHEMA"),
        Type::Language => global("LANGUAGE"),
        Type::Tablespace => global("TABLESPACE"),
        Type::ForeignDataWrapper => global("FOREIGN DATA WRAPPER"),
        Type::ForeignServer => global("FOREIGN SERVER"),
        Type::DefaultPrivs | Type::Group => String::new(),
    })
}

/// A query of all rights of that kind, as they are now.
fn acl(args: &Args) -> &'static str {
    match args.r#type {
        Type::Table | Type::Sequence => {
            "SELECT c.oid, c.relacl, (SELECT array_agg(a.attname || a.attacl::text ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attacl IS NOT NULL) FROM pg_class c ORDER BY 1"
        }
        Type::Function | Type::Procedure => "SELECT oid, proacl FROM pg_proc ORDER BY 1",
        Type::Database => "SELECT oid, datacl FROM pg_database ORDER BY 1",
        Type::Schema => "SELECT oid, nspacl FROM pg_namespace ORDER BY 1",
        Type::Language => "SELECT oid, lanacl FROM pg_language ORDER BY 1",
        Type::Tablespace => "SELECT oid, spcacl FROM pg_tablespace ORDER BY 1",
        Type::Type => "SELECT oid, typacl FROM pg_type ORDER BY 1",
        Type::ForeignDataWrapper => "SELECT oid, fdwacl FROM pg_foreign_data_wrapper ORDER BY 1",
        Type::ForeignServer => "SELECT oid, srvacl FROM pg_foreign_server ORDER BY 1",
        Type::DefaultPrivs => {
            "SELECT defaclrole, defaclnamespace, defaclobjtype, defaclacl FROM pg_default_acl ORDER BY 1, 2, 3"
        }
        Type::Group => "SELECT roleid, member, admin_option FROM pg_auth_members ORDER BY 1, 2, 3",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::args::Arguments;
    use crate::dict;

    #[test]
    fn statements_are_quoted() {
        let of = |args: crate::model::value::Dict| {
            statements(&Args::from_dict(&args).unwrap(), "\"r\"").map_err(|e| e.to_string())
        };
        let one =
            of(dict! {"db" => "a\"b", "roles" => "r", "privs" => "all", "type" => "database", "grant_option" => true});
        assert_eq!(one.unwrap(), ["GRANT ALL ON DATABASE \"a\"\"b\" TO \"r\" WITH GRANT OPTION"]);
        let two =
            of(dict! {"db" => "d", "roles" => "r", "privs" => "SELECT,INSERT", "objs" => "s.t,u", "state" => "absent"});
        assert_eq!(two.unwrap(), ["REVOKE SELECT,INSERT ON TABLE \"s\".\"t\", \"public\".\"u\" FROM \"r\""]);
        let three = of(
            dict! {"db" => "d", "roles" => "r", "privs" => "EXECUTE", "objs" => "f(int:text)", "type" => "function"},
        );
        assert_eq!(three.unwrap(), ["GRANT EXECUTE ON FUNCTION \"public\".\"f\"(int,text) TO \"r\""]);
        assert!(of(dict! {"db" => "d", "roles" => "r", "privs" => "ALL; DROP TABLE x", "objs" => "t"}).is_err());
    }
}
