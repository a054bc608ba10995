pub struct Kv;

#[grid::service(id = 7)]
impl Kv {
    pub async fn get(&self) -> u64 {
        7
    }
}

fn main() {
    let _future = Kv.get();
}
