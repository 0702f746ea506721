"""Three orders: one is paid and confirmed, one is refused by the card and cancelled, one is
checked out in two phases.

    python story.py [host:port]      default 127.0.0.1:1310
"""

import sys
from uuid import uuid4

import checkout_pb2 as checkout
import grpc
from angzarr_client import DomainClient, full_type_url_for
from angzarr_client.builder import command, query
from angzarr_client.proto.angzarr import CommandBook, CommandPage, CommandRequest, Cover, SyncMode
from angzarr_client.proto.angzarr.types_pb2 import CascadeCommit

MESSAGES = {
    f"checkout.{name}": getattr(checkout, name)
    for name in ("OrderPlaced", "OrderConfirmed", "OrderCancelled", "PaymentTaken")
}


def place(client, order, customer, total_cents, mode=SyncMode.SYNC_MODE_ASYNC, cascade=None):
    message = checkout.PlaceOrder(customer=customer, total_cents=total_cents)
    book = (
        command(client.command_handler, "order", order)
        .with_correlation_id(str(order))
        .with_command(full_type_url_for(checkout.PlaceOrder), message)
        .with_sequence(0)
        .build()
    )
    request = CommandRequest(command=book, sync_mode=mode, cascade_id=cascade)
    return client.command_handler.handle_command(request)


def check_out(client, order, customer, total_cents, cascade):
    """The order and its payment in two phases: nobody sees either until both are committed."""
    mode = SyncMode.SYNC_MODE_CASCADE
    return place(client, order, customer, total_cents, mode, cascade)


def commit(client, cascade):
    page = CommandPage()
    page.command.Pack(CascadeCommit(cascade_id=cascade))
    book = CommandBook(cover=Cover(domain="order"), pages=[page])
    return client.command_handler.handle_command(CommandRequest(command=book))


def pages(client, domain, root):
    """How many pages an aggregate has, those that nobody sees included."""
    return len(query(client.query, domain, root).get_pages())


def history(client, domain, root):
    """Names of the stored events of an aggregate, in order, with what they say."""
    events = []
    for page in query(client.query, domain, root).get_pages():
        name = page.event.type_url.rsplit("/", 1)[-1]
        if name in MESSAGES:
            message = MESSAGES[name].FromString(page.event.value)
            fields = ", ".join(f"{f.name}={v}" for f, v in message.ListFields())
            events.append(f"{name.rsplit('.', 1)[-1]}({fields})")
    return events


def wait_for(client, order, name):
    """What a component does comes later: look until it is there."""
    while True:
        events = history(client, "order", order)
        if any(event.startswith(name) for event in events):
            return events


def play(endpoint, say=print):
    client = DomainClient.connect(endpoint)
    paid, refused = uuid4(), uuid4()
    say("Ada orders for 25.50, which her card takes.")
    place(client, paid, "Ada", 2550)
    for event in wait_for(client, paid, "OrderConfirmed"):
        say(f"  order    {event}")
    for event in history(client, "payment", paid):
        say(f"  payment  {event}")
    say("Bob orders for 999.00, which his card does not take.")
    place(client, refused, "Bob", 99900)
    for event in wait_for(client, refused, "OrderCancelled"):
        say(f"  order    {event}")
    say("Cy checks out in two phases. Before the commit there is nothing to see:")
    order = uuid4()
    check_out(client, order, "Cy", 4200, f"checkout-{order}")
    say(f"  order    {history(client, 'order', order)}")
    commit(client, f"checkout-{order}")
    say("and after it, all of it:")
    for event in history(client, "order", order) + history(client, "payment", order):
        say(f"  {event}")
    return client, paid, refused


def wait_for_server(endpoint):
    """It may have been started a moment ago."""
    with grpc.insecure_channel(endpoint) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=30)
        except grpc.FutureTimeoutError:
            sys.exit(f"nobody serves on {endpoint}: start `angzarr serve --config angzarr.yaml`")


if __name__ == "__main__":
    server = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:1310"
    wait_for_server(server)
    play(server)
