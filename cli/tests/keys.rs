//! `skylink keys`, and how the binary speaks when its input is bad.

mod common;

use common::Cli;

#[test]
fn a_key_is_made_once_listed_and_shown_without_its_seed() {
    let cli = Cli::new();
    let made = cli.json(&["keys", "new", "alice", "--alg", "ES256", "--json"]);
    assert_eq!(made["alg"], "ES256");
    assert_eq!(cli.json(&["keys", "show", "alice", "--json"]), made);
    assert_eq!(cli.json(&["keys", "show", "alice", "--jwk"]), made["jwk"]);
    let account = made["account"].as_str().unwrap();
    let second = cli.json(&["keys", "new", "alice-phone", "--account", account, "--json"]);
    assert_eq!(second["account"], made["account"]);
    assert_ne!(second["device"], made["device"]);
    let listed = cli.ok(&["keys", "list"]);
    assert_eq!(listed.lines().count(), 2);
    assert!(listed.contains(made["kid"].as_str().unwrap()), "{listed}");

    let file = std::fs::read_to_string(cli.path("data/keys/alice.key.json")).unwrap();
    let file: serde_json::Value = serde_json::from_str(&file).unwrap();
    let seed = file["seed"].as_str().unwrap();
    for shown in [cli.ok(&["keys", "show", "alice"]), listed, made.to_string()] {
        assert!(!shown.contains(seed), "the seed is shown: {shown}");
    }
    let (_, said) = cli.ends(2, &["keys", "new", "alice"]);
    assert!(said.contains("choose another name"), "{said}");
}

#[test]
fn bad_input_is_told_in_one_line_that_says_what_to_do() {
    let cli = Cli::new();
    cli.ok(&["keys", "new", "alice"]);
    cli.write("bad.json", "{\"command\": ");
    cli.write("twice.json", r#"{"command": "cart.clear", "command": "cart.clear", "body": {}}"#);
    cli.write("unknown.json", r#"{"command": "cart.fill", "body": {}}"#);
    cli.write("body.json", r#"{"command": "cart.add", "body": {"quantity": 0}}"#);
    cli.write("extra.json", r#"{"command": "cart.clear", "body": {}, "seq": 7}"#);
    cli.write("good.json", r#"{"command": "cart.clear", "body": {}}"#);
    let cases: &[(&[&str], &str)] = &[
        (&["send", "--key", "alice", "none.json"], "none.json can't be read"),
        (&["send", "--key", "alice", "bad.json"], "bad.json holds no command"),
        (&["send", "--key", "alice", "twice.json"], "twice.json holds no command"),
        (
            &["send", "--key", "alice", "unknown.json"],
            "there is no command `cart.fill`; there are: account.register",
        ),
        (&["send", "--key", "alice", "body.json"], "body is not valid"),
        (&["send", "--key", "alice", "extra.json"], "unknown field `seq`"),
        (&["send", "--key", "bob", "good.json"], "make it with `skylink keys new bob`"),
        (&["keys", "register", "alice", "--role", "buyer"], "only the registrar registers others"),
        (&["tail"], "name the folder that `skylink up` uses with --data"),
        (&["verify"], "name the folder that `skylink up` uses with --data"),
        (&["replay", "--data", "none"], "no log can be read in none"),
        (&["verify", "receipt", "none.json", "--market-key", "none.jwk"], "none.jwk can't be read"),
        (&["tail", "--type", "order.lost"], "there are: market.opened"),
    ];
    for (arguments, expected) in cases {
        let (stdout, stderr) = cli.ends(2, arguments);
        assert_eq!(stdout, "", "{arguments:?}");
        assert!(stderr.contains(expected), "{arguments:?}: {stderr}");
        let is_usage = stderr.starts_with("error: ");
        assert!(is_usage || stderr.lines().count() == 1, "{arguments:?}: {stderr}");
    }
}

#[test]
fn a_market_that_can_not_be_reached_is_told_from_one_that_does_not_answer() {
    let cli = Cli::new();
    cli.ok(&["keys", "new", "alice"]);
    cli.ok(&["keys", "new", "market"]);
    cli.write("clear.json", r#"{"command": "cart.clear", "body": {}}"#);
    // Bound and never accepted from: a port that nobody else can take.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let (_, said) = cli.ends(2, &["send", "--key", "alice", "--url", &url, "clear.json"]);
    assert!(said.contains("nothing was sent"), "{said}");
    // Takes a request and hangs up: first the question for the time, then the command.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().unwrap();
            let mut byte = [0];
            std::io::Read::read_exact(&mut stream, &mut byte).unwrap();
        }
    });
    let (_, said) = cli.ends(2, &["send", "--key", "alice", "--url", &url, "clear.json"]);
    server.join().unwrap();
    assert!(said.contains("is not known") && said.contains("--cid "), "{said}");
}

#[test]
fn help_names_every_subcommand_and_the_exit_codes() {
    let cli = Cli::new();
    let help = cli.ok(&["--help"]);
    for word in ["up", "keys", "send", "tail", "replay", "verify", "Exit codes"] {
        assert!(help.contains(word), "{word} is missing: {help}");
    }
    for subcommand in ["up", "keys", "send", "tail", "replay", "verify"] {
        assert!(cli.ok(&[subcommand, "--help"]).contains("Usage: skylink"), "{subcommand}");
    }
    // What a user can't guess is said in full.
    for (subcommand, told) in
        [("send", r#"{"command": "order.place", "body""#), ("verify", "every decision made again")]
    {
        let help = cli.ok(&[subcommand, "--help"]);
        assert!(help.contains(told), "{help}");
    }
}
