"""Shared by the three tests: the system's addresses, and helpers to call it from outside.

    CAMPUS_URL          OrderService (http://127.0.0.1:8101)
    RABBITMQ_URL        the broker (amqp://guest:guest@127.0.0.1:5672)
    STOP_INVENTORY      a shell command that stops every InventoryService
    START_INVENTORY     and one that lets them go on; docker compose's by default
"""

import json
import os
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager
from datetime import datetime, timezone

import pika
import requests

CAMPUS_URL = os.environ.get("CAMPUS_URL", "http://127.0.0.1:8101").rstrip("/")
RABBITMQ_URL = os.environ.get("RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:5672")
STOP_INVENTORY = os.environ.get("STOP_INVENTORY", "docker compose stop inventory_service")
START_INVENTORY = os.environ.get("START_INVENTORY", "docker compose start inventory_service")
DEADLINE_SECONDS = float(os.environ.get("DEADLINE_SECONDS", "120"))


def check(holds, what):
    """Exits with 1 when the condition is false."""
    print(f"{'ok    ' if holds else 'FAILED'}  {what}", flush=True)
    if not holds:
        sys.exit(1)


def eventually(question, what):
    """Calls the function until its result is truthy, and returns that."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        answer = question()
        if answer:
            check(True, what)
            return answer
        if time.monotonic() > deadline:
            check(False, f"{what} (not within {DEADLINE_SECONDS:.0f} s)")
        time.sleep(0.2)


def place_order(user_id="s-1001", item="ramen", quantity=1):
    order = {"user_id": user_id, "item": item, "quantity": quantity}
    return requests.post(f"{CAMPUS_URL}/order", json=order, timeout=10)


def order(order_id):
    """The order as OrderService shows it; None when it is unknown."""
    answer = requests.get(f"{CAMPUS_URL}/orders/{order_id}", timeout=10)
    return answer.json() if answer.status_code == 200 else None


def is_decided(order_id):
    found = order(order_id)
    return found is not None and found["status"] in ("reserved", "failed")


def order_placed(**changes):
    """An OrderPlaced event as OrderService publishes it."""
    event = {
        "event_id": str(uuid.uuid4()),
        "event_type": "OrderPlaced",
        "order_id": str(uuid.uuid4()),
        "timestamp": datetime.now(timezone.utc).isoformat(),
        "user_id": "s-2002",
        "item": "tea",
        "quantity": 1,
    }
    return {**event, **changes}


@contextmanager
def channel():
    connection = pika.BlockingConnection(pika.URLParameters(RABBITMQ_URL))
    try:
        own = connection.channel()
        own.confirm_delivery()
        yield own
    finally:
        connection.close()


def publish(exchange, routing_key, body, message_id):
    """Publishes a persistent message; raises when no queue takes it."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    properties = pika.BasicProperties(
        content_type="application/json", delivery_mode=2, message_id=message_id
    )
    with channel() as own:
        own.basic_publish(exchange, routing_key, content, properties, mandatory=True)


def messages_in(queue):
    with channel() as own:
        return own.queue_declare(queue, passive=True).method.message_count


def stop_inventory():
    subprocess.run(STOP_INVENTORY, shell=True, check=True)


def start_inventory():
    subprocess.run(START_INVENTORY, shell=True, check=True)
