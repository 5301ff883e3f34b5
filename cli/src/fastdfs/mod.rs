//! A FastDFS client of the few commands that are measured, and of those that read all there is: any
//! server of that protocol will do.

mod answer;
mod client;
mod connection;
mod records;

pub(crate) use answer::Answer;
pub(crate) use client::{FastDfs, FileId, file_id};
pub(crate) use connection::AskError;
pub(crate) use records::StorageRecord;
