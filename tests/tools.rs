//! Tests of what the tests are made with: `tests/support`.

mod support;

mod transcript {
    use super::support::transcript::*;

    const SMALL: &str = "\
# Shows something.
main.cf: a_name = some = value
master.cf: chroot = y
file: access
| user@example.test REJECT
|
S: 220 hello
C: EHLO x
C: NOOP
S: 250-a
S: 250 b
C! \"abc\\r\\n\\x00\" * 2
flush
C: .
S! closed
--
client: 2001:db8::10
S: 220 hello
TLS: cert=listed max=1.2
close

L: connect from x
";

    #[test]
    fn lines_of_one_kind_belong_together() {
        let transcript = Transcript::parse("small", SMALL).unwrap();
        let steps = &transcript.sessions[0].steps;
        assert_eq!(steps[1], Step::Send(b"EHLO x\r\nNOOP\r\n".to_vec()));
        let lines = vec!["S: 250-a".to_owned(), "S: 250 b".to_owned()];
        assert_eq!(steps[2], Step::Expect { lines, line: 9 });
        assert_eq!(steps[3], Step::Send(b"abc\r\n\0abc\r\n\0".to_vec()));
        assert_eq!(steps[4], Step::Send(b".\r\n".to_vec()));
    }

    #[test]
    fn the_head_has_settings_and_files() {
        let transcript = Transcript::parse("small", SMALL).unwrap();
        assert_eq!(transcript.main_cf, [("a_name".to_owned(), "some = value".to_owned())]);
        assert_eq!(transcript.master("chroot"), Some("y"));
        assert_eq!(transcript.files[0].1, "user@example.test REJECT\n\n");
        assert_eq!(transcript.log, ["connect from x"]);
    }

    #[test]
    fn a_client_may_be_a_user() {
        let text = "client: nobody\nS: 220 hello\n--\nclient: 192.0.2.1\nS: 220 hello\n";
        let transcript = Transcript::parse("small", text).unwrap();
        let users = transcript.sessions.iter().map(|session| session.user.as_deref());
        assert_eq!(users.collect::<Vec<_>>(), [Some("nobody"), None]);
        assert!(Transcript::parse("bad", "client: 192.0.2\n").is_err());
    }

    #[test]
    fn others_may_stand_in_front() {
        use crate::support::front::Front;
        let text = |front: &str| format!("master.cf: front = {front}\nS: 220 hello\n");
        let transcript = |front: &str| Transcript::parse("small", &text(front)).unwrap();
        let haproxy = transcript("haproxy send-proxy");
        assert!(matches!(Front::of(&haproxy), Some(Front::HaProxy("send-proxy"))));
        let postscreen = transcript("postscreen");
        assert!(matches!(Front::of(&postscreen), Some(Front::Postscreen(""))));
        assert!(Front::of(&Transcript::parse("small", SMALL).unwrap()).is_none());
    }

    #[test]
    fn each_session_may_come_from_another_client() {
        let transcript = Transcript::parse("small", SMALL).unwrap();
        assert_eq!(transcript.sessions.len(), 2);
        assert_eq!(transcript.sessions[0].client, USUAL_CLIENT);
        assert_eq!(transcript.sessions[1].client.to_string(), "2001:db8::10");
        let Step::Tls(tls) = &transcript.sessions[1].steps[1] else { panic!("no TLS step") };
        assert_eq!((tls.cert.as_deref(), tls.max.as_deref()), (Some("listed"), Some("1.2")));
    }

    #[test]
    fn a_line_of_no_known_kind_is_refused_with_its_number() {
        let bad = Transcript::parse("bad", "S: 220 x\nD: y\n").unwrap_err();
        assert_eq!(bad.line, 2);
    }

    #[test]
    fn what_is_not_printable_is_shown_escaped() {
        assert_eq!(show(b"a\x00\xff\xc3\xa9"), "a\\x00\\xff\u{e9}");
    }
}

mod mask {
    use super::support::mask::*;

    #[test]
    fn times_ports_and_ids_are_masked() {
        let mask = Mask::new().unwrap();
        let ids = ["4fGk1S0bzXz".to_owned()];
        let line = "id 4fGk1S0bzXz; Mon, 23 Nov 2026 17:00:00 +0000 (UTC)";
        assert_eq!(mask.line(line, &ids, &[]), "id QUEUE-ID; DATE");
        assert_eq!(mask.line("x[192.0.2.1]:40000: y", &[], &[]), "x[192.0.2.1]:PORT: y");
    }

    #[test]
    fn a_port_is_masked_where_it_is_a_number_of_its_own() {
        let mask = Mask::new().unwrap();
        let ids = ["32B9200458".to_owned()];
        let words = [("20045".to_owned(), "PORT".to_owned())];
        let masked = |line| mask.line(line, &ids, &words);
        assert_eq!(masked("32B9200458: client=x"), "QUEUE-ID: client=x");
        assert_eq!(masked("x[192.0.2.1]:20045: 120045"), "x[192.0.2.1]:PORT: 120045");
    }

    #[test]
    fn a_queue_id_is_found_in_replies_and_log_lines() {
        let mask = Mask::new().unwrap();
        assert_eq!(mask.queue_id("S: 250 2.0.0 Ok: queued as ABCDEF12"), Some("ABCDEF12"));
        assert_eq!(mask.queue_id("ABCDEF12: client=x[192.0.2.1]"), Some("ABCDEF12"));
        assert_eq!(mask.queue_id("S: 250 2.1.0 Ok"), None);
    }
}

mod compare {
    use super::support::compare::*;

    fn lines(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn only_what_one_side_has_is_a_difference() {
        assert_eq!(difference(&lines("a b c"), &lines("a x c d")), ["- b", "+ x", "+ d"]);
        assert!(difference(&lines("a b"), &lines("a b")).is_empty());
    }

    #[test]
    fn wanted_lines_may_have_others_between_but_keep_their_order() {
        assert_eq!(first_missing(&lines("a c"), &lines("a b c")), None);
        let wanted = lines("c a");
        assert_eq!(first_missing(&wanted, &lines("a b c")), Some(&"a".to_owned()));
    }

    #[test]
    fn a_known_difference_needs_a_reason() {
        assert!(Known::parse("[x]\n- S: a\n").is_err());
        let known = Known::parse("[x]\nBecause.\n- S: a\n+ S: b\n").unwrap();
        assert_eq!(known.of("x").unwrap().lines, ["- S: a", "+ S: b"]);
        let mended = "[x]\nBecause.\nmended: 3.7.22 3.10.13\n- S: a\n";
        let there = |release| Known::parse(mended).unwrap().beside(release).of("x").is_some();
        for release in ["3.7.11", "3.7.21", "3.10.9", "3.8.30"] {
            assert!(there(release), "{release}");
        }
        for release in ["3.7.22", "3.10.13", "3.11.0", "3.12-20260821"] {
            assert!(!there(release), "{release}");
        }
    }
}

mod dns {
    use super::support::dns::*;

    fn ask(name: &str, kind: u16) -> Vec<u8> {
        let mut question = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        question.extend(encode_name(name));
        question.extend([0, kind as u8, 0, 1]);
        Zone::parse(ZONE).answer(&question).expect("an answer")
    }

    #[test]
    fn an_alias_is_followed() {
        let answer = ask("cname.test", 1);
        assert_eq!(answer[7], 2);
        assert!(answer.ends_with(&[192, 0, 2, 80]));
    }

    #[test]
    fn a_name_that_is_nowhere_and_one_that_fails_differ() {
        assert_eq!(ask("nowhere.test", 1)[3] & 15, 3);
        assert_eq!(ask("servfail.test", 1)[3] & 15, 2);
        assert_eq!(ask("aonly.test", 15)[3] & 15, 0);
    }
}
