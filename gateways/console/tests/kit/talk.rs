//! A session at a console over a raw socket.
#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "each test file uses its own part"
)]

use std::net::SocketAddr;

use sdfs_console::signed_text;
use sdfs_server_group::UserKey;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::PATIENCE;

/// A session.
pub struct Talk {
    pub stream: BufReader<TcpStream>,
    pub greeting: String,
}

impl Talk {
    /// Connects and reads the greeting.
    pub async fn to(address: SocketAddr) -> Talk {
        let stream = TcpStream::connect(address).await.expect("a connection");
        stream.set_nodelay(true).unwrap();
        let mut talk = Talk {
            stream: BufReader::new(stream),
            greeting: String::new(),
        };
        talk.greeting = talk.line().await.expect("a greeting");
        talk
    }

    /// Connects and logs in.
    pub async fn login(address: SocketAddr, user: &str, key: &UserKey) -> Talk {
        let mut talk = Talk::to(address).await;
        let proof = talk.proof(user, key);
        assert_eq!(talk.ask(&format!("login {user} {proof}")).await, "ok\n");
        talk
    }

    pub fn proof(&self, user: &str, key: &UserKey) -> String {
        let proof = key.sign(&signed_text(&self.greeting, user));
        proof.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub async fn send(&mut self, text: &str) {
        let sent = self.stream.get_mut().write_all(text.as_bytes());
        timeout(PATIENCE, sent)
            .await
            .expect("in time")
            .expect("sent");
    }

    /// The next line, without its end; `None` when the other side has closed.
    pub async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = timeout(PATIENCE, self.stream.read_line(&mut line)).await;
        let read = read.expect("in time").unwrap_or(0);
        (read > 0).then(|| line.trim_end_matches('\n').to_owned())
    }

    /// Types a line; the whole answer, as it came.
    pub async fn ask(&mut self, line: &str) -> String {
        self.send(&format!("{line}\n")).await;
        let mut answer = String::new();
        while let Some(line) = self.line().await {
            answer.push_str(&line);
            answer.push('\n');
            if !line.starts_with("  ") {
                break;
            }
        }
        answer
    }

    /// Everything until the other side closes.
    pub async fn rest(&mut self) -> String {
        let mut rest = String::new();
        while let Some(line) = self.line().await {
            rest.push_str(&line);
            rest.push('\n');
        }
        rest
    }
}
