//! The accounts that Postfix needs: there, without privileges, and shared with nobody.

use super::Facts;
use crate::log::Fatal;
use crate::sys::users::Accounts;

impl Facts<'_> {
    /// Checks the users and the group under which programs of Postfix run; finds mail_owner.
    pub(super) fn check_accounts(&mut self) -> Result<(), Fatal> {
        if self.imagined {
            return Ok(());
        }
        let accounts = Accounts::read();
        let default = self.user(&accounts, "default_privs")?;
        self.owner = self.user(&accounts, "mail_owner")?;
        self.check_first_user(&accounts)?;
        self.groups = accounts.groups_of(self.noted("mail_owner"), self.owner.1);
        let group = self.group(&accounts)?;
        self.check_overlap(default, group)
    }

    fn user(&self, accounts: &Accounts, parameter: &str) -> Result<(u32, u32), Fatal> {
        let name = self.noted(parameter);
        let wrong =
            |problem: Vec<u8>| fatal!("{}: parameter {}: {}", self.file(), parameter, problem);
        let account =
            accounts.user(name).ok_or_else(|| wrong(fill!("unknown user name value: {}", name)))?;
        if account.uid == 0 {
            return Err(wrong(fill!("user {} has privileged user ID", name)));
        }
        if account.gid == 0 {
            return Err(wrong(fill!("user {} has privileged group ID", name)));
        }
        Ok((account.uid, account.gid))
    }

    fn check_first_user(&self, accounts: &Accounts) -> Result<(), Fatal> {
        let name = self.noted("mail_owner");
        match accounts.name_of_user(self.owner.0) {
            Some(first) if first != name => Err(fatal!(
                "{}: parameter mail_owner: user {} has same user ID as {}",
                self.file(),
                name,
                first
            )),
            _ => Ok(()),
        }
    }

    fn group(&self, accounts: &Accounts) -> Result<u32, Fatal> {
        let name = self.noted("setgid_group");
        let wrong =
            |problem: Vec<u8>| fatal!("{}: parameter setgid_group: {}", self.file(), problem);
        let gid =
            accounts.group(name).ok_or_else(|| wrong(fill!("unknown group name: {}", name)))?;
        if gid == 0 {
            return Err(wrong(fill!("group {} has privileged group ID", name)));
        }
        match accounts.name_of_group(gid) {
            Some(first) if first != name => {
                Err(wrong(fill!("group {} has same group ID as {}", name, first)))
            }
            _ => Ok(gid),
        }
    }

    fn check_overlap(&self, default: (u32, u32), group: u32) -> Result<(), Fatal> {
        let wrong = |problem: Vec<u8>| Err(fatal!("{}: parameters {}", self.file(), problem));
        let privs = self.noted("default_privs");
        let owner = self.noted("mail_owner");
        let setgid = self.noted("setgid_group");
        let (uid, gid) = self.owner;
        if privs == owner {
            return wrong(fill!("default_privs and mail_owner specify the same user {}", privs));
        }
        if default.0 == uid {
            return wrong(fill!(
                "default_privs and mail_owner: users {} and {} have the same user ID: {}",
                privs,
                owner,
                uid
            ));
        }
        if default.1 == gid {
            return wrong(fill!(
                "default_privs and mail_owner: users {} and {} have the same group ID: {}",
                privs,
                owner,
                gid
            ));
        }
        for (parameter, user, gid) in
            [("default_privs", privs, default.1), ("mail_owner", owner, gid)]
        {
            if gid == group {
                return wrong(fill!(
                    "{} and setgid_group: user {} and group {} have the same group ID: {}",
                    parameter,
                    user,
                    setgid,
                    group
                ));
            }
        }
        Ok(())
    }
}
