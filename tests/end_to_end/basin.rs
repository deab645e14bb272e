//! The binary with a directory of its own to work in.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A small network that every test trains in a moment.
pub(crate) const MODEL: &str = "mlp:64-16-10:relu";
/// Options of Keskar's measure that keep it short.
pub(crate) const SHORT: [&str; 4] = ["--dimension", "5", "--draws", "2"];

/// A directory in which the binary is run.
pub(crate) struct Basin {
    directory: TempDir,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    command: String,
}

impl Basin {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    /// A directory with a run in `run`, trained for two epochs.
    pub(crate) fn trained() -> Self {
        let basin = Self::new();
        basin.train("run", &[]);
        basin
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The command, not started yet.
    pub(crate) fn command<S: AsRef<str>>(&self, arguments: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_basin"));
        command.args(arguments.iter().map(AsRef::as_ref)).current_dir(self.directory.path()).stdin(Stdio::null());
        command.env("RUST_BACKTRACE", "0");
        command
    }

    pub(crate) fn run<S: AsRef<str>>(&self, arguments: &[S]) -> Ended {
        Ended::of(&self.command(arguments).output().unwrap(), &self.command(arguments))
    }

    /// Runs a command that must end well.
    pub(crate) fn done<S: AsRef<str>>(&self, arguments: &[S]) -> Ended {
        let ended = self.run(arguments);
        assert_eq!(ended.code, 0, "{ended:?}");
        ended
    }

    /// Trains the small network; its last checkpoint, relative to the directory.
    pub(crate) fn train(&self, out: &str, more: &[&str]) -> String {
        let settings = ["train", "--model", MODEL, "--epochs", "2", "-q", "--out", out];
        self.done(&[&settings[..], more].concat());
        format!("{out}/checkpoints/last.safetensors")
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    pub(crate) fn text(&self, name: &str) -> String {
        String::from_utf8(self.read(name)).unwrap()
    }

    pub(crate) fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&self.read(name)).unwrap()
    }

    /// Every file below a name, with its bytes, by its path relative to that name.
    pub(crate) fn files(&self, name: &str) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        collect(&self.path(name), "", &mut files);
        files
    }
}

fn collect(directory: &Path, prefix: &str, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        match entry.file_type().unwrap().is_dir() {
            true => {
                files.insert(format!("{name}/"), Vec::new());
                collect(&entry.path(), &format!("{name}/"), files);
            }
            false => drop(files.insert(name, fs::read(entry.path()).unwrap())),
        }
    }
}

impl Ended {
    pub(crate) fn of(output: &Output, command: &Command) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Self {
            // A signal is no exit code.
            code: output.status.code().unwrap_or(-1),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
            command: format!("{command:?}"),
        }
    }

    /// The JSON lines on stdout, which must hold nothing else.
    pub(crate) fn json_lines(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The one JSON line on stdout.
    pub(crate) fn json(&self) -> Value {
        let lines = self.json_lines();
        assert_eq!(lines.len(), 1, "{self:?}");
        lines[0].clone()
    }

    /// The lines on stderr but for what is said first of each checkpoint: its loss, and warnings with their hints.
    pub(crate) fn told(&self) -> Vec<&str> {
        let mut lines: Vec<&str> = Vec::new();
        let mut is_hint = false;
        for line in self.stderr.lines() {
            let is_loss = line.contains(": loss ") && line.contains(" samples of ");
            if !(is_loss || is_hint || line.starts_with("warning: ")) {
                lines.push(line);
            }
            is_hint = line.starts_with("warning: ");
        }
        lines
    }

    /// Asserts that this is how bad input is answered: one error, one hint, nothing on stdout, each part of `expected`
    /// somewhere in the message or the hint.
    pub(crate) fn assert_refused(&self, expected: &[&str]) {
        assert_eq!(self.code, 2, "{self:?}");
        assert_eq!(self.stdout, "", "{self:?}");
        let lines = self.told();
        let starting = |start: &str| lines.iter().filter(|line| line.starts_with(start)).count();
        assert_eq!((starting("error: "), starting("hint: ")), (1, 1), "{self:?}");
        assert!(!self.stderr.contains("panicked"), "{self:?}");
        assert!(lines[0].starts_with("error: ") && lines[lines.len() - 1].starts_with("hint: "), "{self:?}");
        assert!(lines[lines.len() - 1].len() > "hint: ".len(), "{self:?}");
        for part in expected {
            assert!(self.stderr.contains(part), "`{part}` is missing: {self:?}");
        }
        // One cause is told once.
        assert!(self.stderr.matches("os error").count() <= 1, "{} {self:?}", self.command);
    }
}

/// The field at a dotted path.
pub(crate) fn field<'a>(value: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(value, |value, name| match name.parse::<usize>() {
        Ok(index) => &value[index],
        Err(_) => &value[name],
    })
}

/// A record without what differs between two runs of the same measurement.
pub(crate) fn without_time(mut record: Value) -> Value {
    for name in ["created", "seconds"] {
        record.as_object_mut().unwrap().remove(name);
    }
    record
}
