//! What cluster a run has: how many servers, disks and clients, and what its configuration says of
//! storage. All drawn from the seed.

use crate::random::Random;

/// The cluster of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    /// How many agree on names.
    pub(crate) mservers: u8,
    /// How many keep blocks.
    pub(crate) dservers: u8,
    /// How many work while faults strike.
    pub(crate) clients: usize,
    /// Spaces of each dserver.
    pub(crate) spaces: u8,
    /// How long deleted files stay in the trash; `None` leaves it to the default, a day.
    pub(crate) trash_s: Option<u64>,
    /// After what time a lost dserver's copies are made elsewhere, if there is an elsewhere.
    pub(crate) replace_after_s: u64,
    /// Size of a segment of the dservers' logs: small ones are many, and compacted in a run.
    pub(crate) segment_bytes: u64,
    /// What dservers leave free for those who may use it.
    pub(crate) reserve_bytes: u64,
    /// Whether clients put some contents under several names.
    pub(crate) is_sharing: bool,
}

impl Setting {
    /// The one a seed draws: half of them are three servers of a kind and three clients.
    #[must_use]
    pub(crate) fn draw(seed: u64) -> Self {
        let mut random = Random::of(seed, "setting");
        let is_small = random.percent(50);
        let drawn = (random.within(3..8), random.within(3..10));
        let (clients, spaces) = (random.within(3..9), random.within(1..3));
        let setting = Self {
            mservers: drawn.0 as u8,
            dservers: drawn.1 as u8,
            clients: clients as usize,
            spaces: spaces as u8,
            trash_s: *random.pick(&[Some(0), Some(1), Some(5), None]),
            replace_after_s: *random.pick(&[1, 600]),
            segment_bytes: *random.pick(&[2 << 20, 2 << 20, 64 << 20]),
            reserve_bytes: *random.pick(&[0, 0, 32 << 20]),
            is_sharing: Random::of(seed, "sharing").percent(30),
        };
        if is_small {
            let (mservers, dservers, clients, spaces) = (3, 3, 3, 1);
            return Self {
                mservers,
                dservers,
                clients,
                spaces,
                ..setting
            };
        }
        setting
    }

    /// Its `config.conf`, whose files lie beside it.
    #[must_use]
    pub(crate) fn config(&self) -> String {
        let mut servers = String::new();
        for number in 1..=self.mservers {
            let name = format!("mserver-{number}");
            servers += &server("Mserver", &name, &format!("\"/{name}\""), number);
        }
        for number in 1..=self.dservers {
            let name = format!("dserver-{number}");
            let spaces: Vec<_> = (1..=self.spaces)
                .map(|space| format!("\"/{name}/{space}\""))
                .collect();
            let address = self.mservers + number;
            servers += &server("Dserver", &name, &spaces.join(", "), address);
        }
        let trash = self.trash_s.map(|s| format!("trash_s: {s}, "));
        let storage = format!(
            "{}replace_after_s: {}, block_bytes: 65536, segment_bytes: {}, reserve_bytes: {}",
            trash.unwrap_or_default(),
            self.replace_after_s,
            self.segment_bytes,
            self.reserve_bytes,
        );
        format!(
            "(cluster: \"sim\", secret_file: \"secret\", \
             admin: (name: \"admin\", secret_file: \"admin.secret\"), servers: [{servers}], \
             storage: ({storage}),)"
        )
    }
}

fn server(role: &str, name: &str, spaces: &str, number: u8) -> String {
    format!(
        "(name: \"{name}\", role: {role}, address: \"10.0.0.{number}:7000\", \
         space: [{spaces}], zone: \"{name}\"),"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_comes_up() {
        let all: Vec<Setting> = (0..200).map(Setting::draw).collect();
        let has = |is: fn(&Setting) -> bool| assert!(all.iter().any(is));
        has(|s| (s.mservers, s.dservers, s.clients, s.spaces) == (3, 3, 3, 1));
        has(|s| s.mservers == 4 && s.dservers > 4 && s.replace_after_s == 1);
        has(|s| s.mservers == 7);
        has(|s| s.dservers == 9);
        has(|s| s.clients == 8);
        has(|s| s.spaces == 2 && s.reserve_bytes > 0);
        has(|s| s.trash_s == Some(0) && s.segment_bytes == 2 << 20);
        has(|s| s.trash_s.is_none());
        has(|s| s.is_sharing && s.trash_s == Some(1));
    }
}
