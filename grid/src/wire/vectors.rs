//! The golden vectors: bytes that a v1 peer sent, and what they are.

use serde_json::Value;

use super::frame::{Flags, Frame, PayloadBuf};
use super::msgpack::DecodeError;
use super::*;

fn vectors() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/wire/vectors.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn list<'a>(all: &'a Value, name: &str) -> &'a [Value] {
    all[name].as_array().unwrap()
}

fn of_kind<'a>(all: &'a Value, kind: &str) -> Vec<&'a Value> {
    list(all, "vectors").iter().filter(|vector| vector["kind"] == kind).collect()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} of {value}"))
}

fn uint(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or_else(|| panic!("{key} of {value}"))
}

fn unhex(hex: &str) -> Vec<u8> {
    assert!(hex.len().is_multiple_of(2));
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn hex_of(value: &Value, key: &str) -> Vec<u8> {
    unhex(text(value, key))
}

/// Holds a decoded frame against what the vector says, and gives its header.
fn assert_tuple(name: &str, frame: &Frame<'_>, wanted: &Value) {
    assert_eq!(frame.head.mux, uint(wanted, "mux_id"), "{name}");
    assert_eq!(u64::from(frame.head.seq), uint(wanted, "seq"), "{name}");
    assert_eq!(u64::from(frame.head.deadline_ms), uint(wanted, "deadline_ms"), "{name}");
    assert_eq!(u64::from(frame.head.handler.get()), uint(wanted, "handler"), "{name}");
    assert_eq!(u64::from(frame.head.flags.bits()), uint(wanted, "flags"), "{name}");
    assert_eq!(u64::try_from(frame.payload.len()).unwrap(), uint(wanted, "payload_len"), "{name}");
    if let Some(payload) = wanted["payload_hex"].as_str() {
        assert_eq!(frame.payload, unhex(payload), "{name}");
    }
}

fn encode_again(frame: &Frame<'_>) -> Vec<u8> {
    let payload = PayloadBuf::copy_from(frame.payload);
    payload.seal(frame.head, &Trailer::default(), frame.subroute).as_bytes().to_vec()
}

#[test]
fn golden_frames_decode_and_encode_to_the_same_bytes() {
    let all = vectors();
    let frames = of_kind(&all, "frame");
    assert_eq!(frames.len(), 95);
    for vector in frames {
        let name = text(vector, "name");
        let bytes = hex_of(vector, "hex");
        let frame = Frame::decode(&bytes, Capabilities::V1).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_tuple(name, &frame, &vector["decoded"]);
        if frame.head.op == Op::Merged {
            assert_merge(name, &frame, vector, &bytes);
        } else {
            assert_eq!(encode_again(&frame), bytes, "{name}");
        }
    }
}

fn assert_merge(name: &str, merged: &Frame<'_>, vector: &Value, bytes: &[u8]) {
    let found: Vec<&[u8]> = elements(merged).collect::<Result<_, _>>().unwrap();
    let wanted = list(&vector["decoded"], "merged");
    assert_eq!(found.len(), wanted.len(), "{name}");
    let mut pack = Pack::default();
    for (element, wanted) in found.iter().zip(wanted) {
        assert_eq!(*element, hex_of(wanted, "hex"), "{name}");
        assert_tuple(name, &Frame::decode(element, Capabilities::V1).unwrap(), wanted);
        pack.push(element);
    }
    let mut out = Vec::new();
    pack.next_message(usize::MAX).unwrap().put(&mut out);
    assert_eq!(out, bytes, "{name}");
}

#[test]
fn golden_bodies_decode_and_encode_to_the_same_bytes() {
    let all = vectors();
    let mut bodies = 0;
    for vector in of_kind(&all, "frame") {
        let name = text(vector, "name");
        let bytes = hex_of(vector, "hex");
        let frame = Frame::decode(&bytes, Capabilities::V1).unwrap();
        let mut out = Vec::new();
        match frame.head.op {
            Op::Connect => Connect::decode(frame.payload).unwrap().put(&mut out),
            Op::ConnectResponse => ConnectResponse::decode(frame.payload).unwrap().put(&mut out),
            Op::Ping if !frame.payload.is_empty() => Ping::decode(frame.payload).unwrap().put(&mut out),
            Op::Pong => Pong::decode(frame.payload).unwrap().put(&mut out),
            Op::MuxConnectError => MuxConnectError::decode(frame.payload).unwrap().put(&mut out),
            _ => continue,
        }
        assert_eq!(out, frame.payload, "{name}");
        bodies += 1;
    }
    assert!(bodies >= 15, "only {bodies} bodies among the golden frames");
}

#[test]
fn what_v1_refuses_is_refused() {
    let all = vectors();
    let refused = of_kind(&all, "reject");
    assert_eq!(refused.len() + of_kind(&all, "reject_payload").len(), 22);
    for vector in refused {
        let decoded = Frame::decode(&hex_of(vector, "hex"), Capabilities::V1).map(|frame| frame.head.op);
        assert!(decoded.is_err(), "{} gave {decoded:?}", text(vector, "name"));
    }
    for vector in of_kind(&all, "reject_payload") {
        let bytes = hex_of(vector, "hex");
        let error: Option<DecodeError> = match text(vector, "name") {
            name if name.starts_with("reject_connectreq") => Connect::decode(&bytes).err(),
            name if name.starts_with("reject_pong") => Pong::decode(&bytes).err(),
            name => panic!("no reader for {name}"),
        };
        assert!(error.is_some(), "{}", text(vector, "name"));
    }
}

#[test]
fn oddities_that_v1_accepts_are_accepted() {
    let all = vectors();
    let odd = of_kind(&all, "odd_accept");
    assert_eq!(odd.len() + of_kind(&all, "odd_accept_payload").len(), 16);
    for vector in odd {
        let name = text(vector, "name");
        let bytes = hex_of(vector, "hex");
        let frame = Frame::decode(&bytes, Capabilities::V1).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_tuple(name, &frame, &vector["decoded"]);
        assert_eq!(frame.rest, hex_of(&vector["decoded"], "rest_hex"), "{name}");
    }
    for vector in of_kind(&all, "odd_accept_payload") {
        let name = text(vector, "name");
        let bytes = hex_of(vector, "hex");
        let wanted = &vector["decoded"];
        let time = |prefix: &str| {
            let secs = wanted[format!("{prefix}_unix")].as_i64().unwrap();
            WireTime::new(secs, uint(wanted, &format!("{prefix}_nsec")).try_into().unwrap())
        };
        if name.starts_with("odd_connectreq") {
            let connect = Connect::decode(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!((connect.host, connect.token), (text(wanted, "Host"), text(wanted, "Token")), "{name}");
            assert_eq!((connect.id.to_vec(), connect.time), (hex_of(wanted, "ID"), time("Time")), "{name}");
        } else {
            let pong = Pong::decode(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(pong, Pong { not_found: false, error: None, time: time("t") }, "{name}");
        }
    }
}

#[test]
fn both_names_of_each_pair_agree_on_who_dials() {
    let all = vectors();
    let pairs = list(&all, "should_connect");
    assert_eq!(pairs.len(), 30);
    for pair in pairs {
        let (local, remote) = (text(pair, "local"), text(pair, "remote"));
        let dials = pair["local_dials"].as_bool().unwrap();
        assert_eq!(local_dials(local, remote), dials, "{local} and {remote}");
        assert_eq!(local_dials(remote, local), !dials, "{remote} and {local}");
    }
}

#[test]
fn subroute_ids_are_those_of_v1() {
    let all = vectors();
    let subroutes = list(&all, "subroutes");
    assert_eq!(subroutes.len(), 21);
    for vector in subroutes {
        let parts: Vec<&str> = list(vector, "parts").iter().map(|part| part.as_str().unwrap()).collect();
        let (first, more) = parts.split_first().unwrap();
        let subroute = more.iter().fold(Subroute::new(*first), |route, part| route.join(part));
        assert_eq!(&**subroute.route(), text(vector, "route"));
        let handler = HandlerId::from(u8::try_from(uint(vector, "handler")).unwrap());
        assert_eq!(subroute.id(handler).as_bytes().to_vec(), hex_of(vector, "sub_id_hex"));
    }
}

#[test]
fn times_are_written_as_v1_does_and_read_in_both_forms() {
    let all = vectors();
    let times = list(&all, "times");
    assert_eq!(times.len(), 10);
    for vector in times {
        let name = text(vector, "name");
        let time = WireTime::new(vector["unix_sec"].as_i64().unwrap(), uint(vector, "nsec").try_into().unwrap());
        let mut out = Vec::new();
        time.put(&mut out);
        assert_eq!(out, hex_of(vector, "hex"), "{name}");
        for form in ["hex", "also_accepted_hex"] {
            let mut body = vec![0x81, 0xa1, b't'];
            body.extend(hex_of(vector, form));
            assert_eq!(Ping::decode(&body), Ok(Ping { time }), "{name} as {form}");
        }
    }
}

#[test]
fn checksums_are_the_low_half_of_xxh3() {
    let all = vectors();
    let hashes = list(&all, "xxh3");
    assert_eq!(hashes.len(), 33);
    for vector in hashes {
        let len = usize::try_from(uint(vector, "len")).unwrap();
        let bytes: Vec<u8> = (0..len).map(|at| u8::try_from((at * 7 + 3) & 0xff).unwrap()).collect();
        assert_eq!(u64::from(hash::crc(&bytes)), uint(vector, "low32"), "{len} bytes");
        assert_eq!(hash::crc(&bytes).to_le_bytes().to_vec(), hex_of(vector, "crc_bytes_hex"), "{len} bytes");
    }
}

#[test]
fn unknown_flag_bits_are_kept() {
    let bytes =
        hex_of(of_kind(&vectors(), "odd_accept").iter().find(|v| v["name"] == "odd_flag_unknown_bits").unwrap(), "hex");
    let frame = Frame::decode(&bytes, Capabilities::V1).unwrap();
    assert_eq!(frame.head.flags, Flags::from_bits(0xc0));
    assert_eq!(frame.trailer, None);
}
