//! A write set on its way to the primary: in the format of the log, over as many messages as it takes.

use std::sync::Arc;

use bytes::Bytes;
use holdfast_storage::request::{Request, Terms};
use holdfast_storage::{CommitFailure, WriteSet};
use parking_lot::Mutex;

use crate::entry::outcome;
use crate::entry::{Batch, BatchEncoder, Entry, EntryHeader};
use crate::log::{Origin, encode, refusal};
use crate::model::{Assembled, Assembler};

/// Packs a write set. `number` tells it from the sender's others; the messages take it and those that follow.
///
/// # Errors
/// When it is above a limit of transactions.
pub fn pack(
    write_set: &WriteSet,
    origin: &Origin,
    number: u64,
    message_max_bytes: usize,
) -> Result<Vec<Bytes>, CommitFailure> {
    let mut encoder = BatchEncoder::new();
    encode(&mut encoder, write_set, None).map_err(|error| refusal(&error))?;
    let header = EntryHeader {
        storage_version: 0,
        epoch: 0,
        csp: &origin.csp,
        incarnation: origin.incarnation,
        number,
        base: write_set.snapshot,
        base_chain: [0; 16],
        clock: None,
    };
    encoder.finish(&header, message_max_bytes).map_err(|error| refusal(&error))
}

/// What the primary has of write sets that take more than one message: of each subscriber one at a time.
#[derive(Debug, Default)]
pub struct Collector(Mutex<Assembler>);

impl Collector {
    /// Takes a message. Gives the write set once it is complete.
    ///
    /// # Errors
    /// When it cannot be: the subscriber has to send all of it again.
    pub fn take(&self, message: Bytes) -> Result<Option<WriteSet>, String> {
        let entry = Entry::decode(message).map_err(|error| error.to_string())?;
        let body = if entry.parts() == 1 {
            entry.body().map_err(|error| error.to_string())?
        } else {
            match self.0.lock().take(&entry, 1) {
                Assembled::Collected => return Ok(None),
                Assembled::Complete { body, .. } => body,
                Assembled::Void(reason) => return Err(reason.to_string()),
            }
        };
        let batch = Batch::decode(body, entry.base()).map_err(|error| error.to_string())?;
        let transaction = batch.get(0).ok_or("no transaction was sent")?;
        Ok(Some(WriteSet {
            snapshot: transaction.snapshot(),
            writes: transaction.writes().map(|write| (write.key.to_vec(), write.value.map(<[u8]>::to_vec))).collect(),
            locked: transaction.locked().map(<[u8]>::to_vec).collect(),
            reads: transaction.reads().map(<[u8]>::to_vec).collect(),
            ranges: transaction.ranges().map(|(start, end)| (start.to_vec(), end.to_vec())).collect(),
            certified_reads: transaction.serializable(),
            stamped: transaction.stamped(),
            request: transaction.id().map(|id| request_of(id, transaction.results())),
        }))
    }
}

/// The client's request that a transaction carries out, as it came in an entry.
fn request_of(id: &str, kept: Option<&[u8]>) -> Arc<Request> {
    let (fingerprint, results) = outcome::split(kept.unwrap_or_default());
    let request = Request::on(Terms { id: Some(id.to_owned()), fingerprint, ..Terms::default() });
    request.set_results(Bytes::copy_from_slice(results));
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(csp: &str) -> Origin {
        Origin { csp: csp.to_owned(), incarnation: 7 }
    }

    fn large(byte: u8) -> WriteSet {
        let writes = (0..3_000_u32).map(|key| (key.to_be_bytes().to_vec(), Some(vec![byte; 500]))).collect();
        WriteSet { snapshot: 5, writes, locked: vec![b"lock".to_vec()], ..WriteSet::default() }
    }

    #[test]
    fn arrives_as_it_was_sent_while_others_send() {
        let collector = Collector::default();
        let parcels = [("a", 1_u8), ("b", 2)].map(|(csp, byte)| pack(&large(byte), &origin(csp), 1, 100_000).unwrap());
        assert!(parcels[0].len() > 10);
        let small = WriteSet { writes: vec![(b"k".to_vec(), None)], ..WriteSet::default() };
        let (mut arrived, count) = (Vec::new(), parcels[0].len());
        for part in 0..count {
            for parcel in &parcels {
                arrived.extend(collector.take(parcel[part].clone()).unwrap());
            }
            let alone = pack(&small, &origin("a"), 100 + part as u64, 100_000).unwrap();
            let alone = collector.take(alone[0].clone()).unwrap().expect("whole");
            assert_eq!(alone.writes, small.writes);
        }
        for (found, byte) in arrived.iter().zip([1, 2]) {
            let sent = large(byte);
            assert_eq!((&found.writes, &found.locked, found.snapshot), (&sent.writes, &sent.locked, 5));
        }
        assert_eq!(arrived.len(), 2);
    }

    #[test]
    fn a_clients_transaction_keeps_its_name_and_its_results() {
        let terms = Terms { id: Some("order-1".to_owned()), fingerprint: Some(7), ..Terms::default() };
        let request = Request::on(terms);
        request.set_results(Bytes::from_static(b"[1]"));
        let sent = WriteSet { request: Some(request), ..large(1) };
        let collector = Collector::default();
        let parcel = pack(&sent, &origin("a"), 1, 100_000).unwrap();
        let arrived: Vec<_> = parcel.into_iter().filter_map(|part| collector.take(part).unwrap()).collect();
        let [found] = arrived.as_slice() else { panic!("{}", arrived.len()) };
        assert_eq!((found.id(), found.fingerprint()), (Some("order-1"), Some(7)));
        assert_eq!(found.results().map(AsRef::as_ref), Some(&b"[1]"[..]));
    }

    #[test]
    fn does_not_arrive_with_a_part_missing() {
        let collector = Collector::default();
        let parcel = pack(&large(1), &origin("a"), 1, 100_000).unwrap();
        assert!(collector.take(parcel[0].clone()).unwrap().is_none());
        assert!(collector.take(parcel[2].clone()).is_err());
        let again = pack(&large(1), &origin("a"), 50, 100_000).unwrap();
        let arrived: Vec<_> = again.into_iter().filter_map(|part| collector.take(part).unwrap()).collect();
        assert_eq!(arrived.len(), 1);
    }
}
