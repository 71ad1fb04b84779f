//! Webhooks and devices that are told: what their owners do with them, and what those who send report.

use std::collections::BTreeSet;

use commands::Command;
use commands::command::{
    DropLetter, DropPush, KeepTime, RegisterWebhook, RemoveWebhook, ReplaceLetter, ReportPush, ReportWebhook,
    RotateWebhookSecret, SetPushPreferences, SubscribePush, UnsubscribePush, UpdateWebhook,
};
use events::Hash;
use events::ids::{PushSubscriptionId, WebhookId};
use events::push::{Channel, Topic};
use events::webhook::{DisabledBecause, EventFilter};
use proptest::prelude::*;
use uuid::Uuid;

use super::Run;
use crate::support::*;

/// Who has webhooks.
const OWNERS: [Actor; 3] = [SELLER, OTHER_SELLER, OPERATOR];

/// Something happens to a webhook: whose, which one, what, and how often something was said before.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TellStep {
    owner: usize,
    n: u128,
    what: u8,
    salt: u8,
}

pub(crate) fn telling() -> impl Strategy<Value = TellStep> {
    let drawn = (0..OWNERS.len(), 0..4u128, 0..16u8, any::<u8>());
    drawn.prop_map(|(owner, n, what, salt)| TellStep { owner, n, what, salt })
}

impl Run {
    pub(crate) fn tell(&mut self, step: TellStep) {
        let TellStep { owner, n, what, salt } = step;
        let webhook = WebhookId::from_uuid(Uuid::from_u128(0x3eb_0000 + n));
        let (secret, position) = (Hash::of(&[salt % 4]), self.world.market.position);
        let filters = |text: &str| BTreeSet::<EventFilter>::from([text.parse().unwrap()]).try_into().unwrap();
        let owner = OWNERS[owner];
        let subscription = PushSubscriptionId::from_uuid(Uuid::from_u128(n));
        let (actor, command): (Actor, Command) = match what {
            0 | 1 => {
                let (types, url) = (filters("order.*"), "https://shop.example".parse().unwrap());
                (owner, RegisterWebhook { secret, types, url, webhook }.into())
            }
            2 => (owner, UpdateWebhook { on: Some(salt % 3 > 0), types: None, url: None, webhook }.into()),
            3 => (owner, UpdateWebhook { on: None, types: Some(filters("*")), url: None, webhook }.into()),
            4 => {
                let keep_ms = KeepTime::try_from(i64::from(salt % 2) * DAY_MS).unwrap();
                (owner, RotateWebhookSecret { keep_ms, secret, webhook }.into())
            }
            5 => (REGISTRAR, ReportWebhook { disabled: None, position, webhook }.into()),
            6 => {
                let because = if salt % 2 == 0 { DisabledBecause::Failing } else { DisabledBecause::Gone };
                (REGISTRAR, ReportWebhook { disabled: Some(because), position, webhook }.into())
            }
            7 => (owner, RemoveWebhook { webhook }.into()),
            8 | 9 => (owner, SubscribePush { channel: Channel::Web, subscription, target: secret }.into()),
            10 => (owner, UnsubscribePush { subscription }.into()),
            11 => (REGISTRAR, DropPush { account: owner.account(), subscription }.into()),
            12 => (REGISTRAR, ReportPush { position }.into()),
            13 => {
                let data = "{}".to_owned().try_into().unwrap();
                (owner, ReplaceLetter { data, position, webhook }.into())
            }
            14 => (owner, DropLetter { position: position + u64::from(salt % 2), webhook }.into()),
            _ => (owner, SetPushPreferences { muted: [Topic::Returns].into(), quiet: None }.into()),
        };
        self.ask(actor, command);
    }
}
