//! A node in a process of its own.

use std::net::TcpListener;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use grid_tests::mesh::soon;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// The process, which is killed when this is dropped.
pub(crate) struct ChildNode {
    pub(crate) name: String,
    process: Child,
    /// Lines of its log so far.
    log: Arc<Mutex<Vec<String>>>,
}

impl ChildNode {
    /// A node of this name, whose one peer this is. `times` are those that its first line names.
    pub(crate) fn spawn(name: &str, peer: &str, times: &str) -> Self {
        let mut command = Command::new(NODE);
        command.args([name, peer, times]);
        Self::run(name, command)
    }

    /// The same, with so few file descriptors.
    pub(crate) fn spawn_starved(name: &str, peer: &str, descriptors: u32) -> Self {
        let mut command = Command::new("sh");
        let limited = format!("ulimit -n {descriptors}; exec \"$0\" \"$@\"");
        command.args(["-c", &limited, NODE, name, peer]);
        Self::run(name, command)
    }

    fn run(name: &str, mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().expect("the node's process starts");
        let mut lines = BufReader::new(process.stderr.take().expect("it is piped")).lines();
        let log = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&log);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                kept.lock().unwrap().push(line);
            }
        });
        Self { name: name.to_owned(), process, log }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id().expect("it runs")
    }

    /// Sends a signal, by its name.
    pub(crate) async fn signal(&self, signal: &str) {
        let kill = Command::new("sh").args(["-c", &format!("kill -{signal} {}", self.pid())]).status();
        assert!(soon(kill).await.expect("there is a shell").success());
    }

    pub(crate) async fn kill(&mut self) {
        self.process.kill().await.expect("it can be killed");
    }

    /// How many lines of its log hold this text.
    pub(crate) fn logged(&self, text: &str) -> usize {
        self.log.lock().unwrap().iter().filter(|line| line.contains(text)).count()
    }
}

/// A name that fulfils a condition, with a port that is free now: a process that is killed must be able to have it
/// again.
pub(crate) fn free_name(condition: impl Fn(&str) -> bool) -> String {
    let name = || {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        format!("http://{}", listener.local_addr().expect("it is bound"))
    };
    std::iter::repeat_with(name).find(|name| condition(name)).expect("ports do not end")
}

const NODE: &str = env!("CARGO_BIN_EXE_echo_node");
