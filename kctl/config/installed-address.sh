# Prints where the API server of this machine is, by its configuration: its own address, that of --api-address, the port.
cd /etc/keelson
value() { sed -n "s/^$1: *\"\{0,1\}\([^\" ]*\)\"\{0,1\} *\$/\1/p" kapid.yaml 2>/dev/null | head -n 1; }
echo "address=$(value advertise-address)"
echo "api=$(value api-address)"
echo "port=$(value secure-port)"
