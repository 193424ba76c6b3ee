"""Prints sessions of random values: a kind, the bytes in base64, the moment, and the session in the notation, tab-separated.

`sessions.py SEED COUNT DIRECTORY` writes. `sessions.py read` prints the notation of each row of Django on the standard input.
"""
import base64
import collections
import datetime
import decimal
import enum
import fractions
import json
import os
import pickle
import random
import sys
import time
import uuid
import warnings
import zoneinfo

warnings.simplefilter("ignore")

import django.conf

SECRET = "django secret"
SETTINGS = dict(
    SECRET_KEY=SECRET,
    SECRET_KEY_FALLBACKS=["an old one"],
    USE_TZ=True,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    INSTALLED_APPS=["django.contrib.sessions"],
    SESSION_FILE_PATH=sys.argv[3] if len(sys.argv) > 3 else None,
)
django.conf.settings.configure(**SETTINGS)
django.setup()

from django.contrib.sessions.backends import db, file, signed_cookies
from django.core import signing
from django.core.cache.backends.db import DatabaseCache
from django.core.cache.backends.filebased import FileBasedCache
from django.utils.safestring import SafeString
from markupsafe import Markup


class Suit(enum.Enum):
    HEARTS = "h"


class Plain:
    def __init__(self, **variables):
        self.__dict__.update(variables)


class Slots:
    __slots__ = ("a", "b")


class OwnList(list):
    pass


class OwnDict(dict):
    pass


Point = collections.namedtuple("Point", "x y")


def name(cls):
    return f"{cls.__module__}.{cls.__qualname__}"


def notation(value, zulu=False):
    """The notation of a value in which each value stands in all its places."""
    def inner(part):
        return notation(part, zulu)

    def pairs(entries):
        entries = list(entries)
        if all(type(key) is str and not key.startswith("$") and is_utf8(key) for key, _ in entries):
            return {key: inner(part) for key, part in entries}
        return {"$map": [[inner(key), inner(part)] for key, part in entries]}

    kind = type(value)
    if value is None or kind is bool:
        return value
    if kind is int:
        return value if -(2**63) <= value < 2**63 else {"$int": str(value)}
    if kind is float:
        return {"$float": repr(value)}
    if kind is str:
        return value if is_utf8(value) else {"$utf16": value.encode("utf-16-be", "surrogatepass").hex()}
    if kind in (bytes, bytearray):
        return {"$bytes": bytes(value).hex()}
    if kind in (list, collections.deque):
        return [inner(part) for part in value]
    if kind is tuple:
        return {"$tuple": [inner(part) for part in value]}
    if kind in (set, frozenset):
        return {"$set": [inner(part) for part in value]}
    if kind in (dict, collections.OrderedDict, collections.defaultdict, collections.Counter):
        return pairs(value.items())
    if kind is datetime.datetime:
        if zulu:
            return {"$datetime": value.astimezone(datetime.timezone.utc).isoformat().replace("+00:00", "Z")}
        zone = value.tzinfo
        if isinstance(zone, zoneinfo.ZoneInfo) and zone.key != "UTC":
            return {"$datetime": value.replace(tzinfo=None).isoformat() + f"[{zone.key}]"}
        return {"$datetime": value.isoformat()}
    if kind is datetime.date:
        return {"$date": value.isoformat()}
    if kind is datetime.time:
        return {"$time": value.isoformat()}
    if kind is decimal.Decimal:
        return {"$decimal": str(value)}
    if kind is uuid.UUID:
        return {"$uuid": str(value)}
    if kind in (Markup, SafeString):
        return {"$markup": str(value)}
    if kind is type:
        return {"$class": name(value)}
    marked = {"$object": name(kind)}
    if kind is datetime.timedelta:
        return marked | {"items": [value.days, value.seconds, value.microseconds]}
    if kind is complex:
        return marked | {"items": [inner(value.real), inner(value.imag)]}
    if kind is range:
        return marked | {"items": [value.start, value.stop, value.step]}
    if kind is Suit and value.__reduce_ex__(2)[0] is getattr:
        # Some versions write the name of the case, as that of a class.
        return {"$class": name(kind) + "." + value.name}
    if kind is Suit:
        return marked | {"value": value.value}
    if kind is Plain:
        return marked | {"fields": pairs(value.__dict__.items())}
    if kind is Slots:
        return marked | {"fields": pairs((key, getattr(value, key)) for key in ("a", "b"))}
    if kind is Point:
        return marked | {"items": [inner(part) for part in value]}
    if kind is OwnList:
        return marked | {"items": [inner(part) for part in value]}
    if kind is OwnDict:
        return marked | {"fields": pairs(value.items())}
    raise TypeError(kind)


def is_utf8(text):
    try:
        text.encode()
        return True
    except UnicodeEncodeError:
        return False


TEXTS = ["", "alice", "h\xe9\u20ac\U0001f600", "\0\x7f\r\n\"'\\u0041\\", "x" * 70, "</script>", " t", "$float", "\x1a\x85\u2028"]
FLOATS = [0.0, -0.0, 1.5, 1e15, 1e16, 1e22, 123456789012345678.0, 1e-4, 1e-5, 1e300, 5e-324, float("nan"), float("inf"), -float("inf"), 0.1]
INTS = [0, -1, 255, 256, 65535, 65536, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**63 - 1, -(2**63)]
BIG = [2**63, 2**64, -(2**63) - 1, 10**30, -(10**400), 2**2048]


class Make:
    def __init__(self, rng):
        self.rng = rng
        self.protocol = 5

    def text(self, lone=True):
        rng = self.rng
        if lone and rng.random() < 0.05:
            return "a\ud800" + rng.choice(TEXTS)
        return rng.choice(TEXTS) + (str(rng.randrange(1000)) if rng.random() < 0.5 else "")

    def integer(self, big=True):
        rng = self.rng
        return rng.choice(BIG if big and rng.random() < 0.2 else INTS) if rng.random() < 0.5 else rng.randrange(-(10**6), 10**6)

    def json(self, depth, big=True, lone=True, floats=FLOATS):
        rng = self.rng
        kind = rng.randrange(5 if depth == 0 else 8)
        if kind == 0:
            return rng.choice([None, True, False])
        if kind == 1:
            return self.integer(big)
        if kind == 2:
            return rng.choice(floats) if rng.random() < 0.5 else rng.uniform(-1e6, 1e6)
        if kind < 5:
            return self.text(lone)
        if kind == 5:
            return [self.json(depth - 1, big, lone, floats) for _ in range(rng.randrange(5))]
        return {self.text(lone): self.json(depth - 1, big, lone, floats) for _ in range(rng.randrange(5))}

    def zone(self):
        rng = self.rng
        kind = rng.randrange(5)
        if kind == 0:
            return None
        if kind == 1:
            return datetime.timezone.utc
        if kind == 2:
            return datetime.timezone(datetime.timedelta(seconds=rng.randrange(-86399, 86400)), rng.choice([None, "name"]) or "x")
        if kind == 3:
            return datetime.timezone(datetime.timedelta(minutes=rng.randrange(-1439, 1440), microseconds=rng.choice([0, 0, 0, 5])))
        return zoneinfo.ZoneInfo(rng.choice(["UTC", "Europe/Berlin", "Asia/Kolkata"]))

    def moment(self):
        rng = self.rng
        return datetime.datetime(
            rng.randrange(1, 10000), rng.randrange(1, 13), rng.randrange(1, 29), rng.randrange(24), rng.randrange(60),
            rng.randrange(60), rng.choice([0, 5, 999999, rng.randrange(10**6)]), self.zone(), fold=rng.randrange(2),
        )

    def key(self):
        rng = self.rng
        return rng.choice([
            self.text(), self.integer(), (1, "a"), b"\xff", None, True, 2.5, datetime.date(2025, 1, rng.randrange(1, 29)),
            frozenset([1]), uuid.UUID(int=rng.getrandbits(128)),
        ])

    def any(self, depth):
        rng = self.rng
        kind = rng.randrange(14 if depth == 0 else 34)
        def parts():
            return [self.any(depth - 1) for _ in range(rng.randrange(4))]
        if kind < 5:
            return self.json(0)
        if kind == 5:
            return rng.choice([b"", b"\xff\0", bytearray(b"ab\x80"), bytearray(), bytes(range(256)), rng.randbytes(300)])
        if kind == 6:
            return self.moment()
        if kind == 7:
            return self.moment().date()
        if kind == 8:
            moment = self.moment()
            zone = moment.tzinfo if isinstance(moment.tzinfo, datetime.timezone) else None
            return moment.time().replace(tzinfo=zone, fold=moment.fold)
        if kind == 9:
            return decimal.Decimal(rng.choice(["1.50", "-0", "NaN", "Infinity", "1E+5", "12345678901234567890.123", "1E-9"]))
        if kind == 10:
            return uuid.UUID(int=rng.choice([0, 1, 2**128 - 1, rng.getrandbits(128)]))
        if kind == 11:
            # The first protocols do not end with such text.
            kinds = [Markup, SafeString] if self.protocol > 1 else [str]
            return rng.choice(kinds)("<b>\u20ac" + str(rng.randrange(9)))
        if kind == 12:
            return rng.choice([datetime.timedelta(days=-3, seconds=5, microseconds=7), 1.5 - 2j, range(1, 9, 2), Suit.HEARTS])
        if kind == 13:
            return rng.choice([int, Plain, datetime.datetime])
        if kind < 18:
            return parts()
        if kind < 21:
            return tuple(parts())
        if kind < 24:
            return {self.key(): self.any(depth - 1) for _ in range(rng.randrange(4))}
        if kind < 27:
            return {self.text(): self.any(depth - 1) for _ in range(rng.randrange(4))}
        if kind == 27:
            return rng.choice([set, frozenset])(self.key() for _ in range(rng.randrange(4)))
        if kind == 28:
            return rng.choice([
                collections.OrderedDict([("b", self.any(depth - 1)), ("a", 1)]),
                collections.defaultdict(list, {"x": parts()}),
                collections.Counter("hello"),
                collections.deque(parts(), rng.choice([None, 9])),
                collections.OrderedDict(),
            ])
        if kind == 29:
            return Plain(one=self.any(depth - 1), two=self.text())
        if kind == 30:
            # The first protocols have no form for slots.
            slots = Slots() if self.protocol > 1 else Plain()
            slots.a, slots.b = self.any(depth - 1), 2
            return slots
        if kind == 31:
            return Point(self.any(depth - 1), "y")
        if kind == 32:
            return rng.choice([OwnList([1] + parts()), OwnDict({"k": self.any(depth - 1), "l": 1})])
        same = self.any(depth - 1)
        return [same, {"again": same}, (same, same)]

    def tagged(self, depth):
        """Values of Flask's cookie."""
        rng = self.rng
        kind = rng.randrange(12)
        if kind == 0:
            return rng.choice([b"", b"\xff\0", rng.randbytes(9)])
        if kind == 1:
            moment = self.moment().replace(microsecond=0, tzinfo=datetime.timezone.utc, year=rng.randrange(1000, 9999))
            return moment
        if kind == 2:
            return uuid.UUID(int=rng.choice([0, rng.getrandbits(128)]))
        if kind == 3:
            return Markup("<b>\u20ac")
        if depth > 0 and kind in (4, 5):
            return tuple(self.tagged(depth - 1) for _ in range(rng.randrange(4)))
        if depth > 0 and kind == 6:
            return [self.tagged(depth - 1) for _ in range(rng.randrange(4))]
        if depth > 0 and kind == 7:
            return {rng.choice([" t", " b", " u", " d", " m", " di", " t__", "a__"]): self.tagged(depth - 1)}
        if depth > 0 and kind == 8:
            return {self.text(): self.tagged(depth - 1) for _ in range(rng.randrange(4))}
        return self.json(0)

    def packed(self, depth):
        """Values of msgspec."""
        rng = self.rng
        kind = rng.randrange(12)
        if kind == 0:
            return rng.choice([b"", b"\xff\0", bytearray(b"x")])
        if kind == 1:
            moment = self.moment().replace(year=rng.randrange(2, 9999))
            return moment.replace(tzinfo=rng.choice([None, datetime.timezone.utc, datetime.timezone(datetime.timedelta(hours=-5))]))
        if kind == 2:
            return rng.choice([uuid.uuid4(), decimal.Decimal("1.50"), datetime.date(2025, 1, 2), datetime.timedelta(seconds=90)])
        if kind == 3:
            return rng.choice([2**63, 2**64 - 1, -(2**63), 5])
        if depth > 0 and kind in (4, 5):
            return rng.choice([tuple, list])(self.packed(depth - 1) for _ in range(rng.randrange(20)))
        if depth > 0 and kind in (6, 7):
            return {self.text(False): self.packed(depth - 1) for _ in range(rng.randrange(20))}
        return self.json(0, False, False)


class PickleSerializer:
    """As Django up to 4.2 had it."""

    def dumps(self, value):
        return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)

    def loads(self, data):
        return pickle.loads(data)


def pure(value, protocol):
    """The pickle of Python's own implementation, which differs from the one in C."""
    import io
    out = io.BytesIO()
    pickle._Pickler(out, protocol).dump(value)
    return out.getvalue()


def show(kind, data, value, zulu=False):
    if isinstance(data, str):
        data = data.encode()
    text = json.dumps(notation(value, zulu))
    print(kind, base64.b64encode(data).decode(), repr(time.time()), text, sep="\t")


def written(seed, count, directory):
    make = Make(random.Random(seed))
    rng = make.rng
    beaker_sessions, flask_sessions, starlette_sessions = beaker(directory), flask(directory), starlette()
    for number in range(count):
        protocol = make.protocol = number % 6
        whole = {make.text(): make.any(3) for _ in range(rng.randrange(6))}
        show("pickle", rng.choice([pickle.dumps, pure])(whole, protocol), whole)
        plain = {make.text(): make.json(3) for _ in range(rng.randrange(6))}
        # JSON has no more digits than Python reads.
        store = db.SessionStore()
        show("django-row", store.encode(plain), plain)
        store.serializer = PickleSerializer
        show("django-row", store.encode(whole), whole)
        old = signing.dumps(plain, key="an old one", salt=store.key_salt, serializer=signing.JSONSerializer)
        show("django-row", old, plain)
        cookie = signed_cookies.SessionStore()
        cookie.update(plain)
        cookie.save()
        show("django-cookie", cookie.session_key, plain)
        files = file.SessionStore()
        files.create()
        files._session_cache = plain
        files.save()
        with open(files._key_to_file(), "rb") as stored:
            show("django-row", stored.read(), plain)
        cache = FileBasedCache(directory, {})
        cache.set("session", whole, rng.choice([60, None]))
        with open(cache._key_to_file("session"), "rb") as stored:
            show("django-cache-file", stored.read(), whole)
        show("django-cache-row", base64.b64encode(pickle.dumps(whole, pickle.HIGHEST_PROTOCOL)), whole)
        flask_sessions(make)
        starlette_sessions(plain)
        if number % 4 == 0:
            beaker_sessions(make, whole, plain)


def flask(directory):
    import flask
    import flask_session.base
    import msgspec
    from flask_session.filesystem import FileSystemSessionInterface

    app = flask.Flask("app")
    app.config.update(SECRET_KEY="flask secret", SECRET_KEY_FALLBACKS=["an old one"])
    signer = app.session_interface.get_signing_serializer(app)
    files = FileSystemSessionInterface(app, cache_dir=os.path.join(directory, "flask"))
    formats = {kind: flask_session.base.MsgSpecSerializer(app, kind) for kind in ("msgpack", "json")}

    def sessions(make):
        tagged = {make.text(): make.tagged(3) for _ in range(make.rng.randrange(6))}
        with app.app_context():
            # The keys are sorted, so they are text of one kind.
            text = signer.dumps(tagged)
            show("flask-cookie", text, signer.loads(text), zulu=True)
        packed = {make.text(False): make.packed(3) for _ in range(make.rng.randrange(20))}
        for kind, serializer in formats.items():
            data = serializer.encode(packed)
            show("flask-session", data, serializer.decode(data), zulu=True)
        show("flask-session", pickle.dumps(packed), packed) if not has_zones(packed) else None
        whole = {make.text(): make.any(2) for _ in range(make.rng.randrange(6))}
        files._upsert_session(datetime.timedelta(days=31), whole, "session:id")
        with open(files.cache._get_filename("session:id"), "rb") as stored:
            show("flask-session-file", stored.read(), whole)
        show("flask-session-id", flask_session.base.Signer("flask secret", salt="flask-session", key_derivation="hmac").sign(b"an-id_5"), "an-id_5")

    return sessions


def has_zones(value):
    return "$datetime" in json.dumps(notation(value, False))


def starlette():
    import asyncio
    from starlette.middleware.sessions import SessionMiddleware

    def sessions(plain):
        async def app(scope, receive, send):
            scope["session"].update(plain)
            scope["session"]["one"] = 1
            await send({"type": "http.response.start", "status": 200, "headers": []})

        sent = []

        async def send(message):
            sent.append(message)

        middleware = SessionMiddleware(app, secret_key="starlette secret")
        asyncio.run(middleware({"type": "http", "headers": []}, None, send))
        cookie = dict(sent[0]["headers"])[b"set-cookie"].split(b";")[0]
        show("starlette-cookie", cookie, plain | {"one": 1})

    return sessions


def beaker(directory):
    import beaker.session

    def sessions(make, whole, plain):
        for kind, value, options in [
            ("pickle", whole, {}),
            ("json", plain, {"data_serializer": "json"}),
            ("encrypted", whole, {"encrypt_key": "an encrypt key", "validate_key": "a validate key"}),
            ("counter", whole, {"encrypt_key": "an encrypt key", "validate_key": "a validate key", "crypto_type": "pycryptodome", "encrypt_nonce_bits": 48}),
            ("json-encrypted", plain, {"encrypt_key": "an encrypt key", "validate_key": "a validate key", "data_serializer": "json"}),
        ]:
            stored = beaker.session.Session({}, data_dir=os.path.join(directory, "beaker"), use_cookies=False, type="file", **options)
            stored.update(value)
            stored.save()
            with open(stored.namespace.file, "rb") as data:
                show("beaker-file-" + kind, data.read(), dict(stored))
            small = {make.text(): make.json(1) for _ in range(3)}
            if len(json.dumps(small)) > 2000:
                continue
            request = {"cookie": ""}
            cookie = beaker.session.CookieSession(request, **({"validate_key": "a validate key"} | options))
            cookie.update(small)
            cookie.save()
            show("beaker-cookie-" + kind, request["cookie_out"].strip().split(";")[0], dict(cookie))

    return sessions


def read():
    for line in sys.stdin:
        print(json.dumps(notation(db.SessionStore().decode(line.rstrip("\n")))))


if sys.argv[1] == "read":
    read()
else:
    written(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
