//! In the chroot, as Debian has it by default: what a process of the jail finds, though it is not
//! there. `tests/transcripts/chroot*.smtp` have tables, keys and authorities; here are the log,
//! the time and names.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use openssl::ssl::{Ssl, SslContext, SslFiletype, SslMethod};
use support::dns;
use support::instance::Instance;
use support::namespaces::inside;

/// Ours, and the original, both in the jail.
const OURS: u16 = 2525;
const THEIRS: u16 = 2526;
const MASTER_CF: &str = "\
127.0.0.1:2525 inet n - y - - smtpd-rs
127.0.0.1:2526 inet n - y - - smtpd
";

/// Gives this test an /etc of its own.
fn own_etc() {
    let script = "mount -t tmpfs test /media && cp -a /etc/. /media && mount --bind /media /etc";
    assert!(Command::new("sh").arg("-c").arg(script).status().unwrap().success());
    for name in ["localtime", "resolv.conf", "hosts"] {
        let _ = fs::remove_file(Path::new("/etc").join(name));
    }
}

/// A dialogue in which each line waits for the reply to the one before.
fn say(port: u16, lines: &[&str]) -> Vec<String> {
    let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut from = BufReader::new(client.try_clone().unwrap());
    let mut to = client;
    let mut replies = Vec::new();
    let mut hear = || {
        let mut reply = String::new();
        while reply.is_empty() || reply.get(3..4) == Some("-") {
            reply.clear();
            assert!(from.read_line(&mut reply).unwrap() > 0, "no reply after {replies:?}");
        }
        replies.push(reply.trim_end().to_owned());
    };
    hear();
    for line in lines {
        to.write_all(format!("{line}\r\n").as_bytes()).unwrap();
        hear();
    }
    replies
}

/// A message; gives its queue id.
fn send(port: u16) -> String {
    let message = "From: <a@example>\r\nDate: Mon, 23 Nov 2026 17:00:00 +0000\r\n\r\nx\r\n.";
    let replies = say(
        port,
        &["EHLO x", "MAIL FROM:<a@example>", "RCPT TO:<b@mx.example>", "DATA", message, "QUIT"],
    );
    let queued = replies[5].strip_prefix("250 2.0.0 Ok: queued as ");
    queued.unwrap_or_else(|| panic!("{replies:?}")).to_owned()
}

/// A time zone file (RFC 8536) of one zone: `XYZ`, 5:45 hours east of Greenwich.
fn zone_file() -> Vec<u8> {
    let mut file = b"TZif\0".to_vec();
    file.extend([0; 15]);
    for count in [0u32, 0, 0, 0, 1, 4] {
        file.extend(count.to_be_bytes());
    }
    file.extend((5 * 3600 + 45 * 60i32).to_be_bytes());
    file.extend(*b"\0\0XYZ\0");
    file
}

/// Minutes of the day.
fn minutes(clock: &str) -> u64 {
    let mut parts = clock.split(':').map(|part| part.parse::<u64>().unwrap());
    parts.next().unwrap() * 60 + parts.next().unwrap()
}

#[test]
fn the_time_zone_of_the_system_holds_in_the_jail() {
    inside("the_time_zone_of_the_system_holds_in_the_jail", || {
        own_etc();
        fs::write("/etc/localtime", zone_file()).unwrap();
        let instance = Instance::new("import_environment = MAIL_CONFIG\n", MASTER_CF).start();
        assert!(instance.banner(OURS).starts_with("220 "));
        let queue_file = instance.path("queue/incoming").join(send(OURS));
        let file = fs::read(queue_file).unwrap();
        let text = String::from_utf8_lossy(&file);
        assert!(text.contains(" +0545 (XYZ)"), "{text}");
        // `Nov 25 21:15:00 mx postfix/smtpd[1]: connect from …`
        let log = instance.wait_for_log("/smtpd[", 1);
        let line = log.lines().rfind(|line| line.contains("/smtpd[")).unwrap();
        let clock = line.split_whitespace().nth(2).unwrap();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() / 60;
        let expected = (now + 5 * 60 + 45) % (24 * 60);
        let late = (expected + 24 * 60 - minutes(clock)) % (24 * 60);
        assert!(late < 10, "{clock} should be {}:{}", expected / 60, expected % 60);
    });
}

#[test]
fn syslogd_is_reached_from_the_jail() {
    inside("syslogd_is_reached_from_the_jail", || {
        let script = "mount -t tmpfs test /media && cp -a /dev/null /dev/zero /dev/random \
                      /dev/urandom /media && mount --bind /media /dev";
        assert!(Command::new("sh").arg("-c").arg(script).status().unwrap().success());
        let records = syslog();
        let instance = Instance::new("maillog_file =\n", MASTER_CF).start();
        for port in [THEIRS, OURS] {
            assert!(instance.banner(port).starts_with("220 "));
            say(port, &["QUIT"]);
            for wanted in ["connect from unknown[127.0.0.1]", "disconnect from "] {
                wait_for(&records, wanted);
            }
        }
    });
}

/// The records that come to /dev/log. Somebody must read them, or all who log wait.
fn syslog() -> mpsc::Receiver<String> {
    let socket = UnixDatagram::bind("/dev/log").unwrap();
    fs::set_permissions("/dev/log", fs::Permissions::from_mode(0o666)).unwrap();
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let mut record = [0; 4096];
        while let Ok(len) = socket.recv(&mut record) {
            let _ = tell.send(String::from_utf8_lossy(&record[..len]).into_owned());
        }
    });
    told
}

/// Waits for a record of the server.
fn wait_for(records: &mpsc::Receiver<String>, wanted: &str) {
    loop {
        let record = records.recv_timeout(Duration::from_secs(30));
        let record = record.unwrap_or_else(|error| panic!("{wanted}: {error}"));
        if record.contains(" postfix/smtpd[") && record.contains(wanted) {
            return;
        }
    }
}

#[test]
fn names_are_looked_up_with_the_files_of_the_jail() {
    inside("names_are_looked_up_with_the_files_of_the_jail", || {
        own_etc();
        // Outside, nobody answers.
        fs::write("/etc/resolv.conf", "nameserver 127.0.0.9\noptions timeout:1 attempts:1\n")
            .unwrap();
        fs::write("/etc/hosts", "127.0.0.1 outside.example\n").unwrap();
        let address = "ip addr add 192.0.2.10/32 dev lo";
        assert!(Command::new("sh").arg("-c").arg(address).status().unwrap().success());
        dns::serve().unwrap();
        let main_cf = "smtpd_peername_lookup = yes\n";
        let services = MASTER_CF.replace("127.0.0.1:2", "2");
        let instance = Instance::new(main_cf, &services);
        let etc = instance.path("queue/etc");
        fs::create_dir(&etc).unwrap();
        let resolver = "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n";
        fs::write(etc.join("resolv.conf"), resolver).unwrap();
        fs::write(etc.join("hosts"), "127.0.0.1 inside.example\n").unwrap();
        fs::write(etc.join("nsswitch.conf"), "hosts: files dns\n").unwrap();
        let instance = instance.start();
        for port in [THEIRS, OURS] {
            assert!(instance.banner(port).starts_with("220 "));
            let client = TcpStream::connect(("192.0.2.10", port)).unwrap();
            let mut greeting = String::new();
            BufReader::new(client).read_line(&mut greeting).unwrap();
            assert!(greeting.starts_with("220 "), "{greeting}");
        }
        instance.wait_for_log(": connect from inside.example[127.0.0.1]", 2);
        instance.wait_for_log(": connect from good.client.test[192.0.2.10]", 2);
    });
}

/// A session over TLS, with the certificate `name`.
fn say_over_tls(instance: &Instance, name: &str) {
    let mut client = TcpStream::connect(("127.0.0.1", OURS)).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut reply = [0; 512];
    assert!(client.read(&mut reply).unwrap() > 0);
    client.write_all(b"STARTTLS\r\n").unwrap();
    assert!(client.read(&mut reply).unwrap() > 0 && reply.starts_with(b"220 2.0.0 "));
    let mut context = SslContext::builder(SslMethod::tls_client()).unwrap();
    let file = |ending: &str| instance.path("tls").join(format!("{name}.{ending}"));
    context.set_certificate_chain_file(file("pem")).unwrap();
    context.set_private_key_file(file("key"), SslFiletype::PEM).unwrap();
    let ssl = Ssl::new(&context.build()).unwrap();
    let mut tls = ssl.connect(client).unwrap();
    tls.write_all(b"QUIT\r\n").unwrap();
    let _ = tls.read_to_end(&mut Vec::new());
}

#[test]
fn a_revocation_list_that_comes_later_counts_from_then_on() {
    inside("a_revocation_list_that_comes_later_counts_from_then_on", || {
        // One process serves all: it must not end by itself within the second that it waits.
        let main_cf = "max_use = 100000\nsmtpd_tls_CAfile = /mnt/tls/ca.pem\nsmtpd_tls_ask_ccert = yes\n\
                       smtpd_tls_ccert_crl_file = /mnt/late/crl.pem\nsmtpd_tls_loglevel = 1\n";
        let alone = "127.0.0.1:2525 inet n - y - 1 smtpd-rs\n";
        let instance = Instance::new(main_cf, alone).start();
        assert!(instance.banner(OURS).starts_with("220 "));
        say_over_tls(&instance, "listed");
        let log = instance.wait_for_log(" TLS connection established ", 1);
        assert!(log.contains("cannot read smtpd_tls_ccert_crl_file /mnt/late/crl.pem"), "{log}");
        assert!(log.contains("Untrusted TLS connection established "), "{log}");
        fs::create_dir(instance.path("late")).unwrap();
        fs::copy(instance.path("tls/crl.pem"), instance.path("late/crl.pem")).unwrap();
        // What is new is left alone for a second.
        for sessions in 2.. {
            say_over_tls(&instance, "listed");
            let log = instance.wait_for_log(" TLS connection established ", sessions);
            if log.contains(": Trusted TLS connection established ") {
                break;
            }
            assert!(sessions < 20_000, "{log}");
        }
        say_over_tls(&instance, "revoked");
        let log = instance.wait_for_log(": revoked by /CN=Test CA", 1);
        assert!(log.contains("smtpd_tls_ccert_crl_file /mnt/late/crl.pem has changed"), "{log}");
    });
}

#[test]
fn a_table_of_users_whose_old_self_keeps_a_name_is_read_anew() {
    inside("a_table_of_users_whose_old_self_keeps_a_name_is_read_anew", || {
        let main_cf = "smtpd_tls_ask_ccert = yes\nsmtpd_tls_loglevel = 1\n\
                       smtpd_tls_ccert_user_maps = unionmap:{texthash:/mnt/late/users}\n";
        let instance = Instance::new(main_cf, "127.0.0.1:2525 inet n - y - 1 smtpd-rs\n");
        let users = instance.path("late/users");
        let write_long_ago = || {
            fs::write(&users, "AA:BB alice\n").unwrap();
            let file = fs::File::options().append(true).open(&users).unwrap();
            // Nobody waits until it is complete.
            file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        };
        fs::create_dir(instance.path("late")).unwrap();
        write_long_ago();
        let instance = instance.start();
        assert!(instance.banner(OURS).starts_with("220 "));
        say_over_tls(&instance, "listed");
        instance.wait_for_log(" TLS connection established ", 1);
        fs::rename(&users, users.with_extension("old")).unwrap();
        write_long_ago();
        say_over_tls(&instance, "listed");
        let log = instance.wait_for_log(" TLS connection established ", 2);
        let said = "smtpd_tls_ccert_user_maps /mnt/late/users has changed -- restarting";
        assert!(log.contains(said), "{log}");
    });
}

#[test]
fn traces_of_tls_are_written_in_the_jail() {
    inside("traces_of_tls_are_written_in_the_jail", || {
        let main_cf = "smtpd_rs_dialect = 3.12\nsmtpd_tls_ask_ccert = yes\n\
                       tls_trace_rate_limit = 0\nsmtpd_tls_loglevel = trace\n";
        let instance = Instance::new(main_cf, MASTER_CF).start();
        assert!(instance.banner(OURS).starts_with("220 "));
        let directory = instance.path("queue/tlstrace");
        fs::create_dir(&directory).unwrap();
        let owner = nix::unistd::User::from_name("postfix").unwrap().unwrap();
        nix::unistd::chown(&directory, Some(owner.uid), None).unwrap();
        say_over_tls(&instance, "listed");
        let log = instance.wait_for_log("postfix/smtpd", 3);
        if log.contains("SSL_trace() is not available") {
            eprintln!("not tested: this OpenSSL has no SSL_trace()");
            return;
        }
        let log = instance.wait_for_log("TLS protocol trace for 127.0.0.1 saved to tlstrace/", 1);
        let name = log.rsplit("saved to ").next().unwrap().lines().next().unwrap();
        instance.wait_for_log("disconnect from", 2);
        let path = instance.path("queue").join(name);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("ClientHello") && text.contains("CN = roaming user"), "{text}");
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    });
}

/// OpenSSL is loaded when it is needed: what if it can't be had then?
#[test]
fn without_openssl_mail_comes_in_without_tls() {
    if cfg!(not(all(target_arch = "x86_64", target_env = "gnu"))) {
        eprintln!("skipped: here the program is linked with OpenSSL");
        return;
    }
    inside("without_openssl_mail_comes_in_without_tls", || {
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let mut files = maps.lines().filter_map(|line| line.split_whitespace().nth(5));
        let library = files.find(|path| path.contains("/libssl.so")).unwrap();
        let shell = |command: String| {
            assert!(Command::new("sh").arg("-c").arg(command).status().unwrap().success());
        };
        let main_cf = "smtpd_tls_security_level = may\nsmtpd_tls_cert_file = none\n";
        // In a jail at the start, else when the first client wants TLS.
        for jail in ["y", "n"] {
            let services = format!("127.0.0.1:2525 inet n - {jail} - - smtpd-rs\n");
            let instance = Instance::new(main_cf, &services);
            shell(format!("mount --bind /dev/null {library}"));
            let instance = instance.start();
            assert!(instance.banner(OURS).starts_with("220 "));
            let replies = say(OURS, &["EHLO x", "STARTTLS", "QUIT"]);
            let refusal = "454 4.7.0 TLS not available due to local problem";
            assert_eq!(replies[2], refusal, "{replies:?}");
            let log = instance.wait_for_log("disabling TLS support", 1);
            assert!(log.contains("warning: cannot load OpenSSL: "), "{log}");
            send(OURS);
            drop(instance);
            shell(format!("umount {library}"));
        }
    });
}
