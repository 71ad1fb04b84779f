//! Refusals before the market's rules: they consume nothing and leave no event, since anyone could cause them.

use std::borrow::Cow;

use events::ids::AuthenticatorId;
use events::step_up::{CredentialId, Domain, FactorKind};
use events::{Hash, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a request was not even taken as a command. [`Refusal::code`] gives the stable name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Refusal {
    /// The request is larger than a command may be.
    #[error("a command may have {max} bytes, this one has {size}")]
    TooLarge {
        /// Bytes of the request.
        size: usize,
        /// The limit.
        max: usize,
    },
    /// There is no signature.
    #[error("the command is not signed: send a compact JWS, or JSON with a `signature`")]
    SigMissing,
    /// The envelope is not of the form that can be checked.
    #[error("the envelope can't be read: {rule}")]
    SigMalformed {
        /// The rule it breaks.
        rule: String,
    },
    /// No such key is registered.
    #[error("the key is not registered in this market: register the device first")]
    KidUnknown,
    /// The key was revoked.
    #[error("the key was revoked")]
    KidRevoked,
    /// The header names another algorithm than the key was registered with.
    #[error("the header's `alg` is not the one the key was registered with")]
    AlgMismatch,
    /// The signature is not that of the key over these bytes.
    #[error("the signature is wrong")]
    SigInvalid,
    /// The command is meant for another market.
    #[error("the command is for another market")]
    AudMismatch,
    /// There is no such command, or it arrived where another belongs.
    #[error("there is no command `{name}` here")]
    CmdUnknown {
        /// The name, shortened.
        name: String,
    },
    /// The body is not that of the command.
    #[error("the body is not valid: {rule}")]
    BodyInvalid {
        /// What is wrong, with the place.
        rule: String,
    },
    /// The command is too old.
    #[error("the command is too old (the server's time is {server_time}): sign it again with the same cid")]
    Stale {
        /// The server's time.
        server_time: Timestamp,
    },
    /// The command, or its id, is dated in the future.
    #[error("the command is dated in the future (the server's time is {server_time}): set the clock")]
    FromFuture {
        /// The server's time.
        server_time: Timestamp,
    },
    /// The nonce was used before.
    #[error("the nonce was used before: sign again with a new one")]
    NonceReused,
    /// The sequence number was used before.
    #[error("the sequence number was used before: sign again with a higher one than {high}")]
    SeqReplayed {
        /// The highest number used.
        high: u64,
    },
    /// The sequence number is behind the window.
    #[error("the sequence number is too old: sign again with a higher one than {high}")]
    SeqTooOld {
        /// The highest number used.
        high: u64,
    },
    /// The sequence number jumps too far.
    #[error("the sequence number jumps too far beyond {high}")]
    SeqJump {
        /// The highest number used.
        high: u64,
    },
    /// The key is not that of the account and device, or the account's roles don't allow the command.
    #[error("this key may not give this command: {rule}")]
    ScopeDenied {
        /// The rule it breaks.
        rule: Cow<'static, str>,
    },
    /// An operator has suspended the account.
    #[error(
        "the account is suspended: ask the market's operators; what it asked for before goes on, its queries are answered, and \
         its devices can be reported lost"
    )]
    AccountSuspended,
    /// The command needs a second factor, and none was shown, or none that is good for it.
    #[error("a second factor is needed ({rule}): {problem}")]
    MfaRequired {
        /// What a passkey is to sign: SHA-256 of the signed bytes, in base64url.
        challenge: Box<str>,
        /// The account's passkeys.
        credentials: Box<[CredentialId]>,
        /// Of which kinds the account has some.
        #[serde(flatten)]
        has: Box<HasFactors>,
        /// What is missing, or wrong with what was shown.
        problem: Box<str>,
        /// The domain that passkeys are made for; null: the market has not said.
        relying_party: Option<Domain>,
        /// Why one is needed.
        rule: Box<str>,
    },
    /// Too many wrong codes were shown for the account.
    #[error(
        "too many wrong codes were shown: codes are taken again at {until}; a passkey is taken meanwhile"
    )]
    MfaLocked {
        /// From when on codes are looked at again.
        until: Timestamp,
    },
    /// The command id was used for another wish.
    #[error("this command id was used before for something else: use a new one")]
    CommandConflict,
    /// The account was erased.
    #[error("the account was erased: nothing is done for it any more")]
    Erased,
    /// The command names a personal value that did not come beside it and is not stored yet.
    #[error(
        "the value with hash {hash} did not come beside the command: send the same command again with it in `Skylink-Personal`"
    )]
    PersonalMissing {
        /// By what the command names it.
        hash: Hash,
    },
    /// What came beside the command is not what it names, or not of the form that it must have.
    #[error("what came in `Skylink-Personal` is not valid: {rule}")]
    PersonalInvalid {
        /// What is wrong.
        rule: String,
    },
    /// Personal values are needed, or came, where a broker carries the command and might keep them.
    #[error(
        "what is personal is taken over HTTP only, since a broker may keep what it carries: send the same command to the market's \
         gateway, to `/v1/commands`, with the values in `Skylink-Personal`"
    )]
    PersonalOverHttp,
    /// The key has given more commands than it may in this time.
    #[error(
        "this key has given more commands than it may in this time; nothing was decided: send the same again in {retry_after_s} s"
    )]
    RateLimited {
        /// When to come again, in seconds.
        retry_after_s: u64,
    },
    /// The engine has as much work as it takes.
    #[error("the market is busy: send the same command again after a moment")]
    Busy,
}

/// Which second factors an account has, its passkeys aside.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct HasFactors {
    /// The app whose codes the account has; null: none.
    pub app: Option<AuthenticatorId>,
    /// Which kinds of second factors the account has; none: enroll one first, with `step_up.enroll_passkey`, say.
    pub factors: Vec<FactorKind>,
}

impl Refusal {
    /// Gives the stable name of the refusal.
    pub const fn code(&self) -> &'static str {
        match self {
            Refusal::TooLarge { .. } => "too_large",
            Refusal::SigMissing => "sig_missing",
            Refusal::SigMalformed { .. } => "sig_malformed",
            Refusal::KidUnknown => "kid_unknown",
            Refusal::KidRevoked => "kid_revoked",
            Refusal::AlgMismatch => "alg_mismatch",
            Refusal::SigInvalid => "sig_invalid",
            Refusal::AudMismatch => "aud_mismatch",
            Refusal::CmdUnknown { .. } => "cmd_unknown",
            Refusal::BodyInvalid { .. } => "body_invalid",
            Refusal::Stale { .. } => "stale",
            Refusal::FromFuture { .. } => "from_future",
            Refusal::NonceReused => "nonce_reused",
            Refusal::SeqReplayed { .. } => "seq_replayed",
            Refusal::SeqTooOld { .. } => "seq_too_old",
            Refusal::SeqJump { .. } => "seq_jump",
            Refusal::ScopeDenied { .. } => "scope_denied",
            Refusal::AccountSuspended => "account_suspended",
            Refusal::MfaRequired { .. } => "mfa_required",
            Refusal::MfaLocked { .. } => "mfa_locked",
            Refusal::CommandConflict => "command_conflict",
            Refusal::Erased => "erased",
            Refusal::PersonalMissing { .. } => "personal_missing",
            Refusal::PersonalInvalid { .. } => "personal_invalid",
            Refusal::PersonalOverHttp => "personal_over_http",
            Refusal::RateLimited { .. } => "rate_limited",
            Refusal::Busy => "busy",
        }
    }
}
