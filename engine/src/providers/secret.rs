//! Secrets of others' services.

use std::fmt;

/// A secret, which is never shown.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Takes a secret as it was read.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// Gives it, to be sent to the service that it is of and nowhere else.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
