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
    Scene { places: Places { own: None, parents, settings }, dir, listeners: Vec::new() }
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
    assert!(scene.places.find(Some("web")).unwrap().is_system);
    assert!(!scene.places.find(Some("dev")).unwrap().is_system);
}

#[test]
fn without_a_name_the_only_one_is_meant() {
    let mut scene = scene();
    let (status, message) = scene.refused(None);
    assert!(status == 3 && message.contains("no herder is running"), "{message}");

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
    assert_eq!(
        (status, message.as_str()),
        (4, "there is no instance called web (running: none runs)")
    );
    scene.running("system/api");
    let (_, message) = scene.refused(Some("web"));
    assert_eq!(message, "there is no instance called web (running: api)");

    fs::write(scene.places.settings.join("web.toml"), "").unwrap();
    let (status, message) = scene.refused(Some("web"));
    assert_eq!(status, 3);
    assert!(message.ends_with("systemctl start herder@web.socket"), "{message}");

    assert_eq!(scene.refused(Some("/no/such/place")).0, 4);
    for name in ["", "herder@.service", "..", "."] {
        assert_eq!(scene.refused(Some(name)).0, 64, "{name}");
    }
}

#[test]
fn what_cannot_be_reached_says_what_to_do() {
    let scene = scene();
    let dir = scene.directory("system/web");
    let instance = scene.places.find(Some("web")).unwrap();
    for (kind, status, advice) in [
        (io::ErrorKind::NotFound, 3, "systemctl start herder@web.socket"),
        (io::ErrorKind::ConnectionRefused, 3, "systemctl start herder@web.socket"),
        (io::ErrorKind::PermissionDenied, 4, "as root"),
        (io::ErrorKind::WouldBlock, 1, "journalctl -e -u herder@web.service"),
    ] {
        let error = unreachable(&instance, &io::Error::from(kind));
        assert_eq!(error.exit_status(), status);
        assert!(error.to_string().contains(advice), "{error}");
        assert!(
            kind == io::ErrorKind::WouldBlock || error.to_string().contains(dir.to_str().unwrap())
        );
    }
}
