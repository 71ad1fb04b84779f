//! What the tests of the binary have in common: running it, and a small shop whose commands it signs.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use commands::receipt::Receipt;
use engine::Reply;
use engine::clock::{Clock, WallClock};
use gateway::node::{Node, NodeConfig};
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

/// Runs `skylink` in a folder of its own.
pub(crate) struct Cli {
    pub(crate) dir: TempDir,
}

impl Cli {
    pub(crate) fn new() -> Cli {
        Cli { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_skylink"));
        command.args(arguments).current_dir(self.dir.path()).env_remove("RUST_LOG").stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs what must end with `code`, and gives its standard output and error.
    pub(crate) fn ends(&self, code: i32, arguments: &[&str]) -> (String, String) {
        let output = self.run(arguments);
        let stdout = String::from_utf8(output.stdout).unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{stdout}\n{stderr}");
        (stdout, stderr)
    }

    /// Runs what must succeed, and gives its standard output.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        self.ends(0, arguments).0
    }

    /// Runs what must succeed with one JSON value.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.ok(arguments)).unwrap()
    }

    pub(crate) fn write(&self, name: &str, content: &str) -> String {
        std::fs::write(self.path(name), content).unwrap();
        name.to_owned()
    }

    /// Starts a market and waits until it says that it runs.
    pub(crate) fn up(&self, more: &[&str]) -> Up {
        self.up_in(&[], more)
    }

    /// Starts a market in an environment and waits until it says that it runs.
    pub(crate) fn up_in(&self, environment: &[(&str, &str)], more: &[&str]) -> Up {
        let arguments = [&["up", "--listen", "127.0.0.1:0"], more].concat();
        let mut child = self
            .command(&arguments)
            .envs(environment.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = String::new();
        while !said.lines().any(|line| line.starts_with("Market ") && line.contains(" runs: ")) {
            let line = lines.next().unwrap_or_else(|| panic!("it ended: {said}")).unwrap();
            said.push_str(&line);
            said.push('\n');
        }
        // Read on, so that it never waits for us.
        let rest = std::thread::spawn(move || lines.map_while(Result::ok).collect::<Vec<_>>().join("\n"));
        Up { child, said, rest: Some(rest) }
    }
}

/// A running market; it ends with the test.
pub(crate) struct Up {
    child: Child,
    /// What it said until it ran; the last line says that it does.
    pub(crate) said: String,
    rest: Option<std::thread::JoinHandle<String>>,
}

impl Up {
    /// Gives where it listens.
    pub(crate) fn url(&self) -> String {
        let last = self.said.lines().last().unwrap();
        last.split_whitespace().find(|word| word.starts_with("http://")).unwrap().to_owned()
    }

    /// Sends it a signal, such as `STOP`.
    pub(crate) fn signal(&self, name: &str) {
        let kill = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(kill.success());
    }

    /// Interrupts it as a person does, and gives how it ended and what it said.
    pub(crate) fn interrupt(self) -> (ExitStatus, String) {
        self.signal("INT");
        self.wait()
    }

    /// Terminates it as a system does, and gives how it ended and what it said.
    pub(crate) fn terminate(self) -> (ExitStatus, String) {
        self.signal("TERM");
        self.wait()
    }

    /// Waits until it ends by itself, and gives how it ended and what it said.
    pub(crate) fn wait(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().unwrap();
        (status, self.rest.take().unwrap().join().unwrap())
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A market in this process, whose commands `skylink send --print` signs.
pub(crate) struct Shop<'a> {
    cli: &'a Cli,
    runtime: tokio::runtime::Runtime,
    node: Option<Node>,
}

/// What a shop has sold.
pub(crate) struct Sold {
    pub(crate) order: String,
    pub(crate) buyer: String,
    pub(crate) receipt: Receipt,
}

impl<'a> Shop<'a> {
    /// Opens the market in `data`, which `skylink up` has made.
    pub(crate) fn open(cli: &'a Cli) -> Shop<'a> {
        Shop::open_at(cli, Arc::new(WallClock))
    }

    /// Opens the market with a clock of the test's own.
    pub(crate) fn open_at(cli: &'a Cli, clock: Arc<dyn Clock>) -> Shop<'a> {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let config = NodeConfig::new("main".parse().unwrap(), cli.path("data"));
        let node = runtime.block_on(Node::start(config, clock)).unwrap();
        Shop { cli, runtime, node: Some(node) }
    }

    pub(crate) fn signed(&self, key: &str, command: &str, body: &Value) -> String {
        let wish = json!({ "command": command, "body": body }).to_string();
        let file = self.cli.write("wish.json", &wish);
        self.cli.ok(&["send", "--print", "--key", key, &file]).trim_end().to_owned()
    }

    pub(crate) fn submit(&self, bytes: String) -> Reply {
        let handle = self.node.as_ref().unwrap().handle();
        self.runtime.block_on(handle.submit(Bytes::from(bytes), None, None))
    }

    pub(crate) fn receipt(&self, key: &str, command: &str, body: &Value) -> Receipt {
        match self.submit(self.signed(key, command, body)) {
            Reply::Receipt(receipt) => *receipt,
            other => panic!("{command}: {other:?}"),
        }
    }

    pub(crate) fn give(&self, key: &str, command: &str, body: &Value) -> Receipt {
        let receipt = self.receipt(key, command, body);
        assert_eq!(receipt.receipt.reasons, [], "{command}");
        receipt
    }

    /// Makes a key and registers it as the registrar; gives its account.
    pub(crate) fn register(&self, name: &str, alg: &str, role: &str) -> String {
        let key: Value =
            serde_json::from_str(&self.cli.ok(&["keys", "new", name, "--alg", alg, "--json"])).unwrap();
        let account = key["account"].as_str().unwrap().to_owned();
        self.give("registrar", "account.register", &json!({ "account": account, "roles": [role] }));
        let device = json!({ "account": account, "device": key["device"], "key": key["jwk"] });
        self.give("registrar", "device.register", &device);
        account
    }

    /// Sells two units, ships them and has them confirmed; and lets a second order be refused.
    pub(crate) fn sell(&self) -> Sold {
        let usd = |minor: i64| json!({ "minor": minor, "currency": "USD" });
        self.register("seller", "ES256", "seller");
        let buyer = self.register("alice", "EdDSA", "buyer");
        let listing = Uuid::now_v7().to_string();
        let offer = json!({ "listing": listing, "price": usd(1250), "title": "Tea, 100 g" });
        self.give("seller", "listing.create", &offer);
        self.give("seller", "stock.receive", &json!({ "listing": listing, "quantity": 10 }));
        let fund = json!({ "account": buyer, "amount": usd(5000), "reference": "card 1" });
        self.give("provider", "wallet.fund", &fund);
        let place = |quantity: u32| {
            let lines = json!([{ "listing": listing, "quantity": quantity }]);
            json!({ "lines": lines, "payment_method": "wallet", "total": usd(1250 * i64::from(quantity)) })
        };
        let receipt = self.give("alice", "order.place", &place(2));
        let order = receipt.receipt.events[0].subject.clone().unwrap();
        self.give("seller", "order.ship", &json!({ "order": order }));
        self.give("alice", "order.confirm_delivery", &json!({ "order": order }));
        let refused = self.receipt("alice", "order.place", &place(9));
        assert!(!refused.receipt.reasons.is_empty());
        self.give("alice", "order.place", &place(1));
        Sold { order, buyer, receipt }
    }

    /// Lets the market look at its clock.
    pub(crate) fn tick(&self) {
        let handle = self.node.as_ref().unwrap().handle();
        self.runtime.block_on(handle.tick());
    }

    pub(crate) fn close(mut self) {
        let node = self.node.take().unwrap();
        self.runtime.block_on(node.shutdown());
    }
}

/// Makes a data folder with a market in it that has sold something.
pub(crate) fn sold(cli: &Cli) -> Sold {
    let (status, _) = cli.up(&[]).interrupt();
    assert_eq!(status.code(), Some(0));
    let shop = Shop::open(cli);
    let sold = shop.sell();
    shop.close();
    sold
}

/// Gives the only segment of a data folder.
pub(crate) fn segment(data: &Path) -> PathBuf {
    let mut files = std::fs::read_dir(data.join("segments")).unwrap();
    let only = files.next().unwrap().unwrap().path();
    assert!(files.next().is_none());
    only
}
