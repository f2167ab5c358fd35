//! `smtpd-rs check`: the binary looks at configurations that are made for it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "support/certificates.rs"]
mod certificates;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

/// Accounts that every system has: nothing runs under them here.
const MAIN_CF: &str = "\
compatibility_level = 3.6
smtpd_rs_dialect = 3.7.11
myhostname = mx.example
mail_owner = daemon
setgid_group = mail
local_recipient_maps =
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
";
/// The line of a test's first own line in main.cf: two with directories are before it.
const FIRST: usize = 10;

const MASTER_CF: &str = "\
cleanup unix n - n - 0 cleanup
rewrite unix - - n - - trivial-rewrite
proxymap unix - - n - - proxymap
tlsmgr unix - - n - 1 tlsmgr
anvil unix - - n - 1 anvil
smtp inet n - n - - smtpd
";

/// A directory with main.cf and master.cf, and an empty queue.
struct Place(PathBuf);

impl Place {
    fn new(main_cf: &str) -> Self {
        Self::with_services(main_cf, "")
    }

    fn with_services(main_cf: &str, services: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("smtpd-rs-check-{}-{number}", std::process::id());
        let place = Self(std::env::temp_dir().join(name));
        fs::create_dir_all(place.0.join("queue/etc")).unwrap();
        let queue = place.0.join("queue");
        let program = ours();
        let main_cf = format!(
            "{MAIN_CF}queue_directory = {}\ndaemon_directory = {}\n{main_cf}",
            queue.display(),
            program.parent().unwrap().display()
        );
        place.write("main.cf", &main_cf);
        place.write("master.cf", &format!("{MASTER_CF}{services}"));
        place
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        // A file that has just been written is read again and again until it is a second old.
        let hour_ago = SystemTime::now() - Duration::from_secs(3600);
        File::options().write(true).open(path).unwrap().set_modified(hour_ago).unwrap();
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.arg("check").arg("-c").arg(&self.0).env_remove("MAIL_CONFIG");
        command
    }

    /// Exit status, and the lines that were printed.
    fn check(&self, arguments: &[&str]) -> (i32, Vec<String>) {
        run(self.command(&ours()).args(arguments))
    }

    /// The findings that are no notes: what differs from machine to machine are notes.
    fn findings(&self) -> Vec<String> {
        let (_, mut lines) = self.check(&[]);
        lines.pop();
        lines.retain(|line| !line.contains("note: "));
        // Most tests have this one only.
        lines.iter().map(|line| line.replace(" smtp/inet: ", " ")).collect()
    }

    /// `text` with the words for what differs from run to run.
    fn words(&self, text: &str) -> String {
        text.replace("@place@", &self.0.display().to_string())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn ours() -> PathBuf {
    env!("CARGO_BIN_EXE_smtpd-rs").into()
}

fn run(command: &mut Command) -> (i32, Vec<String>) {
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let complained = String::from_utf8(output.stderr).unwrap();
    let lines = said.lines().chain(complained.lines()).map(str::to_owned).collect();
    (output.status.code().unwrap(), lines)
}

fn root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Keys and certificates, made once.
fn tls() -> &'static Path {
    static MADE: LazyLock<PathBuf> = LazyLock::new(|| {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("check-tls");
        let _ = fs::remove_dir_all(&directory);
        certificates::make(&directory).unwrap();
        directory
    });
    &MADE
}

/// `text` with the directory of keys and certificates in place of `@tls@`.
fn with_tls(text: &str) -> String {
    text.replace("@tls@", &tls().display().to_string())
}

/// A place whose main.cf offers TLS with the server's certificate.
fn tls_place(more: &str) -> Place {
    let common = "smtpd_tls_security_level = may\n\
                  smtpd_tls_chain_files = @tls@/server.chain\n";
    Place::new(&with_tls(&format!("{common}{more}")))
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    let place = Place::new("");
    let (status, lines) = place.check(&[]);
    assert_eq!(status, 0, "{lines:#?}");
    assert_eq!(place.findings(), [""; 0]);
    let last = lines.last().unwrap();
    assert!(last.starts_with("checked smtp/inet: 0 errors, 0 warnings, "), "{last}");
}

#[test]
fn all_wrong_values_are_told_with_their_lines() {
    let place = Place::new(
        "smtpd_helo_required = maybe\n# comment\nsmtpd_timeout =\n  3x\n\
         smtpd_recipient_limit = 0\ninet_protocols = ipv5\n",
    );
    let (status, _) = place.check(&[]);
    assert_eq!(status, 1);
    assert_eq!(
        place.findings(),
        [
            format!(
                "main.cf:{FIRST}: error: bad boolean configuration: smtpd_helo_required = maybe"
            ),
            format!(
                "main.cf:{}: error: parameter smtpd_timeout: bad time value or unit: 3x",
                FIRST + 2
            ),
            format!(
                "main.cf:{}: error: invalid smtpd_recipient_limit parameter value 0 < 1",
                FIRST + 4
            ),
            format!(
                "main.cf:{}: error: unknown inet_protocols value \"ipv5\" in \"ipv5\"",
                FIRST + 5
            ),
        ]
    );
}

#[test]
fn a_line_that_is_none_is_told() {
    let findings = Place::new("smtpd_helo_required\n").findings();
    let text = "missing '=' after attribute name: \"smtpd_helo_required\"";
    assert_eq!(findings, [format!("main.cf:{FIRST}: error: {text}")]);
}

#[test]
fn each_service_is_checked_with_its_own_settings() {
    let place = Place::with_services(
        "smtpd_client_restrictions = permit_mynetwork\n",
        "submission inet n - n - - smtpd-rs\n  -o syslog_name=x\n\
         \x20 -o { smtpd_client_restrictions = permit_mynetworks,\n     reject_nobody }\n\
         465 inet n - n - - smtpd -o smtpd_timeout=x\n",
    );
    assert_eq!(
        place.findings(),
        [
            format!(
                "main.cf:{FIRST}: error: smtp/inet, 465/inet: unknown smtpd restriction: \
                 \"permit_mynetwork\"; mail is deferred where it is reached"
            ),
            "master.cf:10: error: submission/inet: unknown smtpd restriction: \"reject_nobody\"; \
             mail is deferred where it is reached"
                .to_owned(),
            "master.cf:11: error: 465/inet: parameter smtpd_timeout: \
             bad time value or unit: x"
                .to_owned(),
        ]
    );
    let (status, lines) = place.check(&["--service", "submission", "--service", "465/inet"]);
    assert_eq!(status, 1);
    assert!(lines.last().unwrap().starts_with("checked submission/inet, 465/inet: 3 errors"));
}

#[test]
fn options_of_the_command_are_checked_too() {
    let place = Place::with_services(
        "",
        "1 inet n - n - - smtpd -x\n2 inet n - n - - smtpd word\n3 fifo n - n - - smtpd\n4 inet n\n",
    );
    assert_eq!(
        place.findings(),
        [
            "master.cf:7: error: 1/inet: invalid option: x",
            "master.cf:8: error: 2/inet: unexpected command-line argument: word",
            "master.cf:9: error: 3/fifo: unsupported transport type: fifo",
            "master.cf:10: error: bad field count",
        ]
    );
}

#[test]
fn a_program_that_is_not_there_is_told() {
    let place =
        Place::with_services("daemon_directory = /nowhere\n", "1 inet n - n - - smtpd-rs\n");
    let findings = place.findings();
    let text = "/nowhere/smtpd-rs: No such file or directory: master(8) cannot start it";
    assert_eq!(findings.last().unwrap(), &format!("master.cf:7: error: 1/inet: {text}"));
}

#[test]
fn a_level_of_tls_that_is_none_is_told() {
    let findings = Place::new("smtpd_tls_security_level = dane\n").findings();
    assert_eq!(findings, [format!("main.cf:{FIRST}: error: Invalid TLS level \"dane\"")]);
}

#[test]
fn restrictions_that_do_not_do_what_they_say_are_told() {
    let place = Place::new(
        "smtpd_restriction_classes = mine\nmine = check_client_access nothing\n\
         smtpd_recipient_restrictions = mine,\n  reject_rbl_client bl.example=127.0.0,\n  permit,\n  reject\n",
    );
    let findings = place.findings();
    assert_eq!(
        findings,
        [
            format!(
                "main.cf:{}: error: restriction check_client_access: bad argument \"nothing\": \
                 need maptype:mapname; mail is deferred where it is reached",
                FIRST + 1
            ),
            format!(
                "main.cf:{}: error: RBL reply error: need \".\" at \"127.0.0><\"; mail is deferred \
                 where it is reached",
                FIRST + 3
            ),
            format!(
                "main.cf:{}: warning: restriction `reject' after `permit' is ignored",
                FIRST + 5
            ),
        ]
    );
}

#[test]
fn an_open_relay_is_an_error() {
    let findings = Place::new("smtpd_relay_restrictions = permit_mynetworks\n").findings();
    assert!(
        findings
            .iter()
            .any(|line| line.starts_with(&format!("main.cf:{FIRST}: error: in parameter")))
    );
}

#[test]
fn tables_that_cannot_be_opened_are_told() {
    let place = Place::new(
        "smtpd_client_restrictions = check_client_access texthash:/nowhere/a,\n\
         \x20 check_client_access nonsense:/nowhere/b\nmynetworks = cidr:/nowhere/c\n",
    );
    assert_eq!(
        place.findings(),
        [
            format!("main.cf:{FIRST}: error: open database /nowhere/a: No such file or directory"),
            format!("main.cf:{}: error: unsupported dictionary type: nonsense", FIRST + 1),
            format!("main.cf:{}: error: open /nowhere/c: No such file or directory", FIRST + 2),
        ]
    );
}

#[test]
fn an_index_is_told_where_its_table_is_named() {
    let place = Place::new("");
    let table = place.words("hash:@place@/map");
    let main_cf = fs::read_to_string(place.0.join("main.cf")).unwrap();
    let list = format!("smtpd_sender_restrictions =\n  check_sender_access {table}\n");
    place.write("main.cf", &format!("{main_cf}{list}"));
    place.write("map", "a@example.org OK\n");
    let line = FIRST + 1;
    let absent = format!("main.cf:{line}: error: open database @place@/map.db: No such file");
    let found = place.findings();
    assert!(found[0].starts_with(&place.words(&absent)), "{found:#?}");
    let mut postmap = Command::new("postmap");
    postmap.arg("-c").arg(&place.0).arg(&table).env("PATH", "/usr/sbin:/usr/bin:/bin");
    match postmap.status() {
        Ok(status) => assert!(status.success()),
        Err(error) => return eprintln!("skipped: postmap: {error}"),
    }
    assert_eq!(place.findings(), [""; 0]);
    let source = File::options().append(true).open(place.0.join("map")).unwrap();
    source.set_modified(SystemTime::now() + Duration::from_secs(9)).unwrap();
    let stale = format!(
        "main.cf:{line}: warning: database @place@/map.db is older than source file @place@/map"
    );
    assert_eq!(place.findings(), [place.words(&stale)]);
}

#[test]
fn lines_of_tables_are_told() {
    let place = Place::new("");
    place.write("access", "a.example OK\nb.example\n");
    place.write("networks", "192.0.2.1/24 OK\n");
    let main_cf = fs::read_to_string(place.0.join("main.cf")).unwrap();
    let lists = "smtpd_client_restrictions = check_client_access texthash:@place@/access,\n  \
                 check_client_access cidr:@place@/networks\n";
    place.write("main.cf", &format!("{main_cf}{}", place.words(lists)));
    let findings = place.findings();
    assert_eq!(
        findings[0],
        "access:2: warning: expected format: key whitespace value -- ignoring this line"
    );
    assert!(
        findings[1].starts_with("networks:1: warning: ") && findings[1].contains("non-null host"),
        "{findings:#?}"
    );
}

#[test]
fn what_proxymap_would_refuse_is_told() {
    if Command::new("postconf").arg("-d").output().is_err() {
        return eprintln!("not tried: postconf(1) knows proxy_read_maps, and is not here");
    }
    let client = "smtpd_client_restrictions =\n  check_client_access proxy:texthash:/x\n";
    let findings = Place::new(&format!("{client}proxy_read_maps = proxy:texthash:/y\n")).findings();
    let text = "proxymap service is not configured for table \"texthash:/x\": \
                proxy:texthash:/x is not in proxy_read_maps";
    assert_eq!(findings, [format!("main.cf:{}: error: {text}", FIRST + 1)]);
    let allowed = format!("{client}proxy_read_maps = proxy:texthash:/x\n");
    assert_eq!(Place::new(&allowed).findings(), [""; 0]);
}

#[test]
fn a_key_must_match_its_certificate() {
    let place = Place::new(&with_tls(
        "smtpd_tls_security_level = may\nsmtpd_tls_cert_file = @tls@/server.pem\n\
         smtpd_tls_key_file = @tls@/listed-rsa.key\n",
    ));
    let findings = place.findings();
    let first = format!("main.cf:{FIRST}: error: TLS is asked for and cannot be had");
    assert!(findings[0].starts_with(&first), "{findings:#?}");
    assert!(
        findings.iter().any(|line| line.contains("error: cannot get RSA private key from file")
            || line.contains("does not match public key in")),
        "{findings:#?}"
    );
}

#[test]
fn files_that_are_not_there_are_told() {
    let place = Place::new(&with_tls(
        "smtpd_tls_security_level = encrypt\n\
         smtpd_tls_chain_files = @tls@/server.chain\n\
         smtpd_tls_CAfile = /nowhere/ca.pem\n",
    ));
    let findings = place.findings();
    let wanted = format!(
        "main.cf:{}: error: cannot load Certification Authority data, \
         CAfile=\"/nowhere/ca.pem\": disabling TLS support",
        FIRST + 2
    );
    assert!(findings.contains(&wanted), "{findings:#?}");
    let place = Place::new("smtpd_tls_security_level = may\n");
    let wanted = "error: No server certs available. TLS won't be enabled";
    assert!(place.findings().contains(&wanted.to_owned()), "{:#?}", place.findings());
}

#[test]
fn a_cipher_grade_that_is_none_is_told_before_the_first_handshake() {
    let findings = tls_place("smtpd_tls_ciphers = hihg\n").findings();
    let said = findings.iter().any(|line| {
        line.starts_with(&format!("main.cf:{}: error: ", FIRST + 2)) && line.contains("hihg")
    });
    assert!(said, "{findings:#?}");
}

#[test]
fn certificates_that_expire_are_told() {
    assert_eq!(tls_place("").findings(), [""; 0]);
    let file = format!("{}/server.chain", tls().display());
    let (status, lines) = tls_place("").check(&["--days", "40"]);
    assert_eq!(status, 0);
    // 30 days from the second in which it was made.
    let warning = |days: u32| {
        let what = format!("the certificate of \"mx.example.test\" in {file} expires");
        format!("main.cf:{}: warning: smtp/inet: {what} in {days} days", FIRST + 1)
    };
    assert!(lines.contains(&warning(29)) || lines.contains(&warning(30)), "{lines:#?}");
    // With hints the daemon says so too; it is told once.
    for hints in ["", "smtpd_tls_ccert_hints = yes\n"] {
        let expired = Place::new(&with_tls(&format!(
            "smtpd_tls_security_level = may\nsmtpd_tls_chain_files = @tls@/expired.chain\n{hints}"
        )));
        let findings = expired.findings();
        assert!(findings[0].contains("error: the certificate of \"late user\""), "{findings:#?}");
        assert!(findings[0].ends_with("has expired 2 days ago"), "{findings:#?}");
        let told = findings.iter().filter(|line| line.contains("has expired")).count();
        assert_eq!(told, 1, "{findings:#?}");
    }
}

#[test]
fn restrictions_by_certificate_want_clients_to_be_asked() {
    let list = "smtpd_relay_restrictions =\n  permit_tls_clientcerts,\n  reject\n";
    let findings = tls_place(list).findings();
    let text = "permit_tls_clientcerts is requested, but \"smtpd_tls_ask_ccert = no\"";
    assert_eq!(findings.last().unwrap(), &format!("main.cf:{}: warning: {text}", FIRST + 3));
    let asked = tls_place(&format!("{list}smtpd_tls_ask_ccert = yes\n")).findings();
    assert!(!asked.iter().any(|line| line.contains("permit_tls_clientcerts")), "{asked:#?}");
    let without_tls = Place::new(list).findings();
    let text = "permit_tls_clientcerts is requested, but TLS is not offered";
    assert!(without_tls.last().unwrap().ends_with(text), "{without_tls:#?}");
}

#[test]
fn public_authorities_must_not_let_everybody_relay() {
    let place = tls_place("");
    let ca = fs::read_to_string(tls().join("ca.pem")).unwrap();
    place.write("many.pem", &ca.repeat(25));
    let main_cf = fs::read_to_string(place.0.join("main.cf")).unwrap();
    let more = place.words(
        "smtpd_tls_ask_ccert = yes\nsmtpd_tls_CAfile = @place@/many.pem\n\
         smtpd_recipient_restrictions = permit_tls_all_clientcerts\n",
    );
    place.write("main.cf", &format!("{main_cf}{more}"));
    let findings = place.findings();
    let text = "permit_tls_all_clientcerts with public certification authorities \
                (smtpd_tls_CAfile has 25 authorities): anybody can have such a certificate";
    assert!(findings.contains(&format!("main.cf:{}: error: {text}", FIRST + 4)), "{findings:#?}");
    let own = more.replace(&place.words("@place@/many.pem"), &with_tls("@tls@/ca.pem"));
    place.write("main.cf", &format!("{main_cf}{own}"));
    assert_eq!(place.findings(), [""; 0]);
}

#[test]
fn names_must_be_vouched_for_by_ones_own_authority() {
    let place = tls_place("");
    let ca = fs::read_to_string(tls().join("ca.pem")).unwrap();
    place.write("many.pem", &ca.repeat(25));
    place.write("one.pem", &ca);
    place.write("keys", "AB:CD alice\n");
    place.write("names", "AB:CD alice\nsan_email:bob@x.example bob\n");
    let main_cf = fs::read_to_string(place.0.join("main.cf")).unwrap();
    let none = "names in certificates do not count with tls_append_default_CA = yes, \
                but for authorities in smtpd_tls_CAfile, which is empty";
    let public = "names in certificates of public certification authorities \
                  (smtpd_tls_CAfile has 25 authorities): \
                  anybody can have such a certificate, and whoever issues it decides on its names";
    for (table, more, told) in [
        ("texthash:@place@/names", "tls_append_default_CA = yes", Some(none)),
        ("regexp:@place@/none", "tls_append_default_CA = yes", Some(none)),
        ("texthash:@place@/keys", "tls_append_default_CA = yes", None),
        ("texthash:@place@/names", "smtpd_tls_CAfile = @place@/many.pem", Some(public)),
        ("texthash:@place@/keys", "smtpd_tls_CAfile = @place@/many.pem", None),
        ("inline:{san_dns:x=bob}", "smtpd_tls_CAfile = @place@/many.pem", Some(public)),
        ("texthash:@place@/names", "smtpd_tls_CAfile = @place@/one.pem", None),
    ] {
        let more =
            format!("smtpd_tls_ask_ccert = yes\nsmtpd_tls_ccert_user_maps = {table}\n{more}\n");
        place.write("main.cf", &format!("{main_cf}{}", place.words(&more)));
        let line =
            |text| format!("main.cf:{}: warning: smtpd_tls_ccert_user_maps: {text}", FIRST + 3);
        let mut findings = place.findings();
        findings.retain(|line| line.contains("names in certificates"));
        assert_eq!(findings, told.map(line).into_iter().collect::<Vec<_>>(), "{more}");
    }
}

#[test]
fn fingerprints_must_be_of_the_digest_in_use() {
    let place = tls_place("relay_clientcerts = texthash:@tls@/relay_clientcerts\n");
    assert_eq!(place.findings(), [""; 0]);
    let place = tls_place(
        "relay_clientcerts = texthash:@tls@/relay_clientcerts\nsmtpd_tls_fingerprint_digest = md5\n",
    );
    let findings = place.findings();
    let start = format!(
        "{}/relay_clientcerts:1: warning: fingerprint of 32 bytes (as by sha256), \
         but smtpd_tls_fingerprint_digest = md5 makes 16: ",
        tls().display()
    );
    assert!(findings[0].starts_with(&start), "{findings:#?}");
    let place = tls_place(
        "smtpd_client_restrictions = check_ccert_access inline:{ABCD=OK}\n\
         smtpd_tls_ask_ccert = yes\n",
    );
    let findings = place.findings();
    assert!(findings[0].contains(": warning: no fingerprint ("), "{findings:#?}");
}

#[test]
fn names_of_certificates_are_no_fingerprints() {
    let place = tls_place(
        "smtpd_client_restrictions = check_ccert_access {inline:{ {a@x.test=OK} {san_email:b@x.test=OK} }, \
         {search_order = san_email}}\nsmtpd_tls_ask_ccert = yes\n",
    );
    let findings = place.findings();
    let text =
        "warning: check_ccert_access looks names up without \"san_email:\": san_email:b@x.test";
    assert!(findings.len() == 1 && findings[0].ends_with(text), "{findings:#?}");
}

#[test]
fn a_misspelt_parameter_is_told_with_the_one_it_may_be() {
    if Command::new("postconf").arg("-d").output().is_err() {
        return eprintln!("not tried: postconf(1) knows all names, and is not here");
    }
    let place = Place::with_services(
        "smtpd_helo_requierd = yes\nmy_own = x\nsmtpd_banner = $my_own\n",
        "1 inet n - n - - smtpd\n  -o nothing_like_it=1\n",
    );
    assert_eq!(
        place.findings(),
        [
            format!(
                "main.cf:{FIRST}: warning: unused parameter: smtpd_helo_requierd; \
                 is it smtpd_helo_required?"
            ),
            "master.cf:8: warning: unused parameter: nothing_like_it".to_owned(),
        ]
    );
}

#[test]
fn what_this_version_lacks_is_told() {
    let place = Place::new("smtpd_milters = inet:localhost:1\nsmtpd_sasl_path = x\n");
    let findings = place.findings();
    assert!(findings[0].starts_with(&format!("main.cf:{FIRST}: error: a Milter")), "{findings:#?}");
    let last = format!(
        "main.cf:{}: warning: smtpd_sasl_path has no effect in this version of smtpd-rs",
        FIRST + 1
    );
    assert_eq!(findings.last().unwrap(), &last);
    // As by default: then nobody misses it.
    assert_eq!(Place::new("smtpd_sasl_path = smtpd\n").findings(), [""; 0]);
}

#[test]
fn services_that_a_session_asks_must_be_in_master_cf() {
    let place = Place::new("");
    place.write("master.cf", "smtp inet n - n - - smtpd\n");
    let findings = place.findings();
    assert_eq!(
        findings,
        [
            "master.cf: error: there is no service cleanup: mail is answered with 451",
            "master.cf: error: there is no service rewrite: RCPT waits for it in vain",
            "master.cf: error: there is no service anvil: clients are not counted",
        ]
    );
}

#[test]
fn what_the_jail_lacks_is_a_note() {
    let place = Place::with_services("", "1 inet n - y - - smtpd\n");
    let (status, lines) = place.check(&[]);
    assert_eq!(status, 0);
    let note = |start: &str| {
        let start = place.words(start);
        assert!(lines.iter().any(|line| line.starts_with(&start)), "{start}: {lines:#?}");
    };
    note("note: 1/inet: the jail @place@/queue lacks etc/");
    note("note: 1/inet: the jail @place@/queue lacks dev/log: ");
}

#[test]
fn a_directory_of_authorities_is_looked_for_in_the_jail() {
    let more = "smtpd_tls_ask_ccert = yes\nsmtpd_tls_CApath = /authorities\n";
    let place = tls_place(more);
    place.write("master.cf", &MASTER_CF.replace("smtp inet n - n", "smtp inet n - y"));
    let at = format!("main.cf:{}: warning: smtpd_tls_CApath: ", FIRST + 3);
    let path = place.words("@place@/queue/authorities");
    let findings = place.findings();
    assert_eq!(findings, [format!("{at}{path}: No such file or directory")]);
    fs::create_dir(place.0.join("queue/authorities")).unwrap();
    let findings = place.findings();
    let text = "has no certificates by their hash: see openssl rehash";
    assert_eq!(findings, [format!("{at}{path} {text}")]);
    fs::write(place.0.join("queue/authorities/01234567.0"), "").unwrap();
    assert_eq!(place.findings(), [""; 0]);
    fs::set_permissions(place.0.join("queue"), Permissions::from_mode(0o700)).unwrap();
    if root() {
        let text = place.words("daemon may not read @place@/queue");
        assert_eq!(place.findings(), [format!("{at}{text}")]);
    }
}

#[test]
fn programs_get_the_same_as_json() {
    let place = Place::new("smtpd_helo_required = maybe\n");
    let (status, lines) = place.check(&["--json"]);
    assert_eq!(status, 1);
    let value: serde_json::Value = serde_json::from_str(&lines.join("\n")).unwrap();
    assert_eq!(value["errors"], 1);
    assert_eq!(value["services"][0], "smtp/inet");
    let findings = value["findings"].as_array().unwrap();
    let error = findings.iter().find(|finding| finding["severity"] == "error").unwrap();
    assert_eq!(error["file"], place.words("@place@/main.cf"));
    assert_eq!(error["line"], FIRST);
    assert_eq!(error["text"], "bad boolean configuration: smtpd_helo_required = maybe");
}

#[test]
fn words_that_are_not_understood_are_wrong_usage() {
    let place = Place::new("");
    for wrong in [&["--nonsense"][..], &["--days", "x"], &["--service"], &["word"]] {
        assert_eq!(place.check(wrong).0, 64, "{wrong:?}");
    }
    let (status, lines) = place.check(&["--help"]);
    assert_eq!((status, lines[0].starts_with("usage: smtpd-rs check")), (0, true));
    let (status, lines) = place.check(&["--service", "pop3"]);
    let text = "master.cf: error: no service pop3 with the command smtpd or smtpd-rs";
    assert_eq!((status, lines[lines.len() - 2].as_str()), (1, text));
}

#[test]
fn a_configuration_that_is_not_there_is_an_error() {
    let place = Place::new("");
    fs::remove_file(place.0.join("main.cf")).unwrap();
    let (status, lines) = place.check(&[]);
    assert_eq!(status, 1);
    let text = place.words("error: open @place@/main.cf: No such file or directory");
    assert!(lines.contains(&text), "{lines:#?}");
}

#[test]
fn nothing_is_changed() {
    let place = tls_place("smtpd_helo_required = maybe\n");
    let before = snapshot(&place.0);
    place.check(&[]);
    place.check(&["--json"]);
    assert_eq!(snapshot(&place.0), before);
}

/// All files with their content and time of change.
fn snapshot(directory: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let mut found = BTreeMap::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let changed = fs::metadata(&path).unwrap().modified().unwrap();
            let content = fs::read(&path).unwrap_or_default();
            found.insert(path.clone(), (content, changed));
            if path.is_dir() {
                directories.push(path);
            }
        }
    }
    found
}

#[test]
fn what_only_root_may_see_is_no_error_for_others() {
    if !root() {
        return eprintln!("not tried: needs root, who can become somebody else");
    }
    let place = tls_place("");
    let main_cf = fs::read_to_string(place.0.join("main.cf")).unwrap();
    let chain = fs::read_to_string(tls().join("server.chain")).unwrap();
    place.write("server.chain", &chain);
    let mut own = String::new();
    for line in main_cf.lines() {
        let line = line.replace(&tls().display().to_string(), &place.0.display().to_string());
        writeln!(own, "{line}").unwrap();
    }
    place.write("main.cf", &own);
    fs::set_permissions(place.0.join("server.chain"), Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(&place.0, Permissions::from_mode(0o755)).unwrap();
    let program = place.0.join("program");
    fs::copy(ours(), &program).unwrap();
    let (status, lines) = run(place.command(&program).uid(65534).gid(65534).current_dir("/"));
    assert_eq!(status, 0, "{lines:#?}");
    let note = "note: smtp/inet: cannot be seen without root: error opening chain file: ";
    assert!(lines.iter().any(|line| line.contains(note)), "{lines:#?}");
    assert_eq!(place.findings(), [""; 0]);
}
