//! The kernel and the C library: the home of `unsafe`.

pub mod descriptor;
pub mod errno;
pub mod file;
pub mod held_file;
pub mod hosts_file;
pub mod interfaces;
pub mod late_libraries;
pub mod lock;
pub mod names;
pub mod pause;
pub mod pcre;
pub mod process;
pub mod random;
pub mod regex;
pub mod resolver;
pub mod secret;
pub mod service_socket;
pub mod start;
pub mod time;
pub mod users;
pub mod watchdog;
