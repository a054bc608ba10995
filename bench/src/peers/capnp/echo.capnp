@0xb1a7e0c5d3f49286;

using Rust = import "rust.capnp";
$Rust.parentModule("peers::capnp");

interface Echo {
  echo @0 (payload :Data) -> (payload :Data);
}
