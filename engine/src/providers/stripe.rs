//! Stripe: PaymentIntents with manual capture, refunds, payouts, and disputes.
//!
//! A payment stands in the metadata of its intent, a refund in that of its refund and a payout in that of its payout, so
//! that they are found again when the answer that held their ids was lost. Each call that makes something has an idempotency
//! key of its own.

pub mod currency;
mod dispute;
pub(crate) mod webhook;

use std::time::Duration;

use async_trait::async_trait;
use events::ids::{PaymentId, PayoutId};
use events::payment::ActionKind;
use events::{Money, Timestamp};
use reqwest::{Client, Method, StatusCode, Url};
use serde_json::Value;

use super::{
    About, Answer, Authorize, Capture, Dispute, EvidenceCall, Found, NoAnswer, Notice, PaymentProvider,
    PayoutAnswer, PayoutCall, RefundAnswer, RefundCall, Secret, WebhookError,
};

/// The provider's name.
pub const NAME: &str = "stripe";
/// Where Stripe is.
pub const URL: &str = "https://api.stripe.com";
/// The version of the interface that this was written for; Stripe answers in it, whatever the account's own.
const VERSION: &str = "2024-06-20";
/// How long one request may take.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(20);
/// How long Stripe remembers an idempotency key, less an hour: it says "at least 24 hours".
const KEY_LIFETIME: Duration = Duration::from_secs(23 * 3600);
/// How long Stripe holds money at a card, in seconds, where it does not say: the shortest of its windows that are
/// initiated by a customer.
const HOLDS_S: i64 = 7 * 86_400;
/// Payments of a page, when one is looked for without its id; Stripe gives no more.
const PAGE: usize = 100;
/// Most pages that are looked through for one payment.
const PAGES_MAX: usize = 20;
/// How far the clock of Stripe may differ from ours, in seconds.
const SKEW_S: i64 = 300;

/// Why Stripe can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SetUpError {
    /// The address is none.
    #[error("{0} is no address of Stripe: use https, or http for one on this machine")]
    Url(String),
    /// TLS can't be set up.
    #[error("no connection can be secured: see that this machine has root certificates")]
    Tls(#[source] reqwest::Error),
}

/// Stripe.
#[derive(Debug)]
pub struct Stripe {
    client: Client,
    url: Url,
    key: Secret,
    webhook_secret: Option<Secret>,
}

impl Stripe {
    /// Sets up Stripe at an address, with the account's secret key and, where messages are to be taken, the secret of
    /// their webhook.
    pub fn new(url: &str, key: Secret, webhook_secret: Option<Secret>) -> Result<Stripe, SetUpError> {
        let wrong = || SetUpError::Url(url.chars().take(100).collect());
        let parsed = Url::parse(url).map_err(|_| wrong())?;
        let is_local = matches!(parsed.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"));
        if parsed.scheme() != "https" && !(parsed.scheme() == "http" && is_local) {
            return Err(wrong());
        }
        // A redirect would carry the key elsewhere. HTTP/2 is here for others: Stripe was tried without.
        let client = Client::builder().timeout(REQUEST_TIME_MAX).redirect(reqwest::redirect::Policy::none());
        let client = client.http1_only().build().map_err(SetUpError::Tls)?;
        Ok(Stripe { client, url: parsed, key, webhook_secret })
    }

    /// Sends a request, and gives the status and the JSON of the answer.
    async fn call(
        &self,
        method: Method,
        path: &str,
        fields: &[(&str, String)],
        idempotency_key: Option<String>,
    ) -> Result<(StatusCode, Value), NoAnswer> {
        let no_answer = |error: reqwest::Error| {
            // Without the address, which may hold an id: logs are read by many.
            NoAnswer(format!("Stripe did not answer: {}", events::with_causes(&error.without_url())))
        };
        let mut url = self.url.join(path).map_err(|_| NoAnswer("the address can't be built".to_owned()))?;
        let mut form = self.url.clone();
        form.set_query(None);
        form.query_pairs_mut().extend_pairs(fields);
        let encoded = form.query().unwrap_or_default().to_owned();
        let mut request = if method == Method::GET {
            url.set_query(Some(&encoded).filter(|query| !query.is_empty()).map(String::as_str));
            self.client.request(method, url)
        } else {
            let form = "application/x-www-form-urlencoded";
            self.client.request(method, url).header("content-type", form).body(encoded)
        };
        request = request.bearer_auth(self.key.reveal()).header("stripe-version", VERSION);
        if let Some(key) = idempotency_key {
            request = request.header("idempotency-key", key);
        }
        let response = request.send().await.map_err(no_answer)?;
        let status = response.status();
        let body = response.json().await.map_err(no_answer)?;
        Ok((status, body))
    }

    /// Finds an intent by the payment in its metadata.
    async fn find(&self, payment: PaymentId) -> Result<Option<Value>, NoAnswer> {
        self.find_listed("/v1/payment_intents", "payment", &payment.to_string(), payment.time()).await
    }

    /// Finds an object by what its metadata say, among those of a list made since shortly before what it is for.
    async fn find_listed(
        &self,
        path: &str,
        kind: &str,
        name: &str,
        made_at: Option<Timestamp>,
    ) -> Result<Option<Value>, NoAnswer> {
        let made_at = made_at.map_or(0, |time| time.ms().div_euclid(1000));
        let mut behind: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let mut query = vec![("limit", PAGE.to_string())];
            query.extend(behind.take().map(|id| ("starting_after", id)));
            let (status, page) = self.call(Method::GET, path, &query, None).await?;
            let Some(items) = page["data"].as_array().filter(|_| status.is_success()) else {
                return Err(trouble(status, &page));
            };
            if let Some(found) = items.iter().find(|item| item["metadata"][kind] == name) {
                return Ok(Some(found.clone()));
            }
            // Newest first: what was made long before can't be it.
            let last = items.last();
            let is_older =
                last.and_then(|last| last["created"].as_i64()).is_none_or(|at| at < made_at - SKEW_S);
            if is_older || page["has_more"] != true {
                return Ok(None);
            }
            behind = last.and_then(|last| last["id"].as_str()).map(str::to_owned);
        }
        Err(NoAnswer(format!("{kind} {name} is not among the last {} at Stripe", PAGE * PAGES_MAX)))
    }

    /// Gives an object by its path.
    async fn get(&self, path: &str, query: &[(&str, String)]) -> Result<Option<Value>, NoAnswer> {
        let (status, body) = self.call(Method::GET, path, query, None).await?;
        match status {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => Ok(Some(body)),
            status => Err(trouble(status, &body)),
        }
    }
}

/// Says that Stripe gave no answer about the payment, with its own words for programs.
fn trouble(status: StatusCode, body: &Value) -> NoAnswer {
    let error = &body["error"];
    let code = error["code"].as_str().or(error["type"].as_str()).unwrap_or("no reason");
    let next = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ": see that the secret key is right",
        StatusCode::BAD_REQUEST | StatusCode::PAYMENT_REQUIRED | StatusCode::NOT_FOUND => {
            ": see that the account, its mode (test or live) and what is asked of it fit, in Stripe's list of requests"
        }
        _ => "",
    };
    NoAnswer(format!("Stripe answered {status} ({}){next}", code.chars().take(64).collect::<String>()))
}

/// What Stripe documents as its word against a refund or a payout itself, or against what the account may do: nothing was done.
/// Values that are missing or wrong begin with `parameter`.
const REFUSALS: [&str; 32] = [
    "account_closed",
    "account_number_invalid",
    "amount_too_large",
    "amount_too_small",
    "balance_insufficient",
    "balance_invalid_parameter",
    "bank_account_bad_routing_numbers",
    "bank_account_declined",
    "bank_account_restricted",
    "bank_account_unusable",
    "bank_account_unverified",
    "bank_account_verification_failed",
    "charge_already_refunded",
    "charge_disputed",
    "charge_not_refundable",
    "country_unsupported",
    "debit_not_authorized",
    "expired_card",
    "instant_payouts_config_disabled",
    "instant_payouts_currency_disabled",
    "instant_payouts_limit_exceeded",
    "instant_payouts_unsupported",
    "insufficient_funds",
    "invalid_card_type",
    "invalid_characters",
    "no_account",
    "payouts_limit_exceeded",
    "payouts_not_allowed",
    "refund_disputed_payment",
    "resource_missing",
    "routing_number_invalid",
    "transfers_not_allowed",
];

/// Gives the code of a refusal that ends a refund or a payout, if an error is one. Others share its type: that a request holds a
/// lock, came too often, or repeats a key. They say nothing of what was asked for, which may have been done; nor does a code
/// that is not known here. An error without a code is a refusal if it names the value that is wrong.
fn refusal(status: StatusCode, error: &Value, unnamed: &str) -> Option<String> {
    let is_answer =
        matches!(status, StatusCode::BAD_REQUEST | StatusCode::PAYMENT_REQUIRED | StatusCode::NOT_FOUND);
    let is_of_request = matches!(error["type"].as_str(), Some("invalid_request_error" | "card_error"));
    let (code, names_value) = (error["code"].as_str(), error["param"].is_string());
    let is_refusal = match code {
        Some(code) => REFUSALS.contains(&code) || code.starts_with("parameter"),
        None => names_value,
    };
    (is_answer && is_of_request && is_refusal).then(|| code.unwrap_or(unnamed).chars().take(64).collect())
}

/// Gives the provider's words for a refusal, and whether another try may go well, with the same or another card: not where
/// the buyer may be somebody else than the card's owner.
fn declined(error: &Value) -> Answer {
    let code = error["decline_code"].as_str().or(error["code"].as_str()).unwrap_or("declined");
    let is_final = matches!(
        code,
        "fraudulent"
            | "lost_card"
            | "merchant_blacklist"
            | "pickup_card"
            | "restricted_card"
            | "security_violation"
            | "stolen_card"
    );
    Answer::Declined { code: code.chars().take(64).collect(), retryable: !is_final }
}

/// Reads the answer to a payment that was asked for. Only what Stripe documents as the card's own refusal, status 402 with an error of
/// type `card_error`, is one. Anything else that is no success says something about the request or the account, such as a key of the other
/// mode, a token that is not of this account, or a payment method that is not switched on: that is no word about the buyer, who
/// would be told that his card was refused. It is asked again, until the payment's time is over, and told to operators.
fn authorized(status: StatusCode, body: &Value) -> Result<Answer, NoAnswer> {
    match status {
        status if status.is_success() => Ok(read_intent(body)?.answer),
        StatusCode::PAYMENT_REQUIRED if body["error"]["type"] == "card_error" => Ok(declined(&body["error"])),
        status => Err(trouble(status, body)),
    }
}

/// Reads how an intent stands.
fn read_intent(intent: &Value) -> Result<Found, NoAnswer> {
    let unread = |what| NoAnswer(format!("Stripe's answer has no {what} that can be read"));
    let reference = intent["id"].as_str().ok_or_else(|| unread("id"))?.to_owned();
    let amount = |member: &str| -> Result<Money, NoAnswer> {
        let code = intent["currency"].as_str().unwrap_or_default().to_ascii_uppercase();
        let currency = code.parse().map_err(|_| unread("currency"))?;
        let counted = intent[member].as_i64().ok_or_else(|| unread("amount"))?;
        currency::from_stripe(counted, currency).ok_or_else(|| unread("amount"))
    };
    let answer = match intent["status"].as_str().ok_or_else(|| unread("status"))? {
        "requires_action" => {
            let next = &intent["next_action"];
            let url = next["redirect_to_url"]["url"].as_str().map(str::to_owned);
            let kind = if url.is_some() { ActionKind::Redirect } else { ActionKind::ThreeDs };
            Answer::ActionRequired { reference: reference.clone(), kind, url }
        }
        "requires_capture" => {
            let card = &intent["latest_charge"]["payment_method_details"]["card"];
            let created = intent["created"].as_i64().ok_or_else(|| unread("created"))?;
            let until = card["capture_before"].as_i64().unwrap_or(created + HOLDS_S);
            // What can be captured, or, where that is not said, all of it.
            let held = if intent["amount_capturable"].is_i64() { "amount_capturable" } else { "amount" };
            let capture_before = Timestamp::from_ms(until.saturating_mul(1000));
            Answer::Authorized { reference: reference.clone(), amount: amount(held)?, capture_before }
        }
        "succeeded" => {
            let took = if intent["amount_received"].is_i64() { "amount_received" } else { "amount" };
            Answer::Captured { reference: reference.clone(), amount: amount(took)? }
        }
        "canceled" if intent["cancellation_reason"] == "automatic" => Answer::Expired,
        "canceled" => Answer::Voided,
        "requires_payment_method" => declined(&intent["last_payment_error"]),
        _ => Answer::Pending,
    };
    Ok(Found { reference, answer })
}

fn read_refund(refund: &Value) -> Result<RefundAnswer, NoAnswer> {
    let reference = refund["id"].as_str().unwrap_or_default().to_owned();
    match refund["status"].as_str() {
        Some("succeeded") => Ok(RefundAnswer::Refunded { reference }),
        Some("failed" | "canceled") => {
            let code = refund["failure_reason"].as_str().unwrap_or("refund_failed");
            Ok(RefundAnswer::Failed { code: code.chars().take(64).collect() })
        }
        Some(_) => Ok(RefundAnswer::Pending),
        None => Err(NoAnswer("Stripe's answer has no status of the refund".to_owned())),
    }
}

fn read_payout(payout: &Value) -> Result<PayoutAnswer, NoAnswer> {
    let reference = payout["id"].as_str().unwrap_or_default().to_owned();
    match payout["status"].as_str() {
        Some("paid") => Ok(PayoutAnswer::Paid { reference }),
        Some("failed" | "canceled") => {
            let code = payout["failure_code"].as_str().unwrap_or("payout_failed");
            Ok(PayoutAnswer::Failed { code: code.chars().take(64).collect() })
        }
        Some(_) => Ok(PayoutAnswer::Pending),
        None => Err(NoAnswer("Stripe's answer has no status of the payout".to_owned())),
    }
}

#[async_trait]
impl PaymentProvider for Stripe {
    fn name(&self) -> &'static str {
        NAME
    }

    fn key_lifetime(&self) -> Duration {
        KEY_LIFETIME
    }

    async fn authorize(&self, call: &Authorize) -> Result<Answer, NoAnswer> {
        let counted = match currency::to_stripe(call.amount) {
            Ok(counted) => counted,
            // It was never sent, and never can be.
            Err(error) => {
                tracing::warn!(%error, payment = %call.payment, "a payment is refused before it is sent");
                return Ok(Answer::Declined { code: "amount_not_payable".to_owned(), retryable: false });
            }
        };
        let fields = [
            ("amount", counted.to_string()),
            ("currency", call.amount.currency.code().to_ascii_lowercase()),
            ("payment_method", call.token.clone()),
            ("payment_method_types[]", "card".to_owned()),
            ("capture_method", "manual".to_owned()),
            ("confirm", "true".to_owned()),
            ("metadata[payment]", call.payment.to_string()),
            ("expand[]", "latest_charge".to_owned()),
        ];
        let key = Some(format!("skylink-authorize-{}", call.payment));
        let (status, body) = self.call(Method::POST, "/v1/payment_intents", &fields, key).await?;
        authorized(status, &body)
    }

    async fn capture(&self, call: &Capture) -> Result<Answer, NoAnswer> {
        let counted = currency::to_stripe(call.amount).map_err(|error| NoAnswer(error.to_string()))?;
        let path = format!("/v1/payment_intents/{}/capture", call.reference);
        let fields = [("amount_to_capture", counted.to_string())];
        let key = Some(format!("skylink-capture-{}", call.payment));
        let (status, body) = self.call(Method::POST, &path, &fields, key).await?;
        if status.is_success() { Ok(read_intent(&body)?.answer) } else { Err(trouble(status, &body)) }
    }

    async fn void(&self, payment: PaymentId, reference: &str) -> Result<Answer, NoAnswer> {
        let path = format!("/v1/payment_intents/{reference}/cancel");
        let key = Some(format!("skylink-void-{payment}"));
        let (status, body) = self.call(Method::POST, &path, &[], key).await?;
        if status.is_success() { Ok(read_intent(&body)?.answer) } else { Err(trouble(status, &body)) }
    }

    async fn refund(&self, call: &RefundCall) -> Result<RefundAnswer, NoAnswer> {
        let counted = currency::to_stripe(call.amount).map_err(|error| NoAnswer(error.to_string()))?;
        let fields = [
            ("payment_intent", call.reference.clone()),
            ("amount", counted.to_string()),
            ("metadata[refund]", call.refund.to_string()),
        ];
        let key = Some(format!("skylink-refund-{}", call.refund));
        let (status, body) = self.call(Method::POST, "/v1/refunds", &fields, key).await?;
        match status {
            status if status.is_success() => read_refund(&body),
            status => {
                let code = refusal(status, &body["error"], "refund_refused");
                code.map(|code| RefundAnswer::Failed { code }).ok_or_else(|| trouble(status, &body))
            }
        }
    }

    async fn look_up(&self, payment: PaymentId, reference: Option<&str>) -> Result<Option<Found>, NoAnswer> {
        let intent = match reference {
            Some(reference) => {
                let expand = [("expand[]", "latest_charge".to_owned())];
                self.get(&format!("/v1/payment_intents/{reference}"), &expand).await?
            }
            None => self.find(payment).await?,
        };
        // What is asked for by a message is believed only if it is ours.
        let ours = intent.filter(|intent| intent["metadata"]["payment"] == payment.to_string().as_str());
        ours.as_ref().map(read_intent).transpose()
    }

    async fn look_up_refund(&self, call: &RefundCall) -> Result<Option<RefundAnswer>, NoAnswer> {
        // A payment with more refunds than a page holds is none that people make.
        let query = [("payment_intent", call.reference.clone()), ("limit", PAGE.to_string())];
        let (status, page) = self.call(Method::GET, "/v1/refunds", &query, None).await?;
        let Some(items) = page["data"].as_array().filter(|_| status.is_success()) else {
            return Err(trouble(status, &page));
        };
        let name = call.refund.to_string();
        match items.iter().find(|item| item["metadata"]["refund"] == name.as_str()) {
            Some(found) => read_refund(found).map(Some),
            None if page["has_more"] == true => {
                Err(NoAnswer(format!("refund {name} is not among the last {PAGE} of its payment")))
            }
            None => Ok(None),
        }
    }

    async fn pay_out(&self, call: &PayoutCall) -> Result<PayoutAnswer, NoAnswer> {
        let Ok(counted) = currency::to_stripe(call.amount) else {
            // It was never sent, and never can be.
            return Ok(PayoutAnswer::Failed { code: "amount_not_payable".to_owned() });
        };
        let fields = [
            ("amount", counted.to_string()),
            ("currency", call.amount.currency.code().to_ascii_lowercase()),
            ("destination", call.token.clone()),
            ("metadata[payout]", call.payout.to_string()),
        ];
        let key = Some(format!("skylink-payout-{}", call.payout));
        let (status, body) = self.call(Method::POST, "/v1/payouts", &fields, key).await?;
        match status {
            status if status.is_success() => read_payout(&body),
            status => {
                let code = refusal(status, &body["error"], "payout_refused");
                code.map(|code| PayoutAnswer::Failed { code }).ok_or_else(|| trouble(status, &body))
            }
        }
    }

    async fn look_up_payout(
        &self,
        payout: PayoutId,
        reference: Option<&str>,
    ) -> Result<Option<PayoutAnswer>, NoAnswer> {
        let name = payout.to_string();
        let found = match reference {
            Some(reference) => self.get(&format!("/v1/payouts/{reference}"), &[]).await?,
            None => self.find_listed("/v1/payouts", "payout", &name, payout.time()).await?,
        };
        let ours = found.filter(|found| found["metadata"]["payout"] == name.as_str());
        ours.as_ref().map(read_payout).transpose()
    }

    async fn look_up_dispute(&self, reference: &str) -> Result<Option<Dispute>, NoAnswer> {
        let found = self.get(&format!("/v1/disputes/{reference}"), &dispute::expanded()).await?;
        found.as_ref().map_or(Ok(None), dispute::read)
    }

    async fn submit_evidence(&self, call: &EvidenceCall) -> Result<Dispute, NoAnswer> {
        let key = Some(format!("skylink-evidence-{}", call.chargeback));
        self.change_dispute(&format!("/v1/disputes/{}", call.reference), &dispute::fields(call)?, key).await
    }

    async fn accept_dispute(&self, reference: &str) -> Result<Dispute, NoAnswer> {
        let key = Some(format!("skylink-accept-{reference}"));
        self.change_dispute(&format!("/v1/disputes/{reference}/close"), &dispute::expanded(), key).await
    }

    fn read_webhook(
        &self,
        header: &dyn Fn(&str) -> Option<String>,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Notice, WebhookError> {
        let secret = self.webhook_secret.as_ref().ok_or(WebhookError::NotExpected)?;
        let signature = header("stripe-signature").ok_or(WebhookError::Signature)?;
        webhook::check(&signature, body, secret.reveal(), now)?;
        let event: Value = serde_json::from_slice(body).map_err(|_| WebhookError::Malformed)?;
        let id = event["id"].as_str().ok_or(WebhookError::Malformed)?.to_owned();
        let object = &event["data"]["object"];
        let named = |name: &str| object["metadata"][name].as_str();
        let about = match object["object"].as_str() {
            Some("payment_intent") => named("payment").and_then(|id| id.parse().ok()).map(About::Payment),
            Some("payout") => named("payout").and_then(|id| id.parse().ok()).map(About::Payout),
            // Its payment is asked for.
            Some("dispute") => Some(About::Dispute),
            _ => None,
        };
        Ok(Notice { id, about: about.zip(object["id"].as_str().map(str::to_owned)) })
    }
}

#[cfg(test)]
mod tests;
