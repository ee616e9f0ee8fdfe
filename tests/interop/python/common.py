"""What the Python drivers share: the line protocol of tests/interop/README.md and the text form of bytes."""

import hashlib
import json
import sys
import traceback


class Unsupported(Exception):
    """The library has no such call."""


class ClientError(Exception):
    """A failure with Kafka's error code, or -1."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


def encode(value):
    """Bytes as the text that the tests compare."""
    if value is None:
        return None
    value = bytes(value)
    if len(value) > 1024:
        return f"sha256:{hashlib.sha256(value).hexdigest()}:{len(value)}"
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return "hex:" + value.hex()


def decode(text):
    """The bytes that a text of the tests stands for."""
    if text is None:
        return None
    if text.startswith("hex:"):
        return bytes.fromhex(text[4:])
    return text.encode("utf-8")


def headers_out(headers):
    return [[name, encode(value)] for name, value in headers or []]


def headers_in(record):
    return [(name, decode(value)) for name, value in record.get("h") or []]


def error_of(error, code_of):
    return {"error": code_of(error), "message": f"{type(error).__name__}: {error}"}


def serve(driver, code_of):
    """Answers requests until stdin ends. `code_of` finds Kafka's error code in an exception of the library."""

    def code(error):
        return error.code if isinstance(error, ClientError) else code_of(error)

    for line in sys.stdin:
        request = json.loads(line)
        try:
            handler = getattr(driver, request["op"], None)
            if handler is None:
                raise Unsupported()
            reply = {"ok": handler(request)}
        except Unsupported:
            reply = {"error": "unsupported"}
        except Exception as error:  # every failure is an answer
            traceback.print_exc()
            reply = error_of(error, code)
        print(json.dumps(reply), flush=True)
    driver.close()
