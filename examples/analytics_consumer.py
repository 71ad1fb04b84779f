#!/usr/bin/env python3
"""Counts a market's orders and money by day, out of its event log on NATS JetStream.

An example of a consumer that is right and small. It reads through a durable consumer, so the broker remembers how far it got,
and keeps its numbers in SQLite together with the position of the last event that is in them. Both are written in one
transaction and only then acknowledged: an event that comes again, since the program or the broker went down in between, is
known by its position and counted once.

    pip install nats-py                                        # and nkeys, for --nkey
    python3 analytics_consumer.py --create                     # makes the durable consumer, once: an operator does that
    python3 analytics_consumer.py                              # counts as events happen
    python3 analytics_consumer.py --once --json                # counts what there is, prints the numbers and ends

The messages are described in schemas/asyncapi.json. Amounts are integers, in minor units of their currency (cents of a dollar).
"""

import argparse
import asyncio
import json
import signal
import sqlite3
import sys

import nats
from nats.errors import TimeoutError as NatsTimeout
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError, ServiceUnavailableError

# Only what is counted is delivered.
EVENTS = ["order.placed", "escrow.released", "escrow.refunded"]
# Most events in one transaction.
BATCH_MAX = 500
# How long a request for events waits, in seconds, before it is made anew.
FETCH_WAIT_S = 1.0


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nats", default="nats://127.0.0.1:4222", help="the broker")
    parser.add_argument("--nkey", help="file with the seed of the role's nkey, see nats-roles.conf")
    parser.add_argument("--inbox", default="_INBOX.analytics", help="where the role may be answered")
    parser.add_argument("--market", default="main")
    parser.add_argument("--consumer", default="analytics", help="name of the durable consumer")
    parser.add_argument("--database", default="analytics.sqlite", help="where the numbers are kept")
    parser.add_argument("--create", action="store_true", help="make the durable consumer, and end")
    parser.add_argument("--once", action="store_true", help="end when all that is there is counted")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON at the end")
    return parser.parse_args()


class Numbers:
    """What was counted, and up to which position of the log."""

    def __init__(self, path, market):
        self.database = sqlite3.connect(path, isolation_level=None)
        # What is acknowledged at the broker must have survived: it is not delivered again.
        self.database.execute("PRAGMA synchronous = FULL")
        self.database.executescript(
            """
            CREATE TABLE IF NOT EXISTS progress (market TEXT PRIMARY KEY, position INTEGER NOT NULL) STRICT;
            CREATE TABLE IF NOT EXISTS days (
                day TEXT, currency TEXT, orders INTEGER NOT NULL DEFAULT 0, ordered INTEGER NOT NULL DEFAULT 0,
                released INTEGER NOT NULL DEFAULT 0, refunded INTEGER NOT NULL DEFAULT 0,
                PRIMARY KEY (day, currency)
            ) STRICT;
            """
        )
        self.market = market
        self.database.execute("INSERT OR IGNORE INTO progress VALUES (?, 0)", [market])

    def position(self):
        return self.database.execute("SELECT position FROM progress WHERE market = ?", [self.market]).fetchone()[0]

    def count(self, events):
        """Counts events that were not counted yet, all or none, and is done when they are on disk."""
        self.database.execute("BEGIN IMMEDIATE")
        try:
            counted = self.position()
            for position, event_type, time, payload in events:
                if position > counted:
                    self.count_one(event_type, time[:10], payload)
                    counted = position
            self.database.execute("UPDATE progress SET position = ? WHERE market = ?", [counted, self.market])
            self.database.execute("COMMIT")
        except BaseException:
            self.database.execute("ROLLBACK")
            raise

    def count_one(self, event_type, day, payload):
        # The version stands behind the last dot; members that a later version adds are passed over.
        kind = event_type.rsplit(".", 1)[0]
        if kind == "order.placed":
            self.add(day, payload["total"], orders=1, ordered=payload["total"]["minor"])
        elif kind == "escrow.released":
            for transfer in payload["transfers"]:
                self.add(day, transfer["amount"], released=transfer["amount"]["minor"])
        elif kind == "escrow.refunded":
            self.add(day, payload["transfer"]["amount"], refunded=payload["transfer"]["amount"]["minor"])

    def add(self, day, amount, **columns):
        key = [day, amount["currency"]]
        self.database.execute("INSERT OR IGNORE INTO days (day, currency) VALUES (?, ?)", key)
        for column, more in columns.items():
            self.database.execute(f"UPDATE days SET {column} = {column} + ? WHERE day = ? AND currency = ?", [more, *key])

    def rows(self):
        cursor = self.database.execute("SELECT * FROM days ORDER BY day, currency")
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row)) for row in cursor]


def event_of(message):
    headers = message.headers or {}
    return (message.metadata.sequence.stream, headers["ce-type"], headers["ce-time"], json.loads(message.data))


async def create(stream, args):
    config = ConsumerConfig(
        durable_name=args.consumer,
        deliver_policy=DeliverPolicy.ALL,
        # Whoever acknowledges an event has all before it.
        ack_policy=AckPolicy.ALL,
        max_ack_pending=2 * BATCH_MAX,
        filter_subjects=[f"evt.{args.market}.{event}" for event in EVENTS],
    )
    await stream.add_consumer(f"EVT_{args.market}", config)


async def follow(stream, numbers, args, stopped):
    subscription = await stream.pull_subscribe_bind(consumer=args.consumer, stream=f"EVT_{args.market}")
    state = await subscription.consumer_info()
    # What was delivered before and not acknowledged comes again.
    waiting = state.num_pending + state.num_ack_pending
    while not stopped.is_set() and not (args.once and waiting == 0):
        try:
            messages = await subscription.fetch(BATCH_MAX, timeout=FETCH_WAIT_S)
        except NatsTimeout:
            messages = []
        if messages:
            numbers.count([event_of(message) for message in messages])
            await messages[-1].ack_sync()
            waiting = messages[-1].metadata.num_pending


async def main():
    args = arguments()
    options = {"nkeys_seed": args.nkey, "inbox_prefix": args.inbox.encode()} if args.nkey else {}
    connection = await nats.connect(args.nats, **options)
    stream = connection.jetstream()
    stopped = asyncio.Event()
    for ending in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(ending, stopped.set)
    try:
        if args.create:
            await create(stream, args)
            return 0
        numbers = Numbers(args.database, args.market)
        await follow(stream, numbers, args, stopped)
    except (NotFoundError, ServiceUnavailableError):
        print(f"market {args.market} has no consumer {args.consumer} there: make it with --create", file=sys.stderr)
        return 1
    finally:
        await connection.close()
    if args.json:
        print(json.dumps({"position": numbers.position(), "days": numbers.rows()}))
    else:
        for row in numbers.rows():
            print("{day} {currency}: {orders} orders of {ordered}, {released} released, {refunded} refunded".format(**row))
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
