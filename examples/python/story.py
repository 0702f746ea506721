"""A morning in a small shop, told through an Angzarr server.

    python story.py [host:port]      default 127.0.0.1:1310

Every run uses new orders and articles, so it can be run again on the same server.
"""

import sys
from uuid import uuid4

import shop_pb2 as shop
from angzarr_client import DomainClient, GRPCError, full_type_url_for, type_name_from_url
from angzarr_client.builder import command, query
from angzarr_client.helpers import explicit_edition
from angzarr_client.proto.angzarr import DomainDivergence, MergeStrategy

MESSAGES = {
    f"shop.{name}": getattr(shop, name)
    for name in (
        "OrderCreated",
        "ItemAdded",
        "NoteWritten",
        "OrderSubmitted",
        "StockReceived",
        "StockReserved",
    )
}


class Shop:
    """One server, one client; remembers nothing but the two roots it plays with."""

    def __init__(self, endpoint: str):
        self.client = DomainClient.connect(endpoint)
        self.order = uuid4()
        self.article = uuid4()

    def send(self, domain, root, message, at, *, strict=False, branch=None):
        """Sends one command that expects the aggregate to be at sequence `at`."""
        builder = (
            command(self.client.command_handler, domain, root)
            .with_command(full_type_url_for(type(message)), message)
            .with_sequence(at)
        )
        if strict:
            builder = builder.with_merge_strategy(MergeStrategy.MERGE_STRICT)
        book = builder.build()
        if branch is not None:
            book.cover.edition.CopyFrom(branch)
        return self.client.execute(book)

    def history(self, domain, root, branch=None):
        """The stored events of one aggregate, decoded, in order."""
        asked = query(self.client.query, domain, root)
        if branch is not None:
            asked = asked.with_edition(branch)
        return [(page.header.sequence, decode(page.event)) for page in asked.get_pages()]


def decode(event):
    message = MESSAGES[event.type_url.rsplit("/", 1)[-1]]()
    event.Unpack(message)
    return message


def play(endpoint: str, say=print) -> Shop:
    """Plays the whole story and says what happens. Raises when the server does not do its part."""
    it = Shop(endpoint)
    say("Four mugs come in, a customer opens an order.")
    told(say, it.send("stock", it.article, shop.ReceiveStock(quantity=4), 0))
    told(say, it.send("order", it.order, shop.CreateOrder(customer="Ada"), 0))
    mugs = shop.AddItem(sku="mug", quantity=3, price_cents=850)
    told(say, it.send("order", it.order, mugs, 1))
    three = shop.ReserveStock(quantity=3, order=str(it.order))
    told(say, it.send("stock", it.article, three, 1))

    say("\nThree more mugs: the stock says no, and nothing is stored.")
    refused(say, lambda: it.send("stock", it.article, three, 2))

    say("\nTwo people edit the order at once, both having seen one event.")
    say("The note touches a field that the other did not: it is stored behind the item.")
    told(say, it.send("order", it.order, shop.WriteNote(text="gift wrap, please"), 1))
    say("Another item touches the same field: refused, look again and retry.")
    plate = shop.AddItem(sku="plate", quantity=1, price_cents=1200)
    refused(say, lambda: it.send("order", it.order, plate, 1))
    say("A client that wants no merging at all says STRICT.")
    note = shop.WriteNote(text="no wrap")
    refused(say, lambda: it.send("order", it.order, note, 1, strict=True))

    say("\nWhat if Ada had taken a plate instead of the mugs? A branch from before the mugs:")
    branch = f"plate-{str(it.order)[:8]}"
    edition = explicit_edition(branch, [DomainDivergence(domain="order", sequence=1)])
    told(say, it.send("order", it.order, plate, 1, branch=edition))
    told(say, it.send("order", it.order, shop.SubmitOrder(), 2, branch=edition))
    told(say, it.send("order", it.order, shop.SubmitOrder(), 3), "main: ")

    show(say, "\nThe order, as it happened", it.history("order", it.order))
    show(say, f"\nThe order, on the branch {branch}", it.history("order", it.order, branch))
    show(say, "\nThe stock of mugs", it.history("stock", it.article))
    it.branch = branch
    return it


def told(say, response, where=""):
    for page in response.events.pages:
        say(f"  {where}stored {page.header.sequence}: {line(decode(page.event))}")


def refused(say, attempt):
    try:
        attempt()
    except GRPCError as error:
        say(f"  refused, {error.code.name}: {error.details}")
        return
    raise AssertionError("the server accepted what it should have refused")


def show(say, title, events):
    say(f"{title}:")
    for sequence, event in events:
        say(f"  {sequence}  {line(event)}")


def line(event) -> str:
    fields = ", ".join(f"{field.name}={value}" for field, value in event.ListFields())
    return f"{type_name_from_url(event.DESCRIPTOR.full_name)}({fields})"


if __name__ == "__main__":
    play(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:1310")
