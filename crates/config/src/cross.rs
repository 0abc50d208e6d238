//! Settings that are right one by one and wrong together.

use std::collections::BTreeSet;

use super::limits::Memory;
use super::problem::{Place, Problems};
use super::settings::{Settings, Stdin};
use herder_core::{Amount, Ready, Scaling};

/// Says what contradicts itself.
pub fn check(settings: &Settings, problems: &mut Problems) {
    reload_has_room(settings, problems);
    sockets_are_there(settings, problems);
    listens_once(settings, problems);
    ready_after_counts(settings, problems);
    ready_after_is_in_time(settings, problems);
    memory_is_bounded_in_order(settings, problems);
    recycling_has_room(settings, problems);
    recycling_comes_first(settings, problems);
    probes_one_thing(settings, problems);
    bounds_are_bounds(settings, problems);
    somebody_scales(settings, problems);
}

fn place<'a>(settings: &'a Settings, keys: &[&str]) -> Option<&'a Place> {
    keys.iter().find_map(|key| settings.origins.get(*key))
}

/// A reload needs room above or below the wanted number, or nothing can be replaced.
fn reload_has_room(settings: &Settings, problems: &mut Problems) {
    let policy = &settings.policy;
    let wanted = policy.workers.max(1);
    if policy.max_surge.up(wanted) > 0 || policy.max_unavailable.down(wanted) > 0 {
        return;
    }
    let at = place(settings, &["max-surge", "max-unavailable"]);
    let message = match policy.max_unavailable {
        Amount::Percent(percent) if percent > 0 => format!(
            "`max-surge` is 0 and `max-unavailable` is {percent}%, which is less than one of {wanted} workers: a reload could replace nothing"
        ),
        _ => "`max-surge` and `max-unavailable` are both 0: a reload could replace nothing"
            .to_owned(),
    };
    problems.advise(at, "max-surge", message, "set one of them to 1");
}

fn sockets_are_there(settings: &Settings, problems: &mut Problems) {
    let none_meant = settings.sockets.as_ref().is_some_and(Vec::is_empty);
    if none_meant && settings.stdin == Stdin::Socket {
        problems.advise(
            place(settings, &["stdin", "sockets"]),
            "stdin",
            "`stdin` is \"socket\", and `sockets` says that there is none",
            "name a socket in `sockets`, or remove `stdin`",
        );
    }
    if let Some(preset) = settings.preset.filter(|_| none_meant) {
        problems.advise(
            place(settings, &["sockets", "preset"]),
            "sockets",
            format!(
                "`preset` {} is about a server, and `sockets` says that it gets no socket",
                preset.name
            ),
            "remove one of them",
        );
    }
    if none_meant && settings.policy.ready == Ready::Accepting {
        problems.advise(
            place(settings, &["ready", "sockets"]),
            "ready",
            "`ready` is \"accepting\", and `sockets` says that there is nothing to accept on",
            "name a socket in `sockets`, or choose another `ready`",
        );
    }
    if none_meant && !settings.listen.is_empty() {
        problems.advise(
            place(settings, &["sockets", "listen"]),
            "sockets",
            "`sockets` says that workers get no socket, and `listen` opens some",
            "remove one of them",
        );
    }
}

fn listens_once(settings: &Settings, problems: &mut Problems) {
    let at = place(settings, &["listen"]);
    let mut names = BTreeSet::new();
    let mut addresses = BTreeSet::new();
    for listen in &settings.listen {
        if !names.insert(&listen.name) {
            let message = format!("`listen`: two sockets are called `{}`", listen.name);
            problems.advise(at, "listen", message, "give each a name of its own, or none");
        }
        // Port 0 is another one each time.
        let address = listen.address.to_string();
        if !address.ends_with(":0") && !addresses.insert(address) {
            problems.add(at, "listen", format!("`listen` names {} twice", listen.address));
        }
    }
}

/// Said in the same place, `ready-after` beside a `ready` that never looks at it is a
/// misunderstanding; an override of `ready` alone is not.
fn ready_after_counts(settings: &Settings, problems: &mut Problems) {
    let word = match settings.policy.ready {
        Ready::Notify => "notify",
        Ready::Accepting => "accepting",
        Ready::Exec => "exec",
        Ready::Auto | Ready::Alive => return,
    };
    let (Some(ready), Some(after)) =
        (settings.origins.get("ready"), settings.origins.get("ready-after"))
    else {
        return;
    };
    if std::mem::discriminant(ready) == std::mem::discriminant(after) {
        let message = format!("`ready-after` means nothing with `ready = \"{word}\"`");
        problems.advise(
            Some(after),
            "ready-after",
            message,
            "remove it, or write `ready = \"alive\"`",
        );
    }
}

/// A worker is slowed down before it is killed, or not at all.
fn memory_is_bounded_in_order(settings: &Settings, problems: &mut Problems) {
    let limits = &settings.limits;
    let is_beyond = match (limits.memory_high, limits.memory_max) {
        (Some(Memory::Bytes(high)), Some(Memory::Bytes(max))) => high > max,
        (Some(Memory::Share(high)), Some(Memory::Share(max))) => high > max,
        _ => false,
    };
    if let (true, Some(high), Some(max)) = (is_beyond, limits.memory_high, limits.memory_max) {
        problems.advise(
            place(settings, &["memory-high", "memory-max"]),
            "memory-high",
            format!("`memory-high` is {high}, and the kernel ends a worker at `memory-max`, {max}"),
            "lower `memory-high`, or remove it",
        );
    }
}

/// The new worker is ready before the old one stops, so there have to be two.
fn recycling_has_room(settings: &Settings, problems: &mut Problems) {
    let policy = &settings.policy;
    let key = match (policy.max_age, policy.max_memory) {
        (Some(_), _) => "max-age",
        (None, Some(_)) => "max-memory",
        (None, None) => return,
    };
    let wanted = policy.workers.max(1);
    if policy.most_processes(wanted) <= wanted {
        problems.advise(
            place(settings, &[key]),
            key,
            format!(
                "`{key}` starts a new worker before the old one stops, and `max-surge` and `max-draining`, \
                 both 0, leave no room for it"
            ),
            "set one of them to 1",
        );
    }
}

/// What the kernel ends first is not replaced in time.
fn recycling_comes_first(settings: &Settings, problems: &mut Problems) {
    let most = settings.limits.memory_max;
    let (Some(recycled), Some(Memory::Bytes(most))) = (settings.policy.max_memory, most) else {
        return;
    };
    if recycled >= most {
        problems.advise(
            place(settings, &["max-memory", "memory-max"]),
            "max-memory",
            format!(
                "`max-memory` is {recycled}, and the kernel ends a worker at `memory-max`, {most}: none \
                 would be replaced before"
            ),
            "lower `max-memory`, or raise `memory-max`",
        );
    }
}

/// A worker that is to be assumed ready only after it has been given up never is.
fn ready_after_is_in_time(settings: &Settings, problems: &mut Problems) {
    let policy = &settings.policy;
    // With auto the default is for those who are not seen, and need not be there.
    let counts = match policy.ready {
        Ready::Alive => true,
        Ready::Auto => settings.origins.contains_key("ready-after"),
        Ready::Notify | Ready::Accepting | Ready::Exec => false,
    };
    if counts && policy.ready_after > policy.start_timeout {
        let message = format!(
            "`ready-after` is {}, and a worker that is not ready within `start-timeout`, {}, has failed: none would ever be ready",
            policy.ready_after, policy.start_timeout
        );
        problems.advise(
            place(settings, &["ready-after", "start-timeout"]),
            "ready-after",
            message,
            "raise `start-timeout`",
        );
    }
}

/// A probe asks in one way.
fn probes_one_thing(settings: &Settings, problems: &mut Problems) {
    if settings.probe.http.is_some() && settings.probe.exec.is_some() {
        problems.advise(
            place(settings, &["probe.exec", "probe.http"]),
            "probe.exec",
            "`probe.http` and `probe.exec` are both set",
            "remove one of them",
        );
    }
}

fn bounds_are_bounds(settings: &Settings, problems: &mut Problems) {
    let (min, at) = (settings.policy.workers, place(settings, &["workers"]));
    let Some(Scaling { max, exit_idle_time, .. }) = settings.policy.scaling else { return };
    if max < min {
        let message = format!("`workers` has a `min` of {min} and a `max` of {max}");
        problems.advise(at, "workers", message, "exchange them");
    } else if max == 0 {
        let message = "`workers` has a `max` of 0: nobody would ever serve";
        problems.advise(at, "workers", message, "raise it, or write `workers = 0`");
    }
    if settings.sockets.as_ref().is_some_and(Vec::is_empty) {
        problems.advise(
            place(settings, &["workers", "sockets"]),
            "workers",
            "`workers` has bounds, and `sockets` says that there is nothing to see load on",
            "name a socket in `sockets`, or write one number",
        );
    }
    let never_idle = exit_idle_time.is_some() && min > 0;
    if let Some(at) = after_workers(settings, "exit-idle-time").filter(|_| never_idle) {
        problems.advise(
            Some(at),
            "exit-idle-time",
            format!("`exit-idle-time` never comes: there are always {min} workers"),
            "write `workers = { min = 0, max = … }`, or remove `exit-idle-time`",
        );
    }
}

/// Where a key is written, unless `workers` overrules it: for the sake of a number alone that is no
/// misunderstanding.
fn after_workers<'a>(settings: &'a Settings, key: &str) -> Option<&'a Place> {
    let at = settings.origins.get(key)?;
    let workers = settings.origins.get("workers").map_or(0, Place::rank);
    (at.rank() >= workers).then_some(at)
}

fn somebody_scales(settings: &Settings, problems: &mut Problems) {
    if settings.policy.scaling.is_some() {
        return;
    }
    for key in ["idle-timeout", "exit-idle-time"] {
        if let Some(at) = after_workers(settings, key) {
            problems.advise(
                Some(at),
                key,
                format!("`{key}` means nothing with a fixed number of workers"),
                "write `workers = { min = 0, max = 16 }`, or remove it",
            );
        }
    }
}
