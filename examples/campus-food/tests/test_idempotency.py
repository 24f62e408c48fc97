"""An OrderPlaced event that is delivered twice is decided once, and published once."""

import json

import pika

import campus

event = campus.order_placed()
with campus.channel() as own:
    # A queue of our own beside inventory-events sees all that InventoryService publishes.
    heard = own.queue_declare("", exclusive=True).method.queue
    own.queue_bind(heard, "inventory", "inventory.*")

    properties = pika.BasicProperties(
        content_type="application/json", delivery_mode=2, message_id=event["event_id"]
    )
    for _ in range(2):
        own.basic_publish("orders", "order.placed", json.dumps(event).encode(), properties, mandatory=True)
    print(f"        OrderPlaced {event['event_id']} was published twice")
    campus.eventually(lambda: campus.is_decided(event["order_id"]), "the order was decided")

    # An order behind both copies: when it is decided, both have been handled.
    behind = campus.place_order(item="tea").json()["order_id"]
    campus.eventually(lambda: campus.is_decided(behind), "an order behind them was decided")
    campus.eventually(lambda: campus.messages_in("order-events") == 0, "nothing waits")

    results = []
    while True:
        method, _, body = own.basic_get(heard, auto_ack=True)
        if method is None:
            break
        results.append(json.loads(body))

mine = [result for result in results if result["order_id"] == event["order_id"]]
campus.check(len(mine) == 1, f"one result was published for it: {[one['event_type'] for one in mine]}")
status = {"InventoryReserved": "reserved", "InventoryFailed": "failed"}[mine[0]["event_type"]]
campus.check(campus.order(event["order_id"])["status"] == status, f"the order is {status}, as the result says")
