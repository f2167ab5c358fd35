//! Namespaces of its own for a single test: network, mounts, processes.
//!
//! It needs root, util-linux, iproute2 and an installed Postfix; elsewhere the test says so, and
//! fails only where `CI` is set.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::env;
use std::process::Command;

/// Set in the process that runs inside the namespaces.
const INSIDE: &str = "SMTPD_RS_INSIDE_TEST";

/// Runs `test`, which has this name, in namespaces of its own.
pub(crate) fn inside(name: &str, test: impl FnOnce()) {
    if env::var_os(INSIDE).is_some() {
        assert!(Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap().success());
        return test();
    }
    if let Some(missing) = missing() {
        assert!(env::var_os("CI").is_none(), "not tried: {missing}");
        return eprintln!("not tried: {missing}");
    }
    let output = Command::new("unshare")
        .args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"])
        .arg(env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    // Only what failed has something to say.
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

fn missing() -> Option<&'static str> {
    let works = |program: &str, arguments: &[&str]| {
        Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
    };
    if !nix::unistd::geteuid().is_root() {
        return Some("needs root");
    }
    if !works("postconf", &["-d"]) {
        return Some("needs an installed Postfix");
    }
    if !works("ip", &["-V"]) {
        return Some("needs ip (iproute2)");
    }
    if !works("unshare", &["-mnpf", "--mount-proc", "true"]) {
        return Some("needs unshare, and the right to make namespaces");
    }
    None
}
