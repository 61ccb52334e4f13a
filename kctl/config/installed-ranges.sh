# Prints the networks that the control plane on this machine has: services, pods, a node's parts.
cd /etc/keelson
value() { sed -n "s/^$2: *\"\{0,1\}\([^\"]*\)\"\{0,1\} *\$/\1/p" $1 2>/dev/null | head -n 1; }
echo "services=$(value kapid.yaml service-cluster-ip-range)"
echo "pods=$(value kreconciled.yaml cluster-cidr)"
echo "bits=$(value kreconciled.yaml node-cidr-mask-size-ipv4)"
echo "bits6=$(value kreconciled.yaml node-cidr-mask-size-ipv6)"
