"""The schema language: text files in schema/ that describe packages, types and resources.

A file is lines; two spaces of indentation belong to the line above. '#' starts a comment line.

    package core/v1                      short name, used as core/v1.Pod by other packages
      definitions io.k8s.api.core.v1     prefix of the OpenAPI definition names
      proto k8s.io.api.core.v1           protobuf package
      group "" v1                        API group and version

    type PodSpec [object] [atomic] [preserve]
      " What it is, in a sentence.
      20 initContainers [Container] map(name) merge(name)
        " What the field does.

A type is 'object' when it carries kind and apiVersion (they come first and are not written down).
A field is: protobuf number ('-' none, '2.1' inside a message that JSON flattens), JSON name, type,
words. Types: string bytes bool int32 int64 double quantity int-or-string time micro-time duration
any object (any API object), or the name of a type; [T] a list, {T} a map; T? is a pointer: absent
and zero differ. Order of fields is the order on output. Words:

    required          must be present        keep        written also when empty
    atomic set map(k,...)  list (map, struct) type of server-side apply
    granular               a struct that is atomic elsewhere, but not here
    merge merge(key) retain-keys replace     strategic merge patch
    default JSON      static default         enum A|B    allowed values ("" is empty, _ is a space)
    wire(FORM)        protobuf has a message for these forms of JSON: schema-or-array, schema-or-bool,
                      schema-or-strings, where a schema is the type around
    lenient           a value of another type is kept as it is, for validation to judge

    resource pods Pod namespaced|cluster [served] [virtual]
      singular S / short A B / categories C / verbs V... / subresource NAME [pkg.Kind] VERBS...
      storage pkg.Kind      another kind is what is stored
      select F...           fields allowed in field selectors
      patient               updates may wait a moment, so that several share one sync
      deprecated TEXT       what every request to it is warned with
      ops NAME              its strategy is struct api_ops ops_NAME; generic without
      column "Name" TYPE FORMAT|- PRIORITY   of the server's tables, with a " text
"""

import json
import re
import sys

SCALARS = ("string bytes bool int32 int64 double quantity int-or-string time micro-time duration "
           "any object").split()


class Field:
    def __init__(self, **kw):
        self.doc = ""
        self.__dict__.update(kw)


class Type:
    def __init__(self, package, name, words):
        self.package, self.name, self.doc, self.fields = package, name, "", []
        self.object = "object" in words
        self.atomic = "atomic" in words
        self.preserve = "preserve" in words
        self.definition = package.definitions + "." + name
        self.proto = package.proto + "." + name if package.proto else None
        if self.object:
            for name, doc in (("kind", "Which kind of object this is."),
                              ("apiVersion", "Group and version whose schema this object follows.")):
                self.fields.append(Field(name=name, number=0, outer=0, type="string", shape="one",
                                         nested=None, struct=None, words={}, pointer=False, doc=doc))


class Resource:
    def __init__(self, package, words):
        self.package, self.plural, self.kind = package, words[0], words[1]
        self.namespaced = words[2] == "namespaced"
        self.served, self.virtual = "served" in words, "virtual" in words
        self.singular = self.kind.lower()
        self.short, self.categories, self.verbs, self.select = [], [], [], []
        self.subresources, self.columns = [], []
        self.patient = False
        self.storage, self.ops, self.deprecated = None, "generic", None


class Package:
    def __init__(self, name):
        self.name, self.definitions, self.proto, self.group, self.version = name, "", "", "", ""


class SchemaError(Exception):
    pass


class Schema:
    """All files together. types: by 'package.Name'."""

    def __init__(self, paths):
        self.packages, self.types, self.resources = {}, {}, []
        for path in paths:
            self.read(path)
        self.check()

    def read(self, path):
        package = owner = target = None
        with open(path, encoding="utf-8") as lines:
            for number, raw in enumerate(lines, 1):
                line = raw.rstrip("\n")
                if not line.strip() or line.lstrip().startswith("#"):
                    continue
                depth = (len(line) - len(line.lstrip())) // 2
                text = line.strip()
                try:
                    if text.startswith('" '):
                        target.doc = (target.doc + " " + text[2:]).strip()
                    elif depth == 0:
                        owner = target = self.top(package, text)
                        if isinstance(owner, Package):
                            package = owner
                    else:
                        target = self.inner(package, owner, text) or owner
                except (SchemaError, ValueError, IndexError, AttributeError) as error:
                    sys.exit(f"{path}:{number}: {error}: {text}")

    def top(self, package, text):
        word, *rest = text.split()
        if word == "package":
            return self.packages.setdefault(rest[0], Package(rest[0]))
        if word == "type":
            made = Type(package, rest[0], rest[1:])
            if self.types.setdefault(package.name + "." + rest[0], made) is not made:
                raise SchemaError("type twice")
            return made
        if word == "resource":
            self.resources.append(Resource(package, rest))
            return self.resources[-1]
        raise SchemaError("package, type or resource expected")

    def inner(self, package, owner, text):
        if isinstance(owner, Type):
            owner.fields.append(parse_field(text))
            return owner.fields[-1]
        word, *rest = text.split()
        if isinstance(owner, Package):
            if word == "group":
                owner.group, owner.version = rest[0].strip('"'), rest[1]
            elif word in ("definitions", "proto"):
                setattr(owner, word, rest[0])
            else:
                raise SchemaError("unknown word")
            return None
        return parse_resource_line(owner, word, rest, text)

    def check(self):
        for type_ in self.types.values():
            for field in type_.fields:
                where = f"{type_.package.name}.{type_.name}.{field.name}"
                if field.type not in SCALARS:
                    name = field.type if "." in field.type else type_.package.name + "." + field.type
                    if name not in self.types:
                        sys.exit(f"{where}: no type {name}")
                    field.struct = self.types[name]
                try:
                    check_field(field)
                except (SchemaError, ValueError) as error:
                    sys.exit(f"{where}: {error}")
        for resource in self.resources:
            resource.type = self.types[resource.package.name + "." + resource.kind]
        self.check_docs()

    def check_docs(self):
        """kubectl explain must have something to say about everything that is served."""
        todo = [r.type for r in self.resources if r.served]
        todo += [self.types[body] for r in self.resources if r.served
                 for _, body, _ in r.subresources if body in self.types]
        seen = set()
        while todo:
            type_ = todo.pop()
            if type_ in seen:
                continue
            seen.add(type_)
            for field in type_.fields:
                if not field.doc or not type_.doc:
                    sys.exit(f"{type_.package.name}.{type_.name}.{field.name}: served, but has no text")
                if field.struct is not None:
                    todo.append(field.struct)


def check_field(field):
    words = field.words
    names = {f.name for f in field.struct.fields} if field.struct is not None else set()
    for key in words["map"].split(",") if "map" in words else []:
        if field.shape != "list" or key not in names:
            raise SchemaError(f"no key {key} in the members")
    if words.get("merge") and (field.shape != "list" or words["merge"] not in names):
        raise SchemaError(f"no merge key {words['merge']} in the members")
    if "default" in words:
        default = json.loads(words["default"])
        if isinstance(default, str) and "enum" in words and \
                default not in [v.replace('""', "") for v in words["enum"].split("|")]:
            raise SchemaError(f"the default {default} is no value of the enum")


def parse_field(text):
    match = re.match(r"(\S+) (\S+) (\S+)\s*(.*)$", text)
    number, name, kind, rest = match.groups()
    pointer = kind.endswith("?")
    kind = kind.rstrip("?")
    shape, nested = "one", None
    if kind[0] in "[{":
        shape = "list" if kind[0] == "[" else "map"
        kind = kind[1:-1]
        if kind[0] in "[{":  # map of lists: extra values of users
            nested, kind = ("list" if kind[0] == "[" else "map"), kind[1:-1]
    numbers = [] if number == "-" else [int(n) for n in number.split(".")]
    outer = 0
    for part in numbers[:-1]:
        outer = outer << 8 | part
    return Field(name=name, number=numbers[-1] if numbers else 0, outer=outer, type=kind, shape=shape,
                 nested=nested, pointer=pointer, words=parse_words(rest), struct=None)


def parse_words(rest):
    words = {}
    while rest:
        match = re.match(r"(default) (\"(?:[^\"\\]|\\.)*\"|[\[{].*?[\]}](?= |$)|\S+)\s*(.*)$", rest) or \
            re.match(r"(enum) (\S+)\s*(.*)$", rest) or \
            re.match(r"(map|merge|wire)\(([^)]*)\)\s*(.*)$", rest) or \
            re.match(r"(required|keep|atomic|granular|set|merge|retain-keys|replace|lenient)()(?= |$)\s*(.*)$", rest)
        if match is None:
            raise SchemaError("unknown word in " + rest)
        words[match[1]] = match[2]
        rest = match[3]
    return words


def parse_resource_line(resource, word, rest, text):
    if word in ("singular", "storage", "ops"):
        setattr(resource, word, rest[0])
    elif word == "patient":
        resource.patient = True
    elif word == "deprecated":
        resource.deprecated = " ".join(rest)
    elif word in ("short", "categories", "verbs", "select"):
        getattr(resource, word).extend(rest)
    elif word == "subresource":
        body = rest.pop(1) if "." in rest[1] else None
        resource.subresources.append((rest[0], body, rest[1:]))
    elif word == "column":
        match = re.match(r'column "([^"]*)" (\S+) (\S+) (\d+)$', text)
        resource.columns.append(Field(name=match[1], type=match[2],
                                      format=match[3].replace("-", "") if match[3] == "-" else match[3],
                                      priority=int(match[4])))
        return resource.columns[-1]
    else:
        raise SchemaError("unknown word")
    return None
