"""Runs one of tlsfuzzer's scripts against an SMTP server: TLS begins with STARTTLS.

TLSFUZZER-DIRECTORY SCRIPT HOST PORT [ARGUMENT…]. The scripts speak HTTP once TLS is there; to them smtpd
answers `221 … I can break rules, too`, and closes, as a web server would.
"""

import os
import runpy
import socket
import sys


def reply(sock):
    """Reads one reply, a byte at a time: what comes behind it belongs to TLS."""
    line = b""
    while True:
        byte = sock.recv(1)
        if not byte:
            raise socket.error("the server closed: %r" % line)
        line += byte
        if line.endswith(b"\n"):
            if line[3:4] != b"-":
                return line
            line = b""


class Socket(socket.socket):
    def connect(self, address):
        super().connect(address)
        reply(self)
        self.sendall(b"EHLO client.test\r\n")
        reply(self)
        self.sendall(b"STARTTLS\r\n")
        answer = reply(self)
        if not answer.startswith(b"220"):
            raise socket.error("no STARTTLS: %r" % answer)


def main():
    directory, script, host, port = sys.argv[1:5]
    sys.path.insert(0, directory)
    from tlsfuzzer import messages

    class Module:
        def __getattr__(self, name):
            return Socket if name == "socket" else getattr(socket, name)

    messages.socket = Module()
    path = os.path.join(directory, "scripts", script + ".py")
    sys.argv = [path, "-h", host, "-p", port] + sys.argv[5:]
    runpy.run_path(path, run_name="__main__")


main()
