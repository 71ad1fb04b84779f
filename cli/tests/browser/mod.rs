//! A real Chromium, driven over WebDriver as people drive it: it ends with its test.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Client;
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long a condition may take to come true; only a page that is broken needs it.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked at meanwhile.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// What Chromium does beside showing pages is turned off: it would ask other hosts.
const ARGUMENTS: [&str; 15] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-dev-shm-usage",
    "--disable-domain-reliability",
    "--metrics-recording-only",
    "--no-proxy-server",
];

/// Runs one of the project's scripts, which fetches what is not there, and gives the path that it prints.
fn fetched(script: &str) -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts").join(script);
    let found = Command::new(&script).stderr(Stdio::inherit()).output().unwrap();
    assert!(found.status.success(), "{} has said why there is none", script.display());
    PathBuf::from(String::from_utf8(found.stdout).unwrap().trim())
}

/// A running browser with one window.
pub(crate) struct Browser {
    driver: Child,
    http: Client,
    session: String,
    /// The only host that a page may ask.
    host: String,
    _profile: TempDir,
}

impl Browser {
    /// Starts one, whose pages may ask the host of `url` alone.
    pub(crate) async fn start(url: &str) -> Browser {
        let chromium = fetched("get-chromium.sh");
        let folder = chromium.parent().unwrap();
        let beside = folder.join("chromedriver");
        let program = if beside.exists() { beside } else { PathBuf::from("chromedriver") };
        let profile = tempfile::tempdir().unwrap();
        let mut driver = Command::new(&program)
            .arg("--port=0")
            .env("HOME", profile.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{} can't be run: {error}", program.display()));
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port: u16 = loop {
            let line = lines.next().expect("chromedriver says where it listens").unwrap();
            if let Some((_, port)) = line.split_once("started successfully on port ") {
                break port.trim_end_matches('.').parse().unwrap();
            }
        };
        // Read on, so that it never waits for us.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        let mut arguments: Vec<String> = ARGUMENTS.map(str::to_owned).to_vec();
        arguments.push(format!("--user-data-dir={}", profile.path().join("profile").display()));
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"binary": chromium, "args": arguments},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }}});
        let http = Client::builder().no_proxy().build().unwrap();
        let session = format!("http://127.0.0.1:{port}/session");
        let host = url.split_once("://").unwrap().1.to_owned();
        let mut browser = Browser { driver, http, session, host, _profile: profile };
        let begun = browser.post("", wanted).await;
        browser.session = format!("{}/{}", browser.session, begun["sessionId"].as_str().unwrap());
        browser
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let answer = self.http.post(format!("{}{path}", self.session)).json(&body).send().await.unwrap();
        let status = answer.status();
        let mut answer: Value = answer.json().await.unwrap();
        assert!(status.is_success(), "{path}: {answer:#}");
        answer["value"].take()
    }

    /// Opens an address and waits until it is loaded.
    pub(crate) async fn open(&self, url: &str) {
        self.post("/url", json!({"url": url})).await;
    }

    /// Runs a script in the page, and gives what it returns.
    pub(crate) async fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", json!({"script": script, "args": []})).await
    }

    /// Runs a script in the page that calls its last argument with what it gives.
    async fn run_async(&self, script: &str) -> Value {
        self.post("/execute/async", json!({"script": script, "args": []})).await
    }

    /// Waits until an expression is true in the page.
    pub(crate) async fn wait_for(&self, expression: &str) {
        let begun = Instant::now();
        while self.run(&format!("return Boolean({expression})")).await != true {
            if begun.elapsed() > PATIENCE {
                panic!("`{expression}` does not come true in: {}", self.text("body").await);
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    /// Gives the text of the first element that a selector finds, as it is shown.
    pub(crate) async fn text(&self, selector: &str) -> String {
        let script = format!("return document.querySelector({}).innerText", json!(selector));
        self.run(&script).await.as_str().unwrap().to_owned()
    }

    /// Types into the first element that a selector finds.
    pub(crate) async fn type_into(&self, selector: &str, text: &str) {
        let element = self.post("/element", json!({"using": "css selector", "value": selector})).await;
        let id = element.as_object().unwrap().values().next().unwrap().as_str().unwrap().to_owned();
        self.post(&format!("/element/{id}/value"), json!({"text": text})).await;
    }

    /// Clicks the first element that a selector finds.
    pub(crate) async fn click(&self, selector: &str) {
        let element = self.post("/element", json!({"using": "css selector", "value": selector})).await;
        let id = element.as_object().unwrap().values().next().unwrap().as_str().unwrap().to_owned();
        self.post(&format!("/element/{id}/click"), json!({})).await;
    }

    async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.post("/goog/cdp/execute", json!({"cmd": command, "params": parameters})).await
    }

    /// Makes the window as wide as a screen, and light or dark.
    pub(crate) async fn look(&self, width: u32, is_dark: bool) {
        let is_phone = width < 500;
        let size = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": is_phone});
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
        let scheme = if is_dark { "dark" } else { "light" };
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.devtools("Emulation.setEmulatedMedia", media).await;
    }

    /// Turns scripts on or off for what is loaded from now on.
    pub(crate) async fn let_scripts_run(&self, are_on: bool) {
        self.devtools("Emulation.setScriptExecutionDisabled", json!({"value": !are_on})).await;
    }

    /// Takes a picture of the whole page and keeps it below `target/`, for people to look at.
    pub(crate) async fn picture(&self, name: &str) {
        let options = json!({"format": "png", "captureBeyondViewport": true});
        let taken = self.devtools("Page.captureScreenshot", options).await;
        let picture = STANDARD.decode(taken["data"].as_str().unwrap()).unwrap();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("console");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{name}.png")), picture).unwrap();
    }

    /// Gives what the page is wider than the window by.
    pub(crate) async fn overflow(&self) -> i64 {
        let script = "const page = document.documentElement; return page.scrollWidth - page.clientWidth";
        self.run(script).await.as_i64().unwrap()
    }

    /// Gives what axe finds that keeps somebody from using the page.
    pub(crate) async fn barriers(&self) -> Vec<String> {
        let axe = std::fs::read_to_string(fetched("get-axe.sh")).unwrap();
        // The page's own policy lets in no script of others; the driver's come past it.
        self.run(&format!("{axe}; return true")).await;
        let script = "const done = arguments[arguments.length - 1]; axe.run({resultTypes: ['violations']}).then(found => \
            done(found.violations.map(found => found.id + ': ' + found.help + ': ' + found.nodes.map(node => node.html + \
            ' ' + node.failureSummary).join('; '))), error => done(['axe itself failed: ' + error]))";
        let found = self.run_async(script).await;
        found.as_array().unwrap().iter().map(|found| found.as_str().unwrap().to_owned()).collect()
    }

    /// Gives what the browser complained of since it was last asked.
    pub(crate) async fn complaints(&self) -> Vec<String> {
        let entries = self.post("/se/log", json!({"type": "browser"})).await;
        entries.as_array().unwrap().iter().map(Value::to_string).collect()
    }

    /// Gives the addresses that pages asked, since the driver was last told to say so, which are not the market's.
    pub(crate) async fn foreign_requests(&self) -> Vec<String> {
        let entries = self.post("/se/log", json!({"type": "performance"})).await;
        let own = format!("http://{}/", self.host);
        let mut asked = 0;
        let mut foreign = Vec::new();
        for entry in entries.as_array().unwrap() {
            let message: Value = serde_json::from_str(entry["message"].as_str().unwrap()).unwrap();
            if message["message"]["method"] != "Network.requestWillBeSent" {
                continue;
            }
            asked += 1;
            let url = message["message"]["params"]["request"]["url"].as_str().unwrap().to_owned();
            // The browser's own first tab is made of files inside itself.
            let is_inside = url.starts_with("data:") || url.starts_with("chrome:");
            if !url.starts_with(&own) && !is_inside {
                foreign.push(url);
            }
        }
        assert!(asked > 0, "the driver says what pages ask for");
        foreign
    }

    /// Ends it as a person does.
    pub(crate) async fn close(self) {
        self.http.delete(&self.session).send().await.unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have ended by itself; then nothing is left to be done.
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
