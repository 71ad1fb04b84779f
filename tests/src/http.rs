//! The HTTP side of a process, on a port of this machine.

use gateway::Gateway;
use reqwest::StatusCode;
use serde_json::Value;
use tokio::net::TcpListener;

/// Serves until the test's runtime ends, and gives the address.
pub async fn serve(gateway: Gateway) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = format!("http://{}", listener.local_addr().expect("it is bound"));
    tokio::spawn(gateway::serve(listener, gateway, std::future::pending()));
    address
}

/// Asks whether a process is ready.
pub async fn readiness(address: &str) -> (StatusCode, Value) {
    let answer = reqwest::get(format!("{address}/readyz")).await.expect("the server runs");
    (answer.status(), answer.json().await.expect("it answers in JSON"))
}
