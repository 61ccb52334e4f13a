# shellcheck shell=bash
# Read by tests/clients/streams: requests to the pod's servers, those of proxy-servers.py, through .../proxy/.
python3 "$here/proxy-servers.py" "$scratch/odd.crt" "$scratch/odd.key" >"$scratch/servers" 2>"$scratch/servers.log" </dev/null &
ok "servers to be reached through proxies" within 30 grep -q . "$scratch/servers"
read -r good good_tls hostile <"$scratch/servers"
timeout 200 /usr/bin/python3 "$here/proxied.py" "$KUBECONFIG" "$good" "$good_tls" "$hostile" >"$scratch/py" 2>&1
status=$?
# Its lines become ours, with our numbers.
while IFS= read -r line; do
        case $line in
        'ok '*) ok "${line#*- }" true ;;
        'not ok '*) ok "${line#*- }" false ;;
        1..*) ;;
        *) echo "${line/#[^#]/# }" ;;
        esac
done <"$scratch/py"
ok "all cases of proxied.py" test "$status" -eq 0

services=/api/v1/namespaces/default/services
ok "kubectl get --raw through a service" says '"path": "/x[?"]' k get --raw $services/s:http/proxy/x
ok "kubectl get --raw through a node" says '^the agent, /healthz([?]|$)' k get --raw /api/v1/nodes/n1/proxy/healthz
kubectl proxy --port=0 >"$scratch/proxy" 2>&1 </dev/null &
kubectl_proxy=$!
ok "kubectl proxy" within 20 grep -q 'Starting to serve on' "$scratch/proxy"
proxy_port=$(sed -n 's/^Starting to serve on 127.0.0.1:\([0-9]*\)$/\1/p' "$scratch/proxy" | head -n 1)
through=http://127.0.0.1:$proxy_port$services/s:http/proxy
ok "a browser's request through it" says '"path": "/y"' curl -sS --max-time 30 "$through/y"
ok "a page that redirects leads to the next one" says '"path": "/z"' curl -sSL --max-time 30 "$through/redirect?to=/z"
kill "$kubectl_proxy" 2>/dev/null
k -n kube-system create service clusterip dash --tcp=80:80 >/dev/null 2>&1
k -n kube-system label service dash kubernetes.io/cluster-service=true >/dev/null 2>&1
ok "kubectl cluster-info names services of the cluster" says '/api/v1/namespaces/kube-system/services/dash:80-80/proxy' k cluster-info
cat >"$scratch/python-proxy" <<'END'
import sys
from kubernetes import client, config
config.load_kube_config()
api = client.CoreV1Api()
said = api.connect_get_namespaced_pod_proxy_with_path(f"p:{sys.argv[1]}", "default", path="a/b")
assert "/a/b" in str(said), said
said = api.connect_post_namespaced_service_proxy_with_path("s:http", "default", path="c")
assert "POST" in str(said), said
END
if /usr/bin/python3 -c 'import kubernetes' 2>/dev/null; then
        ok "Python: a pod's and a service's server" timeout 60 /usr/bin/python3 "$scratch/python-proxy" "$good"
fi
