# Prepares a machine on which a control plane is restored that was elsewhere. "new": it was none; "again": an earlier try
# did not end, and what it left is removed; exit status 44: it is a control plane already.
if test -e /etc/keelson/restoring; then
        echo again
        systemctl stop keelson-address.service keelson-kgitd keelson-kschedd keelson-kreconciled keelson-kapid keelson-kstored 2>/dev/null
        rm -rf /etc/keelson/pki /etc/keelson/k*.yaml /etc/keelson/admin.kubeconfig
elif test -e /etc/keelson/pki/ca.crt; then
        exit 44
else
        echo new
fi
mkdir -p /etc/keelson && chmod 0755 /etc/keelson && touch /etc/keelson/restoring
