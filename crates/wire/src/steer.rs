//! Programs that choose which accept queue of a group a new connection goes to: classic BPF (bpf(4),
//! linux/filter.h), as `SO_ATTACH_REUSEPORT_CBPF` of socket(7) takes it. Needs no privilege.
//!
//! Instructions only; `linux::steer` puts them on a group. The kernel runs a program for every new
//! connection, or datagram, and takes what it returns for the index of a socket in the group.
//!
//! The one non-obvious fact: what a program returns has to be right for a whole connection only where
//! there are no connections. TCP asks once, so there chance decides, which is uniform and which no
//! client can aim at. UDP asks for each datagram, and all datagrams of one sender should arrive at one worker: there a
//! hash of the sender's address decides, and only senders whose queue is closed are moved.

/// `struct sock_filter`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// What to do.
    pub code: u16,
    /// How many instructions to skip if a comparison holds.
    pub jt: u8,
    /// And if it does not.
    pub jf: u8,
    /// The operand.
    pub k: u32,
}

/// By what a queue is chosen among those that are open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// By chance: every connection anew.
    Random,
    /// By a hash of the sender's address and port, made unpredictable by this number.
    Sender(u64),
}

/// Codes of linux/bpf_common.h, put together; A is the accumulator, X the index register.
const LOAD_WORD: u16 = 0x20; // A = packet[k], four bytes
const LOAD_BYTE: u16 = 0x30; // A = packet[k]
const LOAD_WORD_AT_X: u16 = 0x40; // A = packet[X + k]
const LOAD_MEMORY: u16 = 0x60; // A = M[k]
const STORE_MEMORY: u16 = 0x02; // M[k] = A
const SET_X: u16 = 0x01; // X = k
const A_TO_X: u16 = 0x07;
const ADD: u16 = 0x04;
const ADD_X: u16 = 0x0c;
const MULTIPLY: u16 = 0x24;
const DIVIDE: u16 = 0x34;
const AND: u16 = 0x54;
const SHIFT_LEFT: u16 = 0x64;
const SHIFT_RIGHT: u16 = 0x74;
const MODULO: u16 = 0x94;
const XOR: u16 = 0xa4;
const XOR_X: u16 = 0xac;
const JUMP: u16 = 0x05;
const IF_EQUAL: u16 = 0x15;
const IF_AT_LEAST: u16 = 0x35;
const RETURN: u16 = 0x06; // k
const RETURN_A: u16 = 0x16;

/// `SKF_AD_OFF + SKF_AD_RANDOM`: a random number in place of the packet.
const RANDOM: u32 = 0xffff_f000 + 56;

/// `SKF_NET_OFF`: the packet from its IP header on. Its beginning, for these programs, is behind the headers.
const IP: u32 = 0xfff0_0000;

/// Where an IPv6 header ends, and where in it are the last words of the sender's network and host; where
/// an IPv4 header has the sender.
const IPV6_END: u32 = 40;
const IPV6_NETWORK: u32 = 12;
const IPV6_HOST: u32 = 20;
const IPV4_SENDER: u32 = 12;

/// Where in `M` the hash is kept.
const HASH: u32 = 0;

/// The program for a group of as many queues as there are in `open`, which says of each whether it may
/// get something new. `None` where the kernel's own hash does as well: where all are open, and where
/// none is, since whatever comes has to wait somewhere.
pub fn program(choice: Choice, open: &[bool]) -> Option<Vec<Instruction>> {
    let opened = open.iter().filter(|open| **open).count();
    let closed = open.len() - opened;
    let mut program = match choice {
        _ if opened == 0 => return None,
        Choice::Random if closed == 0 => return None,
        Choice::Random => vec![step(LOAD_WORD, RANDOM)],
        Choice::Sender(key) => {
            let mut program = hash_of_sender(key);
            program.push(step(STORE_MEMORY, HASH));
            program.extend(stay_if_open(open));
            // What is left of the hash after its remainder was of no use.
            program.push(step(LOAD_MEMORY, HASH));
            program.push(step(DIVIDE, number(open.len())));
            program
        }
    };
    program.extend(spread(open, opened, closed));
    Some(program)
}

/// From A, any number, to one of the open queues.
fn spread(open: &[bool], opened: usize, closed: usize) -> Vec<Instruction> {
    let mut program = vec![step(MODULO, number(opened))];
    if closed <= opened {
        // The nth open queue: past every closed one on the way there.
        for queue in which(open, false) {
            program.extend([jump(IF_AT_LEAST, queue, 0, 1), step(ADD, 1)]);
        }
        program.push(step(RETURN_A, 0));
    } else {
        let mut last = 0;
        for (nth, queue) in which(open, true).enumerate() {
            program.extend([jump(IF_EQUAL, number(nth), 0, 1), step(RETURN, queue)]);
            last = queue;
        }
        program.push(step(RETURN, last));
    }
    program
}

/// Returns the queue that A stands for if that is open, and else goes on.
fn stay_if_open(open: &[bool]) -> Vec<Instruction> {
    let mut program = vec![step(MODULO, number(open.len()))];
    let closed = which(open, false).count();
    if closed <= open.len() - closed {
        // Each comparison that holds jumps over all that follow, and over the return behind them.
        for (nth, queue) in which(open, false).enumerate() {
            let rest = 2 * (closed - nth) - 1;
            program.extend([jump(IF_EQUAL, queue, 0, 1), step(JUMP, number(rest))]);
        }
        program.push(step(RETURN_A, 0));
    } else {
        for queue in which(open, true) {
            program.extend([jump(IF_EQUAL, queue, 0, 1), step(RETURN_A, 0)]);
        }
    }
    program
}

/// A = a hash of the sender's address and port.
fn hash_of_sender(key: u64) -> Vec<Instruction> {
    let [low, high] = [key as u32, (key >> 32) as u32];
    let ipv6 = [
        step(LOAD_WORD, IP + IPV6_NETWORK),
        step(MULTIPLY, low | 1),
        step(A_TO_X, 0),
        step(LOAD_WORD, IP + IPV6_HOST),
        step(XOR_X, 0),
        step(STORE_MEMORY, HASH),
        step(SET_X, IPV6_END),
    ];
    // The length of an IPv4 header is in its first byte, in words.
    let ipv4 = [
        step(LOAD_WORD, IP + IPV4_SENDER),
        step(STORE_MEMORY, HASH),
        step(LOAD_BYTE, IP),
        step(AND, 0x0f),
        step(SHIFT_LEFT, 2),
        step(A_TO_X, 0),
    ];
    let mut program =
        vec![step(LOAD_BYTE, IP), step(SHIFT_RIGHT, 4), jump(IF_EQUAL, 6, 0, ipv6.len() as u8 + 1)];
    program.extend(ipv6);
    program.push(step(JUMP, number(ipv4.len())));
    program.extend(ipv4);
    // Behind that header are the two ports, the sender's first.
    program.extend([
        step(LOAD_WORD_AT_X, IP),
        step(SHIFT_RIGHT, 16),
        step(A_TO_X, 0),
        step(LOAD_MEMORY, HASH),
        step(XOR, high),
        step(MULTIPLY, 0x9e37_79b1),
        step(ADD_X, 0),
    ]);
    for (shift, factor) in [(16, 0x85eb_ca6b), (13, 0xc2b2_ae35), (16, low | 1), (15, 1)] {
        program.extend(mix(shift, factor));
    }
    program
}

/// `A = (A ^ A >> shift) * factor`: every bit comes to count for the others.
fn mix(shift: u32, factor: u32) -> [Instruction; 6] {
    [
        step(STORE_MEMORY, HASH),
        step(SHIFT_RIGHT, shift),
        step(A_TO_X, 0),
        step(LOAD_MEMORY, HASH),
        step(XOR_X, 0),
        step(MULTIPLY, factor),
    ]
}

/// The queues that are open, or those that are not, by number.
fn which(queues: &[bool], open: bool) -> impl Iterator<Item = u32> {
    (0..).zip(queues).filter(move |(_, its)| **its == open).map(|(number, _)| number)
}

const fn step(code: u16, k: u32) -> Instruction {
    Instruction { code, jt: 0, jf: 0, k }
}

const fn jump(code: u16, k: u32, jt: u8, jf: u8) -> Instruction {
    Instruction { code, jt, jf, k }
}

fn number(of: usize) -> u32 {
    u32::try_from(of).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANDOM_WORD: Instruction = step(LOAD_WORD, RANDOM);

    #[test]
    fn where_the_kernels_hash_does_as_well_there_is_no_program() {
        assert_eq!(program(Choice::Random, &[true; 4]), None);
        for choice in [Choice::Random, Choice::Sender(7)] {
            assert_eq!(program(choice, &[false; 4]), None);
            assert_eq!(program(choice, &[]), None);
        }
    }

    #[test]
    fn few_closed_queues_are_passed_over() {
        assert_eq!(
            program(Choice::Random, &[true, false, true, true, false]).unwrap(),
            [
                RANDOM_WORD,
                step(MODULO, 3),
                // 0, 1, 2 become 0, 2, 3.
                jump(IF_AT_LEAST, 1, 0, 1),
                step(ADD, 1),
                jump(IF_AT_LEAST, 4, 0, 1),
                step(ADD, 1),
                step(RETURN_A, 0),
            ]
        );
    }

    #[test]
    fn few_open_queues_are_named() {
        assert_eq!(
            program(Choice::Random, &[false, true, false, false, true]).unwrap(),
            [
                RANDOM_WORD,
                step(MODULO, 2),
                jump(IF_EQUAL, 0, 0, 1),
                step(RETURN, 1),
                jump(IF_EQUAL, 1, 0, 1),
                step(RETURN, 4),
                step(RETURN, 4),
            ]
        );
    }

    #[test]
    fn a_sender_stays_where_it_is_unless_that_is_closed() {
        let all = program(Choice::Sender(7), &[true; 3]).unwrap();
        let one = program(Choice::Sender(7), &[true, false, true]).unwrap();
        let hash = hash_of_sender(7).len();
        assert_eq!(all[..hash], one[..hash]);
        assert_eq!(
            all[hash..hash + 3],
            [step(STORE_MEMORY, HASH), step(MODULO, 3), step(RETURN_A, 0)]
        );
        assert_eq!(
            one[hash..],
            [
                step(STORE_MEMORY, HASH),
                step(MODULO, 3),
                jump(IF_EQUAL, 1, 0, 1),
                step(JUMP, 1),
                step(RETURN_A, 0),
                step(LOAD_MEMORY, HASH),
                step(DIVIDE, 3),
                step(MODULO, 2),
                jump(IF_AT_LEAST, 1, 0, 1),
                step(ADD, 1),
                step(RETURN_A, 0),
            ]
        );
    }

    /// linux/bpf_common.h: no more than 4096; and half of the queues are the worst.
    #[test]
    fn the_largest_groups_fit() {
        let half: Vec<bool> = (0..2000).map(|queue| queue % 2 == 0).collect();
        assert_eq!(program(Choice::Random, &half).unwrap().len(), 2003);
        assert!(program(Choice::Sender(1), &half).unwrap().len() < 4096);
    }
}
