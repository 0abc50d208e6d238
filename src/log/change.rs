//! The log entry for a change over the control socket: which user and process asked for what, so that the
//! entries that follow can be traced to it.

use super::{Entry, LogLevel};

/// The MESSAGE_ID of such an entry, which never changes.
pub(super) const ID: &str = "8b52c75cab9e40bf895c32d109c7d6f8";

/// The kind of event it is.
pub(super) const KIND: &str = "change_requested";

/// The entry for what a user asks (`for a reload`) in a call to `method` (`Reload`); pid 0 is that of a process
/// herder cannot name, because it lives in another pid namespace.
pub fn change(method: &str, what: &str, uid: u32, pid: i32) -> Entry {
    let client = match pid {
        0 => format!("user {uid}"),
        _ => format!("user {uid} (pid {pid})"),
    };
    let mut entry = Entry::new(LogLevel::Notice, format!("{client} asks {what}"))
        .with("HERDER_EVENT", KIND)
        .with("HERDER_METHOD", method)
        .with("HERDER_CLIENT_UID", uid)
        .with("HERDER_CLIENT_PID", pid);
    entry.message_id = Some(ID);
    entry
}
