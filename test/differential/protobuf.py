"""protobuf.py: JSON objects to Kubernetes' protobuf and back, by the tables in schema/.

The envelope is "k8s\\0" and a runtime.Unknown {1: {1: apiVersion, 2: kind}, 2: raw}. It shares nothing with the server's codec but schema/, so that both can be wrong only together there.
"""
import base64
import datetime
import functools
import glob
import json
import os
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tools", "gen"))
import schema_lang  # noqa: E402

TYPE = "application/vnd.kubernetes.protobuf"
MAGIC = b"k8s\0"


@functools.lru_cache(None)
def schema():
    return schema_lang.Schema(sorted(glob.glob(f"{TOP}/schema/**/*.schema", recursive=True)))


@functools.lru_cache(None)
def type_of(api_version, kind):
    group, version = api_version.rsplit("/", 1) if "/" in api_version else ("", api_version)
    found = [t for t in schema().types.values() if t.name == kind and t.package.version == version and t.package.group == group]
    if not found and kind.endswith("Table"):
        return None
    if not found:  # the kinds that belong to every group
        found = [t for t in schema().types.values() if t.name == kind and t.package.name == "meta/v1"]
    return found[0] if found else None


def varint(n):
    n &= (1 << 64) - 1
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def block(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def number_field(number, value):
    return varint(number << 3) + varint(int(value))


def time_bytes(text):
    when = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    return number_field(1, int(when.timestamp() // 1)) + number_field(2, when.microsecond * 1000)


def scalar(field, value):
    """(wire bytes after the number, as a function of the number)"""
    kind = field.type
    if kind in ("bool", "int32", "int64"):
        return lambda n: number_field(n, value)
    if kind == "double":
        import struct
        return lambda n: varint(n << 3 | 1) + struct.pack("<d", value)
    if kind == "string":
        return lambda n: block(n, value.encode())
    if kind == "bytes":
        return lambda n: block(n, base64.b64decode(value))
    if kind == "quantity":
        return lambda n: block(n, block(1, str(value).encode()))
    if kind == "int-or-string":
        inner = number_field(1, 0) + number_field(2, value) if isinstance(value, int) else number_field(1, 1) + block(3, value.encode())
        return lambda n: block(n, inner)
    if kind in ("time", "micro-time"):
        return lambda n: block(n, time_bytes(value))
    if kind in ("any", "object"):
        return lambda n: block(n, block(1, json.dumps(value).encode()))
    if kind == "duration":
        return lambda n: block(n, number_field(1, int(value)))
    return lambda n: block(n, message(field.struct, value))


def flat(field):
    """Numbers of the messages around the field that JSON flattens, outermost first."""
    out, outer = [], field.outer
    while outer:
        out.insert(0, outer & 255)
        outer >>= 8
    return out


def form(field, value):
    """What a schema, a list, a truth or texts are in protobuf (wire(...) in schema/)."""
    schema_type = type_named("apiextensions/v1.JSONSchemaProps")
    kind, out = field.words["wire"], b""
    if kind == "schema-or-bool":
        out = number_field(1, value is not False)
    if isinstance(value, dict):
        return out + block(2 if kind == "schema-or-bool" else 1, message(schema_type, value))
    if isinstance(value, list):
        return out + b"".join(block(2, v.encode() if kind == "schema-or-strings" else message(schema_type, v)) for v in value)
    return out


def type_named(name):
    return schema().types[name]


def encode_field(field, value):
    if value is None:
        return b""
    if "wire" in field.words:
        if field.shape == "map":
            return b"".join(block(field.number, block(1, k.encode()) + block(2, form(field, v))) for k, v in sorted(value.items()))
        return block(field.number, form(field, value))
    if field.shape == "list":
        return b"".join(scalar(field, v)(field.number) for v in value if v is not None)
    if field.shape == "map":
        out = b""
        for key in sorted(value):
            if field.nested == "list":
                inner = block(2, b"".join(scalar(field, v)(1) for v in value[key]))
            else:
                inner = scalar(field, value[key])(2)
            out += block(field.number, block(1, key.encode()) + inner)
        return out
    return scalar(field, value)(field.number)


def message(type_, value):
    groups, out = {}, []
    for field in type_.fields:
        if field.number and field.name in value:
            groups.setdefault(tuple(flat(field)), []).append((field.number, encode_field(field, value[field.name])))
    for path, parts in sorted(groups.items()):
        data = b"".join(part for _, part in sorted(parts, key=lambda p: p[0]))
        for n in reversed(path):
            data = block(n, data)
        out.append(data)
    return b"".join(out)


def encode_json(text):
    value = json.loads(text)
    type_ = type_of(value["apiVersion"], value["kind"])
    meta = block(1, value["apiVersion"].encode()) + block(2, value["kind"].encode())
    return MAGIC + block(1, meta) + block(2, message(type_, value))


# ---- back ----

def fields(data):
    pos = 0

    def read():
        nonlocal pos
        n = shift = 0
        while True:
            b = data[pos]
            pos += 1
            n |= (b & 127) << shift
            shift += 7
            if b < 128:
                return n

    while pos < len(data):
        key = read()
        if key & 7 == 0:
            value = read()
            yield key >> 3, value - (1 << 64) if value >> 63 else value
        elif key & 7 == 2:
            size = read()
            yield key >> 3, data[pos:pos + size]
            pos += size
        else:
            size = 8 if key & 7 == 1 else 4
            yield key >> 3, data[pos:pos + size]
            pos += size


def first(data, number, default=b""):
    for n, value in fields(data):
        if n == number:
            return value
    return default


def read_form(field, raw):
    kind, found = field.words["wire"], list(fields(raw))
    schema_type = type_named("apiextensions/v1.JSONSchemaProps")
    read = lambda data: dropped(schema_type, read_message(schema_type, data))
    if kind == "schema-or-bool":
        return next((read(value) for n, value in found if n == 2), bool(first(raw, 1, 0)))
    if any(n == 1 for n, _ in found):
        return read(first(raw, 1))
    return [value.decode() if kind == "schema-or-strings" else read(value) for _, value in found]


def read_scalar(field, raw):
    if "wire" in field.words:
        return read_form(field, raw)
    kind = field.type
    if kind == "bool":
        return bool(raw)
    if kind in ("int32", "int64"):
        return raw
    if kind == "double":
        import struct
        return struct.unpack("<d", raw)[0]
    if kind == "string":
        return raw.decode()
    if kind == "bytes":
        return base64.b64encode(raw).decode()
    if kind == "quantity":
        return first(raw, 1).decode()
    if kind == "int-or-string":
        return first(raw, 3).decode() if first(raw, 1, 0) == 1 else first(raw, 2, 0)
    if kind in ("time", "micro-time"):
        if not raw:
            return None
        micro = first(raw, 2, 0) // 1000
        when = datetime.datetime.fromtimestamp(first(raw, 1, 0), datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
        return when + (f".{micro:06d}Z" if kind == "micro-time" else "Z")
    if kind == "duration":
        return first(raw, 1, 0)
    if kind in ("any", "object"):
        text = first(raw, 1)
        if text.startswith(MAGIC):
            return decode(text)
        return json.loads(text) if text else None
    return read_message(field.struct, raw)


def read_message(type_, data, outer=(), out=None):
    out = {} if out is None else out
    table = {(tuple(flat(f)), f.number): f for f in type_.fields if f.number}
    prefixes = {key[0][:i] for key in table for i in range(1, len(key[0]) + 1)}
    for number, raw in fields(data):
        field = table.get((outer, number))
        if field is None:
            if outer + (number,) in prefixes:
                read_message(type_, raw, outer + (number,), out)
            else:
                out[f"field {number}"] = "not in the schema"
        elif field.shape == "list":
            out.setdefault(field.name, []).append(read_scalar(field, raw))
        elif field.shape == "map":
            key = first(raw, 1).decode()
            if field.nested == "list":
                value = [read_scalar(field, r) for n, r in fields(first(raw, 2)) if n == 1]
            else:
                value = read_scalar(field, first(raw, 2, 0 if field.type in ("bool", "int32", "int64") else b""))
            out.setdefault(field.name, {})[key] = value
        else:
            value = read_scalar(field, raw)
            if value is not None:
                out[field.name] = value
    return out


def dropped(type_, value):
    """What JSON leaves out when it is zero is left out here too: protobuf writes zeros."""
    for field in type_.fields:
        if field.name not in value:
            continue
        member = value[field.name]
        if field.struct is not None:
            for inner in member if field.shape == "list" else member.values() if field.shape == "map" else [member]:
                if isinstance(inner, dict):
                    dropped(field.struct, inner)
        if not field.pointer and "keep" not in field.words and "required" not in field.words and member in ("", 0, False, {}, []):
            del value[field.name]
    return value


def decode(data):
    if not data.startswith(MAGIC):
        raise ValueError("no k8s envelope")
    unknown = dict(fields(data[4:]))
    meta = dict(fields(unknown.get(1, b"")))
    version, kind = meta.get(1, b"").decode(), meta.get(2, b"").decode()
    out = {"kind": kind, "apiVersion": version}
    type_ = type_of(version, kind)
    if type_ is None:
        return {**out, "raw": base64.b64encode(unknown.get(2, b"")).decode()}
    out.update(dropped(type_, read_message(type_, unknown.get(2, b""))))
    return out
