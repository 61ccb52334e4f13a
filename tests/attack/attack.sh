# shellcheck shell=bash
# Shared by the attack suites: a lab (one that is up already, --name, or one of their own), pods that report what they
# could do, and TAP. Sourced.
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../lab
here=$(readlink -f "$here")
# shellcheck source=tests/lab/tap.sh
. "$here/tap.sh"
# tap.sh has read the options; a suite without --name gets its own lab.
[[ $name != story ]] || name=attack

# A lab that is up when the suite starts is used, and left there.
lab_or_own() {
        if lab kubeconfig >/dev/null 2>&1 && kctl get nodes </dev/null >/dev/null 2>&1; then
                keep=1
                echo "# using the lab $name"
                return
        fi
        lab down >/dev/null 2>&1
        need "a machine boots" lab up --nodes 1 --root "$root"
        need "and is a cluster of one" lab cluster
}

# namespace NAME LEVEL
namespace() {
        kctl apply -f - >/dev/null <<END
apiVersion: v1
kind: Namespace
metadata:
  name: $1
  labels: {pod-security.kubernetes.io/enforce: $2}
END
}

# pod NAMESPACE NAME ANNOTATIONS < the spec, as YAML indented by two: applied. It runs on any machine.
pod() {
        {
                cat <<END
apiVersion: v1
kind: Pod
metadata:
  name: $2
  namespace: $1
  annotations: {${3:-}}
spec:
  terminationGracePeriodSeconds: 1
  tolerations: [{operator: Exists}]
END
                cat
        } >"$scratch/$2.yaml"
        kctl apply -f "$scratch/$2.yaml"
}

# A container's log has this line (an extended regular expression, anchored).
says() {
        local said
        said=$(kctl logs -n "$1" "$2" -c "$3" </dev/null 2>&1)
        grep -qxE -- "$4" <<<"$said" || { printf 'no line "%s" in:\n%s\n' "$4" "$said"; return 1; }
}

# The reason and the message that a container waits with.
waits_with() {
        local got
        got=$(json pod "$2" -n "$1" -- '.|status.containerStatuses.0.state.waiting.reason,status.containerStatuses.0.state.waiting.message')
        grep -qE -- "$3" <<<"$got" || { echo "waits with: $got"; return 1; }
}
