//! A child of master(8): how the process starts, waits for clients and ends.
//!
//! master starts it with sockets at known numbers (see [`master`]); it reads main.cf and opens
//! everything as root, gives up its privileges, and then serves one client after the other. What
//! it serves is a [`Program`]. As Postfix: `single_server.c`.
#![forbid(unsafe_code)]

mod arguments;
mod clients;
mod listen;
mod master;
mod privileges;

use std::env;
use std::ffi::OsStr;
use std::mem::ManuallyDrop;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;
use std::process::Command;
use std::rc::Rc;
use std::time::Instant;

pub(crate) use self::arguments::Arguments;
use self::clients::Child;
pub(crate) use self::listen::Transport;
use self::master::Inheritance;
use crate::config::{self, Config, Source};
use crate::log::{self, Fatal};
use crate::session::Smtpd;
use crate::stream::Connection;
use crate::sys::lock::LockFile;
use crate::sys::start::ExitCode;
use crate::sys::{descriptor, process, time, watchdog};

/// What a child of master(8) does.
pub trait Program: Sized {
    /// Opens what needs privileges. The working directory is queue_directory.
    fn pre_jail(config: &Rc<Config>) -> Result<Self, Fatal>;
    /// What is to be done when the privileges are gone.
    fn post_jail(&mut self) -> Result<(), Fatal>;
    /// What has changed since it was opened, a table or a file. Then this process ends, and the
    /// next reads it anew.
    fn changed(&self) -> Option<Vec<u8>>;
    /// While no client is there: closes connections to other services that were idle for too
    /// long (ipc_idle). When to be called again.
    fn tend(&self, _now: Instant) -> Option<Instant> {
        None
    }
    /// Serves a client to the end.
    fn serve(&mut self, connection: Connection) -> Result<(), Fatal>;
}

/// Runs the daemon.
pub fn main() -> ExitCode {
    run::<Smtpd>()
}

/// Runs `P` as a child of master(8).
pub fn run<P: Program>() -> ExitCode {
    log::catch_panics();
    match life::<P>() {
        Ok(()) => ExitCode::SUCCESS,
        Err(fatal) => {
            log::last_words(&fatal);
            ExitCode::FAILURE
        }
    }
}

/// The order is that of the original: what may go wrong is told in the same order, in the same
/// words.
fn life<P: Program>() -> Result<(), Fatal> {
    let mut arguments = Arguments::parse(env::args_os());
    let passed = master::passed_descriptors(arguments.sockets);
    let mailed = env::var_os("MAIL_VERBOSE").is_some();
    log::set_verbose(arguments.verbose.saturating_add(u32::from(mailed)));
    process::survive_large_files();
    log::open();

    let config = Rc::new(configure(&mut arguments)?);
    let transport =
        if arguments.stdin { None } else { Some(Transport::of(arguments.transport.as_deref())?) };
    let generation = master::generation(env::var_os("GENERATION").map(|text| text.into_vec()))?;
    if arguments.debug || env::var_os("MAIL_DEBUG").is_some() {
        run_debugger(&config)?;
    }
    let lock = if arguments.alone || arguments.stdin { None } else { Some(lock(&arguments)?) };

    enter(&config.queue_directory)?;
    let mut program = P::pre_jail(&config)?;
    // The time zone is read now: in the jail it may not be there.
    time::local(time::now());
    privileges::drop(&config, arguments.drop_privileges)?;
    program.post_jail()?;
    config.forget_texts();
    process::give_memory_back();

    let Some(transport) = transport else { return serve_stdin(program, &arguments.rest) };
    if !passed {
        return Err(fatal!("no listening socket: this program is started by master"));
    }
    let master = Inheritance::take(arguments.sockets, generation)?;
    log::prepare_watchdog_timeout();
    watchdog::start(config.daemon_timeout, log::watchdog_timeout)
        .map_err(|error| fatal!("watchdog_create: sigaction(SIGALRM): {}", error))?;
    // What a process has at its end goes with it.
    let child = Child { config: &config, program, master, transport, lock, rest: &arguments.rest };
    ManuallyDrop::new(child).run()
}

fn configure(arguments: &mut Arguments) -> Result<Config, Fatal> {
    let mut source = Source::read(&config::directory())?;
    arguments.apply(&mut source)?;
    let by_hand_allowed = arguments.by_hand || arguments.stdin;
    let mut config = Config::load(source, &arguments.service_name, |settings| {
        log::settle(settings)?;
        if !by_hand_allowed && process::stdin_is_terminal() {
            log::also_to_terminal();
            return Err(fatal!("do not run this command by hand"));
        }
        Ok(())
    })?;
    config.jailed = arguments.chroot;
    config.stand_alone = arguments.stdin && process::user() != config.owner.0;
    Ok(config)
}

fn run_debugger(config: &Config) -> Result<(), Fatal> {
    let command = config.text(b"debugger_command").unwrap_or_default();
    if command.is_empty() {
        return Err(fatal!("no debugger_command variable set up"));
    }
    info!("running: {}", command);
    // Whether there is a debugger is the administrator's business.
    let _ = Command::new("/bin/sh").arg("-c").arg(OsStr::from_bytes(&command)).status();
    Ok(())
}

/// The file whose lock says which process of a service waits for the next client.
fn lock(arguments: &Arguments) -> Result<LockFile, Fatal> {
    let transport = arguments.transport.as_deref().unwrap_or_default();
    let path = fill!("pid/{}.{}", transport, arguments.service_name);
    LockFile::open(Path::new(OsStr::from_bytes(&path)))
        .map_err(|error| fatal!("open lock file {}: {}", path, error))
}

fn enter(directory: &[u8]) -> Result<(), Fatal> {
    env::set_current_dir(OsStr::from_bytes(directory))
        .map_err(|error| fatal!("chdir(\"{}\"): {}", directory, error))
}

fn serve_stdin<P: Program>(mut program: P, rest: &[Vec<u8>]) -> Result<(), Fatal> {
    let (fd, output) = descriptor::standard().map_err(|error| fatal!("stdin: {}", error))?;
    refuse_arguments(rest)?;
    program.serve(Connection { fd, output: Some(output), handed_over: None })
}

/// Words that are no options are found out with the first client. As Postfix.
pub(crate) fn refuse_arguments(rest: &[Vec<u8>]) -> Result<(), Fatal> {
    match rest.first() {
        None => Ok(()),
        Some(word) => Err(fatal!("unexpected command-line argument: {}", word)),
    }
}

impl Program for Smtpd {
    fn pre_jail(config: &Rc<Config>) -> Result<Self, Fatal> {
        Self::pre_jail(config)
    }

    fn post_jail(&mut self) -> Result<(), Fatal> {
        Self::warn_of_space(self);
        Ok(())
    }

    fn changed(&self) -> Option<Vec<u8>> {
        self.changed()
    }

    fn tend(&self, now: Instant) -> Option<Instant> {
        self.tend(now)
    }

    fn serve(&mut self, connection: Connection) -> Result<(), Fatal> {
        self.serve(connection)
    }
}
