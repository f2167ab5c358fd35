//! Tells the code which OpenSSL it is built with: `openssl_3_2` is set where that is 3.2 or newer.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-check-cfg=cfg(openssl_3_2)");
    // As openssl-sys says it: 3020000f, hexadecimal.
    let text = env::var("DEP_OPENSSL_VERSION_NUMBER").unwrap_or_default();
    if u32::from_str_radix(&text, 16).is_ok_and(|number| number >= 0x3020_0000) {
        println!("cargo:rustc-cfg=openssl_3_2");
    }
}
