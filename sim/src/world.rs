//! What a program asks the system for without passing any door of ours: randomness and time.
//!
//! The crates below draw randomness through libc's `getrandom` (keys of hash maps, election
//! time-outs, nonces, ids), read clocks through `clock_gettime` and hold a thread up through
//! `clock_nanosleep`. The three functions here stand in their place for the whole program: on a
//! thread that simulates they answer from the seed and from the simulated clock, which stands still
//! while a thread is held up, on any other they ask the kernel.

use std::cell::{Cell, RefCell};
use std::mem::MaybeUninit;
use std::time::Duration;

use rustix::rand::GetRandomFlags;
use rustix::thread::{NanosleepRelativeResult, clock_nanosleep_absolute, clock_nanosleep_relative};
use rustix::time::ClockId;

use crate::panics;
use crate::random::Random;

/// Wall-clock time at the beginning of every run: 2026-01-01.
const WALL_BEGIN: Duration = Duration::from_secs(1_767_225_600);
/// Monotonic time at the beginning of every run, so that nothing subtracts below zero.
const MONOTONIC_BEGIN: Duration = Duration::from_secs(100_000);
/// With libc, the flag of a sleep until a moment.
const TIMER_ABSTIME: i32 = 1;
/// Clock number of the wall clock, with libc.
const WALL_CLOCK: i32 = 0;

thread_local! {
    static RANDOM: RefCell<Option<Random>> = const { RefCell::new(None) };
    static WALL_AHEAD_MS: Cell<i64> = const { Cell::new(0) };
    static NOW: Cell<Option<Duration>> = const { Cell::new(None) };
}

/// Makes this thread a simulated one, for as long as it lives.
///
/// # Panics
/// When the functions here are not the ones the program calls.
pub(crate) fn enter(seed: u64) {
    RANDOM.with_borrow_mut(|random| *random = Some(Random::of(seed, "getrandom")));
    set_now(Duration::ZERO);
    panics::install();
    let expected = Random::of(seed, "getrandom").draw();
    let drawn = getrandom::u64().unwrap_or(0);
    assert_eq!(drawn, expected, "randomness is not the simulator's");
}

/// Moves this thread's clocks to so long after the beginning of the run.
pub(crate) fn set_now(since_begin: Duration) {
    NOW.set(Some(since_begin));
}

/// Sets this thread's wall clock wrong by so much: that of the host which runs now.
pub(crate) fn set_wall_ahead_ms(ahead_ms: i64) {
    WALL_AHEAD_MS.set(ahead_ms);
}

/// What the wall clock shows so long after the beginning of the run.
fn wall(now: Duration) -> Duration {
    let ahead_ms = WALL_AHEAD_MS.try_with(Cell::get).unwrap_or(0);
    let ahead = Duration::from_millis(ahead_ms.unsigned_abs());
    let right = WALL_BEGIN + now;
    if ahead_ms < 0 {
        right - ahead
    } else {
        right + ahead
    }
}

fn fill(random: &mut Random, bytes: &mut [MaybeUninit<u8>]) {
    for chunk in bytes.chunks_mut(8) {
        let drawn = random.draw().to_ne_bytes();
        for (byte, drawn) in chunk.iter_mut().zip(drawn) {
            byte.write(drawn);
        }
    }
}

/// Stands in for libc's.
///
/// # Safety
/// As getrandom(2): `buffer` points to `length` writable bytes.
#[expect(unsafe_code, reason = "takes the place of a C function")]
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(buffer: *mut u8, length: usize, flags: u32) -> isize {
    if length == 0 {
        return 0;
    }
    // SAFETY: the caller gives `length` writable bytes.
    let bytes = unsafe { std::slice::from_raw_parts_mut(buffer.cast::<MaybeUninit<u8>>(), length) };
    let simulated = RANDOM.try_with(|random| match random.try_borrow_mut() {
        Ok(mut random) => random.as_mut().map(|random| fill(random, bytes)).is_some(),
        Err(_) => false,
    });
    if simulated == Ok(true) {
        return length as isize;
    }
    let flags = GetRandomFlags::from_bits_truncate(flags);
    match rustix::rand::getrandom(&mut *bytes, flags) {
        Ok((filled, _)) => filled.len() as isize,
        Err(_) => -1,
    }
}

/// The kernel's clock for a number of libc's.
fn kernels(clock: i32) -> ClockId {
    if clock == WALL_CLOCK {
        ClockId::Realtime
    } else {
        ClockId::Monotonic
    }
}

/// Seconds and nanoseconds, as C lays them out on this system.
#[repr(C)]
struct Timespec {
    seconds: i64,
    nanoseconds: i64,
}

/// Stands in for libc's.
///
/// # Safety
/// As clock_gettime(2): `time` points to a writable `timespec`.
#[expect(unsafe_code, reason = "takes the place of a C function")]
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(clock: i32, time: *mut Timespec) -> i32 {
    let simulated = NOW.try_with(Cell::get).ok().flatten();
    let told = match simulated {
        Some(now) => {
            let now = if clock == WALL_CLOCK {
                wall(now)
            } else {
                MONOTONIC_BEGIN + now
            };
            Timespec {
                seconds: now.as_secs() as i64,
                nanoseconds: i64::from(now.subsec_nanos()),
            }
        }
        None => {
            let now = rustix::time::clock_gettime(kernels(clock));
            Timespec {
                seconds: now.tv_sec,
                nanoseconds: now.tv_nsec,
            }
        }
    };
    // SAFETY: the caller gives a writable timespec.
    unsafe { time.write(told) };
    0
}

/// Stands in for libc's. A simulated thread is held up for no time: nothing else happens meanwhile.
///
/// # Safety
/// As clock_nanosleep(2): `time` points to a `timespec`, `left` to a writable one or nowhere.
#[expect(unsafe_code, reason = "takes the place of a C function")]
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_nanosleep(
    clock: i32,
    flags: i32,
    time: *const Timespec,
    left: *mut Timespec,
) -> i32 {
    if NOW.try_with(Cell::get).ok().flatten().is_some() {
        return 0;
    }
    // SAFETY: the caller gives a timespec.
    let asked = unsafe { time.read() };
    let asked = rustix::time::Timespec {
        tv_sec: asked.seconds,
        tv_nsec: asked.nanoseconds,
    };
    let clock = kernels(clock);
    if flags & TIMER_ABSTIME != 0 {
        let slept = clock_nanosleep_absolute(clock, &asked);
        return slept.map_or_else(rustix::io::Errno::raw_os_error, |()| 0);
    }
    match clock_nanosleep_relative(clock, &asked) {
        NanosleepRelativeResult::Ok => 0,
        NanosleepRelativeResult::Err(error) => error.raw_os_error(),
        NanosleepRelativeResult::Interrupted(rest) => {
            if !left.is_null() {
                let rest = Timespec {
                    seconds: rest.tv_sec,
                    nanoseconds: rest.tv_nsec,
                };
                // SAFETY: the caller gives a writable timespec.
                unsafe { left.write(rest) };
            }
            rustix::io::Errno::INTR.raw_os_error()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn only_a_simulated_thread_is_never_held_up() {
        let pause = Duration::from_millis(30);
        let begun = Instant::now();
        std::thread::sleep(pause);
        assert!(begun.elapsed() >= pause);
        let simulated = std::thread::spawn(move || {
            enter(1);
            std::thread::sleep(Duration::from_secs(3_600));
        });
        simulated.join().expect("it ends at once");
        assert!(begun.elapsed() < Duration::from_secs(600));
    }
}
