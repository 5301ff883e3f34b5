//! An HTTP client of a few lines that shows everything there is to see.
#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "each test file uses its own part"
)]

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::PATIENCE;

/// What came back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    /// Names in small letters.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Whether all of the body came that was announced.
    pub is_whole: bool,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(found, _)| found == name);
        found.map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A connection that stays.
pub struct Http {
    pub stream: TcpStream,
    inbox: Vec<u8>,
}

impl Http {
    pub async fn to(address: SocketAddr) -> Http {
        let stream = TcpStream::connect(address).await.expect("a connection");
        stream.set_nodelay(true).expect("no delay");
        let inbox = Vec::new();
        Http { stream, inbox }
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("sent");
    }

    /// Asks and gives the reply; the connection goes on.
    pub async fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
        self.send(&request(method, path, headers)).await;
        let has_body = method != "HEAD";
        self.reply(has_body).await.expect("a reply")
    }

    /// The next reply; nothing when the connection is closed before its head is there.
    pub async fn reply(&mut self, has_body: bool) -> Option<Reply> {
        let end = loop {
            let end = self.inbox.windows(4).position(|four| four == b"\r\n\r\n");
            match end {
                Some(end) => break end,
                None if self.read().await => {}
                None => return None,
            }
        };
        let head: Vec<u8> = self.inbox.drain(..end + 4).collect();
        let head = String::from_utf8(head).expect("a head");
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).expect("a status");
        let header = |line: &str| {
            let (name, value) = line.split_once(':').expect("a header");
            (name.to_ascii_lowercase(), value.trim().to_owned())
        };
        let mut reply = Reply {
            status: status.parse().expect("a number"),
            headers: lines.map(header).collect(),
            ..Reply::default()
        };
        let length = reply.header("content-length").unwrap_or("0");
        let length = match has_body && reply.status != 304 {
            true => length.parse().expect("a length"),
            false => 0,
        };
        while self.inbox.len() < length && self.read().await {}
        reply.is_whole = self.inbox.len() >= length;
        let count = length.min(self.inbox.len());
        reply.body = self.inbox.drain(..count).collect();
        Some(reply)
    }

    /// Whether the other side closes without another byte.
    pub async fn is_closed(&mut self) -> bool {
        self.inbox.is_empty() && !self.read().await
    }

    /// Whether more came.
    async fn read(&mut self) -> bool {
        let mut bytes = vec![0; 64 << 10];
        let read = timeout(PATIENCE, self.stream.read(&mut bytes)).await;
        // A reset is an end as well.
        let count = read.expect("in time").unwrap_or(0);
        self.inbox.extend_from_slice(&bytes[..count]);
        count > 0
    }
}

pub fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    text.into_bytes()
}

/// Asks over a connection of its own.
pub async fn get(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Reply {
    Http::to(address).await.ask("GET", path, headers).await
}
