"""Keeps a table of orders in SQLite. Run it with: PORT=50081 ORDERS_DB=orders.db python projector.py"""

import os
import sqlite3

import checkout_pb2 as checkout
from angzarr_client import ProjectorHandler, run_projector_server
from angzarr_client.proto.angzarr import Projection

DATABASE = os.environ.get("ORDERS_DB", "orders.db")
TABLE = """CREATE TABLE IF NOT EXISTS orders (
    id TEXT PRIMARY KEY, customer TEXT, total_cents INTEGER, status TEXT, seen INTEGER)"""
STATUS = {
    "checkout.OrderConfirmed": (checkout.OrderConfirmed, lambda event: "confirmed"),
    "checkout.OrderCancelled": (checkout.OrderCancelled, lambda event: event.reason),
}


def project(book) -> Projection:
    """Events may come again after a crash: `seen` is the last one that the row holds."""
    order = book.cover.root.value.hex()
    with sqlite3.connect(DATABASE, timeout=30) as table:
        table.execute(TABLE)
        for page in book.pages:
            apply(table, order, page.header.sequence, page.event)
    return Projection(projector="order-table")


def apply(table, order, sequence, event):
    name = event.type_url.rsplit("/", 1)[-1]
    if name == "checkout.OrderPlaced":
        placed = checkout.OrderPlaced.FromString(event.value)
        table.execute(
            "INSERT OR IGNORE INTO orders VALUES (?, ?, ?, 'placed', ?)",
            (order, placed.customer, placed.total_cents, sequence),
        )
    elif name in STATUS:
        message, status = STATUS[name]
        table.execute(
            "UPDATE orders SET status = ?, seen = ? WHERE id = ? AND seen < ?",
            (status(message.FromString(event.value)), sequence, order, sequence),
        )


def orders(database=DATABASE):
    """The read side: what the table says, without asking the server."""
    with sqlite3.connect(database, timeout=30) as table:
        table.execute(TABLE)
        rows = table.execute("SELECT id, customer, total_cents, status FROM orders")
        return {row[0]: row[1:] for row in rows}


if __name__ == "__main__":
    handler = ProjectorHandler("order-table", "order").with_handle(project)
    run_projector_server("order-table", "50081", handler)
