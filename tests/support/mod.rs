//! What the tests share: transcripts, and the private world in which they are played.
#![allow(dead_code, reason = "each test program uses its own part")]

pub(crate) mod certificates;
pub(crate) mod chance;
pub(crate) mod compare;
pub(crate) mod dialogue;
pub(crate) mod dns;
pub(crate) mod duel;
pub(crate) mod front;
pub(crate) mod handshake;
pub(crate) mod inside;
pub(crate) mod instance;
pub(crate) mod mask;
pub(crate) mod namespaces;
pub(crate) mod player;
pub(crate) mod programs;
pub(crate) mod sendmail;
pub(crate) mod transcript;
pub(crate) mod world;
