# Makes the restored configuration that of this machine: the address of its API server. Its certificates are signed after this.
set -e
cd /etc/keelson
test -e kapid.yaml && test -e kstored.yaml && test -e pki/ca.key && test -e pki/store-ca.key || {
        echo "the backup holds no control plane of machines (there is no kapid.yaml, kstored.yaml or key of an authority in it)" >&2
        exit 1
}
chmod 0755 . pki
# An address of the lost machine would not be one of this one.
sed -i -e '/^bind-address:/s|:.*|: 0.0.0.0|' kapid.yaml
rm -f keepalived.conf
