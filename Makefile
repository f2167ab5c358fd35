# make demo    a message relayed by a client certificate, seen with one's own eyes
# make test    all tests, those beside the original Postfix too
#
# Both install what the machine lacks (Debian 12 and 13, with apt).

export PATH := $(HOME)/.cargo/bin:$(PATH):/usr/sbin:/sbin

CARGO ?= cargo
PREFIX ?= /usr/local
# Where Postfix looks for its daemons: smtpd-rs goes beside them, never in place of one.
DAEMON_DIR ?= $(or $(shell postconf -dh daemon_directory 2>/dev/null),/usr/lib/postfix/sbin)
SBIN_DIR ?= $(PREFIX)/sbin
MAN_DIR ?= $(PREFIX)/share/man/man8
DOC_DIR ?= $(PREFIX)/share/doc/smtpd-rs
DOCS = README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md LICENSE-MIT LICENSE-APACHE \
	$(wildcard docs/*.md docs/*.svg)
EXAMPLES = $(wildcard postfix-conf/*) scripts/smtpd-rs-fail2ban.conf

TESTS = $(filter-out differential certificate_clients clients scanners memory random switch jail,$(basename $(notdir $(wildcard tests/*.rs)))) \
	$(patsubst tests/%/main.rs,%,$(wildcard tests/*/main.rs))

.PHONY: build static check test scan matrix bench bench-record count count-record demo demo-keep \
	install uninstall clean deny

build:
	@scripts/install-what-is-missing build
	$(CARGO) build --release --locked

# OpenSSL and PCRE2 built into the program, which then takes only the C library from the system:
# see "With OpenSSL built in" in docs/benchmarks.md. Their fixes come with new versions of this
# program. `make static PIE=no`: smaller still, but at an address that everybody knows.
STATIC = target/static/release/smtpd-rs
static: export OPENSSL_CONFIG_DIR ?= $(shell openssl version -d | sed 's/.*"\(.*\)"/\1/')
static: export PCRE2_SYS_STATIC = 1
static:
	@scripts/install-what-is-missing static
	$(CARGO) rustc --release --locked --features vendored --target-dir target/static --bin smtpd-rs \
		-- $(if $(filter no,$(PIE)),-C relocation-model=static)
	$(STATIC) --version

# Ours beside the installed smtpd, some minutes; QUICK=1: one. Needs root (or sudo), since Postfix does.
# `make bench-record` writes docs/benchmarks.md and its plot; with what `make static` left, if anything.
BENCH = $(CARGO) bench --locked --bench side_by_side $(if $(filter 0,$(shell id -u)),,\
	--config "target.'cfg(unix)'.runner='sudo env PATH=$$PATH'") --
ALSO = $(if $(wildcard $(STATIC)),--also static=$(STATIC))
bench:
	@scripts/install-what-is-missing bench
	$(BENCH) $(if $(QUICK),--quick) $(if $(STRICT),--strict)

bench-record:
	@scripts/install-what-is-missing bench
	$(BENCH) --record $(ALSO)

# Instructions and system calls, which repeat where time does not.
count:
	@scripts/install-what-is-missing count
	$(BENCH) --count

count-record:
	@scripts/install-what-is-missing count
	$(BENCH) --count --record $(ALSO)

# What every change must pass, a minute or two: all but the tests beside the original, and those
# that need a Postfix of their own.
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

# What sslscan, testssl.sh, sslyze and tlsfuzzer find at ours, held against what they find at the
# installed smtpd: ten minutes. Those that cannot be had are named and left out.
scan:
	@scripts/install-what-is-missing scan
	@$(MAKE) --no-print-directory build
	SMTPD_RS_BINARY=$(CURDIR)/target/release/smtpd-rs SMTPD_RS_SCAN=all \
		$(CARGO) test --locked --test scanners $(if $(filter 0,$(shell id -u)),,\
		--config "target.'cfg(unix)'.runner='sudo --preserve-env=SMTPD_RS_BINARY,SMTPD_RS_SCAN env PATH=$$PATH'")

# All transcripts beside the smtpd of other releases, in root file systems of other Debians.
matrix:
	@scripts/install-what-is-missing matrix
	scripts/matrix

# Beside Postfix's own daemons, not over one; the tools for people where people look for them.
install:
	@[ -x target/release/smtpd-rs ] || { echo "nothing to install yet: make build" >&2; exit 1; }
	install -d $(DESTDIR)$(DAEMON_DIR) $(DESTDIR)$(SBIN_DIR) $(DESTDIR)$(MAN_DIR) $(DESTDIR)$(DOC_DIR)/examples
	install -m 755 target/release/smtpd-rs $(DESTDIR)$(DAEMON_DIR)/smtpd-rs
	ln -sfn $(DAEMON_DIR)/smtpd-rs $(DESTDIR)$(SBIN_DIR)/smtpd-rs
	install -m 755 scripts/switch $(DESTDIR)$(SBIN_DIR)/smtpd-rs-switch
	install -m 644 man/smtpd-rs.8 $(DESTDIR)$(MAN_DIR)/smtpd-rs.8
	ln -sfn smtpd-rs.8 $(DESTDIR)$(MAN_DIR)/smtpd-rs-switch.8
	install -m 644 $(DOCS) $(DESTDIR)$(DOC_DIR)
	install -m 644 $(EXAMPLES) $(DESTDIR)$(DOC_DIR)/examples
	@# There all documents lie side by side.
	sed -i -e 's|](docs/|](|g; s|](\.\./|](|g; s|](postfix-conf/|](examples/|g; s|](man/|](../../man/man8/|g' \
		$(addprefix $(DESTDIR)$(DOC_DIR)/,$(notdir $(filter %.md,$(DOCS))))

# What "install" has put there, nothing else.
uninstall:
	rm -f $(DESTDIR)$(DAEMON_DIR)/smtpd-rs $(addprefix $(DESTDIR)$(SBIN_DIR)/,smtpd-rs smtpd-rs-switch)
	rm -f $(addprefix $(DESTDIR)$(MAN_DIR)/,smtpd-rs.8 smtpd-rs-switch.8)
	rm -f $(addprefix $(DESTDIR)$(DOC_DIR)/,$(notdir $(DOCS)))
	rm -f $(addprefix $(DESTDIR)$(DOC_DIR)/examples/,$(notdir $(EXAMPLES)))
	for directory in $(DOC_DIR)/examples $(DOC_DIR); do \
		[ ! -d $(DESTDIR)$$directory ] || rmdir --ignore-fail-on-non-empty $(DESTDIR)$$directory; \
	done

# Licences, advisories and sources of everything we depend on (cargo install cargo-deny).
deny:
	$(CARGO) deny --locked check

clean:
	$(CARGO) clean
