//! Who may connect: tokens that the dialling side sends and the accepting side judges.

use std::fmt::Write;
use std::future::ready;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::future::BoxFuture;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::clock::Clock;
use crate::proto::{Claim, is_guest};

/// Gives the token for a connection to the peer of this name.
pub(crate) type TokenSource = Arc<dyn Fn(&str) -> BoxFuture<'static, String> + Send + Sync>;
/// Judges the token of a dialling node; the error is told to it.
pub(crate) type TokenValidator = Arc<dyn Fn(Claim) -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// How a node introduces itself and judges others.
#[derive(Default)]
pub(crate) struct Auth {
    pub(crate) secret: Option<SharedSecret>,
    /// For claims of guests, if it is another.
    pub(crate) guest_secret: Option<SharedSecret>,
    /// Goes before the secret.
    pub(crate) source: Option<TokenSource>,
    /// Judges what the secret finds good.
    pub(crate) validator: Option<TokenValidator>,
}

/// Whether a token that is taken shows that a node is the one that it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokensProve {
    Names,
    Nothing,
}

impl Auth {
    /// What tokens of nodes, other than guests, show.
    pub(crate) fn tokens_prove(&self) -> TokensProve {
        match (&self.secret, &self.validator) {
            (None, None) => TokensProve::Nothing,
            (Some(_), _) | (_, Some(_)) => TokensProve::Names,
        }
    }

    /// For the node of this name.
    pub(crate) fn into_parts(self, own: &Arc<str>, clock: &Clock) -> (TokenSource, TokenValidator) {
        let Self { secret, guest_secret, source, validator } = self;
        let (name, time, signing) = (Arc::clone(own), clock.clone(), secret.clone());
        let source: TokenSource = source.unwrap_or_else(|| {
            Arc::new(move |dialled| {
                let token = signing.as_ref().map(|secret| secret.token(&name, dialled, time.now()));
                Box::pin(ready(token.unwrap_or_default()))
            })
        });
        let (name, time) = (Arc::clone(own), clock.clone());
        let judge: TokenValidator = Arc::new(move |claim| {
            let secret =
                if is_guest(&claim.name) { guest_secret.as_ref().or(secret.as_ref()) } else { secret.as_ref() };
            let signed = match (secret, &validator) {
                (Some(secret), _) => secret.validate(&claim, &name, time.now()),
                (None, None) if claim.token.starts_with(SIGNED) => {
                    Err("signed with a secret, and this node was given none".to_owned())
                }
                (None, _) => Ok(()),
            };
            match (signed, &validator) {
                (Ok(()), Some(validator)) => validator(claim),
                (signed, _) => Box::pin(ready(signed)),
            }
        });
        (source, judge)
    }
}

/// Tokens of nodes that share a secret: `g1.<unix seconds>.<HMAC-SHA256 of time and names, in hex>`.
///
/// The secret itself is never sent, and a token is good for [`LIFETIME_SECS`], for one name, and for one node that is
/// dialled; but that of a guest is for all of them, as it may dial a node by any name that leads there. Within its time
/// it can be replayed by whoever reads it off the wire, which only TLS prevents.
#[derive(Clone)]
pub(crate) struct SharedSecret {
    mac: Hmac<Sha256>,
}

impl SharedSecret {
    pub(crate) fn new(secret: &[u8]) -> Self {
        Self { mac: Hmac::new_from_slice(secret).expect("HMAC takes keys of any length") }
    }

    /// The token of the node `name` for a node that it dials at this time.
    pub(crate) fn token(&self, name: &str, dialled: &str, now: SystemTime) -> String {
        let secs = unix_secs(now);
        let mut token = format!("{VERSION}.{secs}.");
        for byte in self.sign(secs, name, dialled).finalize().into_bytes() {
            write!(token, "{byte:02x}").expect("a String takes all that is written to it");
        }
        token
    }

    /// # Errors
    /// What is wrong with the token.
    pub(crate) fn validate(&self, claim: &Claim, dialled: &str, now: SystemTime) -> Result<(), String> {
        if claim.token.is_empty() {
            return Err("there is none, and this node has a shared secret".to_owned());
        }
        let malformed = || "not a token of a shared secret".to_owned();
        let mut parts = claim.token.splitn(3, '.');
        let (Some(VERSION), Some(secs), Some(mac)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(malformed());
        };
        let secs: u64 = secs.parse().map_err(|_| malformed())?;
        let mac = unhex(mac).ok_or_else(malformed)?;
        // In constant time.
        let signed = self.sign(secs, &claim.name, dialled).verify_slice(&mac);
        signed.map_err(|_| "signed with another secret, or for another node".to_owned())?;
        match unix_secs(now).abs_diff(secs) {
            0..=LIFETIME_SECS => Ok(()),
            age => Err(format!("token is {age} s old, or from the future")),
        }
    }

    fn sign(&self, secs: u64, name: &str, dialled: &str) -> Hmac<Sha256> {
        let mut mac = self.mac.clone();
        mac.update(VERSION.as_bytes());
        mac.update(&secs.to_be_bytes());
        mac.update(name.as_bytes());
        if !is_guest(name) {
            // No name has a line break in it, so no two pairs of names are one text.
            mac.update(b"\n");
            mac.update(dialled.as_bytes());
        }
        mac
    }
}

fn unix_secs(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn unhex(hex: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let (pairs, []) = hex.as_bytes().as_chunks::<2>() else { return None };
    pairs.iter().map(|[high, low]| u8::try_from(digit(high)? * 16 + digit(low)?).ok()).collect()
}

const VERSION: &str = "g1";
/// How tokens of a secret begin. Those of v1 peers do not.
const SIGNED: &str = "g1.";
/// How long a token is good for, before and after its time: as far as clocks may be apart.
const LIFETIME_SECS: u64 = 300;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn validate(secret: &str, name: &str, token: &str, age_secs: u64) -> Result<(), String> {
        validate_at("http://z:1", secret, name, token, age_secs)
    }

    fn validate_at(dialled: &str, secret: &str, name: &str, token: &str, age_secs: u64) -> Result<(), String> {
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000 + age_secs);
        let claim = Claim { name: name.into(), token: token.into() };
        SharedSecret::new(secret.as_bytes()).validate(&claim, dialled, now)
    }

    #[test]
    fn a_token_is_good_for_its_names_its_secret_and_its_time() {
        let then = UNIX_EPOCH + Duration::from_secs(1_000_000);
        let token = SharedSecret::new(b"secret").token("http://a:1", "http://z:1", then);
        assert_eq!(validate("secret", "http://a:1", &token, 300), Ok(()));
        assert!(validate("secret", "http://a:1", &token, 301).unwrap_err().contains("301 s old"));
        assert!(validate("secret", "http://b:1", &token, 0).unwrap_err().contains("another secret"));
        assert!(validate("Secret", "http://a:1", &token, 0).unwrap_err().contains("another secret"));
        assert!(validate_at("http://y:1", "secret", "http://a:1", &token, 0).unwrap_err().contains("another node"));
        assert!(!token.contains("secret"));
        let guest = SharedSecret::new(b"secret").token("guest://1", "http://alias:1", then);
        assert_eq!(validate("secret", "guest://1", &guest, 0), Ok(()));
        assert!(validate("secret", "guest://2", &guest, 0).is_err());
    }

    #[test]
    fn a_token_from_the_future_is_as_good_as_one_from_the_past() {
        let token = |ahead: u64| {
            let then = UNIX_EPOCH + Duration::from_secs(1_000_000 + ahead);
            SharedSecret::new(b"secret").token("http://a:1", "http://z:1", then)
        };
        assert_eq!(validate("secret", "http://a:1", &token(300), 0), Ok(()));
        assert!(validate("secret", "http://a:1", &token(301), 0).unwrap_err().contains("from the future"));
    }

    #[test]
    fn garbage_is_refused() {
        for token in ["", "g1", "g1.5", "g1.x.00", "g1.1000000.zz", "g1.1000000.0", "g2.1000000.00", "g1.1.é"] {
            assert!(validate("secret", "http://a:1", token, 0).is_err(), "{token:?}");
        }
    }
}
