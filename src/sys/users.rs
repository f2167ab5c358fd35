//! Accounts and groups.
//!
//! The accounts of a mail system are local: they are looked up in /etc/passwd and /etc/group,
//! each read once, and only what is missing there is asked of the name service switch.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt as _;

use nix::unistd::{Gid, Group, Uid, User, initgroups, setgroups};

use super::file;
use crate::text::split::{SPACE, words};

/// A user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
}

/// The local accounts and groups as they were read.
#[derive(Debug)]
pub struct Accounts {
    passwd: Vec<u8>,
    group: Vec<u8>,
}

impl Accounts {
    /// Reads them. A file that cannot be read has none.
    pub fn read() -> Self {
        Self {
            passwd: file::read("/etc/passwd").unwrap_or_default(),
            group: file::read("/etc/group").unwrap_or_default(),
        }
    }

    /// The user of that name.
    pub fn user(&self, name: &[u8]) -> Option<Account> {
        named(&self.passwd, name).find_map(|row| row.account()).or_else(|| {
            let user = User::from_name(std::str::from_utf8(name).ok()?).ok()??;
            Some(Account { uid: user.uid.as_raw(), gid: user.gid.as_raw() })
        })
    }

    /// The first user that has the id.
    pub fn name_of_user(&self, uid: u32) -> Option<Vec<u8>> {
        let local = rows(&self.passwd).find(|row| row.id() == Some(uid));
        let local = local.map(|row| row.name.to_vec());
        local.or_else(|| Some(User::from_uid(Uid::from_raw(uid)).ok()??.name.into_bytes()))
    }

    /// The id of the group of that name.
    pub fn group(&self, name: &[u8]) -> Option<u32> {
        named(&self.group, name).find_map(|row| row.id()).or_else(|| {
            let group = Group::from_name(std::str::from_utf8(name).ok()?).ok()??;
            Some(group.gid.as_raw())
        })
    }

    /// The primary group `gid` of a user, and the local groups that list the user.
    pub fn groups_of(&self, user: &[u8], gid: u32) -> Vec<u32> {
        let mut groups = vec![gid];
        for row in rows(&self.group) {
            if !words(row.next, b",").any(|member| member == user) {
                continue;
            }
            if let Some(id) = row.id().filter(|id| !groups.contains(id)) {
                groups.push(id);
            }
        }
        groups
    }

    /// The first group that has the id.
    pub fn name_of_group(&self, gid: u32) -> Option<Vec<u8>> {
        let local = rows(&self.group).find(|row| row.id() == Some(gid));
        let local = local.map(|row| row.name.to_vec());
        local.or_else(|| Some(Group::from_gid(Gid::from_raw(gid)).ok()??.name.into_bytes()))
    }
}

/// Takes on the groups of a user: `local`, those of /etc/group. Where the name service switch
/// names other sources of groups, the C library is asked: it takes a hundred system calls and more.
pub fn take_groups(name: &[u8], gid: u32, local: &[u32]) -> io::Result<()> {
    let switch = file::read("/etc/nsswitch.conf").unwrap_or_default();
    if !groups_are_local(&switch) {
        return Ok(initgroups(&CString::new(name)?, Gid::from_raw(gid))?);
    }
    let groups: Vec<Gid> = local.iter().map(|id| Gid::from_raw(*id)).collect();
    Ok(setgroups(&groups)?)
}

/// Whether groups come from /etc/group alone. systemd adds those of its own dynamic users only.
fn groups_are_local(switch: &[u8]) -> bool {
    let sources = |database: &[u8]| {
        let lines = switch.split(|byte| *byte == b'\n');
        let mut found = lines.filter_map(|line| {
            let line = line.split(|byte| *byte == b'#').next()?.trim_ascii();
            line.strip_prefix(database)?.trim_ascii_start().strip_prefix(b":")
        });
        found.next()
    };
    // Without a line, the C library has "files" only.
    let sources = sources(b"initgroups").or_else(|| sources(b"group")).unwrap_or(b"files");
    let mut first = true;
    words(sources, SPACE).all(|source| {
        let local = source == b"files" || (!first && source == b"systemd");
        first = false;
        local
    })
}

/// The entry of a user as in passwd(5), asked of the C library: it knows all sources.
pub fn passwd_entry(name: &[u8]) -> io::Result<Option<Vec<u8>>> {
    // A name that is not UTF-8 cannot be asked for.
    let Ok(name) = std::str::from_utf8(name) else { return Ok(None) };
    let Some(user) = absent(User::from_name(name))? else { return Ok(None) };
    let (home, shell) = (user.dir.as_os_str().as_bytes(), user.shell.as_os_str().as_bytes());
    let (uid, gid) = (user.uid.as_raw(), user.gid.as_raw());
    let (password, gecos) = (user.passwd.as_bytes(), user.gecos.as_bytes());
    Ok(Some(fill!("{}:{}:{}:{}:{}:{}:{}", user.name, password, uid, gid, gecos, home, shell)))
}

/// The entry of a group as in group(5).
pub fn group_entry(name: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let Ok(name) = std::str::from_utf8(name) else { return Ok(None) };
    let Some(group) = absent(Group::from_name(name))? else { return Ok(None) };
    let (password, gid) = (group.passwd.as_bytes(), group.gid.as_raw());
    Ok(Some(fill!("{}:{}:{}:{}", group.name, password, gid, group.mem.join(","))))
}

/// Whether root is known.
pub fn knows_users() -> io::Result<bool> {
    Ok(absent(User::from_uid(Uid::from_raw(0)))?.is_some())
}

/// Whether root's group is known.
pub fn knows_groups() -> io::Result<bool> {
    Ok(absent(Group::from_gid(Gid::from_raw(0)))?.is_some())
}

/// Some sources have an error for what they don't know (getpwnam(3)).
fn absent<T>(found: nix::Result<Option<T>>) -> nix::Result<Option<T>> {
    use nix::errno::Errno;
    match found {
        Err(Errno::ENOENT | Errno::ESRCH | Errno::EBADF | Errno::EPERM) => Ok(None),
        found => found,
    }
}

/// A line of either file: `name:password:id:…`.
struct Row<'a> {
    name: &'a [u8],
    /// Digits, as yet unread.
    id: &'a [u8],
    /// passwd: the group id, group: the members.
    next: &'a [u8],
}

impl Row<'_> {
    /// `None`: the line is no row.
    fn id(&self) -> Option<u32> {
        number(self.id)
    }

    fn account(&self) -> Option<Account> {
        Some(Account { uid: self.id()?, gid: number(self.next).unwrap_or(u32::MAX) })
    }
}

fn rows(text: &[u8]) -> impl Iterator<Item = Row<'_>> {
    lines(text).filter_map(row)
}

/// Those of that name.
fn named<'a>(text: &'a [u8], name: &'a [u8]) -> impl Iterator<Item = Row<'a>> {
    let wanted = |line: &&[u8]| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(b":"));
    lines(text).filter(wanted).filter_map(row).filter(move |row| row.name == name)
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let ends = memchr::memchr_iter(b'\n', text).chain([text.len()]);
    let mut start = 0;
    ends.map(move |end| text.get(std::mem::replace(&mut start, end + 1)..end).unwrap_or_default())
}

fn row(line: &[u8]) -> Option<Row<'_>> {
    let mut fields = line.split(|byte| *byte == b':');
    let name = fields.next()?;
    let _password = fields.next()?;
    let (id, next) = (fields.next()?, fields.next()?);
    // `+` and `-` stand for NIS, in the files of old systems.
    let plain = !matches!(name.first(), None | Some(b'+' | b'-' | b'#'));
    plain.then_some(Row { name, id, next })
}

fn number(text: &[u8]) -> Option<u32> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts() -> Accounts {
        Accounts {
            passwd: b"root:x:0:0::/:/bin/sh\n+:::\npostfix:x:102:105::/:\nother:x:102:7::/:\nbad\n"
                .to_vec(),
            group: b"root:x:0:\npostdrop:x:106:a,b\n".to_vec(),
        }
    }

    #[test]
    fn local_accounts_are_found_in_the_files() {
        let accounts = accounts();
        assert_eq!(accounts.user(b"postfix"), Some(Account { uid: 102, gid: 105 }));
        assert_eq!(accounts.name_of_user(102), Some(b"postfix".to_vec()));
        assert_eq!(accounts.group(b"postdrop"), Some(106));
        assert_eq!(accounts.name_of_group(106), Some(b"postdrop".to_vec()));
    }

    #[test]
    fn what_is_nowhere_is_not_found() {
        let accounts = accounts();
        assert_eq!(accounts.user(b"no such user"), None);
        assert_eq!(accounts.user(b"bad"), None);
        assert_eq!(accounts.user(b"\xff"), None);
        assert_eq!(accounts.group(b"no such group"), None);
    }

    #[test]
    fn groups_are_those_that_list_the_user() {
        let group = b"root:x:0:\npostdrop:x:106:a,postfix\nopendkim:x:110:postfix\n\
                      x:x:105:postfix\n";
        let accounts = Accounts { passwd: Vec::new(), group: group.to_vec() };
        assert_eq!(accounts.groups_of(b"postfix", 105), [105, 106, 110]);
    }

    #[test]
    fn the_c_library_is_asked_where_groups_come_from_elsewhere() {
        assert!(groups_are_local(b""));
        assert!(groups_are_local(b"passwd: files ldap\ngroup:\t\tfiles systemd # x\n"));
        assert!(!groups_are_local(b"group: files ldap\n"));
        assert!(!groups_are_local(b"group: systemd files\n"));
        assert!(!groups_are_local(b"group: files [SUCCESS=merge] systemd\n"));
        assert!(!groups_are_local(b"group: files\ninitgroups: files sss\n"));
    }
}
