//! The items of streams: how they are made and how they are checked, alike for all peers and at both ends.

use std::error::Error;

use anyhow::{Context, Result, bail, ensure};
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};

/// The size of an item.
pub(crate) const ITEM_BYTES: usize = 512;

/// The item with this number.
pub(crate) fn item(number: u64) -> Bytes {
    let mut item = BytesMut::with_capacity(ITEM_BYTES);
    item.put_u64(number);
    item.resize(ITEM_BYTES, FILLER);
    item.freeze()
}

/// An item of bulk, of so many bytes and without a number: it is made once and sent again and again.
pub(crate) fn bulk_item(bytes: u64) -> Bytes {
    vec![FILLER; usize::try_from(bytes).unwrap_or(usize::MAX)].into()
}

/// A bare number, as openings and answers carry it.
pub(crate) fn number(number: u64) -> Bytes {
    Bytes::copy_from_slice(&number.to_be_bytes())
}

/// Reads what [`number`] wrote.
pub(crate) fn parse_number(bytes: &[u8]) -> Result<u64> {
    Ok(u64::from_be_bytes(bytes.try_into().context("a number has eight bytes")?))
}

/// Sees that items come in order, each once and whole.
#[derive(Debug, Default)]
pub(crate) struct Check {
    seen: u64,
}

impl Check {
    pub(crate) fn item(&mut self, item: &[u8]) -> Result<()> {
        ensure!(item.len() == ITEM_BYTES, "item {} has {} bytes", self.seen, item.len());
        let number = parse_number(item.get(..size_of::<u64>()).unwrap_or_default())?;
        ensure!(number == self.seen, "item {number} came in the place of {}", self.seen);
        self.seen += 1;
        Ok(())
    }

    /// Takes the next item, which must come.
    pub(crate) async fn next(&mut self, items: &mut impl Incoming) -> Result<()> {
        match items.next().await {
            Some(item) => self.item(&item?),
            None => bail!("the items ended after {}", self.seen),
        }
    }

    /// Takes all items up to their end, and gives how many there were since the check began.
    pub(crate) async fn all(mut self, mut items: impl Incoming) -> Result<u64> {
        while let Some(item) = items.next().await {
            self.item(&item?)?;
        }
        Ok(self.seen)
    }
}

/// The items that one end gets.
pub(crate) trait Incoming: Stream<Item = Result<Bytes, Self::Error>> + Send + Unpin {
    type Error: Error + Send + Sync + 'static;
}

impl<S, E> Incoming for S
where
    S: Stream<Item = Result<Bytes, E>> + Send + Unpin,
    E: Error + Send + Sync + 'static,
{
    type Error = E;
}

/// What fills an item behind its number.
const FILLER: u8 = 7;

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;

    use super::*;

    fn coming(items: impl IntoIterator<Item = Bytes>) -> impl Incoming {
        stream::iter(items.into_iter().map(Ok::<_, Infallible>).collect::<Vec<_>>())
    }

    #[tokio::test]
    async fn what_is_not_every_item_whole_and_in_order_is_an_error() {
        assert_eq!(Check::default().all(coming((0..3).map(item))).await.unwrap(), 3);
        assert!(Check::default().all(coming([item(1)])).await.is_err(), "one is missing");
        assert!(Check::default().all(coming([item(0), item(0)])).await.is_err(), "one came twice");
        assert!(Check::default().all(coming([item(0).slice(1..)])).await.is_err(), "one is short");
        assert!(Check::default().all(coming([number(0)])).await.is_err(), "one is all number");
        assert!(Check::default().next(&mut coming([])).await.is_err(), "none comes");
    }
}
