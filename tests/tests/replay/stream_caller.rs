//! The node calls, the script answers as the Go server did.

use std::time::Duration;

use bytes::Bytes;
use grid::{CallError, Inbound, Outbound, RemoteError};
use grid_tests::capture::{Conversation, Direction};
use grid_tests::raw::{Frame, RawPeer, captured_windows, counted, flag, let_pass, op, subroute_id, within};
use tokio::task::JoinHandle;

use crate::stage::{Ids, Stage, assert_next};

type Halves = (Outbound<Bytes>, Inbound<Bytes, RemoteError>);

/// A caller on the node that does what makes it send what the Go client sent, one frame at a time.
pub(crate) struct Caller<'a> {
    stage: &'a Stage,
    conversation: &'a Conversation,
    pub(crate) peer: RawPeer,
    /// The id that the node gave the call.
    pub(crate) mux: u64,
    deadline: Option<Duration>,
    opening: Option<JoinHandle<Result<Halves, CallError<RemoteError>>>>,
    pub(crate) outbound: Option<Outbound<Bytes>>,
    pub(crate) inbound: Option<Inbound<Bytes, RemoteError>>,
    items: Vec<Bytes>,
    /// The server has ended the call.
    over: bool,
    /// In the words of Go.
    end: Option<String>,
}

/// Plays a conversation in its order: what the server says is sent to the node, and what the client says is what the
/// node sends next.
pub(crate) async fn play(stage: &Stage, conversation: &Conversation) {
    let mut caller = Caller::new(stage, conversation).await;
    for said in conversation.about_calls() {
        match said.by {
            Direction::FromClient => caller.say_all(said.frames).await,
            Direction::FromServer => caller.hear(&said.frames).await,
        }
    }
    caller.finish().await;
}

impl<'a> Caller<'a> {
    pub(crate) async fn new(stage: &'a Stage, conversation: &'a Conversation) -> Self {
        let peer = stage.link().await;
        let (items, mux) = (Vec::new(), 0);
        let (opening, outbound, inbound, deadline, end) = (None, None, None, None, None);
        Self { stage, conversation, peer, mux, deadline, opening, outbound, inbound, items, over: false, end }
    }

    /// The script says what the Go server said.
    pub(crate) async fn hear(&mut self, frames: &[Frame]) {
        let ends = |frame: &Frame| [op::DISCONNECT_CLIENT_MUX, op::MUX_CONNECT_ERROR].contains(&frame.op);
        self.over |= frames.iter().any(ends);
        let is_lone = frames.len() == 1 && frames[0].op == op::DISCONNECT_CLIENT_MUX;
        if let Some(deadline) = self.deadline
            && is_lone
            && self.conversation.client_result.contains("deadlineExceeded")
        {
            // The deadline of the server, which the caller's follows within a millisecond.
            let_pass(deadline).await;
        }
        let frames: Vec<_> = frames.iter().map(|frame| Frame { mux: self.mux, ..frame.clone() }).collect();
        match frames.as_slice() {
            [only] => self.peer.send(only).await,
            several => self.peer.send_merged(several).await,
        }
    }

    async fn say_all(&mut self, frames: Vec<Frame>) {
        for captured in frames {
            if let Some(captured) = of_grid(self.conversation, captured) {
                self.say(captured).await;
            }
        }
    }

    /// The node is made to say what the Go client said.
    pub(crate) async fn say(&mut self, captured: Frame) {
        match captured.op {
            op::CONNECT_MUX => self.open(&captured),
            op::MUX_CLIENT_MSG => {
                self.opened().await;
                let item = captured.payload.clone().into();
                if captured.flags & flag::EOF == 0 {
                    let outbound = self.outbound.as_ref().expect("it has not finished");
                    within("a credit", outbound.send(item)).await.expect("the call goes on");
                } else {
                    let outbound = self.outbound.take().expect("it has not finished");
                    within("the end", outbound.finish()).await.expect("the call goes on");
                }
            }
            op::UNBLOCK_SRV_MUX => self.read().await,
            op::PING => let_pass(PING_INTERVAL).await,
            op::DISCONNECT_SERVER_MUX => self.give_up().await,
            _ => panic!("no client says {captured:?}"),
        }
        let sent = self.peer.recv().await;
        if captured.op == op::CONNECT_MUX {
            self.mux = sent.mux;
        }
        assert_eq!(sent.mux, self.mux);
        assert_next(sent, captured, Ids::OfTheNode);
    }

    fn open(&mut self, captured: &Frame) {
        let route = captured.subroute.map(|id| {
            let known = |route: &&&str| subroute_id(captured.handler, route) == id;
            *["a/b", "nope"].iter().find(known).expect("a route of the capture")
        });
        let connection = self.stage.connection();
        let connection = route.map_or(connection.clone(), |route| connection.subroute(route));
        let handler = u8::try_from(captured.handler).expect("a handler of v1");
        let call = connection.stream(handler, captured_windows(captured.handler), &captured.payload);
        let millis = u64::from(captured.deadline_ms).next_multiple_of(10);
        self.deadline = (millis > 0).then(|| Duration::from_millis(millis));
        let call = match self.deadline {
            Some(deadline) => call.timeout(deadline),
            None => call,
        };
        self.opening = Some(tokio::spawn(call.into_future()));
    }

    /// Waits for the answer to the opening.
    pub(crate) async fn opened(&mut self) {
        let Some(opening) = self.opening.take() else { return };
        match within("the stream to open", opening).await.expect("it does not panic") {
            Ok((outbound, inbound)) => (self.outbound, self.inbound) = (Some(outbound), Some(inbound)),
            Err(error) => self.end = Some(words(&error)),
        }
    }

    /// Takes an item.
    pub(crate) async fn read(&mut self) {
        match self.next().await {
            Some(Ok(item)) => self.items.push(item),
            other => panic!("{other:?} instead of an item"),
        }
    }

    async fn next(&mut self) -> Option<Result<Bytes, CallError<RemoteError>>> {
        self.opened().await;
        let inbound = self.inbound.as_mut().unwrap_or_else(|| panic!("it did not open: {:?}", self.end));
        within("the stream to go on", inbound.next()).await
    }

    /// Ends the call, if the server has not.
    async fn give_up(&mut self) {
        if self.over {
            return;
        }
        match self.deadline {
            Some(deadline) => {
                let_pass(deadline).await;
                self.read_end().await;
            }
            None => {
                self.end = Some("error *errors.errorString \"context canceled\"".to_owned());
                (self.outbound, self.inbound) = (None, None);
            }
        }
    }

    pub(crate) async fn read_end(&mut self) {
        self.end = Some(match self.next().await {
            None => "EOF".to_owned(),
            Some(Err(error)) => words(&error),
            Some(Ok(item)) => panic!("{item:?} after {:?}", self.items),
        });
        assert_eq!(self.next().await, None, "an end is told once");
    }

    /// The caller got what the Go one got, and nothing is left.
    async fn finish(mut self) {
        self.opened().await;
        if self.end.is_none() {
            self.read_end().await;
        }
        self.peer.fence().await;
        self.stage.idle().await;
        let end = self.end.expect("it was read");
        match &*self.conversation.name {
            // No result was captured.
            "ping_pong_mux" | "ping_pong_mux_blocked" => {}
            // Items were under way when it was cancelled.
            "stream_cancelled_oneway" => {
                assert!(self.conversation.client_result.ends_with(&end));
                assert_eq!(self.items, (0..).map(counted).take(self.items.len()).collect::<Vec<_>>());
            }
            // Of a call that does not begin there are no items.
            "stream_unknown_handler" | "stream_unknown_subroute" => {
                let wanted = &self.conversation.client_result;
                assert_eq!(end, wanted.strip_prefix("[] then ").unwrap_or(wanted));
            }
            _ => assert_eq!(told(&self.items, &end), self.conversation.client_result),
        }
    }

    /// The caller has these items and this end, whatever the Go one got.
    async fn finish_with(mut self, items: &[&str], end: &str) {
        if self.end.is_none() {
            self.read_end().await;
        }
        self.peer.fence().await;
        self.stage.idle().await;
        assert_eq!((self.items.as_slice(), self.end.as_deref()), (&*bytes(items), Some(end)));
    }
}

/// What a grid node sends where a Go client sent this.
fn of_grid(conversation: &Conversation, captured: Frame) -> Option<Frame> {
    let is_last = captured.op == op::MUX_CLIENT_MSG && captured.flags & flag::EOF != 0;
    let is_nil = captured.op == op::MUX_CLIENT_MSG && !is_last && captured.payload.is_empty();
    match (&*conversation.name, captured.op) {
        (_, op::DISCONNECT_SERVER_MUX) if captured.seq != 0 => None,
        ("stream_cancelled_oneway", op::DISCONNECT_CLIENT_MUX) => None,
        ("stream_unknown_subroute", op::MUX_CLIENT_MSG) if is_last => None,
        ("stream_request_only_0", op::CONNECT_MUX) => Some(Frame { flags: captured.flags & !flag::ZERO, ..captured }),
        ("stream_input_kinds", _) if is_nil => Some(captured.flags(flag::ZERO)),
        _ => Some(captured),
    }
}

/// What follows on a nil item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// What followed in the capture, where its credit never came back.
    AsCaptured,
    /// What a Go server does when it gets its credits back.
    TheRest,
}

/// Plays a conversation with a nil item, which a Go client does not count.
pub(crate) async fn play_nil(stage: &Stage, conversation: &Conversation, then: Then) {
    let mut caller = Caller::new(stage, conversation).await;
    let mut said = conversation.about_calls();
    caller.say(said.next().expect("a client begins").frames[0].clone()).await;
    let crc = conversation.frames(Direction::FromServer)[0].flags;
    let mut seq = 0;
    let is_end = |frame: &Frame| [op::DISCONNECT_SERVER_MUX, op::DISCONNECT_CLIENT_MUX].contains(&frame.op);
    let mut tail = Vec::new();
    for said in said {
        if is_end(&said.frames[0]) || !tail.is_empty() {
            tail.push(said);
        } else if said.by == Direction::FromServer {
            caller.hear(&said.frames).await;
            for item in said.frames.iter().filter(|frame| frame.op == op::MUX_SERVER_MSG) {
                seq += 1;
                assert_eq!(item.seq, seq);
                caller.take_back(seq, crc).await;
            }
        }
    }
    if then == Then::AsCaptured {
        for said in tail {
            match said.by {
                Direction::FromClient => caller.say_all(said.frames).await,
                Direction::FromServer => caller.hear(&said.frames).await,
            }
        }
        let (_, end) = conversation.client_result.split_once(" then ").expect("it has items and an end");
        return caller.finish_with(&["a", ""], end).await;
    }
    let item = |seq, payload: &str| Frame { seq, flags: crc, ..Frame::new(op::MUX_SERVER_MSG, 0).payload(payload) };
    if seq == 2 {
        caller.hear(&[item(3, "b")]).await;
        caller.take_back(3, crc).await;
    }
    let disconnect = Frame { flags: crc, ..Frame::new(op::DISCONNECT_CLIENT_MUX, 0) };
    caller.hear(&[item(4, "").flags(flag::EOF), disconnect]).await;
    caller.finish_with(&["a", "", "b"], "EOF").await;
}

impl Caller<'_> {
    /// An item is read, and its credit goes back.
    async fn take_back(&mut self, seq: u32, crc: u8) {
        self.say(Frame { seq, flags: crc, ..Frame::new(op::UNBLOCK_SRV_MUX, 0) }).await;
    }
}

fn words(error: &CallError<RemoteError>) -> String {
    match error {
        CallError::Remote(error) => format!("error grid.RemoteErr {:?}", error.message()),
        CallError::Refused(refusal) => format!("error *grid.RemoteErr {:?}", refusal.message()),
        CallError::DeadlineExceeded => "error context.deadlineExceededError \"context deadline exceeded\"".to_owned(),
        CallError::Disconnected(_) => "error grid.RemoteErr \"remote disconnected\"".to_owned(),
        other => format!("{other:?}"),
    }
}

fn told(items: &[Bytes], end: &str) -> String {
    let item = |item: &Bytes| match item.len() {
        512.. => format!("{} bytes", item.len()),
        _ => format!("{:?}", String::from_utf8_lossy(item)),
    };
    format!("[{}] then {end}", items.iter().map(item).collect::<Vec<_>>().join(" "))
}

fn bytes(items: &[&str]) -> Vec<Bytes> {
    items.iter().map(|item| Bytes::copy_from_slice(item.as_bytes())).collect()
}

/// Of a stream, as v1 has it.
const PING_INTERVAL: Duration = Duration::from_secs(15);
