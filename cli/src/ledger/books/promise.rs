//! What the books promise.

use serde::Serialize;

/// A promise about money, by the number that docs/ledger.md explains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) enum Invariant {
    /// An entry moves more than nothing, between two accounts.
    I1,
    /// All accounts of a currency sum to zero.
    I2,
    /// Only what a provider holds for the market, what the platform has paid, and what somebody owes, is ever below zero; a debt is
    /// never above it.
    I3,
    /// What went into an escrow went out of it or is in it.
    I4,
    /// A transfer that waits ends once.
    I5,
    /// No more of a payment comes in than was agreed to, and no more goes back or is disputed than came in; what a bank returns of a payout was
    /// paid, and comes back once.
    I6,
    /// Nothing leaves an escrow before all of it came in, nor while the order is on hold, nor to a seller who has not accepted
    /// the order; what is frozen leaves whole.
    I7,
    /// A provider's reference brings money in once.
    I9,
    /// An order's money stays in its currency, and an exchange is two transfers through its provider, at its rate.
    I10,
    /// An order costs what its lines and its delivery cost, these cost what their prices, discounts and taxes make, and so much
    /// goes into its escrow.
    I11,
    /// The orders of one purchase are paid by the purchase.
    I12,
    /// The fee of an order is what the market's terms say.
    I13,
    /// Parts of a fee are the fee on what was released, to the last minor unit.
    I14,
    /// A closed order holds nothing.
    I15,
    /// The market holds what its transfers add up to.
    I16,
    /// Stock that is reserved is what open orders and exchanges wait for and buyers have set aside.
    I17,
    /// No promotion is used more often than it may be.
    I18,
    /// What the platform pays of an order goes into its escrow and, of what goes back, its part back to it: no buyer gets back more
    /// than he paid.
    I19,
    /// What a seller earns repays what he owes, and of the rest the share of the market's terms is kept until it is due.
    I20,
    /// What is returned after it was delivered brings back what was paid for it, once.
    I21,
    /// What a bank disputes is taken once, all of it and from whom it has to be; it goes back whole, or is gone; and meanwhile
    /// nothing leaves the order.
    I22,
    /// What replaces returned units costs no more than they did, and is placed once, out of what was reserved for it.
    I23,
}

impl Invariant {
    /// All of them.
    pub(crate) const ALL: [Invariant; 22] = [
        Invariant::I1,
        Invariant::I2,
        Invariant::I3,
        Invariant::I4,
        Invariant::I5,
        Invariant::I6,
        Invariant::I7,
        Invariant::I9,
        Invariant::I10,
        Invariant::I11,
        Invariant::I12,
        Invariant::I13,
        Invariant::I14,
        Invariant::I15,
        Invariant::I16,
        Invariant::I17,
        Invariant::I18,
        Invariant::I19,
        Invariant::I20,
        Invariant::I21,
        Invariant::I22,
        Invariant::I23,
    ];

    /// Says what is promised.
    pub(crate) const fn promise(self) -> &'static str {
        match self {
            Invariant::I1 => "an entry moves more than nothing between two accounts",
            Invariant::I2 => "all accounts of a currency sum to zero",
            Invariant::I3 => {
                "only a provider's account, what the platform has paid and what is owed are ever below zero"
            }
            Invariant::I4 => {
                "an escrow's money was released, taken as a fee or tax, refunded, or is frozen or still there"
            }
            Invariant::I5 => "a transfer that waits for a provider ends once",
            Invariant::I6 => {
                "no more of a payment comes in than was agreed to, or goes back than came in; a payout comes back once"
            }
            Invariant::I7 => {
                "nothing leaves an escrow that is not full yet, not accepted or on hold; what is frozen leaves whole"
            }
            Invariant::I9 => "a provider's reference brings money in once",
            Invariant::I10 => {
                "an order's money stays in its currency, and an exchange is two transfers at its rate"
            }
            Invariant::I11 => {
                "an order costs its prices less discounts, with shipping and taxes, and its escrow holds that"
            }
            Invariant::I12 => "the orders of one purchase are paid by the purchase",
            Invariant::I13 => "an order's fee is what the market's terms say",
            Invariant::I14 => "parts of a fee are the fee on what was released",
            Invariant::I15 => "a closed order holds nothing",
            Invariant::I16 => "the market holds what its transfers add up to",
            Invariant::I17 => {
                "reserved stock is what open orders and exchanges wait for and buyers have set aside"
            }
            Invariant::I18 => "no promotion is used more often than it may be",
            Invariant::I19 => {
                "the platform has back its part of what goes back, and no buyer more than he paid"
            }
            Invariant::I20 => {
                "what a seller earns repays what he owes, and of the rest a share is kept until it is due"
            }
            Invariant::I21 => "what is returned after delivery brings back what was paid for it, once",
            Invariant::I22 => {
                "what a bank disputes is taken once, from whom it has to be, and goes back whole or is gone"
            }
            Invariant::I23 => {
                "what replaces returned units is placed once, for no more, and out of what was reserved"
            }
        }
    }
}
