//! Limits that anvil(8) counts, over all sessions of a client.

use super::Session;
use crate::ipc::anvil::Anvil;

/// What to count of a client, and from when on it is too much.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Rate {
    /// smtpd_client_message_rate_limit
    Message,
    /// smtpd_client_recipient_rate_limit
    Recipient,
    /// smtpd_client_auth_rate_limit
    Auth,
    /// smtpd_client_new_tls_session_rate_limit, counted
    NewTls,
    /// smtpd_client_new_tls_session_rate_limit, asked
    NewTlsStatus,
}

impl Session<'_> {
    /// anvil(8), if this client is to be counted. Not counted: who may use XCLIENT, and
    /// smtpd_client_event_limit_exceptions.
    pub(crate) fn anvil(&self) -> Option<(&Anvil, Vec<u8>)> {
        let anvil = self.server.anvil.as_ref()?;
        let client = &self.who.client;
        if self.xclient_allowed {
            return None;
        }
        let excepted = &self.server.lists.event_limit_exceptions;
        if excepted.matches_host(&client.name, &client.addr).unwrap_or(false) {
            return None;
        }
        Some((anvil, fill!("{}:{}", self.config().service_name, client.addr)))
    }

    /// Counts `rate`; the count where it is over its limit.
    pub(crate) fn over(&self, rate: Rate) -> Option<i32> {
        let config = self.config();
        let limit = match rate {
            Rate::Message => config.smtpd_client_message_rate_limit,
            Rate::Recipient => config.smtpd_client_recipient_rate_limit,
            Rate::Auth => config.smtpd_client_auth_rate_limit,
            Rate::NewTls | Rate::NewTlsStatus => config.smtpd_client_new_tls_session_rate_limit,
        };
        if limit <= 0 {
            return None;
        }
        let (anvil, ident) = self.anvil()?;
        let count = match rate {
            Rate::Message => anvil.message(&ident),
            Rate::Recipient => anvil.recipient(&ident),
            Rate::Auth => anvil.auth(&ident),
            Rate::NewTls => anvil.new_tls(&ident),
            Rate::NewTlsStatus => anvil.new_tls_status(&ident),
        }?;
        (count > limit).then_some(count)
    }
}
