//! Registering accounts and devices.

use crate::support::*;
use commands::Refusal;
use commands::command::{RegisterAccount, RegisterDevice};
use commands::device::DEVICES_PER_ACCOUNT_MAX;
use events::Rejection;
use events::account::{DeviceRegistered, Registered, Role};

const NEW: Actor = Actor(30);

fn with_roles(actor: Actor, roles: &[Role]) -> RegisterAccount {
    RegisterAccount { account: actor.account(), roles: roles.iter().copied().collect() }
}

#[test]
fn the_registrar_registers_an_account_with_its_roles() {
    let mut world = World::new();
    let registered = Registered { account: NEW.account(), roles: [Role::Buyer, Role::Seller].into() };
    world
        .when(REGISTRAR, with_roles(NEW, &[Role::Buyer, Role::Seller]))
        .then_events([registered.into()])
        .then(|market| assert!(market.accounts.has_role(NEW.account(), Role::Seller)))
        .when_again()
        .then_repeat();
}

#[test]
fn registering_what_is_registered_changes_nothing() {
    World::new()
        .when(REGISTRAR, register(BUYER))
        .then_unchanged()
        .when(REGISTRAR, register_device(BUYER))
        .then_unchanged();
}

#[test]
fn an_account_keeps_its_roles() {
    let exists = Rejection::AccountExists { account: BUYER.account() };
    World::new().when(REGISTRAR, with_roles(BUYER, &[Role::Operator])).then_rejected([exists]);
}

#[test]
fn nobody_is_registered_without_a_role_or_as_registrar() {
    let with_registrar = |role| [role, Role::Registrar];
    let roles = [Role::Buyer, Role::Seller, Role::Operator, Role::Provider].map(with_registrar);
    for roles in [&[][..], &[Role::Registrar]].into_iter().chain(roles.iter().map(|both| &both[..])) {
        World::new().when(REGISTRAR, with_roles(NEW, roles)).then_rejected([Rejection::RolesNotAllowed]);
    }
}

/// Which two roles one account may have.
#[test]
fn only_buying_and_selling_go_together() {
    use Role::{Buyer, Operator, Provider, Seller};
    let conflict = |role, other| Rejection::RolesConflict { role, other };
    for (roles, reason) in [
        ([Buyer, Buyer], None),
        ([Seller, Seller], None),
        ([Operator, Operator], None),
        ([Provider, Provider], None),
        ([Buyer, Seller], None),
        ([Buyer, Operator], Some(conflict(Buyer, Operator))),
        ([Buyer, Provider], Some(conflict(Buyer, Provider))),
        ([Seller, Operator], Some(conflict(Seller, Operator))),
        ([Seller, Provider], Some(conflict(Seller, Provider))),
        ([Operator, Provider], Some(conflict(Operator, Provider))),
    ] {
        let mut world = World::new();
        world.when(REGISTRAR, with_roles(NEW, &roles));
        match reason {
            None => world.then_types(["account.registered.v1"]),
            Some(reason) => world.then_rejected([reason]),
        };
    }
    let several = [Buyer, Seller, Provider];
    World::new()
        .when(REGISTRAR, with_roles(NEW, &several))
        .then_rejected([conflict(Buyer, Provider), conflict(Seller, Provider)])
        .when(REGISTRAR, with_roles(NEW, &[Buyer]))
        .then_types(["account.registered.v1"]);
}

#[test]
fn only_the_registrar_registers() {
    let denied = Refusal::ScopeDenied { rule: "the account has no role that may give this command".into() };
    for actor in [PROVIDER, OPERATOR, SELLER, BUYER] {
        let mut world = World::new();
        world.when(actor, register(NEW)).then_refused(denied.clone());
        world.when(actor, register_device(BUYER)).then_refused(denied.clone());
    }
}

#[test]
fn a_device_signs_from_its_registration_on() {
    let mut world = World::new();
    world.given(REGISTRAR, register(NEW)).when(NEW, clear()).then_refused(Refusal::KidUnknown);
    let registered = DeviceRegistered::new(NEW.account(), NEW.device(), NEW.key());
    world
        .when(REGISTRAR, register_device(NEW))
        .then_events([registered.into()])
        .when(NEW, clear())
        .then_unchanged();
}

#[test]
fn a_device_belongs_to_one_known_account_and_has_one_key() {
    let device = |actor: Actor, device: Actor, key: Actor| {
        RegisterDevice::new(actor.account(), device.device(), key.key())
    };
    let exists = || Rejection::DeviceExists { device: BUYER.device() };
    for (command, reason) in [
        (register_device(NEW), Rejection::AccountUnknown { account: NEW.account() }),
        (device(BUYER, BUYER, NEW).into(), exists()),
        (device(SELLER, BUYER, BUYER).into(), exists()),
        (device(SELLER, NEW, BUYER).into(), Rejection::KeyInUse),
    ] {
        World::new().when(REGISTRAR, command).then_rejected([reason]);
    }
}

#[test]
fn an_account_has_so_many_devices_and_no_more_and_both_reasons_are_told() {
    let mut world = World::new();
    let another = |n: u32| RegisterDevice::new(BUYER.account(), Actor(n).device(), Actor(n).key());
    for n in 1..DEVICES_PER_ACCOUNT_MAX as u32 {
        world.given(REGISTRAR, another(100 + n).into());
    }
    let too_many = || Rejection::TooManyDevices { max: DEVICES_PER_ACCOUNT_MAX as u32 };
    let with_used_key = RegisterDevice { key: SELLER.key(), ..another(201) };
    world
        .when(REGISTRAR, another(200))
        .then_rejected([too_many()])
        .when(REGISTRAR, with_used_key)
        .then_rejected([Rejection::KeyInUse, too_many()]);
}
