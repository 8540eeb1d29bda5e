# SPDX-License-Identifier: GPL-2.0-only
"""The program that `make run` shows: a little shop that serves made-up requests, flat out.

Its functions are named for what they do, and it does what services do: routes by regular
expressions, parses JSON, queries SQLite, renders pages, compresses replies, in two threads.

    demo.py [--seconds S]    (until it is killed, without)
"""

import argparse
import html
import json
import random
import re
import sqlite3
import threading
import time
import zlib

ITEMS = 400
WORDS = "amber birch cedar delta ember fjord grove heath inlet jetty karst larch".split()


class Shop:
    """The wares, in a database of its thread's own."""

    def __init__(self):
        self.database = sqlite3.connect(":memory:")
        self.database.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, name, price, sold)")
        self.database.executemany("INSERT INTO item VALUES (?, ?, ?, 0)", map(make_item, range(ITEMS)))

    def find_items(self, word):
        query = "SELECT id, name, price FROM item WHERE name LIKE ? ORDER BY price"
        return self.database.execute(query, ("%" + word + "%",)).fetchall()

    def order_items(self, wanted):
        self.database.executemany("UPDATE item SET sold = sold + ? WHERE id = ?", wanted)

    def best_sellers(self):
        return self.database.execute("SELECT id, name, price FROM item ORDER BY sold DESC LIMIT 20").fetchall()


def make_item(number):
    name = " ".join(random.choice(WORDS) for _ in range(3))
    return number, name, random.randrange(100, 10000)


def handle_search(shop, match, _body):
    return render_page("Search", shop.find_items(match.group("word")))


def handle_order(shop, _match, body):
    order = parse_order(body)
    shop.order_items([(line["count"], line["item"]) for line in order["lines"]])
    return json.dumps({"total": sum_order(order), "lines": len(order["lines"])})


def handle_home(shop, _match, _body):
    return render_page("Best sellers", shop.best_sellers())


ROUTES = [
    (re.compile(r"^GET /search/(?P<word>\w+)$"), handle_search),
    (re.compile(r"^POST /order$"), handle_order),
    (re.compile(r"^GET /$"), handle_home),
]


def parse_order(body):
    order = json.loads(body)
    for line in order["lines"]:
        line["count"] = max(1, int(line["count"]))
    return order


def sum_order(order):
    total = 0
    for line in order["lines"]:
        total += line["count"] * line["price"]
    return total


def render_row(row):
    number, name, price = row
    return "<tr><td>%d<td>%s<td>%.2f" % (number, html.escape(name.title()), price / 100)


def render_page(title, rows):
    return "<h1>%s</h1><table>%s</table>" % (html.escape(title), "".join(map(render_row, rows)))


def compress_reply(text):
    return zlib.compress(text.encode(), 6)


def make_request():
    """What a visitor asks: mostly searches, now and then an order."""
    choice = random.random()
    if choice < 0.5:
        return "GET /search/" + random.choice(WORDS), ""
    if choice < 0.7:
        return "GET /", ""
    lines = [{"item": random.randrange(ITEMS), "count": 2, "price": 1999} for _ in range(30)]
    return "POST /order", json.dumps({"lines": lines})


def route_request(shop, request, body):
    for pattern, handler in ROUTES:
        match = pattern.match(request)
        if match:
            return handler(shop, match, body)
    raise LookupError(request)


def serve_requests(until):
    shop = Shop()
    while time.monotonic() < until:
        request, body = make_request()
        compress_reply(route_request(shop, request, body))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=float("inf"))
    until = time.monotonic() + parser.parse_args().seconds
    threads = [threading.Thread(target=serve_requests, args=(until,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
