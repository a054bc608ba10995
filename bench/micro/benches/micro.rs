//! Single steps of a frame's way, each alone on one thread. Needs `--cfg grid_bench`, which shows what is inside grid.

#[cfg(grid_bench)]
fn main() {
    divan::main();
}

#[cfg(not(grid_bench))]
fn main() {
    eprintln!("what is measured is inside grid: RUSTFLAGS=\"--cfg grid_bench\" cargo bench -p grid-micro");
}

#[cfg(grid_bench)]
#[divan::bench_group(sample_count = 500, sample_size = 100)]
mod steps {
    use divan::counter::ItemsCount;
    use divan::{Bencher, bench};
    use grid::internals::{Calls, Decode, Encode, Merge, Queueing, Sealed, TakeApart};

    /// Of a request and of an answer.
    const PAYLOAD_BYTES: usize = 512;
    /// Of the frames of a merge and in the outbox.
    const SMALL_BYTES: usize = 64;
    /// A full merge.
    const FRAMES: usize = 51;

    #[bench]
    fn encode(bencher: Bencher<'_, '_>) {
        let encode = Encode::new(PAYLOAD_BYTES);
        bencher.bench_local(|| encode.run());
    }

    #[bench]
    fn decode(bencher: Bencher<'_, '_>) {
        let decode = Decode::new(PAYLOAD_BYTES);
        bencher.bench_local(|| decode.run());
    }

    /// All frames of one message.
    #[bench(args = [SMALL_BYTES, PAYLOAD_BYTES])]
    fn merge(bencher: Bencher<'_, '_>, payload_bytes: usize) {
        let mut merge = Merge::new(FRAMES, payload_bytes);
        bencher.counter(ItemsCount::new(FRAMES)).bench_local(|| merge.run());
    }

    /// All frames of one message.
    #[bench(args = [SMALL_BYTES, PAYLOAD_BYTES])]
    fn take_apart(bencher: Bencher<'_, '_>, payload_bytes: usize) {
        let take_apart = TakeApart::new(FRAMES, payload_bytes);
        bencher.counter(ItemsCount::new(FRAMES)).bench_local(|| take_apart.run());
    }

    #[bench]
    fn table(bencher: Bencher<'_, '_>) {
        let mut calls = Calls::new(PAYLOAD_BYTES);
        bencher.bench_local(|| calls.run());
    }

    /// As many frames at a time as a thread keeps memory for, so that no allocation is in it.
    #[bench(sample_size = 16)]
    fn outbox(bencher: Bencher<'_, '_>) {
        let mut queueing = Queueing::new();
        bencher.with_inputs(|| Sealed::new(SMALL_BYTES)).bench_local_values(|frame| queueing.run(frame));
    }
}
