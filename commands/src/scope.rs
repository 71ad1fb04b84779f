//! Who may give which command: the one table of roles, and what the scope of a key leaves of it.

use events::Money;
use events::account::Role;
use events::device::KeyScope;

use crate::command::{Command, CommandKind, PayoutOutcome, ReportedOutcome, ReturnDecision, Verified};
use crate::device::DeviceKey;
use crate::market::Market;
use crate::refusal::Refusal;
use crate::{order, suspension};

/// Tells which roles may give a command; an account needs one of them. What each may do with what is not his is a rule of the
/// command itself.
pub const fn allowed_roles(kind: CommandKind) -> &'static [Role] {
    match kind {
        CommandKind::RegisterAccount
        | CommandKind::RegisterDevice
        | CommandKind::ReportSignInFailed
        | CommandKind::StartSession => &[Role::Registrar],
        CommandKind::RotateMarketKey | CommandKind::RetireMarketKey => &[Role::Registrar, Role::Operator],
        CommandKind::EnrollDevice
        | CommandKind::RenameDevice
        | CommandKind::RotateDevice
        | CommandKind::RevokeDevice
        | CommandKind::ReportLost
        | CommandKind::EnrollPasskey
        | CommandKind::RemovePasskey
        | CommandKind::EnrollTotp
        | CommandKind::RemoveTotp
        | CommandKind::EnrollRecovery
        | CommandKind::RemoveRecovery
        | CommandKind::RemovePassword
        | CommandKind::EndSession => Role::ALL,
        CommandKind::SetEncryptionKey => &[Role::Seller],
        CommandKind::SetProfile | CommandKind::SetPassword => &[Role::Buyer, Role::Seller],
        CommandKind::EraseAccount => &[Role::Buyer, Role::Seller, Role::Operator, Role::Guest],
        CommandKind::SetStepUpTerms => &[Role::Operator],
        CommandKind::SetRiskRules
        | CommandKind::ClaimReview
        | CommandKind::DecideReview
        | CommandKind::LabelOrder => &[Role::Operator],
        CommandKind::AttestDevice => &[Role::Registrar, Role::Operator],
        CommandKind::CreateListing | CommandKind::ReceiveStock | CommandKind::ShipOrder => &[Role::Seller],
        CommandKind::UpdateListing
        | CommandKind::PauseListing
        | CommandKind::ResumeListing
        | CommandKind::WithdrawListing
        | CommandKind::DescribeListing
        | CommandKind::AdjustStock
        | CommandKind::SetSafetyStock
        | CommandKind::SetBackorderLimit
        | CommandKind::ExpectStock
        | CommandKind::MoveStock => &[Role::Seller],
        CommandKind::BlockListing
        | CommandKind::SetSynonyms
        | CommandKind::UnblockListing
        | CommandKind::SuspendSeller
        | CommandKind::ReinstateSeller
        | CommandKind::SuspendAccount
        | CommandKind::ReinstateAccount
        | CommandKind::GrantClearance
        | CommandKind::RevokeClearance
        | CommandKind::SetTax => &[Role::Operator],
        CommandKind::SetShippingRate | CommandKind::RemoveShippingRate | CommandKind::RequestPayout => {
            &[Role::Seller]
        }
        CommandKind::CreatePromotion | CommandKind::EndPromotion => &[Role::Seller, Role::Operator],
        CommandKind::VerifyAccount => &[Role::Registrar, Role::Operator],
        CommandKind::FundWallet | CommandKind::ReportPayment | CommandKind::ReportPayout => &[Role::Provider],
        CommandKind::ReportChargeback => &[Role::Provider],
        CommandKind::SubmitEvidence | CommandKind::AcceptChargeback => &[Role::Seller, Role::Operator],
        CommandKind::RepayDebt => &[Role::Buyer],
        CommandKind::WriteOffDebt => &[Role::Operator],
        CommandKind::ReportReconciliation | CommandKind::ResolveBreak => &[Role::Operator],
        CommandKind::RequestPayment | CommandKind::CancelPayment => &[Role::Buyer],
        CommandKind::RefundPayment => &[Role::Buyer, Role::Operator],
        CommandKind::AddToCart
        | CommandKind::SetCartQuantity
        | CommandKind::RemoveFromCart
        | CommandKind::ClearCart
        | CommandKind::SaveForLater
        | CommandKind::MoveBack
        | CommandKind::FreezeCart
        | CommandKind::ApplyCoupon
        | CommandKind::RemoveCoupon
        | CommandKind::UnfreezeCart => &[Role::Buyer, Role::Guest],
        CommandKind::MigrateCart
        | CommandKind::NameCart
        | CommandKind::ShareCart
        | CommandKind::UnshareCart
        | CommandKind::LeaveCart
        | CommandKind::MergeCart
        | CommandKind::RestoreCart
        | CommandKind::PlaceOrder
        | CommandKind::PayOrder
        | CommandKind::SetUpEscrow => &[Role::Buyer],
        CommandKind::AcceptOrder | CommandKind::DeclineOrder | CommandKind::ReadyOrder => &[Role::Seller],
        CommandKind::ConfirmDelivery => &[Role::Buyer, Role::Provider],
        CommandKind::CancelOrder => &[Role::Buyer, Role::Seller, Role::Operator],
        CommandKind::RefundOrder => &[Role::Seller, Role::Operator],
        CommandKind::ProposeChange
        | CommandKind::AcceptChange
        | CommandKind::DeclineChange
        | CommandKind::WithdrawChange => &[Role::Buyer, Role::Seller],
        CommandKind::HoldOrder
        | CommandKind::UnholdOrder
        | CommandKind::SettleEscrow
        | CommandKind::ReleaseEscrow
        | CommandKind::ClearRisk => &[Role::Operator],
        CommandKind::FreezeEscrow | CommandKind::UnfreezeEscrow => &[Role::Buyer, Role::Operator],
        CommandKind::SignMilestone => &[Role::Buyer],
        CommandKind::RequestReturn
        | CommandKind::AppealReturn
        | CommandKind::SendReturn
        | CommandKind::CancelReturn => &[Role::Buyer],
        CommandKind::ApproveReturn | CommandKind::RejectReturn | CommandKind::ReceiveReturn => {
            &[Role::Seller]
        }
        CommandKind::DecideReturn => &[Role::Operator],
        CommandKind::AllowReservations => &[Role::Seller],
        CommandKind::ReserveStock | CommandKind::ExtendReservation => &[Role::Buyer],
        CommandKind::ReleaseReservation => &[Role::Buyer, Role::Operator],
        CommandKind::ExchangeMoney => &[Role::Buyer],
        CommandKind::RegisterWebhook
        | CommandKind::UpdateWebhook
        | CommandKind::RotateWebhookSecret
        | CommandKind::RemoveWebhook
        | CommandKind::ReplaceLetter
        | CommandKind::DropLetter => &[Role::Seller, Role::Operator],
        CommandKind::SubscribePush | CommandKind::UnsubscribePush | CommandKind::SetPushPreferences => {
            &[Role::Buyer, Role::Seller, Role::Operator]
        }
        CommandKind::ReportWebhook | CommandKind::ReportPush | CommandKind::DropPush => &[Role::Registrar],
    }
}

/// Tells whether a role may give a command.
pub fn may_give(role: Role, kind: CommandKind) -> bool {
    allowed_roles(kind).contains(&role)
}

/// Check 10: the account is not suspended, has a role that may give the command, and the key's scope leaves it.
pub(crate) fn check(market: &Market, key: &DeviceKey, verified: &Verified) -> Result<(), Refusal> {
    let account = verified.stamp.account;
    let kind = verified.command.kind();
    if !suspension::allows(market, account, kind) {
        return Err(Refusal::AccountSuspended);
    }
    if !allowed_roles(kind).iter().any(|role| market.accounts.has_role(account, *role)) {
        return Err(denied("the account has no role that may give this command"));
    }
    let Some(scope) = key.scope.as_deref() else { return Ok(()) };
    if !scope.allows(kind.name()) {
        return Err(denied("the key was registered for other commands: use another device of the account"));
    }
    check_amount(scope, amount(market, &verified.command))
}

fn check_amount(scope: &KeyScope, amount: Option<Money>) -> Result<(), Refusal> {
    let Some(amount) = amount else { return Ok(()) };
    match scope.most(amount.currency) {
        Some(most) if amount.minor > most => {
            let most = Money::new(most, amount.currency);
            let rule = format!(
                "the key may give commands of at most {most}, this one is of {amount}: use another device of the account"
            );
            Err(Refusal::ScopeDenied { rule: rule.into() })
        }
        _ => Ok(()),
    }
}

fn denied(rule: &'static str) -> Refusal {
    Refusal::ScopeDenied { rule: rule.into() }
}

/// Gives the money that a command is about: what its giver signs for, or what he would pay. None: it names none, and what it
/// may move was agreed to before, as when a delivery is confirmed.
pub(crate) fn amount(market: &Market, command: &Command) -> Option<Money> {
    match command {
        Command::PlaceOrder(body) => Some(body.total),
        Command::MigrateCart(body) => Some(body.total),
        Command::PayOrder(body) => order::asked_of_card(market, body.order),
        Command::SetUpEscrow(body) => Some(body.amount),
        // The side that pays more signs how much; who signs nothing pays nothing more.
        Command::ProposeChange(body) => body.max_difference,
        Command::AcceptChange(body) => body.max_difference,
        Command::RequestPayment(body) => Some(body.amount),
        Command::RefundPayment(body) => Some(body.amount),
        Command::RefundOrder(body) => Some(body.amount),
        Command::RequestPayout(body) => Some(body.amount),
        Command::ExchangeMoney(body) => Some(body.from),
        Command::FundWallet(body) => Some(body.amount),
        Command::ReportChargeback(body) => Some(body.amount),
        Command::RepayDebt(body) => Some(body.amount),
        Command::WriteOffDebt(body) => Some(body.amount),
        Command::ReportPayment(body) => match &body.outcome {
            ReportedOutcome::Authorized { amount, .. } | ReportedOutcome::Captured { amount, .. } => {
                Some(*amount)
            }
            _ => None,
        },
        Command::ReportPayout(body) => match &body.outcome {
            PayoutOutcome::Paid { .. } | PayoutOutcome::Failed { .. } => {
                market.payouts.get(body.payout).map(|payout| payout.amount)
            }
        },
        // Both parts are of one currency, or the command is refused later.
        Command::SettleEscrow(body) => {
            let minor = body.to_buyer.minor.saturating_add(body.to_seller.minor);
            Some(Money::new(minor, body.to_buyer.currency))
        }
        Command::ReceiveReturn(body) => body.deduction,
        Command::DecideReturn(body) => match body.decision {
            ReturnDecision::Deduct(amount) => Some(amount),
            ReturnDecision::Approve | ReturnDecision::Deny => None,
        },
        _ => None,
    }
}
