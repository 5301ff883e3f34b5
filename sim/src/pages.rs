//! Files that are changed in place: each block holds what was written to it last.

use bytes::Bytes;
use sdfs_client::{Client, CreateOptions, Error, File};
use sdfs_types::{BlockIndex, BlockSize};

use crate::clients::{Actor, BLOCK_BYTES, failed, outcome};
use crate::history::{Outcome, Value, What, block_name};
use crate::random::Random;

/// The files, which all clients write to and nobody deletes.
pub(crate) const PAGES: [&str; 2] = ["/page-1", "/page-2"];
/// Blocks of each.
pub(crate) const BLOCKS: u16 = 3;
/// What a write may take beyond the time of one call: the file is looked for, made and looked for
/// again, then written to.
const PARTS_MAX: u32 = 8;

/// The bytes of a value in a block: its number, then noise that belongs to it. The last one is not
/// zero, as all after it are.
fn page(value: Value) -> Bytes {
    let mut random = Random::of(value, "page");
    let bytes = match random.within(0..8) {
        0 => BLOCK_BYTES,
        _ => random.within(9..6_000),
    };
    let mut page = value.to_le_bytes().to_vec();
    while (page.len() as u64) < bytes - 1 {
        page.push(random.draw().to_le_bytes()[0]);
    }
    page.push(1);
    page.into()
}

/// What a block held: nothing, or all of a value and zeros behind it.
fn read(bytes: &Bytes) -> Outcome {
    let end = bytes.iter().rposition(|byte| *byte != 0);
    let Some(end) = end else {
        return Outcome::Absent;
    };
    let held = bytes.slice(..=end);
    let number = held.first_chunk();
    match number.map(|number| Value::from_le_bytes(*number)) {
        Some(value) if page(value) == held => Outcome::Read(value),
        _ => Outcome::Garbled(format!("{} bytes that nobody wrote", held.len())),
    }
}

impl Actor {
    /// Writes a value to some blocks of a file, to all of them or to none.
    pub(crate) async fn write_page(&mut self, client: &Client) {
        let name = *self.random.pick(&PAGES);
        let value = self.course.next_value();
        let first = self.random.within(0..u64::from(BLOCKS)) as u16;
        let other = self.random.within(0..u64::from(BLOCKS)) as u16;
        let mut blocks = vec![first];
        if first != other && self.random.percent(40) {
            blocks.push(other);
        }
        let begin = |block: &u16| {
            let name = block_name(name, *block);
            self.begin_parts(What::Put(value), &name, PARTS_MAX)
        };
        let numbers: Vec<_> = blocks.iter().map(begin).collect();
        let written = match open(client, name, true).await {
            Ok(file) => {
                let block = |index: &u16| (BlockIndex(*index), page(value));
                let blocks = blocks.iter().map(block).collect();
                client.write_blocks(&file, blocks).await.map(|_| None)
            }
            Err(error) => Err(error),
        };
        let outcome = outcome(written);
        for number in numbers {
            self.end(number, outcome.clone());
        }
    }

    /// Reads a block.
    pub(crate) async fn read_page(&mut self, client: &Client) {
        let name = *self.random.pick(&PAGES);
        let block = self.random.within(0..u64::from(BLOCKS)) as u16;
        self.read_block(client, name, block).await;
    }

    /// Reads a block and notes what it held.
    pub(crate) async fn read_block(&self, client: &Client, name: &str, block: u16) {
        let number = self.begin(What::Get, &block_name(name, block));
        let got = match open(client, name, false).await {
            Ok(file) => client.read_block(&file, BlockIndex(block)).await,
            Err(error) => Err(error),
        };
        let got = got.map_or_else(|error| failed(&error), |bytes| read(&bytes));
        self.end(number, got);
    }
}

/// Opens a file as it is now; made by whoever writes to it first.
async fn open(client: &Client, name: &str, for_write: bool) -> Result<File, Error> {
    let opened = match for_write {
        true => client.open_for_write(name).await,
        false => client.open(name).await,
    };
    match opened {
        Err(error) if error.is_not_found() && for_write => {
            let options = CreateOptions {
                size_bytes: u64::from(BLOCKS) * BLOCK_BYTES,
                block_size: BlockSize::from_bytes(BLOCK_BYTES).ok(),
                ..CreateOptions::default()
            };
            let made = client.create_file_meta_data(name, options).await;
            match made {
                Err(error) if !error.is_exists() => Err(error),
                _ => client.open_for_write(name).await,
            }
        }
        opened => opened,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_block_holds_is_told() {
        for value in 0..50 {
            let mut bytes = page(value).to_vec();
            assert!(bytes.len() as u64 <= BLOCK_BYTES);
            bytes.resize(BLOCK_BYTES as usize, 0);
            assert_eq!(read(&bytes.clone().into()), Outcome::Read(value));
            bytes[8] ^= 2;
            assert!(matches!(read(&bytes.into()), Outcome::Garbled(_)));
        }
        assert_eq!(read(&vec![0; 100].into()), Outcome::Absent);
        assert_eq!(read(&Bytes::new()), Outcome::Absent);
    }
}
