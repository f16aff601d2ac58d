#!/usr/bin/env python3
"""make_image.py OUT: a small Docker archive for the node's tests, from the machine's static busybox (Debian's busybox-static)."""
import hashlib
import io
import json
import subprocess
import sys
import tarfile

busybox = "/bin/busybox"


def tar_of(entries):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind, data in entries:
            info = tarfile.TarInfo(name)
            if kind == "dir":
                info.type, info.mode = tarfile.DIRTYPE, data
            elif kind == "link":
                info.type, info.linkname, info.mode = tarfile.SYMTYPE, data, 0o777
            else:
                info.size, info.mode = len(data), 0o755 if kind == "exe" else 0o644
            tar.addfile(info, io.BytesIO(data) if kind in ("exe", "file") else None)
    return out.getvalue()


with open(busybox, "rb") as f:
    program = f.read()
applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
first = [("bin", "dir", 0o755), ("bin/busybox", "exe", program), ("etc", "dir", 0o755), ("tmp", "dir", 0o1777), ("old", "dir", 0o755),
         ("old/gone", "file", b"x"), ("old/kept", "file", b"y"), ("opaque", "dir", 0o755), ("opaque/below", "file", b"z"),
         ("etc/passwd", "file", b"root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001:app:/home/app:/bin/sh\n"),
         ("etc/group", "file", b"root:x:0:\napp:x:1001:\nextra:x:2000:app\n")]
first += [("bin/" + a, "link", "busybox") for a in applets if a != "busybox"]
second = [("old/.wh.gone", "file", b""), ("opaque", "dir", 0o755), ("opaque/.wh..wh..opq", "file", b""), ("opaque/above", "file", b"a"),
          ("greeting", "file", b"hello from the image\n")]
layers = [tar_of(first), tar_of(second)]
config = json.dumps({"architecture": "amd64", "os": "linux",
                     "config": {"Env": ["PATH=/bin", "FROM_IMAGE=yes"], "Entrypoint": None, "Cmd": ["/bin/sh", "-c", "echo default"], "WorkingDir": "/"},
                     "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(x).hexdigest() for x in layers]}}).encode()
names = [str(i) + "/layer.tar" for i in range(len(layers))]
manifest = json.dumps([{"Config": "config.json", "RepoTags": ["cox.test/box:1", "cox.test/box:other"], "Layers": names}]).encode()
with open(sys.argv[1], "wb") as f:
    f.write(tar_of([(n, "file", x) for n, x in zip(names, layers)] + [("config.json", "file", config), ("manifest.json", "file", manifest)]))
