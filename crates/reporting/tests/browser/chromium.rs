//! A headless Chromium, spoken to over the DevTools protocol.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use tungstenite::{Message, WebSocket};

const PATIENCE: Duration = Duration::from_secs(60);
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// A browser with one page.
pub(crate) struct Page {
    child: Child,
    _profile: TempDir,
    socket: WebSocket<TcpStream>,
    session: String,
    last: u64,
    /// What the browser told unasked.
    events: Vec<Value>,
}

impl Drop for Page {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Page {
    /// Opens a file in a window of this width.
    pub(crate) fn open(file: &Path, width: u32) -> Self {
        let mut page = Self::blank();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            page.call(&format!("{domain}.enable"), json!({}));
        }
        page.resize(width);
        page.call("Page.navigate", json!({"url": format!("file://{}", file.display())}));
        page.wait_for("Page.loadEventFired");
        page
    }

    fn blank() -> Self {
        let profile = tempfile::tempdir().unwrap();
        let child = start(profile.path());
        let (port, path) = address(profile.path());
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let (socket, _) = tungstenite::client(format!("ws://127.0.0.1:{port}{path}"), stream).unwrap();
        let session = String::new();
        let mut page = Self { child, _profile: profile, socket, session, last: 0, events: Vec::new() };
        let target = page.call("Target.createTarget", json!({"url": "about:blank"}));
        let attached = page.call("Target.attachToTarget", json!({"targetId": target["targetId"], "flatten": true}));
        page.session = attached["sessionId"].as_str().unwrap().to_owned();
        page
    }

    pub(crate) fn resize(&mut self, width: u32) {
        let size = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600});
        self.call("Emulation.setDeviceMetricsOverride", size);
    }

    /// The kind of output and the look that the reader's system asks for.
    pub(crate) fn emulate(&mut self, media: &str, look: &str) {
        let features = json!([{"name": "prefers-color-scheme", "value": look}]);
        self.call("Emulation.setEmulatedMedia", json!({"media": media, "features": features}));
    }

    /// The value of an expression in the page.
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let asked = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let found = self.call("Runtime.evaluate", asked);
        assert!(found.get("exceptionDetails").is_none(), "{expression}: {found}");
        found["result"]["value"].clone()
    }

    pub(crate) fn text(&mut self, expression: &str) -> String {
        self.value(expression).as_str().unwrap_or_else(|| panic!("no text: {expression}")).to_owned()
    }

    /// Moves the pointer to a part of an element, from 0 to 1 across and down.
    pub(crate) fn point(&mut self, selector: &str, across: f64, down: f64) -> [f64; 2] {
        // Two frames later the page stands where it was scrolled to, for the pointer too.
        let found = self.value(&format!(
            "(async () => {{ const found = document.querySelector({selector:?}); \
             found.scrollIntoView({{block: 'center'}}); \
             for (let frame = 0; frame < 2; frame += 1) await new Promise(requestAnimationFrame); \
             const box = found.getBoundingClientRect(); return [box.left, box.top, box.width, box.height]; }})()"
        ));
        let part = |at: usize| found[at].as_f64().unwrap();
        let at = [part(0) + across * part(2), part(1) + down * part(3)];
        self.mouse("mouseMoved", at, 0);
        at
    }

    pub(crate) fn click(&mut self, selector: &str) {
        let at = self.point(selector, 0.5, 0.5);
        self.mouse("mousePressed", at, 1);
        self.mouse("mouseReleased", at, 0);
    }

    /// Presses the mouse in the middle of an element and lets go this far from there.
    pub(crate) fn drag(&mut self, selector: &str, across: f64, down: f64) {
        let [x, y] = self.point(selector, 0.5, 0.5);
        self.mouse("mousePressed", [x, y], 1);
        self.mouse("mouseMoved", [x + across, y + down], 1);
        self.mouse("mouseReleased", [x + across, y + down], 0);
    }

    /// `pressed` has one bit for each button that is down then.
    fn mouse(&mut self, kind: &str, [x, y]: [f64; 2], pressed: u8) {
        let button = if kind == "mouseMoved" { "none" } else { "left" };
        let event = json!({"type": kind, "x": x, "y": y, "button": button, "buttons": pressed, "clickCount": 1});
        self.call("Input.dispatchMouseEvent", event);
    }

    /// Presses a key by the name that scripts know it by.
    pub(crate) fn press(&mut self, key: &str) {
        let (code, text) = match key {
            "Enter" => (13, "\r"),
            "Tab" => (9, ""),
            "ArrowLeft" => (37, ""),
            "ArrowUp" => (38, ""),
            "ArrowRight" => (39, ""),
            "Escape" => (27, ""),
            other => (other.bytes().next().map_or(0, u32::from), other),
        };
        let event = json!({"type": "keyDown", "key": key, "windowsVirtualKeyCode": code, "text": text});
        self.call("Input.dispatchKeyEvent", event);
        self.call("Input.dispatchKeyEvent", json!({"type": "keyUp", "key": key, "windowsVirtualKeyCode": code}));
    }

    /// What went wrong by the page's console, and what it asked the network for besides itself.
    pub(crate) fn complaints(&mut self) -> Vec<String> {
        // Everything before an answer has come by then.
        self.value("new Promise((done) => setTimeout(done, 100))");
        let told = |event: &Value| {
            let parameters = &event["params"];
            match event["method"].as_str()? {
                "Runtime.consoleAPICalled" | "Runtime.exceptionThrown" | "Log.entryAdded" => Some(event.to_string()),
                "Network.requestWillBeSent" => {
                    let address = parameters["request"]["url"].as_str()?;
                    let own = address.starts_with("data:") || address.ends_with("/index.html");
                    (!own).then(|| address.to_owned())
                }
                _ => None,
            }
        };
        self.events.iter().filter_map(told).collect()
    }

    /// Every address that was asked for.
    pub(crate) fn requests(&self) -> usize {
        self.events.iter().filter(|event| event["method"] == "Network.requestWillBeSent").count()
    }

    fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.last += 1;
        let mut message = json!({"id": self.last, "method": method, "params": parameters});
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        self.socket.send(Message::text(message.to_string())).unwrap();
        loop {
            let answer = self.receive();
            if answer["id"] == json!(self.last) {
                assert!(answer.get("error").is_none(), "{method}: {answer}");
                return answer["result"].clone();
            }
            self.events.push(answer);
        }
    }

    fn wait_for(&mut self, method: &str) {
        while self.events.iter().all(|event| event["method"] != method) {
            let event = self.receive();
            self.events.push(event);
        }
    }

    fn receive(&mut self) -> Value {
        loop {
            if let Message::Text(text) = self.socket.read().unwrap() {
                return serde_json::from_str(&text).unwrap();
            }
        }
    }
}

fn start(profile: &Path) -> Child {
    let named = std::env::var("CHROMIUM").ok();
    let names: Vec<&str> = named.as_deref().map_or(NAMES.to_vec(), |name| vec![name]);
    let launched = |name: &&str| {
        let mut command = Command::new(name);
        command.args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"]);
        command.args(["--disable-background-networking", "--disable-component-update", "--disable-sync"]);
        command.arg("--remote-debugging-port=0").arg(format!("--user-data-dir={}", profile.display()));
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()
    };
    names.iter().find_map(launched).unwrap_or_else(|| panic!("no Chromium among {names:?}; name it in CHROMIUM"))
}

/// The port and the path that it listens at, which it writes into its profile.
fn address(profile: &Path) -> (u16, String) {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        let text = fs::read_to_string(profile.join("DevToolsActivePort")).unwrap_or_default();
        if let Some((port, path)) = text.split_once('\n')
            && let Ok(port) = port.parse()
            && path.starts_with('/')
        {
            return (port, path.trim().to_owned());
        }
        sleep(Duration::from_millis(20));
    }
    panic!("Chromium does not listen");
}
