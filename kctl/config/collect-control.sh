# Writes to standard output what the machines of a control plane share: configuration, authorities, keys.
# A machine's own certificates, what belongs to its node, and what its own key seals are left out.
cd /etc/keelson && tar -cf - --exclude=./node --exclude=./nodeagent.yaml --exclude='*.new' --exclude='./pki/encryption.*' \
        --exclude=./pki/kapid.crt --exclude=./pki/kapid.key --exclude=./pki/peer.crt --exclude=./pki/peer.key .
