//! A market's process that slept while another took the market.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

mod common;

use common::{Cli, Up};
use tests::files::copy_folder;
use tests::nats::NatsServer;

#[test]
fn an_engine_that_slept_through_a_takeover_steps_down() {
    let (cli, runtime) = (Cli::new(), tokio::runtime::Runtime::new().unwrap());
    let server = runtime.block_on(NatsServer::start()).unwrap();
    let up = |data: &str| {
        let (url, monitor) = (server.url(), server.monitor_url());
        cli.up(&["--data", data, "--nats", &url, "--nats-monitor", &monitor])
    };
    let first = up("first");
    copy_folder(&cli.path("first/keys"), &cli.path("second/keys")).unwrap();
    first.signal("STOP");
    // The broker gives the market to the second when it has not heard of the first for some seconds.
    let second = up("second");
    first.signal("CONT");

    // Whoever asks the first is not told a "no", and the second does what was asked.
    let register = |code: i32, market: &Up, data: &str| {
        cli.ends(
            code,
            &["keys", "register", "alice", "--role", "buyer", "--data", data, "--url", &market.url()],
        )
    };
    cli.ok(&["keys", "new", "alice", "--data", "first"]);
    let (_, said) = register(2, &first, "first");
    // It may have seen the second's start and ended before it was asked.
    assert!(said.contains("is not known") || said.contains("can't be reached"), "{said}");
    copy_folder(&cli.path("first/keys"), &cli.path("second/keys")).unwrap();
    register(0, &second, "second");

    let (status, said) = first.wait();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("another engine writes this market now"), "{said}");
    let (status, said) = second.interrupt();
    assert_eq!(status.code(), Some(0), "{said}");
}
