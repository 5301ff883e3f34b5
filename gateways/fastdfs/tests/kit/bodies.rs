//! The bodies of requests that change files.

use super::{field, named};

pub fn numbers(numbers: &[i64]) -> Vec<u8> {
    let bytes = numbers.iter().flat_map(|number| number.to_be_bytes());
    bytes.collect()
}

fn length(bytes: &[u8]) -> i64 {
    i64::try_from(bytes.len()).unwrap()
}

pub fn append(name: &str, data: &[u8]) -> Vec<u8> {
    let lengths = numbers(&[length(name.as_bytes()), length(data)]);
    [&lengths[..], name.as_bytes(), data].concat()
}

pub fn modify(name: &str, offset: i64, data: &[u8]) -> Vec<u8> {
    let lengths = numbers(&[length(name.as_bytes()), offset, length(data)]);
    [&lengths[..], name.as_bytes(), data].concat()
}

pub fn truncate(name: &str, size: i64) -> Vec<u8> {
    let lengths = numbers(&[length(name.as_bytes()), size]);
    [&lengths[..], name.as_bytes()].concat()
}

pub fn slave(master: &str, (prefix, extension): (&str, &str), content: &[u8]) -> Vec<u8> {
    let lengths = numbers(&[length(master.as_bytes()), length(content)]);
    let words = [field(prefix, 16), field(extension, 6)].concat();
    [&lengths[..], &words, master.as_bytes(), content].concat()
}

pub fn set_metadata(name: &str, how: u8, text: &[u8]) -> Vec<u8> {
    let lengths = numbers(&[length(name.as_bytes()), length(text)]);
    [&lengths[..], &[how], &named(name), text].concat()
}

pub fn link(master: &str, source: &str, signature: &[u8]) -> Vec<u8> {
    let lengths = [master.as_bytes(), source.as_bytes(), signature].map(length);
    let words = [field("group1", 16), field("_l", 16), field("txt", 6)].concat();
    let names = [master.as_bytes(), source.as_bytes(), signature].concat();
    [numbers(&lengths), words, names].concat()
}
