#[grid::service(id = 7)]
pub async fn get(key: String) -> u64 {
    key.len() as u64
}

fn main() {
    let _future = get(String::new());
}
