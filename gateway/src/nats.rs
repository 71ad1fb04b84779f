//! Coming to a broker in one of the roles of `nats-roles.conf`, and learning what the broker refuses there.
//!
//! A broker that refuses a publish or a subscription says so beside the answer, which then never comes. So each
//! [`Connection`] listens for refusals, and whoever waits for an answer on it waits with
//! [`Connection::unless_refused`].

pub mod access;
mod log;

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, ConnectErrorKind, Event, ServerError};
use tokio::sync::watch;

pub use self::access::{Access, Certificate};
pub use self::log::{GuardedLog, OpenError};

/// How often somebody who waits for an answer looks whether the connection is there. While it is not, the client tries
/// to come back without a word on why it can't, so it is tried beside it whether the broker still lets in the role.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Whose part a connection plays at the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Decides: reads commands, writes the log.
    Engine,
    /// Sends receipts, and nothing else.
    Receipts,
    /// Brings commands and gets their receipts.
    Gateway,
    /// Reads the log.
    Reader,
}

impl Role {
    /// Gives the role's name, as in `nats-roles.conf`.
    pub fn name(self) -> &'static str {
        match self {
            Role::Engine => "engine",
            Role::Receipts => "receipts",
            Role::Gateway => "gateway",
            Role::Reader => "reader",
        }
    }

    /// Gives the inbox prefix that the role has in `nats-roles.conf`.
    fn inbox(self) -> String {
        format!("_INBOX.{}", self.name())
    }

    /// Tells whether a stranger chose the subject that is refused: then it says nothing about the role.
    fn is_chosen_by_strangers(self, denied: &Denied) -> bool {
        let Denied::Publish(subject) = denied else { return false };
        self == Role::Receipts && subject.starts_with("_INBOX.")
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Who is connected, and where; told in every error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The broker.
    url: String,
    role: Role,
    /// The public half of the nkey, if one is used.
    nkey: Option<String>,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Identity { role, nkey, .. } = self;
        match nkey {
            Some(nkey) => write!(f, "the {role} role's nkey {nkey}"),
            None => write!(f, "the {role} role without an nkey"),
        }
    }
}

/// Why a broker can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// A file that was named can't be read.
    #[error("the file {path} can't be read: name another, or let this user read it")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A file holds no seed. What it holds is not told.
    #[error(
        "{path} holds no seed of a user's nkey, a line that begins with SU: make one with `skylink keys nkey FILE`"
    )]
    NotAnNkey {
        /// The file.
        path: String,
    },
    /// The broker does not know the key.
    #[error(
        "the broker at {} does not let in {who}: give the role's key with {}, and its public half to the broker, see nats-roles.conf",
        who.url, key_option(who.role)
    )]
    NotLetIn {
        /// Who knocked.
        who: Identity,
        /// What the broker says.
        source: async_nats::ConnectError,
    },
    /// There is no TLS with the broker.
    #[error(
        "TLS with the broker at {url} fails: name the CA that signed its certificate with --nats-ca and, if it asks \
         for one, a certificate of your own with --nats-cert and --nats-key"
    )]
    Tls {
        /// The broker.
        url: String,
        /// Why.
        source: async_nats::ConnectError,
    },
    /// Nobody answers.
    #[error("the broker at {url} can't be reached: start it, or correct the URL")]
    Unreachable {
        /// Where it was looked for.
        url: String,
        /// Why.
        source: async_nats::ConnectError,
    },
}

/// The broker refuses what a role needs. Waiting does not help: an operator corrects the key or the role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the broker at {} refuses {who} {denied}: {}", who.url, denied.next(who.role))]
pub struct Refused {
    who: Identity,
    denied: Denied,
}

impl Refused {
    /// Gives what was refused.
    pub fn denied(&self) -> &Denied {
        &self.denied
    }
}

/// What a broker refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denied {
    /// To publish on a subject.
    Publish(String),
    /// To subscribe to a subject.
    Subscribe(String),
    /// To stay: in these words, or in none when it comes back after an interruption.
    Stay(Option<String>),
}

impl Denied {
    /// Understands what a broker complains of; nothing if it refuses nothing.
    fn parse(complaint: &str) -> Option<Denied> {
        let lower = complaint.to_lowercase();
        let subject = || complaint.split('"').nth(1).unwrap_or(complaint).to_owned();
        if lower.contains("permissions violation for publish") {
            Some(Denied::Publish(subject()))
        } else if lower.contains("permissions violation for subscription") {
            Some(Denied::Subscribe(subject()))
        } else if ["authentication", "authorization"].iter().any(|word| lower.contains(word)) {
            Some(Denied::Stay(Some(complaint.to_owned())))
        } else {
            None
        }
    }

    /// Says what the operator does next.
    fn next(&self, role: Role) -> String {
        let key = key_option(role);
        match self {
            Denied::Subscribe(subject) if subject.starts_with("_INBOX.") => {
                let inbox = role.inbox();
                format!(
                    "take the role's key with {key}, and the inbox prefix that the broker gives the role ({inbox} in nats-roles.conf) with --nats-inbox"
                )
            }
            Denied::Publish(_) | Denied::Subscribe(_) => {
                format!(
                    "take the role's own key with {key}, or allow the role the subject, see nats-roles.conf"
                )
            }
            Denied::Stay(_) => format!(
                "give the broker the public half of the key, or take another with {key}, and start again"
            ),
        }
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Denied::Publish(subject) => write!(f, "to publish to `{subject}`"),
            Denied::Subscribe(subject) => write!(f, "to subscribe to `{subject}`"),
            Denied::Stay(Some(words)) => write!(f, "the connection ({words})"),
            Denied::Stay(None) => f.write_str("the connection"),
        }
    }
}

/// Gives the option of the command line that names a role's key.
fn key_option(role: Role) -> &'static str {
    match role {
        Role::Receipts => "--nats-receipts-nkey",
        Role::Engine | Role::Gateway | Role::Reader => "--nats-nkey",
    }
}

/// A connection in a role.
#[derive(Debug, Clone)]
pub struct Connection {
    client: Client,
    who: Identity,
    access: Access,
    /// The first refusal. The sender lives as long as the client tries to stay connected.
    refused: watch::Receiver<Option<Denied>>,
}

impl Connection {
    /// Connects to a broker; its monitoring shows the connection as `skylink <role>`. Several servers of a cluster are
    /// separated by commas.
    pub async fn open(url: &str, role: Role, access: &Access) -> Result<Connection, ConnectError> {
        let (options, nkey) = access.options(role)?;
        let who = Identity { url: url.to_owned(), role, nkey };
        let (told, refused) = watch::channel(None);
        let is_warned = AtomicBool::new(false);
        let options = options.name(format!("skylink {role}")).event_callback(move |event| {
            if let Event::ServerError(error) = event {
                complain(role, &error, &told, &is_warned);
            }
            std::future::ready(())
        });
        let servers: Vec<&str> = url.split(',').collect();
        match options.connect(servers).await {
            Ok(client) => Ok(Connection { client, who, access: access.clone(), refused }),
            Err(source) => Err(match source.kind() {
                ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
                    ConnectError::NotLetIn { who, source }
                }
                _ if is_about_tls(&source) => ConnectError::Tls { url: who.url, source },
                _ => ConnectError::Unreachable { url: who.url, source },
            }),
        }
    }

    /// Gives the client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Waits until the broker refuses something that the role needs.
    pub async fn refused(&self) -> Refused {
        let mut refused = self.refused.clone();
        let denied = loop {
            tokio::select! {
                denied = refused.wait_for(Option::is_some) => match denied {
                    Ok(denied) => break denied.clone(),
                    // The client has given up.
                    Err(_) => break None,
                },
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
            }
            if self.client.connection_state() != State::Connected && !self.is_let_in().await {
                break None;
            }
        };
        Refused { who: self.who.clone(), denied: denied.unwrap_or(Denied::Stay(None)) }
    }

    /// Tells whether the broker lets in the role, as far as is known, by coming once more.
    async fn is_let_in(&self) -> bool {
        let Ok((options, _)) = self.access.options(self.who.role) else { return true };
        let servers: Vec<&str> = self.who.url.split(',').collect();
        let connecting = options.name(format!("skylink {}", self.who.role)).connect(servers);
        // On the heap: connecting is large, and whoever waits for an answer carries it.
        let opened = Box::pin(connecting).await;
        !opened.is_err_and(|error| error.kind() == ConnectErrorKind::AuthorizationViolation)
    }

    /// Does what needs answers of the broker, and stops waiting when it refuses something.
    pub async fn unless_refused<T>(&self, work: impl Future<Output = T>) -> Result<T, Refused> {
        tokio::select! {
            biased;
            done = work => Ok(done),
            refused = self.refused() => Err(refused),
        }
    }
}

/// Takes note of a complaint of the broker.
fn complain(role: Role, error: &ServerError, told: &watch::Sender<Option<Denied>>, is_warned: &AtomicBool) {
    let denied = match error {
        ServerError::AuthorizationViolation => Some(Denied::Stay(Some("authorization violation".to_owned()))),
        ServerError::SlowConsumer(_) => None,
        ServerError::Other(words) => Denied::parse(words),
    };
    match denied {
        Some(denied) if role.is_chosen_by_strangers(&denied) => {
            // Once, since each stranger can name such an inbox with each command.
            if !is_warned.swap(true, Ordering::Relaxed) {
                tracing::warn!(%role, %denied, "a receipt can't go where its sender wants it; later ones are not told");
            }
        }
        Some(denied) => {
            told.send_if_modified(|first| first.is_none() && first.replace(denied).is_none());
        }
        None => tracing::warn!(%role, %error, "the broker complains"),
    }
}

/// Tells whether rustls is somewhere among the causes.
fn is_about_tls(error: &async_nats::ConnectError) -> bool {
    type Cause<'a> = &'a (dyn std::error::Error + 'static);
    if error.kind() == ConnectErrorKind::Tls {
        return true;
    }
    let mut causes = std::iter::successors(Some(error as Cause<'_>), |cause| cause.source());
    causes.any(|cause| {
        // An I/O error has its inner error's cause for a cause, and not the inner error.
        let inner = cause.downcast_ref::<std::io::Error>().and_then(|error| error.get_ref());
        cause.is::<rustls::Error>() || inner.is_some_and(|inner| inner.is::<rustls::Error>())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denied(complaint: &str) -> Option<Denied> {
        Denied::parse(complaint)
    }

    #[test]
    fn a_refusal_is_told_from_other_complaints() {
        let publish = denied(r#"Permissions Violation for Publish to "evt.main.Order""#);
        assert_eq!(publish, Some(Denied::Publish("evt.main.Order".to_owned())));
        let subscribe = denied(r#"Permissions Violation for Subscription to "_INBOX.a.*""#);
        assert_eq!(subscribe, Some(Denied::Subscribe("_INBOX.a.*".to_owned())));
        let revoked = "User Authentication Revoked";
        assert_eq!(denied(revoked), Some(Denied::Stay(Some(revoked.to_owned()))));
        assert_eq!(denied("Stale Connection"), None);
    }

    #[test]
    fn an_inbox_that_a_stranger_chose_says_nothing_about_the_role() {
        let inbox = Denied::Publish("_INBOX.somewhere".to_owned());
        assert!(Role::Receipts.is_chosen_by_strangers(&inbox));
        assert!(!Role::Engine.is_chosen_by_strangers(&inbox));
        assert!(!Role::Receipts.is_chosen_by_strangers(&Denied::Publish("rcpt.main.a".to_owned())));
    }

    #[test]
    fn a_refusal_says_who_lacks_what_and_what_to_do() {
        let who =
            Identity { url: "nats://n1:4222".to_owned(), role: Role::Reader, nkey: Some("UABC".to_owned()) };
        let refused = Refused { who, denied: Denied::Publish("cmd.main.order.place".to_owned()) };
        assert_eq!(
            refused.to_string(),
            "the broker at nats://n1:4222 refuses the reader role's nkey UABC to publish to `cmd.main.order.place`: take the role's own key with --nats-nkey, or allow the role the subject, see nats-roles.conf"
        );
    }
}
