"""The order aggregate: business rules only. Run it with: PORT=50051 python orders.py"""

import shop_pb2 as shop
from angzarr_client import (
    CommandHandler,
    CommandRejectedError,
    applies,
    handles,
    run_command_handler_server,
)


class Orders(CommandHandler[shop.Order]):
    domain = "order"

    def _create_empty_state(self) -> shop.Order:
        return shop.Order()

    @handles(shop.CreateOrder)
    def create(self, cmd: shop.CreateOrder) -> shop.OrderCreated:
        if self.state.customer:
            raise CommandRejectedError("this order exists already")
        if not cmd.customer:
            raise ValueError("customer must not be empty")
        return shop.OrderCreated(customer=cmd.customer)

    @handles(shop.AddItem)
    def add_item(self, cmd: shop.AddItem) -> shop.ItemAdded:
        self._must_be_open()
        if cmd.quantity == 0:
            raise ValueError("quantity must be at least 1")
        return shop.ItemAdded(sku=cmd.sku, quantity=cmd.quantity, price_cents=cmd.price_cents)

    @handles(shop.WriteNote)
    def write_note(self, cmd: shop.WriteNote) -> shop.NoteWritten:
        self._must_be_open()
        return shop.NoteWritten(text=cmd.text)

    @handles(shop.SubmitOrder)
    def submit(self, cmd: shop.SubmitOrder) -> shop.OrderSubmitted:
        self._must_be_open()
        if not self.state.items:
            raise CommandRejectedError("an order without items cannot be submitted")
        total = sum(item.quantity * item.price_cents for item in self.state.items)
        return shop.OrderSubmitted(total_cents=total)

    def _must_be_open(self) -> None:
        if not self.state.customer:
            raise CommandRejectedError("create the order first")
        if self.state.submitted:
            raise CommandRejectedError("a submitted order cannot be changed")

    @applies(shop.OrderCreated)
    def on_created(self, state: shop.Order, event: shop.OrderCreated):
        state.customer = event.customer

    @applies(shop.ItemAdded)
    def on_item_added(self, state: shop.Order, event: shop.ItemAdded):
        state.items.append(event)

    @applies(shop.NoteWritten)
    def on_note_written(self, state: shop.Order, event: shop.NoteWritten):
        state.note = event.text

    @applies(shop.OrderSubmitted)
    def on_submitted(self, state: shop.Order, event: shop.OrderSubmitted):
        state.submitted = True


if __name__ == "__main__":
    run_command_handler_server(Orders, "50051")
