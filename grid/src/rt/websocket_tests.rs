use super::*;

const BINARY: OpCode = OpCode::Data(Data::Binary);

fn frame(opcode: OpCode, masks: Masks, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_frame(&mut out, opcode, masks, payload.len(), |out| out.extend_from_slice(payload));
    out
}

fn inbox(bytes: &[u8], masks: Masks) -> Inbox {
    Inbox::new(BytesMut::from(bytes), masks, 1 << 20)
}

/// Of a link on which much comes.
fn busy() -> Inbox {
    let mut inbox = inbox(&[], Masks::No);
    (0..10).for_each(|_| inbox.on_read(READ_BYTES_MAX, READ_BYTES_MAX));
    inbox
}

#[test]
fn a_frame_comes_back_at_every_length_and_in_every_cut() {
    for masks in [Masks::Yes, Masks::No] {
        for len in [0, 1, 7, 8, 125, 126, 300, 65_535, 65_536] {
            let payload = vec![0xa5; len];
            let bytes = frame(BINARY, masks, &payload);
            let mut inbox = inbox(&[], masks);
            let cut = bytes.len().min(20);
            for byte in &bytes[..cut] {
                assert_eq!(inbox.next(), Ok(None));
                inbox.bytes.extend_from_slice(&[*byte]);
            }
            inbox.bytes.extend_from_slice(&bytes[cut..]);
            assert_eq!(inbox.next(), Ok(Some(Received::Message(Bytes::from(payload).into()))), "{len} bytes");
            assert_eq!(inbox.next(), Ok(None));
        }
    }
}

#[test]
fn fragments_become_one_message_with_control_frames_between_them() {
    let mut bytes = vec![0x02, 2, b'a', b'b'];
    bytes.extend([0x89, 1, b'p']);
    bytes.extend([0x00, 1, b'c']);
    bytes.extend([0x80, 0x7e, 0, 1, b'd']);
    let mut inbox = inbox(&bytes, Masks::No);
    assert_eq!(inbox.next(), Ok(Some(Received::Nothing)));
    assert_eq!(inbox.next(), Ok(Some(Received::Ping("p".into()))));
    assert_eq!(inbox.next(), Ok(Some(Received::Nothing)));
    assert_eq!(inbox.next(), Ok(Some(Received::Message(Bytes::from("abcd").into()))));
}

#[test]
fn what_must_not_be_sent_is_an_error() {
    let cases: [(&[u8], &str); 11] = [
        (&[0xc2, 0], "a reserved bit is set"),
        (&[0x82, 0x80, 0, 0, 0, 0], "a frame is masked"),
        (&[0x80, 0], "a continuation of nothing"),
        (&[0x02, 0, 0x82, 0], "a message begins inside another"),
        (&[0x01, 0, 0x82, 0], "a message begins inside another"),
        (&[0x09, 0], "a control frame is fragmented"),
        (&[0x89, 0x7e, 0, 126], "a control frame is longer than 125 bytes"),
        (&[0x88, 1, 3], "half of a close code"),
        (&[0x82, 0x7f, 0, 0, 0, 0, 0, 0x10, 0, 1], "beyond message_bytes_max, which is 1048576"),
        (&[0x02, 1, b'a', 0x80, 0x7f, 0, 0, 0, 0, 0, 0x10, 0, 0], "beyond message_bytes_max, which is 1048576"),
        (&[0x82, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "beyond message_bytes_max"),
    ];
    for (bytes, wanted) in cases {
        let mut inbox = inbox(bytes, Masks::No);
        let error = std::iter::from_fn(|| inbox.next().transpose()).find_map(Result::err).expect("an error");
        assert!(error.to_string().contains(wanted), "{bytes:02x?}: {error}");
    }
    assert!(inbox(&[0x83, 0], Masks::No).next().is_err(), "a reserved opcode");
    assert!(inbox(&[0x82, 0], Masks::Yes).next().is_err(), "not masked");
}

#[test]
fn a_frame_that_is_announced_takes_little_memory() {
    let mut inbox = inbox(&[0x82, 0x7f, 0, 0, 0, 0, 0, 0x10, 0, 0], Masks::No);
    assert_eq!(inbox.next(), Ok(None));
    inbox.reserve();
    assert!(inbox.bytes.capacity() <= FRAME_AT_ONCE);
}

#[test]
fn a_large_frame_that_comes_byte_by_byte_is_copied_a_few_times_and_no_more() {
    const LEN: usize = 1 << 20;
    let mut inbox = inbox(&frame(BINARY, Masks::No, &vec![1; LEN])[..HEADER_MAX], Masks::No);
    let (mut copied, mut before) = (0, inbox.bytes.as_ptr());
    let message = loop {
        if let Some(message) = inbox.next().unwrap() {
            break message;
        }
        inbox.reserve();
        if inbox.bytes.as_ptr() != before {
            (copied, before) = (copied + inbox.bytes.len(), inbox.bytes.as_ptr());
        }
        // Byte by byte where memory ends, as it is there that each would be a copy.
        let room = inbox.bytes.capacity() - inbox.bytes.len();
        let come = (room / 2).clamp(1, 1 << 10);
        inbox.bytes.extend_from_slice(&vec![1; come]);
    };
    assert!(matches!(message, Received::Message(message) if message.bytes().len() == LEN));
    assert!(copied < 2 * LEN, "{copied} bytes");
}

#[test]
fn a_frame_as_long_as_one_that_came_is_given_its_memory_at_once() {
    let mut inbox = inbox(&frame(BINARY, Masks::No, &[1; 1 << 20]), Masks::No);
    assert!(matches!(inbox.next(), Ok(Some(Received::Message(_)))));
    inbox.bytes.extend_from_slice(&[0x82, 0x7f, 0, 0, 0, 0, 0, 0x10, 0, 0]);
    assert_eq!(inbox.next(), Ok(None));
    inbox.reserve();
    assert!(inbox.bytes.capacity() >= 1 << 20);
}

#[test]
fn a_busy_link_reads_much_at_once_and_an_idle_one_keeps_little() {
    let mut inbox = inbox(&[], Masks::No);
    inbox.reserve();
    assert!(inbox.bytes.capacity() <= READ_BYTES_MIN);
    (0..10).for_each(|_| inbox.on_read(READ_BYTES_MAX, READ_BYTES_MAX));
    inbox.reserve();
    assert_eq!(inbox.bytes.capacity(), READ_BYTES_MAX);
    inbox.bytes.extend_from_slice(&[0; READ_BYTES_MAX]);
    let (memory, message) = (inbox.bytes.as_ptr(), inbox.bytes.split().freeze());
    inbox.reserve();
    assert_ne!(inbox.bytes.as_ptr(), memory, "a message is in there");
    drop(message);
    inbox.bytes.extend_from_slice(&[0; READ_BYTES_MAX]);
    inbox.bytes.clear();
    let _message = std::mem::replace(&mut inbox.bytes, BytesMut::new());
    inbox.reserve();
    assert_eq!(inbox.bytes.as_ptr(), memory, "it is used again");
    inbox.shrink();
    inbox.reserve();
    assert!(inbox.bytes.capacity() <= READ_BYTES_MIN);
}

#[test]
fn a_payload_that_came_beside_a_large_frame_does_not_keep_its_memory() {
    const SOME: usize = 20 << 10;
    let is_shared = |large: usize| {
        let mut inbox = busy();
        let mut bytes = frame(BINARY, Masks::No, &vec![1; large]);
        bytes.extend(frame(BINARY, Masks::No, &[2; SOME]));
        let mut last = None;
        while !bytes.is_empty() {
            inbox.reserve();
            let room = inbox.bytes.capacity() - inbox.bytes.len();
            inbox.bytes.extend(bytes.drain(..room.min(bytes.len())));
            while let Some(received) = inbox.next().unwrap() {
                last = Some(received);
            }
        }
        let Some(Received::Message(message)) = last else { panic!("it is whole") };
        assert_eq!(message.bytes().len(), SOME);
        message.keep(message.bytes()).as_ptr() == message.bytes().as_ptr()
    };
    assert!(is_shared(SOME), "of a read of 64 KiB");
    assert!(!is_shared(100 << 10), "of what a frame of 100 KiB needs");
}

#[test]
fn a_close_is_its_code() {
    assert_eq!(inbox(&[0x88, 0], Masks::No).next(), Ok(Some(Received::Close(Bytes::new()))));
    let with_reason = [0x88, 5, 0x03, 0xe8, b'b', b'y', b'e'];
    assert_eq!(inbox(&with_reason, Masks::No).next(), Ok(Some(Received::Close(Bytes::from_static(&[0x03, 0xe8])))));
}

#[test]
fn masking_is_byte_by_byte_at_every_length() {
    for len in 0..40_u8 {
        let bytes: Vec<u8> = (0..len).collect();
        let mut masked = bytes.clone();
        apply_mask(&mut masked, [1, 2, 3, 4]);
        let one_by_one: Vec<u8> = bytes.iter().zip([1, 2, 3, 4].iter().cycle()).map(|(b, m)| b ^ m).collect();
        assert_eq!(masked, one_by_one);
    }
}
