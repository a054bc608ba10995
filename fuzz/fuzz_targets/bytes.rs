#![no_main]

use grid_tests::allocator::Counting;
use grid_tests::fuzz;

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::bounded(&ALLOCATOR, fuzz::bytes, input));
