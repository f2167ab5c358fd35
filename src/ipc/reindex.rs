//! nbdb_reindexd(8), from Postfix 3.11 on: makes an indexed file of another type from the source of a
//! `hash` or `btree` table.

use std::time::Duration;

use super::link::{Connection, Endpoint, Manner, errno};
use crate::config::Config;
use crate::sys::errno::errno_text;
use crate::sys::pause::pause;
use crate::wire::attr::{Attr, encode};

/// As Postfix: how often the service is asked, and the time between.
const TRIES: u32 = 2;
const DELAY: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(30);

/// The service.
#[derive(Debug)]
pub struct Reindexer {
    endpoint: Endpoint,
    manner: Manner,
}

impl Reindexer {
    /// The service `private/nbdb_reindex` (non_bdb_migration_service_name).
    pub fn new(config: &Config) -> Self {
        let service = &config.non_bdb_migration_service_name;
        let manner = Manner::of_services(config, "nbdb_reindex");
        Self {
            endpoint: Endpoint::Unix(fill!("private/{}", service)),
            manner: Manner { timeout: TIMEOUT, ..manner },
        }
    }

    /// Lets `kind:path` be made anew. `Err` says why it was not.
    pub fn reindex(&self, kind: &[u8], path: &[u8]) -> Result<(), Vec<u8>> {
        let mut query = vec![];
        let attributes = [Attr::text("nbdb_type", kind), Attr::text("nbdb_path", path)];
        encode(self.manner.form, &attributes, &mut query);
        let mut result = self.ask(&query);
        for _ in 1..TRIES {
            if result.is_ok() {
                break;
            }
            pause(DELAY);
            result = self.ask(&query);
        }
        result
    }

    fn ask(&self, query: &[u8]) -> Result<(), Vec<u8>> {
        let name = self.endpoint.name();
        let mut connection = Connection::open(&self.endpoint, &self.manner).map_err(|error| {
            fill!("connection to {} service: {}", name, errno_text(errno(&error)))
        })?;
        connection
            .read_values(true, |scan| scan.expect("protocol", "nbdb_reindex"))
            .map_err(|_| fill!("error receiving {} service initial response", name))?;
        connection.write(query).map_err(|error| {
            fill!("error sending request to {} service: {}", name, errno_text(errno(&error)))
        })?;
        let answer = connection
            .read_values(true, |scan| Ok((scan.int("status")?, scan.text("why")?.to_vec())));
        match answer {
            Ok((0, _)) => Ok(()),
            Ok((1, why)) => Err(why),
            Ok((status, _)) => Err(fill!("bad reindexing server status: {}", status)),
            Err((errno, _)) => {
                let error = errno_text(errno);
                Err(fill!("error receiving response from {} service: {}", name, error))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::link::scripted::{Act, Service, hear, manner, say};
    use crate::sys::pause::counted;
    use crate::wire::attr::Form;

    const HELLO: &[u8] = b"protocol\0nbdb_reindex\0\0";
    const QUESTION: &[u8] = b"nbdb_type\0hash\0nbdb_path\0/etc/access\0\0";

    fn reindex(connections: Vec<Vec<Act>>) -> Result<(), String> {
        counted::start();
        let service = Service::new(connections);
        let manner = manner(Form::Null, "nbdb_reindex");
        let reindexer = Reindexer { endpoint: Endpoint::Unix(service.path()), manner };
        let result = reindexer.reindex(b"hash", b"/etc/access");
        service.played();
        result.map_err(|why| String::from_utf8(why).unwrap())
    }

    fn answers(answer: &str) -> Vec<Act> {
        vec![say(HELLO), hear(QUESTION), say(answer), Act::End]
    }

    #[test]
    fn a_table_is_named_in_these_bytes() {
        assert_eq!(reindex(vec![answers("status\x000\0why\0\0\0")]), Ok(()));
        assert_eq!(counted::total(), Duration::ZERO);
    }

    #[test]
    fn a_service_that_fails_is_asked_once_more() {
        let refused = || answers("status\x001\0why\0not yours\0\0");
        assert_eq!(reindex(vec![refused(), answers("status\x000\0why\0\0\0")]), Ok(()));
        assert_eq!(reindex(vec![refused(), refused()]), Err("not yours".to_owned()));
        assert_eq!(counted::total(), DELAY);
        let odd = || answers("status\x007\0why\0\0\0");
        assert_eq!(reindex(vec![odd(), odd()]), Err("bad reindexing server status: 7".to_owned()));
    }

    #[test]
    fn a_service_that_is_not_there_says_so() {
        counted::start();
        let config = Config::of_text("smtpd_rs_dialect = 3.11\n").unwrap();
        let missing = "connection to private/nbdb_reindex service: No such file or directory";
        assert_eq!(Reindexer::new(&config).reindex(b"hash", b"x"), Err(missing.into()));
    }
}
