#!/usr/bin/env python3
# Images and registries for tests/clients/images.
#   make DIR BUSYBOX        images as OCI layouts, one folder each: base, gzip, zstd, plain, docker, platforms
#   push URL DIR NAME       pushes the layout DIR/NAME as NAME:1 to a registry that asks for nothing
#   serve PORT OTHER        a registry that misbehaves: the name of a repository says how; OTHER: port of another host
#                           (served too). Prints "ready"; a line for each request that should not have come
import base64
import gzip
import hashlib
import http.client
import http.server
import io
import json
import os
import subprocess
import sys
import tarfile
import threading
import time
import urllib.parse

OCI = "application/vnd.oci.image."
DOCKER = "application/vnd.docker."
ARCH = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def tar(entries):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as t:
        for e in entries:
            data = e.get("data", b"")
            info = tarfile.TarInfo(e["name"])
            info.type = {"dir": tarfile.DIRTYPE, "sym": tarfile.SYMTYPE, "link": tarfile.LNKTYPE,
                         "dev": tarfile.CHRTYPE}.get(e.get("type"), tarfile.REGTYPE)
            info.mode = e.get("mode", 0o755 if info.type == tarfile.DIRTYPE else 0o644)
            info.uid, info.gid = e.get("uid", 0), e.get("gid", 0)
            info.linkname = e.get("to", "")
            info.mtime = 1700000000
            info.pax_headers = {"SCHILY.xattr." + k: v for k, v in e.get("xattrs", {}).items()}
            info.size = len(data)
            t.addfile(info, io.BytesIO(data))
    return out.getvalue()


def zstd(data):
    return subprocess.run(["zstd", "-q", "-c"], input=data, stdout=subprocess.PIPE, check=True).stdout


COMPRESS = {"": lambda d: d, "+gzip": lambda d: gzip.compress(d, 9 if len(d) > 50 << 20 else 1), "+zstd": zstd}
DOCKER_LAYER = {"": "", "+gzip": ".gzip", "+zstd": ".zstd"}


class Layout:
    """An OCI layout in memory: blobs by digest."""

    def __init__(self):
        self.blobs = {}
        self.tops = []

    def blob(self, data, kind, **more):
        self.blobs[digest(data)] = data
        return {"mediaType": kind, "digest": digest(data), "size": len(data), **more}

    def image(self, layers, form="+gzip", docker=False, arch=ARCH, config=None, diff_ids=None):
        config = {"architecture": arch, "os": "linux", "config": config or {},
                  "rootfs": {"type": "layers", "diff_ids": diff_ids or [digest(x) for x in layers]}}
        kinds = ((DOCKER + "container.image.v1+json", DOCKER + "image.rootfs.diff.tar" + DOCKER_LAYER[form],
                  DOCKER + "distribution.manifest.v2+json") if docker else
                 (OCI + "config.v1+json", OCI + "layer.v1.tar" + form, OCI + "manifest.v1+json"))
        manifest = {"schemaVersion": 2, "mediaType": kinds[2], "config": self.blob(json.dumps(config).encode(), kinds[0]),
                    "layers": [self.blob(COMPRESS[form](x), kinds[1]) for x in layers]}
        return self.blob(json.dumps(manifest).encode(), kinds[2])

    def index(self, entries, docker=False):
        kind = DOCKER + "distribution.manifest.list.v2+json" if docker else OCI + "index.v1+json"
        return self.blob(json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": entries}).encode(), kind)

    def write(self, path):
        os.makedirs(path + "/blobs/sha256", exist_ok=True)
        for d, data in self.blobs.items():
            with open(path + "/blobs/" + d.replace(":", "/"), "wb") as f:
                f.write(data)
        with open(path + "/index.json", "w") as f:
            json.dump({"schemaVersion": 2, "manifests": self.tops}, f)
        with open(path + "/oci-layout", "w") as f:
            f.write('{"imageLayoutVersion": "1.0.0"}')


def layers(busybox):
    with open(busybox, "rb") as f:
        program = f.read()
    capability = b"\x01\0\0\x02\0\x20\0\0" + bytes(12)  # cap_net_raw=ep, as linux/capability.h has it (version 2)
    base = [{"name": "bin/", "type": "dir"}, {"name": "bin/busybox", "data": program, "mode": 0o755},
            {"name": "bin/sh", "type": "sym", "to": "busybox"}, {"name": "etc/", "type": "dir"},
            {"name": "etc/passwd", "data": b"root:x:0:0::/root:/bin/sh\nweb:x:101:102::/srv:/bin/sh\n"},
            {"name": "tmp/", "type": "dir", "mode": 0o1777}, {"name": "data/", "type": "dir"}, {"name": "data/old", "data": b"old"},
            {"name": "etc/gone", "data": b"gone"}, {"name": "dev/console", "type": "dev"}]
    top = [{"name": "srv/web", "data": b"web", "uid": 101, "gid": 102, "mode": 0o640},
           {"name": "bin/suid", "data": b"#!/bin/sh\n", "mode": 0o4755, "uid": 101},
           {"name": "bin/ping", "data": b"x", "mode": 0o755, "xattrs": {"security.capability": capability.decode("latin-1")}},
           {"name": "bin/again", "type": "link", "to": "bin/busybox"}, {"name": "etc/.wh.gone"}, {"name": "data/.wh..wh..opq"},
           {"name": "data/new", "data": b"new"}, {"name": "tmp/file", "data": b"t"},
           {"name": "etc/Főtanúsítvány.crt", "data": b"utf8"}]
    return tar(base), tar(top)


CONFIG = {"Entrypoint": ["/bin/busybox"], "Cmd": ["httpd", "-f"], "Env": ["PATH=/bin", "A=b"], "User": "web", "WorkingDir": "/srv",
          "StopSignal": "SIGQUIT", "Volumes": {"/data": {}}, "ExposedPorts": {"8080/tcp": {}}}


def make(path, busybox):
    base, top = layers(busybox)
    for name, form, docker in (("gzip", "+gzip", False), ("zstd", "+zstd", False), ("plain", "", False), ("docker", "+gzip", True)):
        x = Layout()
        x.tops = [x.image([base, top], form, docker, config={**CONFIG, "Labels": {"name": name}})]
        x.tops[0]["annotations"] = {"io.containerd.image.name": "made.lan/%s:1" % name}
        x.write(path + "/" + name)
    for name, docker in (("platforms", False), ("list", True)):
        x = Layout()
        entries = [dict(x.image([base, tar([{"name": "arch", "data": a.encode()}])], docker=docker, arch=a),
                        platform={"os": "linux", "architecture": a}) for a in ("s390x", ARCH)]
        x.tops = [x.index(entries, docker)]
        x.write(path + "/" + name)


def call(base, method, path, data=None, kind=None):
    at = urllib.parse.urlsplit(base)
    c = http.client.HTTPConnection(at.hostname, at.port, timeout=20)
    c.request(method, path, data, {"Content-Type": kind} if kind else {})
    r = c.getresponse()
    r.read()
    if r.status >= 300:
        sys.exit("%s %s: %d" % (method, path, r.status))
    return r


def push(base, path, name):
    with open("%s/%s/index.json" % (path, name)) as f:
        top = json.load(f)["manifests"][0]

    def read(d):
        with open("%s/%s/blobs/%s" % (path, name, d.replace(":", "/")), "rb") as f:
            return f.read()

    def push_blob(d):
        r = call(base, "POST", "/v2/%s/blobs/uploads/" % name)
        at = urllib.parse.urlsplit(r.getheader("Location"))
        call(base, "PUT", "%s?%s&digest=%s" % (at.path, at.query, urllib.parse.quote(d)), read(d), "application/octet-stream")

    def push_manifest(d, kind, reference):
        document = json.loads(read(d))
        for m in document.get("manifests", []):
            push_manifest(m["digest"], m["mediaType"], m["digest"])
        for b in [document["config"]] + document["layers"] if "layers" in document else []:
            push_blob(b["digest"])
        call(base, "PUT", "/v2/%s/manifests/%s" % (name, reference), read(d), kind)

    push_manifest(top["digest"], top["mediaType"], "1")


# --- the registry that misbehaves ---

def bad_layouts():
    made = {}

    def add(name, entries, **more):
        x = Layout()
        x.tops = [x.image([tar(entries)], **more)]
        made[name] = x
        return x

    one = [{"name": "f", "data": b"x"}]
    for name in ("good", "e401", "e403", "e404", "e429", "e500", "token", "basic", "redirect", "downgrade", "loop", "slow", "html",
                 "digest", "truncated", "longer", "hang", "nocontent"):
        add(name, one)
    add("dotdot", [{"name": "../../out", "data": b"x"}])
    add("throughlink", [{"name": "l", "type": "sym", "to": "/tmp"}, {"name": "l/out", "data": b"x"}])
    add("hardlink", [{"name": "h", "type": "link", "to": "../../../etc/shadow"}])
    add("whiteout", [{"name": "a/.wh..."}])
    add("nolink", [{"name": "h", "type": "link", "to": "not/there"}])
    add("diffid", one, diff_ids=["sha256:" + "0" * 64])
    add("arch", one, arch="s390x")
    add("deep", [{"name": "/".join(["d"] * 400), "data": b"x"}])
    add("many", [{"name": "f%d" % i} for i in range(2100)])
    add("bomb", [{"name": "zeros", "data": bytes(72 << 20)}])
    add("notar", one)
    x = made["notar"]
    junk = gzip.compress(b"not a tar" * 1000)
    m = json.loads(x.blobs[x.tops[0]["digest"]])
    m["layers"] = [x.blob(junk, OCI + "layer.v1.tar+gzip")]
    x.tops = [x.blob(json.dumps(m).encode(), OCI + "manifest.v1+json")]
    x = made["helm"] = Layout()
    x.tops = [x.blob(json.dumps({"schemaVersion": 2, "config": x.blob(b"{}", "application/vnd.cncf.helm.config.v1+json"),
                                 "layers": []}).encode(), OCI + "manifest.v1+json")]
    x = made["schema1"] = Layout()
    x.tops = [x.blob(b'{"schemaVersion": 1, "fsLayers": []}', DOCKER + "distribution.manifest.v1+json")]
    x = made["noplatform"] = Layout()
    x.tops = [x.index([dict(x.image([tar(one)]), platform={"os": "windows", "architecture": "amd64"})])]
    x = made["forged"] = Layout()  # an index names a manifest that has other bytes
    x.tops = [x.index([dict(x.image([tar(one)]), platform={"os": "linux", "architecture": ARCH})])]
    x.forged = json.loads(x.blobs[x.tops[0]["digest"]])["manifests"][0]["digest"]
    return made


USER = "Basic " + base64.b64encode(b"joe:se:cret").decode()
TOKEN = "Bearer token-for-joe"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, code, data=b"", headers=(), size=None):
        self.send_response(code)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data) if size is None else size))
        self.end_headers()
        self.wfile.write(data)

    def error(self, code, word, headers=()):
        self.answer(code, json.dumps({"errors": [{"code": word, "message": "said by the registry\u202e"}]}).encode(),
                    [("Content-Type", "application/json"), *headers])

    def token(self, query):
        scope = query.get("scope", [""])[0]
        if scope != "repository:token:pull" or query.get("service") != ["here"]:
            print("wrong token request", query, flush=True)
        self.answer(200 if self.headers.get("Authorization") == USER else 401, b'{"token": "token-for-joe"}')

    def login(self, mode):
        """False: answered already."""
        sent = self.headers.get("Authorization")
        if mode == "basic" and sent != USER:
            self.error(401, "UNAUTHORIZED", [("WWW-Authenticate", 'Basic realm="x"')])
            return False
        if mode == "token" and sent != TOKEN:
            self.error(401, "UNAUTHORIZED", [("WWW-Authenticate", 'Bearer realm="http://127.0.0.1:%d/token",service="here"'
                                              % self.server.server_port)])
            return False
        return True

    def refuse(self, mode):
        codes = {"e401": (401, "UNAUTHORIZED"), "e403": (403, "DENIED"), "e404": (404, "MANIFEST_UNKNOWN"),
                 "e429": (429, "TOOMANYREQUESTS"), "e500": (503, "UNAVAILABLE")}
        if mode not in codes:
            return False
        self.error(*codes[mode], [("Retry-After", "7")] if mode == "e429" else [])
        return True

    def send_blob(self, mode, data):
        if mode == "digest":
            data = data[:-1] + bytes([data[-1] ^ 1])
        elif mode == "longer":
            data = data + b"more"
        if mode == "truncated":
            self.answer(200, data[:len(data) // 2], size=len(data))
            self.close_connection = True
        elif mode == "slow":
            self.answer(200, data[:10], size=len(data))
            time.sleep(60)
        elif mode in ("redirect", "token"):
            self.answer(307, headers=[("Location", "http://127.0.0.1:%d/elsewhere/%s/%s" % (self.server.other, mode, digest(data)))])
        elif mode == "downgrade":
            self.answer(307, headers=[("Location", "file:///etc/passwd")])
        elif mode == "loop":
            self.answer(307, headers=[("Location", self.path)])
        else:
            self.answer(200, data)

    def do_GET(self):
        at = urllib.parse.urlsplit(self.path)
        parts = at.path.strip("/").split("/")
        if at.path == "/token":
            self.token(urllib.parse.parse_qs(at.query))
            return
        if parts[0] == "elsewhere":
            if self.headers.get("Authorization"):
                print("the other host got", self.headers.get("Authorization"), flush=True)
            self.answer(200, self.server.layouts[parts[1]].blobs[parts[2]])
            return
        mode, kind, reference = parts[-3:] if len(parts) >= 4 else ("", "", "")
        layout = self.server.layouts.get(mode)
        if not layout:
            self.error(404, "NAME_UNKNOWN")
            return
        if mode == "html":
            self.answer(200, b"<html>log in</html>", [("Content-Type", "text/html")])
            return
        if mode == "hang":
            time.sleep(60)
        if self.refuse(mode) or not self.login(mode):
            return
        top = layout.tops[0]
        if kind == "blobs":
            self.send_blob(mode, layout.blobs[reference])
            return
        name = top["digest"] if not reference.startswith("sha256:") else reference
        data = layout.blobs[name] + (b" " if name == getattr(layout, "forged", "") else b"")
        self.answer(200, data, [("Content-Type", top["mediaType"] if name == top["digest"] else OCI + "manifest.v1+json")])


def serve(port, other):
    made = bad_layouts()
    for p in (port, other):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", p), Handler)
        server.layouts, server.other = made, other
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    verb, args = sys.argv[1], sys.argv[2:]
    if verb == "make":
        make(*args)
    elif verb == "push":
        push(*args)
    else:
        serve(int(args[0]), int(args[1]))
