"""OpenID Connect tokens, the audit log and revocation at kapids beside that of kctl dev, with an issuer of our own. TAP."""
import base64
import datetime
import hashlib
import hmac
import http.client
import http.server
import ipaddress
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.x509.oid import NameOID

scratch, admin_config, kctl = sys.argv[1:4]
number = failures = 0


def ok(text, passed, why=''):
    global number, failures
    number += 1
    print(f'{"ok" if passed else "not ok"} {number} - {text}')
    if not passed:
        failures += 1
        print('#', str(why)[:600].replace('\n', '\n# '))
    sys.stdout.flush()


def eventually(seconds, f):
    end = time.monotonic() + seconds
    while True:
        value = f()
        if value or time.monotonic() > end:
            return value
        time.sleep(0.1)


# --- the issuer ---

def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b'=').decode()


def number_text(n):
    return b64(n.to_bytes((n.bit_length() + 7) // 8, 'big'))


def rsa_key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


keys = {'one': rsa_key(), 'curve': ec.generate_private_key(ec.SECP256R1())}


def jwk(name, key):
    n = key.public_key().public_numbers()
    if isinstance(key, rsa.RSAPrivateKey):
        return {'kid': name, 'kty': 'RSA', 'use': 'sig', 'n': number_text(n.n), 'e': number_text(n.e)}
    return {'kid': name, 'kty': 'EC', 'crv': 'P-256', 'x': b64(n.x.to_bytes(32, 'big')), 'y': b64(n.y.to_bytes(32, 'big'))}


fetched = {}
never = threading.Event()


class Issuer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        realm = self.path.split('/')[1]
        fetched[self.path] = fetched.get(self.path, 0) + 1
        if realm == 'slow':
            never.wait(60)
            return
        if realm == 'moved':
            self.send_response(302)
            self.send_header('Location', '/good/keys')
            self.send_header('Content-Length', '0')
            self.end_headers()
            return
        if self.path.endswith('/.well-known/openid-configuration'):
            url = issuer('other' if realm == 'liar' else realm)
            body = json.dumps({'issuer': url, 'jwks_uri': f'{issuer(realm)}/keys'}).encode()
        else:
            body = json.dumps({'keys': [jwk(k, v) for k, v in keys.items()]}).encode()
            if realm == 'big':
                body = body[:-1] + b', "x": "' + b'x' * (10 << 20) + b'"}'
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def certificate(path):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, 'issuer')])
    now = datetime.datetime.utcnow()
    cert = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
            .serial_number(7).not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address('127.0.0.1'))]), critical=False)
            .sign(key, hashes.SHA256()))
    with open(path + '.crt', 'wb') as f:
        f.write(cert.public_bytes(serialization.Encoding.PEM))
    with open(path + '.key', 'wb') as f:
        f.write(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


issuer_port = free_port()


def issuer(realm):
    return f'https://127.0.0.1:{issuer_port}/{realm}'


def start_issuer():
    server = http.server.ThreadingHTTPServer(('127.0.0.1', issuer_port), Issuer)
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(scratch + '/issuer.crt', scratch + '/issuer.key')
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def sign(key, data, algorithm):
    if algorithm == 'PS256':
        return key.sign(data, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
    if algorithm == 'RS256':
        return key.sign(data, padding.PKCS1v15(), hashes.SHA256())
    r, s = utils.decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, 'big') + s.to_bytes(32, 'big')


def token(kid='one', alg='RS256', key=None, realm='good', signature=None, **claims):
    payload = {'iss': issuer(realm), 'aud': 'fleet', 'sub': 'zoe', 'exp': time.time() + 300, 'groups': ['ops'], **claims}
    text = b64(json.dumps({'alg': alg, 'kid': kid}).encode()) + '.' + \
        b64(json.dumps({k: v for k, v in payload.items() if v is not None}).encode())
    if signature is None:
        signature = sign(key or keys[kid], text.encode(), alg)
    elif callable(signature):
        signature = signature(text.encode())
    return text + '.' + b64(signature)


# --- kapids ---

with open(scratch + '/kapid.cmdline', 'rb') as f:
    base_args = f.read().decode().rstrip('\0').split('\0')
config = yaml.safe_load(open(admin_config, encoding='utf-8'))
ca_pem = base64.b64decode(config['clusters'][0]['cluster']['certificate-authority-data']).decode()
children = []


class Kapid:
    def __init__(self, name, *flags, **options):
        self.port = free_port()
        self.log = f'{scratch}/{name}.log'
        args = [a for a in base_args if not a.startswith(('--secure-port', '--unix-socket'))]
        args += [f'--secure-port={self.port}', f'--unix-socket={scratch}/{name}.sock', *flags]
        with open(self.log, 'wb') as log:
            self.process = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=options.get('stdout', log), stderr=log)
        children.append(self.process)
        self.context = ssl.create_default_context(cadata=ca_pem)
        self.admin = ssl.create_default_context(cadata=ca_pem)
        self.use(self.admin, admin_config)

    def use(self, context, path):
        user = yaml.safe_load(open(path, encoding='utf-8'))['users'][0]['user']
        pem = f'{scratch}/pem-{os.path.basename(path)}'
        with open(pem, 'wb') as f:
            os.chmod(pem, 0o600)
            f.write(base64.b64decode(user['client-certificate-data']) + base64.b64decode(user['client-key-data']))
        context.load_cert_chain(pem)
        return context

    def ask(self, method, path, bearer=None, body=None, headers=None, context=None, timeout=5):
        c = http.client.HTTPSConnection('127.0.0.1', self.port, context=context or (self.context if bearer else self.admin),
                                        timeout=timeout)
        sent = dict(headers or {})
        if bearer:
            sent['Authorization'] = 'Bearer ' + bearer
        if body is not None:
            sent.setdefault('Content-Type', 'application/json')
        try:
            c.request(method, path, None if body is None else json.dumps(body), sent)
            answer = c.getresponse()
            data = answer.read()
            return answer.status, answer, json.loads(data) if data[:1] == b'{' else data.decode(errors='replace')
        except (OSError, http.client.HTTPException) as e:
            return 0, None, str(e)
        finally:
            c.close()

    def ready(self):
        return eventually(15, lambda: self.ask('GET', '/readyz')[0] == 200)

    def who(self, bearer):
        status, _, answer = self.ask('POST', '/apis/authentication.k8s.io/v1/selfsubjectreviews', bearer,
                                     {'apiVersion': 'authentication.k8s.io/v1', 'kind': 'SelfSubjectReview'})
        return answer['status']['userInfo'] if status == 201 else (status, answer)

    def says(self, text):
        with open(self.log, encoding='utf-8') as f:
            return text in f.read()

    def metric(self, name):
        for line in self.ask('GET', '/metrics')[2].splitlines():
            if line.startswith(name + ' '):
                return float(line.split()[-1])
        return None

    def memory_mb(self):
        with open(f'/proc/{self.process.pid}/status', encoding='utf-8') as f:
            return next(int(line.split()[1]) for line in f if line.startswith('VmHWM')) / 1024


def oidc(realm, *more):
    return [f'--oidc-issuer-url={issuer(realm)}', '--oidc-client-id=fleet', f'--oidc-ca-file={scratch}/issuer.crt',
            '--oidc-groups-claim=groups', *more]


POLICY = '''
apiVersion: audit.k8s.io/v1
kind: Policy
rules:
- {level: None, nonResourceURLs: ["/readyz*", "/metrics"]}
- {level: Metadata, resources: [{group: "", resources: [secrets]}]}
- {level: RequestResponse, omitManagedFields: true, resources: [{group: "", resources: [configmaps]}]}
- {level: Request, omitStages: [RequestReceived], resources: [{group: "", resources: [services]}]}
- {level: None, users: ["system:kube-controller-manager", "system:kube-scheduler", "system:keelson:kgitd"]}
- {level: Metadata}
'''


def events(path=None):
    with open(path or scratch + '/audit.log', encoding='utf-8') as f:
        return [json.loads(line) for line in f]


def audited(audit_id, path=None):
    return [e for e in events(path) if e['auditID'] == audit_id]


def object_of(kind, name, **more):
    return {'apiVersion': 'v1', 'kind': kind, 'metadata': {'name': name}, **more}


def test_tokens(k):
    hostile = [
        ('alg none', token(alg='none', signature=b'')),
        ('alg none with a signature', token(alg='none', signature=lambda t: sign(keys['one'], t, 'RS256'))),
        ('HS256 with the public key as secret', token(alg='HS256', signature=lambda t: hmac.new(
            keys['one'].public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
            t, hashlib.sha256).digest())),
        ('an algorithm that the flag does not name', token(alg='PS256')),
        ('a key of another, under its name', token(key=rsa_key())),
        ('no signature', token(signature=b'')),
        ('expired', token(exp=time.time() - 1)),
        ('no end', token(exp=None)),
        ('not yet valid', token(nbf=time.time() + 600)),
        ('another audience', token(aud='other')),
        ('no audience', token(aud=None)),
        ('20 kB', token(x='x' * 20000)),
        ('no name', token(sub=None)),
    ]
    who = k.who(token())
    ok('a token of the issuer is a user', isinstance(who, dict) and who['username'] == issuer('good') + '#zoe', who)
    ok('with its groups', 'oidc:ops' in who['groups'] and 'system:authenticated' in who['groups'], who)
    ok('whose rights come from bindings', k.ask('GET', '/api/v1/pods', token())[0] == 403)
    k.ask('POST', '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings', body={
        'apiVersion': 'rbac.authorization.k8s.io/v1', 'kind': 'ClusterRoleBinding', 'metadata': {'name': 'oidc-ops'},
        'roleRef': {'apiGroup': 'rbac.authorization.k8s.io', 'kind': 'ClusterRole', 'name': 'view'},
        'subjects': [{'apiGroup': 'rbac.authorization.k8s.io', 'kind': 'Group', 'name': 'oidc:ops'}]})
    ok('of its groups', eventually(5, lambda: k.ask('GET', '/api/v1/pods', token())[0] == 200))
    ok('ES256 too', isinstance(k.who(token('curve', 'ES256')), dict), k.who(token('curve', 'ES256')))
    for what, bad in hostile:
        status, _, answer = k.ask('GET', '/api/v1/pods', bad)
        ok(f'refused: {what}', status == 401 and answer['reason'] == 'Unauthorized', (status, answer))
    status, _, answer = k.ask('GET', '/api/v1/pods', token(realm='other'))
    ok('refused: another issuer', status == 401, (status, answer))
    status = k.ask('GET', '/api/v1/pods', 'x' * (1 << 20))[0]
    ok('a token of 1 MB does not harm', status in (0, 400, 401, 413, 431) and k.ask('GET', '/readyz')[0] == 200, status)
    status, _, answer = k.ask('POST', '/apis/authentication.k8s.io/v1/tokenreviews', body={
        'apiVersion': 'authentication.k8s.io/v1', 'kind': 'TokenReview', 'spec': {'token': token()}})
    ok('a TokenReview knows it', status == 201 and answer['status'].get('authenticated'), answer)


def test_rotation(k):
    keys['two'] = rsa_key()
    fresh = token('two')
    path = '/good/keys'
    before = fetched[path]
    ok('a new key of the issuer is fetched when a token names it', eventually(15, lambda: isinstance(k.who(fresh), dict)),
       k.who(fresh))
    for i in range(40):
        k.ask('GET', '/api/v1/pods', token('two', key=keys['two'], **{'sub': 'x'}) if i % 2 else
              token(kid=f'no-{i}', key=keys['two']))
    ok('tokens with unknown keys cause few fetches', fetched[path] - before <= 2, fetched[path] - before)
    status, answer, _ = k.ask('GET', '/api/v1/pods', token(kid='no', key=keys['two']))
    ok('and are refused', status == 401 or (status == 503 and answer.headers['Retry-After'] == '1'), status)


def test_issuers():
    realms = {'big': 'the answer is too large', 'liar': 'it names another issuer', 'moved': 'the issuer answered 302'}
    kapids = {r: Kapid('kapid-' + r, *oidc(r)) for r in [*realms, 'slow']}
    for realm, k in kapids.items():
        ok(f'kapid is ready with the issuer {realm}', k.ready(), open(k.log, encoding='utf-8').read())
    for realm, text in realms.items():
        k = kapids[realm]
        ok(f'{realm}: its log says why', eventually(8, lambda k=k, t=text: k.says(t)), open(k.log, encoding='utf-8').read())
    for realm, k in kapids.items():
        began = time.monotonic()
        status, answer, _ = k.ask('GET', '/api/v1/pods', token(realm=realm))
        ok(f'{realm}: a token gets 503 and is asked to come again', status == 503 and answer.headers['Retry-After'] == '1', status)
        ok(f'{realm}: others are served meanwhile', k.ask('GET', '/api/v1/nodes')[0] == 200 and time.monotonic() - began < 2)
    ok('10 MB of keys are not held', kapids['big'].memory_mb() < kapids['liar'].memory_mb() + 6,
       (kapids['big'].memory_mb(), kapids['liar'].memory_mb()))
    for k in kapids.values():
        k.process.terminate()


def test_audit(k):
    ns = '/api/v1/namespaces/default'
    secret = object_of('Secret', 'hidden', stringData={'password': 'do-not-log-me'})
    k.ask('POST', ns + '/secrets', body=secret, headers={'Audit-Id': 'secret-1'})
    e = audited('secret-1')
    ok('Metadata: two stages', [x['stage'] for x in e] == ['RequestReceived', 'ResponseComplete'], e)
    ok('of who, what and the outcome', e and e[1]['verb'] == 'create' and e[1]['user']['username'] == 'kubernetes-admin' and
       e[1]['objectRef'] == {'resource': 'secrets', 'namespace': 'default', 'name': 'hidden', 'apiVersion': 'v1'} and
       e[1]['responseStatus']['code'] == 201 and e[1]['sourceIPs'] == ['127.0.0.1'] and
       e[1]['annotations']['authorization.k8s.io/decision'] == 'allow' and e[1]['requestURI'] == ns + '/secrets', e)
    ok('with the certificate', e and e[1]['user']['extra']['authentication.kubernetes.io/credential-id'][0].startswith('X509SHA256='), e)
    k.ask('GET', ns + '/secrets/hidden', headers={'Audit-Id': 'secret-2'})
    k.ask('GET', ns + '/secrets', headers={'Audit-Id': 'secret-3'})
    with open(scratch + '/audit.log', encoding='utf-8') as f:
        text = f.read()
    encoded = base64.b64encode(b'do-not-log-me').decode()
    ok('and no contents', 'secret-3' in text and 'do-not-log-me' not in text and encoded not in text)
    k.ask('POST', ns + '/configmaps?pretty=true', body=object_of('ConfigMap', 'c', data={'a': '1'}), headers={'Audit-Id': 'map-1'})
    e = audited('map-1')
    ok('RequestResponse: both bodies', len(e) == 2 and e[1]['requestObject']['data'] == {'a': '1'} and
       e[1]['responseObject']['metadata']['uid'] and 'responseObject' not in e[0], e)
    ok('without managedFields', e and 'managedFields' not in e[1]['responseObject']['metadata'], e)
    k.ask('PATCH', ns + '/configmaps/c', body={'data': {'b': '2'}},
          headers={'Audit-Id': 'map-2', 'Content-Type': 'application/merge-patch+json'})
    e = audited('map-2')
    ok('a patch as it came', e and e[-1]['requestObject'] == {'data': {'b': '2'}} and e[-1]['responseObject']['data']['b'] == '2', e)
    k.ask('GET', ns + '/configmaps', headers={'Audit-Id': 'map-3'})
    e = audited('map-3')
    ok('a list', e and e[-1]['responseObject']['kind'] == 'ConfigMapList' and
       not any('managedFields' in i['metadata'] for i in e[-1]['responseObject']['items']), e)
    listed = e and e[-1]['responseObject']
    text = k.ask('GET', ns + '/configmaps', headers={'Audit-Id': 'map-4', 'Accept': 'application/vnd.kubernetes.protobuf'})[2]
    e = audited('map-4')
    ok('the same list in protobuf, as JSON', text.startswith('k8s\0') and e and e[-1]['responseObject']['items'] == listed['items'] and
       e[-1]['responseObject']['kind'] == 'ConfigMapList' and e[-1]['responseStatus']['code'] == 200, e)
    k.ask('POST', ns + '/services', body=object_of('Service', 's', spec={'ports': [{'port': 80}]}), headers={'Audit-Id': 'svc-1'})
    e = audited('svc-1')
    ok('Request: its body alone, in one stage', len(e) == 1 and e[0]['requestObject']['spec']['ports'] and
       'responseObject' not in e[0], e)
    k.ask('GET', '/api/v1/nodes/none', headers={'Audit-Id': 'none-1'})
    e = audited('none-1')
    ok('a refusal with its Status', e and e[-1]['responseStatus']['code'] == 404 and
       e[-1]['responseStatus']['reason'] == 'NotFound' and e[-1]['responseStatus']['status'] == 'Failure', e)
    k.ask('DELETE', ns + '/services/s', token(), headers={'Audit-Id': 'no-1'})
    e = audited('no-1')
    ok('what is forbidden', e and e[-1]['responseStatus']['code'] == 403 and
       e[-1]['annotations']['authorization.k8s.io/decision'] == 'forbid' and e[-1]['user']['username'].endswith('#zoe'), e)
    k.ask('GET', '/api/v1/nodes', 'rubbish', headers={'Audit-Id': 'bad-1'})
    e = audited('bad-1')
    ok('a user who was refused: one stage, no name', [x['stage'] for x in e] == ['ResponseStarted'] and
       e[0]['responseStatus']['code'] == 401 and 'username' not in e[0]['user'], e)
    k.ask('GET', '/api/v1/nodes', headers={'Audit-Id': 'as-1', 'Impersonate-User': 'otto'})
    e = audited('as-1')
    ok('impersonation: both users', e and e[-1]['user']['username'] == 'kubernetes-admin' and
       e[-1]['impersonatedUser']['username'] == 'otto', e)
    k.ask('GET', '/api/v1/nodes', headers={'Audit-Id': 'as-2', 'Impersonate-User': 'o\xff', 'Impersonate-Group': '\xfe'})
    e = audited('as-2')
    ok('whatever bytes the name has', e and e[-1]['impersonatedUser']['username'] == 'o?', e)
    k.ask('GET', '/api/v1/nodes?x=' + 'y' * 6000 + '&limit=1', headers={'Audit-Id': 'long-1'})
    e = audited('long-1')
    ok('a long address is there to its end', e and e[-1]['requestURI'].endswith('&limit=1'), e)
    k.ask('GET', '/api/v1/nodes?watch=1&timeoutSeconds=1', headers={'Audit-Id': 'watch-1'})
    ok('a watch: three stages', eventually(3, lambda: [x['stage'] for x in audited('watch-1')] ==
                                           ['RequestReceived', 'ResponseStarted', 'ResponseComplete']), audited('watch-1'))
    k.ask('GET', '/api/v1/nodes', headers={'Audit-Id': 'odd-1', 'User-Agent': 'a"b\\c\x01\xff' + 'x' * 3000})
    e = audited('odd-1')
    ok('odd headers make no odd lines', len(e) == 2 and len(e[1]['userAgent']) <= 1024, e)
    ok('rules of level None leave nothing', not [x for x in events() if x['requestURI'] == '/metrics'])
    ok('the log is only its owner\'s', os.stat(scratch + '/audit.log').st_mode & 0o777 == 0o600)
    ok('the metric counts events', eventually(2, lambda: k.metric('apiserver_audit_event_total') == len(events())),
       (k.metric('apiserver_audit_event_total'), len(events())))


def test_losses():
    policy = f'--audit-policy-file={scratch}/policy.yaml'
    full = Kapid('kapid-full', policy, '--audit-log-path=/dev/full')
    ok('a full disk does not stop kapid', full.ready() and full.ask('GET', '/api/v1/nodes')[0] == 200)
    ok('it is counted', full.metric('apiserver_audit_error_total{plugin="log"}') >= 2)
    ok('and reported once', full.says('Audit events are lost') and full.says('No space left on device'))
    full.process.terminate()
    reader, writer = os.pipe()
    slow = Kapid('kapid-slow-log', policy, '--audit-log-path=-', stdout=writer)
    os.close(writer)
    slow.ready()
    passed = all(slow.ask('GET', '/api/v1/nodes')[0] == 200 for _ in range(120))  # more than a pipe holds
    ok('a reader of standard output that does not read holds nobody', passed)
    slow.process.terminate()
    data = b''
    while part := os.read(reader, 1 << 20):
        data += part
    lines = data.decode().splitlines()
    ok('what it did not read was kept for it', len(lines) >= 200 and all(json.loads(x)['kind'] == 'Event' for x in lines[:150]),
       len(lines))
    for flags, text in ([policy], 'needs --audit-log-path'), (['--audit-log-path=x'], 'needs --audit-policy-file'), \
            ([policy, '--audit-log-path=/no/such/x'], '/no/such/x'), \
            (['--audit-policy-file=/dev/null', '--audit-log-path=x'], 'policy-file /dev/null'), \
            (['--oidc-client-id=x'], 'needs --oidc-issuer-url'), \
            ([*oidc('good'), '--oidc-signing-algs=HS256'], 'not one of RS256'):
        k = Kapid('kapid-bad', *flags)
        ok(f'refused at the start: {text}', k.process.wait(5) == 1 and k.says(text), open(k.log, encoding='utf-8').read())


def test_revocation(k):
    ann = k.use(ssl.create_default_context(cadata=ca_pem), scratch + '/ann.kubeconfig')
    c = http.client.HTTPSConnection('127.0.0.1', k.port, context=ann, timeout=10)
    c.request('GET', '/api/v1/pods?watch=1&timeoutSeconds=60', headers={'Audit-Id': 'ann-watch'})
    watch = c.getresponse()
    kept = http.client.HTTPSConnection('127.0.0.1', k.port, context=ann, timeout=10)
    kept.request('GET', '/api/v1/pods')
    first = kept.getresponse()
    first.read()
    ok('a watch and a connection of a user', watch.status == 200 and first.status == 200, (watch.status, first.status))
    said = subprocess.run([kctl, '--kubeconfig', admin_config, 'user', 'revoke', 'ann'], capture_output=True, text=True,
                          timeout=20, check=False)
    ok('kctl user revoke', '2 certificates revoked' in said.stdout, said)
    began = time.monotonic()
    try:
        watch.read()
    except (OSError, http.client.HTTPException):
        pass
    ok('the watch at another kapid ends at once', time.monotonic() - began < 3, time.monotonic() - began)
    kept.request('GET', '/api/v1/pods')
    again = kept.getresponse()
    ok('the connection that is open is refused', again.status == 401 and b'was revoked' in again.read(), again.status)
    ok('and every new one', k.ask('GET', '/api/v1/pods', context=ann)[0] == 401)
    ok('others are not concerned', k.ask('GET', '/api/v1/pods')[0] == 200)
    ok('the log has the end of the watch', eventually(3, lambda: [x['stage'] for x in audited('ann-watch')][-1:] ==
                                                      ['ResponseComplete']), audited('ann-watch'))


def main():
    certificate(scratch + '/issuer')
    with open(scratch + '/policy.yaml', 'w', encoding='utf-8') as f:
        f.write(POLICY)
    k = Kapid('kapid2', *oidc('good', '--oidc-groups-prefix=oidc:', '--oidc-signing-algs=RS256,ES256'),
              f'--audit-policy-file={scratch}/policy.yaml', f'--audit-log-path={scratch}/audit.log')
    ok('a kapid is ready though its issuer is down', k.ready(), open(k.log, encoding='utf-8').read())
    status, answer, _ = k.ask('GET', '/api/v1/pods', token())
    ok('tokens get 503 and are asked to come again', status == 503 and answer.headers['Retry-After'] == '1', status)
    ok('its log says why', eventually(3, lambda: k.says('cannot be fetched')), open(k.log, encoding='utf-8').read())
    start_issuer()
    ok('once the issuer is up they are accepted', eventually(12, lambda: isinstance(k.who(token()), dict)), k.who(token()))
    test_tokens(k)
    test_audit(k)
    test_issuers()
    test_losses()
    test_revocation(k)
    test_rotation(k)
    ok('kapid ended nothing in disorder', k.process.poll() is None)


try:
    main()
finally:
    for child in children:
        child.terminate()
    for child in children:
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
print(f'1..{number}')
sys.exit(failures > 0)
