//! Which clients have a place, which give it up, and what all of them may cost together.

use super::*;

#[test]
fn strangers_cannot_lock_out_the_operator() {
    let mut scene = scene();
    let mut streams = Vec::new();
    let mut connect = |scene: &mut Scene, trusted: bool| {
        let (stream, id) = scene.try_connect(trusted);
        streams.push(stream);
        id
    };
    // Workers, say, which run as herder's user.
    for _ in 0..WORDS.clients * 2 {
        assert!(connect(&mut scene, false).is_some(), "the newest is let in");
    }
    assert_eq!(
        scene.server.clients.len(),
        WORDS.clients - WORDS.reserved,
        "in place of the oldest"
    );
    let operators: Vec<ClientId> =
        (0..WORDS.reserved).flat_map(|_| connect(&mut scene, true)).collect();
    assert_eq!((operators.len(), scene.server.clients.len()), (WORDS.reserved, WORDS.clients));
    for _ in 0..WORDS.clients {
        connect(&mut scene, false);
    }
    assert!(operators.iter().all(|&id| scene.server.has(id)), "no stranger costs them theirs");
}

/// Neither by being silent, nor by not reading what they are answered.
#[test]
fn a_stranger_with_many_places_keeps_no_other_out() {
    let mut scene = scene();
    let mut greedy = Vec::new();
    for _ in 0..WORDS.clients - WORDS.reserved {
        let (mut stream, id) = scene.try_connect(false);
        let id = id.unwrap();
        stream.write_all(b"status\0").unwrap();
        assert_eq!(scene.turn(START).len(), 1);
        // More than the socket takes, and the client does not read it.
        scene.server.send(id, &vec![b'x'; 1 << 20], START);
        greedy.push((stream, id));
    }
    let (_other, id) = scene.try_connect(false);
    assert!(id.is_some());
    assert!(!scene.server.has(greedy[0].1), "the one that has stalled longest");
    assert_eq!(scene.server.clients.len(), WORDS.clients - WORDS.reserved);
}

/// A client that takes its time to read is let be while there are others that do nothing.
#[test]
fn a_silent_client_gives_way_before_one_that_reads() {
    let mut scene = scene();
    let mut streams = vec![scene.call()];
    let reading = streams[0].1;
    scene.server.send(reading, &vec![b'x'; 1 << 20], START);
    streams.extend((1..WORDS.clients).map(|_| scene.connect()));
    streams.push(scene.connect());
    assert!(scene.server.has(reading));
    assert!(!scene.server.has(streams[1].1));
}

#[test]
fn one_client_too_many_takes_the_place_of_one_that_waits_for_nothing_and_numbers_are_not_used_again()
 {
    let mut scene = scene();
    let mut streams = Vec::new();
    for number in 0..WORDS.clients {
        let (stream, id) = scene.connect();
        assert_eq!(id, ClientId(number as u64));
        streams.push(stream);
    }
    // Number 1 has been silent longest: 0 waits for its answer.
    streams[0].write_all(b"reload\0").unwrap();
    assert_eq!(scene.turn(START).len(), 1);
    let (stream, _) = scene.connect();
    assert!(is_closed(&mut streams.remove(1)));
    streams.push(stream);

    for stream in &mut streams[1..] {
        stream.write_all(b"reload\0").unwrap();
    }
    let mut calls = 0;
    while scene.server.deadline() == Some(Duration::ZERO) || calls == 0 {
        let taken = scene.turn(START).len();
        assert!(taken <= WORDS.requests_per_turn);
        calls += taken;
    }
    assert_eq!(calls, WORDS.clients - 1);
    let (mut refused, id) = scene.try_connect(true);
    assert_eq!(id, None);
    assert!(is_closed(&mut refused));
    drop(streams.pop());
    scene.turn(START);
    let (_stream, id) = scene.connect();
    assert_eq!(id, ClientId(WORDS.clients as u64 + 1));
}

/// As many as there can be, each in the middle of a state of its own.
#[test]
fn clients_that_do_not_read_cost_no_more_than_a_bound_and_strangers_make_way() {
    let mut scene = scene();
    let state =
        |number: usize| -> Arc<[u8]> { vec![u8::try_from(number).unwrap(); 1 << 20].into() };
    let watch = |scene: &mut Scene, trusted: bool| {
        let (mut stream, id) = scene.try_connect(trusted);
        let id = id.unwrap();
        stream.write_all(b"watch\0").unwrap();
        assert_eq!(scene.turn(START), [(id, "watch".to_owned())]);
        scene.server.make_endless(id);
        (stream, id)
    };
    let operator = watch(&mut scene, true);
    let strangers: Vec<_> = (1..=40).map(|_| watch(&mut scene, false)).collect();
    for (number, (_, id)) in std::iter::once(&operator).chain(&strangers).enumerate() {
        let now = START + Duration::from_millis(number as u64);
        scene.server.send_newest(*id, &state(number), now);
        scene.server.expire(now);
        assert!(scene.server.unread() <= UNREAD);
    }
    let stays = |scene: &Scene, id: ClientId| scene.server.has(id);
    assert!(stays(&scene, operator.1), "though it has stalled longest");
    let left = strangers.iter().filter(|(_, id)| stays(&scene, *id)).count();
    assert_eq!(left, (UNREAD >> 20) - 1);
    assert!(strangers[40 - left..].iter().all(|(_, id)| stays(&scene, *id)), "the slowest went");

    // What all of them are told is stored once, and so costs none of them its place.
    let newest = state(200);
    for (_, id) in &strangers[40 - left + 1..] {
        scene.server.send_newest(*id, &newest, START);
    }
    scene.server.expire(START);
    let gone = (0..left).filter(|n| !stays(&scene, strangers[40 - left + n].1)).count();
    assert_eq!(gone, 1, "it made way for the newest");

    // The last is served, whatever it takes.
    let mut scene = self::scene();
    let (_stream, id) = watch(&mut scene, false);
    scene.server.send_newest(id, &vec![0; 2 * UNREAD].into(), START);
    scene.server.expire(START);
    assert!(stays(&scene, id));
}

#[test]
fn a_client_with_an_endless_request_gives_way_to_a_newcomer() {
    let mut scene = scene();
    let mut streams = Vec::new();
    for _ in 0..WORDS.clients {
        let (stream, id) = scene.call();
        scene.server.make_endless(id);
        streams.push(stream);
    }
    let (_stream, _) = scene.connect();
    assert!(is_closed(&mut streams[0]));
    assert_eq!(scene.server.clients.len(), WORDS.clients);
}
