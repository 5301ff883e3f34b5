//! The simulated network: pipes between hosts with seeded delays, and the faults of their links.
//!
//! A pipe keeps what was written until its time has come, in order, as TCP does: a cut link delays
//! the bytes until it is mended, a reset or a vanished host loses them together with the pipe.
//! All of it runs on one thread; the mutex is there because a `Transport` must be `Send`.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, VecDeque};
use std::hash::Hasher;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::random::Random;
use crate::stream::SimStream;
use crate::tally::Strike;

/// Bytes a pipe holds before its writer waits, as a socket's buffers do.
const PIPE_BYTES_MAX: usize = 256 << 10;

/// One direction of a connection.
struct Pipe {
    from: IpAddr,
    to: IpAddr,
    queue: VecDeque<(Instant, Bytes)>,
    queued_bytes: usize,
    /// When the last of the queue arrives: nothing overtakes it.
    last: Instant,
    /// When the end of the stream arrives.
    ends: Option<Instant>,
    is_reset: bool,
    /// The host at one end is gone without a word: nothing arrives any more.
    is_silent: bool,
    has_reader: bool,
    has_writer: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

#[derive(Default)]
struct Listening {
    waiting: VecDeque<(SimStream, SocketAddr)>,
    waker: Option<Waker>,
}

struct State {
    random: Random,
    pipes: BTreeMap<u64, Pipe>,
    last_pipe: u64,
    listening: BTreeMap<SocketAddr, Listening>,
    cuts: BTreeMap<(IpAddr, IpAddr), Strike>,
    /// Added to every delay.
    slower: Option<(Duration, Strike)>,
    last_port: u16,
    begin: Instant,
    traffic: DefaultHasher,
    bytes: u64,
}

/// The network between all hosts of a run. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Network(Arc<Mutex<State>>);

/// What a reader finds.
pub(crate) enum Found {
    Bytes(Bytes),
    End,
    /// Nothing before that moment.
    Later(Instant),
    /// Nothing until woken.
    Nothing,
    Reset,
}

impl Network {
    /// A whole network, drawn from the seed.
    #[must_use]
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            random: Random::of(seed, "network"),
            pipes: BTreeMap::new(),
            last_pipe: 0,
            listening: BTreeMap::new(),
            cuts: BTreeMap::new(),
            slower: None,
            last_port: 20_000,
            begin: Instant::now(),
            // Its keys are fixed, unlike those of a hash map.
            traffic: DefaultHasher::new(),
            bytes: 0,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number for all writes there ever were, and how many bytes those were: two runs that differ
    /// in the moment, the size or the connection of one write differ here. What was written does
    /// not count, for the load a dserver tells is that of the real process.
    #[must_use]
    pub(crate) fn traffic(&self) -> (u64, u64) {
        let state = self.lock();
        (state.traffic.finish(), state.bytes)
    }

    /// Lets nothing pass from one host to another, until mended.
    pub(crate) fn cut(&self, from: IpAddr, to: IpAddr, strike: &Strike) {
        self.lock().cuts.insert((from, to), strike.clone());
    }

    /// Mends what was cut from one host to another.
    pub(crate) fn mend(&self, from: IpAddr, to: IpAddr) {
        let mut state = self.lock();
        state.cuts.remove(&(from, to));
        state.wake_readers();
    }

    /// Mends every link and takes every extra delay away.
    pub(crate) fn mend_all(&self) {
        let mut state = self.lock();
        state.cuts.clear();
        state.slower = None;
        state.wake_readers();
    }

    /// Makes every link slower by so much, or as fast as it was with `None`.
    pub(crate) fn slow(&self, more: Option<(Duration, Strike)>) {
        self.lock().slower = more;
    }

    /// Resets every connection between two hosts.
    pub(crate) fn reset(&self, one: IpAddr, other: IpAddr, strike: &Strike) {
        let mut state = self.lock();
        for pipe in state.pipes.values_mut() {
            if pipe.joins(one, other) {
                strike.took_effect();
                pipe.is_reset = true;
                pipe.wake();
            }
        }
    }

    /// Takes a host away without a word to the others, as the loss of its power does.
    pub(crate) fn vanish(&self, host: IpAddr) {
        let mut state = self.lock();
        for pipe in state.pipes.values_mut() {
            pipe.is_silent |= pipe.from == host || pipe.to == host;
        }
    }

    pub(crate) fn delay(&self) -> Duration {
        self.lock().delay()
    }

    pub(crate) fn is_cut(&self, one: IpAddr, other: IpAddr) -> bool {
        let state = self.lock();
        let ways = [(one, other), (other, one)];
        let cut = ways.iter().find_map(|way| state.cuts.get(way));
        cut.inspect(|strike| strike.took_effect()).is_some()
    }

    pub(crate) fn listen(&self, address: SocketAddr) -> io::Result<()> {
        let mut state = self.lock();
        if state.listening.contains_key(&address) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        state.listening.insert(address, Listening::default());
        Ok(())
    }

    pub(crate) fn stop_listening(&self, address: SocketAddr) {
        let gone = self.lock().listening.remove(&address);
        // Streams nobody took end here, which needs the lock again.
        drop(gone);
    }

    pub(crate) fn accept(
        &self,
        address: SocketAddr,
        waker: &Waker,
    ) -> Option<(SimStream, SocketAddr)> {
        let mut state = self.lock();
        let listening = state.listening.get_mut(&address)?;
        let first = listening.waiting.pop_front();
        if first.is_none() {
            listening.waker = Some(waker.clone());
        }
        first
    }

    /// The near end of a new connection; the far one waits to be accepted.
    pub(crate) fn open(&self, from: IpAddr, to: SocketAddr) -> io::Result<SimStream> {
        let mut state = self.lock();
        if !state.listening.contains_key(&to) {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        state.last_port = state.last_port.wrapping_add(1).max(20_000);
        let port = state.last_port;
        let there = state.pipe(from, to.ip());
        let back = state.pipe(to.ip(), from);
        let near = SimStream::new(self.clone(), back, there);
        let far = SimStream::new(self.clone(), there, back);
        if let Some(listening) = state.listening.get_mut(&to) {
            listening
                .waiting
                .push_back((far, SocketAddr::new(from, port)));
            if let Some(waker) = listening.waker.take() {
                waker.wake();
            }
        }
        Ok(near)
    }

    pub(crate) fn read(&self, pipe: u64, most: usize, waker: &Waker) -> Found {
        let now = Instant::now();
        let mut state = self.lock();
        let State { pipes, cuts, .. } = &mut *state;
        let Some(pipe) = pipes.get_mut(&pipe) else {
            return Found::Reset;
        };
        pipe.reader = Some(waker.clone());
        if pipe.is_reset {
            return Found::Reset;
        }
        if let Some(strike) = cuts.get(&(pipe.from, pipe.to)) {
            if !pipe.queue.is_empty() {
                strike.took_effect();
            }
            return Found::Nothing;
        }
        if pipe.is_silent {
            return Found::Nothing;
        }
        match pipe.queue.front_mut() {
            Some((at, _)) if *at > now => Found::Later(*at),
            Some((_, bytes)) => {
                let taken = bytes.split_to(most.min(bytes.len()));
                if bytes.is_empty() {
                    pipe.queue.pop_front();
                }
                pipe.queued_bytes -= taken.len();
                if let Some(writer) = pipe.writer.take() {
                    writer.wake();
                }
                Found::Bytes(taken)
            }
            None => match pipe.ends {
                Some(at) if at > now => Found::Later(at),
                Some(_) => Found::End,
                None => Found::Nothing,
            },
        }
    }

    /// How many of the bytes were taken; `None` when there is no room.
    pub(crate) fn write(
        &self,
        pipe: u64,
        bytes: &[u8],
        waker: &Waker,
    ) -> Option<io::Result<usize>> {
        let now = Instant::now();
        let mut state = self.lock();
        let delay = state.delay();
        let state = &mut *state;
        let Some(to) = state.pipes.get_mut(&pipe) else {
            return Some(Err(io::ErrorKind::BrokenPipe.into()));
        };
        if to.is_reset || !to.has_reader {
            return Some(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let room = PIPE_BYTES_MAX.saturating_sub(to.queued_bytes);
        if room == 0 {
            to.writer = Some(waker.clone());
            return None;
        }
        let taken = &bytes[..bytes.len().min(room)];
        let at = to.last.max(now + delay);
        to.last = at;
        to.queued_bytes += taken.len();
        to.queue.push_back((at, Bytes::copy_from_slice(taken)));
        if let Some(reader) = to.reader.take() {
            reader.wake();
        }
        state.traffic.write_u64(pipe);
        state.traffic.write_usize(taken.len());
        let at = at.saturating_duration_since(state.begin);
        state.traffic.write_u128(at.as_nanos());
        state.bytes += taken.len() as u64;
        Some(Ok(taken.len()))
    }

    /// The writer writes no more.
    pub(crate) fn end(&self, pipe: u64) {
        let now = Instant::now();
        let mut state = self.lock();
        let at = now + state.delay();
        if let Some(pipe) = state.pipes.get_mut(&pipe) {
            let at = pipe.last.max(at);
            pipe.ends.get_or_insert(at);
            pipe.wake();
        }
    }

    /// An end of the connection is dropped.
    pub(crate) fn leave(&self, incoming: u64, outgoing: u64) {
        self.end(outgoing);
        let mut state = self.lock();
        if let Some(pipe) = state.pipes.get_mut(&incoming) {
            pipe.has_reader = false;
            pipe.wake();
        }
        if let Some(pipe) = state.pipes.get_mut(&outgoing) {
            pipe.has_writer = false;
        }
        for id in [incoming, outgoing] {
            let is_over = |pipe: &Pipe| !pipe.has_reader && !pipe.has_writer;
            if state.pipes.get(&id).is_some_and(is_over) {
                state.pipes.remove(&id);
            }
        }
    }
}

impl State {
    fn delay(&mut self) -> Duration {
        let usual = Duration::from_micros(self.random.within(200..3_000));
        let rare = if self.random.percent(2) {
            Duration::from_millis(self.random.within(5..60))
        } else {
            Duration::ZERO
        };
        let slower = self.slower.as_ref().map(|(more, strike)| {
            strike.took_effect();
            *more
        });
        usual + rare + slower.unwrap_or(Duration::ZERO)
    }

    fn pipe(&mut self, from: IpAddr, to: IpAddr) -> u64 {
        self.last_pipe += 1;
        let pipe = Pipe {
            from,
            to,
            queue: VecDeque::new(),
            queued_bytes: 0,
            last: Instant::now(),
            ends: None,
            is_reset: false,
            is_silent: false,
            has_reader: true,
            has_writer: true,
            reader: None,
            writer: None,
        };
        self.pipes.insert(self.last_pipe, pipe);
        self.last_pipe
    }

    fn wake_readers(&mut self) {
        for pipe in self.pipes.values_mut() {
            pipe.wake();
        }
    }
}

impl Pipe {
    fn joins(&self, one: IpAddr, other: IpAddr) -> bool {
        (self.from == one && self.to == other) || (self.from == other && self.to == one)
    }

    fn wake(&mut self) {
        for waker in [self.reader.take(), self.writer.take()]
            .into_iter()
            .flatten()
        {
            waker.wake();
        }
    }
}
