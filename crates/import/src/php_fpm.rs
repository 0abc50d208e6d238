//! php-fpm's `pool.conf`: each pool becomes an instance whose workers are php-cgi, one process for each child
//! that the pool would have.
//!
//! php-fpm itself can be a worker too, and then keeps its own pool; that would leave all of this as it is,
//! so it is not what is imported (herder-migrate(7) has how).

use super::ini::{self, Assignment, Section};
use super::instance::{Instance, Sockets, Value, instance_name};
use super::known::php_fpm::{GLOBAL, POOL, SCALE, UNSET};
use super::known::{Fate, OFF, fate, is_off};
use super::notes::Origin;
use super::server::{self, as_systemd_writes};
use super::words::template;
use super::{Import, Source};

/// systemd's hard limit of open files, beyond which the unit has to say more.
const SYSTEMDS_FILES: u64 = 524_288;

pub fn import(source: &Source<'_>) -> Result<Import, String> {
    let ini = ini::php(source.text);
    let (global, pools): (Vec<_>, Vec<_>) =
        ini.sections.iter().partition(|section| section.name == "global");
    let mut import = Import::of(source);
    for (line, text) in &ini.strange {
        import.strange(*line, text);
    }
    for entry in global.iter().flat_map(|section| &section.entries) {
        let origin = Origin::new(&entry.name, &entry.value, entry.line);
        match fate(GLOBAL, &entry.name) {
            Some(Fate::Carried) if entry.name == "include" => import.lose(
                &origin,
                "other files are imported each by itself: `herder import` them, too",
            ),
            // For every pool, below.
            Some(Fate::Carried) => {}
            Some(Fate::Needless(why)) => import.need_not(&origin, why),
            Some(Fate::Lost(why)) => import.lose(&origin, why),
            None => import.unknown(&origin),
        }
    }
    if pools.is_empty() {
        return Err(match global.iter().find_map(|section| section.get("include")) {
            Some(include) => format!(
                "{}: there is no pool in it; they are in the files that line {} includes, {}: import those",
                source.name, include.line, include.value
            ),
            None => format!("{}: there is no pool in it, such as [www]", source.name),
        });
    }
    let shared: Vec<&Assignment> = global
        .iter()
        .flat_map(|section| &section.entries)
        .filter(|entry| entry.name != "include")
        .collect();
    for pool in pools {
        let instance = instance(pool, &shared, source);
        import.add(instance);
    }
    Ok(import)
}

fn instance(pool: &Section, shared: &[&Assignment], source: &Source<'_>) -> Instance {
    let title =
        format!("The pool [{}] of {}, line {}, as php-cgi", pool.name, source.name, pool.line);
    let mut instance = Instance::new(instance_name(&pool.name), title);
    instance.sockets = Sockets::FromSystemd;
    let mut arguments = Vec::new();
    let has_acl =
        ["listen.acl_users", "listen.acl_groups"].iter().any(|name| pool.get(name).is_some());
    server::settings("php-cgi", &mut instance);
    if let Some(prefix) = pool.get("prefix") {
        instance.set_directory(&expand(&prefix.value, pool), Some(&origin_of(prefix)));
    }
    for entry in shared {
        carry_shared(entry, &mut instance);
    }
    for entry in &pool.entries {
        let origin = origin_of(entry);
        let name = entry.name.split('[').next().unwrap_or_default();
        match fate(POOL, name) {
            Some(Fate::Carried) => {
                if entry.value.contains("${") && !name.starts_with("php_") {
                    instance.lose(
                        &origin,
                        "php-fpm took a variable of its environment for it: write the value",
                    );
                } else if name.starts_with("php_") {
                    arguments.extend(ini_argument(name, entry, pool));
                } else if has_acl && matches!(name, "listen.owner" | "listen.group") {
                    instance.need_not(&origin, "with an ACL php-fpm does not look at it");
                } else {
                    carry(name, entry, pool, &mut instance);
                }
            }
            Some(Fate::Needless(why)) => instance.need_not(&origin, why),
            Some(Fate::Lost(_)) if is_off(&entry.value) => instance.need_not(&origin, OFF),
            Some(Fate::Lost(why)) => instance.lose(&origin, why),
            None => instance.lose(&origin, super::UNKNOWN),
        }
    }
    finish(pool, &mut instance);
    // Without arguments the preset's own command is right.
    let words = arguments.iter().flat_map(|setting| ["-d".to_owned(), template(setting)]);
    let words: Vec<_> = std::iter::once("php-cgi".to_owned()).chain(words).collect();
    if words.len() > 1 {
        instance.set("command", Value::List(&words), None);
    }
    instance
}

fn origin_of(entry: &Assignment) -> Origin {
    Origin::new(&entry.name, &entry.value, entry.line)
}

fn expand(value: &str, pool: &Section) -> String {
    value.replace("$pool", &pool.name)
}

/// What `[global]` says for all pools.
fn carry_shared(entry: &Assignment, instance: &mut Instance) {
    let origin = origin_of(entry);
    match entry.name.as_str() {
        "process_control_timeout" => match seconds(&entry.value) {
            // php-fpm's default, which does not wait at all; herder's is to wait.
            Some(0) => {
                instance.need_not(&origin, "herder waits for workers, as long as stop-timeout says")
            }
            Some(seconds) => {
                instance.set("stop-timeout", Value::Seconds(&seconds.to_string()), Some(&origin))
            }
            None => instance.lose(&origin, "no time: write one as stop-timeout"),
        },
        "process.priority" | "rlimit_files" | "rlimit_core" => limit(entry, instance),
        _ => {}
    }
}

fn limit(entry: &Assignment, instance: &mut Instance) {
    let origin = origin_of(entry);
    let number = entry.value.parse::<i64>().ok();
    match (entry.name.as_str(), number) {
        // Niceness ends at 19, for php-fpm at 20, where 64 is “not set”.
        ("process.priority", Some(64)) => instance.need_not(&origin, UNSET),
        // herder may not give workers more than it has.
        ("process.priority", Some(nice)) if nice < 0 => {
            instance.in_service("Nice", &nice.max(-20).to_string(), Some(&origin));
        }
        ("process.priority", Some(nice)) => {
            instance.set("nice", Value::Number(&nice.min(19).to_string()), Some(&origin));
        }
        ("rlimit_files" | "rlimit_core", Some(0)) => instance.need_not(&origin, UNSET),
        ("rlimit_files", Some(number)) => {
            let number = number.to_string();
            if number.parse().is_ok_and(|number: u64| number > SYSTEMDS_FILES) {
                instance.in_service("LimitNOFILE", &number, Some(&origin));
            }
            instance.set("limits.nofile", Value::Number(&number), Some(&origin));
        }
        ("rlimit_core", Some(number)) => {
            instance.set("limits.core", Value::Number(&number.to_string()), Some(&origin));
        }
        ("rlimit_core", None) if entry.value.eq_ignore_ascii_case("unlimited") => {
            instance.set("limits.core", Value::Text("infinity"), Some(&origin));
        }
        _ => instance.lose(&origin, "no number"),
    }
}

fn carry(name: &str, entry: &Assignment, pool: &Section, instance: &mut Instance) {
    let origin = origin_of(entry);
    let value = expand(&entry.value, pool);
    let origin = Some(&origin);
    let on_path = pool.get("listen").is_some_and(|listen| listen.value.contains('/'));
    match name {
        "user" => instance.runs_as("User", &value, origin),
        "group" => instance.runs_as("Group", &value, origin),
        "listen" => {
            let address = as_systemd_writes(&value, instance);
            instance.listen(&address, origin);
        }
        // -1 is as many as the kernel allows, which is systemd's default too.
        "listen.backlog" if value.starts_with('-') => {
            instance.need_not(&origin_of(entry), "the queue is as long as the kernel allows");
        }
        "listen.backlog" => instance.in_socket("Backlog", &value, origin),
        "listen.owner" if on_path => instance.in_socket("SocketUser", &value, origin),
        "listen.group" if on_path => instance.in_socket("SocketGroup", &value, origin),
        "listen.mode" if on_path => instance.in_socket("SocketMode", &value, origin),
        "listen.owner" | "listen.group" | "listen.mode" => {
            instance.need_not(&origin_of(entry), "a TCP port has neither owner nor mode");
        }
        "listen.acl_users" | "listen.acl_groups" => acl(name, &value, entry, pool, instance),
        "listen.allowed_clients" => allow(&value, instance, entry),
        "process.priority" | "rlimit_files" | "rlimit_core" => limit(entry, instance),
        "pm" if value == "static" => {
            instance.need_not(&origin_of(entry), "the number of workers is fixed");
        }
        "pm" => instance.need_not(&origin_of(entry), SCALE),
        "pm.max_children" => workers(&value, pool, instance, origin),
        // The least number of workers, and how long they stay: beside the largest.
        "pm.min_spare_servers" if manager(pool) == "dynamic" => {}
        "pm.process_idle_timeout" if manager(pool) == "ondemand" => {}
        "pm.min_spare_servers" | "pm.process_idle_timeout" => {
            instance.need_not(&origin_of(entry), "this kind of `pm` does not look at it");
        }
        "pm.max_requests" => instance.set_variable("PHP_FCGI_MAX_REQUESTS", &value, origin),
        "chdir" => {
            let path = instance.absolute(&value);
            instance.set_directory(&path, origin);
        }
        "env" => variable(entry, &value, instance),
        // Said for every pool, because php-fpm has a default.
        "security.limit_extensions" | "prefix" => {}
        _ => instance.lose(&origin_of(entry), super::UNKNOWN),
    }
}

/// `pm`
fn manager(pool: &Section) -> &str {
    pool.get("pm").map_or("static", |entry| entry.value.as_str())
}

/// `pm.max_children`, and what belongs to it by `pm`.
fn workers(most: &str, pool: &Section, instance: &mut Instance, origin: Option<&Origin>) {
    let value = |name| pool.get(name).map(|entry| entry.value.as_str());
    match manager(pool) {
        "dynamic" => {
            // php-fpm's spare ones are there with no load at all.
            let least = value("pm.min_spare_servers").unwrap_or("1");
            instance.set("workers", Value::Bounds(least, most), origin);
        }
        "ondemand" => {
            instance.set("workers", Value::Bounds("0", most), origin);
            let Some(idle) = pool.get("pm.process_idle_timeout") else { return };
            match seconds(&idle.value) {
                Some(seconds) if instance.has("workers") => {
                    let value = seconds.to_string();
                    instance.set("idle-timeout", Value::Seconds(&value), Some(&origin_of(idle)));
                }
                Some(_) => {}
                None => instance.lose(&origin_of(idle), "no time: write one as idle-timeout"),
            }
        }
        _ => instance.set("workers", Value::Number(most), origin),
    }
}

fn acl(name: &str, value: &str, entry: &Assignment, pool: &Section, instance: &mut Instance) {
    let tag = if name == "listen.acl_users" { "u" } else { "g" };
    let names = value.split(',').map(str::trim).filter(|name| !name.is_empty());
    let entries: Vec<_> = names.map(|name| format!("{tag}:{name}:rw")).collect();
    if entries.is_empty() {
        return;
    }
    let path =
        pool.get("listen").map_or_else(|| "PATH".to_owned(), |listen| expand(&listen.value, pool));
    let why = format!(
        "a .socket unit sets no ACL itself: add ExecStartPost=setfacl -m {} {path} to the drop-in of the socket \
         (setfacl is in the package acl)",
        entries.join(",")
    );
    instance.lose(&origin_of(entry), why);
}

fn allow(value: &str, instance: &mut Instance, entry: &Assignment) {
    let origin = origin_of(entry);
    let clients: Vec<_> =
        value.split(',').map(str::trim).filter(|client| !client.is_empty()).collect();
    let is_path = instance.listens_on_path();
    if clients.is_empty() || clients == ["any"] || is_path {
        instance
            .need_not(&origin, "it lets every address connect, or the socket has no IP addresses");
        return;
    }
    instance.in_socket("IPAddressDeny", "any", Some(&origin));
    instance.in_socket("IPAddressAllow", &clients.join(" "), Some(&origin));
}

fn variable(entry: &Assignment, value: &str, instance: &mut Instance) {
    let origin = origin_of(entry);
    let name = entry.name.split_once('[').map_or("", |(_, rest)| rest.trim_end_matches(']').trim());
    match value.strip_prefix('$') {
        Some(of) if of == name => instance.in_service("PassEnvironment", name, Some(&origin)),
        Some(_) => instance
            .lose(&origin, "php-fpm took a variable of its environment for it: write the value"),
        None => instance.set_variable(name, &template(value), Some(&origin)),
    }
}

/// `php_admin_value[memory_limit] = 32M` as an argument of `-d`.
fn ini_argument(name: &str, entry: &Assignment, pool: &Section) -> Option<String> {
    let setting = entry.name.split_once('[')?.1.trim_end_matches(']').trim();
    let value = expand(&entry.value, pool);
    if name.ends_with("flag") {
        return Some(format!("{setting}={}", if value == "1" { "1" } else { "0" }));
    }
    // PHP reads it as a line of php.ini, where an expression of constants is one only without quotes.
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@%+, ".contains(c);
    let expression = !entry.quoted && value.starts_with("E_");
    Some(match expression || value.chars().all(plain) {
        true => format!("{setting}={value}"),
        false => format!("{setting}=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")),
    })
}

/// Defaults of php-fpm that php-cgi does not share.
fn finish(pool: &Section, instance: &mut Instance) {
    if instance.listens_on_path() && pool.get("listen.mode").is_none() {
        instance.in_socket("SocketMode", "0660", None);
    }
    if pool.get("pm.max_requests").is_none() {
        instance.set_variable("PHP_FCGI_MAX_REQUESTS", "0", None);
    }
    if pool.get("listen").is_none() {
        instance.listen_somewhere("The pool has no `listen`");
    }
    let extensions = pool.get("security.limit_extensions").map(|entry| entry.value.as_str());
    if extensions != Some("") {
        instance.advise(format!(
            "php-fpm runs files that end in {} only, php-cgi whatever the web server asks it to. Let the web server pass \
             on only those, and only files that exist (nginx: try_files $fastcgi_script_name =404).",
            extensions.unwrap_or(".php or .phar")
        ));
    }
    instance.advise(
        "php-cgi has a php.ini of its own: Debian's is /etc/php/VERSION/cgi/php.ini, where php-fpm's is fpm/php.ini. \
         Compare the two, and what is installed: the package is php-cgi. fastcgi_finish_request() is php-fpm's own.",
    );
    instance.advise("Each worker has an opcode cache of its own; php-fpm's children share one.");
    if pool.entries.iter().any(|entry| entry.name.starts_with("php_admin_")) {
        instance.advise(
            "What php_admin_value and php_admin_flag kept from scripts, they can now change with ini_set(), where PHP \
             lets them at all.",
        );
    }
}

/// A time of php-fpm's, in seconds.
fn seconds(value: &str) -> Option<u64> {
    let (number, unit) = match value.char_indices().next_back()? {
        (_, '0'..='9') => (value, 1),
        (end, 's') => (&value[..end], 1),
        (end, 'm') => (&value[..end], 60),
        (end, 'h') => (&value[..end], 3_600),
        (end, 'd') => (&value[..end], 86_400),
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}
