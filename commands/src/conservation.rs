//! The promises about money that are checked of every decision before anything of it is written: the market stops rather
//! than commit a break. `skylink ledger check` keeps whole books of its own; this is what can be seen of one decision.

use std::collections::{BTreeMap, BTreeSet};

use events::ids::OrderId;
use events::ledger::{LedgerAccount, Transfer};
use events::{Currency, Event, Money};

use crate::market::Market;

/// A promise about money that a decision would break.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Break {
    /// A transfer moves nothing, or from an account to itself.
    #[error("{amount} from {from} to {to} is no transfer")]
    NoTransfer {
        /// How much.
        amount: Money,
        /// From where.
        from: LedgerAccount,
        /// Where to.
        to: LedgerAccount,
    },
    /// An account would have less than nothing, or more than can be counted; or more than what is owed would be repaid.
    #[error("{account} would have {minor} minor units of {currency}")]
    Balance {
        /// The account.
        account: LedgerAccount,
        /// What it would have.
        minor: i128,
        /// Of which currency.
        currency: Currency,
    },
    /// Money would be held for an order that there is not, or in another currency than it has.
    #[error("{currency} would be held for order {order}, which there is not or which is in another currency")]
    Foreign {
        /// The order.
        order: OrderId,
        /// The currency.
        currency: Currency,
    },
    /// An event says of an order's money something else than its transfers lead to.
    #[error("{account} would have {held}, and the decision says {said}")]
    Said {
        /// The account.
        account: LedgerAccount,
        /// What it would have.
        held: Money,
        /// What the event says.
        said: Money,
    },
    /// The counters of an order's money are not what its accounts hold.
    #[error("{account} has {held}, and the order counts {counted}")]
    Counted {
        /// The account.
        account: LedgerAccount,
        /// What it holds.
        held: Money,
        /// What the order counts.
        counted: Money,
    },
}

/// Balances behind the events of a decision, of the accounts that they move.
struct Ahead<'a> {
    market: &'a Market,
    balances: BTreeMap<(LedgerAccount, Currency), i128>,
    /// Orders that the decision itself places.
    placed: BTreeMap<OrderId, Currency>,
}

impl Ahead<'_> {
    fn balance(&mut self, account: LedgerAccount, currency: Currency) -> &mut i128 {
        let before = || i128::from(self.market.ledger.balance(account, currency).minor);
        self.balances.entry((account, currency)).or_insert_with(before)
    }

    fn post(&mut self, transfer: &Transfer) -> Result<(), Break> {
        let Transfer { amount, from, to } = *transfer;
        if !amount.is_positive() || from == to {
            return Err(Break::NoTransfer { amount, from, to });
        }
        let currency = amount.currency;
        for (account, by) in [(from, -i128::from(amount.minor)), (to, i128::from(amount.minor))] {
            if let LedgerAccount::Escrow(order) | LedgerAccount::Dispute(order) = account {
                let open = self.market.orders.get(order).map(|open| open.total.currency);
                if open.or(self.placed.get(&order).copied()) != Some(currency) {
                    return Err(Break::Foreign { order, currency });
                }
            }
            let balance = self.balance(account, currency);
            *balance += by;
            let minor = *balance;
            let least = if account.is_source() { -i128::from(Money::MINOR_MAX) } else { 0 };
            let most = if account.is_debt() { 0 } else { i128::from(Money::MINOR_MAX) };
            if !(least..=most).contains(&minor) {
                return Err(Break::Balance { account, minor, currency });
            }
        }
        Ok(())
    }

    /// Checks what an event says an order's escrow still holds and, if it closes the order, that nothing is left.
    fn check_said(&mut self, event: &Event) -> Result<(), Break> {
        let (order, remaining) = match event {
            Event::EscrowReleased(event) => (event.order, event.remaining),
            Event::EscrowRefunded(event) => (event.order, event.remaining),
            Event::EscrowFrozen(event) => (event.order, event.remaining),
            Event::EscrowSettled(event) => (event.order, event.remaining),
            Event::OrderClosed(event) => (event.order, None),
            _ => return Ok(()),
        };
        let Some(open) = self.market.orders.get(order) else { return Ok(()) };
        let currency = open.total.currency;
        let said = [
            (LedgerAccount::Escrow(order), Some(remaining.unwrap_or(Money::zero(currency)))),
            (LedgerAccount::Dispute(order), event.order_end().map(|_| Money::zero(currency))),
        ];
        for (account, said) in said {
            let held = *self.balance(account, currency);
            if let Some(said) =
                said.filter(|said| said.currency != currency || i128::from(said.minor) != held)
            {
                let held = i64::try_from(held).expect("a balance was checked when it was made");
                return Err(Break::Said { account, held: Money::new(held, currency), said });
            }
        }
        Ok(())
    }
}

impl Market {
    /// Checks the events of a decision in the state before them: each transfer moves something, no account is overdrawn but
    /// those that money comes through, an order's money keeps its currency, what events say is left is left, and a closed
    /// order holds nothing.
    pub fn check_conserved(&self, events: &[Event]) -> Result<(), Break> {
        let mut ahead = Ahead { market: self, balances: BTreeMap::new(), placed: BTreeMap::new() };
        for event in events {
            if let Event::OrderPlaced(placed) = event {
                ahead.placed.insert(placed.order, placed.total.currency);
            }
            event.transfers().iter().try_for_each(|transfer| ahead.post(transfer))?;
            ahead.check_said(event)?;
        }
        Ok(())
    }

    /// Checks, in the state behind the events of a decision, that every order whose money they moved counts what its
    /// accounts hold.
    pub fn check_counted<'a>(&self, events: impl IntoIterator<Item = &'a Event>) -> Result<(), Break> {
        let transfers = events.into_iter().flat_map(Event::transfers);
        let accounts = transfers.flat_map(|transfer| [transfer.from, transfer.to]);
        let orders = accounts.filter_map(|account| match account {
            LedgerAccount::Escrow(order) | LedgerAccount::Dispute(order) => Some(order),
            _ => None,
        });
        // What is closed holds nothing: that was checked before.
        for order in orders.collect::<BTreeSet<_>>() {
            let Some(open) = self.orders.get(order) else { continue };
            let currency = open.total.currency;
            for (account, minor) in [
                (LedgerAccount::Escrow(order), open.escrow.remaining()),
                (LedgerAccount::Dispute(order), open.escrow.frozen),
            ] {
                let (held, counted) = (self.ledger.balance(account, currency), Money::new(minor, currency));
                if held != counted {
                    return Err(Break::Counted { account, held, counted });
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use events::account::PublicKey;
    use events::escrow::{FreezeReason, Frozen};
    use events::ids::{AccountId, DeviceId};
    use events::listing::WalletFunded;
    use events::market::{Deadlines, FeePolicy, Opened, Registrar};
    use events::order::{
        EscrowHeld, EscrowRefunded, FeeQuote, Placed, ReleaseCondition, Rounding, ShipmentNumber,
    };
    use events::rejection::OrderState;
    use events::{Timestamp, account::Role};
    use uuid::Uuid;

    use super::*;

    const BUYER: AccountId = AccountId::from_uuid(Uuid::from_u128(1));
    const SELLER: AccountId = AccountId::from_uuid(Uuid::from_u128(2));
    const ORDER: OrderId = OrderId::from_uuid(Uuid::from_u128(3));
    const OTHER: OrderId = OrderId::from_uuid(Uuid::from_u128(4));
    const WALLET: LedgerAccount = LedgerAccount::Wallet(BUYER);
    const ESCROW: LedgerAccount = LedgerAccount::Escrow(ORDER);
    const DISPUTE: LedgerAccount = LedgerAccount::Dispute(ORDER);
    const EARNED: LedgerAccount = LedgerAccount::SellerAvailable(SELLER);

    fn usd(minor: i64) -> Money {
        Money::new(minor, "USD".parse().unwrap())
    }

    fn transfer(minor: i64, from: LedgerAccount, to: LedgerAccount) -> Transfer {
        Transfer { amount: usd(minor), from, to }
    }

    fn placed(order: OrderId) -> Placed {
        let rounding = Rounding::HalfAwayFromZero;
        let fee =
            FeeQuote { amount: usd(0), bps: 0, fixed_minor: 0, max_minor: None, min_minor: None, rounding };
        let (ship_by, total) = (Timestamp::from_ms(0), usd(1000));
        Placed {
            accept_by: None,
            buyer: BUYER,
            cart: None,
            fee,
            group: None,
            lines: vec![],
            number: None,
            order,
            payment: None,
            replaces: None,
            seller: SELLER,
            ship_by,
            shipping: None,
            total,
            release: None,
        }
    }

    fn held(order: OrderId, minor: i64) -> Event {
        EscrowHeld { order, release: None, transfer: transfer(minor, WALLET, LedgerAccount::Escrow(order)) }
            .into()
    }

    fn refunded(minor: i64, remaining: Option<i64>, closed_as: Option<OrderState>) -> Event {
        let (transfer, remaining) = (Some(transfer(minor, ESCROW, WALLET)), remaining.map(usd));
        EscrowRefunded { buyer: BUYER, closed_as, order: ORDER, remaining, seller: SELLER, transfer }.into()
    }

    /// A buyer has 500 in his wallet and 1,000 in the escrow of an order.
    fn market() -> Market {
        let mut market = Market::new();
        let key = PublicKey::Ed25519([7; 32]);
        market.opened = Some(Opened {
            deadlines: Deadlines::default(),
            escrow: None,
            fee: FeePolicy::default(),
            market: "main".parse().unwrap(),
            purchase_limits: vec![],
            registrar: Registrar { account: SELLER, device: DeviceId::from_uuid(Uuid::from_u128(5)), key },
            receipt_key: key,
        });
        market.ledger.post(&transfer(1500, LedgerAccount::ProviderClearing(SELLER), WALLET));
        market.order_placed(&placed(ORDER));
        let Event::EscrowHeld(event) = held(ORDER, 1000) else { unreachable!("it is made above") };
        market.escrow_held(&event);
        market
    }

    #[test]
    fn a_decision_that_keeps_every_promise_passes() {
        let market = market();
        let whole =
            [placed(OTHER).into(), held(OTHER, 500), refunded(1000, None, Some(OrderState::Cancelled))];
        assert_eq!(market.check_conserved(&whole), Ok(()));
        assert_eq!(market.check_counted(&whole), Ok(()));
    }

    #[test]
    fn a_decision_that_breaks_a_promise_is_told_by_what_it_breaks() {
        let frozen = Frozen {
            by: Role::Buyer,
            due: Timestamp::from_ms(0),
            note: None,
            order: ORDER,
            reason: FreezeReason::NotReceived,
            remaining: Some(usd(1000)),
            shipment: ShipmentNumber::FIRST,
            subsidy: None,
            tax: None,
            transfer: transfer(400, ESCROW, DISPUTE),
        };
        let released = events::order::EscrowReleased {
            buyer: BUYER,
            closed_as: None,
            condition: ReleaseCondition::BuyerConfirmed,
            kept_until: None,
            order: ORDER,
            remaining: None,
            seller: SELLER,
            shipment: ShipmentNumber::FIRST,
            transfers: vec![transfer(1001, ESCROW, EARNED)],
            with: vec![],
        };
        let nothing = transfer(0, WALLET, EARNED);
        let funded = |transfer| -> Event {
            WalletFunded { account: BUYER, reference: "r".to_owned(), transfer }.into()
        };
        let currency = usd(0).currency;
        let over = |account, minor| Break::Balance { account, minor, currency };
        for (events, broken) in [
            (vec![funded(nothing)], Break::NoTransfer { amount: usd(0), from: WALLET, to: EARNED }),
            (
                vec![funded(transfer(5, WALLET, WALLET))],
                Break::NoTransfer { amount: usd(5), from: WALLET, to: WALLET },
            ),
            (vec![placed(OTHER).into(), held(OTHER, 501)], over(WALLET, -1)),
            (vec![released.into()], over(ESCROW, -1)),
            (
                vec![funded(transfer(Money::MINOR_MAX, LedgerAccount::ProviderClearing(BUYER), WALLET))],
                over(WALLET, i128::from(Money::MINOR_MAX) + 500),
            ),
            (vec![held(OTHER, 500)], Break::Foreign { order: OTHER, currency }),
            (vec![frozen.into()], Break::Said { account: ESCROW, held: usd(600), said: usd(1000) }),
            (
                vec![refunded(999, None, Some(OrderState::Cancelled))],
                Break::Said { account: ESCROW, held: usd(1), said: usd(0) },
            ),
        ] {
            assert_eq!(market().check_conserved(&events), Err(broken), "{events:?}");
        }
    }

    #[test]
    fn an_order_that_counts_something_else_than_its_accounts_hold_is_found() {
        let mut market = market();
        let lost = transfer(1, ESCROW, WALLET);
        market.ledger.post(&lost);
        let refund = [refunded(1, Some(999), None)];
        let counted = Break::Counted { account: ESCROW, held: usd(999), counted: usd(1000) };
        assert_eq!(market.check_counted(&refund), Err(counted));
    }
}
