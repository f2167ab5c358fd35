# make demo    a message relayed by a client certificate, seen with one's own eyes
# make test    all tests, those beside the original Postfix too
#
# Both install what the machine lacks (Debian 12 and 13, with apt).

export PATH := $(HOME)/.cargo/bin:$(PATH):/usr/sbin:/sbin

CARGO ?= cargo
PREFIX ?= /usr/local
# Where Postfix looks for its daemons: smtpd-rs goes beside them, never in place of one.
DAEMON_DIR ?= $(or $(shell postconf -dh daemon_directory 2>/dev/null),/usr/lib/postfix/sbin)
MAN_DIR ?= $(PREFIX)/share/man/man8
DOC_DIR ?= $(PREFIX)/share/doc/smtpd-rs

TESTS = $(filter-out differential clients memory,$(basename $(notdir $(wildcard tests/*.rs)))) \
	$(patsubst tests/%/main.rs,%,$(wildcard tests/*/main.rs))

.PHONY: build check test demo demo-keep install uninstall clean deny

build:
	@scripts/install-what-is-missing build
	$(CARGO) build --release --locked

# What every change must pass, a minute or two: all but the tests beside the original.
check:
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets --locked -- -D warnings
	$(CARGO) test --locked --lib --bins $(TESTS:%=--test %)

demo demo-keep: demo%:
	@scripts/install-what-is-missing demo
	@$(MAKE) --no-print-directory build
	@scripts/demo $(or $(subst -,,$*),run)

test:
	@scripts/install-what-is-missing test
	@$(MAKE) --no-print-directory build
	scripts/test

install:
	install -d $(DESTDIR)$(DAEMON_DIR) $(DESTDIR)$(MAN_DIR) $(DESTDIR)$(DOC_DIR)/examples
	install -m 755 target/release/smtpd-rs $(DESTDIR)$(DAEMON_DIR)/smtpd-rs
	install -m 644 man/smtpd-rs.8 $(DESTDIR)$(MAN_DIR)/smtpd-rs.8
	install -m 644 README.md CHANGELOG.md docs/*.md $(DESTDIR)$(DOC_DIR)
	install -m 644 postfix-conf/* $(DESTDIR)$(DOC_DIR)/examples

uninstall:
	rm -f $(DESTDIR)$(DAEMON_DIR)/smtpd-rs $(DESTDIR)$(MAN_DIR)/smtpd-rs.8
	rm -rf $(DESTDIR)$(DOC_DIR)

# Licences, advisories and sources of everything we depend on (cargo install cargo-deny).
deny:
	$(CARGO) deny --locked check

clean:
	$(CARGO) clean
