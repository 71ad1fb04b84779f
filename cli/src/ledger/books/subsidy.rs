//! What the platform pays of an order, and what of that goes back to it: computed anew from what the order was placed with.

use std::collections::BTreeMap;

use events::escrow::FreezeReason;
use events::ids::ListingId;
use events::order::{LineUnits, Placed, ShipmentNumber};
use events::{Event, Money, Quantity};

use super::rounded;

/// What the platform pays of an order.
#[derive(Debug, Default)]
pub(super) struct Subsidy {
    pub(super) total: i64,
    pub(super) paid_in: i64,
    pub(super) returned: i64,
    /// What of it has to have gone back.
    due: i64,
    /// Of each line that it pays something of: units, what it pays of them, and how many went.
    lines: BTreeMap<ListingId, (i64, i64, i64)>,
    /// Of each shipment: what is left to be released of it, and what the platform paid of that.
    shipments: BTreeMap<ShipmentNumber, Share>,
    /// The same of what is frozen.
    frozen: BTreeMap<ShipmentNumber, Share>,
}

/// An amount, and what the platform paid of it.
#[derive(Debug, Clone, Copy, Default)]
struct Share {
    amount: i64,
    subsidy: i64,
}

impl Share {
    /// Takes a part of it, and gives what the platform paid of that part.
    fn take(&mut self, amount: i64) -> i64 {
        let subsidy = self.part(amount);
        self.amount -= amount;
        self.subsidy -= subsidy;
        subsidy
    }

    fn part(&self, amount: i64) -> i64 {
        let part = i128::from(self.subsidy) * i128::from(amount);
        if self.amount == 0 {
            0
        } else {
            i64::try_from(rounded(part, self.amount.into())).unwrap_or(i64::MAX)
        }
    }
}

fn minor(money: Option<Money>) -> i64 {
    money.map_or(0, |money| money.minor)
}

impl Subsidy {
    pub(super) fn of(placed: &Placed) -> Subsidy {
        let lines = placed.lines.iter().filter(|line| line.subsidy_minor() > 0);
        let lines =
            lines.map(|line| (line.listing, (i64::from(line.quantity.get()), line.subsidy_minor(), 0)));
        Subsidy { total: placed.subsidy_minor(), lines: lines.collect(), ..Subsidy::default() }
    }

    /// Takes in that a line has more units: what the platform pays of it is of all of them.
    pub(super) fn grow(&mut self, listing: ListingId, more: Quantity) {
        if let Some((units, ..)) = self.lines.get_mut(&listing) {
            *units += i64::from(more.get());
        }
    }

    /// Enters an event about the order, and says what it says wrongly of the platform's part.
    pub(super) fn enter(&mut self, event: &Event) -> Option<String> {
        match event {
            Event::OrderShipped(shipped) => {
                let amount = shipped.lines.iter().map(|line| line.amount.minor).sum::<i64>()
                    + minor(shipped.shipping.map(|shipping| shipping.amount));
                let (subsidy, wrong) = self.went(&shipped.lines);
                self.shipments.insert(shipped.shipment, Share { amount, subsidy });
                wrong
            }
            Event::OrderCancelled(cancelled) => {
                let (subsidy, wrong) = self.went(&cancelled.lines);
                self.due += subsidy;
                wrong
            }
            Event::OrderRefunded(refunded) => {
                let due = self.shipment(refunded.shipment).take(refunded.amount.minor);
                self.due += due;
                differs("what was given back", due, minor(refunded.subsidy))
            }
            // What is returned is units, and their part is looked at with them.
            Event::EscrowFrozen(frozen) if frozen.reason == FreezeReason::Return => {
                let (amount, subsidy) = (frozen.transfer.amount.minor, minor(frozen.subsidy));
                let share = self.shipment(frozen.shipment);
                share.amount -= amount;
                share.subsidy -= subsidy;
                self.frozen.insert(frozen.shipment, Share { amount, subsidy });
                None
            }
            Event::EscrowFrozen(frozen) => {
                let amount = frozen.transfer.amount.minor;
                let subsidy = self.shipment(frozen.shipment).take(amount);
                self.frozen.insert(frozen.shipment, Share { amount, subsidy });
                differs("what was frozen", subsidy, minor(frozen.subsidy))
            }
            Event::EscrowUnfrozen(unfrozen) => {
                let frozen = self.frozen.remove(&unfrozen.shipment).unwrap_or_default();
                let share = self.shipment(unfrozen.shipment);
                share.amount += frozen.amount;
                share.subsidy += frozen.subsidy;
                None
            }
            Event::EscrowSettled(settled) => {
                let frozen = self.frozen.remove(&settled.shipment).unwrap_or_default();
                let back = settled.transfers.iter().filter(|transfer| super::is_refund(transfer.to));
                self.due += frozen.part(back.map(|transfer| transfer.amount.minor).sum());
                self.check_returned()
            }
            Event::OrderChargedBack(charged) => {
                for shipment in &charged.unfrozen_of {
                    let frozen = self.frozen.remove(shipment).unwrap_or_default();
                    let share = self.shipment(*shipment);
                    share.amount += frozen.amount;
                    share.subsidy += frozen.subsidy;
                }
                // What a bank gave back is of what the buyer paid.
                for cut in &charged.cuts {
                    self.shipment(cut.shipment).amount -= cut.amount.minor;
                }
                None
            }
            Event::EscrowRefunded(_) => self.check_returned(),
            Event::EscrowSubsidized(_) => differs("the order", self.total, self.paid_in),
            _ => None,
        }
    }

    fn shipment(&mut self, shipment: ShipmentNumber) -> &mut Share {
        self.shipments.entry(shipment).or_default()
    }

    /// Counts units that went, and sums what the platform pays of them: each unit of a line the same, and one minor unit more of
    /// the first ones.
    fn went(&mut self, units: &[LineUnits]) -> (i64, Option<String>) {
        let (mut sum, mut wrong) = (0, None);
        for went in units {
            let due = self.lines.get_mut(&went.listing).map_or(0, |(units, subsidy, gone)| {
                let before = *gone;
                *gone += i64::from(went.quantity.get());
                (before..*gone).map(|nth| *subsidy / *units + i64::from(nth < *subsidy % *units)).sum()
            });
            sum += due;
            wrong = wrong.or_else(|| differs("units that went", due, minor(went.subsidy)));
        }
        (sum, wrong)
    }

    fn check_returned(&self) -> Option<String> {
        differs("what goes back", self.due, self.returned)
    }
}

fn differs(of: &str, due: i64, found: i64) -> Option<String> {
    (due != found).then(|| format!("of {of} the platform's part is {due} minor units, and not {found}"))
}
