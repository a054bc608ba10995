//! Attributes of rustc on methods, the settings of grid, and the description of it all.

use std::time::Duration;

use grid::{
    ArgumentDescription, Codec, Describe, HandlerId, MethodDescription, MethodKind, RemoteError, ServiceDescription,
};

use super::serving;

/// A service.
///
///   With a second paragraph.
#[grid::service(id = 254, codec = "compact")]
#[allow(deprecated, reason = "to be copied")]
trait Described {
    /// The first.
    async fn first(&self, key: &str, rows: &[Vec<u8>]) -> Result<Option<(u8, String)>, RemoteError>;

    #[rpc(id = 0xff, timeout = "1m 500ms", detach)]
    async fn last(&self, cx: &grid::Context, r#type: std::borrow::Cow<'_, str>);
}

#[test]
fn the_description_says_what_the_trait_says() {
    const FIRST: MethodDescription = MethodDescription {
        service: "Described",
        name: "first",
        id: HandlerId::new(254, 1),
        kind: MethodKind::Single,
        codec: Codec::Compact,
        docs: "The first.",
        arguments: &[
            ArgumentDescription { name: "key", type_name: "&str" },
            ArgumentDescription { name: "rows", type_name: "&[Vec<u8>]" },
        ],
        input: None,
        answer: "Option<(u8, String)>",
        error: Some("RemoteError"),
        timeout: None,
        detach: false,
    };
    const LAST: MethodDescription = MethodDescription {
        service: "Described",
        name: "last",
        id: HandlerId::new(254, 255),
        kind: MethodKind::Single,
        codec: Codec::Compact,
        docs: "",
        arguments: &[ArgumentDescription { name: "type", type_name: "std::borrow::Cow<'_, str>" }],
        input: None,
        answer: "()",
        error: None,
        timeout: Some(Duration::from_millis(60_500)),
        detach: true,
    };
    let service = ServiceDescription {
        name: "Described",
        id: 254,
        codec: Codec::Compact,
        docs: "A service.\n\n  With a second paragraph.",
        methods: &[FIRST, LAST],
    };
    assert_eq!(DescribedClient::DESCRIPTION, service);
    assert_eq!(DescribedServer::<()>::describe(), service);
    assert_eq!(DescribedClient::LAST, HandlerId::new(254, 255));
}

/// The description of a server depends on the trait alone, but its type needs an implementation.
impl Described for () {
    async fn first(&self, _: &str, _: &[Vec<u8>]) -> Result<Option<(u8, String)>, RemoteError> {
        Ok(None)
    }

    async fn last(&self, _: &grid::Context, _: std::borrow::Cow<'_, str>) {}
}

trait DescribeAs {
    fn describe() -> ServiceDescription;
}

impl<D: Describe> DescribeAs for D {
    fn describe() -> ServiceDescription {
        D::DESCRIPTION
    }
}

#[grid::service(id = 1)]
trait Conditional {
    async fn first(&self) -> u8;

    #[cfg(any())]
    async fn gone(&self, missing: Missing) -> Result<Missing, Missing>;

    #[cfg_attr(all(), cfg(any()))]
    async fn gone_too(&self, missing: &Missing, more: Missing);

    #[cfg(test)]
    async fn third(&self) -> u8;

    #[cfg(any())]
    #[rpc(id = 9)]
    async fn either(&self, key: Missing) -> u8;

    #[cfg(not(any()))]
    #[rpc(id = 9)]
    async fn either(&self, key: &str) -> u8;
}

struct There;

impl Conditional for There {
    async fn first(&self) -> u8 {
        1
    }

    async fn third(&self) -> u8 {
        3
    }

    async fn either(&self, key: &str) -> u8 {
        key.len() as u8
    }
}

#[tokio::test]
async fn a_method_that_is_compiled_out_is_gone_everywhere_and_moves_no_id() {
    let methods: Vec<(&str, u8)> =
        ConditionalClient::DESCRIPTION.methods.iter().map(|method| (method.name, method.id.method())).collect();
    assert_eq!(methods, [("first", 1), ("third", 4), ("either", 9)]);

    let (connection, _nodes) = serving(ConditionalServer::new(There)).await;
    let client = ConditionalClient::new(connection);
    assert_eq!(client.first().await, Ok(1));
    assert_eq!(client.third().await, Ok(3));
    assert_eq!(client.either("abc").await, Ok(3));
}

/// Attributes that say something of the code.
#[deny(warnings)]
mod deprecated {
    use super::serving;

    #[grid::service(id = 1)]
    trait Aging {
        #[deprecated(note = "write new")]
        async fn old(&self) -> u8;

        #[cfg_attr(all(), deprecated)]
        async fn older(&self) -> u8 {
            0
        }

        #[expect(non_snake_case, reason = "the client's method is not what this is about")]
        async fn Camel(&self) -> u8;
    }

    struct Grown;

    impl Aging for Grown {
        async fn old(&self) -> u8 {
            1
        }

        async fn Camel(&self) -> u8 {
            3
        }
    }

    #[tokio::test]
    async fn a_deprecated_method_warns_where_it_is_called_and_works() {
        let (connection, _nodes) = serving(AgingServer::new(Grown)).await;
        let client = AgingClient::new(connection);
        #[expect(deprecated, reason = "this is where it must warn")]
        let old = client.old().await;
        #[expect(deprecated, reason = "this is where it must warn")]
        let older = client.older().await;
        assert_eq!((old, older, client.Camel().await), (Ok(1), Ok(0), Ok(3)));
    }
}
