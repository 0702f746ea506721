"""The stock aggregate, one per article. Run it with: PORT=50052 python stock.py"""

import shop_pb2 as shop
from angzarr_client import (
    CommandHandler,
    CommandRejectedError,
    applies,
    handles,
    run_command_handler_server,
)


class StockOfArticle(CommandHandler[shop.Stock]):
    domain = "stock"

    def _create_empty_state(self) -> shop.Stock:
        return shop.Stock()

    @handles(shop.ReceiveStock)
    def receive(self, cmd: shop.ReceiveStock) -> shop.StockReceived:
        if cmd.quantity == 0:
            raise ValueError("quantity must be at least 1")
        return shop.StockReceived(quantity=cmd.quantity)

    @handles(shop.ReserveStock)
    def reserve(self, cmd: shop.ReserveStock) -> shop.StockReserved:
        if cmd.quantity > self.state.available:
            raise CommandRejectedError(
                f"only {self.state.available} in stock, {cmd.quantity} asked for"
            )
        return shop.StockReserved(quantity=cmd.quantity, order=cmd.order)

    @applies(shop.StockReceived)
    def on_received(self, state: shop.Stock, event: shop.StockReceived):
        state.available += event.quantity

    @applies(shop.StockReserved)
    def on_reserved(self, state: shop.Stock, event: shop.StockReserved):
        state.available -= event.quantity
        state.reserved += event.quantity


if __name__ == "__main__":
    run_command_handler_server(StockOfArticle, "50052")
