//! The two uses that the protocol makes of xxh3: checksums, and who of two nodes dials.

use twox_hash::XxHash3_64;

/// The checksum at the end of a message: the low 32 bits of the hash of all before it.
pub(super) fn crc(bytes: &[u8]) -> u32 {
    let [a, b, c, d, ..] = XxHash3_64::oneshot(bytes).to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// Whether messages between two nodes carry a checksum: unless TLS guards the way in both names.
pub(crate) fn needs_crc(local: &str, remote: &str) -> bool {
    let tls = |name: &str| name.starts_with("https://") || name.starts_with("wss://");
    !(tls(local) && tls(remote))
}

/// Whether the node named `local` is the one of the two that dials. Both come to the same answer.
pub(crate) fn local_dials(local: &str, remote: &str) -> bool {
    let hash = |first: &str, second: &str| XxHash3_64::oneshot(format!("{first}{second}").as_bytes());
    match hash(local, remote).cmp(&hash(remote, local)) {
        std::cmp::Ordering::Less => true,
        std::cmp::Ordering::Greater => false,
        std::cmp::Ordering::Equal => local < remote,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tls_on_both_sides_goes_without_a_checksum() {
        assert!(needs_crc("http://a", "http://b"));
        assert!(needs_crc("https://a", "http://b"));
        assert!(needs_crc("http://a", "wss://b"));
        assert!(needs_crc("HTTPS://a", "https://b"));
        assert!(!needs_crc("https://a", "wss://b"));
    }
}
