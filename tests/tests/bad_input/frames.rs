//! Messages that are no frames, and odd ones that are.

use grid_tests::capture::{Vector, unhex};
use grid_tests::raw::{ECHO, Frame, Rig, SIDES, encode_value, flag, op};
use rmpv::Value;

type Case = (String, Vec<u8>);

/// Each message ends its link and says why; all of them one after the other on the same node.
async fn each_ends_the_link(caps: Option<u64>, cases: &[Case]) {
    for side in SIDES {
        let rig = Rig::with(side, caps, |builder| builder).await;
        for (name, message) in cases {
            eprintln!("{name}: {message:02x?}");
            let mut peer = rig.link().await;
            peer.send_message(message).await;
            peer.closed().await;
            let fault = rig.violated().await;
            assert!(!fault.is_empty(), "{name}");
        }
        rig.link().await.fence().await;
        rig.finish().await;
        println!("{} messages that end the link, node {side:?}", cases.len());
    }
}

#[tokio::test]
async fn what_a_go_node_refuses_ends_the_link() {
    let cases: Vec<_> = Vector::of_kind("reject").iter().map(|vector| (vector.name.clone(), vector.bytes())).collect();
    assert_eq!(cases.len(), 19);
    each_ends_the_link(None, &cases).await;
}

#[tokio::test]
async fn what_is_no_msgpack_ends_the_link() {
    let garbage: [&[u8]; 7] = [
        b"\xc1",
        b"GET / HTTP/1.1\r\n\r\n",
        br#"{"op": 14}"#,
        &[0xff; 100],
        &[0x97; 200],
        // Claims of huge lengths, with nothing behind them.
        b"\xdd\xff\xff\xff\xff",
        b"\x97\x01\x00\x00\x0a\x0e\x02\xc6\xff\xff\xff\xff",
    ];
    each_ends_the_link(None, &garbage.map(|bytes| ("garbage".to_owned(), bytes.to_vec()))).await;
}

/// The fields of a good request.
fn request() -> [Value; 7] {
    let numbers = [1, 0, 5000, ECHO, op::REQUEST.into(), flag::EOF.into()];
    let [mux, seq, deadline, handler, op, flags] = numbers.map(Value::from);
    [mux, seq, deadline, handler, op, flags, Value::Binary(b"hello".to_vec())]
}

#[tokio::test]
async fn a_field_of_another_type_or_range_ends_the_link() {
    let names = ["MuxID", "Seq", "DeadlineMS", "Handler", "Op", "Flags", "Payload"];
    let maxima = [u64::MAX, u64::from(u32::MAX), u64::from(u32::MAX), 255, 255, 255];
    let mut cases = Vec::new();
    for (place, name) in names.iter().enumerate() {
        let mut wrong = vec![Value::Nil, "1".into(), true.into(), 1.5.into(), Value::Array(vec![]), Value::Map(vec![])];
        wrong.push(Value::Ext(5, vec![0; 12]));
        match maxima.get(place) {
            Some(max) => {
                wrong.extend([-1, -33, -129, -32_769, i64::MIN].map(Value::from));
                wrong.push(Value::Binary(vec![1]));
                wrong.extend(max.checked_add(1).map(Value::from));
            }
            None => wrong.push(1.into()),
        }
        for value in wrong {
            let mut fields = request();
            fields[place] = value.clone();
            cases.push((format!("{name} = {value}"), encode_value(&Value::Array(fields.into()))));
        }
    }
    each_ends_the_link(None, &cases).await;
}

#[tokio::test]
async fn a_tuple_of_another_size_ends_the_link() {
    let mut cases = Vec::new();
    for size in [0, 1, 6, 8, 15, 16, 300] {
        let fields = request().into_iter().chain(std::iter::repeat(0.into())).take(size);
        cases.push((format!("array of {size}"), encode_value(&Value::Array(fields.collect()))));
    }
    each_ends_the_link(None, &cases).await;
}

#[tokio::test]
async fn a_frame_cut_at_any_byte_ends_the_link() {
    let whole = [
        Frame::request(300, ECHO, "hello"),
        Frame::request(300, ECHO, "hello").bare(),
        Frame::request(1, ECHO, "").under("a/b"),
    ];
    let mut cases = Vec::new();
    for frame in whole.map(|frame| frame.encode()) {
        // Of the long subroute id, a few places will do.
        let places = (0..frame.len()).filter(|place| *place < 24 || frame.len() - place < 6);
        cases.extend(places.map(|place| (format!("cut at {place}"), frame[..place].to_vec())));
    }
    each_ends_the_link(None, &cases).await;
}

#[tokio::test]
async fn a_wrong_checksum_ends_the_link() {
    let good = Frame::request(1, ECHO, "hello").encode();
    let mut cases = Vec::new();
    for place in 0..good.len() {
        let mut flipped = good.clone();
        flipped[place] ^= 0x10;
        // In the flags this takes nothing away but adds a bit that the checksum covers.
        cases.push((format!("byte {place} flipped"), flipped));
    }
    let none = Frame::request(1, ECHO, "hello").bare().flags(flag::CRC);
    let without = none.encode();
    for kept in 0..4 {
        cases.push((format!("{kept} bytes of checksum"), without[..without.len() - 4 + kept].to_vec()));
    }
    each_ends_the_link(None, &cases).await;
}

#[tokio::test]
async fn a_trailer_that_is_none_ends_the_link_of_a_peer_that_announced_them() {
    let behind = |bytes: &[u8]| {
        let frame = Frame { trailer: bytes.to_vec(), ..Frame::request(1, ECHO, "hello").flags(flag::TRAILER) };
        frame.encode()
    };
    let cases = [
        ("nothing", behind(b"")),
        ("no map", behind(b"\x93\x01\x02\x03")),
        ("garbage", behind(b"\xc1")),
        ("a cut map", behind(b"\x82\x02\x80")),
        ("a key that is no number", behind(b"\x81\xa1k\x80")),
        ("metadata that is no map", behind(b"\x81\x02\xa1x")),
        ("a name that is no text", behind(b"\x81\x02\x81\x01\xa1x")),
        ("a name that is not UTF-8", behind(b"\x81\x02\x81\xa1\xff\xa1x")),
        ("a trace context that is no text", behind(b"\x81\x01\x01")),
        ("a reason that is no number", behind(b"\x81\x03\xa1x")),
        ("a claim of four billion pairs", behind(b"\x81\x02\xdf\xff\xff\xff\xff")),
        ("a claim of four billion keys", behind(b"\xdf\xff\xff\xff\xff\x01")),
        ("a handler id of three bytes", Frame::request(1, 0x1_0000, "").encode()),
    ];
    each_ends_the_link(Some(15), &cases.map(|(name, message)| (name.to_owned(), message))).await;
}

#[tokio::test]
async fn what_a_go_node_takes_is_taken() {
    let vectors = Vector::of_kind("odd_accept");
    assert_eq!(vectors.len(), 11);
    for side in SIDES {
        let rig = Rig::new(side).await;
        let mut peer = rig.link().await;
        for vector in &vectors {
            eprintln!("{}", vector.name);
            peer.send_message(vector.bytes()).await;
            let decoded = vector.decoded.as_ref().expect("an accepted one was decoded");
            let number = |field: &str| decoded[field].as_u64().expect("a number");
            if number("op") == u64::from(op::REQUEST) {
                let answer = peer.recv().await;
                let mux = number("mux_id");
                let known = number("handler") == u64::from(ECHO) && number("flags") & u64::from(flag::SUBROUTE) == 0;
                match known {
                    true => {
                        let payload = unhex(decoded["payload_hex"].as_str().expect("a text"));
                        assert_eq!(
                            answer,
                            Frame { seq: u32::try_from(number("seq")).unwrap(), ..Frame::response(mux, payload) }
                        );
                    }
                    false => assert_eq!((answer.op, answer.mux), (op::MUX_CONNECT_ERROR, mux)),
                }
            }
            peer.fence().await;
        }
        rig.finish().await;
    }
}

#[tokio::test]
async fn every_frame_of_a_go_node_is_taken() {
    let vectors = Vector::of_kind("frame");
    assert_eq!(vectors.len(), 95);
    for side in SIDES {
        let rig = Rig::new(side).await;
        let mut peer = rig.link().await;
        for vector in &vectors {
            eprintln!("{}", vector.name);
            peer.send_message(vector.bytes()).await;
            // Whatever is answered: the link holds.
            peer.recv_to_fence().await;
        }
        rig.finish().await;
    }
}

#[tokio::test]
async fn a_flag_of_a_trailer_means_nothing_from_a_v1_peer() {
    let rig = Rig::new(grid_tests::raw::Side::Accepts).await;
    let mut peer = rig.link().await;
    for trailer in [&b""[..], b"\xc1", b"\x81\x02\x80"] {
        let request = Frame::request(1, ECHO, "hello").flags(flag::TRAILER);
        peer.send(&Frame { trailer: trailer.to_vec(), ..request }).await;
        assert_eq!(peer.recv().await, Frame::response(1, "hello"));
    }
    peer.fence().await;
    rig.finish().await;
}
