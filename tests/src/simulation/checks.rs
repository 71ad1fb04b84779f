//! What an engine promises, held against the log and against what the clients were told.

use std::collections::BTreeMap;

use commands::payment;
use commands::{Market, Refusal};
use engine::processor::{Answer, StopReason};
use events::ids::{ListingId, PaymentId};
use events::ledger::LedgerAccount;
use events::metadata::Cause;

use super::world::Base;
use super::{Ask, Simulation, Told};

/// Checks that each account holds what the market says that it is for, and that nobody but a provider owes anything.
pub(super) fn check_money(market: &Market) {
    let (mut in_orders, mut going_back) = (0, BTreeMap::new());
    for (account, balance) in market.ledger.balances() {
        let due = match account {
            // What a provider holds, what the platform has paid, and what banks keep of that, come from outside.
            LedgerAccount::ProviderClearing(_)
            | LedgerAccount::PlatformPromotions
            | LedgerAccount::PlatformExpense => continue,
            LedgerAccount::ProviderChargebacks(provider) => {
                let open = market.payments.chargebacks().open().map(|(_, open)| open);
                let taken = open.filter(|open| open.provider == provider).flat_map(|open| &open.taken);
                let here = taken.filter(|taken| taken.amount.currency == balance.currency);
                Some(here.map(|taken| taken.amount.minor).sum())
            }
            LedgerAccount::Escrow(order) => {
                in_orders += 1;
                market.orders.get(order).map(|order| order.escrow.remaining())
            }
            LedgerAccount::Dispute(order) => {
                in_orders += 1;
                market.orders.get(order).map(|order| order.escrow.frozen)
            }
            LedgerAccount::Payout(payout) => market.payouts.get(payout).map(|open| open.amount.minor),
            LedgerAccount::RefundsPayable => {
                going_back.insert(balance.currency, balance.minor);
                continue;
            }
            // What a seller owes is below zero, since something of his came back.
            account if account.is_debt() => Some(balance.minor.min(-1)),
            _ => Some(balance.minor.max(0)),
        };
        assert_eq!(due, Some(balance.minor), "{account} holds what it is for");
    }
    for (_, refund) in market.payments.refunds() {
        *going_back.entry(refund.amount.currency).or_default() -= refund.amount.minor;
    }
    assert!(going_back.values().all(|minor| *minor == 0), "what is on its way back is what refunds are of");
    let held = market.orders.iter().flat_map(|(_, order)| [order.escrow.remaining(), order.escrow.frozen]);
    assert_eq!(held.filter(|minor| *minor != 0).count(), in_orders, "what orders hold is in their accounts");
    let pending = market.ledger.pending().map(|(payment, transfer)| (*payment, transfer.amount));
    let holds = market.payments.open().filter_map(|(payment, open)| match &open.stage {
        payment::Stage::Authorized { amount, .. } => Some((*payment, *amount)),
        _ => None,
    });
    let pending: BTreeMap<_, _> = pending.collect();
    for (payment, amount) in holds {
        assert_eq!(pending.get(&payment), Some(&amount), "what a provider holds is pending");
    }
    let ends = |payment: &PaymentId| market.payments.get(*payment).is_some();
    assert!(pending.keys().all(ends), "what is pending ends with its payment");
}

/// Checks that what is reserved is what open orders and exchanges wait for and buyers have set aside.
pub(super) fn check_reserved(market: &Market) {
    let mut reserved = BTreeMap::<ListingId, u64>::new();
    for line in market.orders.iter().flat_map(|(_, order)| &order.lines) {
        *reserved.entry(line.listing).or_default() += u64::from(line.left());
    }
    let returns = market.orders.returns().iter().flat_map(|(_, known)| known.open());
    for line in returns.flat_map(|(_, open)| open.reserved()) {
        *reserved.entry(line.listing).or_default() += u64::from(line.quantity.get());
    }
    for (_, known) in market.reservations.iter() {
        *reserved.entry(known.listing).or_default() += u64::from(known.quantity.get());
    }
    for (id, listing) in market.listings.iter() {
        let counted = reserved.get(id).copied().unwrap_or(0);
        assert_eq!(listing.stock.reserved, counted, "what is reserved of {id} is promised to somebody");
    }
}

impl Simulation {
    pub(super) fn check_settled(&self, at: usize) {
        let process = &self.processes[at];
        assert!(process.open.is_empty(), "commands wait although nothing is under way: {:?}", process.open);
        let market = process.processor.market();
        if let Some(deadline) = market.next_deadline() {
            let due = deadline.due.max(process.grace_ends);
            assert!(
                process.wake_at.is_some_and(|wake| wake <= due),
                "nobody wakes the writer for {deadline:?}"
            );
        }
        if process.processor.head() == self.world.head() {
            assert!(*market == self.world.market, "the running state is the fold of the log");
        }
    }

    /// Checks what every client was told against the log in the end.
    pub(super) fn check(&mut self) {
        let log = &self.world.log;
        let base = Base::get().log.len();
        self.tally.commits = log.len() - base;
        for ask in &self.asks {
            let stamp = &ask.verified.stamp;
            match ask.told.as_ref().expect("every command has an answer, or its process crashed") {
                Told::Outcome(position) => {
                    let found = self.world.find(stamp.account, stamp.command).map(|found| found.position);
                    assert_eq!(found, Some(*position), "a receipted command is in the log, there and once");
                }
                Told::Refused | Told::Undecided | Told::Nothing => {}
            }
        }
        for commit in &log[base..] {
            match &commit.start().cause {
                Cause::Command(stamp) => {
                    // Asked for with these very bytes, and by nobody who was told only that it was not taken.
                    let asks = self.asks.iter().filter(|ask| ask.verified.stamp == **stamp);
                    let mut told = asks.map(|ask| ask.told.as_ref());
                    assert!(told.any(|told| told != Some(&Told::Refused)), "what was refused is in the log");
                }
                Cause::Deadline(_) => self.tally.deadlines += 1,
                Cause::Writer(_) => {}
            }
        }
    }

    /// Notes what a client is told, and checks that it is true and durable at this moment.
    pub(super) fn tell(&mut self, at: usize, reply: u64, answer: Answer, is_immediate: bool) {
        let process = &mut self.processes[at];
        assert!(process.open.remove(&reply), "every command is answered once, by who was asked");
        let waits = process.append.is_some();
        let ask = &self.asks[reply as usize];
        let stamp = &ask.verified.stamp;
        let told = match answer {
            Answer::Decided(commit) => {
                assert!(self.world.contains(&commit), "an outcome is told before it is durable");
                let Cause::Command(cause) = &commit.start().cause else { panic!("no command decided it") };
                assert_eq!(**cause, *stamp, "the outcome is another command's");
                assert!(ask.known.is_none(), "a decided command is decided again");
                self.tally.decided += 1;
                Told::Outcome(commit.first_position())
            }
            Answer::Repeat(position) => {
                let found = self.world.find(stamp.account, stamp.command);
                let found = found.expect("an earlier outcome is told before it is durable");
                assert_eq!((found.position, found.fingerprint), (position, stamp.fingerprint));
                assert!(!(is_immediate && waits), "an answer overtakes what it has seen");
                self.tally.repeats += 1;
                Told::Outcome(position)
            }
            Answer::Refused(refusal) => {
                let overtakes = is_immediate && waits && refusal != Refusal::Busy;
                assert!(!overtakes, "a refusal overtakes what it has seen: {refusal}");
                self.check_refusal(ask, &refusal);
                self.tally.refusals += 1;
                Told::Refused
            }
            Answer::Undecided => {
                self.tally.undecided += 1;
                Told::Undecided
            }
        };
        self.asks[reply as usize].told = Some(told);
    }

    /// Checks that the durable log gives the reason of a refusal.
    fn check_refusal(&self, ask: &Ask, refusal: &Refusal) {
        use Refusal::{
            Busy, CommandConflict, FromFuture, KidUnknown, NonceReused, ScopeDenied, SeqJump, SeqReplayed,
            SeqTooOld, Stale,
        };
        let stamp = &ask.verified.stamp;
        let found = self.world.find(stamp.account, stamp.command);
        let is_retry = found.is_some_and(|found| found.fingerprint == stamp.fingerprint);
        let forgets = ask.known.is_some() && is_retry && *refusal != Busy;
        assert!(!forgets, "a retry gets {refusal:?} in place of its outcome");
        let is_true = match refusal {
            Busy | ScopeDenied { .. } => true,
            CommandConflict => found.is_some() && !is_retry,
            SeqReplayed { high } | SeqTooOld { high } | SeqJump { high } => {
                self.world.seq_used(stamp.key, *high)
            }
            NonceReused => self.world.nonce_used(stamp.key, stamp.nonce),
            Stale { server_time } | FromFuture { server_time } => *server_time <= self.latest,
            KidUnknown => !ask.key_known,
            other => panic!("no command of this simulation is refused so: {other:?}"),
        };
        assert!(is_true, "the durable log does not give the reason of {refusal:?}");
    }

    /// Checks that a writer has a reason to stop, and removes it.
    pub(super) fn stop(&mut self, at: usize, reason: &StopReason) {
        let process = self.processes.swap_remove(at);
        assert!(process.open.is_empty(), "whoever waits for a writer that stops is told so");
        match reason {
            StopReason::Shutdown => {
                assert!(process.shutdown_asked.is_some(), "nobody asked it to stop");
                assert!(process.append.is_none(), "it stops while an append is under way");
            }
            StopReason::Fenced { .. } => {
                self.tally.fenced += 1;
                if process.replaced {
                    return self.leave_append(process);
                }
                let append = process.append.as_ref().expect("a writer meets another where it appends");
                let found = self.world.commit_at(append.expected.position + 1);
                let is_true = found.is_some_and(|found| found.head() != append.commits[0].head());
                assert!(is_true, "nobody else writes the market");
            }
            StopReason::Failed(_) => assert!(process.failed, "nothing failed"),
            StopReason::LogShortened => panic!("the log was never shortened"),
            StopReason::Unbalanced { .. } => panic!("{reason}"),
            StopReason::LogUnreachable => {
                assert!(process.append.as_ref().is_some_and(|append| append.was_unknown), "the log answered");
            }
        }
        self.leave_append(process);
    }
}
