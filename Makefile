.PHONY: build check test
build:
	cargo build --release --locked
check:
	cargo fmt --check
	cargo clippy --all-targets --locked -- -D warnings
	cargo test --locked
test: check build
