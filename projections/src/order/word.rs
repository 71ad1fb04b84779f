//! At whose word something happened to an order.

use events::account::Role;
use events::escrow::SettledBy;
use events::ids::{CommandId, KeyId};
use events::metadata::Cause;
use events::order::{CancelledBy, DeliveryProof, ReleaseCondition, ShipmentNumber};
use events::returns::ReturnEnd;
use events::risk::ReviewDecided;
use events::{Commit, Event, Position, Timestamp};

use super::{Actor, Step, TimelineEntry, returns};

/// At whose word a commit was decided, and why.
pub(super) struct Word {
    actor: Actor,
    /// As what he acted who is neither buyer nor seller.
    role: Option<Role>,
    command: Option<CommandId>,
    key: Option<KeyId>,
    reason: Option<String>,
}

impl Word {
    pub(super) fn of(commit: &Commit) -> Word {
        let (actor, command, key) = match &commit.start().cause {
            Cause::Command(stamp) => (Actor::Account(stamp.account), Some(stamp.command), Some(stamp.key)),
            Cause::Deadline(deadline) => (Actor::Deadline(deadline.waiting.kind()), None, None),
            Cause::Writer(writer) => (Actor::Writer(*writer), None, None),
        };
        let (mut role, mut reason) = (None, None);
        for recorded in commit.events() {
            match &recorded.event {
                Event::OrderCancelled(cancelled) => {
                    reason = cancelled.reason.clone();
                    if let CancelledBy::Account(by) = cancelled.by {
                        role = Some(by);
                    }
                }
                Event::OrderRefunded(refunded) => {
                    (role, reason) = (Some(refunded.by), Some(refunded.reason.clone()));
                }
                Event::ChangeProposed(proposed) => reason.clone_from(&proposed.reason),
                Event::ChangeDeclined(declined) => reason.clone_from(&declined.reason),
                Event::EscrowFrozen(frozen) => {
                    (role, reason) = (Some(frozen.by), frozen.note.clone().or(reason));
                }
                Event::EscrowUnfrozen(unfrozen) if role.is_none() => role = Some(unfrozen.by),
                Event::EscrowSettled(settled) => {
                    reason = settled.note.clone().or(reason);
                    role = match settled.by {
                        SettledBy::Operator | SettledBy::TwoOperators { .. } => Some(Role::Operator),
                        SettledBy::Deadline => None,
                        // The return before it has said who.
                        SettledBy::Return => role,
                    };
                }
                Event::ReturnRequested(requested) => {
                    (role, reason) = (Some(Role::Buyer), requested.note.clone());
                }
                Event::ReturnRejected(rejected) => reason = Some(rejected.reason.clone()),
                Event::ReturnAppealed(appealed) => reason = Some(appealed.note.clone()),
                Event::ReturnApproved(approved) => {
                    (role, reason) = (returns::role(approved.by), approved.note.clone());
                }
                Event::ReturnReceived(received) => {
                    reason = received.deduction.as_ref().map(|deduction| deduction.note.clone());
                }
                Event::ReturnRefunded(refunded) => {
                    (role, reason) = (returns::role(refunded.by), refunded.note.clone());
                }
                Event::ReturnEnded(ended) => {
                    reason = ended.note.clone();
                    role = (ended.outcome == ReturnEnd::Denied).then_some(Role::Operator);
                }
                Event::OrderHeld(_)
                | Event::UnholdRequested(_)
                | Event::ReviewDecided(ReviewDecided { by: Some(_), .. })
                | Event::OrderUnheld(_)
                | Event::RiskCleared(_)
                | Event::ReturnDecisionProposed(_)
                | Event::SettlementProposed(_) => role = Some(Role::Operator),
                Event::ReleaseScheduled(scheduled)
                    if scheduled.condition == ReleaseCondition::OperatorRelease =>
                {
                    role = Some(Role::Operator);
                }
                Event::OrderDelivered(delivered) if delivered.confirmed_by == DeliveryProof::Carrier => {
                    role = Some(Role::Provider);
                }
                _ => {}
            }
        }
        Word { actor, role, command, key, reason }
    }

    pub(super) fn entry(
        &self,
        position: Position,
        time: Timestamp,
        step: Step,
        shipment: Option<ShipmentNumber>,
        note: Option<String>,
    ) -> TimelineEntry {
        let Word { actor, role, command, key, ref reason } = *self;
        TimelineEntry {
            position,
            time,
            step,
            actor,
            role,
            command,
            key,
            shipment,
            reason: reason.clone(),
            note,
        }
    }
}
