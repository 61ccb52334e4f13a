# Unpacks the files of another machine of the control plane (on standard input, from collect-control.sh)
# and gives this machine's own address to its API server.
set -e
umask 077
mkdir -p /etc/keelson/pki
chmod 0755 /etc/keelson
tar -xpf - -C /etc/keelson --no-same-owner
chmod 0755 /etc/keelson/pki
cd /etc/keelson
sed -i 's|^advertise-address:.*|advertise-address: {{address}}|' kapid.yaml
