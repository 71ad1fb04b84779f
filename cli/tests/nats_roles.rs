//! A market through the binary on a broker with the roles of `nats-roles.conf`.

mod common;

use std::fs;

use common::Cli;
use tests::nats::NatsServer;
use tokio::runtime::Runtime;

const ROLES: &str = include_str!("../../nats-roles.conf");

/// A broker with roles, whose keys lie in the folder of the binary.
struct Broker {
    _runtime: Runtime,
    server: NatsServer,
}

impl Broker {
    fn start(cli: &Cli) -> Broker {
        let runtime = Runtime::new().expect("a runtime can be made");
        let environment =
            ["SYSTEM", "OPERATOR", "ENGINE", "RECEIPTS", "GATEWAY", "READER", "ANALYTICS"].map(|name| {
                let file = format!("{}.nk", name.to_lowercase());
                let public = cli.ok(&["keys", "nkey", &file]);
                assert_eq!(cli.ok(&["keys", "nkey", &file]), public, "a key is made once");
                (format!("SKYLINK_NATS_{name}"), public.trim_end().to_owned())
            });
        let environment: Vec<_> =
            environment.iter().map(|(name, key)| (name.as_str(), key.as_str())).collect();
        let server = runtime.block_on(NatsServer::start_with(ROLES, &environment)).expect("a broker starts");
        Broker { _runtime: runtime, server }
    }
}

/// Checks that nothing that was said holds a seed.
fn check_no_seed(cli: &Cli, said: &str) {
    for entry in fs::read_dir(cli.dir.path()).expect("the folder can be read") {
        let path = entry.expect("it can be listed").path();
        if path.extension().is_some_and(|extension| extension == "nk") {
            let seed = fs::read_to_string(&path).expect("a key can be read");
            assert!(seed.starts_with("SU") && !said.contains(seed.trim_end()), "{said}");
        }
    }
}

#[test]
fn a_market_runs_in_its_roles_and_each_key_opens_only_its_own_door() {
    let cli = Cli::new();
    let broker = Broker::start(&cli);
    let nats = broker.server.url();
    let with = |arguments: &[&str], key: &str| {
        let all: Vec<String> = [arguments, &["--nats", &nats, "--nats-nkey", key]]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect();
        all
    };
    let run = |code: i32, arguments: &[&str], key: &str| {
        let all = with(arguments, key);
        let (out, said) = cli.ends(code, &all.iter().map(String::as_str).collect::<Vec<_>>());
        check_no_seed(&cli, &(out.clone() + &said));
        (out, said)
    };
    let up = ["--nats", &nats, "--nats-nkey", "engine.nk", "--nats-receipts-nkey", "receipts.nk"];
    let up = cli.up(&up);
    check_no_seed(&cli, &up.said);

    cli.ok(&["keys", "new", "alice"]);
    let register = ["keys", "register", "alice", "--role", "buyer"];
    run(0, &register, "gateway.nk");
    let file = cli.write("clear.json", r#"{"command": "cart.clear", "body": {}}"#);
    let send = ["send", "--key", "alice", &file];
    run(0, &send, "gateway.nk");
    let (tail, _) = run(0, &["tail", "--from", "1"], "reader.nk");
    assert!(tail.contains("device.registered"), "{tail}");
    run(0, &["replay"], "reader.nk");
    let (verified, _) = run(0, &["verify"], "reader.nk");
    assert!(verified.contains("hold"), "{verified}");

    // With another role's key, in that role's inbox.
    let inbox = |arguments: &[&'static str], inbox| [arguments, &["--nats-inbox", inbox]].concat();
    for read in [&["tail", "--follow"][..], &["replay"], &["verify"]] {
        let (_, said) = run(2, &inbox(read, "_INBOX.gateway"), "gateway.nk");
        assert!(said.contains("to publish to `$JS.API.STREAM.INFO.EVT_main`"), "{said}");
        assert!(said.contains("--nats-nkey") && said.contains("nats-roles.conf"), "{said}");
    }
    let (_, said) = run(2, &[&send[..], &["--nats-inbox", "_INBOX.reader"]].concat(), "reader.nk");
    assert!(said.contains("to publish to `cmd.main.cart.clear`"), "{said}");
    // The same without a word of the inbox.
    let (_, said) = run(2, &["tail"], "gateway.nk");
    assert!(said.contains("--nats-inbox"), "{said}");
    let other = ["up", "--listen", "127.0.0.1:0", "--data", "other", "--nats-receipts-nkey", "receipts.nk"];
    let (_, said) = run(2, &inbox(&other, "_INBOX.reader"), "reader.nk");
    assert!(said.contains("the engine role's nkey U"), "{said}");

    // Without a key, with one nobody knows, and with none where one must be.
    let (_, said) = cli.ends(2, &["tail", "--nats", &nats]);
    assert!(said.contains("does not let in the reader role without an nkey"), "{said}");
    cli.ok(&["keys", "nkey", "stranger.nk"]);
    let (_, said) = run(2, &send, "stranger.nk");
    assert!(said.contains("does not let in the gateway role's nkey U"), "{said}");
    cli.write("empty", "");
    let (_, said) = run(2, &["verify"], "empty");
    assert!(said.contains("empty holds no seed") && said.contains("skylink keys nkey"), "{said}");
    let (_, said) = run(2, &["up", "--listen", "127.0.0.1:0"], "engine.nk");
    assert!(said.contains("--nats-receipts-nkey"), "{said}");

    let (status, said) = up.interrupt();
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(said.contains(&format!("skylink tail --follow --nats {nats} --nats-nkey reader.nk")), "{said}");
    check_no_seed(&cli, &said);
}

#[test]
fn a_market_ends_with_a_word_when_its_receipts_may_not_be_sent() {
    let cli = Cli::new();
    let broker = Broker::start(&cli);
    let nats = broker.server.url();
    let on_nats = |key| ["--nats", &nats, "--nats-nkey", key];
    let up = cli.up(&[&on_nats("engine.nk")[..], &["--nats-receipts-nkey", "gateway.nk"]].concat());
    cli.ok(&["keys", "new", "alice"]);
    let register = ["keys", "register", "alice", "--role", "buyer"];
    cli.ends(2, &[&register[..], &on_nats("gateway.nk")].concat());
    let (code, said) = up.wait();
    assert_eq!(code.code(), Some(2), "{said}");
    assert!(
        said.contains("the receipts role's nkey U") && said.contains("to publish to `rcpt.main."),
        "{said}"
    );
    assert!(said.contains("--nats-receipts-nkey"), "{said}");
}
