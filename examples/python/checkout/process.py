"""Confirms an order once it is paid. Run it with: PORT=50071 python process.py"""

import checkout_pb2 as checkout
from angzarr_client import (
    ProcessManager,
    ProcessManagerHandler,
    applies,
    run_process_manager_server,
)
from angzarr_client.router import handles, output_domain


class CheckoutProcess(ProcessManager[checkout.Checkout]):
    name = "checkout"

    def _create_empty_state(self) -> checkout.Checkout:
        return checkout.Checkout()

    @output_domain("order")
    @handles(checkout.OrderPlaced, input_domain="order")
    def placed(self, event: checkout.OrderPlaced):
        self._apply_and_record(checkout.CheckoutStarted())

    @output_domain("order")
    @handles(checkout.PaymentTaken, input_domain="payment")
    def paid(self, event: checkout.PaymentTaken) -> checkout.ConfirmOrder:
        self._apply_and_record(checkout.CheckoutPaid(amount_cents=event.amount_cents))
        return checkout.ConfirmOrder()

    @applies(checkout.CheckoutStarted)
    def on_started(self, state: checkout.Checkout, event: checkout.CheckoutStarted):
        state.started = True

    @applies(checkout.CheckoutPaid)
    def on_paid(self, state: checkout.Checkout, event: checkout.CheckoutPaid):
        state.paid_cents = event.amount_cents


if __name__ == "__main__":
    handler = ProcessManagerHandler(CheckoutProcess)
    run_process_manager_server(handler, "50071")
