//! Streams that live long, and the pings and deadlines that decide for how long. Under virtual time.

use std::future::pending;
use std::time::Duration;

use bytes::Bytes;
use grid::{CallError, Context, Inbound, Manager, ManagerBuilder, Outbound, RemoteError, Windows};
use grid_tests::memory::{Network, settle, within};
use grid_tests::mesh::only;
use grid_tests::probe::{HANG, Probe, Visits};
use grid_tests::raw::{Frame, op};
use grid_tests::streams::{CAPS_CREDITS, Read, assert_idle, frame, granting, item, items, read_all, scripted};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

const ECHO: u8 = 20;
/// Waits for an item, and does nothing else.
const WAIT: u8 = 21;
/// Sends items without end and reads none.
const FLOOD: u8 = 22;
/// Sends an item each second.
const CLOCK: u8 = 23;
/// Calls its caller back as its opening says, and tells how that ended.
const CALL_BACK: u8 = 24;

const SECOND: Duration = Duration::from_secs(1);
/// Far longer than any interval of pings.
const LONG: Duration = Duration::from_secs(10 * 60);

type Halves = (Outbound<Bytes>, Inbound<Bytes, RemoteError>);

fn serve(probe: &Probe, window: u32) -> impl Fn(ManagerBuilder) -> ManagerBuilder + use<> {
    let probe = probe.clone();
    move |builder| {
        let (waits, floods) = (probe.clone(), probe.clone());
        builder
            .stream(ECHO, window, |_, _, mut inbound, outbound| async move {
                while let Some(item) = inbound.next().await {
                    outbound.send(item?).await?;
                }
                Ok(())
            })
            .stream(WAIT, window, move |_, _, mut inbound, outbound| {
                let visit = waits.enter();
                async move {
                    let _kept = outbound;
                    let ended = inbound.next().await;
                    visit.finish();
                    ended.map_or(Ok(()), |item| Err(RemoteError::new(format!("woken by {item:?}"))))
                }
            })
            .stream(FLOOD, window, move |_, _, inbound, outbound| {
                let visit = floods.enter();
                async move {
                    let _unread = (inbound, visit);
                    for number in 0.. {
                        outbound.send(item(number)).await?;
                    }
                    Ok(())
                }
            })
            .stream(CLOCK, Windows::responses(window), |_, _, _, outbound| async move {
                for number in 0.. {
                    sleep(SECOND).await;
                    outbound.send(item(number)).await?;
                }
                Ok(())
            })
    }
}

async fn nodes(network: &Network, probe: &Probe, window: u32) -> (Manager, Manager) {
    network.pair(|left| left, serve(probe, window)).await
}

async fn opened(node: &Manager, id: u8, window: u32) -> Halves {
    within(only(node).stream(id, window, "").into_future()).await.expect("it opens")
}

#[tokio::test(start_paused = true)]
async fn a_caller_slower_than_many_pings_keeps_its_stream() {
    for window in [1, 16] {
        let (network, probe) = (Network::default(), Probe::default());
        let (left, right) = nodes(&network, &probe, window).await;
        let (outbound, mut inbound) = opened(&left, FLOOD, window).await;
        for number in 0..20 {
            sleep(LONG).await;
            assert_eq!(within(inbound.next()).await, Some(Ok(item(number))));
        }
        drop((outbound, inbound));
        settle().await;
        assert_eq!(probe.visits(), Visits { started: 1, finished: 0, dropped: 1 });
        assert_eq!(only(&left).stats().reconnects, 0);
        assert_idle([&left, &right]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_slower_than_many_pings_keeps_its_stream() {
    const SLOW: u8 = 30;
    for window in [1, 16] {
        let slow = |builder: ManagerBuilder| {
            builder.stream(SLOW, window, |_, _, mut inbound, outbound| async move {
                let mut read = Vec::new();
                loop {
                    sleep(LONG).await;
                    match inbound.next().await {
                        Some(item) => read.push(item?),
                        None => break,
                    }
                }
                Ok(outbound.send(read.concat().into()).await?)
            })
        };
        let (left, right) = Network::default().pair(|left| left, slow).await;
        let call = only(&left).stream(SLOW, window, "");
        let (outbound, mut inbound) = within(call.into_future()).await.expect("it opens");
        let sender = tokio::spawn(async move {
            for number in 0..40 {
                outbound.send(item(number)).await.expect("it goes on");
            }
            outbound.finish().await.expect("it has not ended");
        });
        // It takes longer than the hour of `within`.
        let read = read_all(&mut inbound).await;
        assert_eq!(read, Read { items: vec![items(0..40).concat().into()], error: None });
        within(sender).await.expect("no panic");
        assert_eq!(only(&left).stats().reconnects, 0);
        assert_idle([&left, &right]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_on_which_nothing_happens_for_a_day_is_still_there() {
    let (network, probe) = (Network::default(), Probe::default());
    let (left, right) = nodes(&network, &probe, 4).await;
    let (outbound, mut inbound) = opened(&left, ECHO, 4).await;
    sleep(24 * 3600 * SECOND).await;
    for item in items(0..3) {
        outbound.send(item.clone()).await.expect("it goes on");
        assert_eq!(within(inbound.next()).await, Some(Ok(item)));
    }
    outbound.finish().await.expect("it has not ended");
    assert_eq!(within(read_all(&mut inbound)).await, Read::of(0, None));
    assert_idle([&left, &right]).await;
}

/// Both ends wait for credits, and nobody reads.
#[tokio::test(start_paused = true)]
async fn pings_need_no_credits() {
    for window in [1, 16] {
        let (network, probe) = (Network::default(), Probe::default());
        let (left, right) = nodes(&network, &probe, window).await;
        let (outbound, mut inbound) = opened(&left, FLOOD, window).await;
        let sender = tokio::spawn(async move { while outbound.send(item(0)).await.is_ok() {} });
        sleep(LONG).await;
        assert!(!sender.is_finished());
        assert_eq!(probe.visits(), Visits { started: 1, finished: 0, dropped: 0 });
        for number in 0..100 {
            assert_eq!(within(inbound.next()).await, Some(Ok(item(number))), "its sender has waited, no more");
        }
        drop(inbound);
        within(sender).await.expect("no panic");
        settle().await;
        assert_eq!(only(&left).stats().reconnects, 0);
        assert_idle([&left, &right]).await;
    }
}

/// Seen from a remote that gives no credits: a ping every 15 s, numbered like all else.
#[tokio::test(start_paused = true)]
async fn a_caller_that_waits_for_a_credit_pings_every_fifteen_seconds() {
    let (node, mut peer) = scripted(Some(CAPS_CREDITS), |builder| builder).await;
    let call = tokio::spawn(only(&node).stream(ECHO, 4, "").into_future());
    let mux = peer.recv().await.mux;
    peer.send(&granting(frame(op::ACK_MUX, mux, 0), 2)).await;
    let (outbound, mut inbound) = within(call).await.expect("no panic").expect("it opens");
    let start = Instant::now();
    let sender = tokio::spawn(async move { while outbound.send(item(0)).await.is_ok() {} });
    for seq in 1..=2 {
        assert_eq!(peer.recv().await, frame(op::MUX_CLIENT_MSG, mux, seq).payload(item(0)));
    }
    for number in 1..=20 {
        let ping = peer.recv().await;
        assert_eq!(ping, frame(op::PING, mux, 2 + number));
        let due = 15 * SECOND * number;
        assert!((due..=due + SECOND).contains(&start.elapsed()), "ping {number} at {:?}", start.elapsed());
        peer.send(&Frame { op: op::PONG, ..ping }.payload(pong())).await;
    }
    peer.send(&granting(frame(op::UNBLOCK_CL_MUX, mux, 1), 1)).await;
    assert_eq!(peer.recv().await, frame(op::MUX_CLIENT_MSG, mux, 23).payload(item(0)));
    assert!(!sender.is_finished());
    peer.send(&frame(op::MUX_SERVER_MSG, mux, 2).flags(grid_tests::raw::flag::EOF)).await;
    assert_eq!(within(read_all(&mut inbound)).await, Read::of(0, None));
    within(sender).await.expect("no panic");
    assert_idle([&node]).await;
}

fn pong() -> Vec<u8> {
    let time = grid_tests::raw::zero_time();
    grid_tests::raw::map([("nf", false.into()), ("e", rmpv::Value::Nil), ("t", time)])
}

/// Pings are all that is heard of this caller, for an hour; then nothing is. A v1 peer is gone then, also if its link lives.
#[tokio::test(start_paused = true)]
async fn a_handler_lives_on_the_pings_of_its_caller_and_for_sixty_seconds_without() {
    let probe = Probe::default();
    let (node, mut peer) = scripted(None, serve(&probe, 4)).await;
    peer.send(&Frame { handler: WAIT.into(), ..Frame::new(op::CONNECT_MUX, 5) }).await;
    assert_eq!(peer.recv().await.op, op::ACK_MUX);
    for seq in 1..=72 {
        sleep(50 * SECOND).await;
        peer.send(&frame(op::PING, 5, seq)).await;
        assert_eq!(peer.recv().await, frame(op::PONG, 5, seq).payload(pong()));
    }
    let start = Instant::now();
    assert_eq!(probe.visits(), Visits { started: 1, finished: 0, dropped: 0 });
    sleep(55 * SECOND).await;
    peer.fence().await;
    assert_eq!(probe.visits().dropped, 0);
    assert_eq!(peer.recv().await.op, op::DISCONNECT_CLIENT_MUX);
    assert!((60..=61).contains(&start.elapsed().as_secs()), "given up after {:?}", start.elapsed());
    settle().await;
    assert_eq!(probe.visits(), Visits { started: 1, finished: 0, dropped: 1 });
    peer.fence().await;
    assert_idle([&node]).await;
}

/// Neither side has anything to send, and nothing says that the other is gone.
#[tokio::test(start_paused = true)]
async fn a_silent_death_is_noticed_by_streams_that_only_wait() {
    let (network, probe) = (Network::default(), Probe::default());
    let (left, right) = nodes(&network, &probe, 4).await;
    let (outbound, mut inbound) = opened(&left, WAIT, 4).await;
    sleep(LONG).await;
    assert_eq!(probe.visits(), Visits { started: 1, finished: 0, dropped: 0 });
    let start = Instant::now();
    network.silence();
    let lost = CallError::Disconnected(right.name().into());
    assert_eq!(within(read_all(&mut inbound)).await, Read::of(0, lost));
    // The last pong was up to one interval old, and is looked at once in one.
    assert!((10..=30).contains(&start.elapsed().as_secs()), "noticed after {:?}", start.elapsed());
    probe.until(|visits| visits.dropped == 1).await;
    assert!(start.elapsed() <= 30 * SECOND, "noticed by the handler after {:?}", start.elapsed());
    drop(outbound);
    for node in [&left, &right] {
        within(only(node).ready()).await.expect("not shut down");
    }
    assert_idle([&left, &right]).await;
}

/// From the opening to the end, however lively it is in between.
#[tokio::test(start_paused = true)]
async fn a_timeout_counts_for_the_whole_stream() {
    let (network, probe) = (Network::default(), Probe::default());
    let (left, right) = nodes(&network, &probe, 4).await;
    let start = Instant::now();
    let timeout = Duration::from_millis(5500);
    let call = only(&left).stream(CLOCK, Windows::responses(4), "").timeout(timeout);
    let (_, mut inbound) = within(call.into_future()).await.expect("it opens");
    assert_eq!(within(read_all(&mut inbound)).await, Read::of(5, CallError::DeadlineExceeded));
    assert_eq!(start.elapsed(), timeout);
    settle().await;
    assert_idle([&left, &right]).await;

    let call = only(&left).stream(CLOCK, Windows::responses(4), "").deadline(Instant::now() + timeout);
    let (_, inbound) = within(call.into_future()).await.expect("it opens");
    sleep(LONG).await;
    let mut inbound = inbound;
    let read = within(read_all(&mut inbound)).await;
    assert_eq!(read, Read::of(4, CallError::DeadlineExceeded), "a window, as nobody read");
    assert_idle([&left, &right]).await;
}

/// Single requests have a minute if they are given no time, and streams have for ever.
#[tokio::test(start_paused = true)]
async fn a_stream_that_is_given_no_time_has_no_deadline() {
    let (network, probe) = (Network::default(), Probe::default());
    let (left, _right) = nodes(&network, &probe, 4).await;
    let (_outbound, mut inbound) = opened(&left, CLOCK, 4).await;
    for number in 0..3000 {
        assert_eq!(within(inbound.next()).await, Some(Ok(item(number))));
    }
}

/// What its opening says: for how many seconds, and whether a stream.
fn call_back(deadlines: &mpsc::UnboundedSender<(Option<Duration>, String)>, builder: ManagerBuilder) -> ManagerBuilder {
    let told = deadlines.clone();
    builder.stream(CALL_BACK, 4, move |cx: Context, opening: Bytes, _, _| {
        let told = told.clone();
        async move {
            let timeout = u32::from(opening[0]) * SECOND;
            let outcome = match opening[1] {
                0 => cx.connection().single(HANG, "").timeout(timeout).await.map(drop),
                _ => match cx.connection().stream(WAIT, 4, "").timeout(timeout).await {
                    Ok((_outbound, mut inbound)) => inbound.next().await.unwrap_or(Ok(Bytes::new())).map(drop),
                    Err(error) => Err(error),
                },
            };
            told.send((cx.remaining(), format!("{outcome:?}"))).expect("the test waits");
            pending().await
        }
    })
}

/// A call inside of the handler of a stream has its own time or what is left of the stream's, whichever is less.
#[tokio::test(start_paused = true)]
async fn calls_inside_the_handler_of_a_stream_inherit_its_deadline() {
    for kind in [0, 1] {
        let probe = Probe::default();
        let (told, mut telling) = mpsc::unbounded_channel();
        let left = |builder| probe.hang(serve(&probe, 4)(builder));
        let (left, right) = Network::default().pair(left, |right| call_back(&told, right)).await;
        // Shorter than the stream: the handler hears of it.
        let call = only(&left).stream(CALL_BACK, 4, [2, kind]).timeout(5 * SECOND);
        let start = Instant::now();
        let (_outbound, mut inbound) = within(call.into_future()).await.expect("it opens");
        let (left_over, outcome) = within(telling.recv()).await.expect("the test holds a sender");
        assert_eq!((left_over, &*outcome), (Some(3 * SECOND), "Err(DeadlineExceeded)"));
        assert_eq!(within(read_all(&mut inbound)).await, Read::of(0, CallError::DeadlineExceeded));
        assert_eq!(start.elapsed(), 5 * SECOND);

        // Longer than the stream: what it called ends when the stream does.
        let call = only(&left).stream(CALL_BACK, 4, [200, kind]).timeout(5 * SECOND);
        let (_outbound, mut inbound) = within(call.into_future()).await.expect("it opens");
        settle().await;
        let ended = || probe.visits().finished + probe.visits().dropped;
        assert_eq!((probe.visits().started, ended()), (2, 1));
        sleep(4 * SECOND).await;
        assert_eq!(ended(), 1);
        sleep(SECOND).await;
        settle().await;
        assert_eq!((probe.visits().started, ended()), (2, 2));
        assert_eq!(within(read_all(&mut inbound)).await, Read::of(0, CallError::DeadlineExceeded));
        assert_idle([&left, &right]).await;
    }
}
