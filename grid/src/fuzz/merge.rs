//! Many frames in one message, and any bytes as such a message.

use super::choices::Choices;
use crate::wire::{Capabilities, Flags, Frame, Header, Op, Pack, Packed, elements};

/// Takes any bytes apart as the elements of a merge, or packs frames into messages and takes those apart.
pub fn merge(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    match choices.is_so() {
        true => packs(choices),
        false => takes_apart(choices),
    }
}

fn takes_apart(mut choices: Choices<'_>) {
    let seq = choices.u32();
    let head = Header { seq, ..Header::new(Op::Merged, 0, Flags::NONE) };
    let merged = Frame { head, payload: &[], rest: choices.rest(), subroute: None, trailer: None };
    let (mut count, mut bytes, mut faults) = (0, 0, 0);
    for element in elements(&merged) {
        assert_eq!(faults, 0, "nothing comes after a fault");
        count += 1;
        match element {
            Ok(element) => {
                bytes += element.len() + 2;
                // An element that is a merge is ignored, so nothing nests.
                let _frame_or_not = Frame::decode(element, Capabilities::OWN);
            }
            Err(_) => faults += 1,
        }
    }
    assert!(count <= seq && bytes <= merged.rest.len());
    assert!(faults == 1 || count == seq, "fewer elements than the merge says, and no fault");
}

fn packs(mut choices: Choices<'_>) {
    let message_bytes_max = choices.of(&[1 << 10, 4 << 10, 32 << 10, 1 << 30]);
    let mut pack = Pack::default();
    let (mut pushed, mut came) = (Vec::new(), Vec::new());
    let mut bytes = 0;
    while !choices.is_over() && bytes < BYTES_MAX {
        match choices.below(8) {
            0 => {
                while take(&mut pack, message_bytes_max, &mut came) {}
                pack.clear();
                pack.shrink();
            }
            1 => {
                take(&mut pack, message_bytes_max, &mut came);
            }
            2 => pack.shrink(),
            _ => {
                let frame = vec![choices.byte(); usize::from(choices.byte()) * choices.of(&[1, 1, 7, 300])];
                pack.push(&frame);
                bytes += frame.len();
                pushed.push(frame);
            }
        }
        let left = pushed.get(came.len()..).expect("no more comes out than went in");
        assert_eq!(pack.is_empty(), left.is_empty());
        assert!(pack.bytes() >= left.iter().map(Vec::len).sum());
    }
    while take(&mut pack, message_bytes_max, &mut came) {}
    assert!(came == pushed, "what goes in comes out, in order and once");
}

/// Takes one message out, and apart again. False: there was none.
fn take(pack: &mut Pack, message_bytes_max: usize, came: &mut Vec<Vec<u8>>) -> bool {
    let Some(message) = pack.next_message(message_bytes_max) else { return false };
    let mut bytes = Vec::new();
    message.put(&mut bytes);
    assert_eq!(bytes.len(), message.encoded_len());
    match message {
        Packed::One(frame) => came.push(frame.to_vec()),
        Packed::Many { count, .. } => {
            assert!((2..=51).contains(&count) && bytes.len() <= message_bytes_max.min(31 << 10), "{count}");
            let merged = Frame::decode(&bytes, Capabilities::V1).expect("a merge is a frame");
            assert_eq!((merged.head.op, merged.head.seq), (Op::Merged, count));
            came.extend(elements(&merged).map(|element| element.expect("it is whole").to_vec()));
        }
    }
    true
}

/// Enough for some full merges.
const BYTES_MAX: usize = 200 << 10;
