//! What the linker must know.

use std::io::Write as _;

/// The unwinder comes from GCC's static library, where there is one: only panics need it, and a
/// library less to load is a start that is faster and a process that is smaller. It stands before
/// the shared one, which is then not needed.
fn main() {
    let gnu = std::env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|env| env == "gnu");
    if gnu {
        let _ = writeln!(std::io::stdout(), "cargo::rustc-link-lib=static:-bundle=gcc_eh");
    }
}
