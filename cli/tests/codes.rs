//! Codes as second factors, from the command line: an app whose codes another program makes, and recovery codes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::Cli;
use serde_json::{Value, json};

/// RFC 6238 in another language: prints the present code of a secret in base32, and one that is wrong for a while.
const APP: &str = "
import base64, hashlib, hmac, struct, sys, time
secret = sys.argv[1]
key = base64.b32decode(secret + '=' * (-len(secret) % 8))
def code(step):
    digest = hmac.new(key, struct.pack('>Q', step), hashlib.sha1).digest()
    at = digest[-1] & 15
    return '%06d' % ((struct.unpack('>I', digest[at:at + 4])[0] & 0x7fffffff) % 10 ** 6)
now = int(time.time()) // 30
right = [code(now + n) for n in range(-2, 4)]
print(code(now), next(wrong for wrong in ('123456', '654321', '111111') if wrong not in right))
";

fn codes_of_app(secret: &str) -> (String, String) {
    let output = Command::new("python3").args(["-c", APP, secret]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (right, wrong) = text.trim().split_once(' ').unwrap();
    (right.to_owned(), wrong.to_owned())
}

/// Enrolls an app for alice, and gives its secret.
fn enroll_app(cli: &Cli, url: &str) -> String {
    let mut command = cli.command(&["factors", "app", "--key", "alice", "--url", url]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let secret = lines.next().unwrap().unwrap();
    let uri = lines.next().unwrap().unwrap();
    assert!(uri.starts_with("otpauth://totp/main:") && uri.contains(&format!("?secret={secret}&")), "{uri}");
    let (right, wrong) = codes_of_app(&secret);
    // A first code may be mistyped.
    let mut stdin = child.stdin.take().unwrap();
    write!(stdin, "{wrong}\n{right}\n").unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("code_wrong") && said.contains("step_up.enroll_totp accepted"), "{said}");
    secret
}

/// Sends alice's `cart.clear`, which needs a second factor.
fn clear(cli: &Cli, url: &str, code: i32, step_up: &[&str]) -> (Value, String) {
    let wish = cli.write("wish.json", &json!({"command": "cart.clear", "body": {}}).to_string());
    let arguments = [&["send", "--json", "--key", "alice", "--url", url], step_up, &[wish.as_str()]].concat();
    let (stdout, stderr) = cli.ends(code, &arguments);
    (serde_json::from_str(&stdout).unwrap(), stderr)
}

fn walk(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[test]
fn codes_approve_once_and_stand_nowhere() {
    let cli = Cli::new();
    let up = cli.up(&[]);
    let url = up.url();
    for (name, role) in [("alice", "buyer"), ("boss", "operator")] {
        cli.ok(&["keys", "new", name]);
        cli.ok(&["keys", "register", name, "--role", role, "--url", &url]);
    }
    let rule = json!({"above_minor": {}, "commands": ["cart.*"], "device_younger_than_ms": 0});
    let terms =
        json!({"origins": ["https://market.example"], "relying_party": "market.example", "rules": [rule]});
    let wish = json!({"command": "step_up.set_terms", "body": {"terms": terms}}).to_string();
    cli.ok(&["send", "--key", "boss", "--url", &url, &cli.write("terms.json", &wish)]);

    let secret = enroll_app(&cli, &url);
    let (told, _) = clear(&cli, &url, 1, &[]);
    assert_eq!((&told["code"], &told["factors"]), (&json!("mfa_required"), &json!(["totp"])));
    let (right, wrong) = codes_of_app(&secret);
    let (rejected, _) = clear(&cli, &url, 1, &["--step-up", &format!("totp:{wrong}")]);
    assert_eq!(rejected["receipt"]["reasons"], json!([{"code": "code_wrong", "left": 4}]), "{rejected}");
    let shown = format!("totp:{right}");
    let printed = cli.ok(&["factors", "recovery", "--key", "alice", "--url", &url, "--step-up", &shown]);
    let recovery: Vec<&str> = printed.lines().collect();
    assert_eq!(recovery.len(), 10, "{printed}");
    // The app's code was used for that.
    let (told, _) = clear(&cli, &url, 1, &["--step-up", &shown]);
    assert_eq!(told["code"], "mfa_required");
    assert!(told["problem"].as_str().unwrap().contains("was shown before"), "{told}");
    assert_eq!(told["factors"], json!(["totp", "recovery"]));

    let by = |code: &str| format!("recovery:{code}");
    let (cleared, _) = clear(&cli, &url, 0, &["--step-up", &by(recovery[0])]);
    assert_eq!(cleared["receipt"]["outcome"], "unchanged");
    let (rejected, _) = clear(&cli, &url, 1, &["--step-up", &by(recovery[0])]);
    assert_eq!(rejected["receipt"]["reasons"][0]["code"], "code_wrong");
    // Asked for on standard input, and written otherwise than it was printed.
    let mut ask = cli.command(&["send", "--key", "alice", "--url", &url, "--step-up", "ask", "wish.json"]);
    let mut ask = ask.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    writeln!(ask.stdin.take().unwrap(), "{}", recovery[1].to_lowercase().replace('-', " ")).unwrap();
    assert_eq!(ask.wait().unwrap().code(), Some(0));

    let (status, said) = up.interrupt();
    assert_eq!(status.code(), Some(0), "{said}");
    cli.ok(&["verify"]);
    // Of what was shown nothing can be found, and of the secret only what is encrypted.
    let secrets = [&[secret.as_str(), right.as_str(), wrong.as_str()], &recovery[..]].concat();
    for path in walk(&cli.path("data")) {
        let bytes = std::fs::read(&path).unwrap();
        for secret in &secrets {
            // Six digits may stand in any number: only as a text of their own they are a code.
            let sought = format!("\"{secret}\"");
            let sought = if secret.len() == 6 { sought.as_bytes() } else { secret.as_bytes() };
            let is_there = bytes.windows(sought.len()).any(|found| found == sought);
            assert!(!is_there, "{} holds {secret}", path.display());
        }
    }
    for secret in secrets.iter().filter(|secret| secret.len() > 6) {
        assert!(!said.contains(secret), "{said}");
    }

    // All of it is there again after a restart.
    let up = cli.up(&[]);
    let url = up.url();
    let (rejected, _) = clear(&cli, &url, 1, &["--step-up", &by(recovery[1])]);
    assert_eq!(rejected["receipt"]["reasons"], json!([{"code": "code_wrong", "left": 2}]));
    clear(&cli, &url, 0, &["--step-up", &by(recovery[2])]);
    for left in [1, 0] {
        let (_, wrong) = codes_of_app(&secret);
        let (rejected, _) = clear(&cli, &url, 1, &["--step-up", &format!("totp:{wrong}")]);
        assert_eq!(rejected["receipt"]["reasons"], json!([{"code": "code_wrong", "left": left}]));
    }
    let (told, said) = clear(&cli, &url, 1, &["--step-up", &by(recovery[3])]);
    assert_eq!(told["code"], "mfa_locked", "{said}");
}
