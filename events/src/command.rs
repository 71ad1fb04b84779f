//! Facts of commands that changed nothing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rejection::Rejection;

/// A signed command was refused. It has consumed its ids: a copy of it can't succeed later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rejected {
    /// The command's name.
    pub command: String,
    /// Every reason that was found; never empty.
    pub reasons: Vec<Rejection>,
}

/// What a signed command wished was already so. It has consumed its ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unchanged {
    /// The command's name.
    pub command: String,
}
