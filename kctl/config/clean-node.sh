# Removes the agent with all its pods, the service rules and kapid's access from a machine. A control
# plane on the same machine stays.
systemctl disable -q --now keelson-nodeagent 2>/dev/null
rm -f /etc/systemd/system/keelson-nodeagent.service
systemctl stop 'kpod-*.socket' 'kpod-*.service' 'kpodx-image_*.service' 'keelson-pod_*.slice' keelson-logs.service keelson-netns.service keelson-dns.service 2>/dev/null
# What pods gave to units of the machine, and the images whose units they attached.
rm -f /run/systemd/system/*.service.d/90-kpod-*.conf
for f in /run/keelson/nodeagent/portable/*; do
        test -f "$f" && portablectl detach --runtime --now "$(cat "$f")" >/dev/null 2>&1
done
systemctl daemon-reload
nft delete table inet keelson 2>/dev/null
nft delete table inet keelson-policy 2>/dev/null
/opt/keelson/bin/knodeagent clean
f=/root/.ssh/authorized_keys
test -e $f && {
        grep -v ' keelson-kapid$' $f >$f.new
        chmod 600 $f.new
        mv $f.new $f
}
rm -rf --one-file-system /etc/keelson/node /etc/keelson/nodeagent.yaml \
        /var/lib/keelson/nodeagent /run/keelson/nodeagent /run/keelson/logs /run/keelson/netns /run/keelson/dns \
        /opt/keelson/.agent /opt/keelson/.agent.* /opt/keelson/.previous-agent /opt/keelson/.back-agent
test -e /etc/keelson/pki || rm -rf /opt/keelson
rmdir /etc/keelson /var/lib/keelson 2>/dev/null
true
