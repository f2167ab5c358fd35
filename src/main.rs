//! The binary: see the library.
fn main() -> std::process::ExitCode {
    smtpd_rs::main()
}
