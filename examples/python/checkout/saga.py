"""A placed order wants its payment. Run it with: PORT=50061 python saga.py"""

import checkout_pb2 as checkout
from angzarr_client import Saga, SagaHandler, run_saga_server
from angzarr_client.router import domain, handles, output_domain


@domain("order")
@output_domain("payment")
class CollectPayment(Saga):
    name = "collect-payment"

    @handles(checkout.OrderPlaced)
    def placed(self, event: checkout.OrderPlaced) -> checkout.TakePayment:
        return checkout.TakePayment(amount_cents=event.total_cents)


if __name__ == "__main__":
    run_saga_server("collect-payment", "50061", SagaHandler(CollectPayment))
