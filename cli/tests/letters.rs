//! What a webhook did not take, from the command line: it is listed, replaced, dropped and told.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use common::Cli;
use serde_json::{Value, json};

/// How long something may take to come; when it runs out the test has failed.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Answers requests with statuses, one after another, and gives what they held. The last one is given again and again.
fn answering(statuses: &'static [u16]) -> (String, Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (told, got) = channel();
    std::thread::spawn(move || {
        let statuses = statuses.iter().chain(std::iter::repeat(statuses.last().unwrap()));
        for (status, stream) in statuses.zip(listener.incoming()) {
            let mut stream = BufReader::new(stream.unwrap());
            let (mut line, mut length) = (String::new(), 0);
            while stream.read_line(&mut line).unwrap() > 2 {
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                line.clear();
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            let answer = format!("HTTP/1.1 {status} So\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.get_mut().write_all(answer.as_bytes()).unwrap();
            if told.send(serde_json::from_slice(&body).unwrap()).is_err() {
                return;
            }
        }
    });
    (url, got)
}

#[test]
fn letters_are_listed_replaced_dropped_and_told() {
    let cli = Cli::new();
    let up = cli.up(&["--webhooks-private"]);
    let url = up.url();
    let who = ["--key", "shop", "--url", &url];
    let with = |arguments: &[&str]| cli.ok(&[arguments, &who].concat());
    cli.ok(&["keys", "new", "shop"]);
    cli.ok(&["keys", "register", "shop", "--role", "seller", "--url", &url]);
    let (hook, got) = answering(&[422, 204]);
    let (_, said) = cli.ends(0, &[&["webhook", "add", &hook, "--type", "listing.*"], &who[..]].concat());
    let webhook = said.split_once("Webhook ").unwrap().1.split_once('.').unwrap().0.to_owned();

    let listing = "0190b5a0-7c00-7000-8000-0000000000c1";
    let create = json!({
        "command": "listing.create",
        "body": {"listing": listing, "price": {"currency": "USD", "minor": 100}, "title": "A lamp"},
    });
    with(&["send", &cli.write("create.json", &create.to_string())]);
    for name in ["listing.pause", "listing.resume"] {
        let command = json!({"command": name, "body": {"listing": listing}});
        with(&["send", &cli.write("command.json", &command.to_string())]);
    }
    let begun = Instant::now();
    let letters = loop {
        let found: Value = serde_json::from_str(&with(&["webhook", "letters", &webhook, "--json"])).unwrap();
        let letters = found["letters"].as_array().unwrap().clone();
        if letters.len() == 3 {
            break letters;
        }
        assert!(begun.elapsed() < WAIT_MAX, "{found}");
    };
    assert_eq!(got.recv_timeout(WAIT_MAX).unwrap()["type"], "listing.created.v1");
    let position = |n: usize| letters[n]["position"].to_string();
    let shown = with(&["webhook", "letters", &webhook, "--error", "behind", "--type", "listing.*"]);
    assert_eq!(shown.lines().count(), 2, "{shown}");
    assert!(shown.contains("listing.paused.v1") && shown.contains("attempts 0"), "{shown}");

    cli.write("data.json", "{\"title\": \"A lamp\"}\n");
    with(&["webhook", "replace", &webhook, &position(0), "data.json"]);
    with(&["webhook", "drop", &webhook, &position(1)]);
    // Views read the log a moment later.
    let begun = Instant::now();
    loop {
        let shown = with(&["webhook", "letters", &webhook, "--subject", listing]);
        let mut lines = shown.lines().zip(["replaced", "dropped", "0"]);
        if lines.all(|(line, end)| line.ends_with(end)) {
            break;
        }
        assert!(begun.elapsed() < WAIT_MAX, "{shown}");
    }
    // Nothing of it is a JSON object, or a webhook of his.
    cli.write("bad.json", "[7]");
    let (_, said) =
        cli.ends(2, &[&["webhook", "replace", &webhook, &position(0), "bad.json"], &who[..]].concat());
    assert!(said.contains("bad.json"), "{said}");

    let (_, said) =
        cli.ends(0, &[&["webhook", "redrive", &webhook, "--error", "refused"], &who[..]].concat());
    assert!(said.contains("Redriving letters: 3, subjects: 1;"), "{said}");
    let told = got.recv_timeout(WAIT_MAX).unwrap();
    assert_eq!((&told["data"], &told["type"]), (&json!({"title": "A lamp"}), &json!("listing.created.v1")));
    assert_eq!(got.recv_timeout(WAIT_MAX).unwrap()["type"], "listing.resumed.v1", "one was dropped");
    let acts = cli.ok(&["audit", "--kind", "letters", "--url", &url]);
    assert!(
        acts.contains("webhook.drop_letter accepted") && acts.contains("webhook.replace_letter"),
        "{acts}"
    );
}
