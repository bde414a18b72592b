//! Cursors of a write transaction, which remember how far they read.
//!
//! In a group that certifies reads, what a scan saw is as much a part of the transaction as what it wrote. A cursor
//! stops wherever its caller has enough, so only what it really passed over is recorded: up to the last key that it gave
//! out, or to the end of the range once it ran dry.

use std::ops::ControlFlow;

use parking_lot::Mutex;
use surrealdb_kvs::api::{
    BoxFut, KeyVisitor, KeysBatch, ScanChunkStats, ScanCursorKeys, ScanCursorVals, ValVisitor, ValsBatch,
};
use surrealdb_kvs::err::Result;
use surrealdb_kvs::{Direction, KeyRange};

use crate::recorder::Recorder;

/// The part of a range that has been read, and where to note it.
pub(crate) struct Extent<'a> {
    recorder: &'a Mutex<Recorder>,
    start: Vec<u8>,
    end: Vec<u8>,
    direction: Direction,
}

impl<'a> Extent<'a> {
    pub(crate) fn new(recorder: &'a Mutex<Recorder>, range: &KeyRange<'_>, direction: Direction) -> Self {
        Self { recorder, start: range.start.to_vec(), end: range.end.to_vec(), direction }
    }

    /// Notes that everything up to and including `last` was read; the whole rest of the range when there was no more.
    pub(crate) fn read_up_to(&mut self, last: Option<&[u8]>, exhausted: bool) {
        match (last, exhausted) {
            (_, true) => self.recorder.lock().read_range(&self.start, &self.end),
            (Some(last), false) => match self.direction {
                Direction::Forward => {
                    let behind = [last, &[0]].concat();
                    self.recorder.lock().read_range(&self.start, &behind);
                    self.start = behind;
                }
                Direction::Backward => {
                    self.recorder.lock().read_range(last, &self.end);
                    self.end = last.to_vec();
                }
            },
            (None, false) => {}
        }
    }
}

/// A recording cursor over keys.
pub(crate) struct RecordingKeys<'a> {
    pub inner: Box<dyn ScanCursorKeys + 'a>,
    pub extent: Extent<'a>,
}

impl ScanCursorKeys for RecordingKeys<'_> {
    fn next_batch<'s>(&'s mut self, limit: u32) -> BoxFut<'s, Result<KeysBatch<'s>>> {
        Box::pin(async move {
            let batch = self.inner.next_batch(limit).await?;
            let last = batch.len().checked_sub(1).and_then(|at| batch.get(at));
            self.extent.read_up_to(last, limit > 0 && batch.len() < limit as usize);
            Ok(batch)
        })
    }

    fn for_each<'s>(&'s mut self, limit: u32, f: &'s mut dyn KeyVisitor) -> BoxFut<'s, Result<ScanChunkStats>> {
        Box::pin(async move {
            let mut last = Vec::new();
            let mut stopped = false;
            let stats = self
                .inner
                .for_each(limit, &mut |key: &[u8]| {
                    remember(&mut last, key);
                    let flow = f(key)?;
                    stopped |= flow == ControlFlow::Break(());
                    Ok(flow)
                })
                .await?;
            let exhausted = !stopped && stats.rows < u64::from(limit);
            self.extent.read_up_to((!last.is_empty()).then_some(last.as_slice()), exhausted);
            Ok(stats)
        })
    }
}

/// A recording cursor over keys and values.
pub(crate) struct RecordingVals<'a> {
    pub inner: Box<dyn ScanCursorVals + 'a>,
    pub extent: Extent<'a>,
}

impl ScanCursorVals for RecordingVals<'_> {
    fn next_batch<'s>(&'s mut self, limit: u32) -> BoxFut<'s, Result<ValsBatch<'s>>> {
        Box::pin(async move {
            let batch = self.inner.next_batch(limit).await?;
            let last = batch.len().checked_sub(1).and_then(|at| batch.get(at)).map(|(key, _)| key);
            self.extent.read_up_to(last, limit > 0 && batch.len() < limit as usize);
            Ok(batch)
        })
    }

    fn for_each<'s>(&'s mut self, limit: u32, f: &'s mut dyn ValVisitor) -> BoxFut<'s, Result<ScanChunkStats>> {
        Box::pin(async move {
            let mut last = Vec::new();
            let mut stopped = false;
            let stats = self
                .inner
                .for_each(limit, &mut |key: &[u8], value: &[u8]| {
                    remember(&mut last, key);
                    let flow = f(key, value)?;
                    stopped |= flow == ControlFlow::Break(());
                    Ok(flow)
                })
                .await?;
            let exhausted = !stopped && stats.rows < u64::from(limit);
            self.extent.read_up_to((!last.is_empty()).then_some(last.as_slice()), exhausted);
            Ok(stats)
        })
    }
}

/// Keeps `key` in a buffer that is reused, so that a long scan does not allocate for every row.
fn remember(last: &mut Vec<u8>, key: &[u8]) {
    last.clear();
    last.extend_from_slice(key);
}
