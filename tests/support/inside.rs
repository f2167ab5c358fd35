//! What the tests beside the original share: namespaces of their own, and the two programs.

use std::env;
use std::error::Error;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

use super::world::Binaries;

/// Set in the process that runs inside the namespaces.
const INSIDE: &str = "SMTPD_RS_INSIDE_WORLD";

/// Whether this process runs inside the namespaces.
pub(crate) fn is_inside() -> bool {
    env::var_os(INSIDE).is_some()
}

/// Writes a line of report.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Starts this program again in namespaces of its own, or says why it can't.
pub(crate) fn go(who: &str) -> Result<bool, Box<dyn Error>> {
    let missing = missing();
    if missing.is_empty() {
        let program = env::current_exe()?;
        let status = Command::new("unshare")
            .args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"])
            .arg(program)
            .args(env::args_os().skip(1))
            .env(INSIDE, "1")
            .status()?;
        return Ok(status.success());
    }
    say(&format!("{who}: skipped, since this needs {}", missing.join(", ")));
    let fails = env::var_os("CI").is_some();
    say(if fails { "0 passed, 1 failed" } else { "0 passed, 0 failed" });
    Ok(!fails)
}

/// What this machine lacks.
fn missing() -> Vec<&'static str> {
    let mut missing = Vec::new();
    if !nix::unistd::geteuid().is_root() {
        missing.push("root");
    }
    for (program, flag, what) in [
        ("postconf", "-d", "an installed Postfix"),
        ("ip", "-V", "ip (iproute2)"),
        ("unshare", "--version", "unshare (util-linux)"),
    ] {
        if !Command::new(program).arg(flag).output().is_ok_and(|output| output.status.success()) {
            missing.push(what);
        }
    }
    if missing.is_empty() {
        let allowed = Command::new("unshare").args(["-mnpf", "--mount-proc", "true"]).output();
        if !allowed.is_ok_and(|output| output.status.success()) {
            missing.push("the right to make namespaces");
        }
    }
    missing
}

/// A parameter's default in the installed Postfix.
pub(crate) fn installed(parameter: &str) -> Result<String, Box<dyn Error>> {
    let output = Command::new("postconf").args(["-dh", parameter]).output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// Both programs; with `reference_only`, theirs on both sides.
pub(crate) fn binaries(reference_only: bool) -> Result<Binaries, Box<dyn Error>> {
    let daemons = PathBuf::from(installed("daemon_directory")?);
    let path = |name: &str| env::var_os(name).map(PathBuf::from);
    let theirs = path("SMTPD_REFERENCE").unwrap_or_else(|| daemons.join("smtpd"));
    let ours = if reference_only {
        theirs.clone()
    } else {
        path("SMTPD_RS_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_smtpd-rs").into())
    };
    Ok(Binaries { theirs, ours, daemons })
}
