//! Real processes, found, started and ended.

use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::PoisonError;
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};

/// A process that is killed when it is dropped.
pub(crate) struct Process(pub(crate) Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Finds a program; where it is missing, says which test is left out, or fails where it must be there.
pub(crate) fn program(name: &str, test: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|folder| folder.join(name))
        .find(|file| file.is_file());
    if found.is_none() {
        leave_out(test, &format!("{name} is not installed"));
    }
    found
}

/// Python with this module of this package: in a venv of the tests, made once.
pub(crate) fn python(test: &str, module: &str, package: &str) -> Option<PathBuf> {
    static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    // Tests run at the same time, and a venv is made by one of them.
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let python = program("python3", test)?;
    let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("venv-{package}"));
    let inside = venv.join("bin/python");
    let has_module = || {
        Command::new(&inside)
            .args(["-c", &format!("import {module}")])
            .output()
    };
    if has_module().is_ok_and(|output| output.status.success()) {
        return Some(inside);
    }
    let made = Command::new(python)
        .args(["-m", "venv"])
        .arg(&venv)
        .output();
    let installed = made
        .ok()
        .filter(|made| made.status.success())
        .and_then(|_| {
            Command::new(&inside)
                .args(["-m", "pip", "install", "--quiet", package])
                .output()
                .ok()
        });
    match installed {
        Some(installed) if installed.status.success() => Some(inside),
        _ => {
            leave_out(
                test,
                &format!("no venv with Python's {package} can be made"),
            );
            None
        }
    }
}

/// The folder of the npm packages that this `package.json` names: installed once, and anew when it is another.
pub(crate) fn node_modules(test: &str, package: &str) -> Option<PathBuf> {
    let npm = program("npm", test)?;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("npm");
    let (modules, file) = (folder.join("node_modules"), folder.join("package.json"));
    if modules.is_dir() && std::fs::read_to_string(&file).is_ok_and(|there| there == package) {
        return Some(modules);
    }
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(&file, package).unwrap();
    let installed = Command::new(npm)
        .args([
            "install",
            "--no-package-lock",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
        ])
        .current_dir(&folder)
        .output();
    if installed.is_ok_and(|installed| installed.status.success()) {
        return Some(modules);
    }
    // The next run tries again.
    let _ = std::fs::remove_file(file);
    leave_out(test, "the npm packages cannot be installed");
    None
}

/// Says that a test is left out, and why; fails where nothing may be.
pub(crate) fn leave_out(test: &str, reason: &str) {
    assert!(!is_required(), "{test}: {reason}");
    // Not by `eprintln`, which is shown only for tests that fail.
    let _ = writeln!(io::stderr(), "left out: {test}: {reason}");
}

fn is_required() -> bool {
    env::var_os("PORTCULLIS_WIRE").is_some_and(|value| value == "required")
}

/// The gateway, built by cargo and started with these arguments; and its URL, once it is ready.
pub(crate) fn gateway(arguments: &[&str]) -> (Process, String) {
    gateway_with(arguments, Stdio::null())
}

/// The same, with its log somewhere.
pub(crate) fn gateway_with(arguments: &[&str], log: Stdio) -> (Process, String) {
    let mut child = Command::new(gateway_binary())
        .args(["--listen", "127.0.0.1:0"])
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .unwrap();
    let stdout = child.stdout.take().unwrap();
    let process = Process(child);
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    let url = line
        .trim()
        .strip_prefix("listening on ")
        .unwrap_or_else(|| panic!("{line:?}"));
    (process, url.to_owned())
}

/// Builds the binary where it is not there: it is of another package, so cargo does not say where it is.
pub(crate) fn gateway_binary() -> PathBuf {
    static BUILT: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    BUILT
        .get_or_init(|| {
            let built = Command::new(env!("CARGO"))
                .args([
                    "build",
                    "--quiet",
                    "--locked",
                    "-p",
                    "portcullis-examples",
                    "--bin",
                    "gateway",
                ])
                .status()
                .unwrap();
            assert!(built.success(), "the gateway is built");
            // target/debug/deps/it-..., beside which target/debug/gateway stands.
            let test = env::current_exe().unwrap();
            test.parent()
                .and_then(Path::parent)
                .unwrap()
                .join("gateway")
        })
        .clone()
}

/// Sends this signal: `-TERM`.
pub(crate) fn send(process: &Process, signal: &str) {
    let killed = Command::new("kill")
        .args([signal, &process.0.id().to_string()])
        .status();
    assert!(killed.unwrap().success());
}

/// A folder of this test, made anew.
pub(crate) fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A port at which nothing listens, and which nobody else gets until this is dropped.
pub(crate) fn closed_port() -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    socket
}

/// Waits until something listens on this port.
pub(crate) async fn listening(port: u16) {
    for _ in 0..1000 {
        if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("nothing listens on {port}");
}
