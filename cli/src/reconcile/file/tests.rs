use super::*;

const PLAIN: &str = "\
kind,reference,time,currency,amount,fee
begin,,2025-07-29T00:00:00Z,,,
payment,sbx_1,2025-07-29T10:00:00Z,USD,12.50,0.12
refund,sbr_1,2025-07-29T11:00:00Z,JPY,-5,0
end,2,2025-07-30T00:00:00Z,,,
";

const ACTIVITY: &str = "\
balance_transaction_id,created_utc,reporting_category,source_id,payment_intent_id,currency,gross,fee,net,\
customer_facing_amount,customer_facing_currency,description
txn_1,2025-07-29 10:00:00,charge,ch_1,pi_1,usd,20.00,0.88,19.12,20.00,usd,\"tea, two\"
txn_2,2025-07-29 10:00:01,partial_capture_reversal,ch_1,pi_1,usd,-5.00,0.00,-5.00,,,
txn_3,2025-07-29 11:00:00,refund,re_1,pi_1,usd,-3.00,0.00,-3.00,-3.00,usd,
txn_4,2025-07-29 12:00:00,refund_failure,re_1,pi_1,usd,3.00,0.00,3.00,,,
txn_5,2025-07-29 13:00:00,dispute,dp_1,pi_1,usd,-15.00,15.00,-30.00,,,
txn_6,2025-07-29 14:00:00,fee,,,usd,-1.10,0.00,-1.10,,,
txn_7,2025-07-29 15:00:00,charge,ch_2,,usd,11.00,0.40,10.60,10.00,eur,
txn_8,2025-07-29 16:00:00,adjustment,,,jpy,-500,0,-500,,,
";

const PAYOUTS: &str = "\
payout_id,effective_at_utc,balance_transaction_id,currency,gross,fee,net,reporting_category
po_1,2025-07-29 00:00:00,txn_1,usd,-4.00,0.00,-4.00,payout
po_1,2025-07-30 00:00:00,txn_2,usd,4.00,0.00,4.00,payout_reversal
";

fn money(minor: i64, code: &str) -> Money {
    Money::new(minor, code.parse().unwrap())
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

fn row(kind: MovementKind, reference: &str, time: &str, amount: Money) -> Row {
    Row { kind, reference: reference.to_owned(), at: at(time), amount }
}

#[test]
fn the_plain_form_is_read_with_its_period_and_its_fees() {
    let file = read(PLAIN.as_bytes()).unwrap();
    let period = Period { from: at("2025-07-29T00:00:00Z"), until: at("2025-07-30T00:00:00Z") };
    assert_eq!((file.format, file.period), (Format::Skylink, Some(period)));
    assert_eq!(
        file.rows,
        [
            row(MovementKind::Payment, "sbx_1", "2025-07-29T10:00:00Z", money(1250, "USD")),
            row(MovementKind::Refund, "sbr_1", "2025-07-29T11:00:00Z", money(-5, "JPY")),
        ]
    );
    assert_eq!(file.fees, [(at("2025-07-29T10:00:00Z"), money(12, "USD"))]);
}

#[test]
fn stripes_activity_is_read_by_what_the_market_knows_of_it() {
    let file = read(ACTIVITY.as_bytes()).unwrap();
    assert_eq!((file.format, file.period), (Format::StripeActivity, None));
    assert_eq!(
        file.rows,
        [
            // What of the payment was not taken is off.
            row(MovementKind::Payment, "pi_1", "2025-07-29T10:00:00Z", money(1500, "USD")),
            row(MovementKind::Refund, "re_1", "2025-07-29T11:00:00Z", money(-300, "USD")),
            row(MovementKind::RefundReturned, "re_1", "2025-07-29T12:00:00Z", money(300, "USD")),
            row(MovementKind::Chargeback, "dp_1", "2025-07-29T13:00:00Z", money(-1500, "USD")),
            // It is what the buyer paid, and has no intent.
            row(MovementKind::Payment, "ch_2", "2025-07-29T15:00:00Z", money(1000, "EUR")),
            row(MovementKind::Other, "txn_8", "2025-07-29T16:00:00Z", money(-500, "JPY")),
        ]
    );
    let fees: i64 = file.fees.iter().map(|(_, fee)| fee.minor).sum();
    assert_eq!(fees, 88 + 1500 + 110 + 40);
}

#[test]
fn stripes_payouts_are_read() {
    let file = read(PAYOUTS.as_bytes()).unwrap();
    assert_eq!(file.format, Format::StripePayouts);
    assert_eq!(
        file.rows,
        [
            row(MovementKind::Payout, "po_1", "2025-07-29T00:00:00Z", money(-400, "USD")),
            row(MovementKind::PayoutReturned, "po_1", "2025-07-30T00:00:00Z", money(400, "USD")),
        ]
    );
}

/// Changes one thing of a good file, and gives what is said of it.
#[track_caller]
fn wrong(file: &str, from: &str, to: &str) -> FileError {
    assert!(file.contains(from), "{from}");
    read(file.replacen(from, to, 1).as_bytes()).unwrap_err()
}

#[test]
fn stripes_payouts_may_have_a_day_alone_and_name_no_time_zone() {
    let other = PAYOUTS.replace("effective_at_utc", "effective_at").replace(" 00:00:00", "");
    assert_eq!(read(other.as_bytes()).unwrap().rows, read(PAYOUTS.as_bytes()).unwrap().rows);
}

#[test]
fn each_bad_line_of_the_plain_form_is_told_with_its_number() {
    let usd = "USD".parse().unwrap();
    let amount = |column, text: &str| Problem::Amount { column, text: text.to_owned(), currency: usd };
    for (from, to, line, problem) in [
        ("kind,ref", "sort,ref", 1, Problem::Header),
        ("begin,,2025-07-29T00:00:00Z,,,\n", "", 2, Problem::NoBegin),
        (
            "sbx_1,2025-07-29T10:00:00Z",
            "sbx_1,yesterday",
            3,
            Problem::Time { column: "time", text: "yesterday".to_owned() },
        ),
        ("payment,", "present,", 3, Problem::Kind("present".to_owned())),
        ("USD", "USX", 3, Problem::Currency("USX".to_owned())),
        ("12.50", "12.505", 3, amount("amount", "12.505")),
        ("12.50", "1e3", 3, amount("amount", "1e3")),
        ("12.50", "", 3, amount("amount", "")),
        ("0.12\n", "some\n", 3, amount("fee", "some")),
        (",sbx_1", ",", 3, Problem::Reference),
        (",sbx_1", ",4242 4242 4242 4242", 3, Problem::Card("reference".to_owned())),
        (",0\nend", "\nend", 4, Problem::Fields { found: 5, expected: 6 }),
        ("refund,sbr_1,2025-07-29T11", "refund,sbr_1,2025-07-28T11", 4, Problem::OutOfPeriod),
        ("end,2,2025-07-30T00:00:00Z,,,\n", "", 4, Problem::NoEnd),
        ("end,2,2025-07-30", "end,2,2025-07-29", 5, Problem::OutOfPeriod),
        ("end,2", "end,3", 5, Problem::Count { said: "3".to_owned(), found: 2 }),
    ] {
        assert_eq!(wrong(PLAIN, from, to), problem.at(line), "{from} -> {to}");
    }
    let more = format!("{PLAIN}payment,sbx_2,2025-07-29T10:00:00Z,USD,12.50,0.12\n");
    assert_eq!(read(more.as_bytes()).unwrap_err(), Problem::BehindEnd.at(6));
    assert_eq!(read(b"").unwrap_err(), Problem::Header.at(1));
    let binary = [PLAIN.as_bytes(), &[0xff, 0xfe]].concat();
    assert!(read(&binary).is_err());
}

/// A file that ends too early is never taken for a whole one, wherever it ends.
#[test]
fn the_plain_form_cut_off_anywhere_is_refused() {
    // Without its last line break it is whole.
    for length in 0..PLAIN.len() - 1 {
        assert!(read(&PLAIN.as_bytes()[..length]).is_err(), "{:?}", &PLAIN[..length]);
    }
    read(PLAIN.trim_end().as_bytes()).unwrap();
}

#[test]
fn each_bad_line_of_stripes_reports_is_told_with_its_number() {
    let usd = "USD".parse().unwrap();
    let amount = |column, text: &str| Problem::Amount { column, text: text.to_owned(), currency: usd };
    for (from, to, line, problem) in [
        ("created_utc", "created", 1, Problem::NoColumn("created_utc")),
        ("payment_intent_id", "intent", 1, Problem::NoColumn("payment_intent_id")),
        ("reporting_category", "type", 1, Problem::NoColumn("reporting_category")),
        ("net,", "rest,", 1, Problem::NoColumn("net")),
        (
            "2025-07-29 10:00:00",
            "29/07/2025 10:00",
            2,
            Problem::Time { column: "created_utc", text: "29/07/2025 10:00".to_owned() },
        ),
        ("20.00,0.88", "\"20,00\",0.88", 2, amount("gross", "20,00")),
        ("0.88", "0.888", 2, amount("fee", "0.888")),
        ("19.12", "19.13", 2, Problem::Net),
        ("tea, two", "4000 0025 0000 3155", 2, Problem::Card("description".to_owned())),
        ("pi_1,usd", "pi_1,", 2, Problem::Currency(String::new())),
        (
            "re_1,pi_1,usd,-3.00,0.00,-3.00",
            "re_1,pi_1,usd,-3.00",
            4,
            Problem::Fields { found: 10, expected: 12 },
        ),
        (
            "10.00,eur",
            "10.001,eur",
            8,
            Problem::Amount {
                column: "customer_facing_amount",
                text: "10.001".to_owned(),
                currency: "EUR".parse().unwrap(),
            },
        ),
        ("two\"", "two", 10, Problem::Quotation),
    ] {
        assert_eq!(wrong(ACTIVITY, from, to), problem.at(line), "{from} -> {to}");
    }
    assert_eq!(wrong(PAYOUTS, "effective_at_utc", "when"), Problem::NoColumn("effective_at_utc").at(1));
}

#[test]
fn what_was_not_taken_of_a_payment_in_another_file_is_told_as_it_is() {
    let alone = ACTIVITY.replacen(
        "txn_1,2025-07-29 10:00:00,charge,ch_1,pi_1",
        "txn_1,2025-07-29 10:00:00,charge,ch_1,pi_9",
        1,
    );
    let rows = read(alone.as_bytes()).unwrap().rows;
    let odd = row(MovementKind::Other, "pi_1", "2025-07-29T10:00:01Z", money(-500, "USD"));
    assert!(rows.contains(&odd), "{rows:?}");
}
