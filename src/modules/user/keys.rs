//! `user`: SSH keys that it makes for accounts.

use std::path::PathBuf;

use super::{Args, Found, failed};
use crate::action::command::Command;
use crate::action::host::Act;
use crate::action::module::Failure;
use crate::modules::paths::with_suffix;

/// Makes an SSH key if there is none, or with `force` another: whether it was made, the public key, its file.
pub(super) fn ssh_key(args: &Args, now: &Found, host: &mut dyn Act) -> Result<(bool, String, String), Failure> {
    let default = PathBuf::from(format!(".ssh/id_{}", args.ssh_key_type));
    let file = PathBuf::from(&now.home).join(args.ssh_key_file.as_ref().unwrap_or(&default));
    let public = with_suffix(&file, ".pub");
    let mut made = false;
    let there = host.stat(&file, true)?.is_some();
    if !there || args.force {
        // What stands in the way may be a link to what is not the user's to change.
        for path in [&file, &public] {
            match host.stat(path, false)? {
                Some(_) if args.force => host.remove(path)?,
                Some(_) => {
                    return Err(failed(
                        &args.name,
                        format!("{} exists already, `force: true` replaces it", path.display()),
                    ));
                }
                None => {}
            }
        }
        if let Some(dir) = file.parent()
            && host.stat(dir, true)?.is_none()
        {
            host.make_dir(dir, Some(0o700))?;
            host.set_owner(dir, Some(now.uid), Some(now.gid))?;
        }
        let shown = file.display().to_string();
        let comment =
            args.ssh_key_comment.clone().unwrap_or_else(|| format!("ansible-generated on {}", hostname(host)));
        let mut command = Command::new(["ssh-keygen", "-q", "-t", &args.ssh_key_type, "-C", &comment, "-f", &shown]);
        if let Some(bits) = args.ssh_key_bits {
            command.argv.extend(["-b".to_owned(), bits.to_string()]);
        }
        match &args.ssh_key_passphrase {
            None => command.argv.extend(["-N".to_owned(), String::new()]),
            Some(phrase) if phrase.reveal().contains('\n') => {
                return Err(failed(&args.name, "ssh_key_passphrase: it must be one line"));
            }
            // Through standard input: an argument could be seen in the process list.
            Some(phrase) => {
                let asked_twice = format!("{0}\n{0}\n", phrase.reveal());
                command = command.env("SSH_ASKPASS_REQUIRE", "never").stdin(asked_twice);
            }
        }
        // A key that does not exist yet cannot be told in a check run.
        let output = host.run(&command)?;
        if !output.success() {
            return Err(failed(&args.name, output.error_text()));
        }
        host.set_owner(&file, Some(now.uid), Some(now.gid))?;
        host.set_owner(&public, Some(now.uid), Some(now.gid))?;
        made = true;
    }
    let key = host.read(&public).map(|k| String::from_utf8_lossy(&k).trim_end().to_owned()).unwrap_or_default();
    Ok((made, key, file.display().to_string()))
}

fn hostname(host: &mut dyn Act) -> String {
    let name = host.read("/proc/sys/kernel/hostname".as_ref()).unwrap_or_default();
    String::from_utf8_lossy(&name).trim_end().to_owned()
}
