//! What lettre says to a server: a test of the connection, messages to several and to one, a sender beyond
//! ASCII, a refused recipient. `smtpd-rs-lettre HOST PORT`; it prints the replies.

use std::env;
use std::error::Error;

use lettre::address::Envelope;
use lettre::transport::smtp::extension::ClientId;
use lettre::{SmtpTransport, Transport};

const MESSAGE: &[u8] = b"From: a@sender.test\r\nSubject: five\r\n\r\n.dot\r\nline\r\n";

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let host = arguments.next().ok_or("no host")?;
    let port = arguments.next().ok_or("no port")?.parse()?;
    let transport = SmtpTransport::builder_dangerous(host)
        .port(port)
        .hello_name(ClientId::Domain("client.test".to_owned()))
        .build();
    let rounds: [(&str, &[&str]); 4] = [
        ("a@sender.test", &["user@example.test", "other@example.test"]),
        ("a@sender.test", &["user@example.test"]),
        ("jörg@sender.test", &["user@example.test"]),
        ("a@sender.test", &["nobody@example.test"]),
    ];
    println!("connection: {}", transport.test_connection()?);
    for (from, to) in rounds {
        let to = to.iter().map(|to| to.parse()).collect::<Result<_, _>>()?;
        match transport.send_raw(&Envelope::new(Some(from.parse()?), to)?, MESSAGE) {
            Ok(reply) => println!("{}: {}", reply.code(), reply.message().collect::<String>()),
            Err(error) => println!("refused: {error}"),
        }
    }
    Ok(())
}
