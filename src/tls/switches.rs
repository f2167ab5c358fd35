//! Whether TLS is offered or demanded.

use crate::config::Config;
use crate::log::Fatal;

/// What smtpd_tls_security_level and its elder relatives come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Switches {
    /// TLS is offered.
    pub use_tls: bool,
    /// TLS is demanded.
    pub enforce_tls: bool,
    /// AUTH only over TLS.
    pub auth_only: bool,
    /// The handshake comes before the greeting.
    pub wrapper: bool,
    /// Names in certificates may let somebody in, or keep him out. Whoever compiles restrictions
    /// says so where it is one of them that looks them up.
    pub names_count: bool,
}

impl Switches {
    /// Works them out from the parameters.
    pub fn of(config: &Config) -> Result<Self, Fatal> {
        let asked = Self {
            use_tls: config.smtpd_use_tls,
            enforce_tls: config.smtpd_enforce_tls,
            auth_only: config.smtpd_tls_auth_only,
            wrapper: config.smtpd_tls_wrappermode,
            names_count: !config.smtpd_tls_ccert_user_maps.is_empty(),
        };
        asked.settle(&config.smtpd_tls_security_level)
    }

    /// Whether [`of`](Self::of) will have TLS offered, if it is right; says nothing of what is wrong.
    pub fn want_tls(config: &Config) -> bool {
        match &config.smtpd_tls_security_level[..] {
            _ if config.smtpd_tls_wrappermode => true,
            [] => config.smtpd_use_tls || config.smtpd_enforce_tls,
            level => !level.eq_ignore_ascii_case(b"none"),
        }
    }

    /// A level counts more than use and enforce; wrapper mode counts more than a level, which is
    /// not even looked at.
    fn settle(mut self, level: &[u8]) -> Result<Self, Fatal> {
        if !self.wrapper && !level.is_empty() {
            (self.use_tls, self.enforce_tls) = match &level.to_ascii_lowercase()[..] {
                b"none" => (false, false),
                b"may" => (true, false),
                b"encrypt" => (true, true),
                b"fingerprint" | b"verify" | b"secure" => {
                    let parameter = "smtpd_tls_security_level";
                    warning!(
                        "{}: unsupported TLS level \"{}\", using \"encrypt\"",
                        parameter,
                        level
                    );
                    (true, true)
                }
                _ => return Err(fatal!("Invalid TLS level \"{}\"", level)),
            };
        }
        self.enforce_tls |= self.wrapper;
        self.auth_only |= self.enforce_tls;
        self.use_tls |= self.enforce_tls;
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::captured;

    const NOTHING: Switches = Switches {
        use_tls: false,
        enforce_tls: false,
        auth_only: false,
        wrapper: false,
        names_count: false,
    };
    const OFFERED: Switches = Switches { use_tls: true, ..NOTHING };
    const DEMANDED: Switches = Switches { enforce_tls: true, auth_only: true, ..OFFERED };

    #[test]
    fn a_level_says_it_all() {
        for asked in [NOTHING, OFFERED, DEMANDED] {
            let auth_only = asked.auth_only;
            assert_eq!(asked.settle(b"none"), Ok(Switches { auth_only, ..NOTHING }));
            assert_eq!(asked.settle(b"May"), Ok(Switches { auth_only, ..OFFERED }));
            assert_eq!(asked.settle(b"encrypt"), Ok(DEMANDED));
        }
        assert_eq!(captured::take(), Vec::<String>::new());
    }

    #[test]
    fn without_a_level_the_elder_parameters_count() {
        assert_eq!(NOTHING.settle(b""), Ok(NOTHING));
        assert_eq!(OFFERED.settle(b""), Ok(OFFERED));
        assert_eq!(Switches { enforce_tls: true, ..NOTHING }.settle(b""), Ok(DEMANDED));
    }

    #[test]
    fn one_can_tell_in_advance_whether_tls_will_be_wanted() {
        for level in ["", "none", "None", "may", "Encrypt", "verify"] {
            for other in ["", "smtpd_use_tls", "smtpd_enforce_tls", "smtpd_tls_wrappermode"] {
                let mut main_cf = format!("smtpd_tls_security_level = {level}\n");
                if !other.is_empty() {
                    main_cf += &format!("{other} = yes\n");
                }
                let config = Config::of_text(&main_cf).unwrap();
                let settled = Switches::of(&config).unwrap();
                assert_eq!(Switches::want_tls(&config), settled.use_tls, "{main_cf}");
            }
        }
        captured::take();
    }

    #[test]
    fn levels_of_clients_are_too_much_for_a_server() {
        assert_eq!(NOTHING.settle(b"Secure"), Ok(DEMANDED));
        let level = "unsupported TLS level \"Secure\", using \"encrypt\"";
        assert_eq!(captured::take(), [format!("warning: smtpd_tls_security_level: {level}")]);
        for level in ["dane", "foo", "may "] {
            let error = NOTHING.settle(level.as_bytes()).unwrap_err();
            assert_eq!(error, Fatal(format!("Invalid TLS level \"{level}\"").into_bytes()));
        }
    }

    #[test]
    fn wrapper_mode_demands_tls_whatever_the_level() {
        let wrapper = Switches { wrapper: true, ..NOTHING };
        for level in ["", "none", "foo"] {
            let settled = Switches { wrapper: true, ..DEMANDED };
            assert_eq!(wrapper.settle(level.as_bytes()), Ok(settled));
        }
    }
}
