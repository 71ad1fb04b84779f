//! What sellers earn, owe, and have to wait for: computed anew from the market's terms.

use std::collections::BTreeMap;

use events::ids::AccountId;
use events::ledger::{LedgerAccount, Transfer};
use events::market::Opened;
use events::{Currency, Event, Money, Position, Timestamp};

use super::{Books, Invariant, rounded};

const DAY_MS: i64 = 86_400_000;

/// What is kept of sellers' earnings.
#[derive(Debug, Default)]
pub(super) struct Earnings {
    /// The share that is kept, of 10,000, and for how long behind the end of its day.
    terms: Option<(u32, i64)>,
    kept: BTreeMap<AccountId, BTreeMap<(Timestamp, Currency), i64>>,
}

impl Earnings {
    pub(super) fn on(opened: &Opened) -> Earnings {
        let terms = opened.escrow.as_ref().and_then(|terms| terms.reserve());
        Earnings { terms: terms.map(|terms| (terms.share().get(), terms.hold_ms())), kept: BTreeMap::new() }
    }

    /// Notes what is kept until some time.
    pub(super) fn keep(&mut self, seller: AccountId, until: Timestamp, amount: Money) {
        *self.kept.entry(seller).or_default().entry((until, amount.currency)).or_default() += amount.minor;
    }

    /// Takes what is given first, and tells whether there was as much.
    fn take(&mut self, seller: AccountId, amount: Money) -> bool {
        let mut left = amount.minor;
        let of_seller = self.kept.entry(seller).or_default();
        for ((_, currency), kept) in of_seller.iter_mut() {
            let taken = if *currency == amount.currency { left.min(*kept) } else { 0 };
            *kept -= taken;
            left -= taken;
        }
        of_seller.retain(|_, kept| *kept > 0);
        left == 0
    }
}

/// Who is paid by an event, what of it, and until when a part of it is kept.
fn paid(event: &Event) -> Option<(AccountId, &[Transfer], Option<Timestamp>)> {
    match event {
        Event::EscrowReleased(event) => Some((event.seller, &event.transfers, event.kept_until)),
        Event::EscrowSettled(event) => Some((event.seller, &event.transfers, event.kept_until)),
        _ => None,
    }
}

impl Books {
    /// Gives what the seller whom an event pays owes before it, in the currency of what he is paid.
    pub(super) fn owed_to_be_repaid(&self, event: &Event) -> i64 {
        let Some((seller, [first, ..], _)) = paid(event) else { return 0 };
        let account = (LedgerAccount::SellerReceivable(seller), first.amount.currency);
        -self.balances.get(&account).copied().unwrap_or(0)
    }

    /// Looks at what a seller was paid by an event, when he had owed so much, or at what he is given of what was kept.
    pub(super) fn earned(&mut self, position: Position, time: Timestamp, event: &Event, owed: i64) {
        for transfer in event.transfers() {
            if let LedgerAccount::SellerReserve(seller) = transfer.from {
                let was_kept = self.earnings.take(seller, transfer.amount);
                self.check(Invariant::I20, position, was_kept, || {
                    format!(
                        "{} was given of what is kept of seller {seller}'s earnings, which was less",
                        transfer.amount
                    )
                });
            }
        }
        if let Event::ChargebackWon(won) = event {
            self.kept_again(position, time, won);
        }
        if let Event::ReserveReleased(released) = event {
            let seller = released.seller;
            let to = LedgerAccount::SellerAvailable(seller);
            let is_his = released.transfers.iter().all(|transfer| transfer.to == to);
            let mut kept = self.earnings.kept.get(&seller).into_iter().flatten();
            let is_whole = !kept.any(|((until, _), _)| *until <= time);
            self.check(Invariant::I20, position, is_his && is_whole, || {
                format!("not all that was kept of seller {seller}'s earnings until {time} is his")
            });
        }
        let Some((seller, transfers, until)) = paid(event) else { return };
        let sum = |account| -> i64 {
            let to_account = transfers.iter().filter(|transfer| transfer.to == account);
            to_account.map(|transfer| transfer.amount.minor).sum()
        };
        let repaid = sum(LedgerAccount::SellerReceivable(seller));
        let kept = sum(LedgerAccount::SellerReserve(seller));
        let earned = kept + sum(LedgerAccount::SellerAvailable(seller));
        self.check(Invariant::I20, position, repaid == owed.min(repaid + earned), || {
            format!("seller {seller}, who owed {owed}, repaid {repaid} and was given {earned}")
        });
        let (share, hold_ms) = self.earnings.terms.unwrap_or_default();
        let due = rounded(i128::from(earned) * i128::from(share), 10_000);
        let day_ends = (time.ms().div_euclid(DAY_MS) + 1) * DAY_MS;
        let by_terms = (kept > 0).then(|| Timestamp::from_ms(day_ends + hold_ms));
        let is_by_terms = i128::from(kept) == due && until == by_terms;
        self.check(Invariant::I20, position, is_by_terms, || {
            format!("of {earned} that seller {seller} earned {kept} is kept until {until:?}, by the terms {due} until {by_terms:?}")
        });
        if let (Some(until), [first, ..]) = (until, transfers) {
            let of_seller = self.earnings.kept.entry(seller).or_default();
            *of_seller.entry((until, first.amount.currency)).or_default() += kept;
        }
    }
}

#[cfg(test)]
mod tests {
    use events::earnings::ReserveReleased;
    use events::ids::OrderId;
    use events::order::{EscrowReleased, ReleaseCondition, ShipmentNumber};
    use uuid::Uuid;

    use super::*;

    const SELLER: AccountId = AccountId::from_uuid(Uuid::from_u128(2));
    const ORDER: OrderId = OrderId::from_uuid(Uuid::from_u128(4));
    const NOW: Timestamp = Timestamp::from_ms(5 * DAY_MS + 1);
    /// A day behind the end of that day.
    const UNTIL: Timestamp = Timestamp::from_ms(7 * DAY_MS);
    const AVAILABLE: LedgerAccount = LedgerAccount::SellerAvailable(SELLER);
    const RESERVE: LedgerAccount = LedgerAccount::SellerReserve(SELLER);
    const OWED: LedgerAccount = LedgerAccount::SellerReceivable(SELLER);

    fn transfer((to, minor): (LedgerAccount, i64), from: LedgerAccount) -> Transfer {
        Transfer { amount: Money::new(minor, "USD".parse().unwrap()), from, to }
    }

    fn released<const N: usize>(until: Option<Timestamp>, to: [(LedgerAccount, i64); N]) -> Event {
        EscrowReleased {
            buyer: SELLER,
            closed_as: None,
            condition: ReleaseCondition::BuyerConfirmed,
            kept_until: until,
            order: ORDER,
            remaining: None,
            seller: SELLER,
            shipment: ShipmentNumber::FIRST,
            transfers: to.map(|to| transfer(to, LedgerAccount::Escrow(ORDER))).into(),
            with: vec![],
        }
        .into()
    }

    fn given(minor: i64) -> Event {
        let transfers = vec![transfer((AVAILABLE, minor), RESERVE)];
        ReserveReleased { seller: SELLER, transfers }.into()
    }

    /// Looks at events in a market that keeps a tenth for a day, whose seller owes so much, and gives where they are wrong.
    fn broken(owed: i64, events: &[(Timestamp, Event)]) -> Option<Position> {
        let earnings = Earnings { terms: Some((1_000, DAY_MS)), ..Earnings::default() };
        let mut books = Books { earnings, ..Books::default() };
        for (position, (time, event)) in (1..).zip(events) {
            books.earned(position, *time, event, owed);
        }
        let mut findings = books.findings();
        findings
            .find_map(|(one, finding)| finding.broken.filter(|_| one == Invariant::I20))
            .map(|broken| broken.position)
    }

    #[test]
    fn what_is_not_kept_or_repaid_by_the_terms_is_found() {
        let to = [(AVAILABLE, 900), (RESERVE, 100)];
        assert_eq!(broken(0, &[(NOW, released(Some(UNTIL), to))]), None);
        assert_eq!(
            broken(50, &[(NOW, released(Some(UNTIL), [(OWED, 50), (AVAILABLE, 900), (RESERVE, 100)]))]),
            None
        );
        assert_eq!(broken(50, &[(NOW, released(None, [(OWED, 40)]))]), None);
        for (owed, until, to) in [
            (0, Some(UNTIL), [(AVAILABLE, 901), (RESERVE, 99)]),
            (0, Some(UNTIL.plus_ms(1)), to),
            (0, None, to),
            (1, Some(UNTIL), to),
            (50, Some(UNTIL), [(OWED, 40), (AVAILABLE, 60)]),
        ] {
            assert_eq!(broken(owed, &[(NOW, released(until, to))]), Some(1), "{owed} {to:?}");
        }
    }

    #[test]
    fn what_is_kept_is_given_whole_when_it_is_due() {
        let kept = (NOW, released(Some(UNTIL), [(AVAILABLE, 900), (RESERVE, 100)]));
        assert_eq!(broken(0, &[kept.clone(), (UNTIL, given(100))]), None);
        assert_eq!(broken(0, &[kept.clone(), (UNTIL, given(99))]), Some(2));
        assert_eq!(broken(0, &[kept, (UNTIL, given(101))]), Some(2));
    }
}
