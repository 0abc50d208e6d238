"""FastCGI as a web server speaks it: for asking an application server without a web server between."""

import struct

from load import Answer

BEGIN_REQUEST, END_REQUEST, PARAMS, STDIN, STDOUT, STDERR = 1, 3, 4, 5, 6, 7
RESPONDER, KEEP_CONNECTION = 1, 1


def asks_for(script):
    """A function to use as load.ask that has this script answer."""

    def ask(connection, path, keep_alive=False):
        target, _, query = path.partition("?")
        parameters = {
            "GATEWAY_INTERFACE": "CGI/1.1",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REQUEST_METHOD": "GET",
            "REQUEST_URI": path,
            "SCRIPT_FILENAME": str(script),
            "SCRIPT_NAME": target,
            "QUERY_STRING": query,
        }
        begin = struct.pack("!HB5x", RESPONDER, KEEP_CONNECTION if keep_alive else 0)
        request = record(BEGIN_REQUEST, begin)
        request += record(PARAMS, b"".join(pair(*one) for one in parameters.items())) + record(PARAMS, b"")
        connection.sendall(request + record(STDIN, b""))
        return answer(connection)

    return ask


def record(kind, content):
    return struct.pack("!BBHHBx", 1, kind, 1, len(content), 0) + content


def pair(name, value):
    name, value = name.encode(), value.encode()
    # A length of more than 127 takes four bytes.
    return b"".join(struct.pack("!B" if len(text) < 128 else "!I", len(text) | (0 if len(text) < 128 else 1 << 31)) for text in (name, value)) + name + value


def answer(connection):
    """EOFError when the peer closed before the first byte."""
    output, errors = b"", b""
    while True:
        head = exactly(connection, 8, may_end=not output)
        _, kind, _, length, padding = struct.unpack("!BBHHBx", head)
        content = exactly(connection, length + padding)[:length]
        if kind == STDOUT:
            output += content
        elif kind == STDERR:
            errors += content
        elif kind == END_REQUEST:
            break
    if errors:
        raise ValueError(f"said on its standard error: {errors!r}")
    text, body = output.split(b"\r\n\r\n", 1)
    headers = {key.lower(): value.strip() for key, value in (line.split(":", 1) for line in text.decode().split("\r\n"))}
    return Answer(int(headers.get("status", "200").split()[0]), headers, body)


def exactly(connection, length, may_end=False):
    data = b""
    while len(data) < length:
        part = connection.recv(length - len(data))
        if not part:
            raise EOFError("closed without an answer") if may_end and not data else ValueError("cut in its answer")
        data += part
    return data
