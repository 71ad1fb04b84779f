//! A program of others makes requests up from `/openapi.json`, and holds a running market to what stands there.
//!
//! What 5xx is no crash: only 503 and 504 may come, and these, as every answer, only where the document has them for
//! the operation, as problem details with one of the codes that it lists there. A handler that panics closes its
//! connection, which the tool tells as an error, and stands in the market's log.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod common;

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use common::Cli;
use serde_json::{Value, json};
use uuid::Uuid;

/// What is held to. Left out is what asks more than that an answer stands in the document, such as that whatever fits
/// the document is accepted: nobody can make a signature up.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance";
/// They answer until whoever asks goes away, and have tests of their own.
const ENDLESS: [&str; 2] = ["/v1/stream", "/console/live"];
const SEED: &str = "1";
/// How long an answer is waited for; what waits for the views does so for 2 s.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(30);

/// What one run does.
struct Run<'a> {
    name: &'a str,
    token: Option<String>,
    /// `coverage` tries the bounds of each parameter, some 5,000 requests; `fuzzing` what chance gives.
    phases: &'a str,
    /// Requests that chance gives, for each operation.
    examples: &'a str,
}

/// Runs the tool on a document in a folder of its own, which has the file `schemathesis.toml`.
fn schemathesis(folder: &Path, document: &str, arguments: &[&str]) -> Command {
    let packages = std::env::var_os("SKYLINK_SCHEMATHESIS").expect(
        "SKYLINK_SCHEMATHESIS is not set: run the tests with ./tests/run.sh, or set it to what scripts/get-schemathesis.sh prints",
    );
    let wait = ANSWER_WAIT_MAX.as_secs().to_string();
    let mut python = Command::new("python3");
    python
        .args(["-m", "schemathesis.cli", "--config-file", "schemathesis.toml", "run", document])
        .args([
            "--checks",
            CHECKS,
            "--seed",
            SEED,
            "--request-timeout",
            &wait,
            "--generation-database",
            "none",
        ])
        .args([
            "--continue-on-failure",
            "--no-color",
            "--report",
            "json",
            "--report-json-path",
            "report.json",
        ])
        .args(arguments)
        .current_dir(folder)
        .env("PYTHONPATH", packages);
    python
}

/// Gives what the tool reports; there is a report only if it ran.
fn report(folder: &Path, output: &Output) -> Value {
    let report = std::fs::read(folder.join("report.json"));
    let report = report.unwrap_or_else(|error| panic!("schemathesis did not run: {error}\n{}", said(output)));
    serde_json::from_slice(&report).unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Sells something, so that there is something to read; gives the ids of what there is.
fn trade(cli: &Cli, url: &str) -> Vec<String> {
    let mut ids = vec!["me".to_owned()];
    for (name, role) in [("seller", "seller"), ("alice", "buyer")] {
        cli.ok(&["keys", "new", name]);
        cli.ok(&["keys", "register", name, "--role", role, "--url", url]);
        ids.push(cli.json(&["keys", "show", name, "--json"])["account"].as_str().unwrap().to_owned());
    }
    let alice = ids[2].clone();
    let mut send = |key: &str, command: &str, body: Value| {
        let file = cli.write("wish.json", &json!({ "command": command, "body": body }).to_string());
        let receipt = cli.ok(&["send", "--json", "--url", url, "--key", key, &file]);
        let receipt: Value = serde_json::from_str(&receipt).unwrap();
        ids.push(receipt["receipt"]["events"][0]["subject"].as_str().unwrap().to_owned());
    };
    let (listing, usd) = (Uuid::now_v7(), |minor: i64| json!({ "minor": minor, "currency": "USD" }));
    send("seller", "listing.create", json!({ "listing": listing, "price": usd(999), "title": "Tea" }));
    send("seller", "stock.receive", json!({ "listing": listing, "quantity": 9 }));
    send("provider", "wallet.fund", json!({ "account": alice, "amount": usd(5000), "reference": "card 1" }));
    let lines = json!([{ "listing": listing, "quantity": 2 }]);
    send("alice", "order.place", json!({ "lines": lines, "payment_method": "wallet", "total": usd(1998) }));
    send("alice", "cart.add", json!({ "listing": listing, "quantity": 1 }));
    ids
}

/// Has the tool name what there is in half of its requests, and seldom wait for what the views will never read.
fn settings(ids: &[String]) -> String {
    let named = ["path.id", "path.account", "query.account", "query.seller", "query.listing"];
    let named: String = named
        .iter()
        .map(|parameter| format!("\"{parameter}\" = {{ dictionary = \"ids\", probability = 0.5 }}\n"))
        .collect();
    format!(
        "[dictionaries.ids]\nvalues = {ids:?}\n[dictionaries.positions]\nvalues = [0, 1, 9]\n[parameters]\n{named}\
         \"query.min_position\" = {{ dictionary = \"positions\", probability = 0.9 }}\n\
         [checks.not_a_server_error]\nexpected-statuses = [\"2xx\", \"3xx\", \"4xx\", \"503\", \"504\"]\n"
    )
}

#[test]
fn whatever_is_asked_no_answer_is_a_crash_or_stands_outside_the_document() {
    let cli = Cli::new();
    let up = cli.up(&["--rate-address", "0", "--rate-commands", "0", "--rate-queries", "0"]);
    let url = up.url();
    let settings = settings(&trade(&cli, &url));
    let document = format!("{url}/openapi.json");
    let token = |name: &str| Some(cli.ok(&["keys", "token", name, "--url", &url]).trim().to_owned());
    let examples = std::env::var("SKYLINK_OPENAPI_EXAMPLES").unwrap_or_else(|_| "3".to_owned());
    let runs = [
        Run { name: "nobody", token: None, phases: "fuzzing", examples: &examples },
        Run { name: "operator", token: token("operator"), phases: "coverage,fuzzing", examples: &examples },
        Run { name: "buyer", token: token("alice"), phases: "fuzzing", examples: &examples },
    ];
    let folder = |name: &str| {
        let folder = cli.path(name);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("schemathesis.toml"), &settings).unwrap();
        folder
    };

    // One process each: its threads trip over a fault of CPython 3.11 (`AST constructor recursion depth mismatch`).
    let reports: Vec<(Value, Output)> = std::thread::scope(|scope| {
        let started: Vec<_> = runs
            .iter()
            .map(|run| {
                let folder = folder(run.name);
                let bearer = run.token.as_ref().map(|token| format!("Authorization: Bearer {token}"));
                let mut arguments = vec!["--phases", run.phases, "--max-examples", run.examples];
                arguments.extend(ENDLESS.iter().flat_map(|path| ["--exclude-path", *path]));
                arguments.extend(bearer.iter().flat_map(|bearer| ["--header", bearer.as_str()]));
                let mut command = schemathesis(&folder, &document, &arguments);
                scope.spawn(move || {
                    let output = command.output().expect("python3 can be run");
                    (report(&folder, &output), output)
                })
            })
            .collect();
        started.into_iter().map(|run| run.join().unwrap()).collect()
    });
    for (run, (report, output)) in runs.iter().zip(&reports) {
        let (name, operations) = (run.name, &report["operations"]);
        assert!(output.status.success(), "{name}:\n{}", said(output));
        assert_eq!((&report["complete"], &report["errors"]), (&json!(true), &json!([])), "{name}");
        let counts = |of: &str| operations[of].as_u64().unwrap();
        assert_eq!(counts("tested"), counts("total") - ENDLESS.len() as u64, "{name}: {operations}");
        let least = counts("tested") * if run.phases == "fuzzing" { 1 } else { 20 };
        let asked = report["test_cases"]["generated"].as_u64().unwrap();
        assert!(asked >= least, "{name}: only {asked} requests");
        println!("{name}: {} operations, {asked} requests", counts("tested"));
    }
    // Not only refusals were held to the document.
    for (operation, run) in [("GET /v1/time", 0), ("GET /v1/audit", 1), ("GET /v1/listings", 2)] {
        let answered = &reports[run].0["valid_rates"][operation]["fuzzing"]["accepted"];
        assert!(answered.as_u64() > Some(0), "{operation}: {answered}");
    }

    // An answer that the document does not have is found.
    let (of_lies, operation) = (folder("lies"), "/healthz");
    let mut lying: Value =
        serde_json::from_str(include_str!("../../schemas/openapi.json")).expect("the document is JSON");
    let answers = lying["paths"][operation]["get"]["responses"].as_object_mut().unwrap();
    assert!(answers.remove("200").is_some());
    std::fs::write(of_lies.join("lying.json"), lying.to_string()).unwrap();
    let arguments =
        ["--url", &url, "--include-path", operation, "--phases", "fuzzing", "--max-examples", "1"];
    let output = schemathesis(&of_lies, "lying.json", &arguments).output().unwrap();
    assert_eq!(report(&of_lies, &output)["failures"][0]["type"], "UndefinedStatusCode", "{}", said(&output));
    assert_eq!(output.status.code(), Some(1));

    // It still serves, and ends as it should.
    let (status, said) = up.interrupt();
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    cli.ok(&["verify"]);
}
