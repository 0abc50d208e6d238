//! `herder check`: everything that is wrong with a settings file, or what it means.
//!
//! Starts no worker and changes nothing. What it prints is itself a settings file: each setting
//! in effect with where it came from, and the rest as comments. What only the running service
//! can know (its user, its sockets) is asked of systemd, and left out where there is none.

mod service;
mod user;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::launch::{Launch, Rendered, Surroundings};
use herder_config::{Machine, Overrides, Place, Settings, WorkerLimits, assess, effective};
use herder_core::{Generation, SlotId, WorkerId};
use herder_linux::error::Error;
use service::Service;
use user::User;

/// Checks a settings file. `Ok` is what to print; the error names every problem, one a line.
pub fn check(file: &Path, overrides: &Overrides, machine: &Machine) -> Result<String, Error> {
    let shown = file.display().to_string();
    let text = fs::read_to_string(file)
        .map_err(|error| Error::Config(format!("{shown}: cannot read the settings: {error}")))?;
    let instance = file.file_stem().unwrap_or_default().to_string_lossy();
    let surroundings = Surroundings::of_this_process(&instance)
        .map_err(|error| Error::system("find herder's own program and directory", error))?;
    let (settings, mut problems) = assess(Some((&shown, &text)), overrides, machine);
    let launch = Launch::preview(&settings, &surroundings, &mut problems);
    let launch =
        problems.none_or(launch).map_err(|problems| Error::Config(problems.to_string()))?;

    let service = Service::of_settings_file(file);
    let user = service.as_ref().map_or_else(User::current, User::of_service);
    let mut report = format!("# {shown} is in order. In effect:\n\n");
    report.push_str(&settings_in_effect(&settings));
    report.push_str(&added_by_preset(&settings));
    if let Some(launch) = &launch {
        let rendered = launch.render(SlotId(0), WorkerId(1), Generation(1), Path::new(""), &[]);
        report.push_str(&what_runs(launch, &rendered, &surroundings));
        let directory = launch.directory.as_ref().map(|path| path.to_string_lossy().into_owned());
        let needs = needs(file, &settings, directory.as_deref(), &rendered);
        report.push_str(&runs_as(&user, service.as_ref(), &needs));
    }
    report.push_str(&sockets(&settings, service.as_ref()));
    report.push_str(&processes(&settings));
    report.push_str(&limits(&settings.limits, service.as_ref()));
    report.push_str(&leaves(&settings, service.as_ref()));
    Ok(report)
}

/// Each setting with a comment that says where it came from.
fn settings_in_effect(settings: &Settings) -> String {
    let mut text = String::new();
    for line in effective(settings) {
        let origin = line.origin.map_or("default".to_owned(), Place::to_string);
        // Writing to a String cannot fail, here and below.
        let _ = match line.value {
            Some(value) => writeln!(text, "{:<44} # {origin}", format!("{} = {value}", line.key)),
            None => writeln!(text, "# {} is not set", line.key),
        };
    }
    text
}

/// What of the command the preset has added, and why.
fn added_by_preset(settings: &Settings) -> String {
    let mut text = String::new();
    if let (Some(preset), [_, ..]) = (settings.preset, settings.added.as_slice()) {
        let _ = writeln!(text, "\n# added to command by preset {}:", preset.name);
        for added in &settings.added {
            let _ = writeln!(text, "#   {:<40} {}", added.words.join(" "), added.reason);
        }
    }
    text
}

fn what_runs(launch: &Launch, rendered: &Rendered<'_>, surroundings: &Surroundings) -> String {
    // Quoted as Rust does, so that a line stays a line and the report stays TOML.
    let argv: Vec<_> = rendered.argv.iter().map(|word| word.to_string_lossy()).collect();
    let directory = match &launch.directory {
        Some(directory) => directory.to_string_lossy().into_owned(),
        None => format!("herder's own, here {}", surroundings.directory.display()),
    };
    format!(
        "\n# program:   {}\n# argv:      {argv:?} (worker 1 in slot 0)\n# directory: {directory}\n",
        rendered.path.to_string_lossy()
    )
}

/// What the user has to be able to do, on which path.
fn needs<'a>(
    file: &'a Path,
    settings: &'a Settings,
    directory: Option<&str>,
    rendered: &Rendered<'_>,
) -> Vec<(user::Need, std::path::PathBuf)> {
    let mut needs = vec![(user::Need::Read, file.to_owned())];
    needs.extend(directory.map(|directory| (user::Need::Enter, directory.into())));
    if !settings.command.is_empty() {
        needs.push((user::Need::Execute, rendered.path.to_string_lossy().into_owned().into()));
    }
    let files = settings.environment_file.iter().filter(|file| file.path.exists());
    needs.extend(files.map(|file| (user::Need::Read, file.path.clone())));
    needs
}

fn runs_as(
    user: &User,
    service: Option<&Service>,
    needs: &[(user::Need, std::path::PathBuf)],
) -> String {
    let mut text = format!("# user:      {user}\n");
    for (need, path) in needs {
        let hidden = service.and_then(|service| service.hides(path));
        let verdict = match hidden.map_or_else(|| user.can(*need, path), Err) {
            Ok(()) => "yes".to_owned(),
            Err(why) => format!("NO, {why}"),
        };
        let _ = writeln!(text, "#            can {need} {}: {verdict}", path.display());
    }
    text
}

fn sockets(settings: &Settings, service: Option<&Service>) -> String {
    let from = match service {
        Some(service) => format!("from {}", service.sockets()),
        None => "from systemd".to_owned(),
    };
    let expected = match (&settings.sockets, settings.listen.as_slice()) {
        (Some(names), _) if names.is_empty() => "none".to_owned(),
        (Some(names), []) => format!("{} {from}", names.join(", ")),
        (None, []) => format!("all that come {from}"),
        (names, listen) => {
            let listen = listen
                .iter()
                .filter(|listen| names.as_ref().is_none_or(|names| names.contains(&listen.name)));
            let listen: Vec<_> = listen.map(ToString::to_string).collect();
            format!("{} {from}, else herder listens itself", listen.join(", "))
        }
    };
    let mut text = format!("# sockets:   {expected}\n");
    if let (true, Some(why)) = (settings.blocking, service.and_then(Service::makes_nonblocking)) {
        let _ = writeln!(text, "#            do block, as `blocking` wants it: NO, {why}");
    }
    text
}

/// Whether workers can be limited as the settings want it, as far as that can be seen from here.
fn limits(limits: &WorkerLimits, service: Option<&Service>) -> String {
    let memory = limits.memory_high.or(limits.memory_max).or(limits.memory_swap_max);
    let mut controllers = Vec::new();
    controllers.extend(memory.map(|_| "memory"));
    controllers.extend(limits.cpu_weight.map(|_| "cpu").or(limits.cpu_quota.map(|_| "cpu")));
    controllers.extend(limits.tasks_max.map(|_| "pids"));
    let mut text = String::new();
    for controller in controllers {
        let verdict = match service.map(|service| service.withholds(controller)) {
            Some(None) => "yes, where cgroups are of version 2".to_owned(),
            Some(Some(why)) => format!("NO, {why}"),
            None => "if systemd hands the controller over (Delegate=)".to_owned(),
        };
        let begin = if text.is_empty() { "# limits:   " } else { "#           " };
        let _ = writeln!(text, "{begin} workers can be held to them, {controller}: {verdict}");
    }
    text
}

fn processes(settings: &Settings) -> String {
    let policy = &settings.policy;
    let (least, most) = (policy.workers, policy.most_workers());
    let wanted = match most > least {
        true => format!("{least} to {most}"),
        false => most.to_string(),
    };
    format!(
        "# processes: at most {} workers at a time ({wanted} wanted, {} more in a reload, {} still draining)\n",
        policy.most_processes(most),
        policy.max_surge.up(most),
        policy.max_draining.unwrap_or(most),
    )
}

/// When herder itself ends for want of work, and whether the settings of the unit allow that.
fn leaves(settings: &Settings, service: Option<&Service>) -> String {
    let Some(scaling) = settings.policy.scaling else { return String::new() };
    let Some(after) = scaling.exit_idle_time else { return String::new() };
    let every = scaling.idle_timeout + after;
    let mut text =
        format!("# at rest:   herder ends {every} after the last request, until the next\n");
    if let Some(why) = service.and_then(|service| service.starts_too_often(every)) {
        let _ = writeln!(text, "#            systemd allows that: NO, {why}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use herder_config::load;

    const MACHINE: Machine = Machine { cpus: 2, web_concurrency: None };

    fn checked(text: &str) -> (String, Result<String, Error>) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("web.toml");
        fs::write(&file, text).unwrap();
        (file.display().to_string(), check(&file, &Overrides::default(), &MACHINE))
    }

    #[test]
    fn a_good_file_is_explained_in_its_own_language() {
        let (file, report) = checked(
            "command = [\"/bin/sh\", \"-c\", \"exit\\n\", \"{slot}\", \"{fd:web}\"]\ndirectory = \"/\"\nsockets = [\"web\"]\nworkers = 4\n",
        );
        let report = report.unwrap();
        for part in [
            format!("# {file}:4:1\n"),
            "# default\n".into(),
            "# reopen-signal is not set\n".into(),
            "sh\", \"-c\", \"exit\\n\", \"0\", \"3\"] (worker 1 in slot 0)\n".into(),
            "# directory: /\n".into(),
            "can enter and read /: yes\n".into(),
            "# sockets:   web from systemd\n".into(),
            "at most 9 workers at a time (4 wanted, 1 more in a reload, 4 still draining)\n".into(),
        ] {
            assert!(report.contains(&part), "{part} in:\n{report}");
        }
        let again = load(Some(("again", &report)), &Overrides::default(), &MACHINE).unwrap();
        assert_eq!((again.policy.workers, again.command.len()), (4, 5));
    }

    #[test]
    fn what_a_preset_did_is_shown_with_its_reasons() {
        let text = "preset = \"puma\"\ncommand = [\"sh\", \"puma\"]\nmax-starting = 7\n";
        let (file, report) = checked(text);
        let report = report.unwrap();
        for part in [
            format!("# {file}:1:1\n"),
            "success-exit-status = [\"SIGTERM\"]            # preset puma\n".into(),
            format!("max-starting = 7                             # {file}:3:1\n"),
            "\n# added to command by preset puma:\n#   --bind-to-activated-sockets only ".into(),
            "#   -w 0   ".into(),
            "sh\", \"puma\", \"--bind-to-activated-sockets\", \"only\", \"-w\", \"0\"] (worker 1 in slot 0)\n".into(),
        ] {
            assert!(report.contains(&part), "{part} in:\n{report}");
        }
        let again = load(Some(("again", &report)), &Overrides::default(), &MACHINE).unwrap();
        assert_eq!((again.command.len(), again.added.len()), (6, 0));
    }

    #[test]
    fn limits_are_shown_with_what_they_need() {
        let text =
            "memory-max = \"512M\"\ncpu-quota = \"150%\"\nlimits.nofile = \"64:128\"\nnice = 5\n";
        let report = checked(text).1.unwrap();
        for part in [
            "memory-max = \"512M\" ",
            "limits.nofile = \"64:128\" ",
            "# limits.core is not set\n",
            "# limits:    workers can be held to them, memory: if systemd hands the controller over",
            "#            workers can be held to them, cpu: if systemd hands",
        ] {
            assert!(report.contains(part), "{part} in:\n{report}");
        }
        assert!(!report.contains("pids: "), "{report}");
    }

    #[test]
    fn the_smallest_files_are_in_order() {
        for text in [
            "",
            "listen = \"8000\"\nenvironment.P = \"{port}\"",
            "command = [\"sh\", \"{fd} {port:x} {worker}\"]",
        ] {
            let report = checked(text).1.unwrap();
            assert!(report.contains("# user:      "), "{report}");
        }
    }

    #[test]
    fn every_problem_is_reported_whichever_part_finds_it() {
        let (file, told) = checked("wokers = 2\ncommand = [\"/no/such/program\"]\nsockets = 3.5\n");
        let told = told.unwrap_err();
        assert_eq!(told.exit_status(), 78);
        let lines: Vec<_> = told.to_string().lines().map(str::to_owned).collect();
        assert_eq!(lines.len(), 3, "{told}");
        for (line, place) in lines.iter().zip([":1:1: ", ":2:1: ", ":3:11: "]) {
            assert!(line.starts_with(&format!("{file}{place}")), "{told}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let told =
            check(Path::new("/no/such/web.toml"), &Overrides::default(), &MACHINE).unwrap_err();
        assert_eq!(told.exit_status(), 78);
        assert!(
            told.to_string()
                .starts_with("/no/such/web.toml: cannot read the settings: No such file")
        );
    }
}
