"""A conversion webhook over HTTPS for tests/clients/definitions.py: v1 has spec.address ("host:port"), v2 spec.host
and spec.port. `mode` makes it fail in one way or another; `calls` counts the objects of each call; `meanwhile` is
called before each answer, `during` instead of it once."""
import base64
import http.server
import json
import os
import ssl
import subprocess
import tempfile
import threading


class Converter:
    def __init__(self):
        self.mode, self.calls, self.meanwhile, self.during = "", [], lambda: None, None
        self.local = threading.local()
        folder = tempfile.mkdtemp()
        key, certificate = os.path.join(folder, "key"), os.path.join(folder, "crt")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-days", "2", "-subj", "/CN=converter", "-addext", "subjectAltName=IP:127.0.0.1",
                        "-keyout", key, "-out", certificate], check=True, capture_output=True)
        self.bundle = base64.b64encode(open(certificate, "rb").read()).decode()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # of calls that ended before their answer
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def conversion(self, **more):
        """spec.conversion of a definition"""
        url = "https://127.0.0.1:%d/convert" % self.server.server_address[1]
        return {"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": {
            "url": url, "caBundle": self.bundle, **more}}}

    def handler(self):
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                owner.local.connection = self.connection
                review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                text = json.dumps(owner.answer(review)).encode()
                self.send_response(418 if owner.mode == "teapot" else 200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                pass

        return Handler

    def connection(self):
        """That of the call which is being answered."""
        return self.local.connection

    def answer(self, review):
        request = review["request"]
        self.calls.append(len(request["objects"]))
        during, self.during = self.during, None
        (during or self.meanwhile)()
        response = {"uid": request["uid"], "result": {"status": "Success"}, "convertedObjects": [
            self.convert(o, request["desiredAPIVersion"]) for o in request["objects"]]}
        if self.mode == "fail":
            response = {"uid": request["uid"], "result": {"status": "Failed", "message": "not today"}}
        elif self.mode == "rename":
            response["convertedObjects"][0]["metadata"]["name"] = "other"
        elif self.mode == "lose":
            response["convertedObjects"] = []
        return {"apiVersion": review["apiVersion"], "kind": review["kind"], "response": response}

    @staticmethod
    def convert(o, wanted):
        o = json.loads(json.dumps(o))
        spec = o["spec"]
        if o["apiVersion"].endswith("/v1") and wanted.endswith("/v2"):
            host, _, port = spec.pop("address", ":0").rpartition(":")
            spec.update(host=host, port=int(port))
        elif o["apiVersion"].endswith("/v2") and wanted.endswith("/v1"):
            spec["address"] = "%s:%d" % (spec.pop("host", ""), spec.pop("port", 0))
        o["apiVersion"] = wanted
        o["metadata"].setdefault("annotations", {})["converted"] = "yes"
        o["metadata"]["generation"] = 99  # which it may not change
        return o
