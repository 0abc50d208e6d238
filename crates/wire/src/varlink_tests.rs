//! Messages as others send them.

use super::*;

const INFO: Info<'_> = Info {
    vendor: "v",
    product: "p",
    version: "1",
    url: "u",
    interfaces: &[("a.b", "interface a.b\n")],
};

fn call(text: &str) -> Outcome {
    let request = Request::parse(text.as_bytes()).unwrap();
    read(&answer_service(&request, &INFO))
}

fn read(message: &[u8]) -> Outcome {
    assert_eq!(message.last(), Some(&0));
    Outcome::parse(&message[..message.len() - 1]).unwrap()
}

#[test]
fn messages_come_out_however_the_bytes_came_in() {
    let stream = b"{}\0\0{\"a\":1}\0rest";
    for chunk in 1..stream.len() {
        let mut frames = Frames::new(16);
        let mut messages = Vec::new();
        for bytes in stream.chunks(chunk) {
            frames.push(bytes);
            while let Some(message) = frames.next_message().unwrap() {
                messages.push(message);
            }
        }
        assert_eq!(messages, [b"{}".to_vec(), Vec::new(), b"{\"a\":1}".to_vec()]);
        assert!(!frames.is_empty() && !frames.has_next());
    }
}

#[test]
fn a_message_may_be_as_long_as_the_limit_and_no_longer() {
    let mut frames = Frames::new(4);
    frames.push(b"1234");
    assert_eq!(frames.next_message(), Ok(None));
    frames.push(b"\0");
    assert_eq!(frames.next_message(), Ok(Some(b"1234".to_vec())));
    frames.push(b"12345");
    assert!(frames.has_next());
    assert_eq!(frames.next_message(), Err(TooLong));
    frames.push(b"\0");
    assert_eq!(frames.next_message(), Err(TooLong));
}

#[test]
fn a_call_is_an_object_with_a_method() {
    for text in
        ["", "1", "[]", "{}", "{\"method\":1}", "{\"method\":\"a.b\",\"parameters\":[]}", "\u{7f}"]
    {
        assert_eq!(Request::parse(text.as_bytes()), None, "{text:?}");
    }
    let call = Request::parse(br#"{"method":"a.b.C","parameters":null,"oneway":true,"new":1}"#);
    let call = call.unwrap();
    assert_eq!(call.split(), ("a.b", "C"));
    assert!(call.oneway && !call.more && call.parameters.is_none());
    let bare = Request::new("C");
    assert_eq!(bare.split(), ("", "C"));
    assert_eq!(bare.to_message(), b"{\"method\":\"C\"}\0");
}

#[test]
fn the_service_describes_itself() {
    let Outcome::Reply(info) = call(r#"{"method":"org.varlink.service.GetInfo"}"#) else {
        panic!("no info");
    };
    assert_eq!(info["interfaces"], json!(["org.varlink.service", "a.b"]));
    for name in ["org.varlink.service", "a.b"] {
        let text = format!(
            r#"{{"method":"org.varlink.service.GetInterfaceDescription","parameters":{{"interface":"{name}"}}}}"#
        );
        let Outcome::Reply(reply) = call(&text) else { panic!("no description") };
        let description = reply["description"].as_str().unwrap();
        assert!(description.contains(&format!("interface {name}\n")));
    }
}

#[test]
fn errors_name_what_is_wrong() {
    for (text, expected) in [
        (
            r#"{"method":"org.varlink.service.Nope"}"#,
            r#"org.varlink.service.MethodNotFound {"method":"org.varlink.service.Nope"}"#,
        ),
        (
            r#"{"method":"org.varlink.service.GetInfo","parameters":{"x":1}}"#,
            r#"org.varlink.service.InvalidParameter {"parameter":"x"}"#,
        ),
        (
            r#"{"method":"org.varlink.service.GetInterfaceDescription"}"#,
            r#"org.varlink.service.InvalidParameter {"parameter":"interface"}"#,
        ),
        (
            r#"{"method":"org.varlink.service.GetInterfaceDescription","parameters":{"interface":7}}"#,
            r#"org.varlink.service.InvalidParameter {"parameter":"interface"}"#,
        ),
        (
            r#"{"method":"org.varlink.service.GetInterfaceDescription","parameters":{"interface":"x.y"}}"#,
            r#"org.varlink.service.InterfaceNotFound {"interface":"x.y"}"#,
        ),
    ] {
        assert_eq!(call(text).to_string(), expected);
    }
}

#[test]
fn strings_with_nul_stay_inside_their_message() {
    let bytes = reply(&json!({ "text": "a\0b" }));
    assert_eq!(bytes.iter().filter(|&&byte| byte == 0).count(), 1);
}
