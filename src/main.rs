//! The binary: see the library.
#![cfg_attr(all(target_os = "linux", target_env = "gnu", not(test)), no_main)]

smtpd_rs::start!(smtpd_rs::main);
