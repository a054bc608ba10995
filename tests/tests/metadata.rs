//! What travels along with a request: metadata, trace context, subroutes. Under virtual time.

use bytes::Bytes;
use grid::{Call, CallError, Context, Manager, ManagerBuilder, RefusalReason, RemoteError};
use grid_tests::memory::Network;
use grid_tests::mesh::only;

/// Answers with the metadata of the names in the payload, one per line.
const TELL: u8 = 20;
/// Calls [`TELL`] of its caller with the same payload.
const NESTED: u8 = 21;
/// The same with a trace context and a tenant of its own.
const NESTED_OWN: u8 = 22;
/// The same from a task of its own.
const SPAWNED: u8 = 23;
/// The same with a tenant.
const NESTED_CROWDED: u8 = 24;

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const OTHER_TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn told(cx: &Context, names: &[u8]) -> Bytes {
    let names = std::str::from_utf8(names).expect("names are text").lines();
    let told: Vec<_> = names.map(|name| cx.metadata(name).unwrap_or("-")).collect();
    Bytes::from(told.join("\n"))
}

async fn nested(cx: Context, names: Bytes) -> Result<Bytes, RemoteError> {
    Ok(cx.connection().single(TELL, names).await?)
}

fn serve(builder: ManagerBuilder) -> ManagerBuilder {
    builder
        .single(TELL, |cx: Context, names: Bytes| async move { Ok(told(&cx, &names)) })
        .single(NESTED, nested)
        .single(NESTED_OWN, |cx: Context, names: Bytes| async move {
            let call = cx.connection().single(TELL, names);
            Ok::<_, RemoteError>(call.metadata("traceparent", OTHER_TRACE).metadata("tenant", "green").await?)
        })
        .single(NESTED_CROWDED, |cx: Context, names: Bytes| async move {
            Ok::<_, RemoteError>(cx.connection().single(TELL, names).metadata("tenant", "green").await?)
        })
        .single(SPAWNED, |cx, names| async { tokio::spawn(nested(cx, names)).await.expect("no panic") })
}

async fn mesh() -> (Manager, Manager) {
    Network::default().pair(serve, serve).await
}

fn call(node: &Manager, handler: u8, names: &str) -> Call<Bytes, RemoteError> {
    only(node).single(handler, names)
}

async fn answer(call: Call<Bytes, RemoteError>) -> String {
    String::from_utf8(call.await.expect("it answers").to_vec()).expect("it is text")
}

#[tokio::test(start_paused = true)]
async fn metadata_and_trace_context_arrive() {
    let (left, right) = mesh().await;
    for node in [&left, &right] {
        let tell = call(node, TELL, "tenant\ntraceparent\nempty\nabsent\nTenant");
        let tell = tell.metadata("tenant", "blue ü").metadata("traceparent", TRACE).metadata("empty", "");
        assert_eq!(answer(tell).await, format!("blue ü\n{TRACE}\n\n-\n-"));
    }
}

#[tokio::test(start_paused = true)]
async fn the_second_value_of_a_name_replaces_the_first() {
    let (left, _right) = mesh().await;
    let tell = call(&left, TELL, "a\nb\ntraceparent");
    let tell = tell.metadata("a", "1").metadata("b", "2").metadata("a", "3");
    let tell = tell.metadata("traceparent", OTHER_TRACE).metadata("traceparent", TRACE);
    assert_eq!(answer(tell).await, format!("3\n2\n{TRACE}"));
}

#[tokio::test(start_paused = true)]
async fn a_nested_call_inherits_the_trace_context_and_no_other_metadata() {
    let (left, _right) = mesh().await;
    let nested = call(&left, NESTED, "traceparent\ntenant");
    let nested = nested.metadata("traceparent", TRACE).metadata("tenant", "blue");
    assert_eq!(answer(nested).await, format!("{TRACE}\n-"));
}

#[tokio::test(start_paused = true)]
async fn a_nested_call_may_have_a_trace_context_of_its_own() {
    let (left, _right) = mesh().await;
    let nested = call(&left, NESTED_OWN, "traceparent\ntenant").metadata("traceparent", TRACE);
    assert_eq!(answer(nested).await, format!("{OTHER_TRACE}\ngreen"));
}

#[tokio::test(start_paused = true)]
async fn metadata_of_one_call_is_not_seen_by_another() {
    let (left, _right) = mesh().await;
    let marked =
        || call(&left, NESTED, "traceparent\ntenant").metadata("traceparent", TRACE).metadata("tenant", "blue");
    let plain = || call(&left, NESTED, "traceparent\ntenant");
    let (first, second, third) = tokio::join!(answer(marked()), answer(plain()), answer(marked()));
    assert_eq!((first, second, third), (format!("{TRACE}\n-"), "-\n-".into(), format!("{TRACE}\n-")));
    assert_eq!(answer(call(&left, TELL, "traceparent\ntenant")).await, "-\n-");
}

#[tokio::test(start_paused = true)]
async fn a_task_that_a_handler_spawns_inherits_no_trace_context() {
    let (left, _right) = mesh().await;
    assert_eq!(answer(call(&left, SPAWNED, "traceparent").metadata("traceparent", TRACE)).await, "-");
}

#[tokio::test(start_paused = true)]
async fn a_handler_knows_who_calls_and_by_what_id() {
    let tell = |right: ManagerBuilder| {
        right.single(20_u8, |cx: Context, _| async move {
            let connection = cx.connection();
            let known = (cx.caller(), cx.handler_id(), cx.subroute(), connection.remote(), connection.local());
            Ok(Bytes::from(format!("{known:?}")))
        })
    };
    let (left, right) = Network::default().pair(|left| left, tell).await;
    let (near, far) = (left.name(), right.name());
    let known = answer(call(&left, 20, "")).await;
    assert_eq!(known, format!("({near:?}, HandlerId(20), None, {near:?}, {far:?})"));
}

#[tokio::test(start_paused = true)]
async fn an_inherited_trace_context_of_any_length_leaves_the_link_alone() {
    const MAX: usize = 20_000;
    let nest = |right: ManagerBuilder| {
        serve(right).limits(|limits| limits.message_bytes_max = MAX).single(30_u8, |cx: Context, _| async move {
            let largest = cx.connection().single(TELL, vec![b'x'; MAX - 256]).await;
            Ok::<_, RemoteError>(Bytes::from(largest.expect_err("there is no room for it").to_string()))
        })
    };
    let small = |left: ManagerBuilder| serve(left).limits(|limits| limits.message_bytes_max = MAX);
    let (left, _right) = Network::default().pair(small, nest).await;
    let nested = call(&left, 30, "").metadata("traceparent", "t".repeat(1_000));
    assert_eq!(answer(nested).await, "the request of 20787 bytes is more than the limit of 19744");
    assert_eq!(only(&left).stats().reconnects, 0);
}

#[tokio::test(start_paused = true)]
async fn an_inherited_trace_context_gives_way_to_the_metadata_of_the_call() {
    let (left, _right) = mesh().await;
    let nested = |bytes: usize| call(&left, NESTED, "traceparent").metadata("traceparent", "t".repeat(bytes));
    // The limit of 8 KiB counts 32 bytes and the name for each pair.
    let largest = (8 << 10) - 32 - "traceparent".len();
    assert_eq!(answer(nested(largest)).await, "t".repeat(largest));
    let crowded = call(&left, NESTED_CROWDED, "traceparent\ntenant").metadata("traceparent", "t".repeat(largest));
    assert_eq!(answer(crowded).await, "-\ngreen");
}

#[tokio::test(start_paused = true)]
async fn a_raw_handler_is_not_reached_by_a_subroute() {
    let (left, _right) = mesh().await;
    for connection in [only(&left).subroute("x"), only(&left).subroute("")] {
        match connection.single(TELL, "").await {
            Err(CallError::Refused(refusal)) => assert_eq!(refusal.reason(), RefusalReason::UnknownHandler),
            other => panic!("not refused: {other:?}"),
        }
    }
}
