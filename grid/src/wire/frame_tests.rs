use super::*;

#[test]
fn the_longest_header_fits_the_room_kept_for_it() {
    let header = Header {
        mux: u64::MAX,
        seq: u32::MAX,
        deadline_ms: u32::MAX,
        handler: HandlerId::new(255, 255),
        op: Op::Unknown(255),
        flags: Flags(255),
    };
    let mut out = Vec::new();
    header.put(&mut out, usize::try_from(u32::MAX).unwrap());
    assert_eq!(out.len() + 14, PayloadBuf::HEADROOM);
}

#[test]
fn a_frame_with_all_its_tails_comes_back() {
    let trailer = Trailer { metadata: vec![("k".into(), "v".into())], ..Trailer::default() };
    let id = SubrouteId([7; 32]);
    let header = Header { handler: HandlerId::new(7, 9), ..Header::new(Op::Request, 1 << 40, Flags::CRC | Flags::EOF) };
    let encoded = PayloadBuf::copy_from(b"payload").seal(header, &trailer, Some(id));
    let frame = Frame::decode(encoded.as_bytes(), Capabilities::OWN).unwrap();
    assert_eq!((frame.payload, frame.head.mux, frame.head.handler), (&b"payload"[..], 1 << 40, HandlerId::new(7, 9)));
    assert_eq!((frame.trailer, frame.subroute), (Some(trailer), Some(id)));
}

#[test]
fn a_wide_handler_id_is_refused_from_a_v1_peer() {
    let header = Header { handler: HandlerId::new(1, 1), ..Header::new(Op::Request, 1, Flags::EOF) };
    let encoded = PayloadBuf::new().seal(header, &Trailer::default(), None);
    let overflow = DecodeError::Overflow { field: "Handler", value: 257, max: 255 };
    assert_eq!(Frame::decode(encoded.as_bytes(), Capabilities::V1), Err(overflow));
}

#[test]
fn no_cut_and_no_flipped_bit_of_a_frame_panics() {
    let trailer = Trailer { metadata: vec![("k".into(), "v".into())], ..Trailer::default() };
    let header = Header::new(Op::Request, 300, Flags::CRC | Flags::EOF);
    let encoded = PayloadBuf::copy_from(b"payload").seal(header, &trailer, Some(SubrouteId([7; 32])));
    let bytes = encoded.as_bytes();
    for cut in 0..bytes.len() {
        assert!(Frame::decode(&bytes[..cut], Capabilities::OWN).is_err(), "cut at {cut}");
    }
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let decoded = Frame::decode(&flipped, Capabilities::OWN);
        assert!(decoded.is_err() || !decoded.unwrap().head.flags.contains(Flags::CRC), "bit {bit}");
    }
}
