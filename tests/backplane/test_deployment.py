"""The server as a program with ``--backplane``, and the deployment of ``chat/promises/deploy/``."""

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import psutil
import pytest
import yaml

from chat.lab.background import RecordingClient
from chat.lab.faults import ServerProcess
from chat.lab.redis_process import RedisProcess
from chat.lab.waiting import wait_until
from tests.scripts.programs import ROOT, SERVER, Program, run

DEPLOY = ROOT / "chat" / "promises" / "deploy"


def test_the_server_says_where_its_history_is_and_no_password(store: RedisProcess) -> None:
    host, port = store.address
    address = f"redis://:@{host}:{port}/0"
    with Program(*SERVER, "--lang", "en", env={"CHAT_SERVER_BACKPLANE": address}) as server:
        server.address()
        assert server.wait_for("History").endswith(
            f"in Redis at {host}:{port}, shared with other servers"
        )
        server.signal(signal.SIGINT)
        status, _output, complaint = server.end()
    assert (status, complaint) == (0, "")


def test_without_redis_there_is_one_clear_sentence(store: RedisProcess) -> None:
    del store
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    address = f"redis://127.0.0.1:{port}/0"
    status, output, complaint = run(*SERVER, "--lang", "en", "--backplane", address)
    assert (status, output) == (1, "")
    assert complaint.startswith("Cannot use Redis: ")
    assert complaint.count("\n") == 1
    assert complaint.endswith("refused.\n")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--backplane", "http://127.0.0.1/"], "Cannot use Redis: "),
        (["--backplane", "redis://127.0.0.1/", "--history", "x.db"], "--history and --backplane"),
    ],
)
def test_a_bad_option_is_one_clear_sentence(options: list[str], sentence: str) -> None:
    status, output, complaint = run(*SERVER, "--lang", "en", *options)
    assert (status, output) == (1, "")
    assert complaint.startswith(sentence)
    assert complaint.count("\n") == 1


def test_the_services_of_the_compose_file_know_each_other() -> None:
    """Containers cannot be run here, so what can be checked without them is."""
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    servers = {name for name in services if name.startswith("chat")}
    assert len(servers) == 3
    variables = services["balancer"]["environment"]
    assert {variables[f"CHAT_{n}"] for n in (1, 2, 3)} == {f"{name}:9090" for name in servers}
    for name in servers:
        service = services[name]
        assert service["environment"]["CHAT_SERVER_BACKPLANE"] == "redis://redis:6379/0"
        assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).exists()
        # A command line that our parser takes; --help ends before anything is started.
        status, _output, complaint = run("-m", "chat.server", *service["command"], "--help")
        assert (status, complaint) == (0, "")
    assert "always" in services["redis"]["command"]


@contextmanager
def balancer(servers: list[ServerProcess]) -> Iterator[tuple[int, tuple[str, int]]]:
    """Run HAProxy with our configuration before *servers*; yield its process and its address."""
    # HAProxy takes over a listening socket whose descriptor it is given: no port to guess.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        environment = {
            "PATH": os.environ["PATH"],
            "CHAT_LISTEN": f"fd@{listener.fileno()}",
            **{
                f"CHAT_{number}": "{}:{}".format(*server.address)
                for number, server in enumerate(servers, 1)
            },
        }
        process = subprocess.Popen(
            [haproxy(), "-db", "-f", str(DEPLOY / "haproxy.cfg")],
            env=environment,
            pass_fds=[listener.fileno()],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield process.pid, listener.getsockname()
        finally:
            process.kill()
            process.wait()


def haproxy() -> str:
    found = shutil.which("haproxy", path=os.environ["PATH"] + os.pathsep + "/usr/sbin")
    if found is None:
        pytest.skip("there is no haproxy here; in Debian and Ubuntu: apt install haproxy")
    return found


def test_behind_the_balancer_a_client_outlives_its_server(store: RedisProcess) -> None:
    with ExitStack() as stack:
        servers = [
            stack.enter_context(ServerProcess("--rate", "0", "--backplane", store.url))
            for _number in range(3)
        ]
        proxy, address = stack.enter_context(balancer(servers))
        anya = _first_to_get_in(address, "Аня")
        stack.callback(anya.close)
        neighbours = {
            server: stack.enter_context(RecordingClient(server.address, f"Сосед-{number}"))
            for number, server in enumerate(servers)
        }
        anya.wait_for("joined", nick="Сосед-2")
        anya.wait_for("ack", id=anya.say("до"))
        victim = _server_behind(proxy, servers)
        victim.kill()
        anya.wait_for("reconnected", timeout=30)
        anya.wait_for("ack", id=anya.say("после"))
        for server in servers:
            if server is not victim:
                neighbours[server].wait_for("message", text="после")


def _first_to_get_in(address: tuple[str, int], nick: str) -> RecordingClient:
    """Enter through a balancer that is starting, with one client after the other."""
    entered: list[RecordingClient] = []

    def enter() -> bool:
        client = RecordingClient(address, nick, reconnect=True)
        try:
            entered.append(client.__enter__())
        except ConnectionError:
            return False
        return True

    wait_until(enter, timeout=20)
    return entered[0]


def _server_behind(proxy: int, servers: list[ServerProcess]) -> ServerProcess:
    """Return the server to which the process *proxy* holds the one connection that lasts."""
    by_port = {server.address[1]: server for server in servers}

    def connections() -> set[tuple[int, int]]:
        found = psutil.Process(proxy).net_connections("tcp")
        return {(c.laddr.port, c.raddr.port) for c in found if c.raddr and c.raddr.port in by_port}

    lasting = connections()

    def only_one() -> bool:
        lasting.intersection_update(connections())  # those of health checks come and go
        return len(lasting) == 1

    wait_until(only_one)
    [(_ours, port)] = lasting
    return by_port[port]
