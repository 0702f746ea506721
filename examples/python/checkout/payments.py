"""The payment aggregate, one per order. Run it with: PORT=50052 python payments.py"""

import checkout_pb2 as checkout
from angzarr_client import (
    CommandHandler,
    CommandRejectedError,
    applies,
    handles,
    run_command_handler_server,
)

CARD_LIMIT_CENTS = 10_000


class Payments(CommandHandler[checkout.Payment]):
    domain = "payment"

    def _create_empty_state(self) -> checkout.Payment:
        return checkout.Payment()

    @handles(checkout.TakePayment)
    def take(self, cmd: checkout.TakePayment) -> checkout.PaymentTaken:
        if self.state.taken_cents + cmd.amount_cents > CARD_LIMIT_CENTS:
            raise CommandRejectedError(f"the card takes at most {CARD_LIMIT_CENTS} cents")
        return checkout.PaymentTaken(amount_cents=cmd.amount_cents)

    @applies(checkout.PaymentTaken)
    def on_taken(self, state: checkout.Payment, event: checkout.PaymentTaken):
        state.taken_cents += event.amount_cents


if __name__ == "__main__":
    run_command_handler_server(Payments, "50052")
