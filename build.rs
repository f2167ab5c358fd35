//! What the linker must know.

use std::env;
use std::io::Write as _;

fn main() {
    let set = |name: &str| env::var_os(name).is_some();
    let gnu = env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|env| env == "gnu");
    if gnu {
        // The unwinder from GCC's static library, which only panics need: a library less to load
        // at each start. It stands before the shared one, which is then not needed.
        link("static:-bundle=gcc_eh");
    }
    if gnu && !set("DEP_OPENSSL_VENDORED") && !set("OPENSSL_STATIC") {
        // Most of the names that are looked up at a start are libcrypto's: it comes first.
        link("dylib=crypto");
    }
}

fn link(library: &str) {
    let _ = writeln!(std::io::stdout(), "cargo::rustc-link-lib={library}");
}
