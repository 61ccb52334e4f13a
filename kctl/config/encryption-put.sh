# Keeps the configuration of encryption (standard input): sealed by systemd-creds with this machine's key, the TPM2
# where there is one, and else in a file of root's. Either way it is a credential of kapid's unit. Words of a command
# never hold it: printf and test are the shell's own. Prints how it is kept.
set -e
umask 077
pki=/etc/keelson/pki
unit=/etc/systemd/system/keelson-kapid.service.d
config=$(cat)
test "$config"
mkdir -p $pki

seal() {
        command -v systemd-creds >/dev/null || { why="there is no systemd-creds"; return 1; }
        rm -f $pki/encryption.cred.new
        why=$(printf '%s\n' "$config" | systemd-creds encrypt --with-key=auto --name=encryption - \
                $pki/encryption.cred.new 2>&1 >/dev/null) || return 1
        # It counts when it was read again.
        test "$(systemd-creds decrypt --name=encryption $pki/encryption.cred.new - 2>/dev/null)" = "$config" ||
                { why="systemd-creds does not read what it wrote"; return 1; }
}

if seal; then
        sync $pki/encryption.cred.new
        mv -f $pki/encryption.cred.new $pki/encryption.cred
        rm -f $pki/encryption.yaml
        line=LoadCredentialEncrypted=encryption:$pki/encryption.cred
else
        echo "file $(printf '%s' "$why" | tail -n 1)"
        printf '%s\n' "$config" >$pki/encryption.yaml.new
        sync $pki/encryption.yaml.new
        mv -f $pki/encryption.yaml.new $pki/encryption.yaml
        rm -f $pki/encryption.cred $pki/encryption.cred.new
        line=LoadCredential=encryption:$pki/encryption.yaml
fi
mkdir -p $unit
printf '# Made by kctl: the keys of encryption at rest.\n[Service]\n%s\n' "$line" >$unit/encryption.conf
chmod 0755 $unit
chmod 0644 $unit/encryption.conf
grep -q '^encryption-provider-config:' /etc/keelson/kapid.yaml ||
        sed -i '$a encryption-provider-config: encryption' /etc/keelson/kapid.yaml
systemctl daemon-reload
if test -e $pki/encryption.cred; then
        case $(head -c 24 $pki/encryption.cred | base64 -d 2>/dev/null | od -An -N16 -tx1 | tr -d ' \n') in
        5a1c6a86df9d4096b1d5a65e0862f19a) echo host ;;
        0c7cc07b11764591*) echo tpm2 ;;
        93a8940948744490*) echo host+tpm2 ;;
        *) echo systemd ;;
        esac
fi
