//! Promotions, coupons, and how much a buyer may buy.

use super::*;

#[test]
fn a_seller_creates_and_ends_promotions() {
    let mut world = shop();
    world.when(SELLER, coupon("TEA-10", percent(1000), Some(5)));
    let promotion = world.promotion();
    let created = Created {
        code: Some("TEA-10".parse().unwrap()),
        from: world.now,
        gives: percent(1000),
        listings: Default::default(),
        min_spend: None,
        promotion,
        seller: Some(SELLER.account()),
        title: "Sale".to_owned(),
        until: None,
        uses: Some(5),
        uses_per_account: None,
    };
    let ended = Ended { promotion, seller: Some(SELLER.account()) };
    world
        .then_events([created.into()])
        .when_again()
        .then_repeat()
        .when(OTHER_SELLER, end(promotion))
        .then_rejected([Rejection::NotYourPromotion { promotion }])
        .when(SELLER, end(promotion))
        .then_events([ended.clone().into()])
        .when(SELLER, end(promotion))
        .then_rejected([Rejection::PromotionUnknown { promotion }])
        .given(SELLER, coupon("TEA-10", percent(1000), None));
    let again = world.promotion();
    world.when(OPERATOR, end(again)).then_events([Ended { promotion: again, ..ended }.into()]);
}

#[test]
fn a_promotion_that_says_nothing_or_contradicts_itself_is_refused() {
    let mut world = shop();
    let now = world.now;
    let (cup, tea) = (listing(CUP), listing(TEA));
    let plain = || promotion(percent(1000));
    let not_yours = Rejection::NotYourListing { listing: cup };
    let uses = Rejection::PromotionUses { max: COUNTED_USES_MAX };
    for (wish, reason) in [
        (promotion(percent(0)), Rejection::AmountNotPositive),
        (promotion(Benefit::Amount(usd(0))), Rejection::AmountNotPositive),
        (CreatePromotion { min_spend: Some(usd(0)), ..plain() }, Rejection::AmountNotPositive),
        (CreatePromotion { until: Some(now), ..plain() }, Rejection::PromotionPeriod),
        (
            CreatePromotion { from: Some(now.plus_ms(9)), until: Some(now.plus_ms(9)), ..plain() },
            Rejection::PromotionPeriod,
        ),
        (CreatePromotion { listings: [tea, cup].into(), ..plain() }, not_yours),
        (CreatePromotion { uses: Some(0), ..plain() }, uses.clone()),
        (CreatePromotion { uses_per_account: Some(1), ..plain() }, uses.clone()),
        (CreatePromotion { uses: Some(1), uses_per_account: Some(2), ..plain() }, uses.clone()),
        (CreatePromotion { uses: Some(COUNTED_USES_MAX + 1), uses_per_account: Some(2), ..plain() }, uses),
    ] {
        world.when(SELLER, wish).then_rejected([reason]);
    }
    world.given(OTHER_SELLER, coupon("TEA", percent(1), None));
    let taken = Rejection::CouponTaken { coupon: "TEA".parse().unwrap(), promotion: world.promotion() };
    world.when(SELLER, coupon("TEA", percent(1), None)).then_rejected([taken]);
}

#[test]
fn promotions_that_are_over_leave_room_and_their_codes_to_others() {
    let mut world = shop();
    let until = Some(world.now.plus_ms(DAY_MS));
    for n in 0..PROMOTIONS_MAX {
        let code = Some(format!("CODE-{n}").parse().unwrap());
        world.given(SELLER, CreatePromotion { code, until, ..promotion(percent(1)) }.into());
    }
    world
        .when(SELLER, coupon("ONE-MORE", percent(1), None))
        .then_rejected([Rejection::TooManyPromotions { max: PROMOTIONS_MAX as u32 }])
        .after(DAY_MS)
        .given(SELLER, coupon("CODE-0", percent(100), None));
    assert_eq!(world.market.promotions.iter().count(), 1);
    world.given(BUYER, buy(&[(TEA, 1)], Some("CODE-0"), None, usd(1000)));
}

#[test]
fn a_promotion_without_a_code_is_given_to_everybody_and_the_best_one_only() {
    let mut world = shop();
    world.given(SELLER, promotion(percent(1000)).into());
    let amount = CreatePromotion { listings: [listing(POT)].into(), ..promotion(Benefit::Amount(usd(150))) };
    world.given(SELLER, amount.into());
    let best = world.promotion();
    // 10 % of 13.33 is less than 1.50.
    world.given(BUYER, buy(&[(TEA, 1), (POT, 1)], None, None, usd(1183)));
    let order = placed(&world).remove(0);
    let discounts: Vec<_> = order.lines.iter().map(|line| line.discounts.clone()).collect();
    assert_eq!(
        discounts,
        [vec![], vec![Discount { amount: usd(150), paid_by: PaidBy::Seller, promotion: best }]]
    );
    assert_eq!((order.total, order.fee.amount), (usd(1183), usd(30)));
    // Of 33.33 it is more.
    world.given(BUYER, buy(&[(TEA, 3), (POT, 1)], None, None, usd(10_000)));
    assert_eq!(placed(&world)[0].total, usd(2700 + 300));
}

#[test]
fn a_coupon_comes_on_top_of_what_everybody_gets_and_taxes_come_last() {
    let mut world = shop();
    world
        .given(SELLER, promotion(percent(1000)).into())
        .given(SELLER, coupon("TEA", Benefit::Amount(usd(101)), None))
        .given(OPERATOR, tax("DE", None, 1900))
        .given(BUYER, buy(&[(TEA, 1), (CUP, 1)], Some("TEA"), Some("DE"), usd(10_000)));
    let mut orders = placed(&world);
    orders.sort_by_key(|order| order.seller != SELLER.account());
    // 10.00 less 1.00 less 1.01, and 19 % (1.5181) on that; the other seller gives nothing.
    let line = &orders[0].lines[0];
    let off: Vec<_> = line.discounts.iter().map(|discount| discount.amount.minor).collect();
    assert_eq!((off, line.total), (vec![100, 101], usd(799 + 152)));
    assert_eq!((orders[1].total, orders[1].lines[0].discounts.len()), (usd(595), 0));
}

#[test]
fn goods_are_never_free_and_quoted_lines_never_cheaper() {
    let mut world = shop();
    world.given(SELLER, promotion(percent(10_000)).into()).given(BUYER, place(&[(TEA, 2), (POT, 1)], usd(2)));
    assert_eq!(placed(&world)[0].total, usd(2));
    let exp = world.now.plus_ms(DAY_MS);
    let quoted = quote(SELLER, BUYER, (TEA, 2), usd(1500), exp);
    world.when_quoted([quoted], BUYER, place(&[(TEA, 2)], usd(1500)));
    let order = placed(&world).remove(0);
    assert_eq!((order.total, order.lines[0].discounts.len()), (usd(1500), 0));
    world.given(SELLER, end(order_promotion(&world)));
    world.given(SELLER, promotion(Benefit::Amount(usd(99_999))).into());
    world.given(BUYER, place(&[(TEA, 2), (POT, 1)], usd(2)));
    assert_eq!(placed(&world)[0].total, usd(2));
}

/// Gives the promotion that there is.
fn order_promotion(world: &World) -> events::ids::PromotionId {
    *world.market.promotions.iter().next().unwrap().0
}

#[test]
fn a_coupon_that_gives_nothing_is_refused_with_the_reason() {
    let mut world = shop();
    let (soon, later) = (world.now.plus_ms(1), world.now.plus_ms(DAY_MS));
    let with = |code: &str, wish: CreatePromotion| -> Command {
        CreatePromotion { code: Some(code.parse().unwrap()), ..wish }.into()
    };
    let plain = || promotion(percent(1000));
    world
        .given(SELLER, with("EARLY", CreatePromotion { from: Some(later), ..plain() }))
        .given(SELLER, with("LATE", CreatePromotion { until: Some(soon), ..plain() }))
        .given(SELLER, with("POTS", CreatePromotion { listings: [listing(POT)].into(), ..plain() }))
        .given(SELLER, with("MUCH", CreatePromotion { min_spend: Some(usd(1001)), ..plain() }))
        .given(SELLER, with("EUROS", promotion(Benefit::Amount(eur(100)))))
        .given(SELLER, with("EURO-SPEND", CreatePromotion { min_spend: Some(eur(1)), ..plain() }))
        .given(OTHER_SELLER, with("CUPS", plain()))
        .after(1);
    for (code, problem) in [
        ("NONE", CouponProblem::Unknown),
        ("EARLY", CouponProblem::TooEarly),
        ("LATE", CouponProblem::TooLate),
        ("POTS", CouponProblem::NothingEligible),
        ("CUPS", CouponProblem::NothingEligible),
        ("MUCH", CouponProblem::MinSpend),
        ("EUROS", CouponProblem::Currency),
        ("EURO-SPEND", CouponProblem::Currency),
    ] {
        let coupon = code.parse().unwrap();
        world
            .when(BUYER, buy(&[(TEA, 1)], Some(code), None, usd(1000)))
            .then_rejected([Rejection::CouponInvalid { coupon, problem }]);
    }
    // What must be spent counts before anything is taken off.
    world
        .given(SELLER, plain().into())
        .given(BUYER, buy(&[(TEA, 1), (POT, 1)], Some("MUCH"), None, usd(1333)));
    assert_eq!(placed(&world)[0].total, usd(810 + 270));
}

#[test]
fn the_last_use_of_a_coupon_is_given_once_and_comes_back_when_nothing_was_shipped() {
    let mut world = shop();
    world.given(SELLER, coupon("LAST", percent(5000), Some(1)));
    let with = || buy(&[(TEA, 1)], Some("LAST"), None, usd(1000));
    let exhausted = Rejection::CouponExhausted { by_account: false, coupon: "LAST".parse().unwrap() };
    let order = world.placed(BUYER, with());
    world.when(OTHER_BUYER, with()).then_rejected([exhausted.clone()]).given(BUYER, cancel(order));
    let order = world.placed(OTHER_BUYER, with());
    world.when(BUYER, with()).then_rejected([exhausted.clone()]);
    // What was shipped has used it up.
    world.given(SELLER, ship(order)).given(OTHER_BUYER, confirm(order));
    world.when(BUYER, with()).then_rejected([exhausted]);
    assert_eq!(held(&world, earned()), usd(500 - 13));
}

#[test]
fn a_use_of_an_account_is_counted_and_given_back() {
    let mut world = shop();
    let wish = CreatePromotion {
        code: Some("ONCE".parse().unwrap()),
        uses: Some(3),
        uses_per_account: Some(1),
        ..promotion(percent(5000))
    };
    world.given(SELLER, wish.into());
    let with = || buy(&[(TEA, 1)], Some("ONCE"), None, usd(1000));
    let exhausted = |by_account| Rejection::CouponExhausted { by_account, coupon: "ONCE".parse().unwrap() };
    let order = world.placed(BUYER, with());
    world.when(BUYER, with()).then_rejected([exhausted(true)]).given(OTHER_BUYER, with());
    world.given(SELLER, cancel(order)).given(BUYER, with());
    // Ended while orders have it, it is gone with them.
    let promotion = order_promotion(&world);
    let order = world.order(0);
    world.given(SELLER, end(promotion)).given(BUYER, cancel(order));
    assert_eq!(world.market.promotions.get(promotion), None);
}

#[test]
fn a_cart_is_bought_with_a_coupon_and_a_delivery() {
    let mut world = shop();
    world.given(SELLER, coupon("TEA", percent(1000), None)).given(OPERATOR, tax("DE", None, 1000));
    world.given(BUYER, add(TEA, 1));
    let Command::MigrateCart(command) = migrate(world.cart(BUYER), usd(990)) else { unreachable!() };
    let coupon = Some("TEA".parse().unwrap());
    world.given(BUYER, commands::command::MigrateCart { coupon, delivery: to("DE"), ..command }.into());
    assert_eq!(placed(&world)[0].total, usd(990));
}

#[test]
fn a_coupon_is_kept_in_the_cart_and_redeemed_when_it_is_bought() {
    let mut world = shop();
    let applied = |world: &World, code: &str, version| -> Event {
        let (account, cart) = (BUYER.account(), world.cart(BUYER));
        CouponApplied { account, cart, coupon: code.parse().unwrap(), version }.into()
    };
    let coupon_of = |code: &str, gives| coupon(code, gives, Some(1));
    world
        .given(SELLER, coupon_of("TEN", percent(1000)))
        .given(SELLER, coupon_of("HALF", percent(5000)))
        .when(BUYER, apply_coupon("TEN"))
        .then_rejected([Rejection::CartMissing])
        .given(BUYER, add(TEA, 1))
        .when(BUYER, apply_coupon("NONE"))
        .then_rejected([Rejection::CouponInvalid {
            coupon: "NONE".parse().unwrap(),
            problem: CouponProblem::Unknown,
        }])
        .when(BUYER, remove_coupon())
        .then_unchanged()
        .when(BUYER, apply_coupon("TEN"));
    let first = applied(&world, "TEN", 2);
    world.then_events([first]).when(BUYER, apply_coupon("TEN")).then_unchanged();
    world.when(BUYER, apply_coupon("HALF"));
    let second = applied(&world, "HALF", 3);
    let (account, cart, coupon) = (BUYER.account(), world.cart(BUYER), "HALF".parse().unwrap());
    world
        .then_events([second])
        .when(BUYER, remove_coupon())
        .then_events([CouponRemoved { account, cart, coupon, version: 4 }.into()])
        .given(BUYER, apply_coupon("HALF"))
        .given(BUYER, freeze(world_soon()))
        .when(BUYER, apply_coupon("TEN"))
        .then_rejected([Rejection::CartFrozen { until: world_soon() }])
        .when(BUYER, remove_coupon())
        .then_rejected([Rejection::CartFrozen { until: world_soon() }]);
    let asked = |coupon: Option<&str>, code: Option<&str>| Asked {
        coupon: coupon.map(|code| code.parse().unwrap()),
        region: code.map(region),
    };
    let previewed = |world: &World, asked| preview(&world.market, account, &asked, world.now).unwrap();
    assert_eq!(previewed(&world, asked(None, None)).total, Some(usd(500)));
    assert_eq!(previewed(&world, asked(Some("TEN"), None)).total, Some(usd(900)));
    // Somebody else uses it up: the preview tells, and nothing is bought.
    let other = world.placed(OTHER_BUYER, buy(&[(TEA, 1)], Some("HALF"), None, usd(500)));
    let exhausted = Rejection::CouponExhausted { by_account: false, coupon: "HALF".parse().unwrap() };
    assert_eq!(previewed(&world, asked(None, None)).problems, std::slice::from_ref(&exhausted));
    world.when(BUYER, migrate(cart, usd(1000))).then_rejected([exhausted]).given(OTHER_BUYER, cancel(other));
    world.given(OPERATOR, tax("DE", None, 1000));
    assert_eq!(previewed(&world, asked(None, None)).problems, [Rejection::AddressRequired]);
    let told = previewed(&world, asked(None, Some("DE")));
    assert_eq!((told.total, told.problems.len()), (Some(usd(550)), 0));
    let Command::MigrateCart(command) = migrate(cart, usd(550)) else { unreachable!() };
    world.given(BUYER, commands::command::MigrateCart { delivery: to("DE"), ..command }.into());
    assert_eq!(placed(&world)[0].total, usd(550));
}

/// When the cart of the test above is no longer frozen.
fn world_soon() -> events::Timestamp {
    START.plus_ms(3_600_000)
}

// Parts of orders.

/// What was shipped or cancelled in a step of the table below: amount, tax, and of the first shipment the delivery.
type Went = (i64, i64, i64);

#[test]
fn parts_of_a_discounted_taxed_line_add_up_to_the_unit() {
    // Three teas at 10.00 less 10 % and 1.00 off, 7 % on top: 26.00 + 1.82 = 27.82; delivery 4.99 + 0.35 (0.3493).
    let steps: [(&str, u32, Went); 3] =
        [("ship", 1, (928, 61, 534)), ("cancel", 1, (927, 61, 0)), ("ship", 1, (927, 60, 0))];
    let mut world = World::charging(FeePolicy::new(1000, 0, 0, None).unwrap());
    world
        .given_listing(SELLER, TEA, usd(1000), 10)
        .given(PROVIDER, fund(BUYER, usd(10_000)))
        .given(SELLER, promotion(percent(1000)).into())
        .given(SELLER, coupon("ONE", Benefit::Amount(usd(100)), None))
        .given(SELLER, set_rate("post", None, rate(499, None, None)))
        .given(OPERATOR, tax("DE", None, 700));
    let order = world.placed(BUYER, buy(&[(TEA, 3)], Some("ONE"), Some("DE"), usd(10_000)));
    assert_eq!(placed(&world)[0].total, usd(2782 + 534));
    for (step, units, went) in steps {
        match step {
            "ship" => world.given(SELLER, ship_units(order, &[(TEA, units)])),
            _ => world.given(BUYER, cancel_units(order, &[(TEA, units)])),
        };
        let (lines, shipping) = match &world.events()[0] {
            Event::OrderShipped(shipped) => (shipped.lines.clone(), shipped.shipping),
            Event::OrderCancelled(cancelled) => (cancelled.lines.clone(), cancelled.shipping),
            other => panic!("{other:?}"),
        };
        let minor = |money: Option<Money>| money.map_or(0, |money| money.minor);
        let found = (lines[0].amount.minor, minor(lines[0].tax), minor(shipping.map(|charge| charge.amount)));
        assert_eq!(found, went, "{step}");
    }
    // The fee is 10 % of what is no tax, 3.10 of 30.99, and of each part its part.
    world.given(BUYER, confirm_shipment(order, 1));
    then_books(&world, order, 10_000 - 3316 + 927, (867 + 499) * 9 / 10, 137, 61 + 35);
    world.given(BUYER, confirm_shipment(order, 2));
    then_books(&world, order, 10_000 - 3316 + 927, 867 + 499 + 867 - 223, 223, 61 + 35 + 60);
    assert_eq!(world.market.orders.open_count(), 0);
}

#[track_caller]
fn then_books(world: &World, order: OrderId, in_wallet: i64, net: i64, fees: i64, taxes: i64) {
    let books = [wallet(), earned(), LedgerAccount::PlatformFees, LedgerAccount::PlatformTax];
    let found = books.map(|account| held(world, account).minor);
    assert_eq!(found, [in_wallet, net, fees, taxes]);
    let rest = 10_000 - in_wallet - net - fees - taxes;
    assert_eq!(held(world, LedgerAccount::Escrow(order)), usd(rest));
}

#[test]
fn an_order_of_which_all_that_is_paid_is_tax_has_no_fee() {
    let mut world = shop();
    let all =
        SetTax { bps: Bps::new(10_000).unwrap(), inclusive: true, region: region("DE"), tax_class: None };
    world.given_listing(SELLER, 9, usd(1), 1).given(OPERATOR, all.into());
    let order = world.placed(BUYER, buy(&[(9, 1)], None, Some("DE"), usd(1)));
    assert_eq!(placed(&world)[0].fee.amount, usd(0));
    world.given(SELLER, ship(order)).given(BUYER, confirm(order));
    assert_eq!(held(&world, LedgerAccount::PlatformTax), usd(1));
}

// The fee.

#[test]
fn the_fee_stands_in_the_order_with_all_it_was_computed_from() {
    let mut world = World::charging(FeePolicy::new(100, 7, 50, Some(80)).unwrap());
    world.given_listing(SELLER, TEA, usd(1000), 10).given(PROVIDER, fund(BUYER, usd(10_000)));
    world.given(BUYER, place(&[(TEA, 1)], usd(1000)));
    let fee = placed(&world)[0].fee;
    assert_eq!(
        (fee.amount, fee.bps, fee.fixed_minor, fee.min_minor, fee.max_minor),
        (usd(50), 100, 7, Some(50), Some(80))
    );
}

// Limits.

pub(crate) fn limited(limits: &[(u32, i64, i64)]) -> World {
    let currency = usd(0).currency;
    let limits = limits.iter().map(|(tier, per_order_minor, per_day_minor)| PurchaseLimit {
        currency,
        per_day_minor: *per_day_minor,
        per_order_minor: *per_order_minor,
        tier: events::account::Tier::new(*tier).unwrap(),
    });
    let mut world = World::on(Terms { purchase_limits: limits.collect(), ..Terms::default() });
    world
        .given_listing(SELLER, TEA, usd(1000), 100)
        .given_listing(SELLER, POT, eur(1000), 100)
        .given(PROVIDER, fund(BUYER, usd(100_000)))
        .given(PROVIDER, fund(BUYER, eur(100_000)));
    world
}

#[test]
fn the_registrar_and_operators_say_how_well_a_buyer_is_known() {
    let mut world = shop();
    let verified = |tier| -> Event {
        Verified { account: BUYER.account(), tier: events::account::Tier::new(tier).unwrap() }.into()
    };
    let account = SELLER.account();
    world
        .when(REGISTRAR, verify(BUYER, 2))
        .then_events([verified(2)])
        .when(OPERATOR, verify(BUYER, 2))
        .then_unchanged()
        .when(OPERATOR, verify(BUYER, 0))
        .then_events([verified(0)])
        .when(OPERATOR, verify(SELLER, 1))
        .then_rejected([Rejection::RoleMissing { account, role: events::account::Role::Buyer }]);
}

#[test]
fn one_checkout_is_limited_by_the_tier_of_the_buyer() {
    let mut world = limited(&[(0, 2000, 9000), (1, 3000, 9000), (2, 3000, 9000), (3, 3000, 9000)]);
    let tier = Default::default();
    let kyc = Rejection::KycRequired { limit: usd(2000), tier, total: usd(3000) };
    let most =
        |limit, total| Rejection::PurchaseLimit { limit: usd(limit), per_day: false, total: usd(total) };
    world
        .given(BUYER, place(&[(TEA, 2)], usd(2000)))
        .when(BUYER, place(&[(TEA, 3)], usd(3000)))
        .then_rejected([kyc])
        .when(BUYER, place(&[(TEA, 4)], usd(4000)))
        .then_rejected([most(2000, 4000)])
        .given(OPERATOR, verify(BUYER, 1))
        .given(BUYER, place(&[(TEA, 3)], usd(3000)))
        .when(BUYER, place(&[(TEA, 4)], usd(4000)))
        .then_rejected([most(3000, 4000)])
        // What is not limited is not.
        .given(BUYER, place(&[(POT, 9)], eur(9000)));
}

#[test]
fn a_day_is_limited_with_all_that_was_ordered_in_it() {
    let mut world = limited(&[(0, 2000, 3000)]);
    world.now = events::Timestamp::parse_rfc3339("2025-08-01T23:00:00Z").unwrap();
    let order = world.placed(BUYER, place(&[(TEA, 2)], usd(2000)));
    world.given(BUYER, cancel(order));
    let kyc = Rejection::KycRequired { limit: usd(3000), tier: Default::default(), total: usd(4000) };
    world
        .when(BUYER, place(&[(TEA, 2)], usd(2000)))
        .then_rejected([kyc])
        .given(BUYER, place(&[(TEA, 1)], usd(1000)))
        .after(2 * 3_600_000)
        .given(BUYER, place(&[(TEA, 2)], usd(2000)));
}
