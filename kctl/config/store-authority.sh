# Makes kstored.yaml and kapid.yaml name the store's own authority and the clients and members that
# it lets in.
set -e
cd /etc/keelson

cp -p kstored.yaml kstored.yaml.new
sed -i -e 's|^\(peer-\)\?trusted-ca-file: /etc/keelson/pki/ca.crt$|\1trusted-ca-file: /etc/keelson/pki/store-ca.crt|' kstored.yaml.new
grep -q '^client-cert-allowed-' kstored.yaml.new ||
        echo 'client-cert-allowed-cn: ["{{store-client}}"]' >>kstored.yaml.new
grep -q '^peer-cert-allowed-' kstored.yaml.new ||
        echo 'peer-cert-allowed-cn: ["{{store-member}}"]' >>kstored.yaml.new
mv kstored.yaml.new kstored.yaml

cp -p kapid.yaml kapid.yaml.new
sed -i -e 's|^store-cafile: /etc/keelson/pki/ca.crt$|store-cafile: /etc/keelson/pki/store-ca.crt|' kapid.yaml.new
mv kapid.yaml.new kapid.yaml
