"""The client: python client.py --name NAME [--host HOST] [--port PORT]"""

import argparse
import socket
import threading

parser = argparse.ArgumentParser()
parser.add_argument("--host", default="127.0.0.1")
parser.add_argument("-p", "--port", type=int, default=6000)
parser.add_argument("--name", required=True, help="your nickname")
options = parser.parse_args()

sock = socket.create_connection((options.host, options.port))
sock.sendall((options.name + "\n").encode())


def show():
    """Print what comes."""
    for line in sock.makefile(encoding="utf-8"):
        print(line.rstrip("\n"), flush=True)
    print("disconnected")


threading.Thread(target=show, daemon=True).start()
line = ""
while line != "#quit":
    line = input()
    sock.sendall((line + "\n").encode())
