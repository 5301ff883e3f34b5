//! How a person proves who he is: the greeting, what is signed, and the line that answers. Pure.

/// Version of the line protocol.
const PROTOCOL: &str = "sdfs-console 1";

/// What the key of [`CLUSTER_USER`](sdfs_types::CLUSTER_USER) is derived from the cluster's secret
/// for.
pub const CLUSTER_LOGIN_LABEL: &str = "console login";

/// The first line of a session. `challenge` is fresh for each.
#[must_use]
pub fn greeting_of(cluster: &str, server: &str, challenge: &str) -> String {
    format!("{PROTOCOL} {cluster} {server} {challenge}")
}

/// What a user signs with HMAC-SHA-256 under the SHA-256 of his secret: the whole greeting, a
/// blank, his name. It names the server, so that a proof for one serves at no other.
#[must_use]
pub fn signed_text(greeting: &str, user: &str) -> String {
    format!("{greeting} {user}")
}

/// `login USER PROOF`, the proof in 64 hexadecimal digits.
pub(crate) fn login(words: &[String]) -> Option<(&str, [u8; 32])> {
    let [command, user, proof] = words else {
        return None;
    };
    (command == "login").then_some(())?;
    Some((user, bytes_of(proof)?))
}

fn bytes_of(hex: &str) -> Option<[u8; 32]> {
    let digits = hex.as_bytes();
    let digit = |at: usize| char::from(digits[at]).to_digit(16);
    if digits.len() != 64 {
        return None;
    }
    let mut bytes = [0; 32];
    for (place, byte) in bytes.iter_mut().enumerate() {
        let value = digit(2 * place)? << 4 | digit(2 * place + 1)?;
        *byte = u8::try_from(value).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_has_name_and_proof() {
        let proof = "0aF".repeat(21) + "0";
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let line = words(&format!("login ann {proof}"));
        let (user, bytes) = login(&line).expect("a login");
        assert_eq!((user, bytes[0], bytes[1]), ("ann", 0x0a, 0xf0));
        for line in ["login ann", "login ann 12", "log ann 12", "status"] {
            assert_eq!(login(&words(line)), None, "{line}");
        }
        assert_eq!(
            login(&words(&format!("login ann {}", "x".repeat(64)))),
            None
        );
        assert_eq!(
            login(&words(&format!("login ann {}", "é".repeat(32)))),
            None
        );
    }
}
