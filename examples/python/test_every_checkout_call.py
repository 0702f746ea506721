"""Kills the server at every call that it makes of a component during a checkout in two phases.

Some are committed, some rolled back and tried again, and some left to time out. Each call of each
component is the server's last, at the same moments as in `test_every_call`. Somebody looks all the
while: nothing may be seen before the commit, and all at once when it was of a whole checkout.

    ANGZARR=path/to/angzarr python -m unittest -v test_every_checkout_call      (make test does this)
"""

import itertools
import unittest
from concurrent.futures import ThreadPoolExecutor

from angzarr_client import full_type_url_for
from angzarr_client.builder import command, query
from angzarr_client.proto.angzarr import CommandBook, CommandPage, CommandRequest, Cover, SyncMode
from angzarr_client.proto.angzarr.types_pb2 import (
    CascadeCommit,
    CascadeRollback,
    Confirmation,
    NoOp,
    Revocation,
)

from test_checkout import COMPONENTS, projector, story, until
from test_every_call import HEARD, MOMENTS, Death, DyingServerTest

FLOWS = ("timed_out", "committed", "rolled_back")
DOMAINS = ("order", "payment", "checkout")
# What a whole checkout is.
EVENTS = (
    ("checkout.OrderPlaced", "checkout.OrderConfirmed"),
    ("checkout.PaymentTaken",),
    # The process is asked about both events side by side.
    ("checkout.CheckoutPaid", "checkout.CheckoutStarted"),
)
NOTHING = ((), (), ())
# The aggregates are asked in turn: the commit may come before any of them.
SIGHTS = tuple(NOTHING[:asked] + EVENTS[asked:] for asked in range(len(EVENTS) + 1))
# Why pages are hidden when their cascade is settled.
SETTLED = {"revoked", "framework_event"}
ROW = ("Ada", 2550, "confirmed")
# Dies too, when it has just been told that the cascade is settled.
CLIENT = "client"


class EveryCheckoutCallTest(DyingServerTest):
    # Long enough for a settled checkout on a slow machine. Those that time out do so while
    # the others are tried.
    cascade_timeout = "20s"

    def pages(self, order):
        """Types of the pages of each aggregate; in place of a hidden one, why it is hidden."""

        def asking(client):
            books = (query(client.query, domain, order).get_pages() for domain in DOMAINS)
            return [[shown(page) for page in book] for book in books]

        return self.ask(asking)

    def hidden(self, order):
        return {name for names in self.pages(order) for name in names if "." not in name}

    def seen(self, order):
        order, payment, process = (
            tuple(name for name in names if "." in name) for names in self.pages(order)
        )
        return order, payment, tuple(sorted(process))

    def row(self, order):
        return projector.orders(self.processes.database).get(order.bytes.hex())

    def sees_nothing(self, order):
        self.assertEqual((self.row(order), self.seen(order)), (None, NOTHING))

    def sees_all_or_nothing(self, order):
        row, first, second = self.row(order), self.seen(order), self.seen(order)
        self.assertIn(row, (None, ROW))
        self.assertIn(first, SIGHTS)
        self.assertIn(second, (EVENTS,) if row or any(first) else SIGHTS)

    def sees_all(self, order):
        return (self.row(order), self.seen(order)) == (ROW, EVENTS)

    def check_out(self, order, cascade, sequence=0):
        """Once, as far as the client can know, while somebody looks. Says whether it was told
        that all of it is done."""
        answered = []

        def checking_out(client):
            if story.pages(client, "order", order) <= sequence:
                check_out(client, order, cascade, sequence)
                answered.append(True)

        with ThreadPoolExecutor(max_workers=1) as clients:
            asked = clients.submit(self.ask, checking_out)
            until(lambda: self.sees_nothing(order) or asked.done(), self.processes)
            asked.result()
        return bool(answered)

    def settle(self, cascade, decision):
        """The domains that were told of it, those of the server itself included."""
        page = CommandPage()
        page.command.Pack(decision(cascade_id=cascade))
        request = CommandRequest(command=CommandBook(cover=Cover(domain="order"), pages=[page]))
        answer = self.ask(lambda client: client.command_handler.handle_command(request))
        return {told(page).target.domain for page in answer.events.pages}

    def commit(self, order, cascade):
        """The commit of a whole checkout, while somebody looks."""
        self.sees_nothing(order)
        with ThreadPoolExecutor(max_workers=1) as clients:
            asked = clients.submit(self.settle, cascade, CascadeCommit)
            until(lambda: self.sees_all_or_nothing(order) or asked.done(), self.processes)
            until(lambda: self.sees_all_or_nothing(order) or self.sees_all(order), self.processes)
            return asked.result()

    def committed(self, order):
        """Whoever is told of a failure may commit all the same: what is missing comes then."""
        whole = self.check_out(order, str(order))
        if whole:
            return self.commit(order, str(order))
        self.sees_nothing(order)
        domains = self.settle(str(order), CascadeCommit)
        until(lambda: self.sees_all(order), self.processes)
        return domains

    def rolled_back(self, order):
        """Or roll it back, and try again."""
        self.check_out(order, str(order))
        domains = self.settle(str(order), CascadeRollback)
        self.sees_nothing(order)
        return domains

    def timed_out(self, order):
        """Or do nothing."""
        self.check_out(order, str(order))
        self.sees_nothing(order)

    def again(self, order):
        client = story.DomainClient.connect(self.processes.endpoint)
        self.addCleanup(client.close)
        pages = story.pages(client, "order", order)
        self.assertTrue(self.check_out(order, f"{order}-again", pages))
        self.commit(order, f"{order}-again")

    def undisturbed(self, flow):
        """How often the checkout takes each component."""
        order = story.uuid4()
        self.processes.death = watch = Death(order)
        domains = getattr(self, flow)(order)
        if domains is not None:
            self.assertLessEqual(set(DOMAINS), domains)
        until(self.all_is_done, self.processes)
        return order, watch.calls

    def live(self, order, flow, component, number, moment):
        deaths = self.processes.deaths
        self.processes.death = Death(order, component, number, moment, self.processes.kill)
        getattr(self, flow)(order)
        if component == CLIENT:
            self.processes.kill()
            decision = CascadeCommit if flow == "committed" else CascadeRollback
            self.assertEqual(self.settle(str(order), decision), set())
        until(lambda: self.processes.deaths > deaths, self.processes)
        self.processes.death = None
        if flow == "rolled_back":
            self.again(order)

    def test_the_server_may_die_at_every_call_of_a_checkout(self):
        lives, orders = [], {}
        for flow in FLOWS:
            order, calls = self.undisturbed(flow)
            orders[order] = (f"{flow}: undisturbed", flow)
            numbers = [(name, number + 1) for name in COMPONENTS for number in range(calls[name])]
            lives += itertools.product([flow], numbers, MOMENTS)
            if flow != "timed_out":
                lives.append((flow, (CLIENT, 1), HEARD))
        for flow, (component, number), moment in lives:
            order = story.uuid4()
            name = f"{flow}: {moment} {number} of {component}"
            orders[order] = (name, flow)
            with self.subTest(name):
                self.live(order, flow, component, number, moment)
        for order, (name, flow) in orders.items():
            if flow == "timed_out":
                until(lambda: self.hidden(order) == SETTLED, self.processes)
        # What comes twice has come by then.
        until(self.all_is_done, self.processes)
        for order, (name, flow) in orders.items():
            with self.subTest(name):
                if flow == "timed_out" or name == "rolled_back: undisturbed":
                    self.sees_nothing(order)
                else:
                    self.assertTrue(self.sees_all(order))
                self.assertLessEqual(self.hidden(order), SETTLED)
        self.assertEqual(self.dead_letters(), [])


def check_out(client, order, cascade, sequence):
    message = story.checkout.PlaceOrder(customer=ROW[0], total_cents=ROW[1])
    book = (
        command(client.command_handler, "order", order)
        .with_correlation_id(str(order))
        .with_command(full_type_url_for(story.checkout.PlaceOrder), message)
        .with_sequence(sequence)
        .build()
    )
    mode = SyncMode.SYNC_MODE_CASCADE
    request = CommandRequest(command=book, sync_mode=mode, cascade_id=cascade)
    return client.command_handler.handle_command(request)


def shown(page):
    name = page.event.type_url.rsplit("/", 1)[-1]
    return NoOp.FromString(page.event.value).reason if name == "angzarr.NoOp" else name


def told(page):
    """What stands in the stream of a participant."""
    confirmed = page.event.type_url.endswith("Confirmation")
    return (Confirmation if confirmed else Revocation).FromString(page.event.value)


if __name__ == "__main__":
    unittest.main()
