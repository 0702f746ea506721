"""The order aggregate. Run it with: PORT=50051 python orders.py"""

import checkout_pb2 as checkout
from angzarr_client import (
    CommandHandler,
    CommandRejectedError,
    applies,
    handles,
    rejected,
    run_command_handler_server,
)
from angzarr_client.proto.angzarr.types_pb2 import RejectionNotification


class Orders(CommandHandler[checkout.Order]):
    domain = "order"

    def _create_empty_state(self) -> checkout.Order:
        return checkout.Order()

    @handles(checkout.PlaceOrder)
    def place(self, cmd: checkout.PlaceOrder) -> checkout.OrderPlaced:
        if self.state.customer:
            raise CommandRejectedError("this order exists already")
        return checkout.OrderPlaced(customer=cmd.customer, total_cents=cmd.total_cents)

    @handles(checkout.ConfirmOrder)
    def confirm(self, cmd: checkout.ConfirmOrder) -> checkout.OrderConfirmed:
        if self.state.outcome:
            raise CommandRejectedError(f"the order is {self.state.outcome}")
        return checkout.OrderConfirmed()

    @rejected(domain="payment", command="TakePayment")
    def payment_refused(self, notification) -> checkout.OrderCancelled:
        """The compensation: a command that this order caused was refused."""
        news = RejectionNotification()
        notification.payload.Unpack(news)
        return checkout.OrderCancelled(reason=news.rejection_reason)

    @applies(checkout.OrderPlaced)
    def on_placed(self, state: checkout.Order, event: checkout.OrderPlaced):
        state.customer = event.customer
        state.total_cents = event.total_cents

    @applies(checkout.OrderConfirmed)
    def on_confirmed(self, state: checkout.Order, event: checkout.OrderConfirmed):
        state.outcome = "confirmed"

    @applies(checkout.OrderCancelled)
    def on_cancelled(self, state: checkout.Order, event: checkout.OrderCancelled):
        state.outcome = "cancelled"


if __name__ == "__main__":
    run_command_handler_server(Orders, "50051")
