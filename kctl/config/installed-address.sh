# Prints where the API server of this machine is: the address and port of its configuration.
cd /etc/keelson
value() { sed -n "s/^$1: *\"\{0,1\}\([^\" ]*\)\"\{0,1\} *\$/\1/p" kapid.yaml 2>/dev/null | head -n 1; }
echo "address=$(value advertise-address)"
echo "port=$(value secure-port)"
