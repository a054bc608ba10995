//! Calls by id, between two nodes on loopback.

use bytes::Bytes;
use grid::{CallError, RemoteError};
use grid_tests::mesh::{only, pair};

#[tokio::test]
async fn both_nodes_call_each_other_by_id() {
    let echo = |builder: grid::ManagerBuilder| builder.single(10_u8, |_, payload: Bytes| async { Ok(payload) });
    let (left, right) = pair(echo, echo).await;
    for node in [&left, &right] {
        let answer = only(node).single(10_u8, "hello").await;
        assert_eq!(answer, Ok(Bytes::from("hello")));
    }
}

#[tokio::test]
async fn a_raw_handlers_error_is_its_text() {
    let (left, _right) =
        pair(|left| left, |right| right.single(11_u8, |_, _| async { Err::<Bytes, _>(RemoteError::new("boom")) }))
            .await;
    assert_eq!(only(&left).single(11_u8, []).await, Err(CallError::Remote(RemoteError::new("boom"))));
}
