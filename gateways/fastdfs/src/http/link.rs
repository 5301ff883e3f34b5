//! Signed links, in FastDFS's form: `?token=..&ts=..`, where the token is the MD5 of the file name
//! without its group, the secret and the time. Pure.

use md5::{Digest, Md5};
use sdfs_server_group::LinkSecret;
use subtle::ConstantTimeEq;
use thiserror::Error;

/// Letters of a token.
const TOKEN_BYTES: usize = 32;

/// Makes and checks links.
#[derive(Clone, Debug)]
pub struct Links {
    secret: LinkSecret,
    ttl_s: u64,
}

/// Why a link is not good, as whoever follows it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum LinkFault {
    /// It is not signed.
    #[error("this link needs a token and its time: ?token=..&ts=..")]
    Absent,
    /// A token of FastDFS has 32 letters.
    #[error("the token has not {TOKEN_BYTES} letters")]
    Length,
    /// The time is no number.
    #[error("ts is no number of seconds")]
    Time,
    /// It was good. A `ts` of 0 is old as any other: FastDFS takes it for one that never ends.
    #[error("the link has expired")]
    Expired,
    /// Its time comes later than any clock may be ahead.
    #[error("the link is from the future")]
    Early,
    /// Made for another file or time, or with another secret.
    #[error("the token is wrong")]
    Wrong,
}

impl Links {
    /// Links signed with `secret`, each good for so many seconds.
    #[must_use]
    pub fn new(secret: LinkSecret, ttl_s: u64) -> Self {
        Self { secret, ttl_s }
    }

    /// The token of a file, its name without the group, at a time in seconds since the Unix epoch.
    #[must_use]
    pub fn token(&self, name: &str, ts: u64) -> String {
        let mut sum = Md5::new();
        sum.update(name);
        sum.update(self.secret.as_bytes());
        sum.update(ts.to_string());
        let sum = sum.finalize();
        sum.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether what follows the question mark of a link lets read the file now.
    ///
    /// # Errors
    /// [`LinkFault`] when it does not.
    pub fn check(&self, name: &str, query: Option<&str>, now_s: u64) -> Result<(), LinkFault> {
        let query = query.unwrap_or("");
        let value = |key: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(name, _)| *name == key).map(|(_, value)| value)
        };
        let (Some(token), Some(ts)) = (value("token"), value("ts")) else {
            return Err(LinkFault::Absent);
        };
        if token.len() != TOKEN_BYTES {
            return Err(LinkFault::Length);
        }
        let is_number = ts.bytes().all(|byte| byte.is_ascii_digit());
        let ts: u64 = ts.parse().map_err(|_| LinkFault::Time)?;
        if !is_number {
            return Err(LinkFault::Time);
        }
        if now_s.saturating_sub(ts) > self.ttl_s {
            return Err(LinkFault::Expired);
        }
        if ts.saturating_sub(now_s) > self.ttl_s {
            return Err(LinkFault::Early);
        }
        let right = self.token(name, ts);
        match bool::from(right.as_bytes().ct_eq(token.as_bytes())) {
            true => Ok(()),
            false => Err(LinkFault::Wrong),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "M00/00/00/fwAAAmsAIJ6AC9vbAAATiNzyTgQ805.bin";
    const NOW_S: u64 = 1_700_000_000;

    fn links() -> Links {
        Links::new(LinkSecret::of_secret("FastDFS1234567890"), 600)
    }

    #[test]
    fn tokens_are_those_of_fastdfs() {
        // printf %s NAME SECRET TS | md5sum
        assert_eq!(
            links().token(NAME, NOW_S),
            "3eaa2545347e86ead3cec660b21333a7"
        );
    }

    #[test]
    fn links_are_good_for_their_time() {
        let signed = |ts: u64| format!("token={}&ts={ts}", links().token(NAME, ts));
        let token = links().token(NAME, NOW_S);
        let table = [
            (signed(NOW_S), Ok(())),
            (signed(NOW_S - 600), Ok(())),
            (signed(NOW_S - 601), Err(LinkFault::Expired)),
            (signed(NOW_S + 600), Ok(())),
            (signed(NOW_S + 601), Err(LinkFault::Early)),
            (signed(u64::MAX), Err(LinkFault::Early)),
            // FastDFS takes it for one that never expires.
            (signed(0), Err(LinkFault::Expired)),
            (format!("filename=a.jpg&ts={NOW_S}&token={token}&x"), Ok(())),
            // FastDFS reads the number, and so does this.
            (format!("ts=0{NOW_S}&token={token}"), Ok(())),
            (format!("ts={NOW_S}"), Err(LinkFault::Absent)),
            (format!("token={token}"), Err(LinkFault::Absent)),
            (String::new(), Err(LinkFault::Absent)),
            (format!("token={token}&ts="), Err(LinkFault::Time)),
            (format!("token={token}&ts=+{NOW_S}"), Err(LinkFault::Time)),
            (format!("token={token}&ts=-1"), Err(LinkFault::Time)),
            (
                format!("token={token}&ts=99999999999999999999"),
                Err(LinkFault::Time),
            ),
            (
                format!("token={}&ts={NOW_S}", &token[1..]),
                Err(LinkFault::Length),
            ),
            (format!("token={token}0&ts={NOW_S}"), Err(LinkFault::Length)),
            (format!("token=&ts={NOW_S}"), Err(LinkFault::Length)),
            (
                format!("token={token}&ts={}", NOW_S + 1),
                Err(LinkFault::Wrong),
            ),
            (
                format!("token={}&ts={NOW_S}", token.to_uppercase()),
                Err(LinkFault::Wrong),
            ),
        ];
        for (query, expected) in table {
            let found = links().check(NAME, Some(&query), NOW_S);
            assert_eq!(found, expected, "{query}");
        }
        assert_eq!(links().check(NAME, None, NOW_S), Err(LinkFault::Absent));
        let other = NAME.replace(".bin", ".txt");
        let found = links().check(&other, Some(&signed(NOW_S)), NOW_S);
        assert_eq!(found, Err(LinkFault::Wrong));
        let others = Links::new(LinkSecret::of_secret("another secret of it"), 600);
        let found = others.check(NAME, Some(&signed(NOW_S)), NOW_S);
        assert_eq!(found, Err(LinkFault::Wrong));
    }
}
