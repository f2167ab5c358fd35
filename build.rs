//! What the linker must know, and which OpenSSL the code is built with.

use std::env;
use std::io::Write as _;
use std::process::Command;

fn main() {
    tell("rerun-if-changed=build.rs");
    let prefix = env::var("TARGET").unwrap_or_default().to_uppercase().replace('-', "_");
    // As openssl-sys: one for the target comes first.
    let set = |name: &str| {
        [name.to_owned(), format!("{prefix}_{name}")].iter().any(|name| env::var_os(name).is_some())
    };
    let target = |name: &str| env::var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default();
    let version = env::var("DEP_OPENSSL_VERSION_NUMBER").unwrap_or_default();
    // As openssl-sys says it: 3020000f, hexadecimal. None: it is no OpenSSL.
    let version = u32::from_str_radix(&version, 16).unwrap_or_default();
    flag("openssl_3_2", version >= 0x3020_0000);

    // Libraries that are loaded when they are needed (src/sys/late_libraries.rs).
    let gnu = target("ENV") == "gnu";
    let stubs = gnu && target("OS") == "linux" && target("ARCH") == "x86_64";
    let openssl_built_in = set("DEP_OPENSSL_VENDORED") || set("OPENSSL_STATIC");
    let openssl_elsewhere = set("OPENSSL_DIR") || set("OPENSSL_LIB_DIR");
    let late = stubs && version >= 0x3000_0000 && !openssl_built_in && !openssl_elsewhere;
    flag("late_openssl", late);
    tell(&format!("rustc-env=SMTPD_RS_LIBSSL=libssl.so.{}", version >> 28));
    flag("late_pcre2", stubs && pcre2_is_shared());

    if gnu {
        // The unwinder from GCC's static library, which only panics need: a library less to load
        // at each start. It stands before the shared one, which is then not needed.
        tell("rustc-link-lib=static:-bundle=gcc_eh");
    }
    if gnu && openssl_built_in && target("ARCH") == "x86_64" {
        // libcrypto asks the processor what it can do before main (crypto/x86_64cpuid.pl), a dozen
        // questions that each leave a virtual machine; it asks again when it is first used. So the
        // program has no function of that kind: the linker takes a name that is nowhere for none.
        tell("rustc-link-arg-bins=-Wl,-init=none_before_main");
    }
    if gnu && !openssl_built_in && !late {
        // Most of the names that are looked up at a start are libcrypto's: it comes first.
        tell("rustc-link-lib=dylib=crypto");
    }
}

/// Whether pcre2-sys finds the system's library; else it builds its own into the program.
fn pcre2_is_shared() -> bool {
    tell("rerun-if-env-changed=PCRE2_SYS_STATIC");
    let pkg_config = env::var_os("PKG_CONFIG").unwrap_or_else(|| "pkg-config".into());
    let there = || Command::new(pkg_config).args(["--exists", "libpcre2-8"]).status();
    env::var("PCRE2_SYS_STATIC").as_deref() != Ok("1")
        && there().is_ok_and(|status| status.success())
}

fn flag(name: &str, holds: bool) {
    tell(&format!("rustc-check-cfg=cfg({name})"));
    if holds {
        tell(&format!("rustc-cfg={name}"));
    }
}

fn tell(cargo: &str) {
    let _ = writeln!(std::io::stdout(), "cargo::{cargo}");
}
