//! Whole nodes on the inputs that the fuzzer found worth keeping. This is a binary of its own, with one test: nothing
//! else may allocate meanwhile.

use std::fs;
use std::path::{Path, PathBuf};

use grid_tests::allocator::Counting;
use grid_tests::fuzz;

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

#[test]
fn a_node_takes_all_that_was_ever_found_and_serves_a_good_peer_afterwards() {
    for (name, target) in [("node", fuzz::node as fn(&[u8])), ("bytes", fuzz::bytes)] {
        for input in inputs(name) {
            // It is the last line before the panic of the one that fails.
            println!("{}", input.display());
            fuzz::bounded(&ALLOCATOR, target, &fs::read(input).unwrap());
        }
    }
}

fn inputs(target: &str) -> Vec<PathBuf> {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    let files = |kind: &str| {
        let files = fs::read_dir(fuzz.join(kind).join(target)).into_iter().flatten();
        files.map(|file| file.unwrap().path()).collect::<Vec<_>>()
    };
    let corpus = files("corpus");
    assert!(!corpus.is_empty(), "no corpus of {target} in {}", fuzz.display());
    [corpus, files("regressions")].concat()
}
