//! Files that are read piece by piece, each piece checked: the ground of [`bdb`](super::bdb),
//! [`cdb`](super::cdb) and [`lmdb`](super::lmdb).

use std::io;
use std::rc::Rc;

/// Bytes of a file.
pub type Block = Rc<[u8]>;

/// Why a file has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// It cannot be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is not what it should be.
    #[error("{0}")]
    Format(&'static str),
}

impl crate::text::fill::Bytes for Broken {
    fn append_to(&self, out: &mut Vec<u8>) {
        match self {
            Self::Io(error) => error.append_to(out),
            Self::Format(what) => what.append_to(out),
        }
    }
}

/// A file.
pub trait Blocks {
    /// The `len` bytes at `at`; [`Broken::Format`] where the file ends before.
    fn read(&self, at: u64, len: usize) -> Result<Block, Broken>;
    /// The same, but what was read before is not remembered.
    fn read_again(&self, at: u64, len: usize) -> Result<Block, Broken> {
        self.read(at, len)
    }
    /// How long the file is.
    fn len(&self) -> u64;
    /// Whether nothing is in it.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What [`Blocks::read`] says where the file ends.
pub const TOO_SHORT: Broken = Broken::Format("file too short");

/// A file in memory, for tests.
impl Blocks for [u8] {
    fn read(&self, at: u64, len: usize) -> Result<Block, Broken> {
        let at = usize::try_from(at).map_err(|_| TOO_SHORT)?;
        let bytes = self.get(at..).and_then(|rest| rest.get(..len));
        bytes.map(Block::from).ok_or(TOO_SHORT)
    }

    fn len(&self) -> u64 {
        <[u8]>::len(self) as u64
    }
}

/// The order of bytes in a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The low byte first.
    Little,
    /// The high byte first.
    Big,
}

impl Order {
    /// The number of 16 bits at `at`.
    pub fn u16(self, bytes: &[u8], at: usize) -> Result<u16, Broken> {
        let bytes = *bytes.get(at..).and_then(<[u8]>::first_chunk).ok_or(OUTSIDE)?;
        Ok(if self == Self::Little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    }

    /// The number of 32 bits at `at`.
    pub fn u32(self, bytes: &[u8], at: usize) -> Result<u32, Broken> {
        let bytes = *bytes.get(at..).and_then(<[u8]>::first_chunk).ok_or(OUTSIDE)?;
        Ok(if self == Self::Little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    }

    /// The number of 64 bits at `at`.
    pub fn u64(self, bytes: &[u8], at: usize) -> Result<u64, Broken> {
        let bytes = *bytes.get(at..).and_then(<[u8]>::first_chunk).ok_or(OUTSIDE)?;
        Ok(if self == Self::Little { u64::from_le_bytes(bytes) } else { u64::from_be_bytes(bytes) })
    }
}

const OUTSIDE: Broken = Broken::Format("number outside its page");

/// The `len` bytes at `at`.
pub fn piece(bytes: &[u8], at: usize, len: usize) -> Result<&[u8], Broken> {
    let piece = bytes.get(at..).and_then(|rest| rest.get(..len));
    piece.ok_or(Broken::Format("item outside its page"))
}

/// The first `index` of `count` items which is not less than what is looked for.
pub fn lower_bound(
    count: usize,
    mut is_less: impl FnMut(usize) -> Result<bool, Broken>,
) -> Result<usize, Broken> {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = usize::midpoint(low, high);
        if is_less(middle)? {
            low = middle.saturating_add(1);
        } else {
            high = middle;
        }
    }
    Ok(low)
}
