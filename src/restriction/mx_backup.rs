//! permit_mx_backup: mail for a domain whose other mail server this machine is.

use std::net::IpAddr;

use super::Class;
use super::eval::{Eval, Outcome, Stop, Verdict};
use super::relay::{Standing, standing};
use super::unknown::ascii;
use crate::config::Config;
use crate::config::dialect::Change;
use crate::dns::{Data, Kind, Record, Records, Status};
use crate::log::Fatal;
use crate::mail::ip;
use crate::matchlist::{Kind as ListKind, MatchList};
use crate::table::Opener;

/// What permit_mx_backup knows of the networks.
pub(crate) struct MxBackup {
    /// permit_mx_backup_networks; `None`: any will do.
    networks: Option<MatchList>,
    /// inet_interfaces and proxy_interfaces.
    own_addresses: Vec<IpAddr>,
}

impl MxBackup {
    pub(crate) fn open(config: &Config, opener: &mut Opener) -> Result<Self, Fatal> {
        let parameter = "permit_mx_backup_networks";
        let patterns = &config.permit_mx_backup_networks;
        let networks = match patterns.as_slice() {
            [] => None,
            _ => {
                let kind = ListKind::HostOrAddress;
                Some(MatchList::open(opener, config, parameter, patterns, kind)?)
            }
        };
        let mut own_addresses = config.own_addresses.clone();
        own_addresses.extend(config.proxy_addresses()?);
        Ok(Self { networks, own_addresses })
    }
}

/// Permits recipients in domains for which this machine is a mail server, but not the best one.
pub(crate) fn permit_mx_backup(e: &mut Eval<'_>) -> Outcome {
    let Some(recipient) = e.facts.recipient else { return Ok(Verdict::Dunno) };
    let policy = e.policy;
    if policy.config.does(Change::MxBackupGoes) && !policy.warned_of_mx_backup.replace(true) {
        e.warn(&fill!(
            "support for restriction \"permit_mx_backup\" will be removed from {}; instead, specify \
             \"relay_domains\"",
            policy.config.mail_name
        ));
    }
    let domain = match standing(e, recipient)? {
        Standing::Authorized => return Ok(Verdict::Permit),
        Standing::Routed => return Ok(Verdict::Dunno),
        Standing::Foreign(domain) => domain,
    };
    if domain.starts_with(b"[") && domain.ends_with(b"]") {
        return Ok(Verdict::Dunno);
    }
    let Some((best, others)) = servers(e, &domain)? else { return Ok(Verdict::Dunno) };
    if is_among(e, &best)? || !is_among(e, &others)? || !are_in_networks(e, &best)? {
        return Ok(Verdict::Dunno);
    }
    Ok(Verdict::Permit)
}

/// Hosts.
type Hosts = Vec<Vec<u8>>;

/// The best mail servers of a domain, and the others.
fn servers(e: &mut Eval<'_>, domain: &[u8]) -> Result<Option<(Hosts, Hosts)>, Stop> {
    let domain = ascii(e, domain);
    let answer = e.dns(|dns| dns.lookup(&domain, Kind::MX));
    if matches!(answer.status, Status::Retry | Status::Policy) {
        let reason = answer.reason();
        defer(e, &fill!("Unable to look up mail exchanger information: {}", reason))?;
    }
    if answer.status != Status::Ok {
        return Ok(None);
    }
    Ok(Some(by_preference(&answer.records)))
}

fn by_preference(records: &Records) -> (Hosts, Hosts) {
    let mut servers: Vec<_> = records.list.iter().filter_map(exchanger).collect();
    servers.sort_by_key(|(preference, _)| *preference);
    let best = servers.first().map(|(preference, _)| *preference);
    let (first, others): (Vec<_>, Vec<_>) =
        servers.into_iter().partition(|(preference, _)| Some(*preference) == best);
    let hosts = |servers: Vec<(u16, &[u8])>| {
        servers.into_iter().map(|(_, host)| host.to_vec()).collect::<Hosts>()
    };
    (hosts(first), hosts(others))
}

fn exchanger(record: &Record) -> Option<(u16, &[u8])> {
    match &record.data {
        Data::Exchanger(preference, host) => Some((*preference, host)),
        _ => None,
    }
}

/// Whether this machine is one of these hosts, by name or by address. As Postfix: `i_am_mx()`.
fn is_among(e: &mut Eval<'_>, hosts: &[Vec<u8>]) -> Result<bool, Stop> {
    let is_local = &e.policy.addresses.is_local;
    if hosts.iter().any(|host| is_local(host) == Ok(true)) {
        return Ok(true);
    }
    for host in hosts {
        match e.dns(|dns| dns.addresses_of(host)) {
            Ok(found) => {
                let own = &e.policy.mx_backup.own_addresses;
                if found.iter().any(|address| own.contains(address)) {
                    return Ok(true);
                }
            }
            Err(error) => {
                let error = error.text();
                defer(e, &fill!("Unable to look up mail exchanger host {}: {}", host, error))?;
            }
        }
    }
    Ok(false)
}

/// Whether all addresses of all hosts are in permit_mx_backup_networks. As Postfix:
/// `permit_mx_primary()`.
fn are_in_networks(e: &mut Eval<'_>, hosts: &[Vec<u8>]) -> Result<bool, Stop> {
    let Some(networks) = &e.policy.mx_backup.networks else { return Ok(true) };
    for host in hosts {
        if !is_in_networks(e, networks, host)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn is_in_networks(e: &mut Eval<'_>, networks: &MatchList, host: &[u8]) -> Result<bool, Stop> {
    let answer = e.dns(|dns| dns.lookup_each(host, dns.address_kinds(), |_, _| false));
    if answer.status != Status::Ok {
        let reason = answer.reason();
        defer(e, &fill!("Unable to look up host {} as mail exchanger: {}", host, reason))?;
        return Ok(false);
    }
    for address in answer.records.list.iter().filter_map(Record::address) {
        let address = ip::text(address);
        match networks.matches_host(host, &address) {
            Ok(true) => {}
            Ok(false) => return Ok(false),
            Err(_) => {
                e.warn(&fill!(
                    "all_auth_mx_addr: permit_mx_backup_networks lookup error for address {} for {}",
                    address,
                    host
                ));
                defer(e, &fill!("Unable to verify host {} as mail exchanger", host))?;
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Nobody knows whether this machine is a mail server: what is refused later, is for now.
fn defer(e: &mut Eval<'_>, why: &[u8]) -> Outcome {
    let name = e.name_of(Class::Recipient);
    e.defer_if_reject(450, b"4.4.4", fill!("<{}>: Recipient address rejected: {}", name, why))
}
