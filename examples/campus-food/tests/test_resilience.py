"""InventoryService is stopped while a minute's worth of orders comes: all are accepted, the backlog drains, none is lost.

    ORDERS              how many (60)
    ORDERS_PER_SECOND   how fast they come (20; 1 takes the whole minute)
"""

import os
import time

import campus

ORDERS = int(os.environ.get("ORDERS", "60"))
ORDERS_PER_SECOND = float(os.environ.get("ORDERS_PER_SECOND", "20"))

campus.stop_inventory()
try:
    ids = []
    slowest = 0.0
    for n in range(ORDERS):
        began = time.monotonic()
        answer = campus.place_order(user_id=f"s-{n}", item="ramen", quantity=1 + n % 3)
        slowest = max(slowest, time.monotonic() - began)
        if answer.status_code != 202:
            campus.check(False, f"order {n} was answered {answer.status_code}: {answer.text}")
        ids.append(answer.json()["order_id"])
        time.sleep(max(0.0, 1 / ORDERS_PER_SECOND - (time.monotonic() - began)))
    campus.check(len(set(ids)) == ORDERS, f"{ORDERS} orders were accepted while inventory was stopped")
    print(f"        the slowest answer took {slowest * 1000:.0f} ms")
    waiting = [order_id for order_id in ids if campus.order(order_id)["status"] == "accepted"]
    # Messages that the stopped instance had already received may be decided.
    campus.check(len(waiting) >= ORDERS - 1, f"{len(waiting)} of them wait for it")
finally:
    campus.start_inventory()

campus.eventually(lambda: all(campus.is_decided(order_id) for order_id in ids), "every order was decided")
campus.eventually(lambda: campus.messages_in("order-events") == 0, "the backlog has drained")
