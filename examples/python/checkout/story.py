"""Two orders: one is paid and confirmed, one is refused by the card and cancelled.

    python story.py [host:port]      default 127.0.0.1:1310
"""

import sys
from uuid import uuid4

import checkout_pb2 as checkout
from angzarr_client import DomainClient, full_type_url_for
from angzarr_client.builder import command, query
from angzarr_client.proto.angzarr import CommandRequest, SyncMode

MESSAGES = {
    f"checkout.{name}": getattr(checkout, name)
    for name in ("OrderPlaced", "OrderConfirmed", "OrderCancelled", "PaymentTaken")
}


def place(client, order, customer, total_cents, mode=SyncMode.SYNC_MODE_ASYNC):
    message = checkout.PlaceOrder(customer=customer, total_cents=total_cents)
    book = (
        command(client.command_handler, "order", order)
        .with_correlation_id(str(order))
        .with_command(full_type_url_for(checkout.PlaceOrder), message)
        .with_sequence(0)
        .build()
    )
    request = CommandRequest(command=book, sync_mode=mode)
    return client.command_handler.handle_command(request)


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
    return client, paid, refused


if __name__ == "__main__":
    play(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:1310")
