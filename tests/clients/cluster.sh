# shellcheck shell=bash
# Clusters of kstored for the tests with stock clients, over mutual TLS among the members; after tap.sh.
store=$build/kstored/kstored
declare -A pids=() ports=() peers=()

# One CA and a certificate for every member.
make_certificates() {
        local d=$scratch/tls name
        mkdir -p "$d"
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=members \
                -keyout "$d/ca.key" -out "$d/ca.crt" 2>/dev/null || return 1
        for name; do
                openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$name" \
                        -keyout "$d/$name.key" -out "$d/$name.csr" 2>/dev/null &&
                        openssl x509 -req -in "$d/$name.csr" -CA "$d/ca.crt" -CAkey "$d/ca.key" -CAcreateserial -days 2 \
                                -extfile <(echo 'subjectAltName=IP:127.0.0.1,DNS:localhost') -out "$d/$name.crt" 2>/dev/null || return 1
        done
}

pick_ports() {
        local name
        for name; do
                ports[$name]=$(free_port)
                peers[$name]=$(free_port)
        done
}

client_url() { echo "http://127.0.0.1:${ports[$1]}"; }
peer_url() { echo "https://127.0.0.1:${peers[$1]}"; }

# cluster_of NAME...: the value of --initial-cluster.
cluster_of() {
        local name all=''
        for name; do all+=${all:+,}$name=$(peer_url "$name"); done
        echo "$all"
}

endpoints_of() {
        local name all=''
        for name; do all+=${all:+,}$(client_url "$name"); done
        echo "$all"
}

# start_member NAME OPTION...: starts it; its log is $scratch/NAME.log.
start_member() {
        local name=$1
        shift
        "$store" --name "$name" --data-dir "$scratch/$name" --listen-client-urls "$(client_url "$name")" \
                --advertise-client-urls "$(client_url "$name")" --listen-peer-urls "$(peer_url "$name")" \
                --initial-advertise-peer-urls "$(peer_url "$name")" --peer-client-cert-auth \
                --peer-cert-file "$scratch/tls/$name.crt" --peer-key-file "$scratch/tls/$name.key" \
                --peer-trusted-ca-file "$scratch/tls/ca.crt" "$@" >>"$scratch/$name.log" 2>&1 </dev/null &
        pids[$name]=$!
}

# stop_member SIGNAL NAME: and waits for its end; its exit status is returned.
stop_member() {
        local pid=${pids[$2]}
        unset "pids[$2]"
        kill "-$1" "$pid" 2>/dev/null
        wait "$pid" 2>/dev/null
}

# waits_to_end NAME: it exits on its own.
waits_to_end() {
        local pid=${pids[$1]}
        within 15 not_running "$pid" || return 1
        wait "$pid" 2>/dev/null
        unset "pids[$1]"
}
not_running() { ! kill -0 "$1" 2>/dev/null; }

stop_all_members() {
        local name
        for name in "${!pids[@]}"; do kill -9 "${pids[$name]}" 2>/dev/null; done
        for name in "${!pids[@]}"; do wait "${pids[$name]}" 2>/dev/null; done
        pids=()
}
trap 'stop_all_members; finish' EXIT

ctl() { timeout 10 etcdctl --endpoints "$@"; }
# The name of the member that leads, as the given ones see it.
leader_among() {
        local name
        for name; do
                if ctl "$(client_url "$name")" endpoint status -w json 2>/dev/null |
                        jq -e '.[0].Status | .leader == .header.member_id' >/dev/null; then
                        echo "$name"
                        return 0
                fi
        done
        return 1
}
member_id() { ctl "$(client_url "$1")" member list | grep -F "$(peer_url "$2")" | cut -d, -f1; }
