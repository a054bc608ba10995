macro_rules! methods {
    () => {
        fn more(&self) {}
    };
}

#[grid::service(id = 7)]
pub trait Kv {
    methods!();

    async fn get(&self) -> u64;
}

fn main() {}
