#!/usr/bin/env python3
"""schema_tables.py OUT.c SCHEMA...: turns schema/ into the constant tables of api/schema.h."""

import json
import sys

from schema_lang import Schema

SCALAR_ENUM = {"string": "STRING", "bytes": "BYTES", "bool": "BOOL", "int32": "INT32",
               "int64": "INT64", "double": "DOUBLE", "quantity": "QUANTITY",
               "int-or-string": "INT_OR_STRING", "time": "TIME", "micro-time": "MICRO_TIME",
               "duration": "DURATION", "any": "ANY", "object": "ANY"}
VERBS = {"get": "GET", "list": "LIST", "watch": "WATCH", "create": "CREATE", "update": "UPDATE",
         "patch": "PATCH", "delete": "DELETE", "deletecollection": "DELETE_COLLECTION"}


def quote(text):
    return json.dumps(text, ensure_ascii=False) if text is not None else "NULL"


def hash_name(name):
    """schema_name_hash() of schema.h."""
    raw = name.encode()
    n = len(raw)
    if n == 0:
        return 0
    return (n + raw[0] * 5 + raw[n - 1] * 17 + raw[n // 2] * 33) & 0xffff


WIRE_TYPE = {"bool": 0, "int32": 0, "int64": 0, "double": 1}
# What gogo writes for a member without a pointer that is absent. A time, a duration of nothing and
# free JSON are messages: empty, {1: 0}, and empty.
WIRE_ZERO = {"string": b"\0", "bool": b"\0", "int32": b"\0", "int64": b"\0", "double": bytes(8),
             "time": b"\0", "micro-time": b"\0", "duration": b"\x02\x08\0", "any": b"\0", "object": b"\0",
             "quantity": b"\x03\x0a\x01\x30", "int-or-string": b"\x06\x08\0\x10\0\x1a\0", "bytes": None}


def varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7f | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


class Tables:
    def __init__(self, schema):
        self.schema, self.out, self.lists = schema, [], {}
        self.ids = {t: i for i, t in enumerate(schema.types.values())}
        self.nested = {}

    def add(self, line):
        self.out.append(line)

    def strings(self, items):
        """The name of a shared NULL-ended list."""
        if not items:
            return "NULL"
        key = tuple(items)
        if key not in self.lists:
            self.lists[key] = f"list_{len(self.lists)}"
        return self.lists[key]

    def zero(self, type_):
        """Canonical JSON of an empty value of the type: what is written also when empty."""
        parts = []
        for field in type_.fields:
            if "keep" in field.words:
                parts.append(json.dumps(field.name) + ":" + self.zero_field(field))
        return "{" + ",".join(parts) + "}"

    def zero_field(self, field):
        if field.shape != "one" or field.pointer:
            return "null"
        if field.struct is not None:
            return self.zero(field.struct)
        return {"string": '""', "bool": "false", "int32": "0", "int64": "0", "double": "0",
                "quantity": '"0"', "int-or-string": "0", "duration": '"0s"'}.get(field.type, "null")

    def flags(self, field):
        words, flags = field.words, []
        if "required" in words:
            flags.append("API_REQUIRED")
        if "keep" not in words:
            flags.append("API_OMIT_EMPTY")
        if field.pointer:
            flags.append("API_POINTER")
        if "atomic" in words and field.shape != "list":
            flags.append("API_MAP_ATOMIC")
        if "granular" in words:
            flags.append("API_MAP_GRANULAR")
        if "retain-keys" in words:
            flags.append("API_RETAIN_KEYS")
        if "merge" in words:
            flags.append("API_PATCH_MERGE")
        if "replace" in words:
            flags.append("API_PATCH_REPLACE")
        if "lenient" in words:
            flags.append("API_LENIENT")
        if field.type == "object":
            flags.append("API_EMBEDDED_OBJECT")
        return " | ".join(flags) or "0"

    def field(self, field, index):
        words = field.words
        shape, kind, struct = field.shape, SCALAR_ENUM.get(field.type, "STRUCT"), field.struct
        struct_ref = f"&struct_{self.ids[struct]}" if struct is not None else "NULL"
        if field.nested:
            kind, struct_ref = "NESTED", f"&nested_{self.nest(field)}"
        list_type = "API_LIST_NONE"
        if shape == "list":
            list_type = ("API_LIST_MAP" if "map" in words else "API_LIST_SET" if "set" in words
                         else "API_LIST_ATOMIC" if "atomic" in words else "API_LIST_NONE")
        enum = [("" if v == '""' else v.replace("_", " "))
                for v in words["enum"].split("|")] if "enum" in words else []
        row = [f".name = {quote(field.name)}", f".name_n = {len(field.name)}",
               f".number = {field.number}", f".outer = {field.outer}", f".type = API_TYPE_{kind}",
               f".shape = API_SHAPE_{shape.upper()}",
               f".wire = API_WIRE_{words.get('wire', 'plain').replace('-', '_').upper()}", f".list = {list_type}",
               f".flags = {self.flags(field)}", f".index = {index}"]
        if struct_ref != "NULL":
            row.append(f".type_struct = {struct_ref}")
        if words.get("merge"):
            row.append(f".merge_key = {quote(words['merge'])}")
        if "map" in words:
            row.append(f".list_keys = {self.strings(words['map'].split(','))}")
        if enum:
            row.append(f".enum_values = {self.strings(enum)}")
        if "default" in words:
            row.append(f".default_json = {quote(words['default'])}")
        row.append(f".doc = {quote(field.doc)}")
        return "    {" + ", ".join(row) + "},"

    def nest(self, field):
        """{[T]}: the member of the map is described by a field of its own."""
        key = (field.nested, field.type)
        return self.nested.setdefault(key, len(self.nested))

    def defaulted(self, type_):
        """Whether an empty value of the type gets a static default, also in structs that are always there."""
        return any("default" in f.words or (f.struct is not None and f.shape == "one" and not f.pointer
                                            and self.defaulted(f.struct)) for f in type_.fields)

    def slots(self, type_):
        size = 4
        while size < 2 * len(type_.fields):
            size *= 2
        slots = [0] * size
        for index, field in enumerate(type_.fields):
            at = hash_name(field.name) & (size - 1)
            while slots[at]:
                at = (at + 1) & (size - 1)
            slots[at] = index + 1
        return slots

    # ---- protobuf ----

    def wire_tree(self, type_):
        """The fields of a message in wire order; messages that JSON flattens are lists in it."""
        top = {}
        for index, field in enumerate(type_.fields):
            if field.number == 0:
                continue
            level = top
            for part in [n for n in (field.outer >> 8, field.outer & 0xff) if n]:
                level = level.setdefault(part, {})
            level[field.number] = (index, field)
        return top

    def tag(self, number, field):
        kind = 2 if field.shape == "map" or field.nested or field.struct is not None else WIRE_TYPE.get(field.type, 2)
        return number << 3 | kind

    def field_zero(self, number, field):
        """What is on the wire for the absent field."""
        if field.shape != "one" or field.pointer:
            return b""
        if field.struct is not None:
            inner = self.tree_zero(self.wire_tree(field.struct))
            inner = varint(len(inner)) + inner
        else:
            inner = WIRE_ZERO[field.type]
        return b"" if inner is None else varint(self.tag(number, field)) + inner

    def tree_zero(self, tree):
        out = b""
        for number, entry in sorted(tree.items()):
            if isinstance(entry, dict):
                inner = self.tree_zero(entry)
                out += varint(number << 3 | 2) + varint(len(inner)) + inner
            else:
                out += self.field_zero(number, entry[1])
        return out

    def message(self, name, tree, count, groups):
        """One table of steps; `groups` collects the messages inside."""
        zeros, steps, ranks = b"", [], [0xffff] * count
        for rank, (number, entry) in enumerate(sorted(tree.items())):
            if isinstance(entry, dict):
                inner = f"{name}_{number}"
                groups.append(self.message(inner, entry, count, groups))
                steps.append(f"    {{.tag = {number << 3 | 2}, .zero_at = {len(zeros)}, .group = &{inner}}},")
                zeros += varint(number << 3 | 2) + (lambda z: varint(len(z)) + z)(self.tree_zero(entry))
            else:
                index, field = entry
                ranks[index] = rank
                steps.append(f"    {{.tag = {self.tag(number, field)}, .zero_at = {len(zeros)}, .field = {index}}},")
                zeros += self.field_zero(number, field)
        text = "".join(f"\\{b:03o}" for b in zeros)
        lines = [f"static const struct api_step {name}_steps[] = {{", *steps, "};",
                 f"static const uint16_t {name}_ranks[] = {{{', '.join(map(str, ranks))}}};"]
        grouped = any(isinstance(e, dict) for e in tree.values())
        lines.append(f"static const struct api_message {name} = {{.steps = {name}_steps, .ranks = {name}_ranks, "
                     f".zeros = \"{text}\", .count = {len(steps)}, .zero_n = {len(zeros)}, "
                     f".grouped = {str(grouped).lower()}}};")
        return "\n".join(lines)

    def wire(self, type_):
        tree, groups = self.wire_tree(type_), []
        if type_.proto is None or not (tree or not type_.fields):
            return "NULL"
        if not tree:
            return "&schema_message_empty"
        name = f"message_{self.ids[type_]}"
        top = self.message(name, tree, len(type_.fields), groups)
        for text in groups + [top]:
            self.add(text)
        return "&" + name

    def type(self, type_):
        i = self.ids[type_]
        if type_.fields:
            self.add(f"static const struct api_field fields_{i}[] = {{")
            for index, field in enumerate(type_.fields):
                self.add(self.field(field, index))
            self.add("};")
        slots = self.slots(type_)
        self.add(f"static const uint16_t slots_{i}[] = {{{', '.join(map(str, slots))}}};")
        flags = [n for n, on in (("API_MAP_ATOMIC", type_.atomic), ("API_PRESERVE_UNKNOWN", type_.preserve),
                                 ("API_OBJECT", type_.object), ("API_DEFAULTED", self.defaulted(type_))) if on]
        self.add(f"static const struct api_struct struct_{i} = {{.name = {quote(type_.definition)}, "
                 f".doc = {quote(type_.doc)}, .fields = {f'fields_{i}' if type_.fields else 'NULL'}, "
                 f".count = {len(type_.fields)}, .flags = {' | '.join(flags) or '0'}, "
                 f".slot_mask = {len(slots) - 1}, .slots = slots_{i}, "
                 f".proto_name = {quote(type_.proto)}, .message = {self.wire(type_)}, .zero = {quote(self.zero(type_))}}};")

    def verbs(self, verbs):
        return " | ".join("API_VERB_" + VERBS[v] for v in verbs) or "0"

    def resource(self, resource, i, by_kind):
        package = resource.package
        if resource.columns:
            self.add(f"static const struct api_column columns_{i}[] = {{")
            for c in resource.columns:
                self.add(f"    {{{quote(c.name)}, {quote(c.type)}, {quote(c.format)}, {quote(c.doc)}, {c.priority}}},")
            self.add("};")
        if resource.subresources:
            self.add(f"static const struct api_subresource subresources_{i}[] = {{")
            for name, body, verbs in resource.subresources:
                kind, group, version = resource.kind, "", ""
                if body:
                    pkg, kind = body.rsplit(".", 1)
                    group, version = self.schema.packages[pkg].group, self.schema.packages[pkg].version
                self.add(f"    {{{quote(name)}, {quote(group)}, {quote(version)}, {quote(kind)}, {self.verbs(verbs)}}},")
            self.add("};")
        storage = by_kind[resource.storage or package.name + "." + resource.kind]
        self.add(f"extern const struct api_ops ops_{resource.ops};")
        self.add(f"static const struct api_resource resource_{i} = {{.group = {quote(package.group)}, "
                 f".version = {quote(package.version)}, .kind = {quote(resource.kind)}, "
                 f".list_kind = {quote(resource.kind + 'List')}, .plural = {quote(resource.plural)}, "
                 f".singular = {quote(resource.singular)}, .short_names = {self.strings(resource.short)}, "
                 f".categories = {self.strings(resource.categories)}, "
                 f".namespaced = {str(resource.namespaced).lower()}, .served = {str(resource.served).lower()}, "
                 f".patient = {str(resource.patient).lower()}, .stored = {str(not resource.virtual).lower()}, .verbs = {self.verbs(resource.verbs)}, "
                 f".id = {i}, .type = &struct_{self.ids[resource.type]}, "
                 f".subresources = {f'subresources_{i}' if resource.subresources else 'NULL'}, "
                 f".subresource_count = {len(resource.subresources)}, "
                 f".columns = {f'columns_{i}' if resource.columns else 'NULL'}, "
                 f".column_count = {len(resource.columns)}, .storage = &resource_{storage}, "
                 f".field_selectors = {self.strings(resource.select)}, .deprecated = {quote(resource.deprecated)}, .ops = &ops_{resource.ops}}};")

    def write(self, path):
        for type_ in self.schema.types.values():
            self.type(type_)
        by_kind = {r.package.name + "." + r.kind: i for i, r in enumerate(self.schema.resources)}
        for i, resource in enumerate(self.schema.resources):
            self.resource(resource, i, by_kind)
        self.indexes()
        head = ['/* Made by tools/gen/schema_tables.py from schema/. */', '#include "api/schema_int.h"']
        head += [f"static const struct api_struct struct_{i};" for i in range(len(self.ids))]
        head += [f"static const struct api_resource resource_{i};" for i in range(len(self.schema.resources))]
        for items, name in self.lists.items():
            head.append(f"static const char *const {name}[] = {{{', '.join(map(quote, items))}, NULL}};")
        for (shape, kind), i in self.nested.items():
            head.append(f"static const struct api_field nested_field_{i} = {{.name = \"\", .doc = \"\", "
                        f".type = API_TYPE_{SCALAR_ENUM[kind]}, .shape = API_SHAPE_{shape.upper()}, "
                        f".flags = API_OMIT_EMPTY}};")
            head.append(f"static const uint16_t nested_slots_{i}[] = {{0}};")
            head.append(f"static const struct api_struct nested_{i} = {{.name = \"\", .doc = \"\", "
                        f".fields = &nested_field_{i}, .count = 1, .slots = nested_slots_{i}, .zero = \"null\"}};")
        with open(path, "w", encoding="utf-8") as file:
            file.write("\n".join(head + self.out) + "\n")

    def index(self, name, ctype, rows):
        self.add(f"const {ctype} {name}[] = {{{', '.join(rows)}}};")
        self.add(f"const size_t {name}_count = {len(rows)};")

    def indexes(self):
        resources = list(enumerate(self.schema.resources))
        key = lambda r, name: (name.encode(), r.package.group.encode(), r.package.version.encode())
        self.index("schema_table_resources", "struct api_resource *const", [f"&resource_{i}" for i, _ in resources])
        self.index("schema_table_by_plural", "struct api_resource *const",
                   [f"&resource_{i}" for i, r in sorted(resources, key=lambda p: key(p[1], p[1].plural))])
        self.index("schema_table_by_kind", "struct api_resource *const",
                   [f"&resource_{i}" for i, r in sorted(resources, key=lambda p: key(p[1], p[1].kind))])
        types = sorted(self.ids.items(), key=lambda p: p[0].definition.encode())
        self.index("schema_table_structs", "struct api_struct *const", [f"&struct_{i}" for _, i in types])
        kinds = sorted(((t, i) for t, i in self.ids.items() if t.object),
                       key=lambda p: (p[0].name.encode(), p[0].package.group.encode(), p[0].package.version.encode()))
        self.index("schema_table_kinds", "struct schema_kind_row", [
            f"{{{quote(t.name)}, {quote(t.package.group)}, {quote(t.package.version)}, &struct_{i}}}"
            for t, i in kinds])


def main():
    out, *paths = sys.argv[1:]
    Tables(Schema(paths)).write(out)


if __name__ == "__main__":
    main()
