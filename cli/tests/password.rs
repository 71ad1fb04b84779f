//! A password from the command line: it is read from standard input, stands nowhere, and signs in until it is removed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

mod common;

use std::io::Write;
use std::process::Stdio;

use common::Cli;
use serde_json::{Value, json};

/// With spaces at its ends, which are part of it.
const PASSWORD: &str = " correct horse battery ";

/// Signs in, and gives the answer's status and body.
fn sign_in(url: &str, account: &str, password: &str) -> (u16, Value) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let credentials = json!({"account": account, "password": password});
        let request = reqwest::Client::new().post(format!("{url}/v1/sessions")).json(&credentials);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    })
}

/// Sets alice's password; gives how that ended and what was said.
fn set(cli: &Cli, url: &str, typed: &str) -> (Option<i32>, String) {
    let mut command = cli.command(&["password", "set", "--key", "alice", "--url", url]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    write!(child.stdin.take().unwrap(), "{typed}").unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_password_signs_in_from_when_it_is_set_until_it_is_removed() {
    let cli = Cli::new();
    let up = cli.up(&[]);
    let url = up.url();
    cli.ok(&["keys", "new", "alice"]);
    cli.ok(&["keys", "register", "alice", "--role", "buyer", "--url", &url]);
    let alice = cli.json(&["keys", "show", "alice", "--json"]);
    let account = alice["account"].as_str().unwrap();

    let (code, said) = set(&cli, &url, "short\n");
    assert!(code != Some(0) && said.contains("password_length"), "{said}");
    let (code, said) = set(&cli, &url, "");
    assert!(code != Some(0) && said.contains("standard input"), "{said}");
    assert_eq!(sign_in(&url, account, PASSWORD).0, 401);

    let (code, said) = set(&cli, &url, &format!("{PASSWORD}\r\n"));
    assert!(code == Some(0) && said.contains("sign_in.set_password accepted"), "{said}");
    let (status, session) = sign_in(&url, account, PASSWORD);
    assert_eq!(status, 200, "{session}");
    assert_eq!(sign_in(&url, account, PASSWORD.trim()).0, 401, "its spaces are part of it");

    cli.ok(&["password", "remove", "--key", "alice", "--url", &url]);
    assert_eq!(sign_in(&url, account, PASSWORD).0, 401);
    let (status, told) = up.interrupt();
    assert_eq!(status.code(), Some(0), "{told}");
    assert!(!told.contains(PASSWORD.trim()), "{told}");
}
