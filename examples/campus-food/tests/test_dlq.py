"""A poison message reaches order-events-dlq with its body, other messages are handled, and a corrected one is processed."""

import json
import uuid

import campus

poison = campus.order_placed(quantity="two")
message_id = str(uuid.uuid4())
letters_before = campus.messages_in("order-events-dlq")
campus.publish("orders", "order.placed", poison, message_id)
behind = campus.place_order(item="cake").json()["order_id"]
campus.eventually(lambda: campus.is_decided(behind), "an order behind the poison message was decided")
campus.eventually(
    lambda: campus.messages_in("order-events-dlq") > letters_before, "order-events-dlq has one message more"
)


def take_letter():
    """Takes our message out of the dead-letter queue, and leaves the others."""
    with campus.channel() as own:
        for _ in range(own.queue_declare("order-events-dlq", passive=True).method.message_count):
            method, properties, body = own.basic_get("order-events-dlq")
            if method is None:
                return None
            if properties.message_id == message_id:
                own.basic_ack(method.delivery_tag)
                return properties, body
    return None


properties, body = campus.eventually(take_letter, "it is there under its message_id")
campus.check(json.loads(body) == poison, "its body is as it was sent")
print(f"        the reason: {(properties.headers or {}).get('x-error', 'none given')}")

mended = {**json.loads(body), "quantity": 2}
campus.publish("orders", "order.placed", mended, mended["event_id"])
campus.eventually(lambda: campus.is_decided(mended["order_id"]), "mended and published again, it was decided")
