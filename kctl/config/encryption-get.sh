# Writes how the configuration of encryption is kept here, and behind that line the configuration.
pki=/etc/keelson/pki
own=$(sed -n 's/^encryption-provider-config: *//p' /etc/keelson/kapid.yaml 2>/dev/null)
if test "$own" && test "$own" != encryption; then
        echo "own $own"
elif test -e $pki/encryption.cred; then
        # The kind of key is in its first bytes (systemd's creds-util.h).
        case $(head -c 24 $pki/encryption.cred | base64 -d 2>/dev/null | od -An -N16 -tx1 | tr -d ' \n') in
        5a1c6a86df9d4096b1d5a65e0862f19a) echo host ;;
        0c7cc07b11764591*) echo tpm2 ;;
        93a8940948744490*) echo host+tpm2 ;;
        *) echo systemd ;;
        esac
        systemd-creds decrypt --name=encryption $pki/encryption.cred - || {
                echo "$pki/encryption.cred cannot be unsealed here (are systemd-creds, this machine's host key and its TPM2 what" \
                        "they were?); kctl control replace gives the machine the keys of the others, a sealed backup has them too" >&2
                exit 1
        }
elif test -e $pki/encryption.yaml; then
        echo file
        cat $pki/encryption.yaml
else
        echo none
fi
