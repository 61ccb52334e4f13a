# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # the addresses are for those who source this; $build and $scratch are tap.sh's
# For tests that ask kstored and a real etcd the same. start_both starts one of each, alone in its cluster: $ours, $theirs; both get
# the options it is given.
# shellcheck source=tests/clients/tap.sh
. "$here/tap.sh"
command -v etcdctl >/dev/null || skip_all "etcdctl is not installed"
command -v etcd >/dev/null || skip_all "etcd is not installed (Debian: etcd-server)"
export ETCDCTL_API=3
etcd=''

answers() { timeout 5 etcdctl --endpoints "$1" get x >/dev/null; }

start_both() {
        local p
        p=$(free_port)
        ours=http://127.0.0.1:$p theirs=http://127.0.0.1:$((p + 1))
        "$build/kstored/kstored" --data-dir "$scratch/ours" --listen-client-urls "$ours" --advertise-client-urls "$ours" \
                --listen-peer-urls "http://127.0.0.1:$((p + 3))" --initial-advertise-peer-urls "http://127.0.0.1:$((p + 2))" \
                --initial-cluster "default=http://127.0.0.1:$((p + 2))" "$@" >"$scratch/dev.log" 2>&1 </dev/null &
        dev=$!
        etcd --data-dir "$scratch/theirs" --listen-client-urls "$theirs" --advertise-client-urls "$theirs" \
                --listen-peer-urls "http://127.0.0.1:$((p + 2))" --initial-advertise-peer-urls "http://127.0.0.1:$((p + 2))" \
                --initial-cluster "default=http://127.0.0.1:$((p + 2))" "$@" >"$scratch/etcd.log" 2>&1 </dev/null &
        etcd=$!
        trap 'status=$?; kill $etcd 2>/dev/null; wait $etcd 2>/dev/null; (exit $status); finish' EXIT
        within 30 answers "$ours" && within 30 answers "$theirs" || { echo "Bail out! no answer"; exit 1; }
}

# make_descriptors: $scratch/descriptors, for the programs in beside/.
make_descriptors() {
        /usr/bin/python3 -c 'import grpc, google.protobuf, h2' 2>/dev/null || skip_all "python3-grpcio, python3-protobuf or python3-h2 is not installed"
        protoc-c -I"$top" --include_imports --descriptor_set_out="$scratch/descriptors" proto/rpc.proto proto/health.proto 2>"$scratch/protoc.log" ||
                { sed 's/^/# /' "$scratch/protoc.log"; echo "Bail out! the descriptors cannot be made"; exit 1; }
}
