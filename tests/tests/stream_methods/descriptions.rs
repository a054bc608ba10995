//! The description of methods with streams.

use std::time::Duration;

use futures_util::{Stream, stream};
use grid::{
    ArgumentDescription, Codec, Context, Describe, HandlerId, Inbound, MethodDescription, MethodKind, Outbound,
    RemoteError, Windows,
};

#[grid::service(id = 7)]
trait Described {
    /// Watches.
    #[rpc(timeout = "2s", window = 9)]
    fn watch(&self, cx: &Context, prefix: &str) -> impl Stream<Item = Result<(u8, String), RemoteError>>;

    async fn load(&self, table: &str, rows: Inbound<Vec<u8>>, more: u8) -> std::collections::BTreeMap<u8, u8>;

    #[rpc(id = 9, in_window = 2)]
    async fn sync(&self, ops: grid::Inbound<Option<u8>>, acks: Outbound<[u8; 2]>) -> Result<(), String>;

    async fn nothing(&self, rows: Inbound<u8>);
}

struct Nobody;

impl Described for Nobody {
    fn watch(&self, _: &Context, _: &str) -> impl Stream<Item = Result<(u8, String), RemoteError>> {
        stream::empty()
    }

    async fn load(&self, _: &str, _: Inbound<Vec<u8>>, _: u8) -> std::collections::BTreeMap<u8, u8> {
        std::collections::BTreeMap::new()
    }

    async fn sync(&self, _: Inbound<Option<u8>>, _: Outbound<[u8; 2]>) -> Result<(), String> {
        Ok(())
    }

    async fn nothing(&self, _: Inbound<u8>) {}
}

#[test]
fn the_description_says_what_comes_in_and_what_goes_out() {
    const WATCH: MethodDescription = MethodDescription {
        service: "Described",
        name: "watch",
        id: HandlerId::new(7, 1),
        kind: MethodKind::Responses { out_window: 9 },
        codec: Codec::Named,
        docs: "Watches.",
        arguments: &[ArgumentDescription { name: "prefix", type_name: "&str" }],
        input: None,
        answer: "(u8, String)",
        error: Some("RemoteError"),
        timeout: Some(Duration::from_secs(2)),
        detach: false,
    };
    const LOAD: MethodDescription = MethodDescription {
        name: "load",
        id: HandlerId::new(7, 2),
        kind: MethodKind::Requests { in_window: Windows::DEFAULT },
        docs: "",
        arguments: &[
            ArgumentDescription { name: "table", type_name: "&str" },
            ArgumentDescription { name: "more", type_name: "u8" },
        ],
        input: Some("Vec<u8>"),
        answer: "std::collections::BTreeMap<u8, u8>",
        error: None,
        timeout: None,
        ..WATCH
    };
    const SYNC: MethodDescription = MethodDescription {
        name: "sync",
        id: HandlerId::new(7, 9),
        kind: MethodKind::TwoWay { in_window: 2, out_window: Windows::DEFAULT },
        arguments: &[],
        input: Some("Option<u8>"),
        answer: "[u8; 2]",
        error: Some("String"),
        ..LOAD
    };
    const NOTHING: MethodDescription = MethodDescription {
        name: "nothing",
        id: HandlerId::new(7, 4),
        arguments: &[],
        input: Some("u8"),
        answer: "()",
        ..LOAD
    };
    assert_eq!(DescribedClient::DESCRIPTION.methods, [WATCH, LOAD, SYNC, NOTHING]);
    assert_eq!(DescribedServer::<Nobody>::DESCRIPTION, DescribedClient::DESCRIPTION);
}
