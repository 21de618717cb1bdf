//! One question before servers that answer, fail, or stay silent.

use super::*;
use hickory_proto::op::ResponseCode;
use std::net::Ipv4Addr;

const SERVFAIL: Reply = Reply::Failed(Failure::Code(ResponseCode::ServFail));
const REFUSED: Reply = Reply::Failed(Failure::Code(ResponseCode::Refused));
const SILENCE: Reply = Reply::Failed(Failure::Timeout);
const NO: Reply = Reply::Absent {
    absence: Absence::NoName,
    ttl: None,
};

fn yes() -> Reply {
    Reply::Addresses {
        addresses: vec![Ipv4Addr::LOCALHOST.into()],
        ttl: Duration::from_secs(60),
    }
}

/// Puts the question to servers that reply like this each time; gives the servers asked, and the verdict.
fn ask(mut question: Question, replies: &[Reply]) -> (Vec<usize>, Verdict) {
    let mut asked = Vec::new();
    while let Some(server) = question.server() {
        asked.push(server);
        if let Some(verdict) = question.heard(replies[server].clone()) {
            return (asked, verdict);
        }
    }
    panic!("{asked:?}: no verdict")
}

#[track_caller]
fn check(cautious: bool, replies: &[Reply], order: &[usize], asked: &[usize], expected: &str) {
    let (really, verdict) = ask(Question::new(order, 2, cautious), replies);
    let verdict = match verdict {
        Verdict::Addresses { .. } => "addresses".to_owned(),
        Verdict::Failed => "failed".to_owned(),
        Verdict::Absent { server, sure, .. } => format!("{}no from {server}", if sure { "" } else { "doubtful " }),
    };
    assert_eq!((really.as_slice(), verdict.as_str()), (asked, expected));
}

#[test]
fn error_codes_and_silence_move_on_to_the_next_server() {
    for failure in [
        SERVFAIL,
        REFUSED,
        Reply::Failed(Failure::Code(ResponseCode::NotImp)),
        Reply::Failed(Failure::Code(ResponseCode::FormErr)),
        Reply::Failed(Failure::Malformed),
        Reply::Failed(Failure::Referral),
        SILENCE,
        Reply::Failed(Failure::Unreachable(std::io::ErrorKind::ConnectionRefused)),
    ] {
        check(false, &[failure, yes()], &[0, 1], &[0, 1], "addresses");
    }
    check(false, &[yes(), SERVFAIL], &[0, 1], &[0], "addresses");
}

#[test]
fn only_silent_servers_are_asked_again() {
    check(false, &[SERVFAIL, SILENCE], &[0, 1], &[0, 1, 1], "failed");
    check(false, &[SILENCE, SILENCE], &[1, 0], &[1, 0, 0, 1], "failed");
    check(false, &[REFUSED, SERVFAIL], &[0, 1], &[0, 1], "failed");
}

#[test]
fn the_first_servers_no_is_enough() {
    for cautious in [false, true] {
        check(cautious, &[NO, yes()], &[0, 1], &[0], "no from 0");
        check(cautious, &[REFUSED, NO], &[0, 1], &[0, 1], "no from 1");
    }
}

#[test]
fn with_something_to_lose_a_no_waits_for_the_servers_before() {
    // The first one is asked last because it was silent of late, and it knows better.
    check(true, &[yes(), NO], &[1, 0], &[1, 0], "addresses");
    check(true, &[NO, NO], &[1, 0], &[1, 0], "no from 0");
    check(
        true,
        &[SILENCE, NO, yes()],
        &[0, 1, 2],
        &[0, 1, 0],
        "doubtful no from 1",
    );
    check(true, &[SERVFAIL, NO], &[0, 1], &[0, 1], "doubtful no from 1");
}

#[test]
fn with_nothing_to_lose_any_no_is_taken() {
    check(false, &[SILENCE, NO], &[0, 1], &[0, 1], "doubtful no from 1");
    check(false, &[yes(), NO], &[1, 0], &[1], "doubtful no from 1");
}

#[test]
fn what_failed_is_told_of_each_server() {
    let mut question = Question::new(&[0, 1], 2, false);
    for reply in [SERVFAIL, SILENCE] {
        assert_eq!(question.heard(reply), None);
    }
    assert_eq!(question.heard(REFUSED), Some(Verdict::Failed));
    assert_eq!(
        question.failures(),
        [
            (0, Failure::Code(ResponseCode::ServFail)),
            (1, Failure::Code(ResponseCode::Refused))
        ]
    );
}
