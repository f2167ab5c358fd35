//! What sessions are bound to beside their service: under anything else, a full handshake is made.
//!
//! What OpenSSL found of a chain is kept in a session that goes on later. Where names in certificates
//! count, or revocation lists, it must be what would be found today: with the same authorities, the
//! same lists, and as many of them ended. Elsewhere sessions are bound as in Postfix.

use openssl::sha::sha256;

use super::files::File;
use super::revocation::Lists;
use super::session;
use super::settings::Settings;

/// What sessions of a process are bound to.
pub(super) struct Bond {
    /// Of authorities and lists.
    digest: [u8; 32],
    /// When each list ends, seconds since 1970.
    ends: Vec<i64>,
}

impl Bond {
    /// `None`: as in Postfix.
    pub(super) fn of(
        settings: &Settings,
        ca: Option<&File>,
        file: Option<&File>,
        lists: Option<&Lists>,
    ) -> Option<Self> {
        if !settings.ask || !(settings.own.names_count || lists.is_some()) {
            return None;
        }
        let content = |file: Option<&File>| {
            sha256(file.and_then(|file| file.bytes.as_deref().ok()).unwrap_or_default())
        };
        let default = [u8::from(settings.append_default_ca); 32];
        let parts = [content(ca), content(file), sha256(&settings.ca_path), default];
        let ends = lists.map_or_else(Vec::new, |lists| lists.ends.clone());
        Some(Self { digest: sha256(parts.as_flattened()), ends })
    }

    /// The session id context of a service.
    pub(super) fn context(&self, service: &[u8], now: i64) -> [u8; 32] {
        let ended = self.ends.iter().filter(|end| **end < now).count();
        session::session_id_context(&fill!("{}\0{}\0{}", service, ended, &self.digest[..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_bound_to_lists_that_have_not_ended_since() {
        let of = |digest: u8| Bond { digest: [digest; 32], ends: vec![100, 200] };
        let (lists, others) = (of(b'd'), of(b'e'));
        assert_eq!(lists.context(b"smtp", 1), lists.context(b"smtp", 100));
        assert_ne!(lists.context(b"smtp", 1), lists.context(b"smtp", 101));
        assert_ne!(lists.context(b"smtp", 101), lists.context(b"smtp", 201));
        assert_ne!(lists.context(b"smtp", 1), others.context(b"smtp", 1));
        assert_ne!(lists.context(b"smtp", 1), lists.context(b"submission", 1));
    }
}
