//! Other units in the place of those that buyers send back.

use commands::command::{ApproveReturn, CancelOrder, Exchange, RequestReturn, Substitute};
use events::account::Tier;
use events::market::PurchaseLimit;
use events::order::{EscrowHeld, LinePrice, Placed};
use events::returns::ReturnEnd;
use events::returns::replacement::{NoReplacement, ReplacementGivenUp, ReplacementReserved, Replaces};

use super::*;

/// Variants of the tea, besides it.
const GREEN: u64 = 50;
const GOLDEN: u64 = 51;

/// Wants units in the place of teas.
fn swap(order: OrderId, lines: &[(u64, u32)], instead: &[(u64, u64)], region: Option<&str>) -> Command {
    let Command::RequestReturn(asked) = ask_return(order, 1, lines) else { panic!() };
    let instead = instead.iter().map(|(of, with)| Substitute { of: listing(*of), with: listing(*with) });
    let region = region.map(crate::support::region);
    let exchange = Some(Exchange { instead: instead.collect(), region });
    RequestReturn { exchange, ..asked }.into()
}

/// Adds a cheaper tea of which there are three, and a dearer one.
fn with_variants(world: &mut World) {
    let variant = |n, price, kind| {
        let Command::CreateListing(asked) = create_variant(n, TEA, &[("kind", kind)]) else { panic!() };
        Command::from(commands::command::CreateListing { price, ..asked })
    };
    world
        .given(SELLER, variant(GREEN, usd(400), "green"))
        .given(SELLER, receive(GREEN, 3))
        .given(SELLER, variant(GOLDEN, usd(900), "golden"))
        .given(SELLER, receive(GOLDEN, 3));
}

fn reserved(world: &World, n: u64) -> u64 {
    world.market.listings.get(listing(n)).unwrap().stock.reserved
}

fn types(world: &World) -> Vec<&'static str> {
    world.events().iter().map(Event::type_name).collect()
}

/// Gives the order that was placed last for a return.
fn replacement(world: &World) -> Placed {
    let placed = world.events().iter().find_map(|event| match event {
        Event::OrderPlaced(placed) => Some(placed.clone()),
        _ => None,
    });
    placed.expect("an order was placed")
}

fn given_up(world: &World) -> Option<(NoReplacement, usize)> {
    world.events().iter().find_map(|event| match event {
        Event::ReplacementGivenUp(ReplacementGivenUp { why, freed, .. }) => Some((*why, freed.len())),
        _ => None,
    })
}

#[test]
fn what_comes_back_is_replaced_by_an_order_that_its_money_pays() {
    for ((mut world, order), is_paid) in [(paid(), true), (inspected(), false)] {
        world.given(BUYER, swap(order, &[(TEA, 2)], &[], None));
        let replaced_by = world.order(0);
        assert_eq!(reserved(&world, TEA), 0, "nothing is reserved before it is approved");
        world.when(SELLER, approve_return(order, 1));
        let [Event::ReturnApproved(_), Event::ReplacementReserved(kept)] = world.events() else { panic!() };
        let ReplacementReserved { lines, number, order: of } = kept;
        assert_eq!((lines.len(), lines[0].quantity.get(), *number, *of), (1, 2, nth_return(1), order));
        assert_eq!((reserved(&world, TEA), stock(&world, TEA)), (2, (7, 0)));
        world.given(BUYER, send_return(order, 1)).when(SELLER, receive_return(order, 1));
        let refunded = ["return.received.v1", "return.refunded.v1"].into_iter();
        let settled = (!is_paid).then_some("escrow.settled.v1");
        let placed = ["order.placed.v1", "escrow.held.v1"];
        assert_eq!(types(&world), refunded.chain(settled).chain(placed).collect::<Vec<_>>());
        let placed = replacement(&world);
        assert_eq!((placed.order, placed.total, placed.payable()), (replaced_by, usd(1000), usd(1000)));
        assert_eq!(placed.replaces, Some(Replaces { number: nth_return(1), order }));
        assert_eq!((placed.group, placed.accept_by, placed.shipping), (None, None, None));
        let held = EscrowHeld {
            order: replaced_by,
            release: None,
            transfer: transfer(1000, wallet(), LedgerAccount::Escrow(replaced_by)),
        };
        assert_eq!(world.events().last(), Some(&held.into()));
        // The teas came back, and two others wait to be shipped; the buyer's money waits with them.
        assert_eq!((reserved(&world, TEA), stock(&world, TEA)), (2, (9, 0)));
        then_holds(&world, [(wallet(), 6000), (LedgerAccount::Escrow(replaced_by), 1000)]);
        world.given(SELLER, ship(replaced_by)).given(BUYER, confirm(replaced_by));
        assert_eq!((reserved(&world, TEA), stock(&world, TEA)), (0, (7, 0)));
        then_holds(&world, [(LedgerAccount::Escrow(replaced_by), 0), (wallet(), 6000)]);
        // What replaces something may itself be returned.
        world.given(BUYER, ask_return(replaced_by, 1, &[]));
    }
}

#[test]
fn a_replacement_that_is_cancelled_is_paid_back_as_any_order() {
    let (mut world, order) = paid();
    world.given(BUYER, swap(order, &[(TEA, 2)], &[], None));
    let replaced_by = world.order(0);
    world
        .given(SELLER, approve_return(order, 1))
        .when(BUYER, CancelOrder { lines: None, order: replaced_by, reason: None })
        .then_rejected([Rejection::OrderUnknown { order: replaced_by }])
        .given(SELLER, receive_return(order, 1))
        .given(BUYER, cancel(replaced_by));
    then_holds(&world, [(wallet(), 7000), (LedgerAccount::Escrow(replaced_by), 0)]);
    assert_eq!(reserved(&world, TEA), 0);
}

#[test]
fn a_cheaper_variant_leaves_the_buyer_the_difference_and_a_card_its_part_of_that() {
    let mut world = shop(taking_back(true), false);
    with_variants(&mut world);
    let order = world.placed(BUYER, place_by_card(&[(TEA, 2)], usd(1000), Some(usd(400))));
    let payment = world.payment();
    world
        .given(PROVIDER, report(payment, took("charge", usd(600))))
        .given(SELLER, ship(order))
        .given(BUYER, confirm(order));
    world
        .given(BUYER, swap(order, &[(TEA, 1)], &[(TEA, GREEN)], None))
        .given(SELLER, approve_return(order, 1));
    assert_eq!((reserved(&world, TEA), reserved(&world, GREEN)), (0, 1));
    world.when(SELLER, receive_return(order, 1));
    assert_eq!(replacement(&world).total, usd(400));
    // Of the dollar that goes back, the card had paid six tenths.
    then_holds(&world, [(wallet(), 9600 + 40), (LedgerAccount::RefundsPayable, 60)]);
    // When the other tea comes back for its money, the card gets its part of that, and no more.
    world.given(BUYER, ask_return(order, 1, &[(TEA, 1)])).given(SELLER, approve_return(order, 2));
    world.given(SELLER, receive_return(order, 2));
    then_holds(&world, [(wallet(), 9600 + 40 + 200), (LedgerAccount::RefundsPayable, 360)]);
}

#[test]
fn more_of_the_same_costs_what_was_paid_for_it_though_it_is_dearer_now_and_no_more_with_its_tax() {
    // 19 % on top of 5 dollars; and of 5.95 the highest price whose tax still fits.
    for (inside, net, tax_minor) in [(false, 500, 95), (true, 595, 95)] {
        let mut world = shop(taking_back(true), false);
        world.given(OPERATOR, if inside { tax_inside("DE", 1900) } else { tax("DE", None, 1900) });
        if inside {
            world.given(
                SELLER,
                commands::command::UpdateListing { price: Some(usd(595)), ..update(TEA) }.into(),
            );
        }
        let order = world.placed(BUYER, buy(&[(TEA, 1)], None, Some("DE"), usd(595)));
        world.given(SELLER, ship(order)).given(BUYER, confirm(order));
        world.given(SELLER, commands::command::UpdateListing { price: Some(usd(900)), ..update(TEA) }.into());
        world
            .when(BUYER, swap(order, &[], &[], None))
            .then_rejected([Rejection::AddressRequired])
            .given(BUYER, swap(order, &[], &[], Some("DE")))
            .given(SELLER, approve_return(order, 1))
            .when(SELLER, receive_return(order, 1));
        let placed = replacement(&world);
        let line = &placed.lines[0];
        let tax = line.tax.as_ref().unwrap();
        assert_eq!((placed.total, &line.price, tax.amount), (usd(595), &LinePrice::Exchange, usd(tax_minor)));
        assert_eq!(placed.fee.amount, usd((net - if inside { 95 } else { 0 }) * 250 / 10_000 + 1));
    }
}

#[test]
fn what_is_wanted_must_be_a_variant_and_there_and_cost_no_more_than_was_paid() {
    let (mut world, order) = paid();
    with_variants(&mut world);
    let (tea, pot) = (listing(TEA), listing(POT));
    world
        .when(BUYER, swap(order, &[(TEA, 1)], &[(TEA, GOLDEN)], None))
        .then_rejected([ReturnRejection::ReplacementDearer {
            listing: listing(GOLDEN),
            paid: usd(500),
            price: usd(900),
        }
        .into()])
        .when(BUYER, swap(order, &[(POT, 1)], &[(POT, TEA)], None))
        .then_rejected([ReturnRejection::NotAVariant { listing: pot, with: tea }.into()])
        .when(BUYER, swap(order, &[(TEA, 1)], &[(POT, POT)], None))
        .then_rejected([ReturnRejection::NotReturned { listing: pot }.into()])
        .when(BUYER, swap(order, &[(TEA, 1)], &[(TEA, GREEN), (TEA, TEA)], None))
        .then_rejected([Rejection::DuplicateLine { listing: tea }])
        .when(BUYER, swap(order, &[(TEA, 1)], &[(TEA, 404)], None))
        .then_rejected([Rejection::ListingUnknown { listing: listing(404) }])
        .given(SELLER, pause(GREEN))
        .when(BUYER, swap(order, &[(TEA, 1)], &[(TEA, GREEN)], None))
        .then_rejected([Rejection::ListingUnavailable {
            listing: listing(GREEN),
            status: events::listing::ListingStatus::Paused,
        }])
        .given(SELLER, resume(GREEN))
        .given(BUYER, swap(order, &[(TEA, 1)], &[(TEA, GREEN)], None));
}

#[test]
fn units_of_which_the_platform_paid_a_part_are_not_exchanged() {
    let mut world = shop(taking_back(true), false);
    world.given(OPERATOR, platform_promotion(percent(1000)).into());
    let order = world.placed(BUYER, buy(&[(TEA, 2)], None, None, usd(1000)));
    world
        .given(SELLER, ship(order))
        .given(BUYER, confirm(order))
        .when(BUYER, swap(order, &[], &[], None))
        .then_rejected([ReturnRejection::ReplacementSubsidized { listing: listing(TEA) }.into()])
        .given(BUYER, ask_return(order, 1, &[]));
}

#[test]
fn a_seller_may_take_units_back_for_their_money_only() {
    let (mut world, order) = paid();
    let refund_only = ApproveReturn { number: nth_return(1), order, refund_only: true };
    world.given(BUYER, swap(order, &[(TEA, 2)], &[], None)).when(SELLER, refund_only);
    assert_eq!(given_up(&world), Some((NoReplacement::SellerRefunds, 0)));
    world.given(BUYER, send_return(order, 1)).when(SELLER, receive_return(order, 1));
    world.then_types(["return.received.v1", "return.refunded.v1"]);
    then_holds(&world, [(wallet(), 7000)]);
}

#[test]
fn what_is_gone_when_the_return_is_approved_is_not_replaced() {
    // It is lost, or not sold any more.
    for gone in [adjust(TEA, -7, events::stock::AdjustmentReason::Lost), withdraw(TEA)] {
        let (mut world, order) = paid();
        world
            .given(BUYER, swap(order, &[(TEA, 2)], &[], None))
            .given(SELLER, gone)
            .when(SELLER, approve_return(order, 1));
        assert_eq!(given_up(&world), Some((NoReplacement::Unavailable, 0)));
        world.given(BUYER, send_return(order, 1)).given(SELLER, receive_return(order, 1));
        then_holds(&world, [(wallet(), 7000)]);
    }
}

#[test]
fn nobody_says_anything_and_the_exchange_is_made() {
    let (mut world, order) = paid();
    world.given(BUYER, swap(order, &[(TEA, 2)], &[], None));
    let replaced_by = world.order(0);
    world.when_deadline().then_types(["return.approved.v1", "return.replacement_reserved.v1"]);
    world.given(BUYER, send_return(order, 1)).when_deadline();
    let placed = replacement(&world);
    assert_eq!((placed.order, placed.total), (replaced_by, usd(1000)));
    // Its seller does not ship it either: the buyer has his money.
    let shipped_by = placed.ship_by;
    while world.market.orders.get(replaced_by).is_some() {
        world.when_deadline();
    }
    assert_eq!(world.now, shipped_by);
    then_holds(&world, [(wallet(), 7000)]);
    assert_eq!(reserved(&world, TEA), 0);
}

#[test]
fn what_is_not_sent_back_is_not_replaced_and_nothing_stays_reserved() {
    for gives_up in [true, false] {
        let (mut world, order) = inspected();
        world.given(BUYER, swap(order, &[(TEA, 2)], &[], None)).given(SELLER, approve_return(order, 1));
        assert_eq!(reserved(&world, TEA), 2);
        if gives_up {
            world.when(BUYER, cancel_return(order, 1));
        } else {
            world.when_deadline();
        }
        world.then_types(["return.replacement_given_up.v1", "return.ended.v1", "escrow.unfrozen.v1"]);
        assert_eq!((given_up(&world), reserved(&world, TEA)), (Some((NoReplacement::ReturnEnded, 1)), 0));
        let outcome = world.events().iter().find_map(|event| match event {
            Event::ReturnEnded(ended) => Some(ended.outcome),
            _ => None,
        });
        let expected = if gives_up { ReturnEnd::Cancelled } else { ReturnEnd::Expired };
        assert_eq!(outcome, Some(expected));
    }
}

#[test]
fn what_something_is_kept_of_is_not_replaced_unless_an_operator_sees_it_otherwise() {
    for decides in [None, Some(ReturnDecision::Deny), Some(ReturnDecision::Approve)] {
        let (mut world, order) = inspected();
        world.given(BUYER, swap(order, &[(TEA, 2)], &[], None)).given(SELLER, approve_return(order, 1));
        world.given(BUYER, send_return(order, 1));
        world.given(SELLER, receive_as(order, 1, Some(&[(TEA, [1, 1, 0, 0])]), Some(usd(300))));
        assert_eq!(reserved(&world, TEA), 2, "it may yet be replaced");
        match decides {
            None => world.when_deadline(),
            Some(decision) => {
                world.given(BUYER, appeal_return(order, 1)).when(OPERATOR, decide_return(order, 1, decision))
            }
        };
        if decides == Some(ReturnDecision::Approve) {
            assert_eq!((given_up(&world), replacement(&world).total), (None, usd(1000)));
            assert_eq!(reserved(&world, TEA), 2);
        } else {
            assert_eq!((given_up(&world), reserved(&world, TEA)), (Some((NoReplacement::MoneyKept, 1)), 0));
            then_holds(&world, [(wallet(), 6000 + 700)]);
        }
    }
}

#[test]
fn units_are_reserved_where_they_are_and_leave_from_there() {
    let (mut world, order) = paid();
    world
        .given(SELLER, adjust(TEA, -7, events::stock::AdjustmentReason::Lost))
        .given(SELLER, at("berlin", receive(TEA, 5)))
        .given(BUYER, swap(order, &[(TEA, 2)], &[], None))
        .when(SELLER, approve_return(order, 1));
    let [_, Event::ReplacementReserved(kept)] = world.events() else { panic!() };
    assert_eq!(kept.lines[0].locations, located(&[("berlin", 2)]));
    world.given(BUYER, send_return(order, 1)).when(SELLER, receive_return(order, 1));
    let placed = replacement(&world);
    assert_eq!(placed.lines[0].locations, located(&[("berlin", 2)]));
    world.given(SELLER, ship(placed.order));
    let stock = &world.market.listings.get(listing(TEA)).unwrap().stock;
    let there = stock.at(Some(&"berlin".parse().unwrap()));
    assert_eq!((there.on_hand, there.reserved, stock.on_hand, stock.reserved), (3, 0, 5, 0));
}

#[test]
fn an_exchange_is_no_purchase_that_counts_towards_its_buyers_limits() {
    let escrow = events::market::EscrowTerms::default().returning(Some(thirty_days()));
    let limit = PurchaseLimit {
        currency: usd(0).currency,
        per_day_minor: 4000,
        per_order_minor: 4000,
        tier: Tier::new(0).unwrap(),
    };
    let terms = Terms { escrow: Some(escrow), purchase_limits: vec![limit], ..Terms::default() };
    let mut world = shop(World::on(terms), false);
    let order = delivered(&mut world, true);
    world.after(DAY_MS).given(BUYER, swap(order, &[], &[], None)).given(SELLER, approve_return(order, 1));
    world.given(SELLER, receive_return(order, 1));
    assert_eq!(replacement(&world).total, usd(4000));
    world.given(SELLER, receive(POT, 1)).given(BUYER, place(&[(TEA, 3), (POT, 1)], usd(4000)));
}
