//! The runner's conversation with the driver: one command at a time, its output into the log, and an ear for what may
//! interrupt it. Single-threaded: it sleeps in poll(2). Must not know what the commands are for.

use std::io::{self, ErrorKind, PipeReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::log::BuildLog;
use crate::limits::{OUTPUT_CHUNK_BYTES, STOP_CHECK};
use crate::sandbox::Pipes;

/// What ends a build from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interrupt {
    Stopped,
    TimedOut,
    /// The sandbox is gone with its driver.
    Died,
}

/// Where interruptions come from.
pub(crate) struct Interrupts {
    /// Readable after a signal.
    pub signal: UnixStream,
    pub stop_file: PathBuf,
    pub deadline: Instant,
}

impl Interrupts {
    pub fn check(&mut self) -> Result<(), Interrupt> {
        let signalled = matches!(self.signal.read(&mut [0; 64]), Ok(1..));
        if signalled || self.stop_file.exists() {
            return Err(Interrupt::Stopped);
        }
        if Instant::now() >= self.deadline {
            return Err(Interrupt::TimedOut);
        }
        Ok(())
    }

    fn patience(&self) -> PollTimeout {
        let left = self.deadline.saturating_duration_since(Instant::now()).min(STOP_CHECK);
        // Rounded up, so that the deadline has passed when the time is over.
        PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::MAX)
    }
}

pub(crate) struct Session {
    pipes: Pipes,
    line: Vec<u8>,
    chunk: Vec<u8>,
}

/// The most a pipe can hold, and so the most that a command may have printed before its exit code came.
const PIPE_BYTES_MAX: usize = 1024 * 1024;
/// A line of the control pipe; `ready` with an image's environment is the longest.
const CONTROL_LINE_BYTES_MAX: usize = 1024 * 1024;

impl Session {
    pub fn new(pipes: Pipes) -> io::Result<Self> {
        for pipe in [&pipes.control, &pipes.output] {
            fcntl(pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        }
        Ok(Self { pipes, line: Vec::new(), chunk: vec![0; OUTPUT_CHUNK_BYTES] })
    }

    /// Runs the script that lies ready; its exit code, once all its output is in the log.
    pub fn command(
        &mut self,
        shell: &str,
        user: &str,
        log: &mut BuildLog,
        interrupts: &mut Interrupts,
    ) -> Result<i32, Interrupt> {
        interrupts.check()?;
        let sent = self.pipes.commands.as_mut().is_some_and(|commands| writeln!(commands, "{shell} {user}").is_ok());
        if !sent {
            return Err(Interrupt::Died);
        }
        let line = self.next_line(log, interrupts)?;
        line.trim().parse().map_err(|_| Interrupt::Died)
    }

    /// The driver's next word.
    pub fn next_line(&mut self, log: &mut BuildLog, interrupts: &mut Interrupts) -> Result<String, Interrupt> {
        loop {
            interrupts.check()?;
            let ended = !self.read_control();
            if let Some(end) = self.line.iter().position(|byte| *byte == b'\n') {
                let rest = self.line.split_off(end + 1);
                let line = std::mem::replace(&mut self.line, rest);
                self.drain(log);
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            if ended || self.line.len() > CONTROL_LINE_BYTES_MAX {
                self.drain(log);
                return Err(Interrupt::Died);
            }
            log.flush();
            let patience = interrupts.patience();
            let mut ready = [
                PollFd::new(self.pipes.control.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.pipes.output.as_fd(), PollFlags::POLLIN),
                PollFd::new(interrupts.signal.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut ready, patience) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(_) => return Err(Interrupt::Died),
            }
            if ready[1].revents().is_some_and(|events| !events.is_empty()) {
                self.read_output(log);
            }
        }
    }

    /// No more commands: the driver ends by itself.
    pub fn dismiss(&mut self) {
        self.pipes.commands = None;
    }

    /// Everything printed up to now.
    pub fn drain(&mut self, log: &mut BuildLog) {
        let mut read = 0;
        while read < PIPE_BYTES_MAX {
            match self.read_output(log) {
                0 => break,
                count => read += count,
            }
        }
        log.end_output();
    }

    fn read_output(&mut self, log: &mut BuildLog) -> usize {
        let count = read(&mut self.pipes.output, &mut self.chunk).unwrap_or(0);
        if count > 0 {
            log.output(&self.chunk[..count]);
        }
        count
    }

    /// False once the driver has closed its end.
    fn read_control(&mut self) -> bool {
        let mut buffer = [0; 4096];
        loop {
            match read(&mut self.pipes.control, &mut buffer) {
                None => return true,
                Some(0) => return false,
                Some(count) => self.line.extend_from_slice(&buffer[..count]),
            }
        }
    }
}

/// None where nothing is there yet; zero at the end.
fn read(pipe: &mut PipeReader, buffer: &mut [u8]) -> Option<usize> {
    loop {
        match pipe.read(buffer) {
            Ok(count) => return Some(count),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
            Err(_) => return Some(0),
        }
    }
}
