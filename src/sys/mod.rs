//! The kernel and the C library: the one room, besides `tls::ffi`, where unsafe code may stand.

pub mod file;
pub mod interfaces;
pub mod process;
pub mod time;
pub mod users;
