//! Two operators who are to agree, of whom one is suspended in between.

use commands::Command;
use commands::command::{ReinstateAccount, SuspendAccount};
use events::Rejection;

use super::{Actor, OPERATOR, OTHER_OPERATOR, World, text};

pub fn suspend_account(actor: Actor) -> SuspendAccount {
    SuspendAccount { account: actor.account(), reason: text("complaints") }
}

pub fn reinstate_account(actor: Actor) -> ReinstateAccount {
    ReinstateAccount { account: actor.account(), reason: text("it is settled") }
}

/// What two operators do with the same command.
pub struct ByTwo {
    pub command: Command,
    /// The type of the event when the first one gives it.
    pub proposed: &'static str,
    /// Why the first one can't give it twice.
    pub alone: Rejection,
    /// The first event's type when the second one gives it.
    pub done: &'static str,
}

impl ByTwo {
    /// What an operator proposed counts for nothing while he is suspended: the other one who gives the same proposes it himself, and
    /// whoever is reinstated may agree with him.
    #[track_caller]
    pub fn needs_two_who_are_not_suspended(&self, world: &mut World) {
        let ByTwo { command, proposed, alone, done } = self;
        world
            .when(OPERATOR, command.clone())
            .then_types([proposed])
            .given(OTHER_OPERATOR, suspend_account(OPERATOR).into())
            .when(OTHER_OPERATOR, command.clone())
            .then_types([proposed])
            .when(OTHER_OPERATOR, command.clone())
            .then_rejected([alone.clone()])
            .given(OTHER_OPERATOR, reinstate_account(OPERATOR).into())
            .when(OPERATOR, command.clone());
        assert_eq!(world.events()[0].type_name(), *done);
    }

    /// What nobody replaced meanwhile counts again when its author is reinstated.
    #[track_caller]
    pub fn counts_again_after_a_reinstatement(&self, world: &mut World) {
        world
            .when(OPERATOR, self.command.clone())
            .then_types([self.proposed])
            .given(OTHER_OPERATOR, suspend_account(OPERATOR).into())
            .given(OTHER_OPERATOR, reinstate_account(OPERATOR).into())
            .when(OTHER_OPERATOR, self.command.clone());
        assert_eq!(world.events()[0].type_name(), self.done);
    }
}
