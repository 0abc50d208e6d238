"""A client of Varlink, and interface descriptions that hold replies to what they say (https://varlink.org)."""

import json
import re
import socket


class Connection:
    def __init__(self, path, seconds=20):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(seconds)
        self.socket.connect(str(path))
        self.data = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, method, more=False, **parameters):
        call = {"method": method, "parameters": parameters, **({"more": True} if more else {})}
        self.socket.sendall(json.dumps(call).encode() + b"\0")

    def reply(self):
        """The next message; None when the other end has closed the connection."""
        while b"\0" not in self.data:
            part = self.socket.recv(65536)
            if not part:
                return None
            self.data += part
        message, self.data = self.data.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, **parameters):
        self.send(method, **parameters)
        return self.reply()


class Interface:
    """A description: types, methods (parameters and results) and errors by name, as parsed from its text."""

    def __init__(self, text):
        text = re.sub(r"#.*", "", text)
        self.tokens = re.findall(r"->|\[string\]|\[\]|[?():,]|[A-Za-z0-9_.]+", text)
        expect_nothing_else = re.sub(r"->|\[string\]|\[\]|[?():,]|[A-Za-z0-9_.]+|\s", "", text)
        if expect_nothing_else:
            raise ValueError(f"not Varlink: {expect_nothing_else!r}")
        self.take("interface")
        self.name, self.types, self.methods, self.errors = self.take(), {}, {}, {}
        while self.tokens:
            kind, name = self.take(), self.take()
            if kind == "type":
                self.types[name] = self.compound()
            elif kind == "method":
                parameters = self.compound()
                self.take("->")
                self.methods[name] = (parameters, self.compound())
            elif kind == "error":
                self.errors[name] = self.compound()
            else:
                raise ValueError(f"{kind} is no kind of member")

    def take(self, wanted=None):
        token = self.tokens.pop(0)
        if wanted not in (None, token):
            raise ValueError(f"{token} instead of {wanted}")
        return token

    def compound(self):
        """What is in parentheses: the fields of a struct as a dictionary, or the words of an enum as a list."""
        self.take("(")
        fields, words = {}, []
        while self.tokens[0] != ")":
            name = self.take()
            if self.tokens[0] == ":":
                self.take(":")
                fields[name] = self.type()
            else:
                words.append(name)
            if self.tokens[0] == ",":
                self.take(",")
        self.take(")")
        return words or fields

    def type(self):
        if self.tokens[0] == "(":
            return self.compound()
        token = self.take()
        return (token, self.type()) if token in ("?", "[]", "[string]") else token

    def check(self, value, of, where):
        """ValueError if the value is not of this type: too much is as wrong as too little."""
        plain = {"int": int, "float": (int, float), "string": str, "bool": bool, "object": object}
        if isinstance(of, tuple) and of[0] == "?":
            if value is not None:
                self.check(value, of[1], where)
        elif isinstance(of, tuple):
            kind, entries = (list, enumerate) if of[0] == "[]" else (dict, dict.items)
            if not isinstance(value, kind):
                raise ValueError(f"{where}: {value!r} is no {kind.__name__}")
            for key, entry in entries(value):
                self.check(entry, of[1], f"{where}[{key}]")
        elif isinstance(of, list):
            if value not in of:
                raise ValueError(f"{where}: {value!r} is none of {of}")
        elif isinstance(of, dict):
            if not isinstance(value, dict) or not set(value) <= set(of):
                raise ValueError(f"{where}: {value!r} has other fields than {set(of)}")
            for name, field in of.items():
                self.check(value.get(name), field, f"{where}.{name}")
        elif of in plain:
            if not isinstance(value, plain[of]) or (isinstance(value, bool) and of != "bool"):
                raise ValueError(f"{where}: {value!r} is no {of}")
        else:
            self.check(value, self.types[of], where)

    def check_reply(self, method, value):
        self.check(value, self.methods[method][1], method)
