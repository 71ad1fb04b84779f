//! Webhooks, as far as the market knows them: whose they are, where to, and what they are told of. Who sends the messages is no part of
//! it; that tells now and then how far it is.

use std::collections::{BTreeMap, BTreeSet};

use events::account::Role;
use events::ids::{AccountId, WebhookId};
use events::rejection::WebhookRejection;
use events::webhook::{
    Disabled, EventFilter, LetterDropped, LetterReplaced, Reached, Registered, Removed, Replaced,
    SecretRotated, Updated, WebhookUrl,
};
use events::{Event, Hash, Position, Rejection, Timestamp};
use serde::{Deserialize, Serialize};

use crate::command::{
    DropLetter, RegisterWebhook, RemoveWebhook, ReplaceLetter, ReportWebhook, RotateWebhookSecret,
    UpdateWebhook,
};
use crate::market::Market;

/// Most webhooks of one account.
pub const PER_ACCOUNT_MAX: usize = 8;
/// Most webhooks of a market; operators may have theirs beyond that.
pub const PER_MARKET_MAX: usize = 256;

/// A webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// Whose it is.
    pub account: AccountId,
    /// Whether it is told of anything.
    pub on: bool,
    /// How far it has been told, as was noted last.
    pub reached: Position,
    /// The hash of the secret before the present one, as long as it is stored.
    pub replaced: Option<Hash>,
    /// The hash of the secret.
    pub secret: Hash,
    /// What it is told of.
    pub types: BTreeSet<EventFilter>,
    /// Where to.
    pub url: WebhookUrl,
}

/// The webhooks of a market.
pub type Webhooks = BTreeMap<WebhookId, Webhook>;

impl Market {
    pub(crate) fn webhook_registered(&mut self, event: &Registered, position: Position) {
        let Registered { account, secret, types, url, webhook } = event.clone();
        let new = Webhook { account, on: true, reached: position, replaced: None, secret, types, url };
        self.webhooks.insert(webhook, new);
    }

    pub(crate) fn webhook_updated(&mut self, event: &Updated) {
        let webhook = self.known_webhook(event.webhook);
        webhook.on = event.on;
        webhook.types.clone_from(&event.types);
        webhook.url.clone_from(&event.url);
    }

    pub(crate) fn webhook_secret_rotated(&mut self, event: &SecretRotated) {
        let webhook = self.known_webhook(event.webhook);
        webhook.secret = event.secret;
        webhook.replaced = event.replaced.map(|replaced| replaced.secret);
    }

    pub(crate) fn webhook_removed(&mut self, event: &Removed) {
        self.webhooks.remove(&event.webhook);
    }

    pub(crate) fn webhook_reached(&mut self, event: &Reached) {
        self.known_webhook(event.webhook).reached = event.position;
    }

    pub(crate) fn webhook_disabled(&mut self, event: &Disabled) {
        let webhook = self.known_webhook(event.webhook);
        (webhook.on, webhook.reached) = (false, event.position);
    }

    /// Ends the webhooks of an account that is erased; so are its secrets.
    pub(crate) fn end_webhooks_of(&mut self, account: AccountId) {
        self.webhooks.retain(|_, webhook| webhook.account != account);
    }

    fn known_webhook(&mut self, id: WebhookId) -> &mut Webhook {
        self.webhooks.get_mut(&id).expect("only a webhook that was registered is changed")
    }

    fn webhook_of(&self, account: AccountId, id: WebhookId) -> Result<&Webhook, Vec<Rejection>> {
        let found = self.webhooks.get(&id).filter(|webhook| webhook.account == account);
        found.ok_or_else(|| vec![WebhookRejection::WebhookUnknown { webhook: id }.into()])
    }
}

pub(crate) fn decide_register(
    market: &Market,
    account: AccountId,
    command: &RegisterWebhook,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let RegisterWebhook { secret, types, url, webhook } = command;
    let refused = |rejection: WebhookRejection| Err(vec![rejection.into()]);
    if market.webhooks.contains_key(webhook) {
        return refused(WebhookRejection::WebhookTaken { webhook: *webhook });
    }
    if market.webhooks.values().filter(|known| known.account == account).count() >= PER_ACCOUNT_MAX {
        return refused(WebhookRejection::TooManyWebhooks { max: PER_ACCOUNT_MAX });
    }
    if market.webhooks.len() >= PER_MARKET_MAX && !market.accounts.has_role(account, Role::Operator) {
        return refused(WebhookRejection::TooManyWebhooks { max: PER_MARKET_MAX });
    }
    let (types, url) = (types.get().clone(), url.clone());
    Ok(vec![Registered { account, secret: *secret, types, url, webhook: *webhook }.into()])
}

pub(crate) fn decide_update(
    market: &Market,
    account: AccountId,
    command: &UpdateWebhook,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let UpdateWebhook { on, types, url, webhook: id } = command;
    let webhook = market.webhook_of(account, *id)?;
    let on = on.unwrap_or(webhook.on);
    let types = types.as_ref().map_or(&webhook.types, |types| types.get());
    let url = url.as_ref().unwrap_or(&webhook.url);
    if (on, types, url) == (webhook.on, &webhook.types, &webhook.url) {
        return Ok(vec![]);
    }
    Ok(vec![Updated { account, on, types: types.clone(), url: url.clone(), webhook: *id }.into()])
}

pub(crate) fn decide_rotate(
    market: &Market,
    account: AccountId,
    command: &RotateWebhookSecret,
    now: Timestamp,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let RotateWebhookSecret { keep_ms, secret, webhook: id } = *command;
    let webhook = market.webhook_of(account, id)?;
    if webhook.secret == secret {
        return Ok(vec![]);
    }
    let keeps = keep_ms.ms() > 0;
    let replaced = keeps.then(|| Replaced { secret: webhook.secret, until: now.plus_ms(keep_ms.ms()) });
    let before = webhook.replaced.into_iter().chain((!keeps).then_some(webhook.secret));
    // Whoever goes back to the one before goes on with it.
    let dropped = before.filter(|one| *one != secret).collect();
    Ok(vec![SecretRotated { account, dropped, replaced, secret, webhook: id }.into()])
}

pub(crate) fn decide_remove(
    market: &Market,
    account: AccountId,
    command: &RemoveWebhook,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let id = command.webhook;
    let webhook = market.webhook_of(account, id)?;
    let secrets = webhook.replaced.into_iter().chain([webhook.secret]).collect();
    Ok(vec![Removed { account, secrets, webhook: id }.into()])
}

pub(crate) fn decide_report(market: &Market, command: &ReportWebhook) -> Result<Vec<Event>, Vec<Rejection>> {
    let ReportWebhook { disabled, position, webhook: id } = *command;
    let Some(webhook) = market.webhooks.get(&id) else {
        return Err(vec![WebhookRejection::WebhookUnknown { webhook: id }.into()]);
    };
    let account = webhook.account;
    // What is told late, after its owner has switched it off, or by a process that was replaced, changes nothing.
    let position = position.max(webhook.reached);
    Ok(match disabled {
        Some(because) if webhook.on => vec![Disabled { account, because, position, webhook: id }.into()],
        None if position > webhook.reached => vec![Reached { account, position, webhook: id }.into()],
        Some(_) | None => vec![],
    })
}

pub(crate) fn decide_replace_letter(
    market: &Market,
    account: AccountId,
    command: &ReplaceLetter,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let ReplaceLetter { data, position, webhook } = command;
    let owner = owner_of_letter(market, account, *webhook, *position)?;
    let data = data.as_str().to_owned();
    Ok(vec![LetterReplaced { account: owner, data, position: *position, webhook: *webhook }.into()])
}

pub(crate) fn decide_drop_letter(
    market: &Market,
    account: AccountId,
    command: &DropLetter,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let DropLetter { position, webhook } = *command;
    let owner = owner_of_letter(market, account, webhook, position)?;
    Ok(vec![LetterDropped { account: owner, position, webhook }.into()])
}

/// Gives whose a webhook is, if an account may say what is sent to it in place of an event. Which events wait as letters only the
/// sender knows; so it may be said of any event there is, and counts whenever that is told.
fn owner_of_letter(
    market: &Market,
    account: AccountId,
    id: WebhookId,
    position: Position,
) -> Result<AccountId, Vec<Rejection>> {
    let is_operator = market.accounts.has_role(account, Role::Operator);
    let found = market.webhooks.get(&id).filter(|webhook| is_operator || webhook.account == account);
    let webhook = found.ok_or_else(|| vec![WebhookRejection::WebhookUnknown { webhook: id }.into()])?;
    if !(1..=market.position).contains(&position) {
        return Err(vec![WebhookRejection::LetterUnknown { position }.into()]);
    }
    Ok(webhook.account)
}
