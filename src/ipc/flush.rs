//! flush(8): delivers now what waits for a site (ETRN).

use super::link::{Connection, Endpoint, Manner, errno};
use crate::config::Config;
use crate::sys::errno::errno_text;
use crate::wire::attr::{Attr, encode};

/// What came of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Delivery begins.
    Ok,
    /// The service cannot be talked to, or failed.
    Fail,
    /// The service does not understand the request.
    Bad,
    /// The site is not one for which the service keeps a list.
    Deny,
}

/// Delivers what waits for `site`. Whether fast_flush_domains has the site is up to the caller.
pub fn send_site(config: &Config, site: &[u8]) -> Status {
    let endpoint = Endpoint::Postfix(fill!("public/{}", config.flush_service_name));
    send_site_to(&endpoint, &Manner::of_services(config, "queue_flush_protocol"), site)
}

/// As Postfix: `mail_command_client()`: one try, one connection.
fn send_site_to(endpoint: &Endpoint, manner: &Manner, site: &[u8]) -> Status {
    let mut connection = match Connection::open(endpoint, manner) {
        Ok(connection) => connection,
        Err(error) => {
            warning!("connect to {}: {}", endpoint.name(), errno_text(errno(&error)));
            return Status::Fail;
        }
    };
    let failed = |step: &str, errno: i32| {
        warning!("{} {} socket: {}", step, endpoint.name(), errno_text(errno));
        Status::Fail
    };
    if let Err(errno) = connection.greet_leniently(manner) {
        return failed("read", errno);
    }
    let mut query = vec![];
    encode(
        manner.form,
        &[Attr::text("request", "send_site"), Attr::text("site", site)],
        &mut query,
    );
    if let Err(error) = connection.write(&query) {
        return failed("write/read", errno(&error));
    }
    match connection.read_values(true, |scan| scan.int("status")) {
        Ok(0) => Status::Ok,
        Ok(3) => Status::Bad,
        Ok(4) => Status::Deny,
        Ok(_) => Status::Fail,
        Err((errno, _)) => failed("write/read", errno),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::link::scripted::{Act, Service, hear, manner, say};
    use crate::log::captured;
    use crate::wire::attr::Form;

    const HELLO: &[u8] = b"protocol\0queue_flush_protocol\0\0";
    const QUESTION: &[u8] = b"request\0send_site\0site\0etrn.example\0\0";

    fn send(acts: Vec<Act>) -> Status {
        captured::take();
        let service = Service::new(vec![acts]);
        let manner = manner(Form::Null, "queue_flush_protocol");
        send_site_to(&service.endpoint(), &manner, b"etrn.example")
    }

    #[test]
    fn a_site_is_named_in_these_bytes() {
        let answered = |status: &str| {
            send(vec![say(HELLO), hear(QUESTION), say(format!("status\0{status}\0\0")), Act::End])
        };
        assert_eq!(answered("0"), Status::Ok);
        assert_eq!(answered("3"), Status::Bad);
        assert_eq!(answered("4"), Status::Deny);
        assert_eq!(answered("4294967295"), Status::Fail);
    }

    #[test]
    fn a_service_that_is_gone_is_a_failure() {
        assert_eq!(send(vec![say(HELLO), hear(QUESTION)]), Status::Fail);
        assert!(captured::take()[0].starts_with("warning: write/read "));
        assert_eq!(send(vec![]), Status::Fail);
        assert!(captured::take()[0].ends_with("socket: Broken pipe"));
        let config = Config::of_text("flush_service_name = nonexistent\n").unwrap();
        assert_eq!(send_site(&config, b"x"), Status::Fail);
        assert_eq!(
            captured::take(),
            ["warning: connect to public/nonexistent: No such file or directory"]
        );
    }
}
