#[grid::service(id = 7)]
#[derive(Debug)]
pub struct Kv {
    pub key: String,
}

fn main() {
    let _kv = Kv { key: String::new() };
}
