# How the store knows its clients. "done": it has an authority of its own; "own": it trusts the
# cluster's, has one member that an earlier kctl made, on loopback, and the kapid here uses it;
# "else": an administrator has changed the members or the clients, or the store is an etcd.
cd /etc/keelson || exit 1

as_written() {
        grep -q '^initial-advertise-peer-urls: \["https://127.0.0.1:2380"\]$' kstored.yaml &&
                grep -q '^listen-peer-urls: \["https://127.0.0.1:2380"\]$' kstored.yaml &&
                grep -q '^peer-trusted-ca-file: /etc/keelson/pki/ca.crt$' kstored.yaml &&
                grep -q '^store: \["unix:///run/keelson/kstored/kstored.sock"\]$' kapid.yaml
}

if test -e pki/store-ca.crt && ! cmp -s pki/ca.crt pki/store-ca.crt; then
        echo done
elif as_written; then
        echo own
else
        echo else
fi
