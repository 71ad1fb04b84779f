//! The descriptions of the interfaces pass the linters that others wrote for them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn lint(files: &[PathBuf]) -> Output {
    let linters = std::env::var_os("SKYLINK_SPEC_LINTERS").expect(
        "SKYLINK_SPEC_LINTERS is not set: run the tests with ./tests/run.sh, or set it to what scripts/get-spec-linters.sh prints",
    );
    let script = Path::new(&linters).join("lint.mjs");
    let run = Command::new("node").arg(script).args(files).output();
    run.expect("node runs: install Node.js 20 or later")
}

fn published(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas").join(name)
}

#[test]
fn asyncapi_and_openapi_pass_their_linters() {
    let output = lint(&[published("asyncapi.json"), published("openapi.json")]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{}{}",
        said.lines().take(20).collect::<Vec<_>>().join("\n"),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a_document_that_breaks_a_rule_does_not_pass() {
    let folder = tempfile::tempdir().unwrap();
    for (name, broken, rule) in [
        ("asyncapi.json", ("#/components/messages/receipt", "#/components/messages/none"), "invalid-ref"),
        ("openapi.json", ("\"/v1/orders/{id}\"", "\"/v1/orders/{order}\""), "path-params"),
    ] {
        let text = std::fs::read_to_string(published(name)).unwrap();
        assert!(text.contains(broken.0), "{name}");
        let copy = folder.path().join(name);
        std::fs::write(&copy, text.replace(broken.0, broken.1)).unwrap();
        let output = lint(&[copy]);
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(rule), "{name}: {said}");
    }
}
