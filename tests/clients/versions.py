"""Round trips of generated objects through the versions of a kind; run by tests/clients/old-versions: SOCKET GROUP/VERSION PLURAL
VERSION... An object that is made in the first version is read in each other one and put back there: in the first one it is as it
was. Fails with the first difference."""
import http.client
import json
import random
import socket
import sys


class Unix(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(sys.argv[1])


api = Unix("localhost")
choose = random.Random(" ".join(sys.argv[2:]))


def ask(method, path, body=None):
    api.request(method, path, json.dumps(body) if body is not None else None, {"Content-Type": "application/json"})
    r = api.getresponse()
    return r.status, json.loads(r.read())


def maybe(f, chance=0.5):
    """A field or none."""
    return f() if choose.random() < chance else {}


def word():
    return "".join(choose.choice("abcdefgh") for _ in range(choose.randint(1, 8)))


def number(most=9):
    return choose.choice([0, 1, choose.randint(0, most)])


def labels():
    return {word(): word() for _ in range(choose.randint(1, 3))}


def selector():
    return {"matchLabels": labels(), **maybe(lambda: {"matchExpressions": [
        {"key": word(), "operator": choose.choice(["In", "NotIn"]), "values": sorted({word(), word()})},
        {"key": word(), "operator": choose.choice(["Exists", "DoesNotExist"])}]})}


def pod(restart):
    return {"restartPolicy": restart, "containers": [{
        "name": "c", "image": word(), **maybe(lambda: {"args": [word(), ""]}), **maybe(lambda: {"tty": choose.random() < 0.5}),
        **maybe(lambda: {"env": [{"name": "A", "value": choose.choice(["", word()])}]}),
        **maybe(lambda: {"resources": {"requests": {"cpu": choose.choice(["100m", "0.1", "2"])}}}),
        **maybe(lambda: {"livenessProbe": {"tcpSocket": {"port": choose.choice([80, "web"])}, "initialDelaySeconds": number()}})}],
        **maybe(lambda: {"nodeSelector": labels()}), **maybe(lambda: {"hostNetwork": choose.random() < 0.5}),
        **maybe(lambda: {"terminationGracePeriodSeconds": number()}),
        **maybe(lambda: {"volumes": [{"name": "v", "emptyDir": {}}]})}


def template(restart="Always", **meta):
    return {"metadata": {"labels": labels(), **meta}, "spec": pod(restart)}


def workload(version):
    t = template()
    return {"template": t, "selector": {"matchLabels": t["metadata"]["labels"]}, **maybe(lambda: {"minReadySeconds": number()}),
            **maybe(lambda: {"revisionHistoryLimit": number()})}


def deployment(version):
    return {**workload(version), "paused": True, "replicas": 0, **maybe(lambda: {"progressDeadlineSeconds": 100 + number()}), **maybe(lambda: choose.choice([
        {"strategy": {"type": "Recreate"}}, {"strategy": {"rollingUpdate": {"maxSurge": choose.choice([1, "50%"]), "maxUnavailable": 1}}}]))}


def statefulset(version):
    return {**workload(version), "serviceName": word(), "replicas": 0, **maybe(lambda: {"podManagementPolicy": "Parallel"}),
            **maybe(lambda: {"updateStrategy": choose.choice([{"type": "OnDelete"}, {"type": "RollingUpdate", "rollingUpdate": {"partition": number()}}])})}


def daemonset(version):
    spec = {**workload(version), **maybe(lambda: {"updateStrategy": choose.choice([
        {"type": "OnDelete"}, {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": choose.choice([1, "10%"])}}])})}
    spec["template"]["spec"]["nodeSelector"] = {"none": "such"}
    return spec


def replicaset(version):
    spec = {**workload(version), "replicas": 0}
    spec.pop("revisionHistoryLimit", None)
    return spec


def cronjob(version):
    return {"schedule": choose.choice(["@daily", "*/5 1 * * *"]), "suspend": True, **maybe(lambda: {"concurrencyPolicy": "Forbid"}),
            **maybe(lambda: {"startingDeadlineSeconds": 100}), **maybe(lambda: {"failedJobsHistoryLimit": number()}),
            "jobTemplate": {**maybe(lambda: {"metadata": {"labels": labels()}}), "spec": {
                **maybe(lambda: {"backoffLimit": number()}), "template": template("Never")}}}


def backend(version):
    port = choose.choice([80, "web"])
    if version == "v1":
        return {"service": {"name": word(), "port": {"name": port} if isinstance(port, str) else {"number": port}}}
    return {"serviceName": word(), "servicePort": port}


def ingress(version):
    default = "defaultBackend" if version == "v1" else "backend"

    def path():
        kind = choose.choice(["Prefix", "Exact", "ImplementationSpecific"])
        return {"path": "/" + word(), "backend": backend(version),
                **({"pathType": kind} if version == "v1" else maybe(lambda: {"pathType": kind}))}
    return {default: backend(version), **maybe(lambda: {"ingressClassName": word()}), **maybe(lambda: {"tls": [{"hosts": [word() + ".example"]}]}),
            **maybe(lambda: {"rules": [{"host": f"{word()}{i}.example", "http": {"paths": [path() for _ in range(choose.randint(1, 3))]}}
                                       for i in range(choose.randint(1, 3))]})}


def budget(version):
    return {**choose.choice([{"minAvailable": number()}, {"minAvailable": "50%"}, {"maxUnavailable": number()}]),
            "selector": choose.choice([selector(), {}, {"matchLabels": labels()}]), **maybe(lambda: {"unhealthyPodEvictionPolicy": "AlwaysAllow"})}


def target(kind):
    return choose.choice([{"type": "Utilization", "averageUtilization": choose.randint(1, 99)}, {"type": "AverageValue", "averageValue": "100m"}]
                         if kind == "Resource" else [{"type": "Value", "value": "10"}, {"type": "AverageValue", "averageValue": "1500m"}])


def metric():
    return choose.choice([
        lambda: {"type": "Resource", "resource": {"name": choose.choice(["cpu", "memory"]), "target": target("Resource")}},
        lambda: {"type": "Pods", "pods": {"metric": {"name": word(), **maybe(lambda: {"selector": selector()})},
                                          "target": {"type": "AverageValue", "averageValue": "1k"}}},
        lambda: {"type": "Object", "object": {"describedObject": {"kind": "Service", "name": word(), "apiVersion": "v1"},
                                              "metric": {"name": word()}, "target": target("Object")}},
        lambda: {"type": "External", "external": {"metric": {"name": word(), **maybe(lambda: {"selector": selector()})}, "target": target("Object")}},
        lambda: {"type": "ContainerResource", "containerResource": {"name": "cpu", "container": word(), "target": target("Resource")}}])()


def autoscaler(version):
    spec = {"maxReplicas": 5 + number(), **maybe(lambda: {"minReplicas": choose.randint(1, 4)}),
            "scaleTargetRef": {"kind": "Deployment", "name": word(), "apiVersion": "apps/v1"}}
    if version == "v1":
        return {**spec, **maybe(lambda: {"targetCPUUtilizationPercentage": choose.randint(1, 99)})}
    return {**spec, **maybe(lambda: {"metrics": [metric() for _ in range(choose.randint(1, 4))]}), **maybe(lambda: {"behavior": {
        "scaleDown": {"stabilizationWindowSeconds": number(), "selectPolicy": "Min", "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}]}}})}


MAKERS = {"deployments": deployment, "statefulsets": statefulset, "daemonsets": daemonset, "replicasets": replicaset, "cronjobs": cronjob,
          "ingresses": ingress, "poddisruptionbudgets": budget, "horizontalpodautoscalers": autoscaler}
KINDS = {"deployments": "Deployment", "statefulsets": "StatefulSet", "daemonsets": "DaemonSet", "replicasets": "ReplicaSet", "cronjobs": "CronJob",
         "ingresses": "Ingress", "poddisruptionbudgets": "PodDisruptionBudget", "horizontalpodautoscalers": "HorizontalPodAutoscaler"}


def path_of(version, plural):
    return f"/apis/{version}/namespaces/trips/{plural}"


def kept(o):
    """What a user wrote and the server filled in."""
    notes = {k: v for k, v in o["metadata"].get("annotations", {}).items() if k.startswith("own/")}
    return {"spec": o["spec"], "labels": o["metadata"].get("labels"), "annotations": notes}


def must(answer, *codes):
    code, body = answer
    if code not in codes:
        sys.exit(f"{code}: {body.get('message', body)}")
    return body


def put(path):
    """What is read there, unchanged; a controller may be faster."""
    for _ in range(50):
        read = must(ask("GET", path), 200)
        code, body = ask("PUT", path, read)
        if code != 409:
            return must((code, body), 200)
    sys.exit(f"always in conflict: {path}")


def trip(plural, first, others, name):
    body = {"apiVersion": first, "kind": KINDS[plural], "metadata": {"name": name, "labels": labels(), "annotations": {"own/" + word(): word()}},
            "spec": MAKERS[plural](first.split("/")[1])}
    made = must(ask("POST", path_of(first, plural), body), 201)
    for version in others:
        other = put(f"{path_of(version, plural)}/{name}")
        if other["apiVersion"] != version:
            sys.exit(f"{other['apiVersion']} instead of {version}")
        again = must(ask("GET", f"{path_of(first, plural)}/{name}"), 200)
        if kept(again) != kept(made):
            sys.exit(f"{first} -> {version} -> {first}:\nsent {json.dumps(body)}\nmade {json.dumps(kept(made))}\nnow  {json.dumps(kept(again))}")
    listed = [o for o in must(ask("GET", path_of(first, plural)), 200)["items"] if o["metadata"]["name"] == name]
    if [kept(o) for o in listed] != [kept(made)]:
        sys.exit(f"a list has it otherwise: {json.dumps(listed)}")
    must(ask("DELETE", f"{path_of(first, plural)}/{name}?propagationPolicy=Background"), 200)


_, _, one, kind, *rest = sys.argv
ask("POST", "/api/v1/namespaces", {"metadata": {"name": "trips"}})
for turn in range(12):
    trip(kind, one, rest, f"{one.replace('/', '-').replace('.', '-')}-{turn}")
