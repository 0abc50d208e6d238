//! The formats that `herder import` reads. The first byte says which; each settings file that comes of it has to be one that
//! herder takes.
#![no_main]

use herder_config::{Machine, Overrides, load};
use herder_import::{Kind, Source, import, recognise};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &str| {
    let kind = match data.chars().next() {
        Some('f') => Kind::PhpFpm,
        Some('p') => Kind::Procfile,
        Some('2') => Kind::Pm2,
        Some('s') => Kind::Supervisord,
        _ => return,
    };
    let text = &data[1..];
    let _ = recognise("a.file", text);
    let source = Source { name: "a.file", directory: Some("/srv/app"), text, prefix: "" };
    let Ok(imported) = import(kind, &source) else { return };
    let _ = (imported.preamble(), imported.text(), imported.count_lost());
    let machine = Machine { cpus: 2, web_concurrency: None };
    for file in imported.files() {
        assert!(file.path.starts_with("/etc/"), "{}", file.path);
        assert!(!file.path.contains("/../") && !file.path.contains('\n'), "{:?}", file.path);
        if file.path.ends_with(".toml")
            && let Err(problems) =
                load(Some(("imported", &file.text)), &Overrides::default(), &machine)
        {
            panic!("{problems}\n{}", file.text);
        }
    }
});
