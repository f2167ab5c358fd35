//! trivial-rewrite(8): makes addresses canonical, and says where they would go.

use std::rc::Rc;

/// Which addresses are completed with our own domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// `local`
    Local,
    /// `remote`
    Remote,
}

/// Where an address would go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resolved {
    /// Delivery transport: `local`, `smtp`, `error`.
    pub transport: Vec<u8>,
    /// Next hop, or the text of the error transport.
    pub nexthop: Vec<u8>,
    /// The canonical address, internal form, case folded.
    pub recipient: Vec<u8>,
    /// See the `FLAG_` and `CLASS_` constants.
    pub flags: u32,
}

impl Resolved {
    /// Final delivery here.
    pub const FLAG_FINAL: u32 = 1;
    /// The address was routed (source route, `%`).
    pub const FLAG_ROUTED: u32 = 2;
    /// The resolver gave the error transport: bad address syntax.
    pub const FLAG_ERROR: u32 = 4;
    /// Temporary lookup problem.
    pub const FLAG_FAIL: u32 = 8;
    /// mydestination and the like.
    pub const CLASS_LOCAL: u32 = 1 << 8;
    /// virtual_alias_domains
    pub const CLASS_ALIAS: u32 = 1 << 9;
    /// virtual_mailbox_domains
    pub const CLASS_VIRTUAL: u32 = 1 << 10;
    /// relay_domains
    pub const CLASS_RELAY: u32 = 1 << 11;
    /// All other domains.
    pub const CLASS_DEFAULT: u32 = 1 << 12;

    /// Whether any of `flags` is set.
    pub fn has(&self, flags: u32) -> bool {
        self.flags & flags != 0
    }
}

/// Who knows where addresses go: trivial-rewrite(8), or a test.
pub trait Resolve {
    /// Makes both addresses (internal forms) canonical in the local context, then resolves.
    /// Answers are kept: 100, the least recently used go first. As Postfix: `smtpd_resolve_addr()`.
    fn resolve(&self, sender: &[u8], address: &[u8]) -> Rc<Resolved>;
}
