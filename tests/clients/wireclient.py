"""A client with nothing but HTTP, and cases that speak TAP; for the tests beside it. argv[1]: a kubeconfig."""
import base64
import http.client
import json
import ssl
import sys
import tempfile

import yaml

config = yaml.safe_load(open(sys.argv[1]))
user = config["users"][0]["user"]
cluster = config["clusters"][0]["cluster"]
host, port = cluster["server"].split("//")[1].split(":")


def pem(where, name):
    if name in where:
        return where[name]
    f = tempfile.NamedTemporaryFile(delete=False)
    f.write(base64.b64decode(where[name + "-data"]))
    f.close()
    return f.name


tls = ssl.create_default_context(cafile=pem(cluster, "certificate-authority"))
nobody = ssl.create_default_context(cafile=pem(cluster, "certificate-authority"))
tls.load_cert_chain(pem(user, "client-certificate"), pem(user, "client-key"))


class Reply:
    def __init__(self, r, data):
        self.code, self.headers, self.data = r.status, r.headers, data

    @property
    def text(self):
        return self.data.decode(errors="backslashreplace")

    @property
    def json(self):
        return json.loads(self.text)


class Client:
    def __init__(self, context=tls):
        self.c = http.client.HTTPSConnection(host, int(port), context=context, timeout=30)

    def ask(self, method, path, body=None, **headers):
        h = {k.replace("_", "-"): v for k, v in headers.items()}
        if body is not None and not isinstance(body, (str, bytes)):
            body = json.dumps(body)
        self.c.request(method, path, body=body, headers=h)
        r = self.c.getresponse()
        return Reply(r, r.read())

    def get(self, path, **h):
        return self.ask("GET", path, **h)

    def post(self, path, body, **h):
        return self.ask("POST", path, body, **h)

    def put(self, path, body, **h):
        return self.ask("PUT", path, body, **h)

    def delete(self, path, body=None, **h):
        return self.ask("DELETE", path, body, **h)

    def merge(self, path, body, **h):
        return self.ask("PATCH", path, body, Content_Type="application/merge-patch+json", **h)

    def apply(self, path, body, **h):
        return self.ask("PATCH", path, body, Content_Type="application/apply-patch+yaml", **h)


class Watch:
    """A watch; next() gives events, None at its end."""

    def __init__(self, path):
        self.c = http.client.HTTPSConnection(host, int(port), context=tls, timeout=30)
        self.c.request("GET", path)
        self.r = self.c.getresponse()
        self.code = self.r.status

    def next(self):
        line = self.r.readline()
        return json.loads(line) if line else None

    def all(self):
        events = []
        while (e := self.next()) is not None:
            events.append(e)
        return events

    def close(self):
        self.c.close()


tests = failures = 0
NS = "/api/v1/namespaces/wire"
CM = NS + "/configmaps"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
a = Client()


def case(f):
    """Runs a case at once; an assertion that fails says where."""
    global tests, failures
    tests += 1
    text = f.__doc__.strip()
    try:
        f()
        print(f"ok {tests} - {text}", flush=True)
    except Exception as e:  # pylint: disable=broad-except
        failures += 1
        print(f"not ok {tests} - {text}")
        line = e.__traceback__.tb_next.tb_lineno if e.__traceback__.tb_next else 0
        print(f"# line {line}: {type(e).__name__}: {str(e)[:600]}", flush=True)
    return f


def is_(reply, code, reason=None, message=None):
    assert reply.code == code, f"{reply.code} instead of {code}: {reply.text[:300]}"
    if reason:
        s = reply.json
        assert s["kind"] == "Status" and s["code"] == code and s["status"] == "Failure", reply.text
        assert s["reason"] == reason, reply.text
        if message:
            assert message in s["message"], reply.text
    return reply


def cm(name, **data):
    return {"metadata": {"name": name}, "data": data}


def version(reply):
    return reply.json["metadata"]["resourceVersion"]


def finish():
    """The plan, and the end of the program."""
    print(f"1..{tests}")
    sys.exit(failures > 0)
