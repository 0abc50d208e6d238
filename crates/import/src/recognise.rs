//! What a file is, by its name and by what is in it; and what to say of those that are programs.

use super::Kind;
use super::ini;

/// How pm2's own settings, which are JavaScript, become the JSON that they stand for.
pub const AS_JSON: &str = "node -p 'JSON.stringify(require(\"./ecosystem.config.js\"), null, 2)' | herder import --from pm2 -";

/// Says what a file is, or why it cannot be imported.
pub fn recognise(name: &str, text: &str) -> Result<Kind, String> {
    let file = name.rsplit('/').next().unwrap_or(name);
    if file == "Procfile" || file.starts_with("Procfile.") {
        return Ok(Kind::Procfile);
    }
    let extension = file.rsplit_once('.').map_or("", |(_, extension)| extension);
    match extension {
        "js" | "cjs" | "mjs" | "ts" => Err(format!(
            "{name} is a program; let it print what it says, as JSON: {}",
            AS_JSON.replace("./ecosystem.config.js", &format!("./{file}"))
        )),
        "py" | "rb" | "pl" | "pm" => Err(format!(
            "{name} is a program, and herder runs none to read it; herder-migrate(7) has a table of its settings"
        )),
        "yml" | "yaml" => Err(format!(
            "{name} is YAML; make JSON of it: python3 -c 'import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), \
             sys.stdout, indent=2)' <{file} | herder import --from pm2 -"
        )),
        "json" => Ok(Kind::Pm2),
        _ => by_content(name, text),
    }
}

fn by_content(name: &str, text: &str) -> Result<Kind, String> {
    if text.trim_start().starts_with('{') {
        return Ok(Kind::Pm2);
    }
    let ini = ini::python(text);
    let sections: Vec<&str> = ini.sections.iter().map(|section| section.name.as_str()).collect();
    let supervisord = ["supervisord", "supervisorctl", "unix_http_server", "inet_http_server"];
    let typed = ["program:", "fcgi-program:", "eventlistener:", "group:", "rpcinterface:"];
    if sections
        .iter()
        .any(|name| supervisord.contains(name) || typed.iter().any(|kind| name.starts_with(kind)))
    {
        return Ok(Kind::Supervisord);
    }
    let has = |key: &str| ini.sections.iter().any(|section| section.get(key).is_some());
    if ["pm", "pm.max_children", "listen.owner", "process_control_timeout"]
        .iter()
        .any(|key| has(key))
        || (sections.contains(&"global") && has("include"))
    {
        return Ok(Kind::PhpFpm);
    }
    if sections.contains(&"uwsgi") {
        return Err(format!(
            "{name} is uWSGI's, which is not imported; herder-migrate(7) has a table of its settings"
        ));
    }
    if sections.is_empty() && super::procfile::is_one(text) {
        return Ok(Kind::Procfile);
    }
    Err(format!(
        "{name}: not known what this is; say it with --from: php-fpm, procfile, pm2 or supervisord"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_name_and_content() {
        for (name, text, kind) in [
            ("Procfile", "", Kind::Procfile),
            ("/srv/app/Procfile.dev", "web: x", Kind::Procfile),
            ("ecosystem.config.json", "", Kind::Pm2),
            ("-", "\n {\"apps\": []}", Kind::Pm2),
            ("www.conf", "[www]\nuser = x\npm = static\n", Kind::PhpFpm),
            ("/etc/php-fpm.conf", "[global]\ninclude=x/*.conf\n", Kind::PhpFpm),
            ("supervisord.conf", "[supervisord]\n", Kind::Supervisord),
            ("conf.d/x.conf", "; c\n[program:x]\ncommand=y\n", Kind::Supervisord),
            ("-", "web: bin/x\nworker: bin/y -z\n", Kind::Procfile),
        ] {
            assert_eq!(recognise(name, text), Ok(kind), "{name}");
        }
    }

    #[test]
    fn what_cannot_be_imported_is_told_with_a_way_out() {
        for (name, text, part) in [
            ("ecosystem.config.js", "", "require(\"./ecosystem.config.js\")"),
            ("a/pm2.config.cjs", "", "require(\"./pm2.config.cjs\")"),
            ("gunicorn.conf.py", "", "herder-migrate(7)"),
            ("config/puma.rb", "", "herder-migrate(7)"),
            ("processes.yaml", "", "<processes.yaml"),
            ("app.ini", "[uwsgi]\nmaster = true\n", "herder-migrate(7)"),
            ("x.conf", "[a]\nb=c\n", "--from"),
            ("-", "", "--from"),
        ] {
            let why = recognise(name, text).unwrap_err();
            assert!(why.contains(part) && !why.contains('\n'), "{why}");
        }
    }
}
