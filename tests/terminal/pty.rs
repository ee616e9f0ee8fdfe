//! A terminal for one program: what it shows, what is typed into it, and how it is left.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::support::wait_for;

const BINARY: &str = env!("CARGO_BIN_EXE_kafka-rs");
/// Generous for a debug build on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
pub const CTRL_C: &str = "\x03";

/// A program at a terminal of its own.
pub struct Terminal {
    child: Child,
    keyboard: File,
    screen: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
    /// Up to where [`Terminal::wait_for`] has looked.
    looked_at: usize,
    modes: LocalModes,
}

/// How a program ended.
pub struct Ended {
    pub status: ExitStatus,
    /// All that it has shown, escape sequences as `␛`.
    pub shown: String,
    modes_before: LocalModes,
    modes_after: LocalModes,
}

impl Terminal {
    /// `kafka-rs` with these words at a terminal so wide.
    pub fn kafka_rs(width: u16, words: &[&str]) -> Self {
        let mut command = command();
        command.arg(BINARY).args(words);
        Self::start(width, command)
    }

    /// A line of a shell, in which `$KAFKA_RS` is the program: for pipes and files beside the terminal.
    pub fn shell(width: u16, line: &str) -> Self {
        let mut command = command();
        command.args(["sh", "-c", line]);
        Self::start(width, command)
    }

    /// Another program, such as a shell that reads what is typed.
    pub fn program(width: u16, words: &[&str]) -> Self {
        let mut command = command();
        command.args(words);
        Self::start(width, command)
    }

    fn start(width: u16, mut command: Command) -> Self {
        let (master, slave) = pair(width);
        command.stdin(slave.try_clone().unwrap()).stdout(slave.try_clone().unwrap()).stderr(slave);
        let child = command.spawn().expect("setsid of util-linux");
        // The command holds the other side open, and so would its end never be seen.
        drop(command);
        let modes = tcgetattr(&master).unwrap().local_modes;
        let screen = Arc::new(Mutex::new(Vec::new()));
        let mut source = File::from(master.try_clone().unwrap());
        let seen = Arc::clone(&screen);
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // Linux tells with an error that the last program has let go of the terminal.
            while let Ok(count @ 1..) = source.read(&mut buffer) {
                seen.lock().unwrap().extend_from_slice(&buffer[..count]);
            }
        });
        Self { child, keyboard: File::from(master), screen, reader: Some(reader), looked_at: 0, modes }
    }

    /// Waits until the text is shown, after what was waited for before.
    pub fn wait_for(&mut self, text: &str) -> &mut Self {
        let from = self.looked_at;
        let screen = Arc::clone(&self.screen);
        let what = format!("the terminal to show {text:?}");
        let found = std::panic::catch_unwind(|| {
            wait_for(&what, PATIENCE, || {
                let screen = screen.lock().unwrap();
                let at = screen[from..].windows(text.len()).position(|window| window == text.as_bytes())?;
                Some(from + at + text.len())
            })
        });
        match found {
            Ok(found) => self.looked_at = found,
            Err(_) => panic!("{what}, but it shows:\n{}", visible(&self.screen.lock().unwrap())),
        }
        self
    }

    pub fn press(&mut self, keys: &str) -> &mut Self {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
        self
    }

    /// What a terminal makes of Ctrl-C where nobody waits for a key.
    pub fn interrupt(&mut self) {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
    }

    /// Waits for the end.
    pub fn end(mut self) -> Ended {
        let status = wait_for("the program to end", PATIENCE, || self.child.try_wait().unwrap());
        let modes_after = tcgetattr(self.keyboard.as_fd()).unwrap().local_modes;
        self.reader.take().unwrap().join().unwrap();
        let shown = visible(&self.screen.lock().unwrap());
        Ended { status, shown, modes_before: self.modes, modes_after }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

impl Ended {
    /// Nothing is left switched: the cursor is shown, the screen is the first, keys are echoed.
    pub fn assert_clean(&self) -> &Self {
        for (on, off) in [("␛[?25h", "␛[?25l"), ("␛[?1049l", "␛[?1049h")] {
            let (on, off) = (self.shown.rfind(on), self.shown.rfind(off));
            assert!(off.is_none() || on > off, "the terminal is left switched:\n{}", self.shown);
        }
        assert_eq!(self.modes_before, self.modes_after, "the terminal is left in another mode");
        self
    }

    pub fn assert_code(&self, code: i32) -> &Self {
        assert_eq!(self.status.code(), Some(code), "{}", self.shown);
        self
    }

    /// Compares with `tests/data/terminal/NAME.txt`, or writes it if `KAFKA_RS_REGENERATE` is set.
    pub fn assert_shows(&self, name: &str, mask: impl Fn(&str) -> String) -> &Self {
        let path = Path::new("tests/data/terminal").join(format!("{name}.txt"));
        let shown = mask(&self.shown);
        if std::env::var_os("KAFKA_RS_REGENERATE").is_some() {
            std::fs::write(&path, &shown).unwrap();
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            shown == expected,
            "{} differs (`KAFKA_RS_REGENERATE=1 cargo test --test terminal` records anew); shown:\n{shown}",
            path.display()
        );
        self
    }
}

/// Through `setsid`, which makes the terminal the program's own, so that Ctrl-C reaches it.
fn command() -> Command {
    let mut command = Command::new("setsid");
    let directory = Path::new(BINARY).parent().unwrap();
    let path = format!("{}:{}", directory.display(), std::env::var("PATH").unwrap_or_default());
    command.arg("--ctty").env("KAFKA_RS", BINARY).env("PATH", path).env("TERM", "xterm-256color");
    command.env("LC_ALL", "C.UTF-8").env("TZ", "UTC");
    for variable in ["NO_COLOR", "COLUMNS", "LINES", "CLICOLOR", "CLICOLOR_FORCE", "KAFKA_RS_BOOTSTRAP"] {
        command.env_remove(variable);
    }
    command.stderr(Stdio::inherit());
    command
}

fn pair(width: u16) -> (OwnedFd, OwnedFd) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let slave = rustix::fs::open(name.as_c_str(), flags, Mode::empty()).unwrap();
    let size = Winsize { ws_row: 24, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&slave, size).unwrap();
    (master, slave)
}

fn visible(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace("\r\n", "\n").replace('\r', "␍").replace('\x1b', "␛").replace('\x07', "␇")
}
