//! Directories and sockets in a temporary place.

use super::*;
use std::os::unix::net::UnixListener;

struct Scene {
    dir: tempfile::TempDir,
    places: Places,
    listeners: Vec<UnixListener>,
}

fn scene() -> Scene {
    let dir = tempfile::tempdir().unwrap();
    let parents = vec![dir.path().join("system"), dir.path().join("user")];
    let settings = dir.path().join("settings");
    for path in parents.iter().chain([&settings]) {
        fs::create_dir(path).unwrap();
    }
    let how_to_start = |name: &str| format!("; start {name}");
    Scene {
        places: Places { own: None, parents, settings, how_to_start },
        dir,
        listeners: Vec::new(),
    }
}

impl Scene {
    fn directory(&self, place: &str) -> PathBuf {
        let path = self.dir.path().join(place);
        fs::create_dir(&path).unwrap();
        path
    }

    fn running(&mut self, place: &str) -> PathBuf {
        let path = self.directory(place);
        self.listeners.push(UnixListener::bind(path.join("control")).unwrap());
        path
    }

    fn found(&self, instance: Option<&str>) -> PathBuf {
        self.places.find(instance).unwrap().directory().to_owned()
    }

    /// Exit status and message.
    fn refused(&self, instance: Option<&str>) -> (u8, String) {
        let error = self.places.find(instance).unwrap_err();
        (error.exit_status(), error.to_string())
    }
}

#[test]
fn an_instance_is_found_by_name_unit_and_path() {
    let mut scene = scene();
    let web = scene.running("system/web");
    let dev = scene.running("user/dev");
    for name in ["web", "herder@web.service", "herder@web", web.to_str().unwrap()] {
        assert_eq!(scene.found(Some(name)), web, "{name}");
    }
    assert_eq!(scene.found(Some(web.join("control").to_str().unwrap())), web);
    assert_eq!(scene.found(Some("dev")), dev);
    let socket = scene.dir.path().join("herder-web.control");
    scene.listeners.push(UnixListener::bind(&socket).unwrap());
    let found = scene.places.find(socket.to_str()).unwrap();
    assert_eq!((found.name.as_str(), &found.control), ("herder-web.control", &socket));
    assert!(scene.places.find(Some("web")).unwrap().is_system);
    assert!(!scene.places.find(Some("dev")).unwrap().is_system);
}

#[test]
fn without_a_name_the_only_one_is_meant() {
    let mut scene = scene();
    let (status, message) = scene.refused(None);
    let (system, user) = (scene.dir.path().join("system"), scene.dir.path().join("user"));
    let none = format!("no herder is running in {} or {}", system.display(), user.display());
    assert!(status == 3 && message.starts_with(&none), "{message}");
    assert!(message.ends_with("herder run --listen 127.0.0.1:8000"), "{message}");
    let settings = |name: &str| fs::write(scene.places.settings.join(name), "").unwrap();
    settings("api.toml");
    let (_, message) = scene.refused(None);
    assert_eq!(message, format!("{none}; api is not running; start api"));
    settings("shop.toml");
    let (_, message) = scene.refused(None);
    assert!(message.ends_with("one of api, shop"), "{message}");

    let web = scene.running("system/web");
    // What a crash left behind does not count.
    drop(UnixListener::bind(scene.directory("system/dead").join("control")).unwrap());
    assert_eq!(scene.found(None), web);

    scene.running("user/dev");
    scene.running("user/web");
    let (status, message) = scene.refused(None);
    assert_eq!(status, 64);
    let path = scene.dir.path().join("user/web");
    let expected = format!("which instance? Running are: {}, dev, web", path.display());
    assert_eq!(message, expected);

    let (status, message) = scene.refused(Some("web"));
    assert!(status == 64 && message.contains("by its path"), "{message}");
}

#[test]
fn inside_a_unit_its_own_directory_is_meant_even_if_herder_is_gone() {
    let mut scene = scene();
    scene.running("user/web");
    let own = scene.directory("system/web");
    scene.places.own = Some(own.clone());
    assert_eq!(scene.found(None), own);
    assert_eq!(scene.found(Some("web")), own);
}

#[test]
fn a_missing_instance_says_which_there_are() {
    let mut scene = scene();
    let (status, message) = scene.refused(Some("web"));
    let file = scene.places.settings.join("web.toml");
    let none = format!(
        "there is no instance called web: nothing of that name runs, and {} does not exist",
        file.display()
    );
    assert_eq!((status, message), (4, format!("{none}; there is no other either")));
    scene.running("system/api");
    fs::write(scene.places.settings.join("shop.toml"), "").unwrap();
    let (_, message) = scene.refused(Some("web"));
    assert_eq!(message, format!("{none}; there are: api, shop"));

    // Between the look for it and the look at all.
    let web = scene.running("system/web");
    assert_eq!(scene.places.late_or_missing("web").unwrap().directory(), web);
    fs::remove_dir_all(web).unwrap();

    fs::write(file, "").unwrap();
    let (status, message) = scene.refused(Some("web"));
    assert_eq!((status, message.as_str()), (3, "web is not running; start web"));

    assert_eq!(scene.refused(Some("/no/such/place")).0, 4);
    for name in ["", "herder@.service", "..", "."] {
        assert_eq!(scene.refused(Some(name)).0, 64, "{name}");
    }
}

#[test]
fn everything_there_is_is_seen_even_what_may_not_be_asked() {
    let mut scene = scene();
    let names = |scene: &Scene| -> Vec<String> {
        scene.places.all().instances.into_iter().map(|instance| instance.name).collect()
    };
    assert!(names(&scene).is_empty());
    scene.running("system/web");
    scene.running("user/web");
    // No instance: nothing listens there, or ever has.
    scene.directory("system/empty");
    fs::write(scene.dir.path().join("system/file"), "").unwrap();
    // As `/run/herder/NAME` is when `DynamicUser=` has made it private: it cannot be looked into.
    let path = scene.dir.path().join("user/loop");
    std::os::unix::fs::symlink(&path, &path).unwrap();
    let second = scene.dir.path().join("user/web").display().to_string();
    let mut expected = vec!["loop".to_owned(), "web".to_owned(), second];
    expected.sort();
    assert_eq!(names(&scene), expected);

    assert!(scene.places.all().unseen.is_empty());
    scene.places.parents.push(path);
    let unseen = scene.places.all().unseen;
    assert!(unseen[0].to_string().contains("cannot look into"), "{unseen:?}");
}

#[test]
fn settings_files_are_instances_to_be() {
    let scene = scene();
    for file in ["b.toml", "a.toml", "a.toml~", ".toml", ".hidden.toml", "readme"] {
        fs::write(scene.places.settings.join(file), "").unwrap();
    }
    assert_eq!(scene.places.configured(), ["a", "b"]);
    let (_, message) = scene.refused(None);
    assert!(message.ends_with("herder status NAME, with NAME one of a, b"), "{message}");
}
