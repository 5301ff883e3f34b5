//! A TCP proxy in front of one server: delays, freezes and cuts what passes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep, sleep_until};

#[derive(Default)]
pub struct Control {
    /// Added to each direction.
    pub delay_us: AtomicU64,
    /// Nothing passes towards the server, or from it.
    pub is_frozen: [AtomicBool; 2],
    cut: Notify,
}

impl Control {
    pub fn set_delay(&self, delay: Duration) {
        self.delay_us
            .store(delay.as_micros() as u64, Ordering::Relaxed);
    }

    pub fn freeze(&self, is_frozen: bool) {
        self.freeze_one_way(0, is_frozen);
        self.freeze_one_way(1, is_frozen);
    }

    pub fn freeze_one_way(&self, way: usize, is_frozen: bool) {
        self.is_frozen[way].store(is_frozen, Ordering::Relaxed);
    }

    /// Ends all connections.
    pub fn cut(&self) {
        self.cut.notify_waiters();
    }
}

/// Passes what comes to `at` on to `server`.
pub async fn start(at: SocketAddr, server: SocketAddr) -> Arc<Control> {
    let control = Arc::new(Control::default());
    let listener = TcpListener::bind(at).await.unwrap();
    let shared = Arc::clone(&control);
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            tokio::spawn(pass(near, server, Arc::clone(&shared)));
        }
    });
    control
}

async fn pass(near: TcpStream, server: SocketAddr, control: Arc<Control>) {
    let cut = control.cut.notified();
    let Ok(far) = TcpStream::connect(server).await else {
        return;
    };
    near.set_nodelay(true).unwrap();
    far.set_nodelay(true).unwrap();
    let (near_in, near_out) = near.into_split();
    let (far_in, far_out) = far.into_split();
    tokio::select! {
        () = pass_one_way(near_in, far_out, 0, &control) => {}
        () = pass_one_way(far_in, near_out, 1, &control) => {}
        () = cut => {}
    }
}

async fn pass_one_way(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    way: usize,
    control: &Control,
) {
    let (queue, mut queued) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let reading = async {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(read) = from.read(&mut buffer).await {
            if read == 0 {
                break;
            }
            let delay = Duration::from_micros(control.delay_us.load(Ordering::Relaxed));
            queue
                .send((Instant::now() + delay, buffer[..read].to_vec()))
                .unwrap();
        }
    };
    let writing = async {
        while let Some((due, bytes)) = queued.recv().await {
            // The runtime's timers are as coarse as a millisecond.
            sleep_until(due - Duration::from_millis(1).min(due - Instant::now())).await;
            while Instant::now() < due {
                tokio::task::yield_now().await;
            }
            while control.is_frozen[way].load(Ordering::Relaxed) {
                sleep(Duration::from_millis(5)).await;
            }
            if to.write_all(&bytes).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        () = reading => {}
        () = writing => {}
    }
}
