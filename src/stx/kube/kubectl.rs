//! What the cluster itself says: `kubectl get … -o json` with the platform's own credentials, which root may read.

use std::time::Duration;

use serde_json::Value;

use crate::action::command::Command;
use crate::action::host::Look;
use crate::stx::platform::No;
use crate::stx::tables::Unreadable;

const ADMIN_CONF: &str = "/etc/kubernetes/admin.conf";

/// The items of a list: `["pods", "--all-namespaces"]`. A cluster that does not answer is away, as it is for a while at a swact or when
/// its API server is restarted.
pub fn items(host: &mut dyn Look, what: &[&str]) -> Result<Vec<Value>, No> {
    let words = [&["kubectl", "get"], what, &["-o", "json"]].concat();
    let command = Command::new(words.iter().copied()).env("KUBECONFIG", ADMIN_CONF).timeout(Duration::from_secs(120));
    let output = host.query(&command)?;
    if !output.success() {
        let said = output.error_text();
        let last = said.lines().rev().map(str::trim).find(|l| !l.is_empty()).unwrap_or("no message");
        return Err(No::Away(format!("kubectl: {last}")));
    }
    let text = output.text();
    let unreadable = |found: String| No::Unreadable {
        command: words.join(" "),
        source: Unreadable { expected: "a list as JSON", found },
    };
    let list: Value = serde_json::from_str(&text).map_err(|e| unreadable(e.to_string()))?;
    match &list["items"] {
        Value::Array(items) => Ok(items.clone()),
        _ => Err(unreadable("no `items`".into())),
    }
}

/// A text field, by its path.
pub fn text<'v>(item: &'v Value, path: &str) -> &'v str {
    item.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

/// Whether the condition `Ready` is `True`.
pub fn ready(item: &Value) -> bool {
    let conditions = item.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|c| text(c, "/type") == "Ready" && text(c, "/status") == "True")
}

/// Kind and name of what made a pod; its own name where nobody did.
pub fn owner(pod: &Value) -> (&str, &str) {
    match pod.pointer("/metadata/ownerReferences/0") {
        Some(owner) => (text(owner, "/kind"), text(owner, "/name")),
        None => ("Pod", text(pod, "/metadata/name")),
    }
}
