//! What the instance is, and by which settings it runs: for whoever asks over the control socket.

use super::Daemon;
use herder_config::{Place, effective};
use herder_linux::cgroup::Tree;
use herder_wire::status::{InstanceDescription, Setting};
use nix::unistd::Uid;

impl Daemon {
    pub(super) fn describe(&mut self) -> InstanceDescription {
        self.calendar.compare();
        let settings = self.spec_in_service().map(|spec| effective(&spec.settings));
        // Variables may hold secrets, and everybody who can connect may ask.
        let shown =
            settings.into_iter().flatten().filter(|line| !line.key.starts_with("environment."));
        let setting = |line: herder_config::Line<'_>| {
            let origin = line.origin.map_or_else(|| "default".to_owned(), Place::to_string);
            Some(Setting { key: line.key, value: line.value?, origin })
        };
        let tree = self.children.tree();
        let controllers = tree.map(Tree::controllers).unwrap_or_default();
        InstanceDescription {
            name: self.name.clone(),
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at_usec: self.calendar.date(self.herd.started()),
            file: self.source.file.as_ref().map(|file| file.display().to_string()),
            uid: Uid::effective().as_raw(),
            runtime_directory: self.runtime.path().display().to_string(),
            cgroup: tree.map(Tree::path_in_mount),
            controllers: controllers.iter().map(|name| (*name).to_owned()).collect(),
            log_level: self.log.level(),
            settings: shown.filter_map(setting).collect(),
        }
    }
}
