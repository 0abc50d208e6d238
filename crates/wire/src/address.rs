//! Addresses a stream socket listens on: as they are written in settings and on the command
//! line, and as they are shown.
//!
//! Binds nothing and resolves no names: a launcher that waits for DNS does not start. The one
//! non-obvious rule is that a port alone means what it means in `ListenStream=`
//! (systemd.socket(5)): all of IPv6 and, with it, all of IPv4.

use std::fmt;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// The longest UNIX socket path or abstract name: `sun_path` less its NUL (unix(7)).
const LONGEST_NAME: usize = 107;

/// What a listening stream socket is bound to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// TCP. Port 0 lets the kernel choose.
    Inet(SocketAddr),
    /// A socket in the file system.
    Unix(PathBuf),
    /// A socket in the abstract namespace, without the leading NUL byte (unix(7)).
    Abstract(Vec<u8>),
}

/// Why a text is no address, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressError(String);

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for AddressError {}

fn wrong<T>(text: impl Into<String>) -> Result<T, AddressError> {
    Err(AddressError(text.into()))
}

impl FromStr for Address {
    type Err = AddressError;

    /// Reads `[HOST:]PORT`, `unix:/path`, `/path` or `@abstract`.
    fn from_str(text: &str) -> Result<Address, AddressError> {
        if let Some(name) = text.strip_prefix('@') {
            return abstract_name(name);
        }
        let path = text.strip_prefix("unix://").or_else(|| text.strip_prefix("unix:"));
        if let Some(path) = path.or_else(|| text.starts_with('/').then_some(text)) {
            return unix_path(path);
        }
        if text.is_empty() {
            return wrong(format!("is empty; write {FORMS}"));
        }
        if let Some((scheme, rest)) = text.split_once("://") {
            return wrong(format!("`{text}` has a scheme; write `{rest}` without `{scheme}://`"));
        }
        inet(text).map(Address::Inet)
    }
}

const FORMS: &str = "`PORT`, `HOST:PORT`, `/path/to/socket` or `@abstract-name`";

fn abstract_name(name: &str) -> Result<Address, AddressError> {
    if name.is_empty() || name.len() > LONGEST_NAME || name.contains('\0') {
        return wrong(format!(
            "`@{}` is no abstract socket: the name after `@` has 1 to {LONGEST_NAME} bytes and no NUL",
            name.escape_debug()
        ));
    }
    Ok(Address::Abstract(name.as_bytes().to_vec()))
}

fn unix_path(path: &str) -> Result<Address, AddressError> {
    if !path.starts_with('/') {
        return wrong(format!("`{path}` is a relative path; write the whole path, from `/`"));
    }
    if path.ends_with('/') || path.contains('\0') {
        return wrong(format!(
            "`{}` does not name a socket; write the path of a file",
            path.escape_debug()
        ));
    }
    if path.len() > LONGEST_NAME {
        return wrong(format!(
            "`{path}` has {} bytes, and a UNIX socket path has at most {LONGEST_NAME} (unix(7)); choose a shorter one",
            path.len()
        ));
    }
    Ok(Address::Unix(PathBuf::from(path)))
}

fn inet(text: &str) -> Result<SocketAddr, AddressError> {
    let Some((host, port)) = text.rsplit_once(':') else {
        return match text.parse::<IpAddr>() {
            Ok(IpAddr::V4(host)) => wrong(format!("`{host}` has no port; write `{host}:PORT`")),
            _ => Ok(SocketAddr::from((Ipv6Addr::UNSPECIFIED, parse_port(text, text)?))),
        };
    };
    // `::1:8000` is itself an IPv6 address, so its last part could be meant either way.
    if text.parse::<Ipv6Addr>().is_ok() || host.parse::<Ipv6Addr>().is_ok() {
        return wrong(format!(
            "`{text}` can be read in two ways; write an IPv6 address in brackets: `[::1]:8000`"
        ));
    }
    let port = parse_port(port, text)?;
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(address);
    }
    match host {
        "" | "*" => wrong(format!(
            "`{text}` names no host; write `{port}` for all addresses, or `0.0.0.0:{port}` for IPv4 only"
        )),
        "localhost" => wrong(format!(
            "`localhost` may mean two addresses; write `127.0.0.1:{port}` or `[::1]:{port}`"
        )),
        _ => wrong(format!(
            "`{host}` is not an IP address, and herder resolves no names; write `127.0.0.1:{port}`, or `{port}` for all addresses"
        )),
    }
}

fn parse_port(port: &str, text: &str) -> Result<u16, AddressError> {
    // `u16::from_str` takes a leading `+`.
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse::<u16>() {
        Ok(number) if digits => Ok(number),
        _ if digits => wrong(format!("`{port}` is no port; write a number up to 65535")),
        _ => wrong(format!("`{text}` is no address; write {FORMS}")),
    }
}

/// As systemd writes addresses: `127.0.0.1:80`, `[::]:80`, `/run/web.sock`, `@web`. Bytes of a
/// name that cannot be shown are escaped, so that an address is always one line.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Inet(address) => write!(f, "{address}"),
            Address::Unix(path) => write_clean(f, &path.to_string_lossy()),
            Address::Abstract(name) => {
                f.write_char('@')?;
                write_clean(f, &String::from_utf8_lossy(name))
            }
        }
    }
}

fn write_clean(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    text.chars().try_for_each(|c| match c.is_control() {
        true => write!(f, "{}", c.escape_default()),
        false => f.write_char(c),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_and_shown_as_systemd_shows_it() {
        for (text, shown) in [
            ("8000", "[::]:8000"),
            ("0", "[::]:0"),
            ("127.0.0.1:8000", "127.0.0.1:8000"),
            ("0.0.0.0:80", "0.0.0.0:80"),
            ("[::1]:443", "[::1]:443"),
            ("[fe80::1%2]:443", "[fe80::1%2]:443"),
            ("unix:/run/web.sock", "/run/web.sock"),
            ("unix:///run/web.sock", "/run/web.sock"),
            ("/run/a=b.sock", "/run/a=b.sock"),
            ("@web", "@web"),
        ] {
            let address = text.parse::<Address>().unwrap();
            assert_eq!(address.to_string(), shown, "{text}");
            assert_eq!(shown.parse::<Address>().unwrap(), address, "{text}");
        }
    }

    #[test]
    fn errors_say_what_to_write() {
        let long = format!("/{}", "x".repeat(LONGEST_NAME));
        for (text, advice) in [
            ("", "`HOST:PORT`"),
            ("web", "`HOST:PORT`"),
            ("+80", "`HOST:PORT`"),
            ("65536", "up to 65535"),
            ("127.0.0.1", "`127.0.0.1:PORT`"),
            ("127.0.0.1:", "`HOST:PORT`"),
            ("localhost:8000", "`127.0.0.1:8000`"),
            ("*:8000", "`8000` for all"),
            (":8000", "`8000` for all"),
            ("::1:8000", "in brackets"),
            ("::1", "in brackets"),
            ("example.org:80", "resolves no names"),
            ("http://127.0.0.1:80", "write `127.0.0.1:80`"),
            ("unix:web.sock", "from `/`"),
            ("/run/", "path of a file"),
            (&long, "at most 107"),
            ("@", "1 to 107 bytes"),
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains(advice), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_shown_is_one_line() {
        assert_eq!(Address::Abstract(b"a\nb\0".to_vec()).to_string(), "@a\\nb\\u{0}");
    }
}
