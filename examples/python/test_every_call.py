"""Kills the server at every call that it makes of a Python component, and looks at what comes of it.

Between the server and each component stands a proxy that counts the calls for an order. Each of these
calls in turn is the server's last: before the component has heard of it, when the component has
answered and the server has not heard that, and when the server has just got the answer. It is
started again, and in the end everything has to be as if nothing had happened.

    ANGZARR=path/to/angzarr python -m unittest -v test_every_call       (make test does this)
"""

import itertools
import json
import subprocess
import threading
import unittest
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import grpc
from angzarr_client import GRPCError
from angzarr_client.builder import query

from test_checkout import ANGZARR, COMPONENTS, Processes, projector, story, until

BEFORE, UNHEARD, HEARD = "before call", "before the answer to call", "after the answer to call"
MOMENTS = (BEFORE, UNHEARD, HEARD)
PASSED_ON = ("x-correlation-id", "traceparent")
# What the published client serves; the server asks for newer names first.
SERVED = "/angzarr."
FLOWS = {"paid": ("Ada", 2550), "refused": ("Bob", 99900)}


class Death:
    """Comes with one of the calls of a component for an order, once."""

    def __init__(self, order, component=None, number=0, moment=None, kill=None):
        self.order, self.component, self.number = str(order), component, number
        self.moment, self.kill = moment, kill
        self.calls = Counter()
        self.lock = threading.Lock()

    def is_now(self, order, component):
        """Counts a call, and says whether it is the last."""
        if order != self.order:
            return False
        with self.lock:
            self.calls[component] += 1
            return component == self.component and self.calls[component] == self.number


class Proxy(grpc.GenericRpcHandler):
    """Hands calls on to a component as they are."""

    def __init__(self, name, port, watch):
        self.name, self.watch = name, watch
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self.server = grpc.server(ThreadPoolExecutor(max_workers=16), handlers=(self,))
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def service(self, details):
        method = details.method
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: self.pass_on(method, request, context)
        )

    def pass_on(self, method, request, context):
        metadata = [(key, value) for key, value in context.invocation_metadata() if key in PASSED_ON]
        death = self.watch.death
        asked = death and method.startswith(SERVED)
        dies = asked and death.is_now(dict(metadata).get("x-correlation-id"), self.name)
        if dies and death.moment == BEFORE:
            death.kill()
            context.abort(grpc.StatusCode.UNAVAILABLE, "nobody is left to hear this")
        if dies and death.moment == HEARD:
            context.add_callback(death.kill)
        try:
            answer = self.channel.unary_unary(method)(
                request, metadata=metadata, timeout=30, wait_for_ready=True
            )
        except grpc.RpcError as error:
            if dies and death.moment == UNHEARD:
                death.kill()
            context.set_trailing_metadata(error.trailing_metadata() or ())
            context.abort(error.code(), error.details())
        if dies and death.moment == UNHEARD:
            death.kill()
        return answer

    def close(self):
        self.server.stop(None).wait()
        self.channel.close()


class Watched(Processes):
    """A server that reaches its components through proxies."""

    def __init__(self):
        super().__init__()
        self.death = None
        self.killing = threading.Lock()
        self.deaths = 0
        self.proxies = {name: Proxy(name, self.ports[name], self) for name in COMPONENTS}
        self.addresses = {name: proxy.port for name, proxy in self.proxies.items()}

    def kill(self):
        with self.killing:
            self.restart("angzarr")
            self.deaths += 1

    def close(self):
        super().close()
        for proxy in self.proxies.values():
            proxy.close()


class DyingServerTest(unittest.TestCase):
    """What tests of a dying server have in common."""

    cascade_timeout = "5s"

    @classmethod
    def setUpClass(cls):
        cls.processes = Watched()
        cls.processes.cascade_timeout = cls.cascade_timeout
        cls.addClassCleanup(cls.processes.close)
        for name in (*COMPONENTS, "angzarr"):
            cls.processes.start(name)
        for name in (*COMPONENTS, "angzarr"):
            cls.processes.wait_until_serving(name)

    def ask(self, question):
        """Asks until there is an answer: the server may die meanwhile."""
        answers = []

        def answered():
            client = story.DomainClient.connect(self.processes.endpoint)
            try:
                answers.append(question(client))
            except GRPCError as error:
                if error.code not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
                    raise
            finally:
                client.close()
            return answers

        until(answered, self.processes)
        return answers[0]

    def all_is_done(self):
        target = f"http://{self.processes.endpoint}"
        told = subprocess.run(
            [ANGZARR, "consumers", "--json", "--target", target],
            check=True, capture_output=True, text=True,
        )
        return all(json.loads(line)["lag"] == 0 for line in told.stdout.splitlines())

    def dead_letters(self):
        letters = f"http://{self.processes.endpoint}/api/dlq"
        with urllib.request.urlopen(letters, timeout=30) as answer:
            return json.load(answer)["ok"].get("entries", [])


class EveryCallTest(DyingServerTest):
    def place(self, order, flow):
        """Once, as far as the client can know: an order that is there already is placed."""

        def placing(client):
            if not story.history(client, "order", order):
                story.place(client, order, *FLOWS[flow])

        self.ask(placing)

    def state(self, order):
        """Everything that an order leaves behind."""

        def asking(client):
            process = query(client.query, "checkout", order).get_pages()
            return (
                story.history(client, "order", order),
                story.history(client, "payment", order),
                # It is asked about events of two aggregates: either may be the first.
                sorted(page.event.type_url for page in process),
                [page.header.sequence for page in process],
            )

        return self.ask(asking) + (projector.orders(self.processes.database).get(order.bytes.hex()),)

    def undisturbed(self, flow):
        """What must be there in the end, and how often that takes each component."""
        order = story.uuid4()
        self.processes.death = watch = Death(order)
        self.place(order, flow)
        last = "OrderConfirmed" if flow == "paid" else "OrderCancelled"
        self.ask(lambda client: story.wait_for(client, order, last))
        table = lambda: projector.orders(self.processes.database)  # noqa: E731
        settled = lambda row: row and row[2] != "placed"  # noqa: E731
        until(lambda: settled(table().get(order.bytes.hex())), self.processes)
        # The process is asked about the placed order while the others go on.
        until(lambda: len(self.state(order)[2]) == (2 if flow == "paid" else 1), self.processes)
        return self.state(order), watch.calls

    def test_the_server_may_die_at_every_call(self):
        wanted, lives, orders = {}, [], {}
        for flow in FLOWS:
            wanted[flow], calls = self.undisturbed(flow)
            self.assertEqual(sorted(calls), sorted(COMPONENTS))
            numbers = [(name, number + 1) for name in COMPONENTS for number in range(calls[name])]
            lives += itertools.product([flow], numbers, MOMENTS)
        for flow, (component, number), moment in lives:
            order, deaths = story.uuid4(), self.processes.deaths
            self.processes.death = Death(order, component, number, moment, self.processes.kill)
            name = f"{flow}: {moment} {number} of {component}"
            with self.subTest(name):
                self.place(order, flow)
                until(lambda: self.processes.deaths > deaths, self.processes)
                until(lambda: self.state(order) == wanted[flow], self.processes)
            orders[order] = (name, flow)
        self.processes.death = None
        # What comes twice has come by then.
        until(self.all_is_done, self.processes)
        for order, (name, flow) in orders.items():
            self.assertEqual(self.state(order), wanted[flow], name)
        self.assertEqual(self.dead_letters(), [])


if __name__ == "__main__":
    unittest.main()
