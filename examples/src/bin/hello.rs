//! The smallest program: a service, its server, and a call.

#[grid::service(id = 1)]
trait Hello {
    async fn greet(&self, name: &str) -> String;
}

struct Greeter;

impl Hello for Greeter {
    async fn greet(&self, name: &str) -> String {
        format!("Hello, {name}!")
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let node = grid::Manager::builder("http://127.0.0.1:9000").serve(HelloServer::new(Greeter));
    let _node = node.allow_guests([HelloClient::GREET]).start().await?;
    let hello = HelloClient::new(grid::connect("http://127.0.0.1:9000").await?);
    println!("{}", hello.greet("grid").await?);
    Ok(())
}
