//! Which payment providers a market asks, and how their secrets are given: in a file or in the environment, never as an
//! argument, which everybody on the machine can see.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use engine::clock::Clock;
use engine::providers::sandbox::{Message, Sandbox};
use engine::providers::stripe::{self, Stripe};
use engine::providers::{PaymentProvider, Secret};
use tokio::sync::mpsc;

/// The environment variable with Stripe's secret key.
const STRIPE_KEY: &str = "SKYLINK_STRIPE_KEY";
/// The environment variable with the secret of Stripe's webhook.
const STRIPE_WEBHOOK_SECRET: &str = "SKYLINK_STRIPE_WEBHOOK_SECRET";

/// Which payment provider the market asks.
#[derive(Debug, Args)]
pub(crate) struct PaymentsArgs {
    /// The payment provider: `sandbox` plays one, with money that is none.
    #[arg(long, value_enum, default_value_t = PaymentsArg::Sandbox, value_name = "PROVIDER")]
    payments: PaymentsArg,
    /// The file with Stripe's secret key; without it, the environment variable SKYLINK_STRIPE_KEY.
    #[arg(long, value_name = "FILE")]
    stripe_key_file: Option<PathBuf>,
    /// The file with the secret that Stripe signs its messages to /v1/providers/stripe/webhooks with; without it, the
    /// environment variable SKYLINK_STRIPE_WEBHOOK_SECRET; without both, no message is taken and Stripe is asked instead.
    #[arg(long, value_name = "FILE")]
    stripe_webhook_secret_file: Option<PathBuf>,
    /// Where Stripe is.
    #[arg(long, default_value = stripe::URL, value_name = "URL")]
    stripe_url: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PaymentsArg {
    /// Plays a provider
    Sandbox,
    /// Stripe
    Stripe,
    /// No provider is asked
    None,
}

/// The providers, and the messages of those that have no other way to send them.
pub(crate) type Providers = (Vec<Arc<dyn PaymentProvider>>, Option<mpsc::Receiver<Message>>);

impl PaymentsArgs {
    /// Sets the providers up; what the sandbox remembers is in the data folder.
    pub(crate) fn providers(&self, data: &Path, clock: &Arc<dyn Clock>) -> anyhow::Result<Providers> {
        match self.payments {
            PaymentsArg::None => Ok((Vec::new(), None)),
            PaymentsArg::Sandbox => {
                std::fs::create_dir_all(data).with_context(|| {
                    format!("{} can't be made: name another folder with --data", data.display())
                })?;
                let file = data.join("sandbox.json");
                let (sandbox, messages) = Sandbox::open(Some(file.clone()), Arc::clone(clock))
                    .with_context(|| format!("{} can't be read: mend or delete it", file.display()))?;
                Ok((vec![Arc::new(sandbox)], Some(messages)))
            }
            PaymentsArg::Stripe => {
                let Some(key) = secret(self.stripe_key_file.as_deref(), STRIPE_KEY)? else {
                    bail!(
                        "Stripe needs a secret key: name its file with --stripe-key-file, or set {STRIPE_KEY}"
                    );
                };
                let webhook_secret =
                    secret(self.stripe_webhook_secret_file.as_deref(), STRIPE_WEBHOOK_SECRET)?;
                Ok((vec![Arc::new(Stripe::new(&self.stripe_url, key, webhook_secret)?)], None))
            }
        }
    }

    /// Says what is paid through, for people.
    pub(crate) const fn described(&self) -> &'static str {
        match self.payments {
            PaymentsArg::Sandbox => {
                "sandbox: whoever registers can pay with money that is none (see --payments)"
            }
            PaymentsArg::Stripe => "stripe",
            PaymentsArg::None => "none",
        }
    }
}

/// Reads a secret from a file or, without one, from the environment.
fn secret(file: Option<&Path>, variable: &str) -> anyhow::Result<Option<Secret>> {
    match (file, std::env::var(variable)) {
        (Some(file), _) => secret_in(file).map(Some),
        (None, Ok(text)) if text.trim().is_empty() => bail!("{variable} is empty: put the secret into it"),
        (None, Ok(text)) => Ok(Some(Secret::new(text.trim()))),
        (None, Err(std::env::VarError::NotPresent)) => Ok(None),
        (None, Err(error)) => Err(error).with_context(|| format!("{variable} can't be read")),
    }
}

/// Reads a secret from a file.
pub(crate) fn secret_in(file: &Path) -> anyhow::Result<Secret> {
    let text = std::fs::read_to_string(file).with_context(|| format!("{} can't be read", file.display()))?;
    match text.trim() {
        "" => bail!("{} is empty: put the secret into it", file.display()),
        secret => Ok(Secret::new(secret)),
    }
}
