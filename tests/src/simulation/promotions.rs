//! What is cheaper in a simulated market: what a seller pays himself, and what the platform pays. Neither for everybody, and not for
//! all of it, so that most orders are without.

use commands::Command;
use commands::command::CreatePromotion;
use events::Bps;
use events::promotion::{Benefit, PaidBy};

use super::people::{LISTINGS, OPERATORS, Person, SELLERS, listing, text};

/// How many orders may have one of them.
const USES: u32 = 25;
const USES_PER_ACCOUNT: u32 = 8;

pub(super) fn wishes() -> impl Iterator<Item = (Person, Command)> {
    let of = |paid_by, bps, listings| CreatePromotion {
        code: None,
        from: None,
        gives: Benefit::Percent(Bps::new(bps).expect("it is a part")),
        listings,
        min_spend: None,
        paid_by,
        title: text("Sale"),
        until: None,
        uses: Some(USES),
        uses_per_account: Some(USES_PER_ACCOUNT),
    };
    // The first seller has every third listing.
    let own = (0..LISTINGS).step_by(3).map(listing).collect();
    let some = (0..LISTINGS).step_by(2).map(listing).collect();
    let by_seller = (SELLERS[0], of(PaidBy::Seller, 1_500, own).into());
    [by_seller, (OPERATORS[0], of(PaidBy::Platform, 700, some).into())].into_iter()
}
