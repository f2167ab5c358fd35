//! What may stand before a listener: postscreen(8), or an HAProxy.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::transcript::Transcript;

/// How much higher the port of a listener is that has an HAProxy in front.
pub(crate) const BEHIND: u16 = 2_000;
/// Where the HAProxy listens for nothing else than to be seen.
const READY_PORT: u16 = 26_998;

/// Who gets a listener's clients first.
pub(crate) enum Front<'t> {
    /// postscreen(8), with these options.
    Postscreen(&'t str),
    /// An HAProxy, whose `server` line ends so: `send-proxy-v2`.
    HaProxy(&'t str),
}

impl<'t> Front<'t> {
    /// What `master.cf: front = …` says.
    pub(crate) fn of(transcript: &'t Transcript) -> Option<Front<'t>> {
        let front = transcript.master("front")?;
        let (who, options) = front.split_once(' ').unwrap_or((front, ""));
        Some(if who == "postscreen" { Self::Postscreen(options) } else { Self::HaProxy(options) })
    }
}

/// postscreen(8) on `port`, before the service `name`, in the words of master.cf. Where nothing else
/// is said, it lets all clients through.
pub(crate) fn postscreen(port: u16, name: &str, options: &str) -> String {
    let options =
        if options.is_empty() { "-o postscreen_access_list=static:permit" } else { options };
    format!(
        "{port} inet n - n - 1 postscreen\n  -o syslog_name=t{port}\n  \
         -o smtpd_service_name={name}\n  \
         -o postscreen_cache_map=btree:$data_directory/postscreen_{port}\n  {options}\n"
    )
}

/// Whether there is an HAProxy on this machine.
pub(crate) fn has_haproxy() -> bool {
    let output = Command::new("haproxy").arg("-v").output();
    output.is_ok_and(|output| output.status.success())
}

/// Starts an HAProxy before these ports, each with the end of its `server` line.
pub(crate) fn haproxy(
    dir: &Path,
    ports: &[(u16, String)],
) -> Result<Child, Box<dyn Error + Send + Sync>> {
    let mut text = "defaults\n  mode tcp\n  timeout connect 20s\n  timeout client 60s\n  \
                    timeout server 60s\n"
        .to_owned();
    writeln!(text, "frontend ready\n  bind 127.0.0.1:{READY_PORT}")?;
    writeln!(text, "  tcp-request connection reject")?;
    for (port, options) in ports {
        let behind = port + BEHIND;
        writeln!(text, "listen p{port}\n  bind 0.0.0.0:{port}\n  bind :::{port} v6only")?;
        writeln!(text, "  server s 127.0.0.1:{behind} {options}")?;
    }
    let file = dir.join("haproxy.cfg");
    fs::write(&file, text)?;
    let output = fs::File::create(dir.join("haproxy.out"))?;
    let mut child = Command::new("haproxy")
        .arg("-f")
        .arg(&file)
        .arg("-db")
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()?;
    let end = Instant::now() + Duration::from_secs(20);
    while Instant::now() < end && child.try_wait()?.is_none() {
        if TcpStream::connect(("127.0.0.1", READY_PORT)).is_ok() {
            return Ok(child);
        }
        thread::sleep(Duration::from_millis(20));
    }
    let said = fs::read_to_string(dir.join("haproxy.out"))?;
    let _ = child.kill();
    let _ = child.wait();
    Err(format!("haproxy does not start: {said}").into())
}
