"""Runs the checkout example against a real server, killing it in between.

    ANGZARR=path/to/angzarr python -m unittest -v       (make test does this)
"""

import importlib.util
import os
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from test_shop import ANGZARR, READY_SECONDS, free_port, reserved_port

FOLDER = Path(__file__).parent / "checkout"
sys.path.insert(0, str(FOLDER))


# gRPC's own first pause after a refused connection is a second.
AGAIN_SOON = [(f"grpc.{bound}_reconnect_backoff_ms", 50) for bound in ("initial", "min", "max")]
COMPONENTS = ("orders", "payments", "saga", "process", "projector")


def load(name):
    """A module of the example: `story` is also the name of a module beside this file."""
    spec = importlib.util.spec_from_file_location(f"checkout_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


story = load("story")
projector = load("projector")


class Processes:
    """The server and its components, each ended by its own process id."""

    cascade_timeout = "5s"

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="angzarr-checkout-")
        self.log = open(Path(self.folder.name) / "output.txt", "w+", encoding="utf-8")
        self.reserved = {name: reserved_port() for name in COMPONENTS}
        self.ports = {name: held.getsockname()[1] for name, held in self.reserved.items()}
        # Where the server looks for them.
        self.addresses = dict(self.ports)
        self.ports["angzarr"] = free_port()
        self.database = str(Path(self.folder.name) / "orders.db")
        self.endpoint = f"127.0.0.1:{self.ports['angzarr']}"
        self.running = {}

    def start(self, name):
        environment = os.environ | {
            "ANGZARR_PORT": str(self.ports["angzarr"]),
            "ANGZARR_DATA": str(Path(self.folder.name) / "data"),
            "ORDERS_DB": self.database,
            "PORT": str(self.ports[name]),
            "CASCADE_TIMEOUT": self.cascade_timeout,
            "CASCADE_CHECK": "200ms",
        }
        for component in COMPONENTS:
            environment[f"{component.upper()}_PORT"] = str(self.addresses[component])
        program = (
            [ANGZARR, "serve", "--config", str(FOLDER / "angzarr.yaml")]
            if name == "angzarr"
            else [sys.executable, str(FOLDER / f"{name}.py")]
        )
        self.running[name] = subprocess.Popen(
            program,
            env=environment,
            cwd=self.folder.name,
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )

    def wait_until_serving(self, name):
        deadline = time.monotonic() + READY_SECONDS
        address = f"127.0.0.1:{self.ports[name]}"
        with grpc.insecure_channel(address, options=AGAIN_SOON) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            while True:
                try:
                    health.Check(
                        health_pb2.HealthCheckRequest(), wait_for_ready=True, timeout=1
                    )
                    return
                except grpc.RpcError as error:
                    gone = self.running[name].poll() is not None
                    if gone or time.monotonic() > deadline:
                        raise AssertionError(f"{name} did not start: {self.output()}") from error

    def restart(self, name):
        process = self.running.pop(name)
        process.kill()
        process.wait()
        self.start(name)
        self.wait_until_serving(name)

    def close(self):
        for process in self.running.values():
            process.kill()
            process.wait()
        for held in self.reserved.values():
            held.close()
        self.log.close()
        self.folder.cleanup()

    def output(self) -> str:
        self.log.flush()
        return Path(self.log.name).read_text(encoding="utf-8")


def until(condition, processes):
    deadline = time.monotonic() + READY_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(processes.output())
        time.sleep(0.02)


class CheckoutTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.processes = Processes()
        cls.addClassCleanup(cls.processes.close)
        for name in (*COMPONENTS, "angzarr"):
            cls.processes.start(name)
        for name in (*COMPONENTS, "angzarr"):
            cls.processes.wait_until_serving(name)

    def status(self, order):
        row = projector.orders(self.processes.database).get(order.bytes.hex())
        return row and row[2]

    def test_a_paid_order_is_confirmed_and_a_refused_payment_compensates(self):
        said = []
        client, paid, refused = story.play(self.processes.endpoint, said.append)
        self.addCleanup(client.close)
        self.assertEqual(
            story.history(client, "order", paid),
            ["OrderPlaced(customer=Ada, total_cents=2550)", "OrderConfirmed()"],
        )
        cancelled = story.history(client, "order", refused)
        self.assertEqual(
            cancelled[1:], ["OrderCancelled(reason=the card takes at most 10000 cents)"]
        )
        self.assertEqual(story.history(client, "payment", refused), [])
        until(lambda: self.status(paid) == "confirmed", self.processes)
        until(
            lambda: self.status(refused) == "the card takes at most 10000 cents", self.processes
        )

    def test_a_cascade_has_the_payment_when_it_returns(self):
        client = story.DomainClient.connect(self.processes.endpoint)
        self.addCleanup(client.close)
        order = story.uuid4()
        mode = story.SyncMode.SYNC_MODE_CASCADE
        answer = story.place(client, order, "Cy", 100, mode)
        self.assertEqual([p.projector for p in answer.projections], ["order-table"] * 2)
        self.assertEqual(
            story.history(client, "payment", order), ["PaymentTaken(amount_cents=100)"]
        )
        self.assertEqual(self.status(order), "confirmed")

    def test_a_checkout_in_two_phases_is_seen_when_it_is_committed(self):
        client = story.DomainClient.connect(self.processes.endpoint)
        self.addCleanup(client.close)
        order = story.uuid4()
        story.check_out(client, order, "Eve", 100, f"checkout-{order}")
        for domain in ("order", "payment"):
            self.assertEqual(story.history(client, domain, order), [])
            self.assertGreater(story.pages(client, domain, order), 0)
        story.commit(client, f"checkout-{order}")
        self.assertEqual(
            story.history(client, "order", order),
            ["OrderPlaced(customer=Eve, total_cents=100)", "OrderConfirmed()"],
        )
        self.assertEqual(
            story.history(client, "payment", order), ["PaymentTaken(amount_cents=100)"]
        )
        until(lambda: self.status(order) == "confirmed", self.processes)

    def test_a_checkout_that_nobody_commits_times_out(self):
        client = story.DomainClient.connect(self.processes.endpoint)
        self.addCleanup(client.close)
        order = story.uuid4()
        story.check_out(client, order, "Fay", 100, f"checkout-{order}")
        before = story.pages(client, "payment", order)
        until(lambda: story.pages(client, "payment", order) > before, self.processes)
        too_late = story.commit(client, f"checkout-{order}")
        self.assertEqual(list(too_late.events.pages), [])
        for domain in ("order", "payment"):
            self.assertEqual(story.history(client, domain, order), [])
        self.assertIsNone(self.status(order))

    def test_a_kill_in_between_loses_nothing_and_doubles_nothing(self):
        client = story.DomainClient.connect(self.processes.endpoint)
        orders = [story.uuid4() for _ in range(10)]
        for order in orders:
            story.place(client, order, "Dee", 100)
        client.close()
        self.processes.restart("angzarr")
        client = story.DomainClient.connect(self.processes.endpoint)
        self.addCleanup(client.close)
        for order in orders:
            until(lambda: self.status(order) == "confirmed", self.processes)
            self.assertEqual(
                story.history(client, "payment", order), ["PaymentTaken(amount_cents=100)"]
            )
            self.assertEqual(len(story.history(client, "order", order)), 2)


if __name__ == "__main__":
    unittest.main()
