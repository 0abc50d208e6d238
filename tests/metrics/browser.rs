//! The status page in a real browser.

use crate::chromium::Chromium;
use crate::fixture::{EVIL, json, status};
use herder_wire::host::{Host, Silent};
use herder_wire::page;
use serde_json::json;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// Something that serves the page and what it asks for.
struct Server {
    address: String,
    /// What `/status.json` says; nothing: it hangs up.
    says: Arc<Mutex<Option<String>>>,
}

impl Server {
    fn saying(host: &Host) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/", listener.local_addr().unwrap());
        let says = Arc::new(Mutex::new(Some(json(host))));
        let to_say = Arc::clone(&says);
        // Ends with the process; a browser that goes away in the middle is none of its business.
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let _ = answer(client, to_say.lock().unwrap().clone());
            }
        });
        Server { address, says }
    }

    fn say(&self, host: Option<&Host>) {
        *self.says.lock().unwrap() = host.map(json);
    }
}

fn answer(client: TcpStream, status: Option<String>) -> std::io::Result<()> {
    let mut head = BufReader::new(&client).lines();
    let request = head.next().unwrap_or_else(|| Ok(String::new()))?;
    while head.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let (kind, body) = match (request.split(' ').nth(1), status) {
        (Some("/"), _) => ("text/html; charset=utf-8", page::HTML.to_owned()),
        (Some("/status.json"), Some(status)) => ("application/json", status),
        _ => return Ok(()),
    };
    let (length, policy) = (body.len(), page::POLICY);
    write!(
        &client,
        "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\
         Content-Security-Policy: {policy}\r\nConnection: close\r\n\r\n{body}"
    )
}

fn one(slots: u32) -> Host {
    Host::of_one(status("web", slots))
}

const ROWS: &str = "document.querySelectorAll('#workers tbody tr').length";

/// The text of a column of the workers.
fn column(chromium: &mut Chromium, name: &str) -> Vec<String> {
    let cells = chromium.evaluate(&format!(
        "(() => {{ const at = [...document.querySelectorAll('#workers thead th')].findIndex(th => th.textContent === '{name}');
           return [...document.querySelectorAll('#workers tbody tr')].map(row => row.children[at].textContent) }})()"
    ));
    cells.as_array().unwrap().iter().map(|cell| cell.as_str().unwrap().to_owned()).collect()
}

#[test]
fn rows_appear_and_follow_what_happens_without_a_reload() {
    let Some(mut chromium) = Chromium::start() else { return };
    let server = Server::saying(&one(3));
    chromium.open(&server.address, 1920, 1000);
    chromium.wait_for(&format!("{ROWS} === 4"));
    assert_eq!(column(&mut chromium, "State"), ["starting", "ready", "draining", "ready"]);
    assert_eq!(chromium.evaluate("document.title"), "web degraded 2/3 – herder");
    assert_eq!(chromium.evaluate("document.querySelectorAll('#slots i').length"), 3);
    assert_eq!(chromium.evaluate("document.querySelectorAll('#reloads li').length"), 3);
    assert_eq!(chromium.evaluate("document.querySelectorAll('#sockets tbody tr').length"), 3);

    // The row that stays is the same row, and what stands in it is new.
    chromium.evaluate(
        "window.row = document.querySelector('#workers tbody tr:nth-child(2)'); window.mark = 1",
    );
    let mut host = one(5);
    host.instances[0].workers[1].status = Some("busy now".to_owned());
    server.say(Some(&host));
    chromium.wait_for(&format!("{ROWS} === 6"));
    assert_eq!(chromium.evaluate("window.row.lastChild.textContent"), "busy now");
    assert_eq!(chromium.evaluate("window.mark"), 1, "it was loaded again");
    chromium.wait_for(
        "document.querySelector('#sockets path:not(.area)').getAttribute('d').includes('L')",
    );
    assert_eq!(chromium.complaints, [""; 0]);
}

#[test]
fn what_a_worker_says_stays_text() {
    let Some(mut chromium) = Chromium::start() else { return };
    let mut host = one(3);
    host.instances[0].name = EVIL.to_owned();
    host.instances[0].reloads[0].reason = Some(EVIL.to_owned());
    host.instances[0].sockets[0].name = EVIL.to_owned();
    let server = Server::saying(&host);
    chromium.open(&server.address, 1920, 1000);
    chromium.wait_for(&format!("{ROWS} === 4"));
    assert_eq!(column(&mut chromium, "Says")[0], EVIL);
    assert_eq!(chromium.evaluate("document.getElementById('name').textContent"), EVIL);
    assert_eq!(chromium.evaluate("document.querySelectorAll('img').length"), 0);
    assert_eq!(chromium.evaluate("document.scripts.length"), 1);
    // … and were it ever markup, nothing in it would run.
    chromium.evaluate(&format!("document.body.insertAdjacentHTML('beforeend', {})", json!(EVIL)));
    assert_ne!(
        chromium.evaluate("new Promise(done => setTimeout(() => done(document.title), 100))"),
        "pwned"
    );
}

#[test]
fn the_page_says_when_the_server_no_longer_answers() {
    let Some(mut chromium) = Chromium::start() else { return };
    let server = Server::saying(&one(3));
    chromium.open(&server.address, 1280, 800);
    chromium.wait_for(&format!("{ROWS} === 4"));
    assert_eq!(chromium.evaluate("document.getElementById('banner').hidden"), true);
    server.say(None);
    chromium.wait_for("!document.getElementById('banner').hidden");
    chromium.picture("no-answer");
    assert_eq!(chromium.evaluate(ROWS), 4, "what was last known is still there");
    assert!(chromium.evaluate("document.title").as_str().unwrap().contains("no answer"));
    server.say(Some(&one(2)));
    chromium.wait_for(&format!("document.getElementById('banner').hidden && {ROWS} === 3"));
    assert_eq!(chromium.evaluate("document.title"), "web degraded 1/2 – herder");
}

#[test]
fn a_host_shows_all_its_instances_and_the_one_that_is_chosen() {
    let Some(mut chromium) = Chromium::start() else { return };
    let silent =
        Silent { name: "db".to_owned(), reason: "it hangs: look at its journal".to_owned() };
    let instances = vec![status("api", 8), status("my shop", 3)];
    let server = Server::saying(&Host { instances, silent: vec![silent] });
    chromium.open(&server.address, 800, 900);
    chromium.wait_for("document.querySelectorAll('#instances tbody tr').length === 3");
    chromium.evaluate("document.querySelector('#instances a[href=\"#my%20shop\"]').click()");
    chromium.wait_for(&format!(
        "document.getElementById('name').textContent === 'my shop' && {ROWS} === 4"
    ));
    chromium.picture("host");
    chromium.evaluate("location.hash = 'db'");
    chromium.wait_for(
        "!document.getElementById('mute').hidden && document.getElementById('instance').hidden",
    );
    let said = chromium.evaluate("document.getElementById('mute').innerText");
    assert!(said.as_str().unwrap().contains("look at its journal"), "{said}");

    server.say(Some(&Host::default()));
    chromium.wait_for("!document.getElementById('nothing').hidden");
}

#[test]
fn three_hundred_workers_are_sorted_filtered_and_fit() {
    let Some(mut chromium) = Chromium::start() else { return };
    let server = Server::saying(&one(300));
    chromium.prefer("light");
    chromium.open(&server.address, 1920, 1080);
    chromium.wait_for(&format!("{ROWS} === 301"));
    chromium.picture("300-light");
    chromium.evaluate("[...document.querySelectorAll('#workers th button')].find(button => button.textContent === 'CPU').click()");
    let cpu = column(&mut chromium, "CPU");
    assert_eq!((cpu[0].as_str(), cpu[300].as_str()), ("99.0%", "–"), "the unknown is last");
    let sorted = "[...document.querySelectorAll('#workers th')].find(th => th.textContent === 'CPU').getAttribute('aria-sort')";
    assert_eq!(chromium.evaluate(sorted), "descending");

    chromium.evaluate("{ const filter = document.getElementById('filter'); filter.value = 'draining'; filter.dispatchEvent(new Event('input')) }");
    assert_eq!(column(&mut chromium, "State"), ["draining"]);
    chromium.evaluate("{ const filter = document.getElementById('filter'); filter.value = ''; filter.dispatchEvent(new Event('input')) }");
    assert_eq!(chromium.evaluate(ROWS), 301);

    for width in [800, 1920] {
        chromium.open(&server.address, width, 1080);
        chromium.wait_for(&format!("{ROWS} === 301"));
        let widest = chromium.evaluate("document.documentElement.scrollWidth");
        assert_eq!(widest, width, "the page is wider than the window");
        let table = chromium.evaluate("document.querySelector('#workers').scrollWidth - document.querySelector('#workers').parentElement.clientWidth");
        assert!(
            table.as_f64().unwrap() <= 0.0,
            "the table of workers is {table} px wider than the window of {width}"
        );
    }
    chromium.prefer("dark");
    chromium.picture("300-dark");
}

/// The lowest contrast between a text and what it stands on (WCAG 2.1, 1.4.3), and where that is.
const CONTRAST: &str = "
(() => {
  const channels = color => color.match(/[\\d.]+/g).map(Number);
  const luminance = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, at) => sum + v * [.2126, .7152, .0722][at], 0);
  const ground = node => { for (; node; node = node.parentElement) {
    const color = channels(getComputedStyle(node).backgroundColor); if (color[3] !== 0) return color; } return [255, 255, 255]; };
  let worst = [99, 'nothing'];
  for (const node of document.querySelectorAll('body *')) {
    if (!node.offsetParent || ![...node.childNodes].some(child => child.nodeType === 3 && child.data.trim())) continue;
    const [a, b] = [luminance(channels(getComputedStyle(node).color)), luminance(ground(node))].sort((a, b) => b - a);
    const contrast = (a + .05) / (b + .05);
    if (contrast < worst[0]) worst = [contrast, node.className + ': ' + node.textContent];
  }
  return worst;
})()";

#[test]
fn light_and_dark_differ_and_both_can_be_read() {
    let Some(mut chromium) = Chromium::start() else { return };
    let server = Server::saying(&one(3));
    let mut pictures = Vec::new();
    for scheme in ["light", "dark"] {
        chromium.prefer(scheme);
        chromium.open(&server.address, 1920, 1000);
        chromium.wait_for(&format!("{ROWS} === 4"));
        let worst = chromium.evaluate(CONTRAST);
        assert!(worst[0].as_f64().unwrap() >= 4.5, "{scheme}: contrast of only {worst}");
        pictures.push(chromium.picture(&format!("3-{scheme}")));
    }
    // What is really in the pictures, as a page without a policy can tell.
    chromium.open("about:blank", 100, 100);
    let mut corner = |picture: &String| {
        let brightness = chromium.evaluate(&format!(
            "new Promise(done => {{ const image = new Image(); image.onload = () => {{
               const canvas = document.createElement('canvas').getContext('2d');
               canvas.drawImage(image, 0, 0);
               done(canvas.getImageData(2, 2, 1, 1).data.slice(0, 3).reduce((a, b) => a + b) / 3);
             }}; image.src = 'data:image/png;base64,{picture}' }})"
        ));
        brightness.as_f64().unwrap()
    };
    let (light, dark) = (corner(&pictures[0]), corner(&pictures[1]));
    assert!(light > 230.0 && dark < 40.0, "light {light}, dark {dark}");
}
