"""HTTP on the wire: every case sent as it stands, to the daemon and to nginx before it.

CASES is the table: name, bytes, what the daemon answers, what a caller of nginx sees. An answer is
the statuses in order and then "open" (the next request on the connection is served), "close", or
"wait" (for more of the request); "bare" is a page without a head, as HTTP/0.9 wants it. Of the
daemon's answer, behind a bar stands what libmicrohttpd 1.0 (Debian 13) makes of it, where that
differs from 0.9.75 (Debian 12); of nginx's, what may overtake its page. Each 200 stores one event,
and nothing else stores any. What the daemon cannot see by itself is listed in docs/http.md, which
names the cases.
"""

import ctypes
import os
import re
import socket
import ssl

import pytest

from conftest import ROOT, TOKEN, Daemon, body_of, callback
from proxy_help import Proxy

PATH = "/callback/shansong/" + TOKEN
TYPE = "Content-Type: application/json"
HOST = "Host: x"


def library_version():
    library = ctypes.CDLL("libmicrohttpd.so.12")
    library.MHD_get_version.restype = ctypes.c_char_p
    return tuple(int(part) for part in library.MHD_get_version().split(b"."))


LIBRARY = 0 if library_version() < (1,) else -1  # which of the daemon's answers


def good(order):
    return body_of(callback(order))


def raw(*lines, body=b"", end="\r\n"):
    return (end.join(lines) + end + end).encode("latin-1") + body


def post(order, *lines, target=PATH, version="HTTP/1.1", method="POST", host=HOST, kind=TYPE,
         length=True, body=None, more=b""):
    """A callback with these lines in its head."""
    body = good(order) if body is None else body
    head = [f"{method} {target} {version}", *([host] if host else []), *([kind] if kind else [])]
    head += lines
    if length:
        head.append(f"Content-Length: {len(body)}")
    return raw(*head, body=body + more)


def form(order, parameter):
    return post(order, kind="Content-Type: application/x-www-form-urlencoded" + parameter,
                body=f"issOrderNo={order}&status=20".encode())


def sized(order, text, name="Content-Length", more=b""):
    """A callback whose Content-Length is written as text says; {n} is its true length."""
    body = good(order)
    return post(order, f"{name}:{text.format(n=len(body))}", length=False, body=body, more=more)


def expecting(*lines, **more):
    """The head of a callback whose body waits to be asked for."""
    return post("", "Expect: 100-continue", "Content-Length: 7", *lines, length=False, body=b"",
                **more)


def smuggled(case):
    return post("smuggled-" + case)


def chunks(order):
    body = good(order)
    return b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


def chunked(order, *lines, length=False):
    """A chunked body and one more request, for whoever stops reading at another place."""
    return post(order, *lines, length=length, body=chunks(order), more=smuggled(order))


CASES = [
    # ---- Content-Length ----
    ("length-leading-zeros", lambda n: sized(n, " 000{n}"), "200 open", "200 open"),
    ("length-padded", lambda n: sized(n, " \t {n} \t"), "400 close|200 open", "400 close"),
    ("length-without-space", lambda n: sized(n, "{n}"), "200 open", "200 open"),
    ("length-plus", lambda n: sized(n, " +{n}", more=smuggled(n)), "400 close", "400 close"),
    ("length-minus", lambda n: sized(n, " -1", more=smuggled(n)), "400 close", "400 close"),
    ("length-hex", lambda n: sized(n, " 0x7", more=smuggled(n)), "400 close", "400 close"),
    ("length-empty", lambda n: sized(n, "", more=smuggled(n)), "400 close", "400 close"),
    ("length-word", lambda n: sized(n, " many", more=smuggled(n)), "400 close", "400 close"),
    ("length-fraction", lambda n: sized(n, " {n}.0", more=smuggled(n)), "400 close", "400 close"),
    ("length-list", lambda n: sized(n, " {n}, {n}", more=smuggled(n)), "400 close", "400 close"),
    ("length-two-words", lambda n: sized(n, " {n} {n}", more=smuggled(n)), "400 close",
     "400 close"),
    ("length-vertical-tab", lambda n: sized(n, " {n}\x0b", more=smuggled(n)), "400 close",
     "400 close"),
    ("length-nul", lambda n: sized(n, " {n}\x00"), "400 close", "400 close"),
    ("length-2^63", lambda n: sized(n, " 9223372036854775808"), "413 close", "400 close"),
    ("length-2^64-1", lambda n: sized(n, " 18446744073709551615"), "413 close", "400 close"),
    ("length-2^64", lambda n: sized(n, " 18446744073709551616"),
     "413 close", "400 close"),
    ("length-space-before-colon", lambda n: sized(n, " {n}", name="Content-Length ",
                                                  more=smuggled(n)), "400 close", "400 close"),
    ("length-folded", lambda n: sized(n, "\r\n {n}", more=smuggled(n)), "400 close|200 200 open",
     "400 close"),
    ("length-twice-equal", lambda n: post(n, f"Content-Length: {len(good(n))}",
                                          more=smuggled(n)), "400 close", "400 close"),
    ("length-twice-first-shorter", lambda n: post(n, "Content-Length: 0", more=smuggled(n)),
     "400 close", "400 close"),
    ("length-twice-second-shorter",
     lambda n: raw(f"POST {PATH} HTTP/1.1", HOST, TYPE, f"Content-Length: {len(good(n))}",
                   "Content-Length: 0", body=good(n) + smuggled(n)), "400 close", "400 close"),
    ("length-missing", lambda n: post(n, length=False, body=b""), "411 close", "411 close"),
    ("length-shorter-than-body", lambda n: post(n, "Content-Length: 3", length=False),
     "400 close", "400 400 close"),

    # ---- Transfer-Encoding ----
    ("chunked", lambda n: chunked(n, "Transfer-Encoding: chunked"), "400 close", "400 close"),
    ("chunked-capitals", lambda n: chunked(n, "TRANSFER-ENCODING: CHUNKED"), "400 close",
     "400 close"),
    ("chunked-and-length", lambda n: chunked(n, "Transfer-Encoding: chunked", length=True),
     "400 close", "400 close"),
    ("chunked-twice", lambda n: chunked(n, "Transfer-Encoding: chunked",
                                        "Transfer-Encoding: chunked"), "400 close", "400 close"),
    ("chunked-and-identity", lambda n: chunked(n, "Transfer-Encoding: chunked",
                                               "Transfer-Encoding: identity"), "400 close",
     "400 close"),
    ("chunked-in-a-list", lambda n: chunked(n, "Transfer-Encoding: gzip, chunked"), "400 close",
     "501 close"),
    ("encoding-identity", lambda n: post(n, "Transfer-Encoding: identity", more=smuggled(n)),
     "400 close", "501 close"),
    ("encoding-unknown", lambda n: post(n, "Transfer-Encoding: x", more=smuggled(n)),
     "400 close", "501 close"),
    ("encoding-empty", lambda n: post(n, "Transfer-Encoding:", more=smuggled(n)), "400 close",
     "501 close"),
    ("chunked-space-before-colon", lambda n: chunked(n, "Transfer-Encoding : chunked"),
     "400 close", "400 close"),
    ("chunked-tab-before-colon", lambda n: chunked(n, "Transfer-Encoding\t: chunked"),
     "400 close", "400 close"),
    ("chunked-after-tab", lambda n: chunked(n, "Transfer-Encoding:\tchunked"), "400 close",
     "501 close"),
    ("chunked-vertical-tab", lambda n: chunked(n, "Transfer-Encoding: \x0bchunked"),
     "400 close", "501 close"),
    ("chunked-quoted", lambda n: chunked(n, 'Transfer-Encoding: "chunked"'), "400 close",
     "501 close"),
    ("chunked-folded", lambda n: chunked(n, "Transfer-Encoding:\r\n chunked"), "400 close",
     "400 close"),
    ("chunked-folded-and-length", lambda n: post(n, "Transfer-Encoding:\r\n chunked",
                                                 more=smuggled(n)), "400 close", "400 close"),
    ("chunked-folded-by-tab", lambda n: post(n, "Transfer-Encoding:\r\n\tchunked",
                                             more=smuggled(n)), "400 close", "400 close"),
    ("chunked-in-a-fold", lambda n: post(n, "X-A: b\r\n Transfer-Encoding: chunked",
                                         more=smuggled(n)), "400 close|200 200 open", "400 close"),
    ("chunked-first-line-indented",
     lambda n: raw(f"POST {PATH} HTTP/1.1", " Transfer-Encoding: chunked", HOST, TYPE,
                   f"Content-Length: {len(good(n))}", body=good(n) + smuggled(n)),
     "400 close", "400 close"),
    ("chunked-after-nul", lambda n: post(n, "Transfer-Encoding\x00: chunked", more=smuggled(n)),
     "400 close", "400 close"),
    ("chunked-after-bare-cr", lambda n: post(n, "X-A: b\rTransfer-Encoding: chunked",
                                             more=smuggled(n)), "400 close", "400 close"),
    ("chunked-after-bare-lf", lambda n: post(n, "X-A: b\nTransfer-Encoding: chunked",
                                             more=smuggled(n)), "400 close", "400 close"),
    ("chunked-underscore", lambda n: post(n, "Transfer_Encoding: chunked"), "200 open",
     "200 open"),
    ("chunked-in-1.0", lambda n: chunked(n, "Transfer-Encoding: chunked").replace(
        b"HTTP/1.1", b"HTTP/1.0", 1), "400 close", "400 close"),

    # ---- Host ----
    ("host-twice", lambda n: post(n, "Host: x"), "400 close", "400 close"),
    ("host-twice-different", lambda n: post(n, "Host: y"), "400 close", "400 close"),
    ("host-missing", lambda n: post(n, host=None), "400 close", "400 close"),
    ("host-empty", lambda n: post(n, host="Host:"), "200 open", "400 close"),
    ("host-missing-in-1.0", lambda n: post(n, host=None, version="HTTP/1.0"), "200 close",
     "200 close"),
    ("host-folded", lambda n: post(n, host="Host:\r\n x"), "400 close|200 open", "400 close"),
    ("host-twice-folded", lambda n: post(n, "Host: evil\r\n x"), "400 close", "400 close"),
    ("host-another", lambda n: post(n, host="Host: elsewhere.example"), "200 open", "200 open"),

    # ---- request line ----
    ("garbage", lambda n: b"GARBAGE\r\n\r\n", "close", "400 close"),
    ("empty-line-first", lambda n: b"\r\n" + post(n), "200 open", "200 open"),
    ("version-0.9", lambda n: b"POST " + PATH.encode() + b"\r\n\r\n",
     "400 close", "bare close"),
    ("version-1.0", lambda n: post(n, version="HTTP/1.0"), "200 close", "200 close"),
    ("version-1.0-keep-alive", lambda n: post(n, "Connection: keep-alive", version="HTTP/1.0"),
     "200 open", "200 open"),
    ("version-1.2", lambda n: post(n, version="HTTP/1.2"), "400 close", "200 open"),
    ("version-1.10", lambda n: post(n, version="HTTP/1.10"), "400 close", "200 open"),
    ("version-2.0", lambda n: post(n, version="HTTP/2.0"), "505 close", "505 close"),
    ("version-lower-case", lambda n: post(n, version="http/1.1"), "400 close", "400 close"),
    ("http2-preface", lambda n: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505 close",
     "400 close"),
    ("method-lower-case", lambda n: post(n, method="post"), "405 close", "400 close"),
    ("method-with-control", lambda n: post(n, method="POST\x01"), "400 close", "400 close"),
    ("method-nul", lambda n: post(n, method="POST\x00"), "400 close|close", "400 close"),
    ("method-nul-and-more", lambda n: post(n, method="POST\x00x"), "400 close|close", "400 close"),
    ("method-after-nul", lambda n: post(n, method="\x00POST"), "400 close|close", "400 close"),
    ("version-nul", lambda n: post(n, version="HTTP/1.1\x00"), "400 close|close", "400 close"),
    ("nul-line-first", lambda n: b"\x00 junk\r\n" + post(n), "200 open|close", "400 close"),
    ("method-get-with-body", lambda n: post(n, method="GET", more=smuggled(n)), "405 close",
     "405 close"),
    ("method-options", lambda n: post(n, method="OPTIONS", target="*", body=b""), "404 close",
     "400 close"),
    ("method-connect", lambda n: post(n, method="CONNECT", target="x:443", body=b""),
     "404 close", "400 close"),
    ("two-spaces", lambda n: post(n, target=" " + PATH), "200 open|301 close", "200 open"),
    ("tabs", lambda n: post(n).replace(b" ", b"\t", 2), "close|200 open", "400 close"),

    # ---- path ----
    ("path-query", lambda n: post(n, target=PATH + "?a=b"), "200 open", "200 open"),
    ("query-nul", lambda n: post(n, target=PATH + "?a\x00b"), "400 close|close", "400 close"),
    ("path-fragment", lambda n: post(n, target=PATH + "#a"), "404 close", "404 open"),
    ("path-nul", lambda n: post(n, target=PATH + "\x00"), "400 close|close", "400 close"),
    ("path-nul-and-more", lambda n: post(n, target=PATH + "\x00/x"),
     "400 close|close", "400 close"),
    ("path-escaped-nul", lambda n: post(n, target=PATH + "%00"), "404 close", "400 close"),
    ("path-escaped-nul-and-more", lambda n: post(n, target=PATH + "%00/x"), "404 close",
     "400 close"),
    ("path-escaped-letter", lambda n: post(n, target=PATH.replace("c", "%63", 1)),
     "404 close", "404 open"),
    ("path-escaped-slash", lambda n: post(n, target=PATH.replace("/s", "%2fs", 1)),
     "404 close", "404 open"),
    ("path-half-escape", lambda n: post(n, target=PATH + "%"), "404 close", "400 close"),
    ("path-dots", lambda n: post(n, target="/callback/x/.." + PATH[9:]), "404 close", "404 open"),
    ("path-double-slash", lambda n: post(n, target="/" + PATH), "404 close", "404 open"),
    ("path-backslash", lambda n: post(n, target=PATH.replace("/s", "\\s")), "404 close",
     "404 close"),
    ("path-space", lambda n: post(n, target=PATH + " x"), "404 close|301 close", "400 close"),
    ("path-high-byte", lambda n: post(n, target=PATH + "\xe9"), "404 close", "404 open"),
    ("path-absolute", lambda n: post(n, target="http://x" + PATH), "404 close", "200 open"),
    ("path-relative", lambda n: post(n, target=PATH[1:]), "404 close", "400 close"),

    # ---- the rest of the head ----
    ("header-8k", lambda n: post(n, "X-Long: " + "a" * 8000), "200 open", "200 open"),
    ("header-20k", lambda n: post(n, "X-Long: " + "a" * 20000), "200 open", "400 close"),
    ("header-40k", lambda n: post(n, "X-Long: " + "a" * 40000), "431 close",
     "400 close"),
    ("headers-200", lambda n: post(n, *[f"X-{i}: {i}" for i in range(200)]), "200 open",
     "200 open"),
    ("headers-5000", lambda n: post(n, *[f"X-{i}: {i}" for i in range(5000)]),
     "431 close", "400 close"),
    ("url-40k", lambda n: post(n, target="/" + "a" * 40000), "414 close",
     "414 close|close"),
    ("query-40k", lambda n: post(n, target=PATH + "?" + "a" * 40000),
     "414 close", "414 close|close"),
    ("header-control", lambda n: post(n, "X-A: a\x01b"), "400 close", "400 open"),
    ("header-delete", lambda n: post(n, "X-A: a\x7fb"), "400 close", "400 open"),
    ("header-nul", lambda n: post(n, "X-A: a\x00b"), "400 close", "400 close"),
    ("nul-line-ends-the-head",
     lambda n: raw(f"POST {PATH} HTTP/1.1", HOST, TYPE, f"Content-Length: {len(good(n))}",
                   "\x00: b")[:-2] + good(n), "400 close", "400 close"),
    ("nul-before-bare-lf", lambda n: post(n, "X-A: a\x00").replace(b"\r\n", b"\n"),
     "200 open|400 close", "400 close"),
    ("fold-harmless", lambda n: post(n, "X-A: b\r\n c"), "400 close|200 open", "400 close"),
    ("fold-by-tab", lambda n: post(n, "X-A: b\r\n\tc"), "400 close|200 open", "400 close"),
    ("fold-twice", lambda n: post(n, "X-A: b\r\n c\r\n d"), "400 close|200 open", "400 close"),
    ("fold-of-blanks", lambda n: post(n, "X-A: b\r\n "), "400 close|200 open", "400 close"),
    ("fold-in-bare-lf", lambda n: post(n, "X-A: b\r\n c").replace(b"\r\n", b"\n"),
     "400 close|200 open", "400 close"),
    ("fold-and-no-body", lambda n: post(n, "X-A: b\r\n c", "Content-Length: 7", length=False,
                                        body=b""), "400 close|wait", "400 close"),
    ("fold-long", lambda n: post(n, "X-A: b\r\n " + "c" * 3000), "400 close|200 open", "400 close"),
    ("header-name-space", lambda n: post(n, "X A: b"), "400 close", "400 close"),
    ("header-name-empty", lambda n: post(n, ": b"), "400 close", "400 close"),
    ("header-name-empty-ends-the-head",
     lambda n: raw(f"POST {PATH} HTTP/1.1", HOST, TYPE, f"Content-Length: {len(good(n))}",
                   ": b")[:-2] + good(n), "400 close", "400 close"),
    ("header-without-colon", lambda n: post(n, "X-A"), "400 close", "200 open"),
    ("header-high-bytes", lambda n: post(n, "X-A: \xe4\xbd\xa0"), "200 open", "200 open"),
    ("bare-cr", lambda n: post(n).replace(b"\r\n", b"\r"), "wait|400 close", "400 close"),
    ("bare-lf", lambda n: post(n).replace(b"\r\n", b"\n"), "200 open", "200 open"),
    ("upgrade-h2c", lambda n: post(n, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c",
                                   "HTTP2-Settings: AAMAAABk"), "200 open", "200 open"),
    ("connection-close", lambda n: post(n, "Connection: close"), "200 close", "200 close"),
    ("connection-hides-length", lambda n: post(n, "Connection: keep-alive, Content-Length"),
     "200 open", "200 open"),

    # ---- type and encoding ----
    ("type-missing", lambda n: post(n, kind=None), "415 close", "415 open"),
    ("type-twice", lambda n: post(n, TYPE), "400 close", "400 open"),
    ("type-twice-folded", lambda n: post(n, "Content-Type: text/plain\r\n x"), "400 close",
     "400 close"),
    ("type-text", lambda n: post(n, kind="Content-Type: text/plain"), "415 close", "415 open"),
    ("type-multipart", lambda n: post(n, kind="Content-Type: multipart/form-data; boundary=x"),
     "415 close", "415 open"),
    ("type-list", lambda n: post(n, kind=TYPE + ", text/plain"), "415 close", "415 open"),
    ("charset-utf-8", lambda n: post(n, kind=TYPE + "; charset=utf-8"), "200 open", "200 open"),
    ("charset-quoted", lambda n: post(n, kind=TYPE + '; charset="UTF-8"'), "200 open",
     "200 open"),
    ("charset-of-a-form", lambda n: form(n, "; charset=UTF-8"), "200 open", "200 open"),
    ("charset-of-a-form-gbk", lambda n: form(n, "; charset=gbk"), "415 close", "415 open"),
    ("charset-utf8", lambda n: post(n, kind=TYPE + "; charset=utf8"), "415 close", "415 open"),
    ("charset-gb18030", lambda n: post(n, kind=TYPE + "; charset=gb18030"), "415 close",
     "415 open"),
    ("charset-latin-1", lambda n: post(n, kind=TYPE + "; charset=iso-8859-1"), "415 close",
     "415 open"),
    ("charset-empty", lambda n: post(n, kind=TYPE + "; charset="), "415 close", "415 open"),
    ("charset-twice", lambda n: post(n, kind=TYPE + "; charset=utf-8; charset=utf-16"),
     "415 close", "415 open"),
    ("type-parameter", lambda n: post(n, kind=TYPE + "; profile=x"), "415 close", "415 open"),
    ("content-encoding-gzip", lambda n: post(n, "Content-Encoding: gzip"), "415 close",
     "415 open"),
    ("content-encoding-folded", lambda n: post(n, "Content-Encoding:\r\n gzip"),
     "400 close|415 close", "400 close"),
    ("content-encoding-identity", lambda n: post(n, "Content-Encoding: identity"), "415 close",
     "415 open"),
    ("content-encoding-empty", lambda n: post(n, "Content-Encoding:"), "415 close", "415 open"),
    ("content-encoding-twice", lambda n: post(n, "Content-Encoding: br",
                                              "Content-Encoding: gzip"), "415 close",
     "415 open"),

    # ---- HMAC ----
    ("webhook-id-twice", lambda n: post(n, "webhook-id: a", "Webhook-Id: a"), "400 close",
     "400 open"),
    ("webhook-timestamp-twice", lambda n: post(n, "webhook-timestamp: 1", "webhook-timestamp: 2"),
     "400 close", "400 open"),
    ("webhook-signature-twice", lambda n: post(n, "webhook-signature: v1,a",
                                               "webhook-signature: v1,a"), "400 close", "400 open"),
    ("webhook-signature-folded", lambda n: post(n, "webhook-signature: a\r\n b"),
     "400 close|200 open", "400 close"),

    # ---- body ----
    ("body-too-big", lambda n: post(n, body=b"x" * 65537), "413 close", "413 open"),
    ("body-far-too-big-expect", lambda n: post(n, "Expect: 100-continue",
                                               "Content-Length: 700000", length=False,
                                               body=b""), "413 close", "413 close"),
    ("body-too-big-expect", lambda n: post(n, "Expect: 100-continue", "Content-Length: 65537",
                                           length=False, body=b""), "413 close", "100 wait"),
    ("type-wrong-expect", lambda n: expecting(kind="Content-Type: text/plain"), "415 close",
     "100 wait"),
    ("encoding-expect", lambda n: expecting("Content-Encoding: gzip"), "415 close", "100 wait"),
    ("path-wrong-expect", lambda n: expecting(target="/elsewhere"), "404 close", "404 close"),
    ("method-wrong-expect", lambda n: expecting(method="PUT"), "405 close", "405 close"),
    ("chunked-expect", lambda n: expecting("Transfer-Encoding: chunked"), "400 close", "400 close"),
    ("expect-unknown", lambda n: post(n, "Expect: 200-maybe"), "200 open", "200 open"),
    ("body-empty", lambda n: post(n, body=b""), "400 close", "400 open"),

    # ---- more than one request ----
    ("pipelined", lambda n: post(n) + post(n + "-2") + post(n + "-3"),
     "200 200 200 open", "200 200 200 open"),
    ("pipelined-after-refused", lambda n: post(n) + post(n, body=b"{}") + smuggled(n),
     "200 400 close", "200 400 200 open"),
    ("pipelined-after-close", lambda n: post(n, "Connection: close") + smuggled(n),
     "200 close", "200 close"),
    ("pipelined-after-get", lambda n: post(n) + post(n, method="GET", body=b"") + smuggled(n),
     "200 405 close", "200 405 close"),
    ("pipelined-nul-line", lambda n: post(n) + b"\x00\r\n" + post(n + "-2"),
     "200 200 open|200 close", "200 400 close"),
    ("pipelined-method-nul", lambda n: post(n) + post(n, method="POST\x00"),
     "200 400 close|200 close", "200 400 close"),
    ("pipelined-garbage", lambda n: post(n) + b"\x00\x01\x02\r\n\r\n", "200 open|200 close",
     "200 400 close"),

    # ---- not HTTP ----
    ("tls-hello", lambda n: b"\x16\x03\x01\x00\x2f\x01\x00\x00\x2b\x03\x03" + b"\x11" * 32
     + b"\x00\x00\x02\x13\x01\x01\x00\x00\x00\r\n\r\n", "close", "400 close"),
    ("binary", lambda n: bytes(range(256)) + b"\r\n\r\n", "400 close|close", "400 close"),
]


class Peer:
    """The daemon, or nginx before it: where the cases go."""

    def __init__(self, name, daemon, connect):
        self.name, self.daemon, self.connect = name, daemon, connect


@pytest.fixture(scope="module")
def direct(tmp_path_factory):
    directory = tmp_path_factory.mktemp("wire")
    daemon = Daemon(directory)
    daemon.init().start()
    yield Peer("direct", daemon, daemon.connect)
    assert daemon.stop() == 0, daemon.log_text()


@pytest.fixture(scope="module")
def nginx(tmp_path_factory):
    directory = tmp_path_factory.mktemp("wire")
    proxy = Proxy("nginx", directory, directory / "http.sock")
    daemon = Daemon(directory)
    daemon.configure(server={"listen": f"unix:{directory}/http.sock"})
    daemon.init().start()
    try:
        peer = Peer("nginx", daemon, proxy.start().connect)
        peer.port = proxy.port
        yield peer
        assert daemon.stop() == 0, daemon.log_text()
    finally:
        proxy.stop()


def stored(peer):
    return {iss for (iss,) in peer.daemon.rows("SELECT iss_order_no FROM order_log")}


def observe(peer, connection, wanted):
    """What came back, told in the words of the table; wanted is only used to know when to stop."""
    said, reply = [], None
    patience = max(len(one.split()) for one in wanted) - 1
    last = {one.split()[-1] for one in wanted}
    connection.sock.settimeout(0.3 if "wait" in last else 20)
    try:
        while len(said) < patience or last == {"close"} or "wait" in last:
            reply = connection.reply()
            if reply is None:
                break
            said.append(str(reply.status))
            if reply.headers.get("connection", "").lower() == "close" and peer.name == "nginx":
                return " ".join([*said, "close"])  # it stays a while to drain what still comes
    except TimeoutError:
        return " ".join([*said, "wait"])
    except (ConnectionError, ssl.SSLError):
        reply = None
    if connection.buffer and not said:
        said.append("bare")
    if reply is not None:
        order = f"next-{peer.name}-{id(connection)}"
        try:
            connection.send(post(order))
            reply = connection.reply()
        except ConnectionError:
            reply = None
        assert reply is None or (reply.status == 200 and order in stored(peer))
    return " ".join([*said, "close" if reply is None else "open"])


def run_case(peer, name, make, expected):
    before = stored(peer)
    connection = peer.connect()
    try:
        connection.send(make(name))
    except (ConnectionError, ssl.SSLError):
        pass  # refused and closed before all of it was sent
    wanted = expected.split("|")
    said = observe(peer, connection, wanted)
    # A page of the library's own may be longer than it says, but there is no second answer in it.
    assert b"HTTP/1." not in connection.buffer
    connection.close()
    assert said in wanted
    new = {iss for iss in stored(peer) - before if not iss.startswith("next-")}
    assert len(new) == said.split().count("200")
    return said


@pytest.mark.parametrize("name, make, expected", [(n, m, d) for n, m, d, _ in CASES],
                         ids=[n for n, *_ in CASES])
def test_direct(direct, name, make, expected):
    run_case(direct, name, make, expected.split("|")[LIBRARY])


@pytest.mark.parametrize("name, make, expected", [(n, m, b) for n, m, _, b in CASES],
                         ids=[n for n, *_ in CASES])
def test_behind_nginx(nginx, name, make, expected):
    run_case(nginx, name, make, expected)


def test_a_caller_that_closes_its_side_after_the_request_can_retry(direct, nginx):
    """The library closes when it sees the end, with the answer unsent; the store has the event."""
    connection = direct.connect()
    connection.send(post("half-closed"))
    connection.sock.shutdown(socket.SHUT_WR)
    reply = connection.reply()
    assert reply is None or reply.status == 200
    connection.close()
    assert direct.daemon.send(post("half-closed")).status == 200
    assert direct.daemon.rows("SELECT count(*) FROM order_log WHERE iss_order_no = ?",
                              "half-closed") == [(1,)]
    connection = nginx.connect()
    connection.send(post("half-closed"))
    connection.half_close()
    assert connection.reply().status == 200
    connection.close()


@pytest.mark.parametrize("peer", ["direct", "nginx"])
def test_a_request_cut_off_in_the_middle_stores_nothing(peer, request):
    peer = request.getfixturevalue(peer)
    before = stored(peer)
    for cut in (10, -5, -len(good("cut"))):
        connection = peer.connect()
        connection.send(post("cut")[:cut])
        if peer.name == "nginx":
            connection.half_close()
        else:
            connection.sock.shutdown(socket.SHUT_WR)
        reply = connection.reply()
        assert reply is None or reply.status in (400, 408)
        connection.close()
    assert stored(peer) == before


def test_tls_on_the_plain_port_fails_and_does_no_harm(direct):
    raw_socket = socket.create_connection(direct.daemon.address, timeout=20)
    context = ssl.create_default_context()
    with pytest.raises((ssl.SSLError, ConnectionError)):
        context.wrap_socket(raw_socket, server_hostname="x.test")
    raw_socket.close()
    assert direct.daemon.send(post("after-tls")).status == 200


def test_plain_http_on_the_tls_port_is_refused_with_400(nginx):
    with socket.create_connection(("127.0.0.1", nginx.port), timeout=20) as plain:
        plain.sendall(post("plain"))
        assert plain.recv(65536).startswith(b"HTTP/1.1 400 ")
    assert "plain" not in stored(nginx)


def test_heads_that_the_library_refuses_by_itself_are_counted(make_daemon):
    daemon = make_daemon().init().start()
    pages = 0
    for name in ("length-plus", "length-2^64", "header-40k", "header-without-colon", "version-2.0",
                 "version-lower-case", "chunked-after-nul"):
        make, = (m for n, m, *_ in CASES if n == name)
        pages += not daemon.send(make(name)).body.startswith(b'{"status"')
    assert pages > 0
    metrics = daemon.get_admin("/metrics").body.decode()
    assert f'{{endpoint="",outcome="head-refused"}} {pages}\n' in metrics
    assert daemon.stop() == 0


def test_the_page_names_what_the_daemon_cannot_see_and_nginx_refuses():
    def pairs(direct, behind):
        """Answer by answer: what the daemon says by itself, and what nginx says."""
        return zip(direct.split("|")[0].split(), behind.split("|")[0].split())

    unseen = {name for name, _, direct, behind in CASES
              if any(ours in ("200", "open") and its[0] in "45"
                     for ours, its in pairs(direct, behind))}
    lenient = {name for name, _, direct, behind in CASES
               if any(ours not in ("200", "wait") and its == "200"
                      for ours, its in pairs(direct, behind))}
    page = open(os.path.join(ROOT, "docs/http.md")).read()
    head, rest = page.split("## What the daemon cannot see")
    table, other_way = rest.split("## The other way round")
    names = {name for name, *_ in CASES}
    assert set(re.findall(r"`([a-z0-9^.-]+)`", table)) & names == unseen
    assert set(re.findall(r"`([a-z0-9^.-]+)`", other_way)) & names == lenient
