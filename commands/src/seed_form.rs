//! The flat form of a signed command: one JSON object that holds the command's fields beside their signature.
//!
//! ```json
//! {"command": "order.place", "commandId": "<uuidv7>", "device_id": "<device>", "keyId": "<key id>", "market": "main",
//!  "nonce": "<16 bytes, base64url>", "orderDetails": {"currency": "USD", "items": [{"listing_id": "…", "quantity": 2}],
//!  "payment_method": "wallet", "total": 99.99}, "sequenceNumber": 123, "signature": "<64 bytes, base64url>",
//!  "timestamp": "2025-07-29T10:00:00Z", "user_id": "<account>"}
//! ```
//!
//! `user_id` and `device_id` must be there: they say who asks, from which device. `expectedVersions` may be there:
//! `{"cart": 7}`. The algorithm is the one the key was registered with. The command is good for 120 s from its
//! `timestamp`.
//!
//! | command | its fields |
//! |---|---|
//! | `cart.add`, `cart.set_quantity` | `listing_id`, `quantity`, perhaps `owner` |
//! | `stock.reserve` | `listing_id`, `quantity` |
//! | `cart.remove` | `listing_id`, perhaps `owner` |
//! | `cart.save_for_later`, `cart.move_back` | `listing_id` |
//! | `cart.clear` | perhaps `owner` |
//! | `cart.unfreeze` | none |
//! | `cart.name` | perhaps `name` |
//! | `cart.share`, `cart.unshare` | `cart_id`, `with` |
//! | `cart.leave` | `owner` |
//! | `cart.freeze` | `until`, in milliseconds since 1970 |
//! | `cart.merge` | `claim`, perhaps `policy` |
//! | `cart.migrate` | `cart_id`, `payment_method`, `total`, `currency`; `expectedVersions` must name the cart's |
//! | `cart.restore` | `cart_id` |
//! | `payment.request` | `payment_method` of `provider` and `token`, `amount`, `currency` |
//! | `order.place` | `orderDetails`: `items` of `listing_id`, `quantity` and perhaps `quote`; `payment_method`, `total`, `currency` |
//! | `escrow.setup` | `order_id`, `buyer_id`, `seller_id`, `amount`, `currency` |
//! | `order.accept` | `order_id` |
//! | `order.decline` | `order_id`, `reason` |
//! | `order.ready` | `order_id` |
//! | `order.pay` | `order_id`, `payment_method` of `provider` and `token` |
//! | `order.cancel` | `order_id`, perhaps `items` and `reason` |
//! | `order.refund` | `order_id`, `shipment`, `amount`, `currency`, `reason` |
//! | `order.propose_change` | `order_id`, `items` of `listing_id`, `quantity` and perhaps `quote`; perhaps `max_difference` with `currency`, `region` and `reason` |
//! | `order.accept_change` | `order_id`, `change_id`, perhaps `max_difference` with `currency` |
//! | `order.decline_change` | `order_id`, `change_id`, perhaps `reason` |
//! | `order.withdraw_change` | `order_id`, `change_id` |
//! | `order.confirm_delivery` | `order_id`, perhaps `shipment` |
//! | `order.ship` | `order_id`, perhaps `items`, `from`, `carrier` and `tracking` |
//! | `stock.extend_reservation`, `stock.release_reservation` | `reservation_id` |
//!
//! `total` and `amount` are decimals, as a number or a text, with their `currency` beside them; or
//! `{"minor": 9999, "currency": "USD"}`.
//!
//! The signature is over the canonical form (RFC 8785) of the object without `signature`. A number that is not
//! written in its canonical form is refused, since two long decimals can share one; so what is read is the very text
//! that was signed. No amount passes through a float.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use events::ids::{KeyId, MarketName};
use events::{Currency, Money, Timestamp};
use serde_json::{Map, Value, json};

use crate::command::Command;
use crate::crypto::SigningKey;
use crate::envelope::{Claims, Envelope, KeyDirectory, Members, known_key, malformed};
use crate::jcs;
use crate::json::{self, JsonError, Numbers};
use crate::jws::decode_signature;
use crate::refusal::Refusal;
use crate::sign::Draft;

/// How long a command of this form is good from its `timestamp`.
pub const GOOD_FOR_MS: i64 = 120_000;

/// Most significant digits of a decimal. Up to 15 a double keeps every decimal apart from its neighbours, so the
/// canonical form of such a number is its plain spelling.
const SIGNIFICANT_DIGITS_MAX: usize = 15;
/// Most zeros behind the point of a decimal below one: from 0.000001 down the canonical form has an exponent.
const LEADING_ZEROS_MAX: usize = 5;

/// Checks a command of this form on its bytes.
pub(crate) fn verify(
    bytes: &[u8],
    market: &MarketName,
    keys: &dyn KeyDirectory,
) -> Result<Envelope, Refusal> {
    let mut object = read(bytes)?;
    let signed = jcs::to_string(&object);
    let signature = match object.as_object_mut().and_then(|members| members.remove("signature")) {
        None => return Err(Refusal::SigMissing),
        Some(Value::String(text)) if text.is_empty() => return Err(Refusal::SigMissing),
        Some(Value::String(text)) => decode_signature(&text).map_err(malformed)?,
        Some(_) => return Err(malformed("`signature` must be a text")),
    };
    let message = jcs::to_string(&object);
    let Value::Object(members) = object else { return Err(malformed("the command is not a JSON object")) };
    let mut members = Members(members);
    let key_id: KeyId = members.parsed("keyId")?;
    let key = known_key(key_id, None, keys)?;
    key.verify(message.as_bytes(), &signature).map_err(|_| Refusal::SigInvalid)?;
    let mut claims = claims(&mut members)?;
    claims.check_target(market)?;
    claims.body = body(&claims.cmd, members.0)?;
    Ok(claims.into_envelope(key_id, signed, market))
}

fn read(bytes: &[u8]) -> Result<Value, Refusal> {
    if let Some(token) = uncanonical_number(bytes) {
        let token: String = String::from_utf8_lossy(token).chars().take(32).collect();
        return Err(malformed(format!(
            "number `{token}` is not plain and canonical, with at most {SIGNIFICANT_DIGITS_MAX} digits if it has a point"
        )));
    }
    match json::parse_with(bytes, Numbers::Decimal) {
        Ok(value) => Ok(value),
        Err(JsonError::TooLarge { size, max }) => Err(Refusal::TooLarge { size, max }),
        Err(error) => Err(malformed(error.to_string())),
    }
}

fn claims(members: &mut Members) -> Result<Claims, Refusal> {
    let timestamp = members.text("timestamp")?;
    let iat =
        Timestamp::parse_rfc3339(&timestamp).map_err(|error| malformed(format!("`timestamp`: {error}")))?;
    Ok(Claims {
        aud: members.text("market")?,
        body: Value::Null,
        cid: members.command_id("commandId")?,
        cmd: members.text("command")?,
        dev: members.parsed("device_id")?,
        exp: iat.plus_ms(GOOD_FOR_MS),
        iat,
        expected: members.expected("expectedVersions")?,
        nonce: members.parsed("nonce")?,
        seq: members.seq("sequenceNumber")?,
        sub: members.parsed("user_id")?,
    })
}

/// Finds the first number outside texts whose spelling is not its canonical form. Whether the bytes are JSON at all
/// is not asked here.
fn uncanonical_number(bytes: &[u8]) -> Option<&[u8]> {
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at = end_of_text(bytes, at),
            b'-' | b'0'..=b'9' => {
                let rest = &bytes[at..];
                let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
                let length = rest.iter().position(|byte| !is_part(byte)).unwrap_or(rest.len());
                if !is_canonical(&rest[..length]) {
                    return Some(&rest[..length]);
                }
                at += length;
            }
            _ => at += 1,
        }
    }
    None
}

/// Gives the place behind the text that begins at `start`.
fn end_of_text(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn is_canonical(token: &[u8]) -> bool {
    let digits = token.strip_prefix(b"-").unwrap_or(token);
    let (whole, fraction) = match digits.iter().position(|byte| *byte == b'.') {
        Some(point) => (&digits[..point], Some(&digits[point + 1..])),
        None => (digits, None),
    };
    let all_digits = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
    let is_whole_plain = whole == b"0" || whole.first().is_some_and(|first| *first != b'0');
    if !is_whole_plain || !all_digits(whole) {
        return false;
    }
    let Some(fraction) = fraction else { return token != b"-0" };
    let zeros = fraction.iter().take_while(|digit| **digit == b'0').count();
    let significant = if whole == b"0" { fraction.len() - zeros } else { whole.len() + fraction.len() };
    all_digits(fraction)
        && fraction.last().is_some_and(|last| *last != b'0')
        && significant <= SIGNIFICANT_DIGITS_MAX
        && (whole != b"0" || zeros <= LEADING_ZEROS_MAX)
}

fn invalid(rule: impl Into<String>) -> Refusal {
    Refusal::BodyInvalid { rule: rule.into() }
}

/// Fields of a command on their way into the body of the JWS form.
struct Fields {
    given: Map<String, Value>,
    body: Map<String, Value>,
    /// Where they stand, for messages.
    place: String,
}

impl Fields {
    fn new(given: Map<String, Value>, place: impl Into<String>) -> Fields {
        Fields { given, body: Map::new(), place: place.into() }
    }

    fn of(value: Value, place: String) -> Result<Fields, Refusal> {
        match value {
            Value::Object(given) => Ok(Fields::new(given, place)),
            _ => Err(invalid(format!("`{place}` must be an object"))),
        }
    }

    fn required(&mut self, name: &str) -> Result<Value, Refusal> {
        self.given.remove(name).ok_or_else(|| invalid(format!("{}: `{name}` is missing", self.place)))
    }

    fn take(mut self, name: &str, as_name: &str) -> Result<Fields, Refusal> {
        let value = self.required(name)?;
        self.body.insert(as_name.to_owned(), value);
        Ok(self)
    }

    fn take_if_any(mut self, name: &str) -> Fields {
        if let Some(value) = self.given.remove(name) {
            self.body.insert(name.to_owned(), value);
        }
        self
    }

    fn take_money(mut self, name: &str) -> Result<Fields, Refusal> {
        let money = match self.required(name)? {
            object @ Value::Object(_) => object,
            // The token was found canonical, so this writes it as it was signed.
            number @ Value::Number(_) => self.decimal(name, &jcs::to_string(&number))?,
            Value::String(text) => self.decimal(name, &text)?,
            _ => {
                let rule = format!("`{name}` must be a decimal, or an object of `minor` and `currency`");
                return Err(invalid(rule));
            }
        };
        self.body.insert(name.to_owned(), money);
        Ok(self)
    }

    fn decimal(&mut self, name: &str, text: &str) -> Result<Value, Refusal> {
        let currency = self.required("currency")?;
        let currency: Currency = match currency.as_str().map(str::parse) {
            Some(Ok(currency)) => currency,
            Some(Err(error)) => return Err(invalid(format!("`currency`: {error}"))),
            None => return Err(invalid("`currency` must be a text")),
        };
        let money =
            Money::parse_decimal(text, currency).map_err(|error| invalid(format!("`{name}`: {error}")))?;
        Ok(json!({"minor": money.minor, "currency": currency.code()}))
    }

    /// Takes the units of some lines, if they are named.
    fn take_items_if_any(mut self) -> Result<Self, Refusal> {
        let Some(items) = self.given.remove("items") else { return Ok(self) };
        let Value::Array(items) = items else {
            return Err(invalid(format!("{}: `items` must be an array", self.place)));
        };
        let lines = items.into_iter().enumerate().map(|(index, item)| {
            let item = Fields::of(item, format!("{}.items[{index}]", self.place))?;
            item.take("listing_id", "listing")?.take("quantity", "quantity")?.end()
        });
        let lines: Result<Vec<Value>, Refusal> = lines.collect();
        self.body.insert("lines".to_owned(), Value::Array(lines?));
        Ok(self)
    }

    /// Takes units of lines that may have a quote.
    fn take_quoted_items(mut self) -> Result<Self, Refusal> {
        let Value::Array(items) = self.required("items")? else {
            return Err(invalid(format!("`{}.items` must be an array", self.place)));
        };
        let lines = items.into_iter().enumerate().map(|(index, item)| {
            Fields::of(item, format!("{}.items[{index}]", self.place))?
                .take("listing_id", "listing")?
                .take("quantity", "quantity")?
                .take_if_any("quote")
                .end()
        });
        let lines: Result<Vec<Value>, Refusal> = lines.collect();
        self.body.insert("lines".to_owned(), Value::Array(lines?));
        Ok(self)
    }

    fn take_money_if_any(self, name: &str) -> Result<Self, Refusal> {
        if self.given.contains_key(name) { self.take_money(name) } else { Ok(self) }
    }

    fn end(self) -> Result<Value, Refusal> {
        match self.given.keys().next() {
            None => Ok(Value::Object(self.body)),
            Some(name) => {
                let name: String = name.chars().take(64).collect();
                Err(invalid(format!("{}: member `{name}` has no place here", self.place)))
            }
        }
    }
}

/// Turns the fields of a command into the body that the JWS form has.
fn body(command: &str, given: Map<String, Value>) -> Result<Value, Refusal> {
    let fields = Fields::new(given, command);
    match command {
        "cart.add" | "cart.set_quantity" => {
            let fields = fields.take("listing_id", "listing")?.take("quantity", "quantity")?;
            fields.take_if_any("owner").end()
        }
        "stock.reserve" => fields.take("listing_id", "listing")?.take("quantity", "quantity")?.end(),
        "cart.remove" => fields.take("listing_id", "listing")?.take_if_any("owner").end(),
        "cart.save_for_later" | "cart.move_back" => fields.take("listing_id", "listing")?.end(),
        "cart.clear" => fields.take_if_any("owner").end(),
        "cart.unfreeze" | "cart.remove_coupon" => fields.end(),
        "cart.name" => fields.take_if_any("name").end(),
        "cart.share" | "cart.unshare" => fields.take("cart_id", "cart")?.take("with", "with")?.end(),
        "cart.leave" => fields.take("owner", "owner")?.end(),
        "cart.apply_coupon" => fields.take("coupon", "coupon")?.end(),
        "cart.freeze" => fields.take("until", "until")?.end(),
        "cart.merge" => fields.take("claim", "claim")?.take_if_any("policy").end(),
        "cart.restore" => fields.take("cart_id", "cart")?.end(),
        "cart.migrate" => fields
            .take("cart_id", "cart")?
            .take("payment_method", "payment_method")?
            .take_money("total")?
            .take_if_any("coupon")
            .take_if_any("delivery")
            .end(),
        "payment.request" => fields.take("payment_method", "method")?.take_money("amount")?.end(),
        "escrow.setup" => fields
            .take("order_id", "order")?
            .take("buyer_id", "buyer")?
            .take("seller_id", "seller")?
            .take_money("amount")?
            .end(),
        "order.place" => order_body(fields),
        "order.accept" | "order.ready" => fields.take("order_id", "order")?.end(),
        "order.decline" => fields.take("order_id", "order")?.take("reason", "reason")?.end(),
        "order.pay" => fields.take("order_id", "order")?.take("payment_method", "method")?.end(),
        "order.cancel" => fields.take("order_id", "order")?.take_items_if_any()?.take_if_any("reason").end(),
        "order.refund" => fields
            .take("order_id", "order")?
            .take("shipment", "shipment")?
            .take_money("amount")?
            .take("reason", "reason")?
            .end(),
        "order.propose_change" => {
            let fields = fields.take("order_id", "order")?.take_quoted_items()?;
            let fields = fields.take_money_if_any("max_difference")?;
            fields.take_if_any("region").take_if_any("reason").end()
        }
        "order.accept_change" => fields
            .take("order_id", "order")?
            .take("change_id", "change")?
            .take_money_if_any("max_difference")?
            .end(),
        "order.decline_change" => {
            fields.take("order_id", "order")?.take("change_id", "change")?.take_if_any("reason").end()
        }
        "order.withdraw_change" => fields.take("order_id", "order")?.take("change_id", "change")?.end(),
        "order.confirm_delivery" => fields.take("order_id", "order")?.take_if_any("shipment").end(),
        "order.ship" => {
            let fields = fields.take("order_id", "order")?.take_items_if_any()?;
            fields.take_if_any("from").take_if_any("carrier").take_if_any("tracking").end()
        }
        "stock.extend_reservation" | "stock.release_reservation" => {
            fields.take("reservation_id", "reservation")?.end()
        }
        _ => Err(invalid(format!("`{command}` is not given in this form: sign it as a compact JWS"))),
    }
}

fn order_body(mut fields: Fields) -> Result<Value, Refusal> {
    let details = fields.required("orderDetails")?;
    fields.end()?;
    let details = Fields::of(details, "orderDetails".to_owned())?
        .take("payment_method", "payment_method")?
        .take_money("total")?
        .take_if_any("coupon")
        .take_if_any("delivery");
    details.take_quoted_items()?.end()
}

/// Signs a command in this form; `None` if the form does not have the command. The draft's `expires_at` is not
/// written: such a command is good for [`GOOD_FOR_MS`].
pub(crate) fn sign(draft: &Draft, key: &SigningKey) -> Option<String> {
    let mut members = fields_of(&draft.command)?;
    let mut common = json!({
        "command": draft.command.name(),
        "commandId": draft.command_id,
        "device_id": draft.device,
        "keyId": key.id(),
        "market": draft.market,
        "nonce": draft.nonce,
        "sequenceNumber": draft.seq,
        "timestamp": draft.issued_at.to_string(),
        "user_id": draft.account,
    });
    members.append(common.as_object_mut()?);
    if draft.expected != Default::default() {
        members.insert("expectedVersions".to_owned(), json!(draft.expected));
    }
    let mut object = Value::Object(members);
    let signature = key.sign(jcs::to_string(&object).as_bytes());
    object["signature"] = URL_SAFE_NO_PAD.encode(signature).into();
    Some(jcs::to_string(&object))
}

fn fields_of(command: &Command) -> Option<Map<String, Value>> {
    let fields = match command {
        Command::ReserveStock(reserve) => {
            json!({"listing_id": reserve.listing, "quantity": reserve.quantity})
        }
        Command::ExtendReservation(extend) => json!({"reservation_id": extend.reservation}),
        Command::ReleaseReservation(release) => json!({"reservation_id": release.reservation}),
        Command::AddToCart(_)
        | Command::SetCartQuantity(_)
        | Command::RemoveFromCart(_)
        | Command::SaveForLater(_)
        | Command::MoveBack(_) => renamed(command, "listing", "listing_id")?,
        Command::UnfreezeCart(_) | Command::RemoveCoupon(_) => json!({}),
        Command::ClearCart(_)
        | Command::FreezeCart(_)
        | Command::MergeCart(_)
        | Command::ApplyCoupon(_)
        | Command::LeaveCart(_)
        | Command::NameCart(_) => command.body(),
        Command::RestoreCart(_)
        | Command::MigrateCart(_)
        | Command::ShareCart(_)
        | Command::UnshareCart(_) => renamed(command, "cart", "cart_id")?,
        Command::RequestPayment(payment) => {
            json!({"payment_method": payment.method, "amount": payment.amount})
        }
        Command::PlaceOrder(_) => {
            let mut details = command.body();
            let lines = details.as_object_mut()?.remove("lines")?;
            details["items"] = items_of(&lines)?;
            json!({ "orderDetails": details })
        }
        Command::PayOrder(pay) => json!({"order_id": pay.order, "payment_method": pay.method}),
        Command::SetUpEscrow(escrow) => json!({
            "order_id": escrow.order, "buyer_id": escrow.buyer, "seller_id": escrow.seller, "amount": escrow.amount,
        }),
        Command::AcceptOrder(_)
        | Command::ReadyOrder(_)
        | Command::DeclineOrder(_)
        | Command::CancelOrder(_)
        | Command::RefundOrder(_)
        | Command::ProposeChange(_)
        | Command::AcceptChange(_)
        | Command::DeclineChange(_)
        | Command::WithdrawChange(_)
        | Command::ConfirmDelivery(_)
        | Command::ShipOrder(_) => {
            let mut body = renamed(command, "order", "order_id")?;
            if let Some(change) = body.as_object_mut()?.remove("change") {
                body["change_id"] = change;
            }
            if let Some(lines) = body.as_object_mut()?.remove("lines") {
                body["items"] = items_of(&lines)?;
            }
            body
        }
        Command::RotateMarketKey(_)
        | Command::RetireMarketKey(_)
        | Command::RegisterAccount(_)
        | Command::RegisterDevice(_)
        | Command::EnrollDevice(_)
        | Command::RenameDevice(_)
        | Command::RotateDevice(_)
        | Command::RevokeDevice(_)
        | Command::ReportLost(_)
        | Command::AttestDevice(_)
        | Command::SetProfile(_)
        | Command::SetEncryptionKey(_)
        | Command::EraseAccount(_)
        | Command::SetStepUpTerms(_)
        | Command::EnrollPasskey(_)
        | Command::RemovePasskey(_)
        | Command::EnrollTotp(_)
        | Command::RemoveTotp(_)
        | Command::EnrollRecovery(_)
        | Command::RemoveRecovery(_)
        | Command::SetPassword(_)
        | Command::RemovePassword(_)
        | Command::ReportSignInFailed(_)
        | Command::StartSession(_)
        | Command::EndSession(_)
        | Command::CreateListing(_)
        | Command::ReceiveStock(_)
        | Command::UpdateListing(_)
        | Command::PauseListing(_)
        | Command::ResumeListing(_)
        | Command::WithdrawListing(_)
        | Command::DescribeListing(_)
        | Command::SetSynonyms(_)
        | Command::BlockListing(_)
        | Command::UnblockListing(_)
        | Command::SuspendSeller(_)
        | Command::ReinstateSeller(_)
        | Command::SuspendAccount(_)
        | Command::ReinstateAccount(_)
        | Command::GrantClearance(_)
        | Command::RevokeClearance(_)
        | Command::VerifyAccount(_)
        | Command::SetTax(_)
        | Command::SetShippingRate(_)
        | Command::RemoveShippingRate(_)
        | Command::CreatePromotion(_)
        | Command::EndPromotion(_)
        | Command::AdjustStock(_)
        | Command::SetSafetyStock(_)
        | Command::SetBackorderLimit(_)
        | Command::ExpectStock(_)
        | Command::MoveStock(_)
        | Command::FundWallet(_)
        | Command::CancelPayment(_)
        | Command::RefundPayment(_)
        | Command::ReportPayment(_)
        | Command::ReportChargeback(_)
        | Command::SubmitEvidence(_)
        | Command::AcceptChargeback(_)
        | Command::RepayDebt(_)
        | Command::WriteOffDebt(_)
        | Command::RequestPayout(_)
        | Command::ReportPayout(_)
        | Command::ReportReconciliation(_)
        | Command::ResolveBreak(_)
        | Command::HoldOrder(_)
        | Command::UnholdOrder(_)
        | Command::FreezeEscrow(_)
        | Command::UnfreezeEscrow(_)
        | Command::SettleEscrow(_)
        | Command::ReleaseEscrow(_)
        | Command::SignMilestone(_)
        | Command::ClearRisk(_)
        | Command::RequestReturn(_)
        | Command::ApproveReturn(_)
        | Command::RejectReturn(_)
        | Command::AppealReturn(_)
        | Command::DecideReturn(_)
        | Command::SendReturn(_)
        | Command::ReceiveReturn(_)
        | Command::CancelReturn(_)
        | Command::SetRiskRules(_)
        | Command::ClaimReview(_)
        | Command::DecideReview(_)
        | Command::LabelOrder(_)
        | Command::RegisterWebhook(_)
        | Command::UpdateWebhook(_)
        | Command::RotateWebhookSecret(_)
        | Command::RemoveWebhook(_)
        | Command::ReportWebhook(_)
        | Command::ReplaceLetter(_)
        | Command::DropLetter(_)
        | Command::SubscribePush(_)
        | Command::UnsubscribePush(_)
        | Command::SetPushPreferences(_)
        | Command::ReportPush(_)
        | Command::DropPush(_)
        | Command::AllowReservations(_)
        | Command::ExchangeMoney(_) => return None,
    };
    match fields {
        Value::Object(fields) => Some(fields),
        _ => None,
    }
}

/// Gives lines under the names that they have in this form.
fn items_of(lines: &Value) -> Option<Value> {
    let items = lines.as_array()?.iter().map(|line| {
        let mut item = line.clone();
        let listing = item.as_object_mut()?.remove("listing")?;
        item["listing_id"] = listing;
        Some(item)
    });
    items.collect()
}

/// Gives the body of a command with one of its members under the name that it has in this form.
fn renamed(command: &Command, from: &str, to: &str) -> Option<Value> {
    let mut body = command.body();
    let member = body.as_object_mut()?.remove(from)?;
    body[to] = member;
    Some(body)
}

#[cfg(test)]
mod tests;
