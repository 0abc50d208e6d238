//! Varlink: JSON objects, each ended by a NUL byte, over a stream (<https://varlink.org>).
//!
//! Frames, calls, replies, and the interface every service has to offer, `org.varlink.service`.
//! What herder's own methods are called and mean is in [`control`](super::control); which
//! client may call them is decided elsewhere. Replies come in the order of the calls: on one connection a call
//! is not looked at before the one before it has been answered.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::fmt;

/// The interface every Varlink service offers.
pub const SERVICE: &str = "org.varlink.service";

/// Its description, as varlink.org gives it, with the errors systemd added.
pub const SERVICE_DESCRIPTION: &str = "\
# The Varlink Service Interface is provided by every varlink service. It
# describes the service and the interfaces it implements.
interface org.varlink.service

# Get a list of all the interfaces a service provides and information
# about the implementation.
method GetInfo() -> (
  vendor: string,
  product: string,
  version: string,
  url: string,
  interfaces: []string
)

# Get the description of an interface that is implemented by this service.
method GetInterfaceDescription(interface: string) -> (description: string)

# The requested interface was not found.
error InterfaceNotFound(interface: string)

# The requested method was not found
error MethodNotFound(method: string)

# The interface defines the requested method, but the service does not
# implement it.
error MethodNotImplemented(method: string)

# One of the passed parameters is invalid.
error InvalidParameter(parameter: string)

# Client is denied access
error PermissionDenied()

# Method is expected to be called with 'more' set to true, but wasn't
error ExpectedMore()
";

/// A message longer than its reader allows. The stream cannot be read any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

/// Takes messages out of a stream of bytes.
#[derive(Debug)]
pub struct Frames {
    bytes: Vec<u8>,
    /// Where the first NUL is. Only new bytes are searched, so that a trickle costs no more than a gush.
    end: Option<usize>,
    limit: usize,
}

impl Frames {
    /// Messages of at most `limit` bytes, without the NUL.
    pub fn new(limit: usize) -> Frames {
        Frames { bytes: Vec::new(), end: None, limit }
    }

    /// Takes in what was read.
    pub fn push(&mut self, bytes: &[u8]) {
        let before = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        self.end = self.end.or_else(|| Some(before + find_nul(bytes)?));
    }

    /// The next whole message, without its NUL.
    pub fn next_message(&mut self) -> Result<Option<Vec<u8>>, TooLong> {
        match self.end {
            Some(end) if end <= self.limit => {
                let mut message: Vec<u8> = self.bytes.drain(..=end).collect();
                message.pop();
                self.end = find_nul(&self.bytes);
                Ok(Some(message))
            }
            None if self.bytes.len() <= self.limit => Ok(None),
            Some(_) | None => Err(TooLong),
        }
    }

    /// Whether [`next_message`](Frames::next_message) has something to say.
    pub fn has_next(&self) -> bool {
        self.end.is_some() || self.bytes.len() > self.limit
    }

    /// Whether no bytes wait to be taken out.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

fn find_nul(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|&byte| byte == 0)
}

/// A method call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// `INTERFACE.METHOD`
    pub method: String,
    /// By name; both absent and `null` mean none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Map<String, Value>>,
    /// The caller wants no reply, not even an error.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub oneway: bool,
    /// The caller takes several replies; one is always allowed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
    /// The caller wants to speak another protocol afterwards. herder has none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub upgrade: bool,
}

impl Request {
    /// A call without parameters.
    pub fn new(method: impl Into<String>) -> Request {
        Request {
            method: method.into(),
            parameters: None,
            oneway: false,
            more: false,
            upgrade: false,
        }
    }

    /// Reads a message; `None` if it is not a Varlink call. Unknown fields are ignored.
    pub fn parse(message: &[u8]) -> Option<Request> {
        serde_json::from_slice(message).ok()
    }

    /// The interface and the method's name in it.
    pub fn split(&self) -> (&str, &str) {
        self.method.rsplit_once('.').unwrap_or(("", &self.method))
    }

    /// The first parameter that is not among those the method knows.
    pub fn unknown_parameter(&self, known: &[&str]) -> Option<&str> {
        let mut names = self.parameters.iter().flat_map(Map::keys);
        names.find(|name| !known.contains(&name.as_str())).map(String::as_str)
    }

    /// The message, NUL included.
    pub fn to_message(&self) -> Vec<u8> {
        message(self)
    }
}

/// What a service says of itself in `GetInfo`.
#[derive(Clone, Copy, Debug)]
pub struct Info<'a> {
    /// Its maker.
    pub vendor: &'a str,
    /// What it is.
    pub product: &'a str,
    /// Its version.
    pub version: &'a str,
    /// Where to read about it.
    pub url: &'a str,
    /// The interfaces beside `org.varlink.service`, and their descriptions.
    pub interfaces: &'a [(&'a str, &'a str)],
}

/// Answers a call to `org.varlink.service`.
pub fn answer_service(request: &Request, info: &Info<'_>) -> Vec<u8> {
    match request.split().1 {
        "GetInfo" => match request.unknown_parameter(&[]) {
            Some(name) => invalid_parameter(name),
            None => {
                let names: Vec<&str> = [SERVICE]
                    .into_iter()
                    .chain(info.interfaces.iter().map(|(name, _)| *name))
                    .collect();
                reply(&json!({
                    "vendor": info.vendor,
                    "product": info.product,
                    "version": info.version,
                    "url": info.url,
                    "interfaces": names,
                }))
            }
        },
        "GetInterfaceDescription" => {
            if let Some(name) = request.unknown_parameter(&["interface"]) {
                return invalid_parameter(name);
            }
            let wanted = request.parameters.as_ref().and_then(|given| given.get("interface"));
            let Some(wanted) = wanted.and_then(Value::as_str) else {
                return invalid_parameter("interface");
            };
            let known = [(SERVICE, SERVICE_DESCRIPTION)];
            match known.iter().chain(info.interfaces).find(|(name, _)| *name == wanted) {
                Some((_, description)) => reply(&json!({ "description": description })),
                None => interface_not_found(wanted),
            }
        }
        _ => method_not_found(&request.method),
    }
}

/// A successful reply.
pub fn reply(parameters: &impl Serialize) -> Vec<u8> {
    #[derive(Serialize)]
    struct Reply<'a, P> {
        parameters: &'a P,
    }
    message(&Reply { parameters })
}

/// A successful reply to a call that said `more`, with others to follow.
pub fn reply_of_several(parameters: &impl Serialize) -> Vec<u8> {
    #[derive(Serialize)]
    struct Reply<'a, P> {
        parameters: &'a P,
        continues: bool,
    }
    message(&Reply { parameters, continues: true })
}

/// An error reply; `name` is `INTERFACE.ERROR`.
pub fn error(name: &str, parameters: &impl Serialize) -> Vec<u8> {
    #[derive(Serialize)]
    struct Error<'a, P> {
        error: &'a str,
        parameters: &'a P,
    }
    message(&Error { error: name, parameters })
}

/// There is no such interface here.
pub fn interface_not_found(interface: &str) -> Vec<u8> {
    error("org.varlink.service.InterfaceNotFound", &json!({ "interface": interface }))
}

/// The interface has no such method.
pub fn method_not_found(method: &str) -> Vec<u8> {
    error("org.varlink.service.MethodNotFound", &json!({ "method": method }))
}

/// A parameter is unknown, missing, or of the wrong type.
pub fn invalid_parameter(parameter: &str) -> Vec<u8> {
    error("org.varlink.service.InvalidParameter", &json!({ "parameter": parameter }))
}

/// The method answers several times, and the caller takes only one.
pub fn expected_more() -> Vec<u8> {
    error("org.varlink.service.ExpectedMore", &json!({}))
}

/// What a call came to, as the caller sees it.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The parameters of the reply.
    Reply(Map<String, Value>),
    /// An error.
    Error {
        /// `INTERFACE.ERROR`
        name: String,
        /// What it came with.
        parameters: Map<String, Value>,
    },
}

impl Outcome {
    /// Whether a reply says that there are others to follow.
    pub fn continues(message: &[u8]) -> bool {
        #[derive(Deserialize)]
        struct Reply {
            #[serde(default)]
            continues: bool,
        }
        serde_json::from_slice::<Reply>(message).is_ok_and(|reply| reply.continues)
    }

    /// Reads a reply; `None` if it is not Varlink.
    pub fn parse(message: &[u8]) -> Option<Outcome> {
        #[derive(Deserialize)]
        struct Reply {
            error: Option<String>,
            parameters: Option<Map<String, Value>>,
        }
        let reply: Reply = serde_json::from_slice(message).ok()?;
        let parameters = reply.parameters.unwrap_or_default();
        Some(match reply.error {
            None => Outcome::Reply(parameters),
            Some(name) => Outcome::Error { name, parameters },
        })
    }
}

/// An error as a person reads it: `org.varlink.service.MethodNotFound {"method":"a.b"}`.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, parameters) = match self {
            Outcome::Reply(parameters) => ("success", parameters),
            Outcome::Error { name, parameters } => (name.as_str(), parameters),
        };
        f.write_str(name)?;
        if !parameters.is_empty() {
            write!(f, " {}", Value::Object(parameters.clone()))?;
        }
        Ok(())
    }
}

/// JSON never holds a raw NUL: a string's control characters are escaped (RFC 8259, section 7).
fn message(content: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(content)
        .expect("only maps with keys that are not strings cannot be written, and there are none");
    bytes.push(0);
    bytes
}

#[cfg(test)]
#[path = "varlink_tests.rs"]
mod tests;
