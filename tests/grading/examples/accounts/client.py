"""Chat client with accounts. Usage: python client.py HOST PORT"""

import getpass
import socket
import sys
import threading

sock = socket.create_connection((sys.argv[1], int(sys.argv[2])))
lines = sock.makefile("r", encoding="utf-8")


def send(line):
    """Send one line."""
    sock.sendall((line + "\n").encode())


def sign_in():
    """Ask until the server is content."""
    while True:
        user = input("Username: ")
        password = getpass.getpass("Password: ")
        new = input("Register as a new user? (yes/no) ")
        send(f"{'REGISTER' if new == 'yes' else 'LOGIN'} {user} {password}")
        answer = lines.readline().strip()
        if answer.startswith("OK"):
            print(f"Signed in as {user}. Here are: {answer[3:]}. Type /help for help.")
            return
        print("Sorry:", answer[4:])


def show():
    """Print what comes."""
    for line in lines:
        print(line, end="")


sign_in()
threading.Thread(target=show, daemon=True).start()
while True:
    text = input()
    if text == "/help":
        print("/who           who is online\n/tell USER TEXT  tell one user\n/log           what was said\n/bye           leave")
    elif text == "/who":
        send("WHO")
    elif text.startswith("/tell "):
        send("TELL " + text[6:])
    elif text == "/log":
        send("LOG")
    elif text == "/bye":
        send("BYE")
        break
    elif text.startswith("/"):
        print("Unknown command")
    elif text:
        send("SAY " + text)
