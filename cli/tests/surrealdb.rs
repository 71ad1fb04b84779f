//! Carts and sessions in a SurrealDB: the real engine, with real commands, a live query, and sinks that are killed.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod common;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use common::{Cli, Up};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use uuid::Uuid;

const USER: &str = "root";
const PASSWORD: &str = "a secret";
/// How long is waited for a row that a sink will write; only a broken one needs it.
const ROW_WAIT_MAX: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// A SurrealDB.
struct Surreal {
    runtime: Runtime,
    http: reqwest::Client,
    folder: TempDir,
    url: String,
    serving: Child,
    /// The server ends with it.
    _stdin: ChildStdin,
}

fn serve(folder: &Path, port: &str) -> (Child, ChildStdin, String) {
    let engine: PathBuf = std::env::var_os("SKYLINK_SURREALDB")
        .expect("SKYLINK_SURREALDB is not set: run the tests with ./tests/run.sh, or set it to what scripts/get-surrealdb.sh prints")
        .into();
    let mut node = Command::new("node");
    node.arg(engine.join("server.mjs"))
        .arg(folder.join("database"))
        .args([USER, PASSWORD, "market", "main", port]);
    let mut serving = node.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(serving.stdout.take().unwrap()).lines();
    let url = said.next().expect("it says where it listens").unwrap();
    let stdin = serving.stdin.take().unwrap();
    (serving, stdin, url)
}

impl Surreal {
    fn start() -> Surreal {
        let folder = tempfile::tempdir().unwrap();
        let (serving, stdin, url) = serve(folder.path(), "0");
        let (runtime, http) = (Runtime::new().unwrap(), reqwest::Client::new());
        Surreal { runtime, http, folder, url, serving, _stdin: stdin }
    }

    fn kill(&mut self) {
        self.serving.kill().unwrap();
        self.serving.wait().unwrap();
    }

    /// Serves the same database at the same address again.
    fn restart(&mut self) {
        let port = self.url.rsplit(':').next().unwrap().to_owned();
        (self.serving, self._stdin, self.url) = serve(self.folder.path(), &port);
    }

    /// Asks with one statement.
    fn query(&self, database: &str, statement: &str) -> Value {
        let body = json!({"id": 1, "method": "query", "params": [statement, {}]});
        let post = self.http.post(format!("{}/rpc", self.url)).basic_auth(USER, Some(PASSWORD)).json(&body);
        let post = post.header("surreal-ns", "market").header("surreal-db", database);
        let answer: Value = self.runtime.block_on(async { post.send().await.unwrap().json().await.unwrap() });
        let first = &answer["result"][0];
        assert_eq!(first["status"], "OK", "{statement}: {answer}");
        first["result"].clone()
    }

    fn rows(&self, database: &str, table: &str) -> Vec<Value> {
        self.query(database, &format!("SELECT * FROM {table} ORDER BY id")).as_array().unwrap().clone()
    }

    /// Waits until a statement gives what is wanted, and gives it.
    fn wait_for(&self, cli: &Cli, statement: &str, is_wanted: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let found = self.query("main", statement);
            if is_wanted(&found) {
                return found;
            }
            let said = || std::fs::read_to_string(cli.path("sink.log")).unwrap_or_default();
            assert!(begun.elapsed() < ROW_WAIT_MAX, "{statement}: {found}\n{}", said());
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    /// Hears what a live query of a table tells, from now on.
    fn live(&self, table: &str) -> Live {
        let asked = self.http.get(format!("{}/live/{table}", self.url));
        let response = self.runtime.block_on(async { asked.send().await.unwrap() });
        let mut live = Live { response, text: String::new() };
        assert_eq!(live.next(self), json!({}), "it listens");
        live
    }
}

impl Drop for Surreal {
    fn drop(&mut self) {
        let _ = self.serving.kill();
        let _ = self.serving.wait();
    }
}

/// What a live query tells.
struct Live {
    response: reqwest::Response,
    text: String,
}

impl Live {
    fn next(&mut self, surreal: &Surreal) -> Value {
        loop {
            if let Some((line, rest)) = self.text.split_once('\n') {
                let told = serde_json::from_str(line).unwrap();
                self.text = rest.to_owned();
                return told;
            }
            let chunk = surreal.runtime.block_on(async {
                tokio::time::timeout(ROW_WAIT_MAX, self.response.chunk()).await.expect("it tells something")
            });
            self.text.push_str(std::str::from_utf8(&chunk.unwrap().expect("it goes on")).unwrap());
        }
    }
}

/// A market with something on sale, and buyers.
struct Market<'a> {
    cli: &'a Cli,
    up: Up,
    listings: Vec<String>,
}

impl<'a> Market<'a> {
    fn found(cli: &'a Cli, buyers: &[&str]) -> Market<'a> {
        cli.write("password", &format!("{PASSWORD}\n"));
        let up = cli.up(&[]);
        let mut market = Market { cli, up, listings: Vec::new() };
        market.register("shop", "seller");
        for buyer in buyers {
            market.register(buyer, "buyer");
        }
        for _ in 0..3 {
            let listing = Uuid::now_v7().to_string();
            let price = json!({"minor": 1250, "currency": "USD"});
            market.give(
                "shop",
                "listing.create",
                &json!({"listing": listing, "price": price, "title": "A record"}),
            );
            market.give("shop", "stock.receive", &json!({"listing": listing, "quantity": 1000}));
            market.listings.push(listing);
        }
        market
    }

    fn register(&self, name: &str, role: &str) {
        self.cli.ok(&["keys", "new", name]);
        self.cli.ok(&["keys", "register", name, "--role", role, "--url", &self.up.url()]);
    }

    fn give(&self, key: &str, command: &str, body: &Value) {
        let file = self.cli.write("wish.json", &json!({"command": command, "body": body}).to_string());
        self.cli.ok(&["send", "--json", "--url", &self.up.url(), "--key", key, &file]);
    }

    fn add(&self, key: &str, listing: usize, quantity: u32) {
        self.give(key, "cart.add", &json!({"listing": self.listings[listing], "quantity": quantity}));
    }

    fn token(&self, key: &str) -> String {
        self.cli.ok(&["keys", "token", key, "--url", &self.up.url()]).trim().to_owned()
    }

    fn account(&self, key: &str) -> String {
        self.cli.json(&["keys", "show", key, "--json"])["account"].as_str().unwrap().to_owned()
    }

    /// What the market itself says of a buyer's cart.
    fn cart(&self, surreal: &Surreal, key: &str) -> Value {
        let asked =
            surreal.http.get(format!("{}/v1/carts/current", self.up.url())).bearer_auth(self.token(key));
        surreal.runtime.block_on(async { asked.send().await.unwrap().json().await.unwrap() })
    }
}

fn arguments<'a>(url: &'a str, database: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let own = ["sink", "surrealdb", "--url", url, "--ns", "market", "--db", database];
    [&own[..], &["--user", USER, "--password-file", "password"], more].concat()
}

/// A sink that goes on until it is killed.
struct Following(Child);

impl Following {
    fn start(cli: &Cli, surreal: &Surreal) -> Following {
        // What it says stands there when a test fails.
        let said = std::fs::File::options().append(true).create(true).open(cli.path("sink.log")).unwrap();
        Following(cli.command(&arguments(&surreal.url, "main", &[])).stderr(said).spawn().unwrap())
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn carts_and_sessions_are_there_and_a_live_query_hears_of_each_change() {
    let (cli, surreal) = (Cli::new(), Surreal::start());
    let market = Market::found(&cli, &["alice", "bob"]);
    market.add("alice", 0, 2);
    market.add("alice", 1, 1);
    let (_, said) = cli.ends(0, &arguments(&surreal.url, "main", &["--once"]));
    assert!(said.contains("1 rows written"), "{said}");
    let shown = market.cart(&surreal, "alice");
    let rows = surreal.rows("main", "cart");
    let [row] = rows.as_slice() else { panic!("{rows:?}") };
    for name in ["cart", "account", "version", "changed_at", "shared_with"] {
        assert_eq!(row[name], shown[name], "{name}: {row}");
    }
    assert_eq!((&row["state"], row["lines"].as_array().unwrap().len()), (&json!("active"), 2));
    for (line, shown) in row["lines"].as_array().unwrap().iter().zip(shown["lines"].as_array().unwrap()) {
        assert_eq!((&line["listing"], &line["quantity"]), (&shown["listing"], &shown["quantity"]));
        assert_eq!(line["unit_price"], shown["unit_price_seen"]);
    }
    // Nothing new is nothing to do.
    assert!(cli.ends(0, &arguments(&surreal.url, "main", &["--once"])).1.contains("0 rows written"));

    let _following = Following::start(&cli, &surreal);
    let mut carts = surreal.live("cart");
    market.add("alice", 0, 3);
    let told = carts.next(&surreal);
    assert_eq!((&told["action"], &told["value"]["version"]), (&json!("UPDATE"), &json!(3)), "{told}");
    assert_eq!(told["value"]["lines"][0]["quantity"], 5, "what was there and three more: {told}");
    market.add("bob", 2, 1);
    let told = carts.next(&surreal);
    assert_eq!(
        (&told["action"], &told["value"]["account"]),
        (&json!("CREATE"), &json!(market.account("bob")))
    );
    market.give("bob", "cart.save_for_later", &json!({"listing": market.listings[2]}));
    assert_eq!(carts.next(&surreal)["value"]["lines"], json!([]));
    let saved = surreal.rows("main", "saved");
    assert_eq!(
        (&saved[0]["account"], &saved[0]["lines"][0]["quantity"]),
        (&json!(market.account("bob")), &json!(1))
    );

    // Bob signs in elsewhere, and out again.
    let mut sessions = surreal.live("session");
    let url = market.up.url();
    let ask = |method: reqwest::Method, path: &str, token: Option<&str>, body: &Value| -> Value {
        let mut request = surreal.http.request(method, format!("{url}{path}"));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if !body.is_null() {
            request = request.json(body);
        }
        surreal.runtime.block_on(async { request.send().await.unwrap().json().await.unwrap() })
    };
    let password = json!({"password": "correct horse battery"});
    let kept = ask(reqwest::Method::POST, "/v1/sign-in/password", Some(&market.token("bob")), &password);
    market.give("bob", "sign_in.set_password", &json!({"password": kept["password"]}));
    let credentials = json!({"account": market.account("bob"), "password": "correct horse battery"});
    let session = ask(reqwest::Method::POST, "/v1/sessions", None, &credentials);
    let told = sessions.next(&surreal);
    assert_eq!(
        (&told["action"], &told["value"]["session"]),
        (&json!("CREATE"), &session["session"]),
        "{told}"
    );
    assert_eq!((&told["value"]["with_password"], &told["value"]["ended_at"]), (&json!(true), &Value::Null));
    ask(reqwest::Method::DELETE, "/v1/sessions/this", session["access_token"].as_str(), &Value::Null);
    let told = sessions.next(&surreal);
    assert!(told["action"] == "UPDATE" && told["value"]["ended_at"].is_i64(), "{told}");
    // A second one ends with the password.
    ask(reqwest::Method::POST, "/v1/sessions", None, &credentials);
    assert_eq!(sessions.next(&surreal)["action"], "CREATE");
    market.give("bob", "sign_in.remove_password", &json!({}));
    assert!(sessions.next(&surreal)["value"]["ended_at"].is_i64());
    assert_eq!(surreal.query("main", "SELECT * FROM session WHERE ended_at = NONE"), json!([]));
}

#[test]
fn a_sink_that_is_killed_goes_on_where_it_was_and_skips_and_doubles_nothing() {
    let (cli, mut surreal) = (Cli::new(), Surreal::start());
    let market = Market::found(&cli, &["alice", "bob"]);
    let version = |n: u64| {
        format!(
            "SELECT VALUE version FROM cart WHERE account = '{}' AND version >= {n}",
            market.account("alice")
        )
    };
    let is_there = |found: &Value| found.as_array().is_some_and(|found| !found.is_empty());
    let mut given = 0;
    for round in 0..3 {
        let following = Following::start(&cli, &surreal);
        for _ in 0..2 {
            market.add("alice", round, 1);
            given += 1;
        }
        surreal.wait_for(&cli, &version(given - u64::try_from(round).unwrap() % 2), is_there);
        // Wherever it is.
        drop(following);
        market.add("bob", round, 1);
    }
    // The database goes away beneath it, and comes back.
    let following = Following::start(&cli, &surreal);
    market.add("alice", 0, 1);
    surreal.wait_for(&cli, &version(given + 1), is_there);
    surreal.kill();
    market.add("alice", 0, 1);
    surreal.restart();
    surreal.wait_for(&cli, &version(given + 2), is_there);

    // It is another than the sink left, as one that was restored: it stops and says so.
    surreal.query("main", "DELETE skylink_sink");
    market.add("alice", 0, 1);
    let mut following = following;
    assert_eq!(following.0.wait().unwrap().code(), Some(2));
    let said = std::fs::read_to_string(cli.path("sink.log")).unwrap();
    assert!(said.contains("up to position 0, where this sink left it at"), "{said}");

    // All that there is now is what comes of reading the log once, into another database.
    cli.ok(&arguments(&surreal.url, "main", &["--once"]));
    cli.ok(&arguments(&surreal.url, "again", &["--once"]));
    for table in ["cart", "saved", "session", "skylink_sink"] {
        assert_eq!(surreal.rows("main", table), surreal.rows("again", table), "{table}");
    }
    assert_eq!(surreal.rows("main", "cart").len(), 2);
}

#[test]
fn a_row_is_not_written_over_by_an_older_one_and_what_does_not_fit_is_told() {
    let (cli, mut surreal) = (Cli::new(), Surreal::start());
    let market = Market::found(&cli, &["alice", "bob"]);
    market.add("alice", 0, 2);
    market.add("bob", 0, 2);
    let once =
        arguments(&surreal.url, "main", &["--once"]).iter().map(ToString::to_string).collect::<Vec<_>>();
    let once: Vec<&str> = once.iter().map(String::as_str).collect();
    cli.ok(&once);
    // Somebody begins anew, beside rows one of which another sink has brought further.
    surreal.query("main", "DELETE skylink_sink");
    let alice = market.account("alice");
    surreal.query(
        "main",
        &format!("UPDATE cart SET position = 1000000, name = 'newer' WHERE account = '{alice}'"),
    );
    surreal.query("main", &format!("UPDATE cart SET position = 1, lines = [] WHERE account != '{alice}'"));
    cli.ok(&once);
    let rows = surreal.rows("main", "cart");
    let of = |owner: &str| rows.iter().find(|row| row["account"] == owner).unwrap().clone();
    assert_eq!((&of(&alice)["name"], &of(&alice)["position"]), (&json!("newer"), &json!(1_000_000)));
    assert_eq!(of(&market.account("bob"))["lines"][0]["quantity"], 2);

    // A password that is none, another market's log, and nobody there.
    cli.write("wrong", "not it\n");
    let wrong: Vec<&str> = once.iter().map(|word| if *word == "password" { "wrong" } else { word }).collect();
    let (_, said) = cli.ends(2, &wrong);
    assert!(said.contains("does not let in user root") && said.contains("--password-file"), "{said}");
    assert!(!said.contains("not it"), "{said}");
    surreal.query("main", "UPDATE skylink_sink:log SET market = 'other'");
    let (_, said) = cli.ends(2, &once);
    assert!(said.contains("holds market other"), "{said}");
    let hash = "00".repeat(32);
    surreal.query(
        "main",
        &format!("UPDATE skylink_sink:log SET market = 'main', position = 3, hash = '{hash}'"),
    );
    let (_, said) = cli.ends(2, &once);
    assert!(said.contains("followed another log up to position 3"), "{said}");
    surreal.query("main", "UPDATE skylink_sink:log SET position = 1000000");
    let (_, said) = cli.ends(2, &once);
    assert!(said.contains("up to position 1000000, and this one ends at"), "{said}");
    surreal.kill();
    let (_, said) = cli.ends(2, &once);
    assert!(said.contains("can't be reached") && said.contains("--url"), "{said}");
}
