//! Conversations of two Go nodes, as they were captured.

use std::collections::HashMap;

use serde::Deserialize;

use crate::raw::{Frame, Head, Side, frames_of};

/// One file of conversations.
#[derive(Debug, Clone, Deserialize)]
pub struct Capture {
    /// The name of the node that accepted.
    pub acceptor: String,
    /// The name of the node that dialled.
    pub dialer: String,
    pub conversations: Vec<Conversation>,
}

/// What was said about one or more calls.
#[derive(Debug, Clone, Deserialize)]
pub struct Conversation {
    pub name: String,
    pub client_is: End,
    /// What the caller got, in the words of Go.
    pub client_result: String,
    pub events: Vec<Event>,
}

/// An end of the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    Dialer,
    Acceptor,
}

/// A message, or a note of what happened beside.
#[derive(Debug, Clone, Deserialize)]
pub struct Event {
    pub dir: Option<Direction>,
    pub hex: Option<String>,
    pub http: Option<String>,
    pub note: Option<String>,
}

/// Who speaks: the caller, or the one who is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
pub enum Direction {
    #[serde(rename = "client->server")]
    FromClient,
    #[serde(rename = "server->client")]
    FromServer,
}

/// A message of a capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    pub by: Direction,
    pub bytes: Vec<u8>,
    pub frames: Vec<Frame>,
}

impl Capture {
    /// Between nodes that want checksums.
    pub fn plain() -> Self {
        Self::parse(include_str!("../wire/conversations.json"))
    }

    /// Between nodes that do not.
    pub fn tls() -> Self {
        Self::parse(include_str!("../wire/conversations-tls.json"))
    }

    fn parse(json: &str) -> Self {
        serde_json::from_str(json).expect("the capture has the form described here")
    }

    /// Whether these two nodes want checksums.
    pub fn has_crc(&self) -> bool {
        !(self.acceptor.starts_with("https://") && self.dialer.starts_with("https://"))
    }
}

impl Conversation {
    /// Which side of the link a node has that plays this part.
    pub fn side(&self, part: Direction) -> Side {
        match (self.client_is, part) {
            (End::Dialer, Direction::FromClient) | (End::Acceptor, Direction::FromServer) => Side::Dials,
            (End::Dialer, Direction::FromServer) | (End::Acceptor, Direction::FromClient) => Side::Accepts,
        }
    }

    /// All messages, in their order.
    pub fn said(&self) -> impl Iterator<Item = Said> + '_ {
        self.events.iter().filter_map(|event| {
            let bytes = unhex(event.hex.as_ref()?);
            let frames = frames_of(&bytes).unwrap_or_else(|fault| panic!("{fault}, in the capture of {}", self.name));
            Some(Said { by: event.dir?, bytes, frames })
        })
    }

    /// The messages about calls, without those about the link.
    pub fn about_calls(&self) -> impl Iterator<Item = Said> + '_ {
        self.said().filter(|said| said.frames.iter().any(|frame| frame.mux != 0))
    }

    /// All frames of one side, in their order.
    pub fn frames(&self, by: Direction) -> Vec<Frame> {
        self.said().filter(|said| said.by == by).flat_map(|said| said.frames).collect()
    }

    /// The heads of HTTP, request and answer.
    pub fn heads(&self) -> Vec<Head> {
        self.events.iter().filter_map(|event| Some(Head::parse(event.http.as_ref()?))).collect()
    }
}

/// One golden vector.
#[derive(Debug, Clone, Deserialize)]
pub struct Vector {
    pub name: String,
    pub kind: String,
    pub hex: String,
    pub decoded: Option<HashMap<String, serde_json::Value>>,
}

impl Vector {
    /// Those of one kind.
    pub fn of_kind(kind: &str) -> Vec<Self> {
        #[derive(Deserialize)]
        struct File {
            vectors: Vec<Vector>,
        }

        let file: File = serde_json::from_str(include_str!("../wire/vectors.json")).expect("it has this form");
        file.vectors.into_iter().filter(|vector| vector.kind == kind).collect()
    }

    pub fn bytes(&self) -> Vec<u8> {
        unhex(&self.hex)
    }
}

/// Bytes in hexadecimal.
pub fn unhex(hex: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let byte = |pair: &[u8]| Some(digit(*pair.first()?)? * 16 + digit(*pair.get(1)?)?);
    hex.as_bytes().chunks(2).map(|pair| byte(pair).expect("hexadecimal digits, in pairs")).collect()
}
