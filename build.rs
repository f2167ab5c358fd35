//! What the linker must know, and which OpenSSL the code is built with.

use std::env;
use std::io::Write as _;

fn main() {
    tell("rerun-if-changed=build.rs");
    // `openssl_3_2`: OpenSSL is 3.2 or newer. As openssl-sys says it: 3020000f, hexadecimal.
    tell("rustc-check-cfg=cfg(openssl_3_2)");
    let version = env::var("DEP_OPENSSL_VERSION_NUMBER").unwrap_or_default();
    if u32::from_str_radix(&version, 16).is_ok_and(|number| number >= 0x3020_0000) {
        tell("rustc-cfg=openssl_3_2");
    }
    let set = |name: &str| env::var_os(name).is_some();
    let gnu = env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|env| env == "gnu");
    if gnu {
        // The unwinder from GCC's static library, which only panics need: a library less to load
        // at each start. It stands before the shared one, which is then not needed.
        tell("rustc-link-lib=static:-bundle=gcc_eh");
    }
    if gnu {
        // Where the resolver is not in the C library itself (before glibc 2.34); else not loaded.
        tell("rustc-link-lib=dylib=resolv");
    }
    if gnu && !set("DEP_OPENSSL_VENDORED") && !set("OPENSSL_STATIC") {
        // Most of the names that are looked up at a start are libcrypto's: it comes first.
        tell("rustc-link-lib=dylib=crypto");
    }
}

fn tell(cargo: &str) {
    let _ = writeln!(std::io::stdout(), "cargo::{cargo}");
}
