//! Asks services whose addresses the operator named, FCM and APNs, and reads what they answer. Whom strangers name is asked by
//! [`crate::outside`] instead.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::StreamExt;
use reqwest::header::HeaderMap;
use reqwest::{Body, Certificate, Client, Url, redirect};
use serde_json::Value;

use super::Outcome;
use crate::outside::{NotSent, retry_after_s};

/// How long a connection may take to be made.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// Most bytes of an answer. The longest documented is an access token of a few kilobytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// How often a connection that is kept is asked whether it lives, and how long that may take: APNs wants it kept.
const ALIVE_EVERY: Duration = Duration::from_secs(60);
const ALIVE_TIME_MAX: Duration = Duration::from_secs(10);

/// Why a service can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SetUpError {
    /// The file is no key of a service account. It says nothing of what is in it.
    #[error(
        "it is no key of a service account: have one made in the Firebase console, under project settings, service accounts"
    )]
    ServiceAccount,
    /// The file is no key of APNs.
    #[error(
        "it is no key for APNs: give the .p8 file that Apple's developer site gives once, a key of P-256 in PEM"
    )]
    ApnsKey,
    /// A name that Apple gives is none.
    #[error("`{0}` is no {1}: it has letters, digits, points and hyphens only")]
    Name(String, &'static str),
    /// The address is none.
    #[error("{0} is no address of a service that sends: use https")]
    Url(String),
    /// The file holds no certificates.
    #[error("it holds no certificate: name a file with those of authorities, in PEM")]
    Roots,
    /// TLS can't be set up.
    #[error(
        "no connection can be secured: see the certificates that are named, and that this machine has root certificates"
    )]
    Tls(#[source] reqwest::Error),
}

/// Certificates of authorities that are trusted besides the machine's own.
#[derive(Debug, Clone, Default)]
pub struct Roots(Vec<Certificate>);

impl Roots {
    /// Reads them, in PEM.
    pub fn from_pem(pem: &[u8]) -> Result<Roots, SetUpError> {
        let certificates = Certificate::from_pem_bundle(pem).map_err(|_| SetUpError::Roots)?;
        if certificates.is_empty() { Err(SetUpError::Roots) } else { Ok(Roots(certificates)) }
    }
}

/// Reads the address of a service.
pub(super) fn address(text: &str) -> Result<Url, SetUpError> {
    let url = Url::parse(text).ok().filter(|url| url.scheme() == "https" && url.has_host());
    url.ok_or_else(|| SetUpError::Url(text.chars().take(100).collect()))
}

/// How a service answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// How many seconds it asks to be left alone.
    pub(super) retry_after_s: Option<u64>,
    /// What it says, null if that is no JSON.
    pub(super) body: Value,
}

/// Whether a service took a message of this process. Until then a refusal may be the market's mistake, and no device is forgotten for it.
#[derive(Default)]
pub(super) struct Proven(AtomicBool);

impl Proven {
    /// Says what an answer comes to. `judge` is told whether a message was taken before.
    pub(super) fn outcome(
        &self,
        answer: Result<Answer, Outcome>,
        judge: impl FnOnce(&Answer, bool) -> Outcome,
    ) -> Outcome {
        let outcome = match answer {
            Ok(answer) => judge(&answer, self.0.load(Ordering::Relaxed)),
            Err(outcome) => outcome,
        };
        if let Outcome::Taken(_) = outcome {
            self.0.store(true, Ordering::Relaxed);
        }
        outcome
    }
}

/// Connections to a service.
#[derive(Debug, Clone)]
pub(super) struct Link(Client);

impl Link {
    /// Sets up connections by whichever version of HTTP the service prefers.
    pub(super) fn new(roots: &Roots) -> Result<Link, SetUpError> {
        Link::build(Client::builder(), roots)
    }

    /// Sets up connections by HTTP/2 alone, which are kept.
    pub(super) fn http2(roots: &Roots) -> Result<Link, SetUpError> {
        let client = Client::builder()
            .http2_prior_knowledge()
            .http2_keep_alive_interval(ALIVE_EVERY)
            .http2_keep_alive_timeout(ALIVE_TIME_MAX)
            .http2_keep_alive_while_idle(true)
            .pool_idle_timeout(None);
        Link::build(client, roots)
    }

    fn build(client: reqwest::ClientBuilder, roots: &Roots) -> Result<Link, SetUpError> {
        let client = client
            .user_agent(concat!("skylink/", env!("CARGO_PKG_VERSION")))
            // It would carry the market's word elsewhere.
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIME_MAX)
            .tls_certs_merge(roots.0.iter().cloned());
        client.build().map(Link).map_err(SetUpError::Tls)
    }

    /// Posts something once. `time_max`: how long it may take, to the answer's last byte.
    pub(super) async fn post(
        &self,
        url: Url,
        headers: HeaderMap,
        body: impl Into<Body>,
        time_max: Duration,
    ) -> Result<Answer, NotSent> {
        // What went wrong is not said any further: the address of a device is part of it.
        let not_sent =
            |error: reqwest::Error| if error.is_timeout() { NotSent::TimedOut } else { NotSent::NotReached };
        let asked = self.0.post(url).headers(headers).body(body).timeout(time_max).send();
        let answer = asked.await.map_err(not_sent)?;
        let (status, retry_after_s) = (answer.status().as_u16(), retry_after_s(answer.headers()));
        let (mut pieces, mut body) = (answer.bytes_stream(), Vec::new());
        while let Some(piece) = pieces.next().await {
            body.extend_from_slice(&piece.map_err(not_sent)?);
            if body.len() > ANSWER_BYTES_MAX {
                body.clear();
                break;
            }
        }
        Ok(Answer { status, retry_after_s, body: serde_json::from_slice(&body).unwrap_or(Value::Null) })
    }
}
