//! How a person's browser signs in: who has an operator's key gets a code for it, which is good once and for a moment, and the
//! browser that brings the code gets a cookie. Codes and cookies are known only to the process that gave them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use events::Hash;
use events::ids::MarketName;
use tokio::time::Instant;

use crate::http::App;
use crate::problem::Problem;
use crate::token::{Caller, Holder};

/// How long a code may be used.
pub const CODE_TIME_MAX: Duration = Duration::from_secs(120);
/// Most codes that wait to be used; one more makes the oldest void.
pub const CODES_MAX: usize = 64;
/// How long a browser stays signed in.
pub const SESSION_TIME_MAX: Duration = Duration::from_secs(12 * 3600);
/// Most browsers that are signed in; one more signs out the one that has been for longest.
pub const SESSIONS_MAX: usize = 256;
/// Longest code or cookie that is looked at, in bytes.
const SECRET_BYTES_MAX: usize = 64;
/// Random bytes of a code and of a cookie: nobody guesses them.
const SECRET_BYTES: usize = 24;

/// What was given out: the holders by the hashes of their secrets, each until some moment.
struct Given {
    holders: Mutex<HashMap<Hash, (Instant, Holder)>>,
    time_max: Duration,
    most: usize,
}

impl Given {
    fn new(time_max: Duration, most: usize) -> Self {
        Given { holders: Mutex::default(), time_max, most }
    }

    fn give(&self, holder: Holder) -> String {
        let mut secret = [0; SECRET_BYTES];
        SystemRandom::new().fill(&mut secret).expect("the operating system gives random bytes");
        let secret = URL_SAFE_NO_PAD.encode(secret);
        let now = Instant::now();
        let mut holders = self.lock();
        holders.retain(|_, (until, _)| now < *until);
        if holders.len() >= self.most
            && let Some(oldest) =
                holders.iter().min_by_key(|(_, (until, _))| *until).map(|(secret, _)| *secret)
        {
            holders.remove(&oldest);
        }
        holders.insert(Hash::of(secret.as_bytes()), (now + self.time_max, holder));
        secret
    }

    fn find(&self, secret: &str) -> Option<Holder> {
        let (until, holder) = *self.lock().get(&hash_of(secret)?)?;
        (Instant::now() < until).then_some(holder)
    }

    fn take(&self, secret: &str) -> Option<Holder> {
        let (until, holder) = self.lock().remove(&hash_of(secret)?)?;
        (Instant::now() < until).then_some(holder)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Hash, (Instant, Holder)>> {
        // Nothing panics between two changes that belong together.
        self.holders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn hash_of(secret: &str) -> Option<Hash> {
    (secret.len() <= SECRET_BYTES_MAX).then(|| Hash::of(secret.as_bytes()))
}

/// The codes and cookies of one process.
pub(crate) struct Sessions {
    codes: Given,
    cookies: Given,
    /// The cookie's name. Cookies don't keep ports apart, so markets on one machine need names of their own.
    name: String,
}

impl Sessions {
    pub(crate) fn new(market: &MarketName) -> Self {
        Sessions {
            codes: Given::new(CODE_TIME_MAX, CODES_MAX),
            cookies: Given::new(SESSION_TIME_MAX, SESSIONS_MAX),
            name: format!("skylink_{market}"),
        }
    }

    /// Gives a code that signs in its holder once.
    pub(super) fn code(&self, holder: Holder) -> String {
        self.codes.give(holder)
    }

    /// Tells who brings a code, which then is used up.
    pub(super) fn use_code(&self, code: &str) -> Option<Holder> {
        self.codes.take(code)
    }

    /// Signs a browser in, and gives what it is told to keep.
    pub(super) fn sign_in(&self, holder: Holder, is_behind_tls: bool) -> String {
        let secret = self.cookies.give(holder);
        self.cookie(&secret, SESSION_TIME_MAX, is_behind_tls)
    }

    /// Signs a browser out, and gives what it is told to forget.
    pub(super) fn sign_out(&self, headers: &HeaderMap, is_behind_tls: bool) -> String {
        if let Some(secret) = self.secret(headers) {
            self.cookies.take(secret);
        }
        self.cookie("", Duration::ZERO, is_behind_tls)
    }

    /// Scripts don't get at it, and other sites don't have it sent.
    fn cookie(&self, secret: &str, age: Duration, is_behind_tls: bool) -> String {
        let (name, age_s) = (&self.name, age.as_secs());
        let secure = if is_behind_tls { "; Secure" } else { "" };
        format!("{name}={secret}; Path=/; Max-Age={age_s}; HttpOnly; SameSite=Strict{secure}")
    }

    fn secret<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.split_once('='));
        let mut own = pairs.filter(|(name, _)| name.trim() == self.name);
        own.next().map(|(_, secret)| secret.trim())
    }

    fn holder(&self, headers: &HeaderMap) -> Option<Holder> {
        self.cookies.find(self.secret(headers)?)
    }
}

/// Who looks at a page.
pub(crate) enum Visitor {
    /// An operator, now: whoever was one when he signed in and is none any more, is nobody.
    Operator(Caller),
    /// Anybody.
    Anybody,
}

impl FromRequestParts<Arc<App>> for Visitor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Visitor, Problem> {
        Visitor::of(app, &parts.headers)
    }
}

impl Visitor {
    /// Tells who sends a request with these headers.
    pub(super) fn of(app: &App, headers: &HeaderMap) -> Result<Visitor, Problem> {
        let Some(holder) = app.sessions.holder(headers) else { return Ok(Visitor::Anybody) };
        // As of a token, what counts is the log's word of today.
        let Some(caller) = holder.caller(app)?.filter(Caller::is_operator) else {
            return Ok(Visitor::Anybody);
        };
        let known = app.gateway.projections.accounts().account(caller.account)?;
        let is_suspended = known.is_none_or(|known| known.suspended.is_some());
        Ok(if is_suspended { Visitor::Anybody } else { Visitor::Operator(caller) })
    }
}

/// Tells whether a request was sent by a page of this gateway or by no page at all. Browsers say by which; programs say nothing,
/// and have no cookies that another page could make them send.
pub(super) fn is_of_this_site(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text("sec-fetch-site") {
        return matches!(site, "same-origin" | "none");
    }
    match (text("origin"), text("host")) {
        (None, _) => true,
        (Some(origin), Some(host)) => origin.split_once("://").is_some_and(|(_, of)| of == host),
        (Some(_), None) => false,
    }
}

#[cfg(test)]
mod tests {
    use events::ids::{AccountId, DeviceId, KeyId};
    use uuid::Uuid;

    use super::*;

    fn holder(n: u128) -> Holder {
        Holder {
            account: AccountId::from_uuid(Uuid::from_u128(n)),
            device: DeviceId::from_uuid(Uuid::from_u128(n)),
            key: KeyId([1; 32]),
        }
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_code_is_good_once_and_for_a_moment() {
        let sessions = Sessions::new(&"main".parse().unwrap());
        let code = sessions.code(holder(1));
        assert_eq!(sessions.use_code("none"), None);
        assert_eq!(sessions.use_code(&"x".repeat(SECRET_BYTES_MAX + 1)), None);
        assert_eq!(sessions.use_code(&code), Some(holder(1)));
        assert_eq!(sessions.use_code(&code), None, "it was used");
        let late = sessions.code(holder(1));
        tokio::time::advance(CODE_TIME_MAX).await;
        assert_eq!(sessions.use_code(&late), None);
    }

    #[tokio::test(start_paused = true)]
    async fn only_so_many_wait_and_the_oldest_goes_first() {
        let sessions = Sessions::new(&"main".parse().unwrap());
        let first = sessions.code(holder(0));
        tokio::time::advance(Duration::from_secs(1)).await;
        let others: Vec<String> = (1..=CODES_MAX as u128).map(|n| sessions.code(holder(n))).collect();
        assert_eq!(sessions.use_code(&first), None);
        for (n, code) in others.iter().enumerate() {
            assert_eq!(sessions.use_code(code), Some(holder(n as u128 + 1)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_browser_is_known_by_its_cookie_until_it_signs_out_or_the_night_is_over() {
        let sessions = Sessions::new(&"main".parse().unwrap());
        let cookie = sessions.sign_in(holder(1), true);
        for word in ["HttpOnly", "SameSite=Strict", "Secure", "Path=/", "Max-Age=43200"] {
            assert!(cookie.split("; ").any(|part| part == word), "{cookie}");
        }
        let pair = cookie.split(';').next().unwrap();
        let sent = headers(&[("cookie", &format!("other=1; {pair}"))]);
        assert_eq!(sessions.holder(&sent), Some(holder(1)));
        let elsewhere = Sessions::new(&"other".parse().unwrap());
        assert_eq!(elsewhere.holder(&sent), None);
        assert!(sessions.sign_out(&sent, false).contains("Max-Age=0"));
        assert_eq!(sessions.holder(&sent), None);

        let cookie = sessions.sign_in(holder(2), false);
        assert!(!cookie.contains("Secure"));
        let sent = headers(&[("cookie", cookie.split(';').next().unwrap())]);
        tokio::time::advance(SESSION_TIME_MAX).await;
        assert_eq!(sessions.holder(&sent), None);
    }

    #[test]
    fn what_another_site_sends_is_known_for_that() {
        for (sent, expected) in [
            (headers(&[]), true),
            (headers(&[("sec-fetch-site", "same-origin")]), true),
            (headers(&[("sec-fetch-site", "none")]), true),
            (headers(&[("sec-fetch-site", "same-site")]), false),
            (headers(&[("sec-fetch-site", "cross-site")]), false),
            (headers(&[("host", "a:1"), ("origin", "http://a:1")]), true),
            (headers(&[("host", "a:1"), ("origin", "http://a:2")]), false),
            (headers(&[("host", "a:1"), ("origin", "null")]), false),
            (headers(&[("origin", "http://a:1")]), false),
        ] {
            assert_eq!(is_of_this_site(&sent), expected, "{sent:?}");
        }
    }
}
