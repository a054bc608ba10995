use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_bytes::ByteBuf;

use super::*;
use crate::codec::decode;
use crate::fuzz::value::{Any, Assorted, Extended, Nothing, Tree, Wrapped, agree};

fn tree(rng: &mut fastrand::Rng, depth: u8) -> Tree {
    match rng.u8(..if depth == 0 { 1 } else { 4 }) {
        0 => Tree::Leaf,
        1 => Tree::Not(Box::new(tree(rng, depth - 1))),
        2 => Tree::Both(Box::new(tree(rng, depth - 1)), Box::new(tree(rng, depth - 1))),
        _ => {
            let below = rng.bool().then(|| Box::new(tree(rng, depth - 1)));
            Tree::Named { name: "n".repeat(rng.usize(..40)), tree: below }
        }
    }
}

fn assorted(rng: &mut fastrand::Rng, depth: u8) -> Assorted {
    let bytes = |rng: &mut fastrand::Rng| std::iter::repeat_with(|| rng.u8(..)).take(7).collect::<Vec<u8>>();
    Assorted {
        truth: rng.bool(),
        small: (rng.u8(..), rng.i8(..), rng.u16(..), rng.i16(..)),
        large: (rng.u32(..), rng.i32(..), rng.u64(..), rng.i64(..)),
        wide: (rng.u128(..), rng.i128(..)),
        fractions: (rng.f32(), rng.f64()),
        letter: rng.char(..),
        text: std::iter::repeat_with(|| rng.char(..)).take(20).collect(),
        bytes: ByteBuf::from(bytes(rng)),
        numbers: bytes(rng),
        list: std::iter::repeat_with(|| rng.i64(..) >> rng.u8(..64)).take(17).collect(),
        map: (0..rng.u16(..4)).map(|key| (key.to_string(), rng.bool().then_some(key << rng.u8(..16)))).collect(),
        wrapped: Wrapped((0..rng.u8(..3)).map(|byte| rng.bool().then_some(byte)).collect()),
        tree: tree(rng, 3),
        extension: Extended((rng.i8(..), ByteBuf::from(bytes(rng)))),
        next: (depth > 0 && rng.bool()).then(|| Box::new(assorted(rng, depth - 1))),
        ..Assorted::default()
    }
}

#[test]
fn what_rmp_serde_writes_is_read_as_it_reads_it_and_what_is_broken_likewise() {
    let mut rng = fastrand::Rng::with_seed(7);
    for _ in 0..100 {
        let value = assorted(&mut rng, 2);
        for mut payload in [rmp_serde::to_vec(&value).unwrap(), rmp_serde::to_vec_named(&value).unwrap()] {
            assert_eq!(format!("{:?}", decode::<Assorted>(&payload).unwrap()), format!("{value:?}"));
            assert!(decode::<IgnoredAny>(&payload).is_ok());
            agree::<Any>(&payload);
            for _ in 0..20 {
                let place = rng.usize(..payload.len());
                let was = std::mem::replace(&mut payload[place], *rng.choice(&MARKERS).unwrap());
                agree::<Assorted>(&payload);
                agree::<Assorted>(&payload[..place]);
                payload[place] = was;
            }
        }
    }
}

#[test]
fn any_bytes_are_read_as_rmp_serde_reads_them() {
    let mut rng = fastrand::Rng::with_seed(7);
    for _ in 0..10_000 {
        let bytes: Vec<u8> = std::iter::repeat_with(|| match rng.u8(..3) {
            0 => rng.u8(..),
            1 => rng.u8(..8),
            _ => *rng.choice(&MARKERS).unwrap(),
        })
        .take(12)
        .collect();
        agree::<Any>(&bytes);
        agree::<Tree>(&bytes);
        agree::<(u8, i16, f32)>(&bytes);
        agree::<BTreeMap<u8, Vec<Option<bool>>>>(&bytes);
        agree::<(Extended, ByteBuf)>(&bytes);
        agree::<(Nothing, u128, i128)>(&bytes);
    }
}

#[test]
fn what_nests_too_deep_is_an_error_and_no_stack_overflow() {
    #[derive(Debug, Deserialize)]
    struct Nest(#[expect(dead_code, reason = "only decoded")] Vec<Nest>);
    #[derive(Debug, Deserialize)]
    struct Endless(#[expect(dead_code, reason = "only decoded")] Option<Box<Endless>>);
    let deep = |level: &[u8], levels: usize, end: u8| [level.repeat(levels), vec![end]].concat();

    assert!(decode::<Nest>(&deep(&[0x91], DEPTH_MAX - 1 - DEPTH_MAX / 4, 0x90)).is_ok());
    assert!(decode::<Tree>(&deep(b"\x81\xa3Not", DEPTH_MAX, 0)).is_ok());
    let too_deep = [
        decode::<Nest>(&deep(&[0x91], 100_000, 0x90)).err(),
        decode::<Tree>(&deep(b"\x81\xa3Not", DEPTH_MAX + 1, 0)).err(),
        decode::<Tree>(&deep(&[0x81, 1], 100_000, 0)).err(),
        decode::<Any>(&deep(&[0x91], 100_000, 0)).err(),
        decode::<Endless>(&[7]).err(),
    ];
    for error in too_deep {
        assert!(error.is_some_and(|error| error.to_string().contains("deep")));
    }
    assert!(decode::<Tree>(&deep(&[0x91, 1], 100_000, 0)).is_err());
    assert!(decode::<IgnoredAny>(&deep(&[0x91], 100_000, 0)).is_ok(), "what is skipped takes no stack");
}

#[test]
fn the_text_of_an_error_is_short_whatever_it_quotes() {
    let mut text = vec![0xdb, 0, 0x10, 0, 0];
    text.resize(5 + (1 << 20), 0x7f);
    let error = decode::<u64>(&text).unwrap_err().to_string();
    assert!(error.starts_with("invalid type: string"), "{error}");
    assert!(error.len() <= crate::text::TEXT_MAX);
}

/// Of all kinds.
const MARKERS: [u8; 36] = [
    0x00, 0x7f, 0x80, 0x81, 0x82, 0x90, 0x92, 0xa0, 0xa1, 0xbf, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xca,
    0xcb, 0xcc, 0xcd, 0xce, 0xcf, 0xd0, 0xd3, 0xd4, 0xd6, 0xd8, 0xd9, 0xda, 0xdc, 0xdd, 0xde, 0xe0, 0xff,
];
