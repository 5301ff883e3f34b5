//! A console for tests: it says what it is told to say.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use sdfs_net_layer::TcpTransport;
use sdfs_server::greeting_of;
use sdfs_server_group::UserKey;

use super::link::Login;

/// In place of an answer: none comes, and the session stays open.
pub(super) const SILENCE: &str = "";

/// The console of a server: each session answers its lines after the login with these texts, one
/// after the other, and is closed; after the last session nobody listens. Gives what was typed.
pub(super) fn console(
    server: &str,
    sessions: &'static [&'static [&'static str]],
) -> (Login, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let (tell, typed) = channel();
    let greeting = greeting_of("test", server, &"0".repeat(64));
    thread::spawn(move || {
        for answers in sessions {
            let (stream, _) = listener.accept().expect("a connection");
            let mut lines = BufReader::new(stream.try_clone().expect("a socket")).lines();
            let say = |text: &str| (&stream).write_all(text.as_bytes()).expect("said");
            say(&format!("{greeting}\n"));
            for answer in [&"ok\n"].into_iter().chain(*answers) {
                let Some(Ok(line)) = lines.next() else { break };
                // The test may have heard enough.
                tell.send(line).unwrap_or(());
                if *answer == SILENCE {
                    lines.next();
                }
                say(answer);
            }
        }
    });
    let login = Login {
        cluster: "test".to_owned(),
        server: server.to_owned(),
        address,
        user: "admin".to_owned(),
        key: UserKey::of_secret("a secret"),
        transport: Arc::new(TcpTransport),
        wait: Duration::from_secs(20),
    };
    (login, typed)
}
