#!/usr/bin/python3
"""The agent's side of nodeagent/streams/stream-protocol.h, without pods: commands run as they are, on this machine. For
tests/clients/streams, where no systemd is; `knodeagent ssh` in front of it is the real one.

usage: stream-agent.py SOCKET"""
import array
import fcntl
import http.server
import json
import os
import signal
import socket
import socketserver
import subprocess
import sys
import termios
import threading


def receive(connection):
    data, files = b"", []
    while not data.endswith(b"\n"):
        part, ancillary, _, _ = connection.recvmsg(65536, socket.CMSG_SPACE(16))
        if not part:
            return None, files
        data += part
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                files += array.array("i", content[:len(content) - len(content) % 4])
    return json.loads(data), list(files)


def say(connection, **line):
    connection.sendall(json.dumps(line).encode() + b"\n")


def alone():
    """A shell's job in the background, as this program is one, ignores the keys of a terminal."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    os.setsid()


def terminal():
    alone()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def run(connection, request, files):
    named = dict(zip(request["files"], files))
    try:
        child = subprocess.Popen(
            request["command"], stdin=named.get("stdin", subprocess.DEVNULL), stdout=named.get("stdout", subprocess.DEVNULL),
            stderr=named.get("stderr", subprocess.DEVNULL), preexec_fn=terminal if request.get("tty") else alone)
    except OSError as e:
        say(connection, failed=f"cannot run {request['command'][0]}: {e.strerror}")
        return
    finally:
        for fd in files:
            os.close(fd)
    say(connection, ready=True)

    def watch():  # the session's end kills the command
        try:
            gone = connection.recv(1) == b""
        except OSError:
            gone = True
        if gone:
            try:
                os.killpg(child.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    threading.Thread(target=watch, daemon=True).start()
    code = child.wait()
    try:
        say(connection, exit=code if code >= 0 else 128 - code)
    except OSError:
        pass


def attach(connection, files):
    """A program that greets, says everything louder, and ends at its input's end."""
    with socket.socket(fileno=files[0]) as client:
        client.setblocking(True)
        say(connection, ready=True, tty="")
        client.sendall(b"attached\n")
        while data := client.recv(4096):
            client.sendall(data.upper())
        client.sendall(b"over\n")


def serve(connection):
    with connection:
        request, files = receive(connection)
        if not request:
            return
        if request.get("container") == "idle":
            say(connection, refused={"code": 400, "message": 'container "idle" in pod "p" is not running'})
        elif request["verb"] == "exec":
            run(connection, request, files)
        elif request["verb"] == "attach":
            attach(connection, files)
        elif request["verb"] == "proxy":
            say(connection, ready=True, netns="", addresses=["127.0.0.1"])
        elif request["verb"] == "node":
            say(connection, ready=True, netns="", socket=NODE_API)
        else:
            say(connection, ready=True, netns="")


NODE_API = sys.argv[1] + ".node-api"


class NodeApi(http.server.BaseHTTPRequestHandler):
    def log_message(self, *words):
        pass

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"the agent, {self.path}".encode())


def main():
    node_api = socketserver.ThreadingUnixStreamServer(NODE_API, NodeApi)
    threading.Thread(target=node_api.serve_forever, daemon=True).start()
    server = socket.socket(socket.AF_UNIX)
    server.bind(sys.argv[1])
    server.listen(64)
    while True:
        threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()


main()
