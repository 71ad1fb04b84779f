//! Shows a second factor beside a command when the market asks for one.

use std::io::{self, BufRead, IsTerminal};
use std::str::FromStr;

use anyhow::{Context, bail};
use commands::crypto::VerifyingKey;
use commands::step_up::{CODE_DIGITS, Shown, TotpCode};
use engine::keystore::StoredKey;
use events::step_up::RecoveryShown;
use serde_json::Value;

use crate::client::{Answer, Client};
use crate::output::talk;
use crate::signing::{Signed, Wish};

/// What is shown when the market asks for a second factor.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct StepUpArgs {
    /// What to show if the market asks for a second factor: `totp:123456`, an app's code; `recovery:…`, a recovery code; `ask`, to be
    /// asked for either. A passkey's approval is made where the passkey is, in a browser.
    #[arg(long, value_name = "FACTOR")]
    step_up: Option<Factor>,
}

/// A second factor, as it is written on the command line.
#[derive(Clone)]
enum Factor {
    Totp(String),
    Recovery(String),
    Ask,
}

/// Never says the code.
impl std::fmt::Debug for Factor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Factor::Totp(_) => "Totp",
            Factor::Recovery(_) => "Recovery",
            Factor::Ask => "Ask",
        })
    }
}

fn is_app_code(text: &str) -> bool {
    text.len() == CODE_DIGITS && text.bytes().all(|byte| byte.is_ascii_digit())
}

impl FromStr for Factor {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Factor, &'static str> {
        match text.split_once(':') {
            Some(("totp", code)) if is_app_code(code) => Ok(Factor::Totp(code.to_owned())),
            Some(("totp", _)) => Err("an app's code has 6 digits"),
            Some(("recovery", code)) if code.bytes().any(|byte| byte.is_ascii_alphanumeric()) => {
                Ok(Factor::Recovery(code.to_owned()))
            }
            None if text == "ask" => Ok(Factor::Ask),
            _ => Err("a second factor is totp:<6 digits>, recovery:<code>, or ask"),
        }
    }
}

impl StepUpArgs {
    /// Sends a signed command; where the market asks for a second factor and there is one, the same bytes again with it.
    pub(crate) async fn send(
        &self,
        client: &Client,
        signed: &Signed,
        wish: &Wish,
        key: &StoredKey,
        market_keys: &[VerifyingKey],
    ) -> anyhow::Result<Answer> {
        let answer = client.send(signed, wish, key, market_keys).await?;
        let Answer::Refused { json, .. } = &answer else { return Ok(answer) };
        let refusal = json.get("refusal").unwrap_or(json);
        let Some(factor) = self.step_up.as_ref().filter(|_| refusal["code"] == "mfa_required") else {
            return Ok(answer);
        };
        let shown = factor.shown(refusal)?;
        client.send_with(signed, wish, key, market_keys, Some(&shown)).await
    }
}

impl Factor {
    /// Gives what is shown for a refusal that asks for a second factor.
    fn shown(&self, refusal: &Value) -> anyhow::Result<Shown> {
        match self {
            Factor::Totp(code) => app_code(refusal, code),
            Factor::Recovery(code) => Ok(Shown::Recovery(RecoveryShown::of(code))),
            Factor::Ask => {
                let factors: Vec<&str> =
                    refusal["factors"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                if !factors.iter().any(|factor| matches!(*factor, "totp" | "recovery")) {
                    bail!(
                        "the market asks for a second factor, and the account has no codes: enroll some with `skylink factors`, or \
                         approve the command with a passkey"
                    );
                }
                let code = ask("The market asks for a second factor. Code of the app, or a recovery code:")?;
                match is_app_code(&code) {
                    true => app_code(refusal, &code),
                    false => Ok(Shown::Recovery(RecoveryShown::of(&code))),
                }
            }
        }
    }
}

fn app_code(refusal: &Value, code: &str) -> anyhow::Result<Shown> {
    let app =
        refusal["app"].as_str().context("the account has no app that makes codes: show something else")?;
    let authenticator = app.parse().context("the market names no app")?;
    Ok(Shown::Totp(TotpCode { authenticator, code: code.to_owned() }))
}

/// Asks for a word on standard input.
pub(crate) fn ask(question: &str) -> anyhow::Result<String> {
    Ok(ask_line(question)?.trim().to_owned())
}

/// Asks for a line on standard input, and gives it with the spaces that it begins and ends with.
pub(crate) fn ask_line(question: &str) -> anyhow::Result<String> {
    if io::stdin().is_terminal() {
        talk(format_args!("{question}"));
    }
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line).context("standard input can't be read")?;
    if read == 0 {
        bail!("nothing was typed: it is read from standard input");
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_factor_is_written_in_one_of_three_ways() {
        for good in ["totp:123456", "recovery:ABCDE-FGHJK", "ask"] {
            assert!(good.parse::<Factor>().is_ok(), "{good}");
        }
        for bad in
            ["", "totp:12345", "totp:12345x", "123456", "recovery:", "recovery:--", "passkey:x", "asks"]
        {
            assert!(bad.parse::<Factor>().is_err(), "{bad}");
        }
        let told = format!("{:?}", "totp:123456".parse::<Factor>().unwrap());
        assert!(!told.contains("123456"));
    }

    #[test]
    fn an_apps_code_is_shown_for_the_app_that_the_market_names() {
        let app = "0198559f-e900-7c4b-9f10-000000000051";
        let factor: Factor = "totp:123456".parse().unwrap();
        let Shown::Totp(shown) = factor.shown(&json!({"app": app})).unwrap() else { panic!("it is a code") };
        assert_eq!((shown.authenticator.to_string().as_str(), shown.code.as_str()), (app, "123456"));
        assert!(factor.shown(&json!({"app": null})).is_err());
        let nothing = Factor::Ask.shown(&json!({"factors": ["webauthn"]})).unwrap_err();
        assert!(nothing.to_string().contains("skylink factors"), "{nothing}");
    }
}
