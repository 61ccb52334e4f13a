# Removes the agent with all its pods, the service rules and kapid's access from a machine. A control
# plane on the same machine stays.
systemctl disable -q --now keelson-nodeagent 2>/dev/null
rm -f /etc/systemd/system/keelson-nodeagent.service
systemctl stop 'kpod-*.service' 'keelson-pod_*.slice' keelson-logs.service 2>/dev/null
systemctl daemon-reload
nft delete table inet keelson 2>/dev/null
/opt/keelson/bin/knodeagent clean
f=/root/.ssh/authorized_keys
test -e $f && {
        grep -v ' keelson-kapid$' $f >$f.new
        chmod 600 $f.new
        mv $f.new $f
}
rm -rf --one-file-system /etc/keelson/node /etc/keelson/nodeagent.yaml \
        /var/lib/keelson/nodeagent /run/keelson/nodeagent /run/keelson/logs /opt/keelson/.agent
test -e /etc/keelson/pki || rm -rf /opt/keelson
rmdir /etc/keelson /var/lib/keelson 2>/dev/null
true
