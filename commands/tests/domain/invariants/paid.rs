//! The money of orders, counted from events beside the market.

use events::Money;
use events::order::{LineUnits, ShippingCharge};

/// What events said of an order's money, counted beside the market.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paid {
    pub(crate) total: Money,
    /// The taxes in it.
    pub(crate) tax: i64,
    /// What of it the platform pays, and what of that has come in, has to go back, and went.
    pub(crate) subsidy: i64,
    pub(crate) subsidized: i64,
    pub(crate) returning: i64,
    pub(crate) returned: i64,
    pub(crate) fee: i64,
    /// What went back the way it came through a provider, or is on its way.
    pub(crate) to_card: i64,
    /// What the fee is on what was released so far, and how much that was.
    pub(crate) fee_due: i128,
    pub(crate) went: i128,
    /// What a provider is to bring.
    pub(crate) by_provider: i64,
    /// What of that it never does, since units were cancelled before.
    pub(crate) uncharged: i64,
    pub(crate) held: i64,
    pub(crate) released: i64,
    pub(crate) fees: i64,
    pub(crate) taxes: i64,
    pub(crate) refunded: i64,
    pub(crate) frozen: i64,
    /// Whether all it costs has come in.
    pub(crate) is_paid: bool,
    /// Whether it is on hold.
    pub(crate) is_held: bool,
    /// Of what was paid back, what had been frozen.
    pub(crate) settled: i64,
    /// What units that went their way cost, by the events about them.
    pub(crate) shipped: i64,
    pub(crate) cancelled: i64,
    /// What was given back of what was shipped.
    pub(crate) given_back: i64,
    /// The taxes in that.
    pub(crate) tax_back: i64,
    /// Whether something came back after it was delivered, and what of that the platform got after the seller was paid.
    pub(crate) is_returned: bool,
    pub(crate) back_to_platform: i64,
    /// What banks took of its escrow, and of that what is not taken off its shipments: in all, and of what is frozen.
    pub(crate) charged: i64,
    pub(crate) pending: [i64; 2],
    /// What of units that are cancelled for it was lost.
    pub(crate) lost_left: i64,
}

impl Paid {
    /// Counts what goes back to the platform, which is a part of what is paid back.
    pub(crate) fn return_subsidy(&mut self, minor: i64) {
        self.refunded += minor;
        self.returned += minor;
        assert!(self.returned <= self.subsidized, "the platform gets back no more than it paid");
    }

    /// Checks that nobody has back more than he paid, and each as much as he has to.
    pub(crate) fn check_subsidy(&self) {
        assert_eq!(self.returned, self.returning, "the platform has its part of what went back");
        let (paid, back) = (self.held - self.subsidized, self.refunded - self.returned);
        assert!(back + self.charged <= paid, "the buyer paid {paid} and has {back} back");
    }

    pub(crate) fn remaining(&self) -> i64 {
        self.held - self.released - self.fees - self.taxes - self.refunded - self.frozen - self.charged
    }

    /// Checks the fee on what was released: what was taken before a change is not given back, and no more is taken of a
    /// release than it is.
    pub(crate) fn check_fees(&mut self) {
        let (out, total) = (i128::from(self.released + self.fees), i128::from(self.total.minor - self.tax));
        let due = (2 * i128::from(self.fee) * out + total).checked_div(2 * total).unwrap_or(0);
        self.fee_due = due.max(self.fee_due).min(self.fee_due + out - self.went);
        self.went = out;
        assert_eq!(i128::from(self.fees), self.fee_due, "fees are exactly those of what was released");
    }
}

pub(crate) fn cost(lines: &[LineUnits], shipping: Option<ShippingCharge>) -> i64 {
    assert!(!lines.is_empty(), "an event names what it is about");
    cost_of(lines, shipping)
}

/// Sums what the platform pays of units.
pub(crate) fn subsidy_of(lines: &[LineUnits]) -> i64 {
    let subsidies = lines.iter().map(|line| line.subsidy.map_or(0, |subsidy| subsidy.minor));
    assert!(lines.iter().all(|line| line.subsidy.is_none_or(|part| part.minor <= line.amount.minor)));
    subsidies.sum()
}

pub(crate) fn cost_of(lines: &[LineUnits], shipping: Option<ShippingCharge>) -> i64 {
    let goods: i64 = lines.iter().map(|line| line.amount.minor).sum();
    goods + shipping.map_or(0, |shipping| shipping.amount.minor)
}
