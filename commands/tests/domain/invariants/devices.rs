//! Devices, passkeys and the market's own keys: what is drawn at random of their lives. The devices that people act with in the other steps stay.

use commands::Command;
use commands::command::{
    AttestDevice, Delivery, EndSession, EnrollDevice, EnrollPasskey, EnrollRecovery, EnrollTotp,
    EraseAccount, PlaceOrder, ReinstateAccount, RemovePasskey, RemovePassword, RemoveRecovery, RemoveTotp,
    RenameDevice, ReportLost, ReportSignInFailed, RetireMarketKey, RotateDevice, RotateMarketKey,
    SealedAddress, SetEncryptionKey, SetPassword, SetProfile, SetStepUpTerms, StartSession, SuspendAccount,
};
use commands::crypto::SigningKey;
use commands::market_key::Announcement;
use commands::step_up::{STEP_MS, settle};
use events::Hash;
use events::account::Algorithm;
use events::device::AttestationVerdict;
use events::ids::{AuthenticatorId, PasswordId, SessionId};
use events::privacy::{EncryptionKey, ProfileField};
use events::step_up::{CredentialId, RecoveryShown, StepUp, StepUpRule, StepUpTerms, TotpShown};
use proptest::prelude::*;

use super::Run;
use super::steps::*;
use crate::support::*;

/// Second devices of each buyer.
const SECOND_DEVICES: u32 = 4;

/// What happens to which second device of which buyer, and a number that makes keys different.
pub(crate) type DeviceStep = (usize, u32, u8, u32);

fn encryption_key(n: u32) -> EncryptionKey {
    let letter = char::from(b'B' + u8::try_from(n).unwrap());
    format!("{letter}{}", "A".repeat(42)).parse().unwrap()
}

pub(crate) fn tending() -> impl Strategy<Value = DeviceStep> {
    (0..BUYERS.len(), 0..SECOND_DEVICES, 0u8..18, 0u32..8)
}

impl Run {
    pub(crate) fn tend(&mut self, (buyer, device, kind, n): DeviceStep) {
        let owner = BUYERS[buyer];
        let second = Actor(50_000 + 100 * buyer as u32 + device);
        let key = Actor(60_000 + 1_000 * buyer as u32 + 10 * device + n).key();
        let credential: CredentialId = format!("{:021}A", 10 * buyer as u32 + n % 2).parse().unwrap();
        match kind {
            0 | 1 => {
                let proof = String::new();
                let enroll = EnrollDevice { device: second.device(), key, name: None, proof, scope: None };
                self.ask(owner, enroll.into());
            }
            2 => self.ask(owner, RenameDevice { device: second.device(), name: text("Tablet") }.into()),
            3 => self.ask_on(owner, second, RotateDevice { key, proof: String::new() }.into()),
            4 => self.ask(owner, ReportLost { device: second.device() }.into()),
            5 => {
                let attest = AttestDevice {
                    account: owner.account(),
                    device: second.device(),
                    evidence: Hash::of(b"a statement"),
                    fingerprint: Some(Hash::of(b"a tablet")),
                    format: text("packed"),
                    verdict: AttestationVerdict::Unknown,
                };
                self.ask(REGISTRAR, attest.into());
            }
            6 => {
                let rename = StepUpRule {
                    above_minor: [].into(),
                    commands: ["device.rename".parse().unwrap()].into(),
                    device_younger_than_ms: i64::from(n) * 10_000,
                };
                let terms = StepUpTerms {
                    origins: ["https://market.example".parse().unwrap()].into(),
                    relying_party: "market.example".parse().unwrap(),
                    rules: if n < 2 { vec![rename] } else { Vec::new() },
                };
                self.ask(OPERATOR, SetStepUpTerms { terms }.into());
            }
            7 => self.rotate_market_key(n),
            13 => {
                let hash = (n > 0).then(|| Hash::of(&n.to_le_bytes()));
                self.ask(owner, SetProfile { fields: [(ProfileField::Email, hash)].into() }.into());
            }
            14 => self.erase(owner, n),
            8 => {
                // The one before the present one, or, wrongly, that one.
                let nth = usize::from(n % 4 != 3);
                let key = self.world.market.keys.live().nth(nth).map(|known| known.key.id());
                if let Some(key) = key {
                    self.ask(OPERATOR, RetireMarketKey { key }.into());
                }
            }
            // Mostly for a moment, so that what else happens meets him sometimes only.
            9 => {
                let (account, reason) = (owner.account(), || text("complaints"));
                self.ask(OPERATOR, SuspendAccount { account, reason: reason() }.into());
                self.ask(owner, RenameDevice { device: second.device(), name: text("Tablet") }.into());
                if n != 0 {
                    self.ask(OPERATOR, ReinstateAccount { account, reason: reason() }.into());
                }
            }
            10 => {
                let (account, reason) = (owner.account(), text("it is settled"));
                self.ask(OPERATOR, ReinstateAccount { account, reason }.into());
            }
            11 | 12 => self.show_codes(owner, n),
            15 => self.sign_in(owner, n),
            16 => self.buy_to_an_address(owner, n),
            _ => {
                let known = self.world.market.accounts.get(owner.account());
                match known.and_then(|known| known.passkeys.keys().next().cloned()) {
                    Some(credential) => {
                        let account = Some(owner.account());
                        self.ask(REGISTRAR, RemovePasskey { account, credential }.into());
                    }
                    None => self.ask(owner, EnrollPasskey { credential, key }.into()),
                }
            }
        }
    }

    /// Buys something with an address that its seller can read, or, wrongly, somebody else.
    fn buy_to_an_address(&mut self, owner: Actor, n: u32) {
        let key = (n < 6).then(|| encryption_key(n));
        self.ask(SELLER, SetEncryptionKey { key: key.clone() }.into());
        let to_whom = if n == 1 { OTHER_SELLER } else { SELLER };
        let key = key.unwrap_or_else(|| encryption_key(9));
        let sealed = SealedAddress { hash: Hash::of(&n.to_le_bytes()), key };
        let delivery =
            to("DE").map(|to| Delivery { sealed_addresses: [(to_whom.account(), sealed)].into(), ..to });
        for listing in 0..4 {
            let Command::PlaceOrder(order) = place(&[(listing, 1)], usd(1_000_000)) else { unreachable!() };
            self.ask(owner, PlaceOrder { delivery: delivery.clone(), ..order }.into());
        }
    }

    /// Sets a password, tries wrong ones, begins a session with a code and without, and ends it, all of them now and then.
    fn sign_in(&mut self, owner: Actor, n: u32) {
        let account = owner.account();
        let id = |n: u128| uuid::Uuid::from_u128(account.uuid().as_u128() + n);
        let (password, session) = (PasswordId::from_uuid(id(2)), SessionId::from_uuid(id(u128::from(n % 2))));
        self.ask(owner, SetPassword { password }.into());
        if n > 3 {
            self.ask(REGISTRAR, ReportSignInFailed { account, password }.into());
        }
        let (until, password) = (self.world.now.plus_ms(3_600_000), Some(password));
        let (authenticator, step) =
            (AuthenticatorId::from_uuid(id(1)), Some((self.world.now.ms() / STEP_MS) as u64));
        for shown in [None, Some(StepUp::Totp(TotpShown { authenticator, step }))] {
            let start = StartSession { account, session, until, password, shown, nonce: None };
            self.ask(REGISTRAR, start.into());
        }
        if n.is_multiple_of(2) {
            self.ask(REGISTRAR, EndSession { account: Some(account), session }.into());
        }
        if n == 2 {
            self.ask(REGISTRAR, RemovePassword { account: Some(account) }.into());
        }
    }

    /// Enrolls codes and shows right ones and wrong ones where a rule asks for them, or removes what there is.
    fn show_codes(&mut self, owner: Actor, n: u32) {
        let account = owner.account();
        let authenticator = AuthenticatorId::from_uuid(uuid::Uuid::from_u128(account.uuid().as_u128() + 1));
        let code = |n: u32| RecoveryShown::of(&format!("code {n}"));
        let commitments: Vec<Hash> = (0..9).map(|n| code(n).commitment(account)).collect();
        let step = (self.world.now.ms() / STEP_MS) as u64;
        let shown = [
            StepUp::Totp(TotpShown { authenticator, step: Some(step) }),
            StepUp::Totp(TotpShown { authenticator, step: None }),
            StepUp::Recovery(code(n)),
            StepUp::Recovery(code(99)),
        ];
        if self.world.market.step_up.is_none() {
            let terms = StepUpTerms {
                origins: ["https://market.example".parse().unwrap()].into(),
                relying_party: "market.example".parse().unwrap(),
                rules: Vec::new(),
            };
            self.ask(OPERATOR, SetStepUpTerms { terms }.into());
        }
        self.ask(owner, EnrollTotp { authenticator }.into());
        let command = EnrollRecovery { commitments: commitments.into_iter().skip(n as usize % 2).collect() };
        for shown in [&shown[n as usize % 4], &shown[(n as usize + 1) % 4]] {
            let mut signed = self.world.sign(owner, command.clone());
            signed.stamp.step_up = Some(Box::new(shown.clone()));
            settle(&self.world.market, &mut signed, self.world.now);
            self.send(signed);
        }
        // Mostly all of it goes again, so that what else happens is asked for no second factor.
        if n != 0 {
            self.ask(REGISTRAR, RemoveTotp { account: Some(account), authenticator }.into());
            self.ask(REGISTRAR, RemoveRecovery { account: Some(account) }.into());
        }
    }

    /// Has somebody erased who trades nothing; and, wrongly or once nothing of his is open, a trader by another.
    fn erase(&mut self, owner: Actor, n: u32) {
        let guest = Actor(70_000 + n);
        let erase = |account: Actor| EraseAccount { account: Some(account.account()) };
        match n % 3 {
            0 => self.ask(OPERATOR, erase(guest).into()),
            1 => self.ask(guest, erase(owner).into()),
            _ => {
                self.ask(REGISTRAR, register(guest));
                self.ask(REGISTRAR, register_device(guest));
                self.ask(OPERATOR, erase(guest).into());
            }
        }
    }

    /// Has the market's present key announce the next, or a stranger's key do so.
    fn rotate_market_key(&mut self, n: u32) {
        let nth = self.world.market.keys.all().len() as u8;
        let key = |seed: u8| SigningKey::from_seed(Algorithm::EdDsa, [seed; 32]).unwrap();
        // Each market begins with the key of seed 99 and goes on from there.
        let previous = key(if n % 4 == 3 { 1 } else { 98 + nth });
        let words = Announcement::sign(&"main".parse().unwrap(), &previous, &key(99 + nth));
        let Announcement { announcement, proof } = words;
        self.ask(OPERATOR, RotateMarketKey { announcement, proof }.into());
    }

    /// Asks with a second device, in the name of its last key, whether that may sign or not.
    fn ask_on(&mut self, owner: Actor, second: Actor, command: Command) {
        let Some(known) = self.world.market.accounts.device(second.device()).cloned() else { return };
        let mut signed = self.world.sign(owner, command);
        (signed.stamp.device, signed.stamp.key) = (second.device(), known.key);
        self.send(signed);
    }
}
