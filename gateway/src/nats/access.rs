//! What a broker lets somebody in by: keys and certificates, all in files.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use async_nats::ConnectOptions;
use nkeys::{KeyPair, KeyPairType};

use super::{ConnectError, Role};

/// How a broker learns who comes, and how one learns that it is the broker. The default suits a broker on the loopback
/// interface that lets everybody in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// The file with the seed of the role's nkey. The seed itself is in no argument, no log line and no error.
    pub nkey: Option<PathBuf>,
    /// The file with the certificates, in PEM, of whoever signs those of brokers; none, for those the system trusts.
    pub ca: Option<PathBuf>,
    /// The certificate to show.
    pub certificate: Option<Certificate>,
    /// Below which subject answers are asked for; none, for the role's own, such as `_INBOX.engine`.
    pub inbox: Option<String>,
}

/// A certificate for TLS and its private key, as files in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The file with the certificate and those between it and the CA.
    pub chain: PathBuf,
    /// The file with its private key.
    pub key: PathBuf,
}

impl Access {
    /// Gives the options to connect with, and the public half of the nkey.
    pub(super) fn options(&self, role: Role) -> Result<(ConnectOptions, Option<String>), ConnectError> {
        let inbox = self.inbox.clone().unwrap_or_else(|| role.inbox());
        let mut options = ConnectOptions::new().custom_inbox_prefix(inbox);
        let mut public = None;
        if let Some(path) = &self.nkey {
            let key = read_nkey(path)?;
            let seed =
                key.seed().map_err(|_| ConnectError::NotAnNkey { path: path.display().to_string() })?;
            public = Some(key.public_key());
            options = options.nkey(seed);
        }
        if let Some(ca) = &self.ca {
            check_readable(ca)?;
            options = options.add_root_certificates(ca.clone());
        }
        if let Some(Certificate { chain, key }) = &self.certificate {
            check_readable(chain)?;
            check_readable(key)?;
            options = options.add_client_certificate(chain.clone(), key.clone());
        }
        // Whoever names certificates must not be led to a broker that shows none.
        let is_tls_required = self.ca.is_some() || self.certificate.is_some();
        Ok((options.require_tls(is_tls_required), public))
    }
}

/// Reads the seed of a user's nkey from a file, as `skylink keys nkey` and `nk -gen user` write it.
fn read_nkey(path: &Path) -> Result<KeyPair, ConnectError> {
    let text = fs::read_to_string(path).map_err(|source| unreadable(path, source))?;
    let key = text.lines().map(str::trim).find(|line| line.starts_with("SU")).and_then(|seed| {
        let key = KeyPair::from_seed(seed).ok()?;
        (key.key_pair_type() == KeyPairType::User).then_some(key)
    });
    key.ok_or_else(|| ConnectError::NotAnNkey { path: path.display().to_string() })
}

/// Makes a new nkey and keeps its seed in a file that only its owner may read; gives the public half. Nothing if the file
/// is there already: a key is never replaced.
pub fn make_nkey(path: &Path) -> io::Result<Option<String>> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = match options.open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
        Err(error) => return Err(error),
    };
    let key = KeyPair::new_user();
    writeln!(file, "{}", key.seed().map_err(io::Error::other)?)?;
    file.sync_all()?;
    Ok(Some(key.public_key()))
}

/// Gives the public half of the nkey in a file.
pub fn public_nkey(path: &Path) -> Result<String, ConnectError> {
    read_nkey(path).map(|key| key.public_key())
}

fn check_readable(path: &Path) -> Result<(), ConnectError> {
    fs::File::open(path).map(drop).map_err(|source| unreadable(path, source))
}

fn unreadable(path: &Path, source: io::Error) -> ConnectError {
    ConnectError::Unreadable { path: path.display().to_string(), source }
}
