//! Limits that anvil(8) counts, over all sessions of a client.

use std::net::IpAddr;

use ipnet::IpNet;

use super::Session;
use crate::config::dialect::Change;
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
        Some((anvil, fill!("{}:{}", self.config().service_name, self.counted_as())))
    }

    /// The address as which anvil(8) counts the client; from 3.8 on, the network of the connection,
    /// whatever XCLIENT says (smtpd_client_ipv4_prefix_length, smtpd_client_ipv6_prefix_length).
    fn counted_as(&self) -> Vec<u8> {
        let (config, client) = (self.config(), &self.who.client);
        if !config.does(Change::CountedByConnection) {
            return client.addr.clone();
        }
        let prefix = match client.socket_addr {
            None => return Vec::new(),
            Some(IpAddr::V4(_)) => config.smtpd_client_ipv4_prefix_length,
            Some(IpAddr::V6(_)) => config.smtpd_client_ipv6_prefix_length,
        };
        client.socket_addr.map(|ip| network(ip, prefix)).unwrap_or_default()
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

/// `192.0.2.0/24`; the address where the prefix is whole. A prefix below 0 is 0.
fn network(ip: IpAddr, prefix: i32) -> Vec<u8> {
    let prefix = u8::try_from(prefix.max(0)).unwrap_or(u8::MAX);
    match IpNet::new(ip, prefix) {
        Ok(network) if network.prefix_len() < network.max_prefix_len() => {
            network.trunc().to_string().into_bytes()
        }
        _ => ip.to_string().into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_may_be_counted_as_a_network() {
        let of =
            |ip: &str, prefix| String::from_utf8(network(ip.parse().unwrap(), prefix)).unwrap();
        assert_eq!(of("192.0.2.77", 24), "192.0.2.0/24");
        assert_eq!(of("2001:db8:1:2:3::4", 60), "2001:db8:1::/60");
        assert_eq!(of("192.0.2.77", 0), "0.0.0.0/0");
        assert_eq!(of("192.0.2.77", -1), "0.0.0.0/0");
        assert_eq!(of("192.0.2.77", 32), "192.0.2.77");
        assert_eq!(of("2001:db8::1", 128), "2001:db8::1");
        assert_eq!(of("2001:db8::1", 300), "2001:db8::1");
    }
}
