"""The two sides of bench/peer: kstored with kapid, and Kubernetes' generic API server with etcd, on loopback, with the same
certificates and the same client. `bench/peer/make` makes the programs of the second."""
import http.client
import importlib.machinery
import importlib.util
import json
import os
import subprocess
import time

HERE = os.path.dirname(os.path.realpath(__file__))


def load_bench():
    loader = importlib.machinery.SourceFileLoader("bench_api", os.path.join(os.path.dirname(HERE), "api"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("bench_api", loader))
    loader.exec_module(module)
    return module


bench = load_bench()


class Ours(bench.ControlPlane):
    name, server, store = "kapid", "kapid", "kstored"

    def cpu_both(self):
        """Processor seconds of the server and of its store, by their clocks (CPUCLOCK_SCHED of a process)."""
        return tuple(time.clock_gettime(~self.daemons[name].pid << 3 | 2) for name in (self.server, self.store))


class Peer(Ours):
    """The peer and etcd; certificates and the kubeconfig's user are those of a control plane of ours."""
    name, server, store = "peer", "peer", "etcd"

    def __init__(self, ours, programs):
        self.dir, self.tls, self.daemons, self.ports = ours.dir + "/other", ours.tls, {}, {}
        os.mkdir(self.dir)
        self.port, etcd, talk, pki = bench.free_port(), bench.free_port(), bench.free_port(), ours.dir + "/pki"
        for name in ("client-certificate", "client-key", "pki"):
            os.symlink(f"{ours.dir}/{name}", f"{self.dir}/{name}")
        with open(f"{ours.dir}/kubeconfig") as f, open(f"{self.dir}/kubeconfig", "w") as g:
            g.write(f.read().replace(f":{ours.port}", f":{self.port}"))
        os.chmod(f"{self.dir}/kubeconfig", 0o600)
        self.begin("etcd", f"{programs}/etcd", f"--data-dir={self.dir}/etcd",
            f"--listen-client-urls=http://127.0.0.1:{etcd}",
                   f"--advertise-client-urls=http://127.0.0.1:{etcd}", f"--listen-peer-urls=http://127.0.0.1:{talk}",
                   "--log-level=error")
        self.begin("peer", f"{programs}/peer", f"--etcd=http://127.0.0.1:{etcd}", f"--port={self.port}",
                   f"--tls-cert-file={pki}/kapid.crt", f"--tls-private-key-file={pki}/kapid.key",
                       f"--client-ca-file={pki}/ca.crt")
        bench.within(60, lambda: self.get("/readyz", raw=True), "the peer")

    def begin(self, name, *command):
        log = open(f"{self.dir}/{name}.log", "a")
        self.daemons[name] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def stop(self):
        for name in reversed(list(self.daemons)):
            self.end(name)


def both(programs):
    for name in ("peer", "etcd"):
        if not os.access(f"{programs}/{name}", os.X_OK):
            raise SystemExit(f"{programs}/{name} is not there: bench/peer/make {programs} makes it")
    ours = Ours()
    return ours, Peer(ours, programs)


class Asked:
    """An answer: status, headers, body as text."""

    def __init__(self, answer, error=None):
        self.status, self.headers, self.text = 0, {}, (error or "").encode()
        if error:
            return
        self.status = answer.status
        for name, value in answer.getheaders():
            self.headers[name.lower()] = ", ".join(filter(None, (self.headers.get(name.lower()), value)))
        self.text = answer.read()

    def json(self):
        try:
            return json.loads(self.text)
        except ValueError:
            return None


class Caller:
    """One connection to a side, made again where it was closed."""

    def __init__(self, side):
        self.side, self.connection = side, None

    def ask(self, method, path, body=None, headers=None):
        for attempt in (1, 2):
            if not self.connection:
                self.connection = self.side.connect()
                self.connection.sock.settimeout(10)
            try:
                self.connection.request(method, path, body=body, headers=headers or {})
                return Asked(self.connection.getresponse())
            except (OSError, http.client.HTTPException) as e:
                self.connection.close()
                self.connection = None
                if attempt == 2 or isinstance(e, TimeoutError):
                    return Asked(None, repr(e))
        return None
