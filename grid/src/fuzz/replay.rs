//! Each target on the inputs that the fuzzer found worth keeping.

use std::fs;
use std::path::PathBuf;

fn replay(target: &str, run: fn(&[u8])) {
    let fuzz = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    let mut inputs: Vec<PathBuf> = Vec::new();
    for (kind, needed) in [("corpus", true), ("regressions", false)] {
        let files = fs::read_dir(fuzz.join(kind).join(target)).into_iter().flatten();
        let before = inputs.len();
        inputs.extend(files.map(|file| file.unwrap().path()));
        assert!(!needed || inputs.len() > before, "no {kind} of {target} in {}", fuzz.display());
    }
    for input in inputs {
        // It is the last line before the panic of the one that fails.
        println!("{}", input.display());
        run(&fs::read(input).unwrap());
    }
}

macro_rules! replays {
    ($($test:ident: $target:ident,)*) => {
        $(#[test]
        fn $test() {
            replay(stringify!($target), super::$target);
        })*
    };
}

replays! {
    beats_count_as_the_pings_do: beats,
    each_call_of_the_corpus_ends_once: calls,
    frames_of_the_corpus_come_back: frame,
    bodies_and_first_messages_of_the_corpus_are_judged: handshake,
    an_end_of_a_stream_keeps_its_account_whatever_comes: hostile,
    merges_of_the_corpus_are_taken_apart: merge,
    both_ends_of_a_stream_agree: streams,
    values_of_the_corpus_are_read_as_rmp_serde_reads_them: value,
    heads_of_the_corpus_are_answered_as_one_or_in_pieces: upgrade,
    websocket_frames_of_the_corpus_come_as_one_or_in_pieces: websocket,
}
