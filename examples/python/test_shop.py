"""Runs the example against a real server and looks at what it stored.

    ANGZARR=path/to/angzarr python -m unittest -v       (make test does this)
"""

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path
from uuid import uuid4

import grpc
import shop_pb2 as shop
from angzarr_client import GRPCError, full_type_url_for
from angzarr_client.builder import command, command_new, query, query_domain
from angzarr_client.proto.angzarr import CommandRequest, SpeculateCommandHandlerRequest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from story import Shop, decode, play

HERE = Path(__file__).parent
ANGZARR = os.environ.get("ANGZARR", "angzarr")
READY_SECONDS = 60


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def reserved_port() -> socket.socket:
    """A port that nobody else is given while this socket is open.

    Python's gRPC server shares a port with whoever has it, without a word; so a port that is merely
    free a moment before may turn out to be another program's.
    """
    family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
    reserved = socket.socket(family)
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if family == socket.AF_INET6:
        reserved.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    reserved.bind(("", 0))
    return reserved


class Processes:
    """The server and the two handlers, each ended by its own process id."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="angzarr-example-")
        self.log = open(Path(self.folder.name) / "output.txt", "w+", encoding="utf-8")
        self.reserved = {name: reserved_port() for name in ("orders", "stock")}
        self.ports = {name: held.getsockname()[1] for name, held in self.reserved.items()}
        self.ports["angzarr"] = free_port()
        self.running = {}
        self.endpoint = f"127.0.0.1:{self.ports['angzarr']}"

    def start(self, name):
        environment = os.environ | {
            "ANGZARR_PORT": str(self.ports["angzarr"]),
            "ANGZARR_DATA": str(Path(self.folder.name) / "data"),
            "ORDERS_PORT": str(self.ports["orders"]),
            "STOCK_PORT": str(self.ports["stock"]),
            "PORT": str(self.ports[name]),
        }
        program = (
            [ANGZARR, "serve", "--config", str(HERE / "angzarr.yaml")]
            if name == "angzarr"
            else [sys.executable, str(HERE / f"{name}.py")]
        )
        self.running[name] = subprocess.Popen(
            program,
            env=environment,
            cwd=self.folder.name,
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )

    def wait_until_serving(self, name):
        request = health_pb2.HealthCheckRequest()
        deadline = time.monotonic() + READY_SECONDS
        with grpc.insecure_channel(f"127.0.0.1:{self.ports[name]}") as channel:
            health = health_pb2_grpc.HealthStub(channel)
            while True:
                try:
                    answer = health.Check(request, wait_for_ready=True, timeout=1)
                    assert answer.status == health_pb2.HealthCheckResponse.SERVING, answer
                    return
                except grpc.RpcError as error:
                    gone = self.running[name].poll() is not None
                    if gone or time.monotonic() > deadline:
                        raise AssertionError(f"{name} did not start: {self.output()}") from error

    def kill(self, name):
        process = self.running.pop(name)
        process.kill()
        process.wait()

    def close(self):
        for name in list(self.running):
            self.kill(name)
        for held in self.reserved.values():
            held.close()
        self.log.close()
        self.folder.cleanup()

    def output(self) -> str:
        self.log.flush()
        return Path(self.log.name).read_text(encoding="utf-8")


class ShopTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.processes = Processes()
        cls.addClassCleanup(cls.processes.close)
        for name in ("orders", "stock", "angzarr"):
            cls.processes.start(name)
        for name in ("orders", "stock", "angzarr"):
            cls.processes.wait_until_serving(name)

    def setUp(self):
        self.said = []

    def run(self, result=None):
        """Runs one test; when it fails, shows what was said and what the processes printed."""
        result = result if result is not None else self.defaultTestResult()
        before = len(result.failures) + len(result.errors)
        super().run(result)
        if len(result.failures) + len(result.errors) > before:
            print("\n".join(self.said), self.processes.output(), sep="\n", file=sys.stderr)
        return result

    def play(self) -> Shop:
        it = play(self.processes.endpoint, self.said.append)
        self.addCleanup(it.client.close)
        return it

    def new_shop(self) -> Shop:
        it = Shop(self.processes.endpoint)
        self.addCleanup(it.client.close)
        return it

    def test_the_story_is_stored_on_both_branches(self):
        it = self.play()
        self.check_stored(it)
        refusals = [text.strip() for text in self.said if text.startswith("  refused, ")]
        self.assertEqual(len(refusals), 3)
        self.assertEqual(refusals[0], "refused, FAILED_PRECONDITION: only 1 in stock, 3 asked for")
        for refusal in refusals[1:]:
            self.assertRegex(refusal, "FAILED_PRECONDITION: Sequence mismatch:")

    def test_everything_answered_survives_a_kill(self):
        it = self.play()
        it.client.close()
        self.processes.kill("angzarr")
        self.processes.start("angzarr")
        self.processes.wait_until_serving("angzarr")
        again = self.new_shop()
        again.order, again.article, again.branch = it.order, it.article, it.branch
        self.check_stored(again)
        answer = again.send("stock", again.article, shop.ReserveStock(quantity=1), 2)
        self.assertEqual([page.header.sequence for page in answer.events.pages], [2])

    def check_stored(self, it):
        mugs = shop.ItemAdded(sku="mug", quantity=3, price_cents=850)
        plate = shop.ItemAdded(sku="plate", quantity=1, price_cents=1200)
        created = shop.OrderCreated(customer="Ada")
        self.assertEqual(
            it.history("order", it.order),
            [
                (0, created),
                (1, mugs),
                (2, shop.NoteWritten(text="gift wrap, please")),
                (3, shop.OrderSubmitted(total_cents=2550)),
            ],
        )
        self.assertEqual(
            it.history("order", it.order, it.branch),
            [(0, created), (1, plate), (2, shop.OrderSubmitted(total_cents=1200))],
        )
        self.assertEqual(
            it.history("stock", it.article),
            [
                (0, shop.StockReceived(quantity=4)),
                (1, shop.StockReserved(quantity=3, order=str(it.order))),
            ],
        )

    def test_a_handler_that_repeats_its_input_stores_only_what_is_new(self):
        # ReceiveStock does not look at the state, so the library sends the prior events back too.
        it = self.new_shop()
        for sequence in range(3):
            answer = it.send("stock", it.article, shop.ReceiveStock(quantity=5), sequence)
            self.assertEqual([page.header.sequence for page in answer.events.pages], [sequence])
            self.assertEqual(answer.events.next_sequence, sequence + 1)
        self.assertEqual(
            it.history("stock", it.article),
            [(sequence, shop.StockReceived(quantity=5)) for sequence in range(3)],
        )

    def test_stored_pages_are_committed_and_carry_a_time(self):
        it = self.play()
        pages = query(it.client.query, "order", it.order).get_pages()
        self.assertEqual(len(pages), 4)
        for page in pages:
            self.assertTrue(page.committed)
            self.assertFalse(page.HasField("cascade_id"))
            self.assertGreater(page.created_at.seconds, 0)

    def test_ranges_points_in_time_and_correlation(self):
        it = self.play()
        ask = lambda: query(it.client.query, "order", it.order)  # noqa: E731
        numbers = lambda pages: [page.header.sequence for page in pages]  # noqa: E731
        self.assertEqual(numbers(ask().range(2).get_pages()), [2, 3])
        self.assertEqual(numbers(ask().range_to(1, 2).get_pages()), [1, 2])
        self.assertEqual(numbers(ask().as_of_sequence(1).get_pages()), [0, 1])
        self.assertEqual(numbers(ask().as_of_time("2001-01-01T00:00:00Z").get_pages()), [])

        correlated = uuid4()
        name = f"morning-{correlated}"
        created = shop.CreateOrder(customer="Bo")
        command(it.client.command_handler, "order", correlated).with_command(
            full_type_url_for(shop.CreateOrder), created
        ).with_correlation_id(name).execute()
        books = query_domain(it.client.query, "order").by_correlation_id(name).get_events()
        self.assertEqual([book.cover.root.value for book in books], [correlated.bytes])
        self.assertEqual([book.cover.correlation_id for book in books], [name])
        self.assertEqual(decode(books[0].pages[0].event), shop.OrderCreated(customer="Bo"))

    def test_a_speculative_command_answers_and_stores_nothing(self):
        it = self.play()
        book = (
            command(it.client.command_handler, "stock", it.article)
            .with_command(full_type_url_for(shop.ReserveStock), shop.ReserveStock(quantity=1))
            .with_sequence(2)
            .build()
        )
        answer = it.client.speculative.command_handler(SpeculateCommandHandlerRequest(command=book))
        self.assertEqual(decode(answer.events.pages[0].event), shop.StockReserved(quantity=1))
        self.assertEqual(len(it.history("stock", it.article)), 2)

    def test_what_the_server_refuses_it_explains(self):
        it = self.new_shop()
        client = it.client.command_handler
        message = shop.CreateOrder(customer="Cy")
        typed = (full_type_url_for(shop.CreateOrder), message)

        unknown = command(client, "weather", uuid4()).with_command(*typed)
        self.check_refused(unknown.execute, grpc.StatusCode.NOT_FOUND, "weather.*order")
        rootless = command_new(client, "order").with_command(*typed)
        self.check_refused(rootless.execute, grpc.StatusCode.INVALID_ARGUMENT, "root")
        empty = lambda: client.handle_command(CommandRequest())  # noqa: E731
        self.check_refused(empty, grpc.StatusCode.INVALID_ARGUMENT, "command")
        nobody = lambda: it.send("order", it.order, shop.CreateOrder(), 0)  # noqa: E731
        self.check_refused(nobody, grpc.StatusCode.INVALID_ARGUMENT, "customer must not be empty")
        self.assertEqual(it.history("order", it.order), [])

    def check_refused(self, attempt, code, pattern):
        with self.assertRaises(GRPCError) as caught:
            attempt()
        self.assertEqual(caught.exception.code, code)
        self.assertTrue(re.search(pattern, caught.exception.details), caught.exception.details)


if __name__ == "__main__":
    unittest.main()
