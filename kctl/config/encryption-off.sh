# Removes the configuration of encryption that kctl keeps here.
set -e
sed -i '/^encryption-provider-config: encryption$/d' /etc/keelson/kapid.yaml
rm -f /etc/systemd/system/keelson-kapid.service.d/encryption.conf
rmdir /etc/systemd/system/keelson-kapid.service.d 2>/dev/null || true
rm -f /etc/keelson/pki/encryption.cred /etc/keelson/pki/encryption.yaml
systemctl daemon-reload
